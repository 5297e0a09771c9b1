"""Checkpoints with code: they are refused in one line or loaded without it, and the code never runs."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from eidolon.models.backends.registry import load_model, resolve
from eidolon.models.backends.text_models import language_models
from eidolon.models.base.shipped import shipped_judges, shipped_models
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.judges.embeddings import SentenceEmbedder

pytestmark = pytest.mark.faults


class Payload:
    """Creates a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    """The file that exists if the code ran."""
    return tmp_path / "mark"


@pytest.fixture
def code(mark: Path) -> str:
    """A module that creates the file, and has any attribute."""
    return (
        f"import os\nos.makedirs({str(mark)!r}, exist_ok=True)\n"
        "def generate(*a, **k): return a\nclass Mine:\n    pass\nclass MineConfig:\n    pass\n"
    )


def edit(path: Path, **fields: object) -> None:
    content = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**content, **fields}))


@pytest.fixture(params=["image-text", "text"])
def checkpoint(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Callable[[], None]]:
    """A copy of a shipped checkpoint, and a function that loads and uses it."""
    folder = tmp_path / "checkpoint"
    if request.param == "image-text":
        shutil.copytree(shipped_models()["scenes-small"], folder)
        return folder, lambda: _use_image_model(folder)
    shutil.copytree(shipped_judges()["judge-small"], folder)
    return folder, lambda: _use_language_model(folder)


def _use_image_model(folder: Path) -> None:
    load_model(resolve(f"transformers/{folder}"))


def _use_language_model(folder: Path) -> None:
    (model,) = language_models(f"transformers/{folder}", {})
    model.reply(["Is there a dog?"], max_new_tokens=2)


def refusal(use: Callable[[], None]) -> str:
    """Return why a checkpoint was refused, an empty text if it was not."""
    try:
        use()
    except UserError as error:
        return str(error)
    return ""


def write_pickle(path: Path, mark: Path) -> None:
    import torch

    torch.save({"weight": Payload(mark)}, path)


def test_a_pickle_alone_is_refused(checkpoint: tuple[Path, Callable[[], None]], mark: Path) -> None:
    folder, use = checkpoint
    (folder / "model.safetensors").unlink()
    write_pickle(folder / "pytorch_model.bin", mark)
    with pytest.raises(
        UserError, match=r"pickle \(pytorch_model\.bin\), which can run any code; convert"
    ) as error:
        use()
    assert "\n" not in str(error.value)
    assert not mark.exists()


def test_a_pickle_beside_safetensors_is_not_read(
    checkpoint: tuple[Path, Callable[[], None]], mark: Path
) -> None:
    folder, use = checkpoint
    for name in ("pytorch_model.bin", "adapter_model.bin", "training_args.bin"):
        write_pickle(folder / name, mark)
    use()
    assert not mark.exists()


def test_the_pickle_runs_if_it_is_read(tmp_path: Path, mark: Path) -> None:
    """Otherwise the other tests could not fail."""
    import torch

    write_pickle(tmp_path / "x.bin", mark)
    torch.load(tmp_path / "x.bin", weights_only=False)
    assert mark.exists()


AUTO = {
    "AutoConfig": "mine.MineConfig", "AutoModel": "mine.Mine", "AutoProcessor": "mine.Mine",
    "AutoModelForImageTextToText": "mine.Mine", "AutoModelForSeq2SeqLM": "mine.Mine",
    "AutoModelForCausalLM": "mine.Mine", "AutoImageProcessor": "mine.Mine",
}  # fmt: skip


@pytest.mark.parametrize("where", ["config.json", "processor_config.json", "tokenizer_config.json"])
def test_code_of_a_checkpoint_never_runs(
    checkpoint: tuple[Path, Callable[[], None]], mark: Path, code: str, where: str
) -> None:
    """transformers' own class is used if there is one; otherwise the checkpoint is refused."""
    folder, use = checkpoint
    (folder / "mine.py").write_text(code)
    edit(folder / where, auto_map={**AUTO, "AutoTokenizer": ["mine.Mine", "mine.Mine"]})
    assert "\n" not in refusal(use), "one line"
    assert not mark.exists()
    edit(folder / "config.json", model_type="mine", architectures=["Mine"], auto_map=AUTO)
    with pytest.raises(UserError) as refused:
        use()
    assert "\n" not in str(refused.value)
    assert not mark.exists()


def test_a_generate_function_of_a_checkpoint_never_runs(
    checkpoint: tuple[Path, Callable[[], None]], mark: Path, code: str
) -> None:
    folder, use = checkpoint
    (folder / "custom_generate").mkdir()
    (folder / "custom_generate" / "generate.py").write_text(code)
    assert "\n" not in refusal(use)
    assert not mark.exists()


def test_there_is_no_question_on_a_terminal(tmp_path: Path, mark: Path, code: str) -> None:
    """Without trust_remote_code, transformers asks `Do you wish to run the custom code? [y/N]`."""
    folder = tmp_path / "checkpoint"
    shutil.copytree(shipped_judges()["judge-small"], folder)
    (folder / "mine.py").write_text(code)
    edit(folder / "config.json", model_type="mine", architectures=["Mine"], auto_map=AUTO)
    program = (
        "from eidolon.models.backends.text_models import language_models\n"
        f"(m,) = language_models('transformers/{folder}', {{}})\nm.reply(['x'], max_new_tokens=1)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], input="y\n" * 9, capture_output=True, text=True, check=False
    )
    assert "UserError" in done.stderr
    assert not mark.exists()


@pytest.fixture
def sentences(tmp_path: Path) -> Path:
    """The folder of a sentence-transformers model."""
    folder = tmp_path / "sentences"
    (folder / "0_Mine").mkdir(parents=True)
    return folder


@pytest.mark.parametrize("kind", ["mine.Mine", "torch.nn.Linear", "os.system"])
def test_code_of_an_embedding_model_never_runs(sentences: Path, mark: Path, code: str, kind: str) -> None:
    (sentences / "mine.py").write_text(code)
    module = {"idx": 0, "name": "0", "path": "0_Mine", "type": kind}
    (sentences / "modules.json").write_text(json.dumps([module]))
    with pytest.raises(UserError, match="runs its own code, which is not allowed"):
        SentenceEmbedder(str(sentences)).embed(["dog"])
    assert not mark.exists()


def test_a_pickle_of_an_embedding_model_is_refused(sentences: Path, mark: Path) -> None:
    module = {"idx": 0, "name": "0", "path": "0_Mine", "type": "sentence_transformers.models.Dense"}
    (sentences / "modules.json").write_text(json.dumps([module]))
    write_pickle(sentences / "0_Mine" / "pytorch_model.bin", mark)
    with pytest.raises(UserError, match=r"pickle \(0_Mine/pytorch_model\.bin\)"):
        SentenceEmbedder(str(sentences)).embed(["dog"])
    assert not mark.exists()


@pytest.mark.parametrize("content", ["", "{", '{"a": 1}', '["x"]', "[{}]"])
def test_a_broken_embedding_model_is_the_users(sentences: Path, content: str) -> None:
    (sentences / "modules.json").write_text(content)
    with pytest.raises(UserError, match=r"modules\.json cannot be read"):
        SentenceEmbedder(str(sentences)).embed(["dog"])


def test_nothing_of_ours_unpickles() -> None:
    """Weights are read with safetensors, and every loader of transformers gets trust_remote_code."""
    root = Path(__file__).parents[3]
    for package in ("benchmark", "models", "scorers"):
        for path in (root / package).rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            for word in ("import pickle", "torch.load(", "allow_pickle=True", "weights_only=False", "joblib"):
                assert word not in text, f"{path}: {word}"
            if "from_pretrained(" in text:
                assert "trust_remote_code" in text, path
