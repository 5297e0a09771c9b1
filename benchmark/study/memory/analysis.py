"""From what was measured of every checkpoint to the study's table: pooled over seeds, compared in pairs."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np
from scipy.stats import norm

from eidolon.benchmark.study.memory.checkpoints import MAIN
from eidolon.benchmark.study.memory.measure import (
    BLOCKS,
    COLUMNS,
    TEXTS,
    BenchSettings,
    Measured,
    rows_of,
    scenes_of,
)
from eidolon.benchmark.study.memory.records import (
    Bin,
    Block,
    Checkpoint,
    Comparison,
    Outcome,
    PositionEffect,
    Reach,
    ReachCheck,
    RetentionPoint,
    Seeing,
    Size,
    Text,
    Variant,
)
from eidolon.models.memory.layout import Memory, Selection
from eidolon.scorers.core.estimate import Estimate
from eidolon.scorers.core.metric import FloatArray, JudgedSample, ratio
from eidolon.scorers.core.verdict import with_verdicts
from eidolon.scorers.forgetting.adjusted import adjusted_odds_ratio
from eidolon.scorers.forgetting.dependency import MOMENTS, fade_line, lost_per_100
from eidolon.scorers.forgetting.events import Events, read_events
from eidolon.scorers.judges.lexicon import LexiconJudge
from eidolon.scorers.metrics.chair import Chair
from eidolon.scorers.metrics.objects import Objects
from eidolon.scorers.retention.measure import COLUMNS as ASKED
from eidolon.scorers.retention.measure import (
    SERIES,
    USABLE,
    Cell,
    Pair,
    compute,
    pair,
    statistics,
    unusable,
)
from eidolon.scorers.retention.records import CONDITIONS, Condition
from eidolon.scorers.statistics.bootstrap import LEVEL, BootstrapResult
from eidolon.scorers.statistics.comparison import holm
from eidolon.scorers.statistics.crossed_bootstrap import Crossed, combine_fits, pooled
from eidolon.scorers.statistics.mixed_logistic import NotEstimableError

SEEN_WITHIN = 0.02
"""Accuracy at n = 0 below full attention's with which a variant still counts as having learned to see, and between two
variants whose retention is compared."""
PRIMARY = (("attention", "bm"), ("bm", "gdn"), ("gdn", "swa"))
PRIMARY_LENGTHS = (64, 256, 512)
PRIMARY_CONDITION: Condition = "filler"
"""The comparisons that were written down before training (`docs/evidence/memory-plan.md`)."""
WORDS = (0, 20, 40, 60, 80, 120)
"""Where bins of positions in a description begin, in words; the last is open."""
NOTHING = Estimate.undefined()


@dataclass
class Pool:
    """The checkpoints of one variant, in the order of their seeds."""

    variant: str
    measured: list[Measured]
    images: int
    selection: Selection | None = None

    @property
    def label(self) -> str:
        """The variant, and the rule that fills its stores where that is not the trained one."""
        return f"{self.variant}[{self.selection}]" if self.selection else self.variant

    @property
    def memory(self) -> Memory:
        return self.measured[0].trained.memory

    @cached_property
    def pairs(self) -> list[dict[Cell, list[Pair]]]:
        """By seed, the questions of each cell of the retention probe beside their answers at n = 0."""
        return [pair([held for held in one.held if held.answers]) for one in self.measured]

    def cell(self, cell: Cell, keep: Callable[[Pair], bool] = lambda pair: True) -> FloatArray:
        """Return the sums of a cell by seed and image, (seeds, images, 6)."""
        sums = np.zeros((len(self.measured), self.images, len(ASKED)))
        for seed, pairs in enumerate(self.pairs):
            kept = [one for one in pairs.get(cell, []) if keep(one)]
            if kept:
                np.add.at(sums[seed], [int(one.image_id) for one in kept], statistics(kept))
        return sums


@dataclass
class Analysis:
    """What all variants have in common: scenes, draws, and full attention to compare with."""

    settings: BenchSettings
    resamples: int
    draws: Crossed = field(init=False)
    """Of the scenes that are asked about."""
    described: Crossed = field(init=False)
    """Of those that are described."""
    objects: list[frozenset[str]] = field(init=False)

    def __post_init__(self) -> None:
        asked, described = self.settings.limit, self.settings.descriptions
        self.draws, self.described = (
            Crossed(images, seed=self.settings.seed, resamples=self.resamples)
            for images in (asked, described)
        )
        self.objects = [frozenset(row.objects) for row in rows_of(scenes_of(self.settings, described))]

    def estimate(
        self, pool: Pool, sums: FloatArray, function: Callable[[FloatArray], dict[str, FloatArray]]
    ) -> dict[str, BootstrapResult]:
        """Return the quantities of sums by seed and image, (seeds, images, k), with their intervals."""
        draws = self.described if sums.shape[1] == self.settings.descriptions else self.draws
        return draws.estimate(sums, pool.variant, function)

    def numbers(
        self, pool: Pool, sums: FloatArray, function: Callable[[FloatArray], dict[str, FloatArray]]
    ) -> dict[str, Estimate]:
        return {name: found.estimate() for name, found in self.estimate(pool, sums, function).items()}


def make_pools(measured: Sequence[tuple[Measured, Selection | None]], images: int) -> list[Pool]:
    """Group measurements by variant and rule, those of a variant by seed; the study's order."""
    found: dict[tuple[str, Selection | None], Pool] = {}
    for one, selection in measured:
        key = (one.trained.variant, selection)
        found.setdefault(key, Pool(one.trained.variant, [], images, selection)).measured.append(one)
    for pool in found.values():
        pool.measured.sort(key=lambda one: one.trained.seed)
    order = [*MAIN, "m2", "gka", "bmf", "hybrid"]
    return sorted(
        found.values(),
        key=lambda pool: (
            order.index(pool.variant) if pool.variant in order else len(order),
            pool.variant,
            pool.selection or "",
        ),
    )


def analyse(
    pools: Sequence[Pool], sizes: Mapping[str, Size], settings: BenchSettings, resamples: int
) -> tuple[tuple[Variant, ...], tuple[Comparison, ...]]:
    """Return every variant's row, and the comparisons between variants."""
    analysis = Analysis(settings, resamples)
    attention = next(
        (pool for pool in pools if set(pool.memory.layout) == {"*"} and pool.selection is None), None
    )
    reference = None if attention is None else _seen(analysis, attention)["accuracy"]
    variants = tuple(_variant(analysis, pool, sizes.get(pool.label), reference) for pool in pools)
    return variants, compare(analysis, pools)


def _variant(analysis: Analysis, pool: Pool, size: Size | None, reference: BootstrapResult | None) -> Variant:
    seen = _seen(analysis, pool)
    samples = [_judge(analysis, one) for one in pool.measured if one.responses]
    events = [read_events(found) for found in samples]
    first = pool.measured[0]
    points = _retention(analysis, pool, first.about.trained_tokens)
    return Variant(
        variant=pool.label,
        memory=first.trained.memory.model_dump(mode="json"),
        filled_by=pool.selection,
        intervals_over="seeds and images" if len(pool.measured) > 1 else "images",
        checkpoints=_checkpoints(analysis, pool, samples),
        trained_tokens=first.about.trained_tokens,
        size=size,
        seeing=judge_seeing(seen["accuracy"], reference),
        yes_no_accuracy=seen["accuracy"].estimate(),
        yes_rate=seen["yes_rate"].estimate(),
        scores=_scores(analysis, pool, samples),
        position_effect=_position_effect(pool, events) if events else None,
        hallucination=_hallucination(analysis, pool, events),
        texts=tuple(_text(analysis, pool, place) for place in range(len(TEXTS))) if samples else (),
        retention=points,
        reach=_reach(pool.memory, points),
    )


def judge_seeing(accuracy: BootstrapResult, reference: BootstrapResult | None) -> Seeing:
    """Tell whether a variant learned to see: within 2 points of full attention, which is itself surely above chance."""
    if reference is None:
        return "not compared"
    chance = float(reference.low if not np.isnan(reference.low) else reference.value) <= 0.5
    low = float(accuracy.value) < float(reference.value) - SEEN_WITHIN
    return "did not learn to see" if chance or low else "trained"


def _seen(analysis: Analysis, pool: Pool) -> dict[str, BootstrapResult]:
    """Return accuracy and share of yes right after the picture."""
    return analysis.estimate(pool, _seen_sums(pool), _seen_rates)


def _seen_sums(pool: Pool) -> FloatArray:
    """Return (asked, right, yes) by seed and image."""
    sums = np.zeros((len(pool.measured), pool.images, 3))
    for seed, one in enumerate(pool.measured):
        for held in one.questions:
            for answer in held.answers:
                sums[seed, int(held.image_id)] += 1, answer.correct, answer.log_yes > answer.log_no
    return sums


def _seen_rates(totals: FloatArray) -> dict[str, FloatArray]:
    asked, right, yes = (totals[..., i] for i in range(3))
    return {"accuracy": ratio(right, asked), "yes_rate": ratio(yes, asked)}


def _judge(analysis: Analysis, one: Measured) -> list[JudgedSample]:
    # Gibberish of a model that has not learned to write names nothing.
    judged = [
        judgement.model_copy(update={"unscored": None})
        for judgement in LexiconJudge("careful").judge(one.responses)
    ]
    return [
        JudgedSample(response, with_verdicts(judgement, truth), truth)
        for response, judgement, truth in zip(one.responses, judged, analysis.objects, strict=True)
    ]


def _scores(analysis: Analysis, pool: Pool, samples: Sequence[Sequence[JudgedSample]]) -> dict[str, Estimate]:
    if not samples:
        return {}
    found: dict[str, Estimate] = {}
    for metric, names in (
        (Objects(), ("precision", "recall", "f05")),
        (Chair(), ("chair_i", "chair_s", "words")),
    ):
        sums = np.stack([metric.statistics(one) for one in samples])
        numbers = analysis.numbers(pool, sums, metric.compute)
        found |= {name: numbers[name] for name in names}
    cut = np.array([[[1.0, s.response.finish_reason == "length"] for s in one] for one in samples])
    found |= analysis.numbers(pool, cut, lambda t: {"truncated": ratio(t[..., 1], t[..., 0])})
    return found


def _position_effect(pool: Pool, events: Sequence[Events]) -> PositionEffect:
    fits: dict[str, tuple[float, float]] = {}
    by_seed: dict[int, float | None] = {}
    reasons = []
    for one, found in zip(pool.measured, events, strict=True):
        seed = one.trained.seed
        by_seed[seed] = None
        try:
            fit = adjusted_odds_ratio(found)
        except NotEstimableError as error:
            reasons.append(f"seed {seed}: {error}")
            continue
        by_seed[seed] = fit.odds_ratio
        fits[str(seed)] = fit.log_odds_ratio, fit.standard_error
    if not fits:
        return PositionEffect(odds_ratio=NOTHING, by_seed=by_seed, reason="; ".join(reasons))
    log_ratio, spread = combine_fits(fits)
    reach = float(norm.ppf((1 + LEVEL) / 2)) * spread
    low, value, high = np.exp([log_ratio - reach, log_ratio, log_ratio + reach])
    return PositionEffect(
        odds_ratio=Estimate(value=float(value), ci=(float(low), float(high))),
        by_seed=by_seed,
        reason="; ".join(reasons) or None,
    )


def _hallucination(analysis: Analysis, pool: Pool, events: Sequence[Events]) -> tuple[Bin, ...]:
    if not events:
        return ()
    sums = np.zeros((len(events), analysis.settings.descriptions, len(WORDS), 2))
    for seed, found in enumerate(events):
        mentions = found.mentions.select(found.mentions.first)
        bins = np.searchsorted(WORDS, mentions.word, side="right") - 1
        # One response an image, in the order of the images.
        np.add.at(sums[seed, ..., 0], (mentions.response, bins), 1)
        np.add.at(sums[seed, ..., 1], (mentions.response, bins), mentions.hallucinated)
    rows = []
    for place, start in enumerate(WORDS):
        part = sums[:, :, place]
        rate = analysis.numbers(pool, part, lambda t: {"rate": ratio(t[..., 1], t[..., 0])})["rate"]
        end = WORDS[place + 1] if place + 1 < len(WORDS) else None
        rows.append(Bin(start=start, end=end, mentions=int(part[..., 0].sum()), hallucinated=rate))
    return tuple(rows)


def _text(analysis: Analysis, pool: Pool, place: int) -> Text:
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
    return Text(
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


def _block(analysis: Analysis, pool: Pool, sums: FloatArray, start: int, end: int | None) -> Block:
    def means(totals: FloatArray) -> dict[str, FloatArray]:
        column = {name: totals[..., i] for i, name in enumerate(COLUMNS)}
        return {
            name: ratio(column[name], column["names" if name.startswith("name_") else "tokens"])
            for name in COLUMNS
            if name not in ("tokens", "names")
        }

    counts = dict(zip(COLUMNS, pooled(sums), strict=True))
    return Block(
        start=start,
        end=end,
        tokens=int(counts["tokens"]),
        names=int(counts["names"]),
        **analysis.numbers(pool, sums, means),
    )


def _decay(analysis: Analysis, pool: Pool, moments: FloatArray, rounding: int) -> tuple[Estimate, str | None]:
    """Return the share of the dependence on the picture that goes with 100 tokens, or why it cannot be told."""
    tokens = moments[..., 0].sum()
    if rounding > tokens:
        return NOTHING, "most tokens are the same with the picture and without"
    if not moments[..., 1].sum() > 0:
        return NOTHING, "no text has two tokens that depend on the picture"
    rate = analysis.numbers(pool, moments, lambda totals: {"rate": fade_line(totals)["rate"]})["rate"]
    if rate.value is None:
        return NOTHING, "no text has two tokens that depend on the picture"
    ci = None if rate.ci is None else (lost_per_100(rate.ci[0]), lost_per_100(rate.ci[1]))
    return Estimate(value=lost_per_100(rate.value), ci=ci), None


def _retention(analysis: Analysis, pool: Pool, trained_tokens: int | None) -> tuple[RetentionPoint, ...]:
    cells = {cell for pairs in pool.pairs for cell in pairs}
    order = sorted(cells, key=lambda cell: (CONDITIONS.index(cell[0]), [*SERIES].index(cell[1]), cell[2]))
    return tuple(_point(analysis, pool, cell, trained_tokens) for cell in order)


def _point(analysis: Analysis, pool: Pool, cell: Cell, trained_tokens: int | None) -> RetentionPoint:
    condition, series, n = cell
    sums = pool.cell(cell)
    images = int((sums[..., 0].sum(axis=0) > 0).sum())
    found = analysis.estimate(pool, sums, compute)
    reason = unusable(found["above_at_0"], images)
    names = ("accuracy", "accuracy_at_0", "margin", "margin_at_0", "yes_rate")
    return RetentionPoint(
        condition=condition,
        series=series,
        n=n,
        images=images,
        questions=int(sums[..., 0].sum()),
        **{name: found[name].estimate() for name in names},
        retention=NOTHING if reason else found["retention"].estimate(),
        retention_margin=NOTHING if reason else found["retention_margin"].estimate(),
        reason=reason,
        beyond_training=None if trained_tokens is None else n > trained_tokens,
    )


def reach_of(memory: Memory) -> int | None:
    """Return how many tokens back anything can change the output; None where there is no bound."""
    return len(memory.layout) * (memory.window - 1) if set(memory.layout) == {"SWA"} else None


def _reach(memory: Memory, points: Sequence[RetentionPoint]) -> Reach | None:
    tokens = reach_of(memory)
    if tokens is None:
        return None
    checks = [
        ReachCheck(
            condition=point.condition,
            n=point.n,
            accuracy=point.accuracy,
            at_chance=point.accuracy.ci[0] <= 0.5 <= point.accuracy.ci[1],
        )
        for point in points
        if point.condition != "before"
        and point.series == "unnamed"
        and point.n > tokens
        and point.accuracy.ci is not None
    ]
    return Reach(tokens=tokens, checks=tuple(checks))


def _checkpoints(
    analysis: Analysis, pool: Pool, samples: Sequence[Sequence[JudgedSample]]
) -> tuple[Checkpoint, ...]:
    """Return what each model came to by itself, without intervals."""
    cells = {n: pool.cell((PRIMARY_CONDITION, "unnamed", n)) for n in analysis.settings.lengths}
    seen = _seen_sums(pool)
    return tuple(
        Checkpoint(
            seed=one.trained.seed,
            sha256=one.trained.digest,
            yes_no_accuracy=_plain(_seen_rates(pooled(seen[[i]]))["accuracy"]),
            f05=_plain(Objects().compute(Objects().statistics(samples[i]).sum(axis=0))["f05"])
            if samples
            else None,
            retention={n: _own_retention(sums[i]) for n, sums in cells.items()},
        )
        for i, one in enumerate(pool.measured)
    )


def _own_retention(sums: FloatArray) -> float | None:
    """Return the retention of one model, from (images, 6); None where there is too little to forget."""
    found = compute(pooled(sums[None]))
    return _plain(found["retention"]) if found["above_at_0"] > USABLE else None


def _plain(value: FloatArray) -> float | None:
    return None if np.isnan(value) else float(value)


def compare(analysis: Analysis, pools: Sequence[Pool]) -> tuple[Comparison, ...]:
    """Compare the main variants in pairs, and every store with its like filled otherwise.

    Holm's correction is over all registered comparisons: one that could not be made counts as a p of 1.
    """
    by_label = {pool.label: pool for pool in pools}
    main = [by_label[name] for name in MAIN if name in by_label]
    couples = [(a, b) for a, b in combinations(_primary_order(main), 2)]
    couples += [(like, pool) for pool in pools if (like := _by_innovation(pool, pools)) is not None]
    found = [
        _comparison(analysis, a, b, condition, n)
        for a, b in couples
        for condition in ("filler", "own", "other")
        for n in analysis.settings.lengths
    ]
    known = [one for one in found if one.images]
    tested = [i for i, one in enumerate(known) if one.registered and one.p is not None]
    missing = len(PRIMARY) * len(PRIMARY_LENGTHS) - len(tested)
    adjusted = holm([*(known[i].p or 0.0 for i in tested), *[1.0] * missing])
    for i, p in zip(tested, adjusted, strict=False):
        known[i] = known[i].model_copy(update={"p_holm": p, "outcome": _outcome(known[i].difference, p)})
    return tuple(known)


def _by_innovation(pool: Pool, pools: Sequence[Pool]) -> Pool | None:
    """Return the pool that differs from this one in that its stores are filled by innovation, if there is one.

    Where the rule was changed in the measurement it is the same models; where it was changed in training, another's.
    """
    if pool.selection is not None:
        return next((one for one in pools if one.variant == pool.variant and one.selection is None), None)
    if "BM" not in pool.memory.layout or pool.memory.selection == "innovation":
        return None
    wanted = pool.memory.model_copy(update={"selection": "innovation"})
    return next((one for one in pools if one.memory == wanted and one.selection is None), None)


def _primary_order(main: Sequence[Pool]) -> list[Pool]:
    order = ("attention", "bm", "gdn", "swa")
    return sorted(main, key=lambda pool: order.index(pool.variant))


def _comparison(analysis: Analysis, a: Pool, b: Pool, condition: Condition, n: int) -> Comparison:
    cell: Cell = (condition, "unnamed", n)
    sums = [pool.cell(cell) for pool in (a, b)]
    shared = (sums[0][..., 0].sum(axis=0) > 0) & (sums[1][..., 0].sum(axis=0) > 0)
    registered = (a.label, b.label) in PRIMARY and n in PRIMARY_LENGTHS and condition == PRIMARY_CONDITION
    known: dict[str, Any] = {
        "a": a.label, "b": b.label, "condition": condition, "n": n, "registered": registered,
        "images": int(shared.sum()),
    }  # fmt: skip
    nothing = {"difference": NOTHING, "by_margin": NOTHING, "of_both_right": NOTHING, "p": None}
    if not shared.any():
        return Comparison(
            **known,
            **nothing,
            accuracy_at_0=None,
            matched=None,
            outcome="not measured",
            reason="not asked of both",
        )
    sums = [one * shared[:, None] for one in sums]
    starts = [analysis.estimate(pool, one, compute) for pool, one in zip((a, b), sums, strict=True)]
    at_0 = (float(starts[0]["accuracy_at_0"].value), float(starts[1]["accuracy_at_0"].value))
    matched = abs(at_0[0] - at_0[1]) <= SEEN_WITHIN
    reason = next((r for s in starts if (r := unusable(s["above_at_0"], known["images"]))), None)
    if reason is not None:
        return Comparison(
            **known, **nothing, accuracy_at_0=at_0, matched=matched, outcome="not measured", reason=reason
        )
    found = analysis.draws.difference((a.variant, sums[0]), (b.variant, sums[1]), compute)
    difference, p = found["retention"]
    both = [pool.cell(cell, _right_at_0(a, b, cell)) * shared[:, None] for pool in (a, b)]
    right, _ = analysis.draws.difference((a.variant, both[0]), (b.variant, both[1]), compute)["retention"]
    return Comparison(
        **known,
        difference=difference.estimate(),
        by_margin=found["retention_margin"][0].estimate(),
        of_both_right=right.estimate(),
        accuracy_at_0=at_0,
        matched=matched,
        p=None if np.isnan(p) else p,
        outcome=_outcome(difference.estimate(), None),
    )


def _outcome(difference: Estimate, p_holm: float | None) -> Outcome:
    if difference.ci is None or difference.value is None:
        return "not measured"
    low, high = difference.ci
    if low <= 0 <= high or (p_holm is not None and p_holm > 1 - LEVEL):
        return "not significant"
    return "a keeps more" if difference.value > 0 else "b keeps more"


def _right_at_0(a: Pool, b: Pool, cell: Cell) -> Callable[[Pair], bool]:
    """Return whether most models of either variant answer a question rightly right after the picture."""

    def key(one: Pair) -> tuple[Any, ...]:
        return one.image_id, one.first.kind, one.first.about

    chosen: set[tuple[Any, ...]] | None = None
    for pool in (a, b):
        right: dict[tuple[Any, ...], list[float]] = defaultdict(list)
        for pairs in pool.pairs:
            for one in pairs.get(cell, []):
                right[key(one)].append(one.first.correct)
        mostly = {asked for asked, found in right.items() if np.mean(found) > 0.5}
        chosen = mostly if chosen is None else chosen & mostly
    kept = chosen or set()
    return lambda one: key(one) in kept
