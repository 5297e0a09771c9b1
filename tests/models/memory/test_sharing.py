"""Checkpoints with a shared vision file answer as before, and their identity changes with that file."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForImageTextToText

from eidolon.benchmark.cli import invoke
from eidolon.benchmark.study.memory.checkpoints import find_checkpoints
from eidolon.models.backends.registry import content_hash, resolve
from eidolon.models.base.backend import FileDigest
from eidolon.models.base.checkpoint_files import INDEX, checkpoint_files, file_sha256
from eidolon.models.base.identity import checkpoint_identity
from eidolon.models.memory.sharing import TEXT, VISION, WEIGHTS, is_shared, share_eye, split_eye
from tests.models.memory.tiny import save_eye, save_memory


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with an eye and a model, each with all of its weights."""
    folder = tmp_path_factory.mktemp("alone")
    save_memory(folder / "gdn", save_eye(folder / "eye"), "GDN")
    return folder


@pytest.fixture
def shared(alone: Path, tmp_path: Path) -> Path:
    split_eye(alone / "eye", tmp_path / "eye")
    share_eye(alone / "gdn", tmp_path / "gdn", tmp_path / "eye")
    return tmp_path


@pytest.mark.parametrize("name", ["eye", "gdn"])
def test_every_tensor_is_stored_once(alone: Path, shared: Path, name: str) -> None:
    before, after = (
        AutoModelForImageTextToText.from_pretrained(folder / name).state_dict() for folder in (alone, shared)
    )
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert not (shared / name / WEIGHTS).exists()
    assert not any(is_shared(key) for key in load_file(shared / name / TEXT))
    assert all(is_shared(key) for key in load_file(shared / "eye" / VISION))


def test_the_study_sees_the_same_model(alone: Path, shared: Path) -> None:
    (one,), (other,) = (find_checkpoints([str(folder / "gdn")]) for folder in (alone, shared))
    assert one.digest == other.digest


def test_another_vision_side_is_another_model(shared: Path) -> None:
    def identities() -> tuple[object, ...]:
        digest: FileDigest = file_sha256
        reference = resolve(f"transformers/{shared / 'gdn'}")
        return (
            content_hash(reference),
            json.dumps(checkpoint_identity(str(shared / "gdn"), "main", digest)),
            find_checkpoints([str(shared / "gdn")])[0].digest,
        )

    before = identities()
    tensors = load_file(shared / "eye" / VISION)
    next(iter(tensors.values())).add_(1)
    save_file(tensors, shared / "eye" / VISION, metadata={"format": "pt"})
    assert all(a != b for a, b in zip(before, identities(), strict=True))


def test_it_is_shared_only_if_it_is_equal(alone: Path, shared: Path, tmp_path: Path) -> None:
    tensors = load_file(shared / "eye" / VISION)
    next(iter(tensors.values())).add_(1)
    save_file(tensors, shared / "eye" / VISION, metadata={"format": "pt"})
    with pytest.raises(ValueError, match="vision side differs from that of"):
        share_eye(alone / "gdn", tmp_path / "new", shared / "eye")
    assert not (tmp_path / "new").exists()


def test_files_of_a_folder(tmp_path: Path) -> None:
    for name in ("config.json", "README.md", ".hidden", "deep/a.json"):
        (tmp_path / "here" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "here" / name).touch()
    (tmp_path / "there.safetensors").touch()
    for index, outside in (
        ({"weight_map": {"a": "../there.safetensors", "b": "../nowhere"}}, ["../there.safetensors"]),
        ({"weight_map": []}, []),
        ([], []),
    ):
        (tmp_path / "here" / INDEX).write_text(json.dumps(index))
        expected = sorted([*outside, "config.json", "deep/a.json", INDEX])
        assert list(checkpoint_files(tmp_path / "here")) == expected
    (tmp_path / "here" / INDEX).write_text("{")
    assert INDEX in checkpoint_files(tmp_path / "here")


def test_a_copy_without_the_eye_is_refused(
    shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(shared / "gdn", tmp_path / "far" / "gdn")
    assert invoke(["doctor", "--model", f"transformers/{tmp_path / 'far' / 'gdn'}"]) == 2
    message = capsys.readouterr().err
    assert f"../eye/{VISION}" in message
    assert message.count("\n") == 1
