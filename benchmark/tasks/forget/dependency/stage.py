"""Visual prompt dependency of a run: `pdm.jsonl` grows as responses are read, then `pdm.json` is computed.

The first response to each sample is read. Where that is impossible (there is no response, or the model gives no token
probabilities), the line holds the reason. A reason that is transient is tried again by the next session.
"""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from eidolon.benchmark.store.atomic import write_atomically
from eidolon.benchmark.store.batch_file import BatchFile, Key
from eidolon.benchmark.store.batch_writer import Stage, batch_by_batch, complete, is_complete
from eidolon.benchmark.store.files import PDM, PDM_LINES, SCORES
from eidolon.benchmark.store.record import SampleRow
from eidolon.benchmark.tasks.forget.dependency.series import ReadingSettings, TextToRead, read_series
from eidolon.benchmark.tasks.forget.measurement import Measurement, ModelSource, is_readable, read_document
from eidolon.models.base.model import Failure, Request
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.estimate import Estimate
from eidolon.scorers.core.judge import Judge
from eidolon.scorers.core.types import Response
from eidolon.scorers.forgetting.dependency import PdmTable, pdm_table
from eidolon.scorers.forgetting.fading import TokenSeries
from eidolon.scorers.forgetting.records import Dependence

if TYPE_CHECKING:
    from PIL import Image

TOGETHER = 64
"""Responses per batch of the file. They are read in smaller batches, sorted by length."""
WITHOUT: Literal["shuffled"] = "shuffled"
"""How the picture is left out of the branch without it. A model that ignores its picture has a dependency of 0."""
BESIDE: Literal["neutral"] = "neutral"
"""How it is left out of the third branch. In a run of one picture it is the only form."""

MOST_DONORS = 8
"""Samples that are tried for a picture that can be decoded."""

_log = logging.getLogger(__name__)


def measure_dependency(
    measurement: Measurement, prompt: str, judge: Judge, *, seed: int, resamples: int
) -> PdmTable:
    """Complete both files, and return the content of `pdm.json`.

    `prompt` is what the model was asked for its descriptions; `judge` finds the objects that they name.

    Raises:
        UserError: a file is not one that this run wrote.
    """
    folder, rows = measurement.folder, measurement.rows
    first = {response.sample_id: response for response in reversed(measurement.responses)}
    by_id = {row.sample_id: row for row in rows}
    donors = choose_donors(rows, seed)
    keys = [(row.sample_id, first[row.sample_id].generation) for row in rows]
    file = BatchFile(folder.path / PDM_LINES, Dependence, keys, TOGETHER)
    if is_complete(file) and (finished := read_document(folder.path / PDM, PdmTable)) is not None:
        return finished
    folder.forget(PDM, SCORES)

    def read(keys: Sequence[Key]) -> list[Dependence]:
        batch = [by_id[sample_id] for sample_id, _ in keys]
        return _read(prompt, batch, first, judge, measurement.source, donors)

    def after_batch(lines: Sequence[Dependence], done: int) -> None:
        measurement.count_usage()
        for reason, times in Counter(line.left_out for line in lines if line.left_out).items():
            _log.warning("no dependency", extra={"fields": {"reason": reason, "responses": times}})

    stage: Stage[Dependence] = Stage(
        label=f"{measurement.name}, dependency",
        tokens=lambda line: len(line.kinds),
        failed=lambda line: False,
        after_batch=after_batch,
    )
    lines = complete(file, batch_by_batch("dependency measured", "responses", read), stage)
    table = table_of(lines, judge.signature(), seed=seed, resamples=resamples)
    write_atomically(folder.path / PDM, table.to_json())
    return table


def choose_donors(rows: Sequence[SampleRow], seed: int) -> dict[str, tuple[str, ...]]:
    """Return for each sample the samples that may lend it their picture, the first choice first.

    It depends on the samples of the run alone, so that a resumed run reads with the same pictures. A run of a single
    picture has none.
    """
    from eidolon.models.generation.image_ablation import shuffle_images

    images = [row.image_id for row in rows]
    if len(set(images)) < 2:
        return {}
    found = {}
    for at, donor in enumerate(shuffle_images(images, seed)):
        circle = [*range(donor, len(rows)), *range(donor)]
        fit = [k for k in circle if images[k] != images[at]][:MOST_DONORS]
        found[rows[at].sample_id] = tuple(rows[k].sample_id for k in fit)
    return found


def table_of(lines: Sequence[Dependence], judge: str, *, seed: int, resamples: int) -> PdmTable:
    """Return the content of `pdm.json`, computed from the lines of `pdm.jsonl`.

    `judge` is the judge's signature.

    Raises:
        ValueError: a line is not complete.
    """
    measured = [line.series() for line in lines if line.left_out is None]
    two_forms = len({line.image_id for line in lines}) > 1
    table = pdm_table(
        measured,
        without=WITHOUT if two_forms else BESIDE,
        beside=BESIDE if two_forms else None,
        settings={"judge": judge, "left_out": len(lines) - len(measured)},
        seed=seed,
        resamples=resamples,
    )
    if measured or not lines:
        return table
    (reason, _), *_ = Counter(line.left_out for line in lines).most_common()
    fade = table.fade.model_copy(update={"reason": f"not measured: {reason}"})
    return table.model_copy(update={"fade": fade})


def quantities(table: PdmTable) -> dict[str, Estimate]:
    """Return the decay of the dependency as in `scores.json`, by name."""
    objects = next(fade for fade in table.sensitivity if fade.label == "object")
    if not table.responses:
        objects = objects.model_copy(update={"reason": table.fade.reason})
    return {
        "pdm_decay_per_100_tokens": table.fade.decay_estimate(),
        "pdm_half_life_tokens": table.fade.half_life_estimate(),
        "pdm_decay_objects_per_100_tokens": objects.decay_estimate(),
    }


def _read(
    prompt: str,
    rows: Sequence[SampleRow],
    first: Mapping[str, Response],
    judge: Judge,
    source: ModelSource,
    donors: Mapping[str, Sequence[str]],
) -> list[Dependence]:
    """Return the line of the first response to each sample."""
    model: Any = source.scoring_model()
    answered = [row for row in rows if first[row.sample_id].response is not None]
    found: Sequence[TokenSeries | Failure]
    how = ReadingSettings(judge, WITHOUT, BESIDE) if donors else ReadingSettings(judge, BESIDE, None)
    try:
        texts = [
            TextToRead(
                Request(row.sample_id, row.image_id, _picture(source, row), prompt),
                first[row.sample_id].response,
                objects=row.objects,
                other=_lent(source, donors[row.sample_id]) if donors else None,
            )
            for row in answered
        ]
        found = read_series(model, texts, how, recover=True)
    except UserError as error:  # the other measurements of the run do not need it
        found = [Failure(str(error))] * len(answered)
    by_sample = {row.sample_id: one for row, one in zip(answered, found, strict=True)}
    nothing = Failure("there is no response")
    return [_line(first[row.sample_id], by_sample.get(row.sample_id, nothing)) for row in rows]


def _picture(source: ModelSource, row: SampleRow) -> "Image.Image":
    picture = source.picture(row.sample_id)
    assert picture is not None
    return picture


def _lent(source: ModelSource, donors: Sequence[str]) -> "Image.Image":
    """Return the picture of the first donor that has one.

    Raises:
        UserError: none can be decoded.
    """
    for sample_id in donors:
        if is_readable(source, sample_id):
            picture = source.picture(sample_id)
            assert picture is not None
            return picture
    raise UserError("the pictures that were to replace this one cannot be read")


def _line(response: Response, found: TokenSeries | Failure) -> Dependence:
    if isinstance(found, TokenSeries):
        if np.isfinite(found.hellinger).all() and np.isfinite(found.difference).all():
            return Dependence.of(response.sample_id, response.generation, found)
        found = Failure("the model gives probabilities that are no numbers")
    return Dependence(
        sample_id=response.sample_id,
        generation=response.generation,
        image_id=response.image_id,
        left_out=found.reason,
        transient=found.transient,
    )
