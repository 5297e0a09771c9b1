"""A judge and a metric of a third party: the minimum of the contract works everywhere, and what they declare counts."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from eidolon.benchmark.tasks.plugins import make_judge
from eidolon.scorers.core import registry
from tests.benchmark.conftest import Cli

MODULE = '''
import numpy as np

from eidolon.scorers.core.metric import LeaderboardColumn, Quantity, ratio
from eidolon.scorers.core.types import Judgement, Mention


class Pets:
    """Finds dogs and cats by their plain words."""

    name = "pets"
    vocabulary = ("cat", "dog")

    def __init__(self, loud="no"):
        self.loud = loud

    def signature(self):
        return f"pets(loud={self.loud})"

    def judge(self, responses):
        for response in responses:
            text = response.response or ""
            mentions = [
                Mention(category=name, text=name, start=text.find(name), end=text.find(name) + 3, word=0)
                for name in self.vocabulary
                if name in text
            ]
            yield Judgement(sample_id=response.sample_id, image_id=response.image_id, mentions=mentions)


class RulePets(Pets):
    """The same, and made again by check."""

    name = "rule-pets"

    @classmethod
    def loads_from_outside(cls, options):
        return None


class Silence:
    """The share of responses that name nothing."""

    family = "silence"
    quantities = (Quantity("share", False, (0, 1), "responses without a mention / responses"),)
    columns = ("responses", "silent")

    def statistics(self, samples):
        rows = [(1, not sample.judgement.mentions) for sample in samples]
        return np.array(rows, dtype=float).reshape(len(samples), 2)

    def compute(self, totals):
        return {"share": ratio(totals[..., 1], totals[..., 0])}


class Shy(Silence):
    """The same with a column of its own, for the judge of pets alone."""

    family = "shy"
    leaderboard_columns = (LeaderboardColumn("share", "shy of pets", decimals=".1f", interval=False),)
    needs_references = False

    def check_judge(self, judge):
        return None if judge.name == "pets" else "counts pets; give --judge pets"
'''
ENTRY_POINTS = """\
[eidolon.judges]
pets = pets_plugin:Pets
rule-pets = pets_plugin:RulePets
[eidolon.metrics]
silence = pets_plugin:Silence
shy = pets_plugin:Shy
"""


@pytest.fixture(autouse=True)
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Install the package above; return its folder of metadata."""
    info = tmp_path / "site" / "pets_plugin-1.0.dist-info"
    info.mkdir(parents=True)
    (info.parent / "pets_plugin.py").write_text(MODULE)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: pets-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    monkeypatch.syspath_prepend(info.parent)
    _forget_plugins()
    yield info
    _forget_plugins()
    sys.modules.pop("pets_plugin", None)


def _forget_plugins() -> None:
    for known in (registry.judges, registry.metrics):
        vars(known).pop("_plugins", None)


@pytest.fixture
def score(cli: Cli, tmp_path: Path) -> Iterator[Path]:
    """Score three responses with the plug-in's judge and metrics; return the run folder."""
    responses, objects = tmp_path / "responses.jsonl", tmp_path / "objects.jsonl"
    responses.write_text(
        '{"image_id": 1, "response": "A dog and a cat."}\n{"image_id": 2, "response": "A car."}\n'
        '{"image_id": 3, "response": "A cat."}\n'
    )
    objects.write_text("".join(f'{{"image_id": {i}, "objects": ["dog"]}}\n' for i in (1, 2, 3)))
    result = cli(
        "score", "--responses", responses, "--objects", objects, "--out", tmp_path / "run", "--judge", "pets",
        "--metric", "objects,silence,shy",
    )  # fmt: skip
    assert result.code == 0, result.err
    return tmp_path / "run"


def test_the_leaderboard_has_the_columns_of_a_metric(cli: Cli, score: Path) -> None:
    table = cli("leaderboard", score).out
    assert "F0.5" in table
    assert "shy of pets" in table, "the declared column"
    assert "silence.share ↓" in table.replace("\n", " "), "without a declaration, the first quantity"
    assert "0.333" in table
    assert "0.3 " in table, "in the declared format"


def test_a_metric_that_is_not_installed_here_keeps_its_column(cli: Cli, score: Path, plugin: Path) -> None:
    (plugin / "entry_points.txt").write_text("")
    _forget_plugins()
    table = cli("leaderboard", score).out
    assert "shy.share" in table
    assert "silence.share" in table


def rows_of_check(cli: Cli, run: Path, *options: str) -> dict[str, tuple[str, str]]:
    """Return verdict and text by check."""
    report = json.loads(cli("check", run, "--json", *options).out)
    return {row["check"]: (row["verdict"], row["detail"]) for row in report["runs"][0]["checks"]}


def test_check_compares_the_verdicts_of_a_closed_vocabulary(cli: Cli, score: Path, plugin: Path) -> None:
    found = rows_of_check(cli, score)
    assert found["judgements"] == ("ok", "3 judgements, 3 mentions, all verdicts as the truth has them")
    assert found["judge"][0] == "not checkable"
    assert "a plug-in that does not declare it" in found["judge"][1]
    assert found["scores"][0] == "ok"
    (plugin / "entry_points.txt").write_text("")
    _forget_plugins()
    found = rows_of_check(cli, score)
    assert "the judge is not installed here" in found["judgements"][1]


def test_check_finds_a_wrong_verdict_of_a_plugin(cli: Cli, score: Path) -> None:
    path = score / "judgements.jsonl"
    path.write_text(path.read_text().replace("hallucinated", "grounded", 1))
    verdict, text = rows_of_check(cli, score)["judgements"]
    assert verdict == "differs"
    assert "is called grounded, and is hallucinated" in text


def test_check_makes_a_judge_again_that_declares_it(cli: Cli, score: Path) -> None:
    objects, responses = score.parent / "objects.jsonl", score.parent / "responses.jsonl"
    given = ("--responses", responses, "--objects", objects, "--judge", "rule-pets", "--metric", "objects")
    assert cli("score", *given, "--out", score.parent / "again").code == 0
    assert rows_of_check(cli, score.parent / "again")["judge"][0] == "ok"


def test_a_metric_says_which_judge_it_needs(cli: Cli, score: Path) -> None:
    objects, responses = score.parent / "objects.jsonl", score.parent / "responses.jsonl"
    given = (
        "--responses",
        responses,
        "--objects",
        objects,
        "--metric",
        "shy",
        "--out",
        score.parent / "other",
    )
    result = cli("score", *given)
    assert (result.code, result.err.strip()) == (2, "error: --metric shy: counts pets; give --judge pets")


def test_an_option_that_the_judge_does_not_have(cli: Cli, score: Path) -> None:
    objects, responses = score.parent / "objects.jsonl", score.parent / "responses.jsonl"
    given = (
        "--responses",
        responses,
        "--objects",
        objects,
        "--judge",
        "pets",
        "--out",
        score.parent / "other",
    )
    result = cli("score", *given, "-J", "lod=yes")
    assert result.code == 2
    assert "judge 'pets' has no option 'lod'; did you mean 'loud'?" in result.err


def test_a_language_model_is_loaded_only_for_a_class_that_declares_it() -> None:
    """No parameter's name and no annotation decides: a judge with an option called `models` gets the text."""

    class Named:
        def __init__(self, models: str = "") -> None:
            self.name, self.vocabulary, self.models = "named", ("dog",), models

    vars(registry.judges)["_plugins"] = {"named": Entry(Named)}
    judge = make_judge("named", {"models": "three"})
    assert vars(judge)["models"] == "three"


class Entry:
    """An entry point, as far as the registry asks."""

    def __init__(self, target: object) -> None:
        self.load = lambda: target
