"""The questions of published benchmarks with their images, for a model to answer."""

import hashlib
import json
import logging
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eidolon.benchmark.data.image_rows import ImageRows, image_path
from eidolon.benchmark.data.question_layouts import LAYOUTS, Questions
from eidolon.benchmark.data.readers.options import check_options, image_folder
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.input_files import user_path
from eidolon.scorers.metrics.benchmarks.question import BenchmarkQuestion

if TYPE_CHECKING:
    import datasets

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PublishedQuestions:
    """The questions of a benchmark that show an image, and where the images are."""

    questions: Questions
    path: Path
    images: Path
    left_out: int
    """Questions without an image."""

    def sha256(self) -> str:
        """Return a hash of the questions and their true answers."""
        lines = (json.dumps(_fields(question), sort_keys=True) for question in self.questions.values())
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def read_published(name: str, where: str, options: Mapping[str, str]) -> PublishedQuestions:
    """Return the questions of a benchmark.

    `where` is its folder, or the file of the questions. Images are below that folder, or below `-D images`.

    Raises:
        UserError: the files are not there or wrong, an option is unknown, or no question has an image.
    """
    layout = LAYOUTS[name]
    check_options(name, options, required={}, optional=("images",))
    if not where:
        raise UserError(
            f"--dataset {name}: write {name}/PATH, where PATH is {_wanted(name)}; data: {layout.data}"
        )
    path = user_path(where)
    if not path.exists():
        raise UserError(f"--dataset {name}/{where}: no such file or folder; PATH is {_wanted(name)}")
    if name == "dash_b" and (path / "images" / "dash_benchmark_neg.json").exists():
        path = path / "images"
    elif name != "dash_b" and path.is_dir():
        if layout.file is None or not (path / layout.file).exists():
            raise UserError(f"--dataset {name}/{where}: PATH must be {_wanted(name)}")
        path = path / layout.file
    _, found = layout.read(path)
    shown = {number: question for number, question in found.items() if question.image is not None}
    if not shown:
        raise UserError(f"{path}: no question names an image")
    folder = path if path.is_dir() else path.parent
    below = folder / layout.images
    images = image_folder(options["images"]) if "images" in options else below if below.is_dir() else folder
    return PublishedQuestions(shown, path, images, len(found) - len(shown))


def load_repope(where: str, limit: int | None, seed: int, options: Mapping[str, str]) -> "datasets.Dataset":
    """Read an annotation file of RePOPE, with COCO's val2014 images in the folder of `-D images`."""
    return _load("repope", where, limit, options)


def load_dash_b(where: str, limit: int | None, seed: int, options: Mapping[str, str]) -> "datasets.Dataset":
    """Read the folder of DASH-B with its two JSON files and the images below `neg` and `pos`."""
    return _load("dash_b", where, limit, options)


def load_hallusionbench(
    where: str, limit: int | None, seed: int, options: Mapping[str, str]
) -> "datasets.Dataset":
    """Read the folder of HallusionBench: `HallusionBench.json` and the unpacked `hallusion_bench`.

    Questions without a figure are left out, because a model of a run is always shown an image.
    """
    return _load("hallusionbench", where, limit, options)


def load_humblebench(
    where: str, limit: int | None, seed: int, options: Mapping[str, str]
) -> "datasets.Dataset":
    """Read the folder of HumbleBench: `metadata.jsonl` and the images that it names."""
    return _load("humblebench", where, limit, options)


def load_mmhal(where: str, limit: int | None, seed: int, options: Mapping[str, str]) -> "datasets.Dataset":
    """Read the folder of MMHal-Bench: `response_template.json`, and the images that its addresses end with."""
    return _load("mmhal", where, limit, options)


def _fields(question: BenchmarkQuestion) -> dict[str, Any]:
    """Return what the hash covers. Questions without contents keep the hash that they had before there were any."""
    fields = asdict(question)
    return fields if question.contents else {key: value for key, value in fields.items() if key != "contents"}


def _load(name: str, where: str, limit: int | None, options: Mapping[str, str]) -> "datasets.Dataset":
    published = read_published(name, where, options)
    if published.left_out:
        _log.warning("%s: %d questions without an image are left out", published.path, published.left_out)
    rows = ImageRows()
    for number, question in [*published.questions.items()][:limit]:
        place = f"{published.path}: question {number}"
        image = image_path(published.images, question.image, place)
        rows.add(place, question.cluster, image, [], sample_id=number)
    first = published.images / str(next(iter(published.questions.values())).image)
    if not any(os.path.isfile(path) for path in rows.files()):
        raise UserError(
            f"--dataset {name}/{where}: {first} is not there, nor any other image; name their folder by -D images"
        )
    return rows.dataset()


def _wanted(name: str) -> str:
    file = LAYOUTS[name].file
    if name == "dash_b":
        return "the folder with dash_benchmark_neg.json and dash_benchmark_pos.json"
    return f"the folder with {file}, or such a file" if file else "an annotation file"
