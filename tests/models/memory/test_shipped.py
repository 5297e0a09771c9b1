"""The shipped checkpoints of the memory family: size, shared vision side, model cards and recipes."""

import json

import pytest
from safetensors.torch import load_file

from eidolon.benchmark.cli import invoke
from eidolon.benchmark.scenes.memory_training import VARIANTS, MemoryRecipe, memory_recipe
from eidolon.benchmark.scenes.scene import Dials, make_scene, render
from eidolon.models.backends.registry import load_model, resolve
from eidolon.models.base.checkpoint_files import INDEX
from eidolon.models.base.model import Decoding, Request
from eidolon.models.base.shipped import EYE, MEMORY_CHECKPOINTS, memory_models
from eidolon.models.memory.sharing import TEXT, VISION
from eidolon.scorers.core.errors import UserError

SHIPPED = memory_models()
MOST_BYTES = 12_000_000


def test_they_are_variants_and_small_together() -> None:
    assert SHIPPED.keys() == VARIANTS.keys()
    assert sum(path.stat().st_size for path in MEMORY_CHECKPOINTS.rglob("*.safetensors")) <= MOST_BYTES


@pytest.mark.parametrize("variant", SHIPPED)
def test_each_is_made_by_the_studys_recipe_with_the_shared_eye(variant: str) -> None:
    folder = SHIPPED[variant]
    recipe = MemoryRecipe.model_validate_json((folder / "recipe.json").read_text())
    training = recipe.training
    assert recipe == memory_recipe(recipe.architecture.memory, training.seed)
    config = json.loads((folder / "config.json").read_text())["text_config"]
    assert config["layout"] == VARIANTS[variant]
    assert "eidolon train recipe.json" in (folder / "README.md").read_text()
    files = json.loads((folder / INDEX).read_text())["weight_map"]
    seeing = load_file(MEMORY_CHECKPOINTS / EYE / VISION).keys()
    assert len(seeing) > 10
    assert {name for name, file in files.items() if file == f"../{EYE}/{VISION}"} == seeing
    assert {name for name, file in files.items() if file == TEXT} == load_file(folder / TEXT).keys()


@pytest.mark.parametrize("variant", SHIPPED)
def test_each_describes(variant: str) -> None:
    model = load_model(f"memory/{variant}")
    scenes = [make_scene(0, index, Dials()) for index in range(2)]
    requests = [
        Request(str(s.index), s.index, render(s), "Describe this image in detail.", decoding=Decoding(60))
        for s in scenes
    ]
    first, second = model.generate(requests)
    assert first.error is None
    assert len((first.response or "").split()) > 15
    assert first.response != second.response


def test_unknown_variants_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError, match=r"no such variant of the memory family.*gdn"):
        resolve("memory/gdm")
    assert invoke(["run", "--model", "memory/nothing", "--dry-run"]) == 2
    assert "--model 'memory/nothing': no such variant" in capsys.readouterr().err
