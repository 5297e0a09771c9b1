"""Inputs that users bring, with the right answers: the cases of the reference data, each run by its own commands."""

import json
import shlex
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.benchmark.conftest import Cli, Result, read_lines

Scores = dict[str, Any]


def _value(scores: Scores, name: str) -> float | None:
    """Return `chair.recall`, or `counts.chair.mentions`."""
    parts = name.split(".")
    if parts[0] == "counts":
        found: float = scores["counts"][parts[1]][parts[2]]
        return found
    value: float | None = scores["metrics"][parts[0]][parts[1]]["value"]
    return value


def _policies(scores: Scores) -> dict[str, float]:
    return {
        v["settings"]["policy"]: v["metrics"]["pope"]["accuracy"]["value"]
        for v in scores["variants"]
        if "pope" in v["metrics"]
    }


def _has(**values: float) -> Callable[[Scores, str], None]:
    def check(scores: Scores, _: str) -> None:
        for name, value in values.items():
            assert _value(scores, name.replace("__", ".")) == pytest.approx(value)

    return check


def _warns(*words: str) -> Callable[[Scores, str], None]:
    def check(_: Scores, err: str) -> None:
        (line,) = [
            line
            for line in err.splitlines()
            if line.startswith(("warning: ", "error: ")) and words[0] in line
        ]
        assert all(word in line for word in words)

    return check


def _boxed(scores: Scores, _: str) -> None:
    accuracy = _policies(scores)
    assert accuracy["strict"] == accuracy["lenient"] == accuracy["exact"] == 0.75


def _unclosed(scores: Scores, _: str) -> None:
    assert _value(scores, "chair.recall") == 0
    assert _value(scores, "counts.chair.hallucinated_mentions") == 0
    assert scores["responses"]["empty"] == 1


STATED: Mapping[str, Callable[[Scores, str], None]] = {
    "01": _has(chair__chair_i=1 / 3, chair__chair_s=1 / 2),
    "02": _has(chair__chair_i=0, chair__recall=1),
    "05": _has(chair__chair_i=0, chair__recall=1),
    "20": _has(pope__accuracy=0.75),
    "24": _boxed,
    "29": _unclosed,
    "44": _has(chair__chair_i=0, chair__recall=1),
    "55": _warns("--objects", "no annotation"),
    "58": _warns("--captions", "1 of 2 images"),
    "66": _has(amber__accuracy=1, amber__chair=0),
    "80": _has(chair__chair_i=0, chair__recall=1 / 3),
}
"""What the cases say in words alone, by number."""
REFUSED = {"17": ("a.jsonl:2", "2 of 4 answers are to other questions")}
"""Cases that end with an error, and what it says."""
WORDNET = "67"
"""Gives its values for two readings; the rest give those of their own commands."""


@dataclass(frozen=True)
class Bench:
    """Runs a case in a copy of its folder."""

    cli: Cli
    place: Path
    monkeypatch: pytest.MonkeyPatch

    def run(self, case: Path, reading: str = "original") -> tuple[Scores, str]:
        """Return the first scores of the case's commands, and what was said on stderr."""
        results = self._results(case, reading)
        for result in results:
            assert result.code == 0, result.err
        said = "".join(result.err for result in results)
        folder = self.place / f"{case.name}-{reading}"
        scores: Scores = json.loads((folder / "out" / "scores.json").read_text())
        return scores, said

    def refused(self, case: Path) -> str:
        """Return the error of the case's one command."""
        (result,) = self._results(case, "original")
        assert result.code == 2
        return result.err

    def _results(self, case: Path, reading: str) -> list[Result]:
        folder = self.place / f"{case.name}-{reading}"
        shutil.copytree(case, folder)
        # A vocabulary that a case holds is what its first command writes.
        (folder / "v.json").unlink(missing_ok=True)
        with self.monkeypatch.context() as patch:
            patch.chdir(folder)
            lines = (folder / "cmd.txt").read_text().splitlines()
            return [self.cli(*shlex.split(line.replace("=original", f"={reading}"))[1:]) for line in lines]


@pytest.fixture
def bench(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(cli, tmp_path, monkeypatch)


def test_the_cases_of_the_reference_data(
    bench: Bench, reference_data: Path, subtests: pytest.Subtests
) -> None:
    cases = sorted((reference_data / "cases").iterdir())
    assert len(cases) == 28
    for case in cases:
        if (number := case.name[:2]) in REFUSED:
            with subtests.test(case=case.name):
                said = bench.refused(case)
                assert all(words in said for words in REFUSED[number])
            continue
        with subtests.test(case=case.name):
            scores, said = bench.run(case)
            expected = json.loads((case / "expected.json").read_text())
            numbers = {k: v for k, v in expected.items() if "." in k and isinstance(v, int | float)}
            for name, value in numbers.items():
                assert _value(scores, name) == pytest.approx(value), name
            assert numbers or number in STATED or number == WORDNET
            if number in STATED:
                STATED[number](scores, said)


def test_both_readings_of_the_wordnet_case(bench: Bench, reference_data: Path) -> None:
    (case,) = (reference_data / "cases").glob(f"{WORDNET}-*")
    expected = json.loads((case / "expected.json").read_text())
    for reading, words in (("original", "original_words"), ("wordnet", "fork_words")):
        scores, _ = bench.run(case, reading)
        judgements = bench.place / f"{case.name}-{reading}" / "out" / "judgements.jsonl"
        found = [[mention["category"] for mention in line["mentions"]] for line in read_lines(judgements)]
        assert found == expected[words]
    assert _value(scores, "counts.chair.mentions") == expected["fork"]["mentions"]
    for name in ("chair_i", "recall"):
        assert _value(scores, f"chair.{name}") == expected["fork"][name]
