"""What works without the packages of the extra `models`: interface, registry, recorded, custom and endpoint models."""

import subprocess
import sys
from pathlib import Path

import pytest

import eidolon.models

BLOCKER = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "transformers", "accelerate", "safetensors", "tokenizers", "vllm"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocker())
"""
NEED_TORCH = (
    "text_encoder",
    "text_odds",
    "text_prefixes",
    "transformers_inputs",
    "transformers_loading",
    "transformers_provenance",
)
"""Modules that only a model in this process imports."""


def run(program: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", BLOCKER + program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def modules(folder: str) -> list[str]:
    names = sorted(path.stem for path in (Path(eidolon.models.__file__).parent / folder).glob("*.py"))
    return [f"eidolon.models.{folder}.{name}" for name in names if name not in ("__init__", *NEED_TORCH)]


def test_modules_are_imported() -> None:
    names = [*modules("base"), *modules("backends"), "eidolon.models.generation.generated_text"]
    assert "eidolon.models.backends.transformers" in names
    assert len(names) > 20
    run(f"import importlib\nfor name in {names}: importlib.import_module(name)")


def test_models_answer(tmp_path: Path) -> None:
    (tmp_path / "responses.jsonl").write_text('{"image_id": 1, "response": "A cup."}\n')
    (tmp_path / "mine.py").write_text(
        "class Mine:\n    def generate(self, requests): return ['A dog.' for _ in requests]\n"
    )
    program = f"""
from PIL import Image
from eidolon.models.backends.registry import backend_traits, content_hash, load_model, resolve
from eidolon.models.base.model import Request

request = Request("1", 1, Image.new("RGB", (4, 4)), "Describe this image.")
for name in ("replay/{tmp_path}/responses.jsonl", "python/{tmp_path}/mine.py:Mine"):
    (response,) = load_model(name).generate([request])
    print(response.response, content_hash(resolve(name)) is not None)
print(backend_traits(resolve("openai/m@http://127.0.0.1:9/v1")).one_process is not None)
"""
    assert run(program).splitlines() == ["A cup. True", "A dog. True", "True"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            "load_model('scenes-small')",
            "needs the package torch; pip install 'eidolon-bench[models]'",
        ),
        (
            "identity(resolve('memory/gdn'), {}, str)",
            "needs the package torch; pip install 'eidolon-bench[models]'",
        ),
        ("load_model('vllm/scenes-small')", "needs the package vllm; pip install 'eidolon-bench[vllm]'"),
        (
            "language_models(None, {})[0].reply(['Hello'], max_new_tokens=1)",
            "needs the package torch; pip install 'eidolon-bench[models]'",
        ),
    ],
)
def test_a_missing_package_is_one_line(call: str, message: str) -> None:
    program = f"""
from eidolon.models.backends.registry import identity, load_model, resolve
from eidolon.models.backends.text_models import language_models
from eidolon.scorers.core.errors import UserError

try:
    {call}
except UserError as error:
    print(error)
"""
    (line,) = run(program).splitlines()
    assert line.endswith(message)


def test_a_name_is_resolved() -> None:
    program = """
from eidolon.models.backends.registry import backend_traits, content_hash, deciding_options, resolve

for name in ("scenes-small", "memory/gdn"):
    reference = resolve(name)
    traits = backend_traits(reference)
    assert traits.contrast and traits.white_box and traits.preferred_batch == 16, traits
    assert content_hash(reference)
    assert deciding_options(reference, {"dtype": "float32"}) == {"dtype": "float32"}
assert backend_traits(resolve("vllm/scenes-small")).preferred_batch == 256
"""
    run(program)
