"""The contract of a dataset's loader: the built-in ones keep it, and a plug-in is one file and one entry point."""

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from eidolon.benchmark.data.datasets import is_generated, registry
from eidolon.benchmark.data.loaders import DatasetLoader
from tests.benchmark.conftest import Cli, read_lines

PLUGIN = '''
import datasets
from PIL import Image

from eidolon.scorers.core.errors import UserError


def load_squares(where, limit, seed, options):
    """Grey squares, each with a dog."""
    if options:
        raise UserError(f"-D {next(iter(options))}: squares takes no options")
    rows = [{"image_id": i, "image": Image.new("L", (8, 8), 9 * i), "objects": ["dog"]} for i in range(5)]
    features = datasets.Features(
        {
            "image_id": datasets.Value("int64"),
            "image": datasets.Image(),
            "objects": datasets.List(datasets.Value("string")),
        }
    )
    return datasets.Dataset.from_list(rows, features=features)
'''


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Install the plug-in above: one module, one entry point."""
    info = tmp_path / "site" / "squares-1.0.dist-info"
    info.mkdir(parents=True)
    (info.parent / "squares.py").write_text(PLUGIN)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: squares\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[eidolon.datasets]\nsquares = squares:load_squares\n")
    monkeypatch.syspath_prepend(info.parent)
    vars(registry).pop("_plugins", None)  # it was read before
    yield
    vars(registry).pop("_plugins")
    sys.modules.pop("squares", None)


@pytest.mark.usefixtures("plugin")
def test_a_plugin_runs_like_a_builtin_dataset(cli: Cli, replay_file: Path, tmp_path: Path) -> None:
    assert "Grey squares, each with a dog" in cli("list", "datasets").out
    command = ("run", "--model", f"replay/{replay_file}", "--dataset", "squares", "--resamples", 0)
    result = cli(*command, "--limit", 3, "--out", tmp_path / "out")
    assert result.code == 0, result.err
    (samples,) = (tmp_path / "out").glob("*/samples.jsonl")
    assert [(row["image_id"], row["objects"]) for row in read_lines(samples)] == [
        (0, ["dog"]),
        (1, ["dog"]),
        (2, ["dog"]),
    ]
    wrong = cli(*command, "-D", "side=3", "--out", tmp_path / "out2")
    assert (wrong.code, "-D side: squares takes no options" in wrong.err) == (2, True)


@pytest.mark.parametrize("name", registry.names())
def test_builtin_loaders_keep_the_contract(name: str) -> None:
    wanted = inspect.signature(DatasetLoader.__call__).parameters
    assert [*inspect.signature(registry.get(name)).parameters] == [*wanted][1:]
    assert registry.describe(name)


def test_scenes_are_generated_and_the_others_are_read() -> None:
    assert [name for name in registry.names() if is_generated(name)] == ["scenes", "signs"]
