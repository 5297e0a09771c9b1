"""The files of each published benchmark: where its questions stand, and what names the question of an answer."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from eidolon.benchmark.data.image_rows import read_strings
from eidolon.benchmark.data.json_rows import (
    id_field,
    read_json_object,
    read_rows,
    required,
    text_field,
    yes_no_field,
)
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.input_files import excerpt, read_bytes
from eidolon.scorers.metrics.benchmarks.dash_b import PROMPT, DashB
from eidolon.scorers.metrics.benchmarks.hallusionbench import VERDICTS, HallusionBench
from eidolon.scorers.metrics.benchmarks.humblebench import LETTERS, TYPES, HumbleBench
from eidolon.scorers.metrics.benchmarks.mmhal import TYPES as MMHAL_TYPES
from eidolon.scorers.metrics.benchmarks.mmhal import MmHal
from eidolon.scorers.metrics.benchmarks.question import BenchmarkQuestion, QuestionBenchmark
from eidolon.scorers.metrics.benchmarks.repope import RePope

Questions = dict[str, BenchmarkQuestion]
_DASH_FILES = {"no": "dash_benchmark_neg.json", "yes": "dash_benchmark_pos.json"}
_HALLUSION_KEY = ("category", "subcategory", "set_id", "figure_id", "question_id")


@dataclass(frozen=True, slots=True)
class Layout:
    """How a benchmark publishes its questions and the answers to them."""

    benchmark: Callable[[str], QuestionBenchmark]
    """Makes the benchmark for a mode."""
    read: Callable[[Path], tuple[bytes, Questions]]
    """Returns what the hash of the questions covers, and the questions by id in order."""
    key: tuple[str, ...]
    """Fields of an answer that name its question together; their values, joined by `/`, are the id."""
    data: str
    """Where the questions and images are."""
    licence: str
    file: str | None = None
    """The file of the questions in the benchmark's folder; None where there are several or the folder is read."""
    verdict: str | None = None
    """The field with the verdict of the released program's judge, …"""
    verdicts: Mapping[str, str] = field(default_factory=lambda: VERDICTS)
    """… and what its values mean."""
    rated: bool = False
    """Whether a language model rates the answers. Else a rule reads them."""
    images: str = ""
    """The folder of the images in the benchmark's folder."""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """Defaults of settings of `eidolon run` where the benchmark has others than the task."""


def _repope(path: Path) -> tuple[bytes, Questions]:
    content = read_bytes(path)
    found: Questions = {}
    for place, row in read_rows(content, path, "questions", ("question_id", "image", "text", "label")):
        image = text_field(row, "image", place)
        truth = "yes" if yes_no_field(row, "label", place) else "no"
        question = BenchmarkQuestion(
            str(id_field(row, "question_id", place)), image, text_field(row, "text", place), truth, {}, image
        )
        _add(found, question, place)
    return content, found


def _dash_b(path: Path) -> tuple[bytes, Questions]:
    """Read the folder `images` of the repository, or the rows of the Hub's table as JSON or CSV."""
    if path.is_dir():
        return _dash_folder(path)
    content = read_bytes(path)
    found: Questions = {}
    for place, row in read_rows(content, path, "questions", ("question_id", "object", "question", "answer")):
        truth = "yes" if yes_no_field(row, "answer", place) else "no"
        number = str(id_field(row, "question_id", place))
        image = str(id_field(row, "img_id", place)) if "img_id" in row else number
        groups = {"object": text_field(row, "object", place)}
        question = BenchmarkQuestion(number, image, text_field(row, "question", place), truth, groups, image)
        _add(found, question, place)
    return content, found


def _dash_folder(folder: Path) -> tuple[bytes, Questions]:
    contents: list[bytes] = []
    found: Questions = {}
    for truth, name in _DASH_FILES.items():
        path = folder / name
        contents.append(read_bytes(path))
        for source, by_object in read_json_object(contents[-1], path).items():
            for thing, files in _object(by_object, path, source).items():
                if not isinstance(files, list) or not all(isinstance(file, str) for file in files):
                    raise UserError(
                        f"{path}: {source}.{thing} must be a list of file names, found {excerpt(files)}"
                    )
                for file in files:
                    image = f"{'neg' if truth == 'no' else 'pos'}/{source}/{thing}/{file}"
                    groups = {"object": thing, "source": source}
                    number = f"{truth}/{thing}/{file}"
                    question = BenchmarkQuestion(number, image, PROMPT.format(thing), truth, groups, image)
                    _add(found, question, f"{path}: {source}.{thing}")
    return b"\n".join(contents), found


def _hallusionbench(path: Path) -> tuple[bytes, Questions]:
    content = read_bytes(path)
    found: Questions = {}
    for place, row in read_rows(content, path, "questions", (*_HALLUSION_KEY, "gt_answer")):
        parts = {name: str(id_field(row, name, place)) for name in (*_HALLUSION_KEY, "visual_input")}
        truth = str(id_field(row, "gt_answer", place))
        if truth not in ("0", "1"):
            raise UserError(f"{place}: field 'gt_answer' must be 0 or 1, found {excerpt(truth)}")
        if parts["category"] not in ("VD", "VS") or parts["visual_input"] not in ("0", "1", "2"):
            raise UserError(
                f"{place}: fields 'category' and 'visual_input' must be VD or VS, and 0, 1 or 2, found "
                f"{excerpt(parts['category'])} and {excerpt(parts['visual_input'])}"
            )
        question = BenchmarkQuestion(
            "/".join(parts[name] for name in _HALLUSION_KEY),
            "/".join(parts[name] for name in _HALLUSION_KEY[:3]),
            text_field(row, "question", place),
            "yes" if truth == "1" else "no",
            parts,
            row["filename"] if isinstance(row.get("filename"), str) else None,
        )
        _add(found, question, place)
    return content, found


def _humblebench(path: Path) -> tuple[bytes, Questions]:
    content = read_bytes(path)
    found: Questions = {}
    for place, row in read_rows(content, path, "questions", ("question_id", "question", "label", "type")):
        label, kind = text_field(row, "label", place), text_field(row, "type", place).lower()
        if label not in LETTERS:
            raise UserError(f"{place}: field 'label' must be one of A to E, found {excerpt(label)}")
        if kind not in TYPES:
            raise UserError(f"{place}: field 'type' must be one of {', '.join(TYPES)}, found {excerpt(kind)}")
        image = row.get("file_name", row.get("image"))
        if isinstance(image, dict):
            image = image.get("path")
        number = str(id_field(row, "question_id", place))
        question = BenchmarkQuestion(
            number,
            image if isinstance(image, str) else number,
            text_field(row, "question", place),
            label,
            {"type": kind},
            image if isinstance(image, str) else None,
        )
        _add(found, question, place)
    return content, found


def _mmhal(path: Path) -> tuple[bytes, Questions]:
    content = read_bytes(path)
    found: Questions = {}
    rows = read_rows(content, path, "questions", ("image_content", "question", "gt_answer"))
    for number, (place, row) in enumerate(rows):
        kind = row.get("question_type", MMHAL_TYPES[number % len(MMHAL_TYPES)])
        if kind not in MMHAL_TYPES:
            raise UserError(
                f"{place}: field 'question_type' must be one of {', '.join(MMHAL_TYPES)}, found {excerpt(kind)}"
            )
        source = row.get("image_src", row.get("image_path"))
        image = PurePosixPath(urlsplit(source).path).name if isinstance(source, str) else None
        cluster = id_field(row, "image_id", place) if "image_id" in row else image
        question = BenchmarkQuestion(
            str(number),
            str(number) if cluster is None else cluster,
            text_field(row, "question", place),
            text_field(row, "gt_answer", place),
            {"type": kind},
            image,
            tuple(read_strings(required(row, "image_content", place), "image_content", place)),
        )
        _add(found, question, place)
    return content, found


def _object(value: Any, path: Path, name: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise UserError(f"{path}: {name} must be an object, found {excerpt(value)}")
    return value


def _add(found: Questions, question: BenchmarkQuestion, place: str) -> None:
    if question.question_id in found:
        raise UserError(f"{place}: question {excerpt(question.question_id)} is there already")
    found[question.question_id] = question


LAYOUTS: Mapping[str, Layout] = {
    "repope": Layout(
        RePope,
        _repope,
        ("question_id",),
        "github.com/YanNeu/RePOPE, folder annotations; images of COCO val2014",
        "the repository names none; COCO's images: their own",
    ),
    "dash_b": Layout(
        DashB,
        _dash_b,
        ("gt", "object_name", "img_id"),
        "Hugging Face YanNeu/DASH-B, or github.com/YanNeu/DASH-B, folder images",
        "the repository names none; images of ReLAION: their own",
    ),
    "hallusionbench": Layout(
        HallusionBench,
        _hallusionbench,
        _HALLUSION_KEY,
        "github.com/tianyi-lab/HallusionBench, HallusionBench.json and hallusion_bench.zip",
        "BSD 3-Clause",
        file="HallusionBench.json",
        verdict="gpt4v_output_gpt_check",
    ),
    "humblebench": Layout(
        HumbleBench,
        _humblebench,
        ("question_id",),
        "Hugging Face maifoundations/HumbleBench",
        "MIT; images of PSG (COCO and Visual Genome): their own",
        file="metadata.jsonl",
    ),
    "mmhal": Layout(
        MmHal,
        _mmhal,
        ("question_id",),
        "Hugging Face Shengcao1006/MMHal-Bench, response_template.json and images",
        "Apache-2.0; images of Open Images: their own",
        file="response_template.json",
        rated=True,
        images="images",
        defaults={"max_new_tokens": 512},
    ),
}
"""By the name of `--metric`."""
