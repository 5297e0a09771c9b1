"""Whether the objects and pictures of a run are those of the dataset that it names."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby

from pydantic import ValidationError

from eidolon.benchmark.store.files import QUESTIONS, RESPONSES, SAMPLES
from eidolon.benchmark.store.record import SampleRow
from eidolon.benchmark.tasks.score_files.responses_file import looks, references_text, truth_text
from eidolon.benchmark.verify.check.findings import DifferenceError, UncheckableError
from eidolon.benchmark.verify.check.folder import CheckedFolder, is_hash
from eidolon.benchmark.verify.check.judging import make_again
from eidolon.scorers.core.input_files import excerpt
from eidolon.scorers.core.signature import hashed
from eidolon.scorers.core.types import Response

_SCENE = re.compile(r"scenes-(\d{1,10})-(\d{1,9})")


@dataclass(frozen=True, slots=True)
class NamedDataset:
    """A dataset that the user has here, to compare with."""

    name: str
    options: Mapping[str, str]


def check_truth(folder: CheckedFolder, given: NamedDataset | None) -> str:
    """The samples' objects and pictures are the dataset's."""
    settings = folder.settings
    if folder.kind == "probe":
        _check_questions(folder)
    if folder.kind not in ("describe", "probe"):
        raise UncheckableError("the truth came from files that the folder does not hold")
    if settings.run is None:
        return _check_file_hash(folder)
    if given is not None:
        return _compare_with(folder, given)
    if settings.run.dataset == "scenes":
        return _draw_again(folder)
    rows = [(row.sample_id, row) for row in folder.lines(SAMPLES, SampleRow)]
    if folder.kind == "describe" and _dataset_hash(row for _, row in rows) == settings.inputs.dataset:
        return (
            f"{SAMPLES} has the hash of {excerpt(settings.run.dataset)}; --dataset compares with one you have"
        )
    raise UncheckableError(
        f"{excerpt(settings.run.dataset)} is not drawn by a program; name it here with --dataset, and -D"
    )


def _check_questions(folder: CheckedFolder) -> None:
    wanted = folder.settings.task_input("questions", str)
    content = (folder.path / QUESTIONS).read_bytes() if folder.has(QUESTIONS) else b""
    if hashlib.sha256(content).hexdigest() != wanted:
        raise DifferenceError(f"{QUESTIONS} does not have the hash in run.json: config.inputs.task.questions")


def _check_file_hash(folder: CheckedFolder) -> str:
    """Compare the truth in `samples.jsonl` with the hash of what it was read from."""
    rows = folder.lines(SAMPLES, SampleRow)
    responses = folder.lines(RESPONSES, Response)
    known = {row.image_id: frozenset(row.objects) for row in rows}
    references = {row.image_id: row.references for row in rows if row.references}
    truth = {response.image_id: known[response.image_id] for response in responses}
    recorded = folder.settings.inputs.truth or ""
    found = hashed(recorded.rpartition("#")[0], truth_text(truth) + references_text(references))
    if found != recorded:
        raise DifferenceError(
            f"{SAMPLES} has the hash {found}, run.json: config.inputs.truth is {excerpt(recorded)}"
        )
    told = {"areas": folder.settings.inputs.areas, "sources": folder.settings.inputs.sources}
    here = looks({row.image_id: row.areas for row in rows}, {row.image_id: row.sources for row in rows})
    for part, value in told.items():
        if here.get(part) != value:
            raise DifferenceError(
                f"{SAMPLES} has {part} with the hash {here.get(part)}, run.json: config.inputs.{part} is "
                f"{excerpt(value)}"
            )
    return f"{SAMPLES} has the hash of {excerpt(recorded)}; whether that is true takes the file"


def _draw_again(folder: CheckedFolder) -> str:
    """Draw the scenes of the run from seed and dials."""
    from eidolon.benchmark.scenes.dataset import row as draw
    from eidolon.benchmark.scenes.scene import Dials, make_scene

    settings = folder.settings
    assert settings.run is not None
    try:
        dials = Dials.model_validate(settings.run.dataset_options)
    except ValidationError as error:
        raise DifferenceError(
            f"run.json: config.settings.dataset_options: {error.errors()[0]['msg']}"
        ) from error
    same_pillow = _pillow(folder) is None
    hashes: list[tuple[SampleRow, str]] = []
    images = 0
    for _, of_image in groupby(folder.lines(SAMPLES, SampleRow), key=lambda row: row.image_id):
        rows = list(of_image)
        first = rows[0]
        named = _SCENE.fullmatch(str(first.image_id))
        if named is None or int(named[1]) != settings.seed:
            raise DifferenceError(
                f"image {excerpt(first.image_id)} is none of Scenes with seed {settings.seed}"
            )
        scene = make_scene(int(named[1]), int(named[2]), dials)
        for row in rows:
            if row.objects != scene.objects:
                raise DifferenceError(
                    f"{SAMPLES}: sample {excerpt(row.sample_id)} has the objects {excerpt(row.objects)}, the scene "
                    f"{excerpt(scene.objects)}"
                )
        if same_pillow:
            digest = hashlib.sha256(draw(scene)["image"]["bytes"]).hexdigest()
            if any(row.image_sha256 != digest for row in rows):
                raise DifferenceError(
                    f"{SAMPLES}: sample {excerpt(first.sample_id)} has another picture than the scene"
                )
            hashes.append((first, digest))
        images += 1
    if same_pillow and folder.kind == "describe" and _dataset_hash(r for r, _ in hashes) != _recorded(folder):
        raise DifferenceError("the scenes drawn here are others than config.inputs.dataset says")
    what = "objects and pictures" if same_pillow else f"objects ({_pillow(folder)})"
    return f"{what} of {images} scenes, drawn again"


def _compare_with(folder: CheckedFolder, given: NamedDataset) -> str:
    """Compare with a dataset that the user names."""
    from eidolon.benchmark.data.categories import judged_objects
    from eidolon.benchmark.data.datasets import load_dataset
    from eidolon.benchmark.data.ground_truth import join_references

    settings = folder.settings
    limit = settings.chosen.limit if given.name.partition("/")[0] == "scenes" else None
    source = load_dataset(given.name, limit=limit, seed=settings.seed, options=given.options)
    try:
        judge = make_again(folder, None) if folder.kind == "describe" else None
    except UncheckableError:
        judge = None
    samples = source.samples if judge is None else join_references(source.samples, judge)
    known = {str(s.image_id) if folder.kind == "probe" else s.sample_id: s for s in samples}
    plain = judge is not None or folder.kind == "probe"
    for row in folder.lines(SAMPLES, SampleRow):
        sample = known.get(str(row.image_id) if folder.kind == "probe" else row.sample_id)
        if sample is None:
            raise DifferenceError(f"--dataset {given.name} has no sample {excerpt(row.sample_id)}")
        if row.image_sha256 != sample.image_sha256:
            raise DifferenceError(
                f"{SAMPLES}: sample {excerpt(row.sample_id)} has another picture in {given.name}"
            )
        objects = sample.objects if judge is None else judged_objects(sample.objects, judge, given.name)
        if plain and row.objects != objects:
            raise DifferenceError(
                f"{SAMPLES}: sample {excerpt(row.sample_id)} has the objects {excerpt(row.objects)}, {given.name} "
                f"{excerpt(objects)}"
            )
    what = "objects and pictures" if plain else "pictures (the objects take the judge)"
    return f"{what} of {len(folder.record.sample_ids)} samples as in {given.name}"


def _dataset_hash(rows: Iterator[SampleRow]) -> str:
    """Return the hash that `SampleSource` has where the judge takes every object as it is."""
    digest = hashlib.sha256()
    for row in rows:
        line = [row.sample_id, row.image_id, row.objects, row.image_sha256]
        digest.update(json.dumps(line).encode() + b"\n")
    return digest.hexdigest()


def _recorded(folder: CheckedFolder) -> str | None:
    found = folder.settings.inputs.dataset
    return found if is_hash(found) else None


def _pillow(folder: CheckedFolder) -> str | None:
    """Return why a picture's file cannot be written here to the byte; its pixels are not recorded."""
    from eidolon.models.base.identity import versions

    there, here = folder.record.provenance.packages.get("pillow"), versions(("pillow",)).get("pillow")
    return None if there == here else f"the pictures' files take Pillow {there}, here is {here}"
