"""CAPTURE and CompreCap from files: captions against references or annotated scene graphs."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from inspect import signature
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

from eidolon.benchmark.data.caption_layouts import (
    FIELDS,
    GivenCaptions,
    read_annotations,
    read_captions,
    read_graphs,
    read_ratings,
    read_references,
)
from eidolon.benchmark.settings.config import Inputs
from eidolon.benchmark.settings.load import Given
from eidolon.benchmark.settings.score import ScoreSettings
from eidolon.benchmark.store.files import RESPONSES
from eidolon.benchmark.store.json_lines import to_lines
from eidolon.benchmark.tasks.checking.checks import TaskChecks, TaskFile
from eidolon.benchmark.tasks.protocol import Producer, Run
from eidolon.benchmark.tasks.rows import CAPTION_SCORES, CaptionRow
from eidolon.benchmark.tasks.score_files.inputs import check_fields, content_hashes, one_answer_file
from eidolon.benchmark.tasks.score_files.long_captions.checks import FILES, CaptionChecks
from eidolon.benchmark.tasks.score_files.long_captions.options import CaptureOptions, CompreCapOptions
from eidolon.benchmark.tasks.score_files.long_captions.work import (
    CaptureWork,
    CompreCapWork,
    RatedWork,
    check_ratings,
)
from eidolon.benchmark.tasks.score_files.work import AnswersTask, AnswersWork, answers_run
from eidolon.models.base.options import construct
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.input_files import read_bytes
from eidolon.scorers.core.notes import InputNote
from eidolon.scorers.core.scores import Family, Scores
from eidolon.scorers.core.signature import Signature, hashed
from eidolon.scorers.core.types import Response
from eidolon.scorers.metrics.benchmarks.captions import CaptionMeans, CaptionSample
from eidolon.scorers.metrics.benchmarks.capture import Capture
from eidolon.scorers.metrics.benchmarks.comprecap import CompreCap
from eidolon.scorers.metrics.benchmarks.question import check_mode
from eidolon.scorers.metrics.scoring import assemble, named_counts, values_of
from eidolon.scorers.statistics.bootstrap import column_sums

OptionsT = TypeVar("OptionsT")
FROM_FILE = "file(parsed)"
"""The judge of graphs and ratings that another program made."""


@dataclass(frozen=True, slots=True)
class Planned:
    """What a task read: which files, how captions are judged, and the work."""

    contents: Mapping[str, bytes]
    dataset: tuple[str, bytes]
    judge: str
    names: Sequence[str]
    samples: Callable[[], Sequence[CaptionSample]]
    captions: GivenCaptions | None = None


class CaptionTask(AnswersTask, ABC):
    """Base of the tasks that score captions of one benchmark."""

    name: ClassVar[str]
    metric: ClassVar[type[Capture] | type[CompreCap]]
    verb: ClassVar[Literal["score"]] = "score"
    run_files: ClassVar[tuple[TaskFile, ...]] = FILES
    fields: ClassVar[tuple[str, ...]] = ("annotations", "answers", "mode", "fields", "judge_options")
    needs: ClassVar[tuple[str, ...]] = ("answers",)

    @abstractmethod
    def read(self, settings: ScoreSettings) -> Planned:
        """Read and check all inputs."""

    def plan(self, given: Given[ScoreSettings], out: Path) -> tuple[Run, Producer]:
        """Read and check all inputs: every annotated image has exactly one caption.

        Raises:
            UserError: a setting or a file is wrong.
        """
        settings = given.settings
        check_mode(settings.mode)
        check_fields(settings.fields, FIELDS)
        planned = self.read(settings)
        notes: tuple[InputNote, ...] = () if planned.captions is None else planned.captions.notes
        failed: Mapping[str, str] = {} if planned.captions is None else planned.captions.failed
        line = Signature(
            dataset=hashed(*planned.dataset),
            judge=planned.judge,
            policy=f"{self.name}({settings.mode})",
            n=len(planned.names) - len(failed),
            resamples=settings.resamples,
            seed=settings.seed,
        )
        files: dict[str, Any] = {
            CAPTION_SCORES: lambda: (
                to_lines(
                    CaptionRow(sample_id=one.sample_id, image_id=one.image_id, values=dict(one.values))
                    for one in planned.samples()
                )
                + to_lines(
                    CaptionRow(sample_id=name, image_id=name, values={}, unscored=error)
                    for name, error in failed.items()
                )
            )
        }
        if planned.captions is not None:
            texts = planned.captions.texts
            files[RESPONSES] = lambda: to_lines(
                Response(sample_id=name, image_id=name, response=texts.get(name), error=failed.get(name))
                for name in planned.names
            )
        return answers_run(
            self.name,
            settings,
            out,
            inputs=Inputs(files=content_hashes(**planned.contents), judge=planned.judge, notes=notes),
            signature=line,
            sample_ids=[*planned.names],
            work=AnswersWork(
                files=files,
                compute=lambda: score_captions(
                    planned.samples(),
                    self.metric(),
                    signature=line.line(),
                    unscored=len(failed),
                    seed=settings.seed,
                    resamples=settings.resamples,
                ),
                main=settings.mode,
            ),
        )

    def checks(self) -> TaskChecks:
        """Return what `eidolon check` asks of this task."""
        return CaptionChecks(self.name)


class CaptureTask(CaptionTask):
    """CAPTURE from files: captions of DetailCaps and their references, or the graphs of both."""

    name: ClassVar[str] = "capture"
    metric = Capture

    def read(self, settings: ScoreSettings) -> Planned:
        """Read captions and references; or graphs that CAPTURE's program parsed, which need no references."""
        options = _options(CaptureOptions, settings, self.name)
        matcher = options.matcher(settings.mode)
        path = one_answer_file(settings)
        content = read_bytes(path)
        graphs = read_graphs(content, path)
        if graphs is not None:
            if settings.annotations is not None:
                raise UserError(
                    f"--annotations {settings.annotations}: {path} holds the graphs of the references already; "
                    "leave it out"
                )
            work = CaptureWork(matcher, options.parser, {}, {}, graphs)
            judge = f"{FROM_FILE},{matcher.signature()}"
            names = [*graphs]
            return Planned({"answers": content}, (path.stem, content), judge, names, lambda: work.samples)
        truth, truth_path = _annotations(settings, self.name)
        references = read_references(truth, truth_path)
        captions = read_captions(content, path, [*references], settings.fields)
        scored = {name: references[name] for name in captions.texts}
        work = CaptureWork(matcher, options.parser, scored, captions.texts)
        return Planned(
            {"annotations": truth, "answers": content},
            (truth_path.stem, truth),
            f"{options.parser.signature()},{matcher.signature()}",
            [*references],
            lambda: work.samples,
            captions,
        )


class CompreCapTask(CaptionTask):
    """CompreCap from files: captions and annotated scene graphs, or the ratings of the released program."""

    name: ClassVar[str] = "comprecap"
    metric = CompreCap

    def read(self, settings: ScoreSettings) -> Planned:
        """Read annotations, and captions or ratings."""
        options = _options(CompreCapOptions, settings, self.name)
        truth, truth_path = _annotations(settings, self.name)
        annotated = read_annotations(truth, truth_path, options.description)
        path = one_answer_file(settings)
        content = read_bytes(path)
        contents, dataset = {"annotations": truth, "answers": content}, (truth_path.stem, truth)
        if (ratings := read_ratings(content, path)) is not None:
            check_ratings(annotated, ratings, str(path))
            rated = RatedWork(annotated, ratings)
            return Planned(contents, dataset, FROM_FILE, [*ratings], lambda: rated.samples)
        captions = read_captions(content, path, [*annotated], settings.fields)
        coverage, rater = options.coverage(settings.mode), options.rater(settings.mode)
        scored = {name: annotated[name] for name in captions.texts}
        work = CompreCapWork(coverage, rater, scored, captions.texts)
        judge = f"{coverage.signature()},{rater.signature()}"
        return Planned(contents, dataset, judge, [*annotated], lambda: work.samples, captions)


def score_captions(
    samples: Sequence[CaptionSample],
    metric: CaptionMeans,
    *,
    signature: str,
    unscored: int,
    seed: int,
    resamples: int,
) -> Scores:
    """Return the scores, with intervals over images."""
    images = [sample.image_id for sample in samples]
    statistics = metric.statistics(samples)
    values: dict[str, Any] = values_of(metric, statistics, images, seed=seed, resamples=resamples)
    return assemble(
        {metric.family: Family(**values)},
        images,
        signature=signature,
        counts={metric.family: named_counts(metric.columns, column_sums(statistics))},
        unscored=unscored,
        seed=seed,
        resamples=resamples,
    )


def _annotations(settings: ScoreSettings, metric: str) -> tuple[bytes, Path]:
    path = settings.annotations
    if path is None:
        wanted = "the references of DetailCaps" if metric == "capture" else "anno.json of CompreCap"
        raise UserError(f"--metric {metric}: needs --annotations FILE, {wanted}")
    return read_bytes(path), path


def _options(kind: Callable[..., OptionsT], settings: ScoreSettings, metric: str) -> OptionsT:
    """Return the options of a metric; `models` become language models."""
    options = dict(settings.judge_options)
    factory: Callable[..., OptionsT] = kind
    own = tuple(signature(kind).parameters)
    if "models" in options and "models" in own:
        from eidolon.models.backends.text_models import language_models

        foreign = {key: value for key, value in options.items() if key not in own}
        models = language_models(options.pop("models"), foreign, taken=own)
        options = {key: value for key, value in options.items() if key in own}
        factory = partial(kind, models=models)
    return construct(factory, options, flag="-J", what=f"metric {metric!r}")
