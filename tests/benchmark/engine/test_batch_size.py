"""Batches that fit into memory, batches that do not, and models that fail."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from eidolon.models.backends.transformers import TransformersModel
from eidolon.models.base.model import Request
from eidolon.models.generation.recovery import OUT_OF_MEMORY
from tests.benchmark.conftest import Cli, read_lines, write_lines

FULL = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
SAMPLES = 10


@pytest.fixture
def many_sizes(tmp_path: Path) -> Path:
    """Ten pictures, each larger than the one before."""
    folder = tmp_path / "sizes"
    folder.mkdir()
    for i in range(SAMPLES):
        Image.new("RGB", (20 + 4 * i, 20), (25 * i, 90, 40)).save(folder / f"{i}.png")
    write_lines(
        folder / "objects.jsonl",
        [{"image_id": i, "image": f"{i}.png", "objects": ["dog"]} for i in range(SAMPLES)],
    )
    return folder


class Device:
    """A device between the backend and the model, with room for a limited number of requests."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.room = SAMPLES
        self.broken: dict[str, Exception] = {}
        """The exceptions that the model raises, by sample id."""
        self.batches: list[list[str]] = []
        self.trials: list[list[str]] = []
        run = TransformersModel._run

        def bounded(model: Any, requests: Sequence[Request], *given: Any, **settings: Any) -> Any:
            names = [request.sample_id for request in requests]
            (self.trials if "min_new_tokens" in settings else self.batches).append(names)
            if len(requests) > self.room:
                raise FULL
            for name in names:
                if name in self.broken:
                    raise self.broken[name]
            return run(model, requests, *given, **settings)

        patch.setattr(TransformersModel, "_run", bounded)


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Device:
    return Device(monkeypatch)


@pytest.fixture
def as_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try batch sizes on this machine's CPU too."""
    monkeypatch.setattr("eidolon.models.backends.transformers.UNSIZED_DEVICES", ())


def arguments(pictures: Path, out: Path, *others: object) -> list[object]:
    return [
        "run", "--model", "scenes-small", "--dataset", f"folder/{pictures}", "--out", out,
        "--max-new-tokens", 3, "--resamples", 0, "--max-unscored", 1, "--no-cache", *others,
    ]  # fmt: skip


def run_record(out: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((out / "scenes-small/run.json").read_text())
    return record


def files(out: Path) -> list[bytes]:
    return [(out / "scenes-small" / name).read_bytes() for name in ("responses.jsonl", "scores.json")]


@pytest.mark.usefixtures("as_on_a_gpu")
def test_the_size_is_found_with_the_largest_first_and_kept(
    cli: Cli, many_sizes: Path, tmp_path: Path, device: Device
) -> None:
    device.room = 3
    out = tmp_path / "out"
    result = cli(*arguments(many_sizes, out))
    assert result.code == 0, result.err
    largest = [str(i) for i in reversed(range(SAMPLES))]
    assert device.trials == [largest, largest[:5], largest[:2]], "10, 5, 2"
    assert device.batches == [[str(i), str(i + 1)] for i in range(0, SAMPLES, 2)], (
        "in the order of the samples"
    )
    assert "batches of 2" in result.err
    assert run_record(out)["batches"] == {"size": 2, "count": 5}
    assert run_record(out)["config"]["settings"]["batch_size"] == "auto"

    # A session with more room continues with the size that was found first; nothing is tried again.
    whole = files(out)
    responses = out / "scenes-small/responses.jsonl"
    responses.write_bytes(b"".join(responses.read_bytes().splitlines(keepends=True)[:5]))
    (out / "scenes-small/scores.json").unlink()
    device.room, device.trials, device.batches = SAMPLES, [], []
    assert "batches: 5" in cli(*arguments(many_sizes, out, "--dry-run")).out
    assert cli(*arguments(many_sizes, out)).code == 0
    assert device.trials == []
    assert device.batches == [["4", "5"], ["6", "7"], ["8", "9"]]
    assert files(out) == whole


@pytest.mark.usefixtures("as_on_a_gpu", "cache_folder")
def test_answers_from_the_cache_need_no_size(
    cli: Cli, many_sizes: Path, tmp_path: Path, device: Device
) -> None:
    """A model is not loaded only to find a batch size."""
    device.room = 3
    new, kept = (
        [one for one in arguments(many_sizes, tmp_path / out) if one != "--no-cache"]
        for out in ("new", "kept")
    )
    assert cli(*new).code == 0
    assert run_record(tmp_path / "new")["batches"]["size"] == 2
    device.trials, device.batches = [], []
    assert cli(*kept).code == 0
    assert device.trials == device.batches == []
    assert run_record(tmp_path / "kept")["batches"]["size"] == 16
    assert files(tmp_path / "kept")[0] == files(tmp_path / "new")[0]


def test_on_a_cpu_nothing_is_tried(cli: Cli, many_sizes: Path, tmp_path: Path, device: Device) -> None:
    assert cli(*arguments(many_sizes, tmp_path / "auto")).code == 0
    assert cli(*arguments(many_sizes, tmp_path / "said", "--batch-size", 16)).code == 0
    assert device.trials == []
    assert run_record(tmp_path / "auto")["batches"] == {"size": 16, "count": 1}
    assert run_record(tmp_path / "auto")["usage"] is None
    assert files(tmp_path / "auto")[0] == files(tmp_path / "said")[0]


@pytest.mark.usefixtures("as_on_a_gpu")
def test_a_failing_trial_leaves_the_default_size(
    cli: Cli, many_sizes: Path, tmp_path: Path, device: Device
) -> None:
    device.broken["9"] = ValueError("I do not like it")
    assert cli(*arguments(many_sizes, tmp_path / "out")).code == 0
    assert run_record(tmp_path / "out")["batches"]["size"] == 16
    reasons = [row["unscored"] for row in read_lines(tmp_path / "out/scenes-small/judgements.jsonl")]
    assert [i for i, reason in enumerate(reasons) if reason] == [9]
    assert "ValueError: I do not like it" in reasons[9]


def test_a_batch_too_large_is_answered_in_parts(
    cli: Cli, many_sizes: Path, tmp_path: Path, device: Device
) -> None:
    """The answers stay the same, because each request has its own seed. The split is counted."""
    assert cli(*arguments(many_sizes, tmp_path / "room", "--batch-size", 5)).code == 0
    device.room = 3
    assert cli(*arguments(many_sizes, tmp_path / "tight", "--batch-size", 5)).code == 0
    assert run_record(tmp_path / "tight")["usage"] == {"oom_splits": 2}
    assert files(tmp_path / "tight")[0] == files(tmp_path / "room")[0]


def test_a_request_that_does_not_fit_alone_is_asked_again_by_the_next_session(
    cli: Cli, many_sizes: Path, tmp_path: Path, device: Device
) -> None:
    out = tmp_path / "out"
    device.broken["4"] = FULL
    assert cli(*arguments(many_sizes, out, "--batch-size", 5)).code == 0
    rows = read_lines(out / "scenes-small/responses.jsonl")
    assert [row["error"] for row in rows] == [OUT_OF_MEMORY if i == 4 else None for i in range(SAMPLES)]
    assert run_record(out)["usage"] == {"oom_splits": 2, "oom_alone": 1}
    device.broken, device.batches = {}, []
    assert cli(*arguments(many_sizes, out, "--batch-size", 5)).code == 0
    assert device.batches == [["4"]]
    assert cli(*arguments(many_sizes, tmp_path / "never", "--batch-size", 5)).code == 0
    assert files(out) == files(tmp_path / "never"), "healed"


def test_one_bad_request_does_not_affect_its_batch(
    cli: Cli, many_sizes: Path, tmp_path: Path, device: Device
) -> None:
    device.broken["7"] = IndexError("index 4096 is out of bounds")
    assert cli(*arguments(many_sizes, tmp_path / "out", "--batch-size", 5)).code == 0
    rows = read_lines(tmp_path / "out/scenes-small/responses.jsonl")
    expected = [None] * SAMPLES
    expected[7] = "IndexError: index 4096 is out of bounds"
    assert [row["error"] for row in rows] == expected
    assert run_record(tmp_path / "out")["usage"] == {"batches_taken_apart": 1}
    scores = json.loads((tmp_path / "out/scenes-small/scores.json").read_text())
    assert (scores["n"]["scored"], scores["n"]["unscored"]) == (9, 1)


def test_a_model_that_fails_at_everything_is_a_mistake(
    cli: Cli, many_sizes: Path, tmp_path: Path, device: Device
) -> None:
    """The run ends with one line, without unscored samples, and writes nothing that would stay after the fix."""
    out = tmp_path / "out"
    device.broken = {str(i): TypeError(f"got {i} arguments") for i in range(SAMPLES)}
    result = cli(*arguments(many_sizes, out, "--batch-size", 5))
    assert result.code == 2
    assert result.err.count("\n") == 2, "one line, after that of the progress"
    assert (
        "'scenes-small': fails at every request of the first batch (5): TypeError: got 0 arguments"
        in result.err
    )
    assert not (out / "scenes-small/responses.jsonl").exists()
    device.broken = {}
    assert cli(*arguments(many_sizes, out, "--batch-size", 5)).code == 0


def test_a_first_batch_that_fails_for_different_reasons_is_accepted(
    cli: Cli, many_sizes: Path, tmp_path: Path, device: Device
) -> None:
    device.broken = {"0": TypeError("no"), "1": ValueError("no")}
    assert cli(*arguments(many_sizes, tmp_path / "out", "--batch-size", 2)).code == 0


def test_a_lost_device_ends_the_run_and_it_can_be_resumed(
    cli: Cli, many_sizes: Path, tmp_path: Path, device: Device
) -> None:
    out = tmp_path / "out"
    lost = RuntimeError("CUDA error: device-side assert triggered")
    device.broken["7"] = lost
    with pytest.raises(RuntimeError, match="device-side assert"):
        cli(*arguments(many_sizes, out, "--batch-size", 5))
    assert run_record(out)["status"] == "error"
    assert len(read_lines(out / "scenes-small/responses.jsonl")) == 5
    device.broken = {}
    assert cli(*arguments(many_sizes, out, "--batch-size", 5)).code == 0
    assert cli(*arguments(many_sizes, tmp_path / "never", "--batch-size", 5)).code == 0
    assert files(out) == files(tmp_path / "never")


@pytest.mark.parametrize("size", ["0", "-3", "many", "1.5"])
def test_wrong_sizes(cli: Cli, many_sizes: Path, tmp_path: Path, size: str) -> None:
    result = cli(*arguments(many_sizes, tmp_path / "out", f"--batch-size={size}"))
    assert result.code == 2
    assert (
        result.err
        == f'error: --batch-size: must be auto or a whole number from 1 to 10000000, found "{size}"\n'
    )
