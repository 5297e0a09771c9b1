"""How models read texts: log-probabilities, and the dependence on the image along the text."""

import numpy as np

from eidolon.benchmark.study.memory.measurements import BLOCKS, COLUMNS, TEXTS
from eidolon.benchmark.study.memory.pools import Analysis, Pool
from eidolon.benchmark.study.memory.records import TextBlock, TextMeasures
from eidolon.scorers.core.estimate import Estimate
from eidolon.scorers.core.metric import FloatArray, ratio
from eidolon.scorers.forgetting.fading import MOMENTS, fade_line, lost_per_100
from eidolon.scorers.statistics.crossed_bootstrap import pooled


def measure_text(analysis: Analysis, pool: Pool, place: int) -> TextMeasures:
    """Return the measures of text number `place` of `TEXTS`, over all checkpoints of a pool."""
    shape = (len(pool.measured), pool.images)
    blocks = np.zeros((*shape, len(BLOCKS), len(COLUMNS)))
    moments = np.zeros((*shape, MOMENTS))
    texts = rounding = 0
    for seed, one in enumerate(pool.measured):
        for line in one.readings:
            if line.generation != place or line.missing is not None:
                continue
            blocks[seed, line.image_id] = line.blocks
            moments[seed, line.image_id] = line.moments
            texts, rounding = texts + 1, rounding + line.rounding
    decay, reason = _decay(analysis, pool, moments, rounding)
    return TextMeasures(
        text=TEXTS[place],
        texts=texts,
        whole=_block(analysis, pool, blocks.sum(axis=2), 0, None),
        blocks=tuple(
            _block(analysis, pool, blocks[:, :, b], start, BLOCKS[b + 1] if b + 1 < len(BLOCKS) else None)
            for b, start in enumerate(BLOCKS)
        ),
        decay_per_100_tokens=decay,
        reason=reason,
    )


def _block(analysis: Analysis, pool: Pool, sums: FloatArray, start: int, end: int | None) -> TextBlock:
    def means(totals: FloatArray) -> dict[str, FloatArray]:
        column = {name: totals[..., i] for i, name in enumerate(COLUMNS)}
        return {
            name: ratio(column[name], column["names" if name.startswith("name_") else "tokens"])
            for name in COLUMNS
            if name not in ("tokens", "names")
        }

    counts = dict(zip(COLUMNS, pooled(sums), strict=True))
    return TextBlock(
        start=start,
        end=end,
        tokens=int(counts["tokens"]),
        names=int(counts["names"]),
        **analysis.numbers(pool, sums, means),
    )


def _decay(analysis: Analysis, pool: Pool, moments: FloatArray, rounding: int) -> tuple[Estimate, str | None]:
    """Return the share of the dependence on the image that is lost per 100 tokens, or the reason why it is unknown."""
    tokens = moments[..., 0].sum()
    if rounding > tokens:
        return Estimate.undefined(), "most tokens are equally likely with and without the image"
    if not moments[..., 1].sum() > 0:
        return Estimate.undefined(), "no text has two tokens that depend on the image"
    rate = analysis.numbers(pool, moments, lambda totals: {"rate": fade_line(totals)["rate"]})["rate"]
    if rate.value is None:
        return Estimate.undefined(), "no text has two tokens that depend on the image"
    ci = None if rate.ci is None else (lost_per_100(rate.ci[0]), lost_per_100(rate.ci[1]))
    return Estimate(value=lost_per_100(rate.value), ci=ci), None
