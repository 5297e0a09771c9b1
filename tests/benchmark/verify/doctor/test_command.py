"""`eidolon doctor`, and its verdicts in run.json and in the leaderboard."""

import json
import shutil
from pathlib import Path

import pytest
from jsonschema import validate

from eidolon.benchmark import json_schemas
from eidolon.benchmark.store.diagnosis import Diagnosis
from eidolon.benchmark.store.record import read_record
from eidolon.benchmark.verify.doctor.examine import CHECKS
from eidolon.models.base.shipped import shipped_models
from tests.benchmark.conftest import Cli, write_lines

SMALL = shipped_models()["scenes-small"]
QUICK = ("--samples", 3, "--max-new-tokens", 12)
NAMES = [
    "weights", "length", "determinism", "batch", "padding", "image order", "image", "seeds", "precision",
    "prefix cache", "against",
]  # fmt: skip
PLUGIN = """
class Constant:
    def generate(self, requests):
        return ["A dog stands on the grass." for _ in requests]


class Looks:
    def __init__(self, memory=""):
        self.seen = 0
        self.memory = memory

    def generate(self, requests):
        self.seen += 1
        for request in requests:
            text = f"{sum(request.image.convert('L').tobytes()) * 3} {request.prompt}"
            if request.decoding.temperature:
                text = f"{request.decoding.seed} {text}"
            if self.memory:
                text = f"{text} {self.seen}"
            yield " ".join(text.split()[: request.decoding.max_new_tokens])
"""


@pytest.fixture
def plugin(tmp_path: Path) -> str:
    path = tmp_path / "mine.py"
    path.write_text(PLUGIN)
    return f"python/{path}"


def test_a_shipped_model_passes(cli: Cli, tmp_path: Path) -> None:
    out = tmp_path / "verdicts.json"
    result = cli("doctor", "--model", "scenes-small", "--out", out)
    assert result.code == 0, result.err
    assert "scenes-small: 8 samples" in result.out
    found = Diagnosis.model_validate_json(out.read_text())
    assert [check.name for check in found.checks] == NAMES
    assert len(CHECKS) == len(NAMES)
    assert {check.name for check in found.checks if check.verdict == "not applicable"} == {
        "precision", "prefix cache", "against",
    }  # fmt: skip
    assert all((c.equal, c.n, c.differences) == (8, 8, ()) for c in found.checks if c.n is not None)
    assert (found.samples, found.tolerance, found.against) == (8, 0.001, None)
    assert found.described["class"] == "Idefics3ForConditionalGeneration"
    validate(json.loads(out.read_text()), json_schemas.read("doctor"))


def test_against_itself_and_another(cli: Cli, tmp_path: Path) -> None:
    for other, code in ((SMALL, 0), (shipped_models()["scenes-base"], 3)):
        result = cli(
            "doctor", "--model", "scenes-small", *QUICK, "--against", f"transformers/{other}", "--json"
        )
        assert result.code == code, result.err
        (check,) = (c for c in json.loads(result.out)["checks"] if c["name"] == "against")
        assert check["verdict"] == ("ok" if code == 0 else "differs")


def test_a_custom_model(cli: Cli, plugin: str) -> None:
    """Without tokens, a difference is reported with its character, and near-ties are unknown."""
    well = cli("doctor", "--model", f"{plugin}:Looks", *QUICK, "--json")
    assert well.code == 0, well.out
    assert json.loads(well.out)["tolerance"] is None
    blind = cli("doctor", "--model", f"{plugin}:Constant", *QUICK)
    assert blind.code == 3
    assert "failed: image, seeds; see docs/reference/doctor-checks.md" in blind.out
    stale = json.loads(cli("doctor", "--model", f"{plugin}:Looks", "-M", "memory=yes", *QUICK, "--json").out)
    (check,) = (c for c in stale["checks"] if c["name"] == "determinism")
    assert (check["verdict"], check["near_ties"], check["equal"]) == ("differs", None, 0)
    assert check["differences"][0]["gap"] is None
    assert check["differences"][0]["character"] > 0


def test_verdicts_are_stored_in_the_run_and_shown_by_the_leaderboard(
    cli: Cli, tmp_path: Path, plugin: str
) -> None:
    base = ("run", "--limit", 4, "--max-new-tokens", 12, "--out", tmp_path / "runs")
    models = ("--model", "scenes-small", "--model", f"{plugin}:Constant")
    result = cli(*base, *models, "--doctor")
    assert result.code == 3
    assert "the doctor's checks failed: image, seeds; see run.json" in result.err
    runs = sorted(path.parent for path in (tmp_path / "runs").glob("*/run.json"))
    assert len(runs) == 2
    kept = {run.name: read_record(run).provenance.doctor for run in runs}
    assert all(found is not None and found.samples == 4 for found in kept.values())
    for run in runs:
        validate(json.loads((run / "run.json").read_text()), json_schemas.read("run"))
    rows = {r["name"]: r for r in json.loads((tmp_path / "runs/leaderboard.json").read_text())["rows"]}
    assert rows["scenes-small"]["doctor"] == "passed"
    constant = rows[f"{plugin}:Constant"]
    assert (constant["doctor"], constant["doctor_failed"]) == ("failed", ["image", "seeds"])
    assert "passed" in result.out
    assert "failed: image, seeds" in " ".join(result.out.split())
    # The same command again asks no model and keeps the verdicts, also without the flag.
    for flags in (("--doctor",), ()):
        again = cli(*base, *models, *flags)
        assert again.code == (3 if flags else 0)
        assert {run.name: read_record(run).provenance.doctor for run in runs} == kept
        assert all(session.provenance is None for run in runs for session in read_record(run).sessions)


def test_a_run_can_be_examined_later(cli: Cli, tmp_path: Path) -> None:
    checkpoint = tmp_path / "model"
    shutil.copytree(SMALL, checkpoint)
    base = ("run", "--limit", 2, "--max-new-tokens", 12, "--out", tmp_path / "runs")
    assert cli(*base, "--model", f"transformers/{checkpoint}", "-M", "dtype=float32").code == 0
    (run,) = (path.parent for path in (tmp_path / "runs").glob("*/run.json"))
    board = json.loads(cli("leaderboard", run, "--json").out)
    assert (board["rows"][0]["doctor"], board["rows"][0]["doctor_failed"]) == ("not run", [])
    assert "not run" in cli("leaderboard", run).out
    before = {
        path.name: path.read_bytes() for path in run.iterdir() if path.name not in ("run.json", ".lock")
    }
    result = cli("doctor", "--run", run, *QUICK)
    assert result.code == 0, result.err
    record = read_record(run)
    assert record.provenance.doctor is not None
    assert record.provenance.doctor.options == {"dtype": "float32"}
    assert record.status == "success"
    assert {path.name: path.read_bytes() for path in run.iterdir() if path.name in before} == before
    assert json.loads(cli("leaderboard", run, "--json").out)["rows"][0]["doctor"] == "passed"
    # Changed weights are another model, with any name.
    kept = (run / "run.json").read_bytes()
    with (checkpoint / "generation_config.json").open("a") as stream:
        stream.write("\n")
    result = cli("doctor", "--run", run, *QUICK)
    assert result.code == 2
    assert "its model has changed: files is" in result.err
    assert (run / "run.json").read_bytes() == kept


def test_mistakes(cli: Cli, tmp_path: Path, replay_file: Path, inputs: list[str]) -> None:
    scored = tmp_path / "scored"
    assert cli("score", *inputs, "--out", scored).code == 0
    empty = tmp_path / "empty"
    empty.mkdir()
    some = ("--model", "scenes-small")
    for arguments, expected in (
        ((), "--model: name the model to examine"),
        (("--model", f"replay/{replay_file}"), "its answers are recorded"),
        (("--run", scored), "it has no model to examine"),
        (("--run", empty), "is not a run folder"),
        (("--run", scored, *some), "--model scenes-small: --run examines the model of the run"),
        (("--run", scored, "-M", "dtype=float32"), "-M dtype: --run examines the model of the run"),
        ((*some, "--samples", 1), "--samples 1: must be at least 2"),
        (
            (*some, "--max-new-tokens", 0),
            "--max-new-tokens 0: must be at least 1",
        ),
        ((*some, "-A", "dtype=float32"), "-A dtype: is for the model of --against"),
        ((*some, "--against", "scenes-smal"), "--against 'scenes-smal': no shipped model of this name"),
        ((*some, "--against", f"replay/{replay_file}"), "must be a checkpoint that runs in this process"),
        ((*some, "--dataset", "nothing"), "nothing"),
        ((*some, *QUICK, "--out", tmp_path / "no/such/folder.json"), "cannot be written (no such folder)"),
        ((*some, *QUICK, "--out", tmp_path), "cannot be written (it is a folder)"),
    ):
        result = cli("doctor", *arguments)
        assert (result.code, result.out) == (2, ""), arguments
        assert expected in result.err
        assert len(result.err.splitlines()) == 1
    rows = write_lines(tmp_path / "more.jsonl", [{"image_id": "scenes-0-0", "response": "A dog."}])
    result = cli("run", "--model", f"replay/{rows}", "--limit", 2, "--doctor", "--out", tmp_path / "runs")
    assert result.code == 2
    assert not (tmp_path / "runs").exists()
