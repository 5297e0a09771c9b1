"""Detection from files: responses whose words people have flagged, judged by one of our judges."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

from eidolon.benchmark.data.coco_format import Truth
from eidolon.benchmark.data.ground_truth import objects_in
from eidolon.benchmark.settings.config import Inputs
from eidolon.benchmark.settings.load import Given
from eidolon.benchmark.settings.score import ScoreSettings
from eidolon.benchmark.settings.thresholds import share_threshold
from eidolon.benchmark.store.files import JUDGEMENTS, RESPONSES
from eidolon.benchmark.store.json_lines import to_lines
from eidolon.benchmark.store.record import SampleRow
from eidolon.benchmark.tasks.checking.checks import TaskChecks, TaskFile
from eidolon.benchmark.tasks.plugins import make_judge, matches_references
from eidolon.benchmark.tasks.protocol import Producer, Run, Shown
from eidolon.benchmark.tasks.rows import WORDS, WordRow
from eidolon.benchmark.tasks.score_files.checks.detection import FILES, DetectionChecks
from eidolon.benchmark.tasks.score_files.flagged_lines import FLAGS, Flagged, read_flagged
from eidolon.benchmark.tasks.score_files.inputs import (
    TRUTH_FIELDS,
    check_fields,
    content_hashes,
    one_path,
    read_objects,
)
from eidolon.benchmark.tasks.score_files.matched_lines import distinct, gather_captions, join_lines
from eidolon.benchmark.tasks.score_files.source_texts import common_prompt, references_text, truth_text
from eidolon.benchmark.tasks.score_files.work import AnswersTask, AnswersWork, answers_run
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.image_ids import ImageIds
from eidolon.scorers.core.input_files import excerpt, read_bytes
from eidolon.scorers.core.judge import Evidence, Judge, judge_settings, locates_mentions
from eidolon.scorers.core.notes import InputNote
from eidolon.scorers.core.response_lines import ResponseLine
from eidolon.scorers.core.scores import Family, Scores, Variant
from eidolon.scorers.core.signature import Signature, hashed
from eidolon.scorers.core.types import ImageId, Judgement
from eidolon.scorers.judges.judged_text import judge_texts, text_rules
from eidolon.scorers.judges.matching import decide, join
from eidolon.scorers.metrics.detection import (
    BASELINE,
    CONFUSION,
    Detection,
    WordScores,
    judged_words,
    unreferenced_words,
)
from eidolon.scorers.metrics.flag_position import with_positions
from eidolon.scorers.metrics.scoring import assemble, named_counts, values_of
from eidolon.scorers.statistics.bootstrap import column_sums
from eidolon.scorers.text.answer import RAW


@dataclass(frozen=True)
class Judged:
    """The judge's part, done when it is needed: after the folder is ours."""

    judge: Judge
    flagged: Sequence[Flagged]
    truth: Truth
    references: Mapping[ImageId, tuple[str, ...]]
    """Empty where the judge does not match with them."""

    @cached_property
    def judgements(self) -> list[Judgement]:
        """One a response, with verdicts."""
        responses = [item.line.response for item in self.flagged]
        evidence = [
            Evidence(self.truth[response.image_id], self.references.get(response.image_id, ()))
            for response in responses
        ]
        return decide(self.judge, judge_texts(self.judge, responses), evidence)


class DetectionTask(AnswersTask):
    """Detection from files: responses whose words people have flagged, judged by one of our judges."""

    name: ClassVar[str] = "detection"
    verb: ClassVar[Literal["score"]] = "score"
    run_files: ClassVar[tuple[TaskFile, ...]] = FILES
    fields: ClassVar[tuple[str, ...]] = (
        "responses",
        "objects",
        "captions",
        "names",
        "judge",
        "judge_options",
        "fields",
        "limit",
        "thresholds",
    )
    needs: ClassVar[tuple[str, ...]] = ("responses",)

    def plan(self, given: Given[ScoreSettings], out: Path) -> tuple[Run, Producer]:
        """Read and check all inputs. Truth is the objects, what the references name, or both together.

        `word-overlap` in place of a judge is the plain baseline; with references it is a variant of every other.

        Raises:
            UserError: a setting or a file is wrong.
        """
        settings = given.settings
        check_fields(settings.fields, (*TRUTH_FIELDS, *FLAGS))
        threshold = share_threshold(settings)
        judge = _judge(settings)
        responses = one_path(settings.responses)
        content = read_bytes(responses)
        flagged, notes = read_flagged(content, responses, settings.fields)
        read = _read_truth(settings, judge, flagged[: settings.limit])
        flagged, captions = read.flagged, read.captions
        from_text = judge is None or matches_references(judge)
        _check_sources(settings, flagged, captions, from_text)
        judged = None
        seen = repr(sorted(map(str, captions.items())))
        if judge is not None:
            references = distinct(captions) if from_text else {}
            judged = Judged(judge, flagged, _with_captions(read, judge), references)
            seen = truth_text(judged.truth) + references_text(references)
        baseline = [
            WordScores(
                *_identity(item), unreferenced_words(item.words, captions[item.line.response.image_id])
            )
            for item in flagged
            if item.line.response.image_id in captions and item.line.response.response is not None
        ]
        detector = Detector(flagged, judged, baseline, threshold)
        said = BASELINE if judge is None else judge.signature()
        rules = RAW if judge is None else text_rules(judge)
        signature = Signature(
            dataset=hashed(responses.stem, content + seen.encode()),
            prompt=common_prompt([item.line.response for item in flagged]),
            judge=said,
            judge_settings={} if judge is None else judge_settings(judge),
            text=rules.signature(),
            policy=f"detection(threshold={_threshold(threshold)})",
            n=len(flagged),
            resamples=settings.resamples,
            seed=settings.seed,
        )
        return answers_run(
            self.name,
            settings,
            out,
            inputs=Inputs(
                files=content_hashes(responses=content),
                truth=hashed("truth", seen),
                text=rules.version,
                judge=said,
                notes=(*notes, *read.notes),
            ),
            signature=signature,
            sample_ids=[item.line.response.sample_id for item in flagged],
            work=AnswersWork(
                files={
                    RESPONSES: lambda: to_lines(item.line.response for item in flagged),
                    **({JUDGEMENTS: lambda: to_lines(judged.judgements)} if judged is not None else {}),
                    WORDS: lambda: to_lines(_word_rows(flagged, detector.samples())),
                },
                compute=lambda: detector.scores(signature, settings),
                main=settings.judge,
                shown=Shown if judged is None else lambda scores: _shown(scores, judged),
            ),
        )

    def checks(self) -> TaskChecks:
        """Return what `eidolon check` asks of this task."""
        return DetectionChecks()


@dataclass(frozen=True, slots=True)
class Detector:
    """The flagged words with what the judge, and word overlap, make of them."""

    flagged: Sequence[Flagged]
    judged: Judged | None
    baseline: Sequence[WordScores]
    threshold: float | None

    def samples(self) -> Sequence[WordScores]:
        """Return the words of the responses that could be judged."""
        if self.judged is None:
            return self.baseline
        return _word_scores(self.flagged, self.judged.judgements)

    def scores(self, signature: Signature, settings: ScoreSettings) -> Scores:
        """Return the scores of the judge, with word overlap as a variant where there are references."""
        samples = self.samples()
        main, counts = self._family(samples, settings)
        scored = {sample.sample_id for sample in samples}
        marked = [item.marked for item in self.flagged if item.line.response.sample_id in scored]
        main = with_positions(main, marked, settings.seed, settings.resamples)
        with_baseline = self.judged is not None and len(self.baseline) > 0
        return assemble(
            {"detection": main},
            [sample.image_id for sample in samples],
            signature=signature.line(),
            counts={"detection": counts},
            unscored=len(self.flagged) - len(samples),
            variants=[
                Variant(
                    label=BASELINE,
                    settings={"judge": BASELINE, "threshold": self.threshold},
                    metrics={"detection": self._family(self.baseline, settings)[0]},
                )
            ]
            if with_baseline
            else [],
            seed=settings.seed,
            resamples=settings.resamples,
        )

    def _family(
        self, samples: Sequence[WordScores], settings: ScoreSettings
    ) -> tuple[Family, dict[str, int | float]]:
        metric = Detection(samples, self.threshold)
        statistics = metric.statistics(samples)
        images = [sample.image_id for sample in samples]
        values: dict[str, Any] = values_of(
            metric, statistics, images, seed=settings.seed, resamples=settings.resamples
        )
        return Family(**values), named_counts(CONFUSION, column_sums(statistics)[: len(CONFUSION)])


def _judge(settings: ScoreSettings) -> Judge | None:
    if settings.judge != BASELINE:
        judge = make_judge(settings.judge, settings.judge_options)
        if not locates_mentions(judge):
            raise UserError(
                f"--judge {settings.judge}: does not say which words name an object, which --metric detection compares"
            )
        return judge
    for key, value in settings.judge_options.items():
        raise UserError(f"-J {key}={value}: {BASELINE} takes no options")
    return None


def _check_sources(
    settings: ScoreSettings,
    flagged: Sequence[Flagged],
    captions: Mapping[ImageId, list[str]],
    from_text: bool,
) -> None:
    if settings.objects is not None and not from_text:
        return
    for item in flagged:
        if item.line.response.image_id not in captions:
            needs = "" if from_text else "--objects, "
            raise UserError(
                f"{item.line.place}: nothing says what is in image "
                f"{excerpt(item.line.response.image_id)}; give {needs}--captions or 'references' in the line"
            )


@dataclass(frozen=True, slots=True)
class _TruthRead:
    """The responses with the image ids of the truth, and what the files say of the images."""

    flagged: list[Flagged]
    annotated: Truth
    captions: dict[ImageId, list[str]]
    notes: tuple[InputNote, ...]


def _read_truth(settings: ScoreSettings, judge: Judge | None, flagged: Sequence[Flagged]) -> _TruthRead:
    responses = one_path(settings.responses)
    lines: Sequence[ResponseLine] = [item.line for item in flagged]
    notes: list[InputNote] = []
    if settings.objects is not None and judge is not None:
        known = read_objects(settings, settings.objects, judge)
        lines, annotated, more = join_lines(lines, known, responses, settings.objects)
        notes += [*known.notes, *more]
        ids = known.ids(settings.objects)
    else:
        annotated = {line.response.image_id: frozenset() for line in lines}
        ids = ImageIds(annotated, responses)
    captions, more = gather_captions(lines, responses, settings.captions, ids)
    matched = [replace(item, line=line) for item, line in zip(flagged, lines, strict=True)]
    return _TruthRead(matched, annotated, captions, (*notes, *more))


def _with_captions(read: _TruthRead, judge: Judge) -> Truth:
    truth = dict(read.annotated)
    for image_id, objects in objects_in(read.captions, judge).items():
        truth[image_id] = join(judge, truth[image_id], objects)
    return truth


def _word_scores(flagged: Sequence[Flagged], judgements: Sequence[Judgement]) -> list[WordScores]:
    return [
        WordScores(*_identity(item), judged_words(judgement, item.spans))
        for item, judgement in zip(flagged, judgements, strict=True)
        if judgement.unscored is None
    ]


def _word_rows(flagged: Sequence[Flagged], samples: Sequence[WordScores]) -> Iterator[WordRow]:
    words = {item.line.response.sample_id: item.words for item in flagged}
    return (
        WordRow(
            sample_id=sample.sample_id,
            image_id=sample.image_id,
            words=words[sample.sample_id],
            human=sample.human,
            scores=sample.scores,
        )
        for sample in samples
    )


def _shown(scores: Scores, judged: Judged) -> Shown:
    responses = [item.line.response for item in judged.flagged]
    return Shown(
        scores,
        samples=[
            SampleRow(
                sample_id=response.sample_id,
                image_id=response.image_id,
                objects=tuple(sorted(judged.truth[response.image_id])),
            )
            for response in responses
        ],
        responses=responses,
        judgements=judged.judgements,
    )


def _identity(item: Flagged) -> tuple[str, ImageId, tuple[bool | None, ...]]:
    return item.line.response.sample_id, item.line.response.image_id, item.human


def _threshold(value: float | None) -> str:
    return "above0" if value is None else f"{value:g}"
