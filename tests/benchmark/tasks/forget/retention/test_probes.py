"""The files of a run of `forget`: against naive twins, after tampering, and after a lack of memory."""

import json
import math
import random
import shutil
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eidolon.benchmark.cli import invoke
from eidolon.benchmark.store.folder import RunFolder
from eidolon.benchmark.store.record import SampleRow
from eidolon.benchmark.tasks.checking.problems import DifferenceError
from eidolon.benchmark.tasks.forget.dependency.stage import measure_dependency, quantities, table_of
from eidolon.benchmark.tasks.forget.measurement import Measurement
from eidolon.benchmark.tasks.forget.retention.detail import REPORTED
from eidolon.benchmark.tasks.forget.retention.detail import quantities as retention_quantities
from eidolon.benchmark.verify.check.folder import CheckedFolder
from eidolon.benchmark.verify.check.run import CheckOptions, check_runs
from eidolon.models.generation.recovery import OUT_OF_MEMORY
from eidolon.models.probing import dependency as pdm
from eidolon.models.probing import yes_no_interview as interview
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.types import Response
from eidolon.scorers.forgetting.fading import TokenSeries
from eidolon.scorers.forgetting.records import Dependence
from eidolon.scorers.judges.lexicon import LexiconJudge
from eidolon.scorers.retention.measure import measure
from eidolon.scorers.retention.records import AnsweredContext
from tests.benchmark.conftest import Cli, read_lines, write_lines
from tests.benchmark.verify.test_check import copy, edit_line, found, hide, in_json, in_line

SC, P, PL, R, H = "scores.json", "pdm.json", "pdm.jsonl", "retention.json", "retention.jsonl"
FORGET = [
    "run", "--task", "forget", "--model", "scenes-small", "--limit", "10", "--lengths", "8,24",
    "--skip", "knowledge,cloze,interventions,attention",
    "--resamples", "40", "--no-cache",
]  # fmt: skip


@pytest.fixture(scope="module")
def forgotten(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder. Tests must not write to it."""
    out = tmp_path_factory.mktemp("runs")
    assert invoke([*FORGET, "--out", str(out)]) == 0
    return out / "scenes-small"


def forgetting(run: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads((run / SC).read_text())["metrics"]["forgetting"]
    return values


GRID = np.linspace(-0.1, 0.1, 4001)
"""Rates λ at which the twin evaluates the equation of a response."""


def equation(line: dict[str, Any], kind: str | None) -> np.ndarray[Any, Any]:
    """Return Σ x·(t - weighted mean of t) of a response by loops, x being the products and e^{-2λt} the weights."""
    points = [
        (t, x)
        for t, (x, letter) in enumerate(zip(line["signal"], line["kinds"], strict=True))
        if x is not None and kind in (None, letter)
    ]
    if len(points) < 2:
        return np.zeros(len(GRID))
    weighted, weights = np.zeros(len(GRID)), np.zeros(len(GRID))
    for t, _ in points:
        weighted += t * np.exp(-2 * GRID * t)
        weights += np.exp(-2 * GRID * t)
    total = math.fsum(x for _, x in points)
    return np.array(math.fsum(t * x for t, x in points) - total * weighted / weights)


def decay(each: Sequence[np.ndarray[Any, Any]]) -> float:
    """Return 1 - e^{-100 λ} of the λ at which the sum of the equations is 0."""
    summed = sum(each)
    at = int(np.flatnonzero((summed[:-1] < 0) & (summed[1:] >= 0))[0])
    share = summed[at] / (summed[at] - summed[at + 1])
    return 1 - math.exp(-100 * float(GRID[at] + share * (GRID[at + 1] - GRID[at])))


def rate_of(lost: float) -> float:
    """Return λ from the share that is lost per 100 tokens."""
    return -math.log(1 - lost) / 100


@pytest.mark.parametrize(
    ("name", "kind"), [("pdm_decay_per_100_tokens", None), ("pdm_decay_objects_per_100_tokens", "o")]
)
def test_the_decay_against_a_naive_twin(forgotten: Path, name: str, kind: str | None) -> None:
    """The value by loops; the interval by resampling images one at a time, with other random numbers."""
    value = forgetting(forgotten)[name]
    lines = read_lines(forgotten / PL)
    each = [equation(line, kind) for line in lines]
    assert value["value"] == pytest.approx(decay(each), abs=1e-4)
    assert value["n"] == len(each) == 10
    rng = random.Random(7)
    drawn = sorted(rate_of(decay(rng.choices(each, k=len(each)))) for _ in range(4000))
    records = [Dependence.model_validate_json(json.dumps(line)) for line in lines]
    ci = quantities(table_of(records, "judge", seed=1, resamples=2000))[name].ci or (0.0, 0.0)
    low, high = map(rate_of, ci)
    assert (low, high) == pytest.approx((drawn[100], drawn[-101]), abs=0.1 * (high - low))


def test_the_half_life_is_that_of_the_decay(forgotten: Path) -> None:
    values = forgetting(forgotten)
    lost, half = values["pdm_decay_per_100_tokens"], values["pdm_half_life_tokens"]
    if lost["ci"][0] <= 0:
        assert (half["value"], half["reason"]) == (None, "no decay: its interval reaches 0")
        return
    assert half["value"] == pytest.approx(-100 * math.log(2) / math.log(1 - lost["value"]))
    assert half["ci"] == pytest.approx([-100 * math.log(2) / math.log(1 - b) for b in reversed(lost["ci"])])


def test_the_longest_text_against_a_naive_twin(forgotten: Path) -> None:
    """Accuracy above chance as a share of that at n = 0, from the lines of the file."""
    lines = read_lines(forgotten / H)
    first = {
        (line["image_id"], one["kind"], one["about"]): one
        for line in lines if line["condition"] is None for one in line["answers"]
    }  # fmt: skip

    def right(one: dict[str, Any]) -> bool:
        return (one["log_yes"] > one["log_no"]) == one["truth"]

    values = forgetting(forgotten)
    for name in ("own", "filler", "before"):
        asked = defaultdict(list)
        for line in lines:
            if line["condition"] == name:
                asked[line["n"]] += [
                    (right(one), right(first[line["image_id"], one["kind"], one["about"]]))
                    for one in line["answers"] if one["kind"] == "object"
                ]  # fmt: skip
        longest = asked[24]
        assert values[f"retention_{name}_longest_tokens"]["value"] == 24
        late, early = (2 * sum(c) / len(longest) - 1 for c in zip(*longest, strict=True))
        assert values[f"retention_{name}_longest"]["value"] == pytest.approx(late / early)


@pytest.mark.parametrize(
    ("trained", "tokens", "reason"),
    [
        (24, 24, None),
        (23, 8, None),
        (7, None, "nothing asked within the 7 tokens"),
        (None, None, "the length of the training texts is not known"),
    ],
)
def test_the_longest_text_is_within_the_training(
    forgotten: Path, trained: int | None, tokens: int | None, reason: str | None
) -> None:
    points = measure(
        [AnsweredContext.model_validate(line) for line in read_lines(forgotten / H)], resamples=50
    ).points
    values = retention_quantities(points, trained)
    assert {f"retention_{name}_longest" for name in REPORTED} <= {*values}
    kept, at = values["retention_filler_longest"], values["retention_filler_longest_tokens"]
    assert at.value == tokens
    assert (kept.value is None) == (tokens is None)
    assert (kept.reason or "").startswith(reason or "")
    assert (at.reason is None) == (reason is None)


# eidolon check


def test_an_unchanged_run_passes(forgotten: Path) -> None:
    (run,) = check_runs([forgotten], CheckOptions()).runs
    verdicts = {one.check: one for one in run.checks}
    assert verdicts["forgetting"].verdict == "ok"
    assert "from 10 responses" in verdicts["forgetting"].detail
    assert run.verdict == "ok"


IN_SCORES = "metrics.forgetting"
TAMPERED: dict[str, tuple[str, Callable[[Path], None]]] = {
    "a decay": ("scores", in_json(SC, f"{IN_SCORES}.pdm_decay_per_100_tokens.value", 0.01)),
    "a decay's interval": ("intervals", in_json(SC, f"{IN_SCORES}.pdm_decay_per_100_tokens.ci.0", 0.01)),
    "a half-life": ("scores", in_json(SC, f"{IN_SCORES}.pdm_half_life_tokens.value", 9999.0)),
    "why there is none": ("scores", in_json(SC, f"{IN_SCORES}.pdm_half_life_tokens.reason", "no decay")),
    "a retention": ("scores", in_json(SC, f"{IN_SCORES}.retention_own_longest.value", 1.5)),
    "its length": ("scores", in_json(SC, f"{IN_SCORES}.retention_own_longest_tokens.value", 256)),
    "the length of the training": ("scores", in_json(R, "trained_tokens", 10)),
    "a product of a token": ("scores", in_line(PL, 0, "signal.3", 9.0)),
    "a difference of a token": ("forgetting", in_line(PL, 0, "difference.3", 9.0)),
    "a distance of a token": ("forgetting", in_line(PL, 1, "hellinger.3", 0.99)),
    "a kind of a token": ("forgetting", lambda run: edit_line(
        run / PL, 0, lambda line: line.update(kinds="r" + line["kinds"][1:]))),
    "a letter that is no kind": ("forgetting", lambda run: edit_line(
        run / PL, 0, lambda line: line.update(kinds="x" + line["kinds"][1:]))),
    "a response that was not read": ("forgetting", lambda run: edit_line(
        run / PL, 2, lambda line: line.update(
            left_out="lost", hellinger=[], difference=[], kinds="", verdicts={}))),
    "a line left out": ("forgetting", lambda run: write_lines(run / PL, read_lines(run / PL)[1:])),
    "an image of a line": ("forgetting", in_line(PL, 0, "image_id", "scenes-0-1")),
    "the table": ("forgetting", in_json(P, "fade.rate", 0.5)),
    "the form without": ("forgetting", in_json(P, "without", "neutral")),
    "the reader of mentions": ("forgetting", in_json(P, "settings.judge", "another")),
    "a point": ("forgetting", in_json(R, "points.0.accuracy.value", 0.5)),
    "a finding": ("forgetting", in_json(R, "findings.0.verdict", "forgot the image")),
    "the lengths": ("forgetting", in_json(R, "lengths", [8, 24, 64])),
    "an answer": ("forgetting", in_line(H, 30, "answers.0.log_yes", -20.0)),
    "a context of another sample": ("forgetting", in_line(H, 0, "sample_id", "scenes-0-77")),
    "no readings": ("files", lambda run: (run / PL).unlink()),
    "no table": ("files", lambda run: (run / P).unlink()),
    "a table that is none": ("schema", in_json(P, "fade", [])),
    "a line that is none": ("schema", in_line(PL, 0, "hellinger", "much")),
}  # fmt: skip


@pytest.mark.parametrize("what", [*TAMPERED])
def test_a_change_is_found_even_if_the_hashes_fit(forgotten: Path, tmp_path: Path, what: str) -> None:
    check, change = TAMPERED[what]
    run = copy(forgotten, tmp_path / "run")
    change(run)
    with pytest.raises(DifferenceError):
        CheckedFolder(run).check_hashes()
    hide(run)
    differing = found(run)
    assert check in differing
    assert "hashes" not in differing


@pytest.mark.parametrize("name", [PL, P, R, H])
@settings(max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_no_damage_ends_in_a_traceback(
    forgotten: Path, tmp_path_factory: pytest.TempPathFactory, name: str, data: st.DataObject
) -> None:
    run = copy(forgotten, tmp_path_factory.mktemp("damage") / "run")
    document = read_lines(run / name) if name.endswith("l") else json.loads((run / name).read_text())
    place: Any = document
    for _ in range(data.draw(st.integers(0, 4))):
        step = data.draw(st.sampled_from([*place] if isinstance(place, dict) else range(len(place))))
        if not isinstance(place[step], dict | list) or not place[step]:
            break
        place = place[step]
    step = data.draw(st.sampled_from([*place] if isinstance(place, dict) else range(len(place))))
    place[step] = data.draw(st.sampled_from([None, True, -1, 1e308, 10**30, "", "x", [], {}, [[1]]]))
    if name.endswith("l"):
        write_lines(run / name, document)
    else:
        (run / name).write_text(json.dumps(document))
    try:
        report = check_runs([run], CheckOptions())
    except UserError:
        return
    assert "hashes" in {one.check for one in report.runs[0].checks if one.verdict == "differs"}


# Lack of memory


def tight(monkeypatch: pytest.MonkeyPatch, *, interviews: Callable[[Any], bool], pictures: int = 99) -> None:
    """Let batches of more than `pictures` texts run out of memory, and those of interviews for which a test is true."""
    hold, gather = interview.run_interviews, pdm.compare_branches

    def held(model: Any, some: Any) -> Any:
        if interviews(some):
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return hold(model, some)

    def gathered(*branches: Any, rows: int, top: int = 0) -> Any:
        if rows > pictures:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return gather(*branches, rows=rows, top=top)

    monkeypatch.setattr(interview, "run_interviews", held)
    monkeypatch.setattr(pdm, "compare_branches", gathered)


def assert_the_same(run: Path, other: Path) -> None:
    """Compare two runs up to rounding, which depends on the batches."""
    for name in (PL, H):
        for mine, theirs in zip(read_lines(run / name), read_lines(other / name), strict=True):
            assert [*_numbers(mine)] == pytest.approx([*_numbers(theirs)], rel=1e-3, abs=1e-4)
    mine, theirs = forgetting(run), forgetting(other)
    assert mine.keys() == theirs.keys()
    for name in mine:
        assert [*_numbers(mine[name])] == pytest.approx([*_numbers(theirs[name])], rel=1e-3, abs=1e-4)


def _numbers(value: Any) -> Any:
    if isinstance(value, dict):
        for key in sorted(value):
            yield from _numbers(value[key])
    elif isinstance(value, list):
        for one in value:
            yield from _numbers(one)
    elif isinstance(value, int | float):
        yield float(value)


def described(forgotten: Path, out: Path) -> Path:
    """Copy the run with its responses and judgements alone, as after a kill before the first probe."""
    run = copy(forgotten, out / "scenes-small")
    for name in (SC, P, PL, R, H, "pdm.png", "retention.png", "report.html"):
        (run / name).unlink()
    return run


def test_a_small_memory_changes_no_result(
    cli: Cli, forgotten: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = described(forgotten, tmp_path)
    tight(monkeypatch, interviews=lambda some: len(some) > 5, pictures=2)
    assert cli(*FORGET, "--out", tmp_path).code == 0
    assert_the_same(run, forgotten)
    assert json.loads((run / "run.json").read_text())["usage"]["oom_splits"] > 6
    assert json.loads((forgotten / "run.json").read_text())["usage"] in (None, {})
    checked = cli("check", run)
    assert checked.code == 0, checked.out


def test_an_interview_that_never_fits_has_a_reason_and_is_asked_again(
    cli: Cli, forgotten: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = described(forgotten, tmp_path)
    with monkeypatch.context() as patch:
        tight(
            patch,
            interviews=lambda some: any(len(one.given) > 8 and one.before_image for one in some),
            pictures=0,
        )
        assert cli(*FORGET, "--out", tmp_path).code == 0
    lost = [line for line in read_lines(run / H) if "error" in line]
    assert {(line["condition"], line["n"], line["transient"]) for line in lost} == {("before", 24, True)}
    assert [*lost[0]["answers"]] == []
    missing = [one for one in json.loads((run / R).read_text())["missing"] if one["condition"] == "before"]
    assert missing == [
        {"condition": "before", "n": 24, "images": len(lost), "reason": f"no answer: {OUT_OF_MEMORY}"}
    ]
    values = forgetting(run)
    assert values["retention_before_longest_tokens"]["value"] == 8
    decay_ = values["pdm_decay_per_100_tokens"]
    assert (decay_["value"], decay_["reason"]) == (None, f"not measured: {OUT_OF_MEMORY}")
    assert not (run / "pdm.png").exists()
    assert cli("check", run).code == 0
    # The same command asks for exactly those.
    asked = []
    hold = interview.run_interviews
    monkeypatch.setattr(
        interview, "run_interviews", lambda model, some: asked.extend(some) or hold(model, some)
    )
    assert cli(*FORGET, "--out", tmp_path).code == 0
    assert len(asked) == len(lost)
    assert_the_same(run, forgotten)
    assert (run / "pdm.png").exists()
    assert cli("check", run).code == 0


# Without a measurement


class Plain:
    """A model that answers interviews, but gives no token probabilities."""

    name = "plain"


class Source:
    def scoring_model(self) -> Any:
        return Plain()

    def picture(self, sample_id: str) -> Any:
        return object()

    def usage(self) -> None:
        return None

    def release(self) -> None:
        return


def test_a_model_without_probabilities_has_a_reason_for_a_number(tmp_path: Path) -> None:
    rows = [SampleRow(sample_id=f"s{i}", image_id=i, objects=("dog",)) for i in range(3)]
    responses = [
        Response(sample_id="s0", image_id=0, response="A dog."),
        Response(sample_id="s1", image_id=1, response=None, error="lost"),
        Response(sample_id="s2", image_id=2, response="A cat."),
    ]
    folder: Any = RunFolder(tmp_path, None)  # type: ignore[arg-type]
    for _ in range(2):
        measurement = Measurement(folder, "plain", rows, responses, [], "signature", Source())
        table = measure_dependency(measurement, "Look.", LexiconJudge(), seed=0, resamples=20)
        assert [line.get("left_out") for line in read_lines(tmp_path / PL)] == [
            "model 'plain': does not give the probabilities of tokens with and without the image; give a "
            "transformers/… model",
            "there is no response",
            "model 'plain': does not give the probabilities of tokens with and without the image; give a "
            "transformers/… model",
        ]
    for value in quantities(table).values():
        assert (value.value, value.ci, value.n) == (None, None, 0)
        assert (value.reason or "").startswith("not measured: model 'plain': does not give")


def lines_of(rate: float, noise: float, images: int = 12) -> list[Dependence]:
    rng = np.random.default_rng(3)
    made = []
    for image in range(images):
        size = np.exp(-rate * np.arange(60) + noise * rng.standard_normal(60))
        series = TokenSeries(image, np.tanh(size / 4), size, ("object", "function") * 30, (None,) * 60)
        made.append(Dependence.of(f"s{image}", 0, series))
    return made


def test_no_decay_is_an_answer() -> None:
    flat = quantities(table_of(lines_of(0.0, 0.5), "judge", seed=0, resamples=200))
    value = flat["pdm_decay_per_100_tokens"]
    assert value.ci is not None
    assert value.ci[0] < 0 < value.ci[1]
    assert value.reason is None
    half = flat["pdm_half_life_tokens"]
    assert (half.value, half.ci, half.n, half.reason) == (None, None, 12, "no decay: its interval reaches 0")
    growing = quantities(table_of(lines_of(-0.02, 0.1), "judge", seed=0, resamples=200))
    assert growing["pdm_half_life_tokens"].reason == "no decay: the dependence grows"
    fading = quantities(table_of(lines_of(0.02, 0.1), "judge", seed=0, resamples=200))
    assert fading["pdm_decay_per_100_tokens"].value == pytest.approx(1 - math.exp(-2), abs=0.02)
    assert fading["pdm_half_life_tokens"].value == pytest.approx(math.log(2) / 0.02, rel=0.05)


def test_without_an_interval_there_is_no_finding() -> None:
    for resamples, images in ((0, 12), (50, 1)):
        values = quantities(table_of(lines_of(0.02, 0.1, images), "judge", seed=0, resamples=resamples))
        assert values["pdm_decay_per_100_tokens"].value is not None
        assert (values["pdm_decay_per_100_tokens"].reason or "").startswith("no interval")
        assert values["pdm_half_life_tokens"].value is None
        assert (values["pdm_half_life_tokens"].reason or "").startswith("no interval")


# The dry run


def dry(cli: Cli, out: Path) -> dict[str, str]:
    result = cli(*FORGET, "--out", out, "--dry-run", "--rate", 1)
    assert result.code == 0, result.err
    return dict(line.split(": ", 1) for line in result.out.splitlines())


def test_a_dry_run_counts_interviews_and_readings(
    cli: Cli, forgotten: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = dry(cli, tmp_path / "new")
    assert new["calls"] == "10"
    assert new["interviews"] == f"at most {10 * (1 + 2 * 4)}"
    assert new["interview questions"].startswith(
        f"at most {10 * (2 + 2 * (16 + 10))}, after at most {10 * 4 * 32} tokens"
    )
    assert (
        new["dependency readings"]
        == f"10; with the picture and in two forms without, at most {10 * 3 * 512} tokens"
    )
    assert new["time"] == "about 10 s, at 1 responses/s (--rate, interviews and readings not counted)"
    shutil.copytree(forgotten, tmp_path / "runs/scenes-small")
    lines = read_lines(forgotten / H)
    whole = dry(cli, tmp_path / "runs")
    assert whole["interviews"] == f"at most 0, {len(lines)} more are asked already"
    assert whole["dependency readings"].startswith("0, 10 more are read already")
    assert whole["time"].startswith("about 0 s")
    # Cut within a batch of 16: whole ones count, and no byte changes.
    run = tmp_path / "runs/scenes-small"
    (run / R).unlink()
    text = (run / H).read_bytes().splitlines(keepends=True)
    (run / H).write_bytes(b"".join(text[:40]) + text[40][:9])
    monkeypatch.setattr("eidolon.benchmark.tasks.forget.estimate.TOGETHER", 4)
    (run / PL).write_bytes(b"".join((run / PL).read_bytes().splitlines(keepends=True)[:7]))
    before = {path.name: path.read_bytes() for path in run.iterdir()}
    part = dry(cli, tmp_path / "runs")
    assert part["interviews"] == "at most 58, 32 more are asked already"
    answered = sum(len(line["answers"]) for line in lines[:32])
    assert part["interview questions"].startswith(f"at most {540 - answered}, after at most ")
    assert part["dependency readings"].startswith("6, 4 more are read already")
    assert part["time"].startswith("unknown: what is left are interviews and readings")
    assert {path.name: path.read_bytes() for path in run.iterdir()} == before
