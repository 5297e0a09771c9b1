"""`forgetting.json`: the curves, the controls and the fits behind the numbers in `scores.json`."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from pydantic import AliasChoices, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

from eidolon.scorers.core.judge import Judge
from eidolon.scorers.core.metric import FloatArray, JudgedSample, Share, ratio
from eidolon.scorers.core.resampling import RESAMPLES
from eidolon.scorers.core.types import Record
from eidolon.scorers.core.verdict import counted_mentions
from eidolon.scorers.forgetting.annotation import AnnotationBounds, annotation_bounds
from eidolon.scorers.forgetting.curves import RateCurve, curves
from eidolon.scorers.forgetting.events import Events, read_events
from eidolon.scorers.forgetting.fits import Fit, fit
from eidolon.scorers.forgetting.judge_position import JudgePosition, judge_position
from eidolon.scorers.forgetting.late_early import LABEL, PER, covariates
from eidolon.scorers.forgetting.subsets import UNEXHAUSTED
from eidolon.scorers.statistics.bootstrap import bootstrap

SCHEMA: Literal["eidolon/forgetting/1"] = "eidolon/forgetting/1"
FIXED_LENGTHS = (40, 60, 80, 100, 120, 160)
"""Lengths, in words, of the fixed sets. In each the first and the last 20 words before the length are compared."""
THIRDS = 3
PART = 20
AFTER = 20
"""Words left out by one of the sensitivity analyses: the first sentence names what is large and sure."""


class FixedSet(Record):
    """First mentions in the responses that reach a length, early and late in the same responses."""

    model_config = ConfigDict(allow_inf_nan=False)

    words: int
    responses: int
    early: float | None
    """Hallucinated share of words 0 to 19."""
    late: float | None
    """Hallucinated share of the last 20 words before the length."""
    change: float | None
    change_ci: tuple[float, float] | None


class SizeStratum(Record):
    """True objects of one size: how many are named, and how early."""

    model_config = ConfigDict(allow_inf_nan=False)

    smallest: float
    largest: float
    """`smallest` and `largest` are shares of the image that the largest instance covers."""
    objects: int
    named: int
    recall: float
    recall_ci: tuple[float, float] | None
    word: float | None
    """Mean number of words before the first mention of an object that is named."""


class ForgettingDetail(Record):
    """The content of `forgetting.json`."""

    schema_: Literal["eidolon/forgetting/1"] = Field(alias="schema")
    signature: str
    curves: tuple[RateCurve, ...]
    fixed_sets: tuple[FixedSet, ...]
    late_early: Fit = Field(validation_alias=AliasChoices("late_early", "adjusted"))
    """The fit whose odds ratio is in `scores.json`. Earlier versions called it `adjusted`."""
    sensitivity: tuple[Fit, ...]
    """The same under other specifications. `docs/explanation/late-early-odds-ratio.md` says which are biased."""
    sizes: tuple[SizeStratum, ...] = ()
    """Thirds of the true objects with known area, from small to large."""
    judge_position: JudgePosition | None = None
    """Whether the judge reads a sentence the same wherever it stands."""
    annotation: AnnotationBounds | None = None
    """What incomplete annotation can explain. Absent if the ground truth is complete, as that of Scenes."""

    @model_serializer(mode="wrap")
    def _without_empty(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields: dict[str, Any] = handler(self)
        return {name: value for name, value in fields.items() if name != "annotation" or value is not None}

    def to_json(self) -> str:
        """Return the file's text."""
        return self.model_dump_json(by_alias=True, indent=2) + "\n"


def forgetting_detail(
    samples: Sequence[JudgedSample],
    *,
    signature: str,
    judge: Judge | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> ForgettingDetail:
    """Return the content of `forgetting.json`. Curves have cluster bootstraps, fits robust errors over images.

    With a judge, it also tests whether the judge reads a sentence the same wherever it stands.
    """
    events = read_events(samples)
    first = events.mentions.select(events.mentions.first)
    main = covariates(events.responses, first)
    without_exhaustion = {name: column for name, column in main.items() if "unnamed" not in name}
    prior = np.clip(first.prior, 1e-6, 1 - 1e-6)
    specifications: list[tuple[str, np.ndarray[Any, Any], Mapping[str, FloatArray], str]] = [
        (
            "without the objects still unnamed (biased by exhaustion)",
            first.word >= 0,
            without_exhaustion,
            "word",
        ),
        (f"mentions from word {AFTER} on", first.word >= AFTER, main, "word"),
        (f"{UNEXHAUSTED} or more true objects still unnamed", first.unnamed >= UNEXHAUSTED, main, "word"),
        (
            "what a guesser by prevalence would be wrong added",
            ~np.isnan(first.prior),
            {**main, "guess": np.log(prior / (1 - prior))},
            "word",
        ),
        (
            "categories named before added (a mediator, collinear with position)",
            first.word >= 0,
            {**main, "earlier": first.earlier.astype(float)},
            "word",
        ),
        (
            "size of the largest true object still unnamed added",
            ~np.isnan(first.largest),
            {**main, "log largest": np.log(np.maximum(first.largest, 1e-6))},
            "word",
        ),
        (f"per {PER} tokens", first.word >= 0, main, "token"),
    ]
    late_early = fit(LABEL, events, first, main, "word")
    return ForgettingDetail(
        schema=SCHEMA,
        signature=signature,
        curves=curves(events, seed=seed, resamples=resamples),
        fixed_sets=tuple(
            _fixed_set(events, words, seed=seed, resamples=resamples)
            for words in FIXED_LENGTHS
            if (events.responses.words >= words).any()
        ),
        sizes=_sizes(samples, seed=seed, resamples=resamples),
        annotation=annotation_bounds(
            samples, events=events, late_early=late_early, seed=seed, resamples=resamples
        ),
        judge_position=None if judge is None else judge_position(judge, samples, seed=seed),
        late_early=late_early,
        sensitivity=tuple(
            fit(label, events, first.select(rows), {name: c[rows] for name, c in columns.items()}, unit)
            for label, rows, columns, unit in specifications
        ),
    )


def _sizes(samples: Sequence[JudgedSample], *, seed: int, resamples: int) -> tuple[SizeStratum, ...]:
    """Return the strata of the true objects with known area."""
    rows = []
    for index, sample in enumerate(samples):
        place: dict[str, int] = {}
        for mention in sorted(counted_mentions(sample), key=lambda mention: mention.start):
            place.setdefault(mention.category, mention.word)
        known = sorted(sample.objects & sample.areas.keys())
        rows += [(index, sample.areas[name], place.get(name, np.nan)) for name in known]
    if len(rows) < THIRDS:
        return ()
    of, area, word = np.array(rows, dtype=float).T
    third = np.minimum(THIRDS * np.argsort(np.argsort(area, kind="stable")) // len(area), THIRDS - 1)
    images = [sample.response.image_id for sample in samples]
    strata = []
    for number in range(THIRDS):
        chosen = third == number
        named = chosen & ~np.isnan(word)
        counts = np.stack(
            [np.bincount(of[part].astype(int), minlength=len(samples)) for part in (chosen, named)], axis=1
        ).astype(float)
        found = bootstrap(
            counts,
            images,
            lambda totals: {"recall": ratio(totals[..., 1], totals[..., 0])},
            shares=lambda totals: {"recall": Share(totals[..., 1], totals[..., 0])},
            seed=seed,
            resamples=resamples,
        )["recall"]
        strata.append(
            SizeStratum(
                smallest=float(area[chosen].min()),
                largest=float(area[chosen].max()),
                objects=int(chosen.sum()),
                named=int(named.sum()),
                recall=float(found.value),
                recall_ci=found.estimate().ci,
                word=float(word[named].mean()) if named.any() else None,
            )
        )
    return tuple(strata)


def _fixed_set(events: Events, words: int, *, seed: int, resamples: int) -> FixedSet:
    alive = events.responses.words >= words
    mentions = events.mentions
    chosen = mentions.first & alive[mentions.response]
    parts = [mentions.word < PART, (mentions.word >= words - PART) & (mentions.word < words)]
    counts = np.stack(
        [
            np.bincount(mentions.response[chosen & part & right], minlength=len(alive))
            for part in parts
            for right in (True, mentions.hallucinated)
        ],
        axis=1,
    ).astype(float)

    def compute(totals: FloatArray) -> dict[str, FloatArray]:
        early, late = (ratio(totals[..., i + 1], totals[..., i]) for i in (0, 2))
        return {"early": early, "late": late, "change": late - early}

    found = bootstrap(
        counts[alive], events.responses.image[alive].tolist(), compute, seed=seed, resamples=resamples
    )
    early, late, change = (found[name].estimate() for name in ("early", "late", "change"))
    return FixedSet(
        words=words,
        responses=int(alive.sum()),
        early=early.value,
        late=late.value,
        change=change.value,
        change_ci=change.ci,
    )
