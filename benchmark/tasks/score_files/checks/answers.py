"""`AnswersChecks`: the scores of answers from files, computed again from what the folder keeps of the answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from eidolon.benchmark.store.files import RESPONSES
from eidolon.benchmark.tasks.checking.checks import VARIANTS, Options, Recomputed, TaskChecks
from eidolon.benchmark.tasks.checking.problems import UncheckableError
from eidolon.benchmark.tasks.checking.run import CheckedRun
from eidolon.benchmark.tasks.reading_types import FamilyReading
from eidolon.benchmark.tasks.readings import read_families
from eidolon.scorers.core.distribution import UNKNOWN
from eidolon.scorers.core.scores import Family, Variant
from eidolon.scorers.core.signature import HASH_DIGITS
from eidolon.scorers.core.types import Response
from eidolon.scorers.metrics.scoring import assemble, category_values, named_counts, values_of
from eidolon.scorers.statistics.bootstrap import column_sums


@dataclass(frozen=True, slots=True)
class Counted:
    """How many responses of a run there are, and how many of them were scored."""

    responses: int
    scored: int


class AnswersChecks(TaskChecks):
    """Base of the tasks that score one family of answers from files."""

    family: ClassVar[str]

    def responses(self, run: CheckedRun) -> int:
        """Return how many responses there are, scored or not."""
        return len(run.lines(RESPONSES, Response))

    def intervals_over(self, run: CheckedRun) -> Literal["images", "items"]:
        """Return what intervals resample."""
        return "images"

    def counts(self, reading: FamilyReading, samples: Sequence[Any]) -> dict[str, int | float]:
        """Return the integers behind the scores."""
        metric = reading.metric(samples)
        return named_counts(metric.columns, column_sums(metric.statistics(samples)))

    def variants(self, run: CheckedRun, reading: FamilyReading) -> tuple[Variant, ...] | None:
        """Return the variants, computed again; None if they need the input files."""
        return None

    def signature_parts(self, run: CheckedRun, counted: Counted) -> Mapping[str, str]:
        """Return what the task knows of the signature, beside the parts that all such runs share."""
        return {}

    def rescore(self, run: CheckedRun, options: Options | None) -> Recomputed:
        """Compute the one family of the answers again."""
        settings, there = run.settings, run.scores()
        again = read_families(run.loaded)
        if self.family not in again.families:
            raise UncheckableError(again.unread.get(self.family, f"{self.family} is not among the scores"))
        reading = again.families[self.family]
        samples = [scored.sample for scored in reading.scored.values()]
        images = [scored.image_id for scored in reading.scored.values()]
        counted = Counted(self.responses(run), len(samples))
        variants = self.variants(run, reading)
        scores = assemble(
            {self.family: family_of(reading, settings.seed, settings.resamples)},
            images,
            signature=there.signature,
            counts={self.family: self.counts(reading, samples)},
            unscored=counted.responses - counted.scored,
            requested=there.n.requested,
            calibration=there.calibration,
            variants=there.variants if variants is None else variants,
            over=self.intervals_over(run),
            seed=settings.seed,
            resamples=settings.resamples,
        )
        unknown = {}
        if variants is None and there.variants:
            unknown[VARIANTS] = "they take the input files; score them here and compare"
        shared = {
            "prompt": UNKNOWN,
            "decoding": UNKNOWN,
            "n": str(counted.scored),
            "resamples": str(settings.resamples),
            "seed": str(settings.seed),
            "eidolon": run.version,
        }
        return Recomputed(scores, unknown, shared | dict(self.signature_parts(run, counted)))


def family_of(reading: FamilyReading, seed: int, resamples: int) -> Family:
    """Return the quantities of a family with their intervals, by category too where it is split."""
    samples = [scored.sample for scored in reading.scored.values()]
    images = [scored.image_id for scored in reading.scored.values()]
    metric = reading.metric(samples)
    statistics = metric.statistics(samples)
    values: dict[str, Any] = values_of(metric, statistics, images, seed=seed, resamples=resamples)
    split = reading.categories
    if split is None:
        return Family(**values)
    per_category = category_values(
        split.metric, split.statistics(samples), images, split.vocabulary, seed=seed, resamples=resamples
    )
    return Family(per_category=per_category, **values)


def dataset_part(run: CheckedRun, file: str) -> dict[str, str]:
    """Return the dataset of the signature, whose hash is that of an input file; nothing if the run has none."""
    source = run.settings.inputs.files.get(file)
    if source is None:
        return {}
    dataset, ending = run.signature.dataset or UNKNOWN, f"#{source[:HASH_DIGITS]}"
    return {"dataset": dataset if dataset.endswith(ending) else f"…{ending}"}
