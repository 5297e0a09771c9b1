"""Finished runs: read back, shown as data frames, compared."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from eidolon.benchmark.settings.fields import MIN_SHARED
from eidolon.benchmark.store.loaded import load_run as load_folder
from eidolon.benchmark.store.record import RunRecord, SampleRow
from eidolon.benchmark.verify.compare import CompareOptions, Comparison
from eidolon.benchmark.verify.compare import compare as compare_folders
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.scores import Family, Scores
from eidolon.scorers.core.types import Judgement, Response
from eidolon.scorers.statistics.paired import RESAMPLES

if TYPE_CHECKING:
    import pandas as pd


class Frames(NamedTuple):
    """A run as data frames of pandas."""

    samples: "pd.DataFrame"
    """A row a response: `sample_id`, `image_id`, `generation`, `objects` (the true ones), `response`, `finish_reason`,
    `completion_tokens`, `error`, `unscored` (the reason), `mentions` and `hallucinated` (counts)."""
    mentions: "pd.DataFrame"
    """A row a mention: `sample_id`, `image_id`, `generation`, `category`, `text`, `start`, `end`, `word`, `token`,
    `verdict`."""
    scores: "pd.DataFrame"
    """A row a number: `variant` (empty for the main one), `family`, `quantity`, `value`, `low`, `high`, `n`,
    `higher_is_better`, `reason`."""


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """A finished run."""

    path: Path | None
    """Its folder; None where the caller kept none."""
    record: RunRecord
    """`run.json`: configuration, provenance, sessions."""
    scores: Scores
    samples: tuple[SampleRow, ...]
    """The samples with their true objects; empty where answers to questions were scored."""
    responses: tuple[Response, ...]
    judgements: tuple[Judgement, ...]
    """One a response, in the same order; empty where answers to questions were scored."""

    @property
    def name(self) -> str:
        """The model's name, or for responses from elsewhere the folder's."""
        return self.record.name

    @property
    def signature(self) -> str:
        """How the scores were computed, in one line."""
        return self.scores.signature

    def __getitem__(self, family: str) -> Family:
        """Return the numbers of one metric: `run["chair"]["chair_i"].value`."""
        return self.scores.metrics[family]

    def to_pandas(self) -> Frames:
        """Return the run as data frames."""
        import pandas as pd

        return Frames(
            pd.DataFrame([*self._sample_rows()], columns=_SAMPLE_COLUMNS),
            pd.DataFrame([*self._mention_rows()], columns=_MENTION_COLUMNS),
            pd.DataFrame([*self._score_rows()], columns=_SCORE_COLUMNS),
        )

    def _sample_rows(self) -> Iterator[dict[str, object]]:
        truth = {row.sample_id: row.objects for row in self.samples}
        judgements = {(found.sample_id, found.generation): found for found in self.judgements}
        for response in self.responses:
            judgement = judgements.get((response.sample_id, response.generation))
            mentions = () if judgement is None else judgement.mentions
            yield {
                **{name: getattr(response, name) for name in _RESPONSE_COLUMNS},
                "objects": truth.get(response.sample_id),
                "unscored": None if judgement is None else judgement.unscored,
                "mentions": len(mentions),
                "hallucinated": sum(mention.verdict == "hallucinated" for mention in mentions),
            }

    def _mention_rows(self) -> Iterator[dict[str, object]]:
        for judgement in self.judgements:
            key = judgement.model_dump(include={"sample_id", "image_id", "generation"})
            for mention in judgement.mentions:
                yield {**key, **mention.model_dump(include={*_MENTION_COLUMNS})}

    def _score_rows(self) -> Iterator[dict[str, object]]:
        variants = ((variant.label, variant.metrics) for variant in self.scores.variants)
        for label, families in (("", self.scores.metrics), *variants):
            for family, found in families.items():
                for quantity, value in found.quantities().items():
                    low, high = value.ci or (None, None)
                    yield {
                        "variant": label,
                        "family": family,
                        "quantity": quantity,
                        "value": value.value,
                        "low": low,
                        "high": high,
                        "n": value.n,
                        "higher_is_better": value.higher_is_better,
                        "reason": value.reason,
                    }


_RESPONSE_COLUMNS = (
    "sample_id",
    "image_id",
    "generation",
    "response",
    "finish_reason",
    "completion_tokens",
    "error",
)
_SAMPLE_COLUMNS = [
    *_RESPONSE_COLUMNS[:3],
    "objects",
    *_RESPONSE_COLUMNS[3:],
    "unscored",
    "mentions",
    "hallucinated",
]
_MENTION_COLUMNS = [
    "sample_id",
    "image_id",
    "generation",
    "category",
    "text",
    "start",
    "end",
    "word",
    "token",
    "verdict",
]
_SCORE_COLUMNS = [
    "variant",
    "family",
    "quantity",
    "value",
    "low",
    "high",
    "n",
    "higher_is_better",
    "reason",
]


def load_run(path: str | Path) -> FinishedRun:
    """Return a finished run, read from its folder.

    Raises:
        UserError: the folder holds no finished run, or a file of it is not of this version.
    """
    run = load_folder(Path(path))
    scores = run.scores()
    return FinishedRun(
        run.path, run.record, scores, (*run.samples(),), (*run.responses(),), (*run.judgements(),)
    )


def compare(
    a: str | Path | FinishedRun,
    b: str | Path | FinishedRun,
    *,
    metrics: Sequence[str] = (),
    allow: Sequence[str] = (),
    seed: int = 0,
    resamples: int = RESAMPLES,
    min_shared: int = MIN_SHARED,
) -> Comparison:
    """Compare two runs, or run folders, sample by sample: paired intervals, tests, and the smallest detectable effect.

    `metrics` are families or single quantities as `objects.f05`, by default all that both runs have. `allow` names
    what may differ: `judge`, `reading`, `vocabulary`, `prompt`, `dataset`, `policy`. Runs that share
    fewer than `min_shared` images are refused.

    Raises:
        UserError: a folder holds no finished run, a run has no folder, or the runs cannot be compared.
    """
    wanted = CompareOptions(tuple(metrics), tuple(allow), seed, resamples, min_shared)
    return compare_folders(_folder("a", a), _folder("b", b), wanted)


def _folder(parameter: str, run: str | Path | FinishedRun) -> Path:
    if not isinstance(run, FinishedRun):
        return Path(run)
    if run.path is None:
        raise UserError(
            f"{parameter}: this run has no folder to read; give it one: eidolon.score(…, out=FOLDER)"
        )
    return run.path
