"""Decodings on the command line: recorded, compared, refused where the model has none."""

import json
from pathlib import Path

import pytest
from PIL import Image

from eidolon.benchmark.engine.cache_keys import request_key
from eidolon.benchmark.run.planning import load_run_settings
from eidolon.models.base.contrast import M3ID, Contrastive
from eidolon.models.base.model import Decoding, Request
from eidolon.scorers.core.errors import UserError
from tests.benchmark.conftest import Cli, read_lines

SCENES = ("--model", "scenes-small", "--limit", "4", "--max-new-tokens", "40", "--resamples", "10")
STEERED = ("--decoding", "m3id", "--decoding-option", "alpha=0.9", "--decoding-option", "lambda=0.1")


def test_a_run_records_its_decoding_and_compares_with_another(cli: Cli, tmp_path: Path) -> None:
    result = cli("run", *SCENES, *STEERED, "--out", tmp_path / "steered")
    assert result.code == 0, result.err
    assert cli("run", *SCENES, "--out", tmp_path / "plain").code == 0
    steered, plain = tmp_path / "steered" / "scenes-small", tmp_path / "plain" / "scenes-small"
    settings = {"name": "m3id", "without": "dropped", "lambda": 0.1, "gate": True, "alpha": 0.9, "cap": 5.0}
    record = json.loads((steered / "run.json").read_text())
    assert record["config"]["inputs"]["contrast"] == settings
    assert "contrast" not in json.loads((plain / "run.json").read_text())["config"]["inputs"]
    said = [[row["response"] for row in read_lines(run / "responses.jsonl")] for run in (steered, plain)]
    assert said[0] != said[1]

    compared = cli("compare", plain, steered, "--json", "--resamples", "20", "--min-shared", "1")
    assert compared.code == 0, compared.err
    (differing,) = json.loads(compared.out)["differs"]
    assert differing["part"] == "decoding"
    assert differing["allowed_by"] == "nature"
    assert differing["b"].endswith("+m3id(without=dropped,lambda=0.1,gate=true,alpha=0.9,cap=5.0)")

    board = cli("leaderboard", plain, steered)
    assert board.code == 0, board.err
    assert "+m3id(" in board.out

    again = cli("run", *SCENES, "--out", tmp_path / "steered")
    assert again.code == 2, "another decoding is another run"
    assert "decoding" in again.err


@pytest.mark.parametrize(
    ("model", "backend"),
    [
        ("openai/some@http://127.0.0.1:9/v1", "openai"),
        ("python/json:JSONDecoder", "python"),
        ("vllm/scenes-small", "vllm"),
    ],
)
def test_other_backends_refuse(cli: Cli, model: str, backend: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for name in ("m3id", "contrastive"):
        result = cli("run", "--model", model, "--limit", "2", "--decoding", name, "--out", out)
        assert result.code == 2
        assert f"--decoding {name}: model '{model}' is of backend '{backend}'" in result.err
    assert not out.exists()


def test_recorded_responses_refuse(cli: Cli, replay_file: Path) -> None:
    result = cli("run", "--model", f"replay/{replay_file}", "--limit", "2", "--decoding", "m3id")
    assert result.code == 2
    assert "is of backend 'replay'" in result.err


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--decoding", "m3"], "--decoding: input should be 'plain', 'm3id' or 'contrastive', found"),
        (["--decoding-option", "lambda=0.1"], "--decoding-option lambda=0.1: plain decoding has no options"),
        (
            ["--decoding", "m3id", "--decoding-option", "lambda"],
            "--decoding-option 'lambda': expected key=value",
        ),
        (["--decoding", "m3id", "--decoding-option", "lamda=1"], "did you mean 'lambda'"),
    ],
)
def test_mistakes_are_told_in_one_line(cli: Cli, flags: list[str], told: str) -> None:
    result = cli("run", *SCENES, *flags, "--dry-run")
    assert result.code == 2
    assert told in result.err
    assert result.err.count("\n") == 1


def test_a_model_that_cannot_leaves_no_folder(cli: Cli, tmp_path: Path) -> None:
    from tests.models.tiny_vl import save_llava

    save_llava(tmp_path / "llava")
    config = json.loads((tmp_path / "llava" / "config.json").read_text())
    # Image tokens that the processor never writes: nothing can be zeroed.
    config["image_token_index"] = config["image_token_id"] = 1
    (tmp_path / "llava" / "config.json").write_text(json.dumps(config))
    flags = ("--decoding", "m3id", "--decoding-option", "without=zeroed")
    result = cli("run", "--model", f"transformers/{tmp_path / 'llava'}", "--limit", "2", *flags,
                 "--out", tmp_path / "out")  # fmt: skip
    assert result.code == 2
    assert "--decoding m3id: without=zeroed: LlavaForConditionalGeneration does not insert" in result.err
    assert not (tmp_path / "out" / "llava").exists()


def test_the_cache_tells_decodings_apart() -> None:
    picture = Image.new("RGB", (8, 8))
    contrasts = (None, M3ID(), M3ID(gate=False), Contrastive(), Contrastive(weight=0.5))
    asked = [Request("0", 0, picture, "What?", decoding=Decoding(contrast=one)) for one in contrasts]
    assert len({request_key("model", request) for request in asked}) == len(contrasts)


def test_a_file_may_say_it_and_flags_win(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("decoding: m3id\ndecoding_options: {lambda: 0.05, gate: false}\n")
    told = load_run_settings(path, {}).settings
    assert (told.decoding, told.decoding_options) == ("m3id", {"lambda": "0.05", "gate": "false"})
    other = load_run_settings(path, {"decoding": "contrastive"}).settings
    assert (other.decoding, other.decoding_options) == ("contrastive", {})
    path.write_text("decoding: m3\n")
    with pytest.raises(UserError, match="field 'decoding'"):
        load_run_settings(path, {})
