"""`eidolon run --task forget`: scores, a plot and a table; resuming after a kill; mistakes."""

import io
import json
import math
import shutil
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path

import jsonschema
import pytest
from PIL import Image

from eidolon.benchmark.cli import invoke
from eidolon.benchmark.json_schemas import schemas as own_schemas
from eidolon.benchmark.tasks.forget.dependency import stage as pdm_stage
from eidolon.scorers.json_schemas import schemas
from tests.benchmark.conftest import Cli, read_lines, write_lines

FORGET = [
    "run", "--task", "forget", "--model", "scenes-small", "--limit", 12, "--lengths", "8,300,24",
    "--skip", "knowledge,cloze,interventions,attention",
    "--batch-size", 5, "--resamples", 200, "--no-cache",
]  # fmt: skip


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """The folder of runs, and what the command printed. Tests must not write to it. Readings are in batches of five."""
    out = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pdm_stage, "TOGETHER", 5)
        with redirect_stdout(io.StringIO()) as printed:
            assert invoke([*map(str, FORGET), "--out", str(out)]) == 0
        yield out, printed.getvalue()


def naive_rate(signals: list[list[float | None]]) -> float:
    """Return the λ at which Σ (x_t - A e^{-2λt}) t over all responses is 0, by bisection."""

    def equation(rate: float) -> float:
        total = 0.0
        for signal in signals:
            points = [(t, x) for t, x in enumerate(signal) if x is not None]
            if len(points) > 1:
                level = sum(x for _, x in points) / sum(math.exp(-2 * rate * t) for t, _ in points)
                total += sum((x - level * math.exp(-2 * rate * t)) * t for t, x in points)
        return total

    low, high = -0.1, 0.1
    assert equation(low) < 0 < equation(high)
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if equation(middle) < 0 else (low, middle)
    return low


def copied(measured: tuple[Path, str], to: Path) -> Path:
    """Return a copy of the run folder, below a folder for runs."""
    shutil.copytree(measured[0], to)
    return to / "scenes-small"


def test_a_run_measures_and_reports(cli: Cli, measured: tuple[Path, str]) -> None:
    run, printed = measured[0] / "scenes-small", measured[1]
    assert "Retention R(n)/R(0) of scenes-small" in printed
    held = read_lines(run / "retention.jsonl")
    for line in held:
        jsonschema.validate(line, schemas()["held"])
    detail = json.loads((run / "retention.json").read_text())
    jsonschema.validate(detail, own_schemas()["retention"])
    assert detail["lengths"] == [8, 24, 300]
    assert 250 < detail["trained_tokens"] < 300
    assert "assistant's turn" in detail["layout"]
    filler = {p["n"]: p for p in detail["points"] if (p["condition"], p["series"]) == ("filler", "unnamed")}
    assert {n: (p["images"], p["questions"]) for n, p in filler.items()} == dict.fromkeys(
        (8, 24, 300), (12, 24)
    )
    assert filler[8]["accuracy_at_0"]["value"] > 0.8
    with Image.open(run / "retention.png") as plot:
        assert plot.width > 800
    assert (run / "report.html").read_text().count('class="plot"') >= 2
    table = json.loads((run / "pdm.json").read_text())
    assert (table["without"], table["beside"]) == ("shuffled", "neutral")
    assert (run / "pdm.png").stat().st_size > 10_000
    assert "Leaderboard of forget" in printed
    assert "PDM decay" in printed
    for line in read_lines(run / "pdm.jsonl"):
        jsonschema.validate(line, schemas()["dependence"])
    forgetting = json.loads((run / "scores.json").read_text())["metrics"]["forgetting"]
    assert "rate_early" in forgetting
    assert forgetting["retention_filler_128"]["value"] is None
    assert forgetting["retention_filler_128"]["reason"] == "not asked at this length"
    # 300 tokens are more than any training text had.
    assert forgetting["retention_filler_longest"] == {
        "value": filler[24]["retention"]["value"],
        "ci": filler[24]["retention"]["ci"],
        "n": 12,
        "higher_is_better": True,
    }
    assert forgetting["retention_filler_longest_tokens"]["value"] == 24
    assert forgetting["pdm_decay_per_100_tokens"] == {
        "value": table["fade"]["decay_per_100"],
        "ci": table["fade"]["decay_per_100_ci"],
        "n": 12,
        "higher_is_better": False,
    }
    rate = naive_rate([line["signal"] for line in read_lines(run / "pdm.jsonl") if "signal" in line])
    assert forgetting["pdm_decay_per_100_tokens"]["value"] == pytest.approx(
        1 - math.exp(-100 * rate), rel=1e-3
    )
    jsonschema.validate(json.loads((run / "scores.json").read_text()), schemas()["scores"])
    checked = cli("check", run)
    assert checked.code == 0, checked.out


def test_a_killed_run_resumes_and_ends_with_the_same_bytes(
    cli: Cli, measured: tuple[Path, str], tmp_path: Path
) -> None:
    whole, cut = measured[0] / "scenes-small", copied(measured, tmp_path / "cut")
    names = (
        "retention.jsonl",
        "retention.json",
        "retention.png",
        "pdm.jsonl",
        "pdm.json",
        "scores.json",
        "responses.jsonl",
    )
    wanted = {name: (whole / name).read_bytes() for name in names}
    # As after a kill within the fourth batch of questions.
    lines = wanted["retention.jsonl"].splitlines(keepends=True)
    (cut / "retention.jsonl").write_bytes(b"".join(lines[:17]) + lines[17][:40])
    for name in ("retention.json", "retention.png", "pdm.jsonl", "pdm.json", "scores.json"):
        (cut / name).unlink()
    assert cli(*FORGET, "--out", tmp_path / "cut").code == 0
    assert {name: (cut / name).read_bytes() for name in names} == wanted
    # Within the second batch of readings: a whole line, and a part of the next.
    lines = wanted["pdm.jsonl"].splitlines(keepends=True)
    (cut / "pdm.jsonl").write_bytes(b"".join(lines[:6]) + lines[6][:40])
    for name in ("pdm.json", "scores.json"):
        (cut / name).unlink()
    assert cli(*FORGET, "--out", tmp_path / "cut").code == 0
    assert {name: (cut / name).read_bytes() for name in names} == wanted
    log = (cut / "run.log").read_text()
    assert '"records": 2' in log or "records=2" in log


def test_a_whole_run_asks_nothing_again(
    cli: Cli, measured: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (copied(measured, tmp_path / "out") / "scores.json").read_bytes()
    monkeypatch.setattr(
        "eidolon.models.backends.transformers.TransformersModel.__init__",
        lambda *_, **__: pytest.fail("the model was loaded"),
    )
    assert cli(*FORGET, "--out", tmp_path / "out").code == 0
    assert (tmp_path / "out/scenes-small/scores.json").read_bytes() == before


def test_other_responses_are_asked_about_again(cli: Cli, measured: tuple[Path, str], tmp_path: Path) -> None:
    run = copied(measured, tmp_path / "out")
    wanted = (run / "retention.json").read_bytes()
    (run / "responses.jsonl").unlink()
    (run / "retention.jsonl").write_text("what was asked about the old ones\n")
    assert cli(*FORGET, "--out", tmp_path / "out").code == 0
    assert (run / "retention.json").read_bytes() == wanted


def test_a_model_without_probabilities_is_refused_before_there_is_a_folder(
    cli: Cli, tmp_path: Path, picture_folder: Path
) -> None:
    replayed = write_lines(
        tmp_path / "responses.jsonl", [{"image_id": i, "response": "A dog is here."} for i in range(10)]
    )
    result = cli(
        "run", "--task", "forget", "--model", f"replay/{replayed}", "--dataset", f"folder/{picture_folder}",
        "--out", tmp_path / "out",
    )  # fmt: skip
    assert result.code == 2
    assert "--task forget" in result.err
    assert "gives no probabilities" in result.err
    assert len(result.err.strip().splitlines()) == 1
    assert not list((tmp_path / "out").glob("*/run.json"))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--task", "forget", "--lengths", "0,8"], "--lengths"),
        (["--task", "forget", "--lengths", "many"], "--lengths"),
        (["--task", "describe", "--lengths", "8"], "--lengths: is for --task forget"),
        (["--task", "forget", "--pairs", "2"], "--pairs: is for --task probe"),
        (["--task", "forget", "--trained-length", "0"], "--trained-length"),
        (["--task", "forget", "--judge", "nouns"], "--judge nouns"),
    ],
)
def test_a_mistake_is_one_line(cli: Cli, tmp_path: Path, arguments: list[str], expected: str) -> None:
    result = cli("run", *arguments, "--model", "scenes-small", "--limit", 2, "--out", tmp_path / "out")
    assert result.code == 2
    assert expected in result.err
    assert len(result.err.strip().splitlines()) == 1
