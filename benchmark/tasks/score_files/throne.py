"""THRONE from files: one of answers for each judge, and the instances of the images."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from eidolon.benchmark.data.coco_format import read_coco
from eidolon.benchmark.settings.config import Inputs
from eidolon.benchmark.settings.load import Given
from eidolon.benchmark.settings.score import ScoreSettings
from eidolon.benchmark.settings.thresholds import whole_thresholds
from eidolon.benchmark.store.files import JUDGEMENTS, SAMPLES
from eidolon.benchmark.store.json_lines import to_lines
from eidolon.benchmark.store.record import SampleRow
from eidolon.benchmark.tasks.checking.checks import TaskChecks, TaskFile
from eidolon.benchmark.tasks.protocol import Producer, Run
from eidolon.benchmark.tasks.score_files.checks.throne import FILES, ThroneChecks
from eidolon.benchmark.tasks.score_files.inputs import content_hashes, one_path
from eidolon.benchmark.tasks.score_files.throne_files import Annotated, Votes, read_annotated, read_votes
from eidolon.benchmark.tasks.score_files.work import AnswersTask, AnswersWork, answers_run
from eidolon.scorers.core.calibration import Calibration
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.image_ids import ImageIds
from eidolon.scorers.core.input_files import excerpt, read_bytes
from eidolon.scorers.core.notes import InputNote, assumed, warning
from eidolon.scorers.core.response_lines import match_images, read_responses
from eidolon.scorers.core.scores import Family, Scores, Variant
from eidolon.scorers.core.signature import Signature, hashed
from eidolon.scorers.core.types import ImageId, Judgement, Mention, Response, Verdict
from eidolon.scorers.judges.agreement import by_position, calibrate, first_parts
from eidolon.scorers.judges.lexicon import LexiconJudge
from eidolon.scorers.judges.votes import VotedCells, check_threshold
from eidolon.scorers.metrics.scoring import assemble, category_values, values_of
from eidolon.scorers.metrics.throne import Throne, VotedImage, cell_counts, check_mode


class ThroneTask(AnswersTask):
    """THRONE from files: one of answers for each judge, and the instances of the images."""

    name: ClassVar[str] = "throne"
    verb: ClassVar[Literal["score"]] = "score"
    run_files: ClassVar[tuple[TaskFile, ...]] = FILES
    fields: ClassVar[tuple[str, ...]] = (
        "answers",
        "annotations",
        "thresholds",
        "mode",
        "responses",
        "fields",
    )
    needs: ClassVar[tuple[str, ...]] = ("answers", "annotations")

    def plan(self, given: Given[ScoreSettings], out: Path) -> tuple[Run, Producer]:
        """Read and check all inputs. The first threshold is the main one; without any, all must agree.

        With the `responses` that the answers are about, agreement is also reported by position in them.

        Raises:
            UserError: a setting or a file is wrong.
        """
        settings = given.settings
        annotations = one_path(settings.annotations)
        check_mode(settings.mode)
        content, document = read_coco(annotations)
        annotated = read_annotated(document, annotations)
        contents = [read_bytes(path) for path in settings.answers]
        votes = read_votes(settings.answers, contents, annotated, annotations)
        wanted = _thresholds(settings, votes)
        scored = VotedRun.of(votes, annotated, wanted, settings)
        signature = Signature(
            dataset=hashed(annotations.stem, content),
            judge=f"votes(judges={'+'.join(votes.judges)},formats={votes.formats})",
            policy=f"throne(mode={settings.mode},threshold={wanted[0]}of{votes.voters})",
            n=len(scored.images),
            resamples=settings.resamples,
            seed=settings.seed,
        )
        read = _read_responses_of(settings, scored)
        answers = {f"answers.{name}": data for name, data in zip(votes.judges, contents, strict=True)}
        more = {} if settings.responses is None else {"responses": read_bytes(settings.responses)}
        return answers_run(
            self.name,
            settings,
            out,
            inputs=Inputs(
                files=content_hashes(annotations=content, **answers, **more),
                task={"thresholds": [*wanted], "voters": votes.voters},
                notes=_notes(annotated, votes),
            ),
            signature=signature,
            sample_ids=votes.images,
            work=AnswersWork(
                files={SAMPLES: scored.sample_text, JUDGEMENTS: _judgements(scored)},
                compute=lambda: scored.scores(signature, settings, read),
                main=f"threshold={wanted[0]}",
            ),
        )

    def checks(self) -> TaskChecks:
        """Return what `eidolon check` asks of this task."""
        return ThroneChecks()


@dataclass(frozen=True, slots=True, eq=False)
class VotedRun:
    """The votes on all images, and the metric at each threshold, the main one first."""

    votes: Votes
    annotated: Annotated
    images: tuple[ImageId, ...]
    samples: Sequence[VotedImage]
    metrics: Sequence[Throne]
    decided: VotedCells
    """The cells at the main threshold."""

    @classmethod
    def of(
        cls, votes: Votes, annotated: Annotated, thresholds: Sequence[int], settings: ScoreSettings
    ) -> "VotedRun":
        """Count the votes."""
        images = tuple(annotated.image_ids[name] for name in votes.images)
        counts = votes.yes.sum(axis=(0, 1))
        samples = [
            VotedImage(image_id, counts[i], annotated.truth[name])
            for i, (name, image_id) in enumerate(zip(votes.images, images, strict=True))
        ]
        categories = len(annotated.categories)
        metrics = [Throne(settings.mode, k, votes.voters, categories) for k in thresholds]
        return cls(votes, annotated, images, samples, metrics, metrics[0].cells(samples))

    def scores(self, signature: Signature, settings: ScoreSettings, read: "ResponsesRead | None") -> Scores:
        """Return the scores at the main threshold, and at the others as variants."""
        main, *others = self.metrics
        return assemble(
            {"throne": self._family(main, settings)},
            self.images,
            signature=signature.line(),
            counts={"throne": cell_counts(self.decided)},
            calibration=_calibration(
                self.votes, self.decided, main.threshold, read, self.annotated.categories
            ),
            variants=[
                Variant(
                    label=f"threshold={metric.threshold}",
                    settings={"threshold": metric.threshold, "mode": settings.mode},
                    metrics={"throne": self._family(metric, settings)},
                )
                for metric in others
            ],
            seed=settings.seed,
            resamples=settings.resamples,
        )

    def sample_text(self) -> str:
        """Return the text of `samples.jsonl`."""
        truth = self.annotated.truth
        return to_lines(
            SampleRow(
                sample_id=name,
                image_id=image_id,
                objects=tuple(sorted(self.annotated.names(truth[name]))),
            )
            for name, image_id in zip(self.votes.images, self.images, strict=True)
        )

    def _family(self, metric: Throne, settings: ScoreSettings) -> Family:
        values: dict[str, Any] = values_of(
            metric,
            metric.statistics(self.samples),
            self.images,
            seed=settings.seed,
            resamples=settings.resamples,
        )
        per_category = category_values(
            metric.by_category(),
            metric.category_statistics(self.samples),
            self.images,
            self.annotated.categories,
            seed=settings.seed,
            resamples=settings.resamples,
        )
        return Family(per_category=per_category if metric is self.metrics[0] else None, **values)


def _notes(annotated: Annotated, votes: Votes) -> tuple[InputNote, ...]:
    """Return what was assumed of the ids of the answers, and what is odd in the annotations.

    Keys of JSON are text, so the number of an image as text is the rule, not an assumption.
    """
    notes = [*annotated.notes]
    other = {key: image_id for key, image_id in annotated.ids.matched.items() if str(image_id) != key}
    if other:
        example = next(iter(other.items()))
        notes.append(assumed("answers", "ids", count=len(other), of=len(votes.images), example=[*example]))
    if not any(annotated.truth[name].any() for name in votes.images):
        notes.append(warning("annotations", "no objects", images=len(votes.images)))
    return tuple(notes)


def _thresholds(settings: ScoreSettings, votes: Votes) -> list[int]:
    wanted = [check_threshold(k, votes.voters) for k in whole_thresholds(settings) or (votes.voters,)]
    if len(set(wanted)) != len(wanted):
        raise UserError(f"--threshold {','.join(map(str, wanted))}: names a threshold twice")
    return wanted


@dataclass(frozen=True, slots=True)
class ResponsesRead:
    """The responses that the answers are about, and the judge that finds where a category is named."""

    responses: Sequence[Response]
    """In the order of the images."""
    reader: LexiconJudge


def _read_responses_of(settings: ScoreSettings, scored: VotedRun) -> ResponsesRead | None:
    if settings.responses is None:
        return None
    return _read_responses(settings.responses, settings.fields, scored.images, scored.annotated.categories)


def _read_responses(
    path: Path, fields: Mapping[str, str], images: Sequence[ImageId], categories: tuple[str, ...]
) -> ResponsesRead:
    """Read one response an image; the categories must be the lexicon's, which is to find them."""
    reader = LexiconJudge()
    for name in categories:
        if name not in reader.vocabulary:
            raise UserError(
                f"--responses {path}: the lexicon {reader.lexicon.name} does not know the category {name!r}, so "
                "agreement by position is unknown; leave --responses out"
            )
    found: dict[ImageId, Response] = {}
    file = read_responses(read_bytes(path), path, fields)
    for line in match_images(file.lines, ImageIds(images, path)):
        if found.setdefault(line.response.image_id, line.response) is not line.response:
            raise UserError(
                f"{line.place}: image {excerpt(line.response.image_id)} has a response before; answers are "
                "about one an image"
            )
    for image_id in images:
        if image_id not in found:
            raise UserError(f"--responses {path}: has no response to image {excerpt(image_id)}")
    return ResponsesRead([found[image_id] for image_id in images], reader)


def _calibration(
    votes: Votes, cells: VotedCells, threshold: int, read: ResponsesRead | None, categories: tuple[str, ...]
) -> Calibration:
    found = calibrate(votes.yes, votes.judges, cells.ignored, threshold)
    if read is None:
        return found
    parts = first_parts(read.responses, read.reader, categories)
    positions = by_position(votes.yes, votes.judges, cells.ignored, parts, read.reader.signature())
    return found.model_copy(update={"by_position": positions})


def _judgements(scored: VotedRun) -> Callable[[], str]:
    """Return the text of `judgements.jsonl`: the categories that are present or ignored, with the votes.

    A judge that is asked about the whole response does not say where a category is named; the span is empty.
    """
    votes, images, annotated, cells = scored.votes, scored.images, scored.annotated, scored.decided

    def mention(image: int, category: int) -> Mention:
        verdict: Verdict = "ignored"
        if not cells.ignored[image, category]:
            verdict = "grounded" if cells.truth[image, category] else "hallucinated"
        return Mention(
            category=annotated.categories[category],
            text="",
            start=0,
            end=0,
            word=0,
            verdict=verdict,
            votes={
                f"{judge}/{m + 1}": int(votes.yes[j, m, image, category])
                for j, judge in enumerate(votes.judges)
                for m in range(votes.formats)
            },
        )

    def text() -> str:
        return to_lines(
            Judgement(
                sample_id=votes.images[i],
                image_id=image_id,
                mentions=tuple(
                    mention(i, int(c)) for c in np.flatnonzero(cells.predicted[i] | cells.ignored[i])
                ),
            )
            for i, image_id in enumerate(images)
        )

    return text
