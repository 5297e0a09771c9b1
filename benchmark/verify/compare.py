"""Compare two runs of the same kind sample by sample, with paired intervals and tests."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from eidolon.benchmark.settings.config import model_of
from eidolon.benchmark.settings.fields import MIN_SHARED
from eidolon.benchmark.store.atomic import write_atomically
from eidolon.benchmark.store.files import RUN
from eidolon.benchmark.store.loaded import find_run, load_run
from eidolon.benchmark.tasks.forget.knowledge import compared
from eidolon.benchmark.tasks.reading_types import FamilyReading, Key
from eidolon.benchmark.tasks.readings import FamiliesRead, read_families
from eidolon.benchmark.verify.comparability import ALLOWED, SettingDifference, check_alike
from eidolon.scorers.core.errors import UserError, did_you_mean
from eidolon.scorers.core.input_files import excerpt
from eidolon.scorers.core.types import ImageId, Record
from eidolon.scorers.statistics.bootstrap import method
from eidolon.scorers.statistics.comparison import (
    Compared,
    ComparedFamily,
    compare_categories,
    compare_family,
    compare_fits,
    compared_fits,
    decide,
)
from eidolon.scorers.statistics.paired import ALPHA, POWER, RESAMPLES, Side

SCHEMA: Literal["eidolon/comparison/1"] = "eidolon/comparison/1"

FEW_SHARED = 30
"""Below this number of shared samples a comparison carries a warning: percentile intervals are too narrow then."""

ON_REQUEST = ("forgetting", "rivals")
"""Families that are compared only if `--metric` names them, or if the runs share no other."""


class ComparedRun(Record):
    """One of the two runs, with counts of its responses."""

    name: str
    run: str
    """The folder, as given."""
    signature: str
    model: dict[str, Any] | None
    """Name, options, and the model's description of itself. Null where responses came from files."""
    responses: int
    """All responses of the run: the sum of the next four counts."""
    compared: int
    unscored: int
    unscored_in_other: int
    """Scored here, and unscored in the other run."""
    missing_in_other: int
    """Scored here, and no response of the other run."""


class ComparisonMethods(Record):
    """How the numbers were computed."""

    interval: str
    test: str
    correction: str
    minimum_detectable_effect: str
    level: float
    alpha: float
    resamples: int
    seed: int


class Comparison(Record):
    """The content of a comparison's JSON file: fractions, no times; null with a reason where undefined."""

    schema_: Literal["eidolon/comparison/1"] = Field(alias="schema")
    a: ComparedRun
    b: ComparedRun
    unit: str
    """The clusters of resampling and swapping: images, or items where the inputs name no images."""
    clusters: int
    """The number of clusters."""
    differs: tuple[SettingDifference, ...]
    notes: tuple[str, ...]
    methods: ComparisonMethods
    metrics: dict[str, ComparedFamily]

    def to_json(self) -> str:
        """Return the file's text."""
        document = self.model_dump(mode="json", by_alias=True)
        return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


@dataclass(frozen=True, slots=True)
class CompareOptions:
    """The options of a comparison."""

    metrics: Sequence[str] = ()
    """Families, or single quantities as `objects.f05`. Empty: all that both runs have."""
    allow: Collection[str] = ()
    seed: int = 0
    resamples: int = RESAMPLES
    min_shared: int = MIN_SHARED
    """Runs that share fewer samples are refused."""

    def check(self) -> None:
        """Check what no run decides.

        Raises:
            UserError: `allow` has an unknown name, or `min_shared` is negative.
        """
        for part in self.allow:
            if part not in ALLOWED:
                raise UserError(f"--allow {part}: nothing of this name{did_you_mean(part, ALLOWED)}")
        if self.min_shared < 0:
            raise UserError(f"--min-shared {self.min_shared}: must be at least 0")


def compare(path_a: Path, path_b: Path, wanted: CompareOptions) -> Comparison:
    """Compare two run folders.

    Raises:
        UserError: a folder holds no finished run, or the runs are not comparable; the message names the difference.
    """
    wanted.check()
    path_a, path_b = find_run(path_a), find_run(path_b)
    if path_a.resolve() == path_b.resolve():
        raise UserError(f"{path_a} and {path_b}: are the same run folder; a run does not differ from itself")
    a, b = (read_families(load_run(path)) for path in (path_a, path_b))
    shared_families = _shared_families(a, b)
    chosen = _choose(wanted.metrics, shared_families, a)
    keys = _shared_keys(a, b, shared_families)
    differs = check_alike(a, b, keys, shared_families, wanted.allow)
    images = _images(a, b, keys, shared_families[0])
    unit = "items" if "over items" in (a.scores.intervals.method if a.scores.intervals else "") else "images"
    if (shared := len(set(images))) < wanted.min_shared:
        raise UserError(
            f"{path_a} and {path_b}: share {shared} scored {unit if shared != 1 else unit[:-1]}, fewer than "
            f"{wanted.min_shared}; compare runs that share more, or give --min-shared {shared}"
        )
    values: dict[str, dict[str, Compared]] = {}
    categories: dict[str, dict[str, dict[str, Compared]] | None] = {}
    equal = True
    for family, names in chosen.items():
        pair = _Pair(a.families[family], b.families[family], keys)
        values[family] = compare_family(
            [q for q in pair.metric.quantities if q.name in names],
            pair.a,
            pair.b,
            images,
            test=a.families[family].rules == b.families[family].rules,
            answers=pair.answers,
            unit=unit,
            seed=wanted.seed,
            resamples=wanted.resamples,
        ) | compare_fits(pair.metric, names, *pair.samples, seed=wanted.seed, resamples=wanted.resamples)
        if family == compared.FORGETTING and compared.GIVEN_KNOWLEDGE in names:
            values[family] |= compared.compare_known(
                (a.path, b.path), pair.samples, wanted.seed, wanted.resamples
            )
        if not wanted.metrics or family in wanted.metrics:
            categories[family] = pair.categories(images, unit, wanted)
        equal = equal and pair.equal()
    decided = decide(values)
    tested = sum(value.p is not None for family in decided.values() for value in family.values())
    runs = _describe(a, b, keys), _describe(b, a, keys)
    return Comparison(
        schema=SCHEMA,
        a=runs[0],
        b=runs[1],
        unit=unit,
        clusters=len(set(images)),
        differs=tuple(differs),
        notes=tuple(_notes(a, b, keys, decided, equal, len(set(images)), unit)),
        methods=_methods(wanted, unit, tested),
        metrics={
            family: ComparedFamily(per_category=categories.get(family), **_as_fields(found))
            for family, found in decided.items()
        },
    )


def write(comparison: Comparison, path: Path) -> None:
    """Write the comparison's file.

    Raises:
        UserError: the path lies in a run folder, or cannot be written.
    """
    if (path.parent / RUN).is_file():
        raise UserError(
            f"--out {path}: lies in a run folder, whose files it could replace; give another place"
        )
    try:
        write_atomically(path, comparison.to_json())
    except OSError as error:
        raise UserError(f"--out {path}: cannot be written ({error.strerror})") from error


class _Pair:
    """One family of both runs on the shared samples."""

    def __init__(self, a: FamilyReading, b: FamilyReading, keys: Sequence[Key]) -> None:
        self._split = a.categories, b.categories
        self.samples = [[reading.scored[key].sample for key in keys] for reading in (a, b)]
        # Each metric gets the samples of both runs, so that the columns are the same.
        everything = [*self.samples[0], *self.samples[1]]
        metrics = a.metric(everything), b.metric(everything)
        self.metric = metrics[0]
        self.answers = a.answers
        self.a, self.b = (
            Side(metric.statistics(samples), metric.compute)
            for metric, samples in zip(metrics, self.samples, strict=True)
        )

    def equal(self) -> bool:
        """Tell whether the runs agree in every sample."""
        a, b = self.a.statistics, self.b.statistics
        return a.shape == b.shape and bool((a == b).all())

    def categories(
        self, images: Sequence[ImageId], unit: str, wanted: CompareOptions
    ) -> dict[str, dict[str, Compared]] | None:
        """Compare each category, if both runs are split by the same ones."""
        a, b = self._split
        if a is None or b is None or a.vocabulary != b.vocabulary:
            return None
        return compare_categories(
            a.metric.quantities,
            Side(a.statistics(self.samples[0]), a.metric.compute),
            Side(b.statistics(self.samples[1]), b.metric.compute),
            images,
            a.vocabulary,
            unit=unit,
            seed=wanted.seed,
            resamples=wanted.resamples,
        )


def _shared_families(a: FamiliesRead, b: FamiliesRead) -> list[str]:
    shared = [family for family in a.families if family in b.families]
    if shared:
        return shared
    for run in (a, b):
        for family, reason in run.unread.items():
            raise UserError(f"{run.path}: {family} cannot be compared: {reason}")
    raise UserError(
        f"{a.path} and {b.path}: have no metric in common ({', '.join(a.scores.metrics) or 'none'}; "
        f"{', '.join(b.scores.metrics) or 'none'}); compare runs of one kind"
    )


def _choose(wanted: Sequence[str], shared: Sequence[str], run: FamiliesRead) -> dict[str, list[str]]:
    """Return the quantities to compare of each family."""
    names = {
        family: [
            name
            for name in run.scores.metrics[family].quantities()
            if name not in run.families[family].others
        ]
        for family in shared
    }
    if not wanted:
        # Every further hypothesis makes the others harder to reject.
        return {family: names[family] for family in names if family not in ON_REQUEST} or names
    chosen: dict[str, list[str]] = {}
    for text in wanted:
        family, _, quantity = text.partition(".")
        if family not in names:
            raise UserError(
                f"--metric {text}: both runs have no {family!r}{did_you_mean(family, list(shared))}"
            )
        reading = run.families[family]
        fits = compared_fits(reading.metric([])) if reading.others else ()
        if family == compared.FORGETTING and compared.has_knowledge(run.path):
            fits = (*fits, compared.GIVEN_KNOWLEDGE)
        if quantity and quantity not in (*names[family], *fits):
            raise UserError(
                f"--metric {text}: {family} has no {quantity!r}{did_you_mean(quantity, [*names[family], *fits])}"
            )
        chosen.setdefault(family, []).extend([quantity] if quantity else names[family])
    return chosen


def _scored(run: FamiliesRead, families: Sequence[str]) -> set[Key]:
    """Return the responses that all of the families have scored."""
    return set.intersection(*(set(run.families[family].scored) for family in families))


def _shared_keys(a: FamiliesRead, b: FamiliesRead, families: Sequence[str]) -> list[Key]:
    keys = sorted(_scored(a, families) & _scored(b, families))
    if not keys:
        example = next(iter(sorted(a.responses)), ("", 0))[0], next(iter(sorted(b.responses)), ("", 0))[0]
        raise UserError(
            f"{a.path} and {b.path}: share no scored sample ({excerpt(example[0])} is one of A, "
            f"{excerpt(example[1])} of B); compare runs on the same samples"
        )
    return keys


def _images(a: FamiliesRead, b: FamiliesRead, keys: Sequence[Key], family: str) -> list[ImageId]:
    images = []
    for key in keys:
        here, there = (run.families[family].scored[key].image_id for run in (a, b))
        if here != there:
            raise UserError(
                f"{a.path} and {b.path}: sample {excerpt(key[0])} is of image {excerpt(here)} in A and of image "
                f"{excerpt(there)} in B; compare runs on the same samples"
            )
        images.append(here)
    return images


def _describe(run: FamiliesRead, other: FamiliesRead, keys: Sequence[Key]) -> ComparedRun:
    families = [family for family in run.families if family in other.families]
    scored, scored_there = _scored(run, families), _scored(other, families)
    spec = model_of(run.record.config)
    model = spec and {"name": spec.name, "options": spec.options, "description": run.record.model}
    return ComparedRun(
        name=run.record.name,
        run=run.path.as_posix(),
        signature=run.scores.signature,
        model=model,
        responses=len(run.responses),
        compared=len(keys),
        unscored=len(run.responses - scored),
        unscored_in_other=len((scored & other.responses) - scored_there),
        missing_in_other=len(scored - other.responses),
    )


def _notes(
    a: FamiliesRead,
    b: FamiliesRead,
    keys: Sequence[Key],
    decided: Mapping[str, Mapping[str, Compared]],
    equal: bool,
    clusters: int,
    unit: str,
) -> list[str]:
    """Return what a reader needs to know about the numbers."""
    notes = []
    if clusters < FEW_SHARED:
        notes.append(
            f"warning: the runs share only {clusters} {unit}; below {FEW_SHARED} the intervals tend to be too narrow"
        )
    if equal:
        notes.append("the runs do not differ in any shared sample: all differences are zero")
    mine, theirs = a.signature, b.signature
    if mine.eidolon != theirs.eidolon:
        notes.append(f"warning: scored by different versions of Eidolon, {mine.eidolon} and {theirs.eidolon}")
    if mine.dataset != theirs.dataset:
        notes.append(
            f"the dataset is {mine.dataset} in A and {theirs.dataset} in B; only the shared samples were compared"
        )
    if mine.prompt is None and theirs.prompt is None:
        notes.append("the prompts are not known, so nothing says that they were the same")
    notes += [
        f"{family} is compared where it is asked for: --metric {family}"
        for family in ON_REQUEST
        if family in a.families and family in b.families and family not in decided
    ]
    for run, other in ((a, b), (b, a)):
        for family in run.scores.metrics:
            if family in run.unread:
                notes.append(f"{run.path}: {family} cannot be compared: {run.unread[family]}")
            elif family not in other.scores.metrics:
                notes.append(f"{family} is in {run.path} alone and is left out")
    if len(keys) > clusters and any(v.mcnemar for family in decided.values() for v in family.values()):
        notes.append(
            f"McNemar's test takes questions for independent, though several are about one of the {clusters} "
            f"{unit}; p swaps all of an image's at once"
        )
    return notes


def _methods(wanted: CompareOptions, unit: str, tested: int) -> ComparisonMethods:
    interval = method(seed=wanted.seed, resamples=wanted.resamples, over=unit)
    return ComparisonMethods(
        interval=f"B - A, paired {interval}",
        test=(
            f"two-sided approximate randomisation, labels swapped by {unit}, p = (1 + extreme) / (1 + R), "
            f"R={wanted.resamples}, seed={wanted.seed}"
        ),
        correction=f"Holm over {tested} quantities",
        minimum_detectable_effect=(
            f"(z_{1 - ALPHA / 2:g} + z_{POWER:g}) * SE of the paired difference: {POWER:.0%} power at a "
            f"two-sided {ALPHA:.0%}, before correction"
        ),
        level=1 - ALPHA,
        alpha=ALPHA,
        resamples=wanted.resamples,
        seed=wanted.seed,
    )


def _as_fields(values: Mapping[str, Compared]) -> dict[str, Any]:
    return dict(values)
