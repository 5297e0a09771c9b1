"""Whether the objects and pictures of a run are those of the dataset that it names."""

import hashlib
import json
import re
from collections.abc import Iterable
from itertools import groupby

from pydantic import ValidationError

from eidolon.benchmark.store.files import SAMPLES
from eidolon.benchmark.store.record import SampleRow
from eidolon.benchmark.tasks.checking.checks import NamedDataset
from eidolon.benchmark.tasks.checking.problems import DifferenceError
from eidolon.benchmark.tasks.checking.run import CheckedRun, is_hash
from eidolon.scorers.core.input_files import excerpt
from eidolon.scorers.core.judge import Judge

_SCENE = re.compile(r"scenes-(\d{1,10})-(\d{1,9})")


def has_recorded_hash(run: CheckedRun, rows: Iterable[SampleRow]) -> bool:
    """Tell whether these samples have the hash of the run's dataset.

    They do where the judge takes every object as it is.
    """
    digest = hashlib.sha256()
    for row in rows:
        line: list[object] = [row.sample_id, row.image_id, row.objects, row.image_sha256]
        if row.unsure or row.labelled is not None:
            line.append([row.unsure, row.labelled])
        digest.update(json.dumps(line).encode() + b"\n")
    recorded = run.settings.inputs.dataset
    return is_hash(recorded) and digest.hexdigest() == recorded


def draw_again(run: CheckedRun, *, samples_are_images: bool) -> str:
    """Draw the scenes of the run from seed and dials.

    With `samples_are_images` every sample is one image of the dataset, whose hash is compared too.

    Raises:
        DifferenceError: a scene has other objects or another picture, or the run has other dials.
    """
    from eidolon.benchmark.scenes.dataset import row as draw
    from eidolon.benchmark.scenes.scene import Dials, make_scene

    settings = run.settings
    try:
        dials = Dials.model_validate(settings.of_a_model.dataset_options)
    except ValidationError as error:
        raise DifferenceError(
            f"run.json: config.settings.dataset_options: {error.errors()[0]['msg']}"
        ) from error
    other_pillow = _other_pillow(run)
    drawn: list[SampleRow] = []
    images = 0
    for _, of_image in groupby(run.lines(SAMPLES, SampleRow), key=lambda row: row.image_id):
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
        if other_pillow is None:
            digest = hashlib.sha256(draw(scene)["image"]["bytes"]).hexdigest()
            if any(row.image_sha256 != digest for row in rows):
                raise DifferenceError(
                    f"{SAMPLES}: sample {excerpt(first.sample_id)} has another picture than the scene"
                )
            drawn.append(first)
        images += 1
    if other_pillow is None and samples_are_images and not has_recorded_hash(run, drawn):
        raise DifferenceError("the scenes drawn here are others than config.inputs.dataset says")
    what = "objects and pictures" if other_pillow is None else f"objects ({other_pillow})"
    return f"{what} of {images} scenes, drawn again"


def compare_with(
    run: CheckedRun, given: NamedDataset, judge: Judge | None, *, samples_are_images: bool
) -> str:
    """Compare with a dataset that the user names.

    Without `samples_are_images` a sample is one of several about an image, and its objects are the dataset's.
    Otherwise they are those that the judge reports; without a judge they are not compared.

    Raises:
        DifferenceError: a sample is not there, or has another picture or other objects.
        UserError: the dataset cannot be read.
    """
    from eidolon.benchmark.data.categories import judged_objects
    from eidolon.benchmark.data.datasets import load_dataset
    from eidolon.benchmark.data.ground_truth import join_references

    settings = run.settings
    limit = settings.chosen.limit if given.name.partition("/")[0] == "scenes" else None
    source = load_dataset(given.name, limit=limit, seed=settings.seed, options=given.options)
    samples = source.samples if judge is None else join_references(source.samples, judge)
    known = {s.sample_id if samples_are_images else str(s.image_id): s for s in samples}
    comparable = judge is not None or not samples_are_images
    for row in run.lines(SAMPLES, SampleRow):
        sample = known.get(row.sample_id if samples_are_images else str(row.image_id))
        if sample is None:
            raise DifferenceError(f"--dataset {given.name} has no sample {excerpt(row.sample_id)}")
        if row.image_sha256 != sample.image_sha256:
            raise DifferenceError(
                f"{SAMPLES}: sample {excerpt(row.sample_id)} has another picture in {given.name}"
            )
        objects = sample.objects if judge is None else judged_objects(sample.objects, judge, given.name)
        if comparable and row.objects != objects:
            raise DifferenceError(
                f"{SAMPLES}: sample {excerpt(row.sample_id)} has the objects {excerpt(row.objects)}, {given.name} "
                f"{excerpt(objects)}"
            )
    what = "objects and pictures" if comparable else "pictures (the objects take the judge)"
    return f"{what} of {len(run.record.sample_ids)} samples as in {given.name}"


def _other_pillow(run: CheckedRun) -> str | None:
    """Return why a picture's file cannot be written here to the byte; its pixels are not recorded."""
    from eidolon.models.base.identity import versions

    there, here = run.record.provenance.packages.get("pillow"), versions(("pillow",)).get("pillow")
    return None if there == here else f"the pictures' files take Pillow {there}, here is {here}"
