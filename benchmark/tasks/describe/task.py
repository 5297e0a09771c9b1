"""The task `describe`: models describe images, a judge finds the objects, metrics compare them with the truth."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

from eidolon.benchmark.data.categories import judged_objects
from eidolon.benchmark.data.ground_truth import join_references
from eidolon.benchmark.data.prompts import Prompt, find_prompt
from eidolon.benchmark.data.samples import Sample, SampleSource
from eidolon.benchmark.engine.generation import PromptedSample
from eidolon.benchmark.settings.load import Given
from eidolon.benchmark.settings.run import RunSettings
from eidolon.benchmark.store.batch_file import Key
from eidolon.benchmark.store.record import SampleRow
from eidolon.benchmark.tasks.checking.checks import TaskChecks, TaskFile
from eidolon.benchmark.tasks.describe.checks import DESCRIBED, JudgedChecks
from eidolon.benchmark.tasks.describe.work import POLICY, JudgedWork
from eidolon.benchmark.tasks.plugins import (
    check_annotated,
    check_fit,
    make_judge,
    make_metrics,
    matches_references,
    needs_references,
)
from eidolon.benchmark.tasks.protocol import JoinedShards, ModelRun, Questions, known_of
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.judge import Judge
from eidolon.scorers.core.metric import DepictionMetric, Metric
from eidolon.scorers.core.signature import Signature
from eidolon.scorers.judges.judged_text import text_rules
from eidolon.scorers.text.answer import TextRules


class Describe:
    """Describe every image in free form."""

    name: ClassVar[str] = "describe"
    verb: ClassVar[Literal["run"]] = "run"
    run_files: ClassVar[tuple[TaskFile, ...]] = DESCRIBED
    fields: ClassVar[tuple[str, ...]] = ("judge", "judge_options", "last_sentence", "metrics", "generations")
    defaults: ClassVar[Mapping[str, Any]] = {}

    def plan(self, given: Given[RunSettings]) -> Callable[[SampleSource], Questions]:
        """Find prompt, judge and metrics; return what makes the questions of a dataset.

        Raises:
            UserError: one of them is unknown, or they do not fit together.
        """
        return Descriptions.plan(given.settings).questions

    def checks(self) -> TaskChecks:
        """Return what `eidolon check` asks of this task."""
        return JudgedChecks()

    def joined(self, shards: JoinedShards) -> JudgedWork:
        """Return the work on the descriptions of several shards.

        Raises:
            UserError: the judge that is made here is not that of the shards.
        """
        described = Descriptions.plan(shards.config.run_settings())
        here, there = described.judge.signature(), shards.config.inputs.judge
        if here != there:
            raise UserError(f"{shards.name}: the shards were judged by {there}, and the judge here is {here}")
        return described.work_on(shards.name, shards.samples, shards.keys, shards.signature)


@dataclass(frozen=True, slots=True)
class Descriptions:
    """The prompt, the judge and the metrics of free-form descriptions."""

    settings: RunSettings
    prompt: Prompt
    judge: Judge
    metrics: tuple[Metric, ...]

    @classmethod
    def plan(cls, settings: RunSettings) -> "Descriptions":
        """Find them by the settings.

        Raises:
            UserError: one of them is unknown, or they do not fit together.
        """
        prompt = find_prompt(settings.prompt)
        judge = make_judge(settings.judge, settings.judge_options)
        metrics = make_metrics(settings.metrics, judge)
        check_fit(judge, metrics)
        return cls(settings, prompt, judge, metrics)

    @property
    def rules(self) -> TextRules:
        """The rules from a response to the text that is judged."""
        return text_rules(self.judge, self.settings.last_sentence)

    def questions(self, source: SampleSource) -> Questions:
        """Return what is asked about a dataset.

        Raises:
            UserError: a sample lacks the references that judge or metrics need, or names an unknown category.
        """
        judge = self.judge
        where = f"--dataset {self.settings.dataset}: sample"
        if source.annotator is not None:
            check_annotated(judge, f"--dataset {self.settings.dataset}")
        looked_for = {*judged_objects(source.looked_for, judge, f"--dataset {self.settings.dataset}")}
        unasked = sorted({*judge.vocabulary} - looked_for) if source.annotator is not None else []
        needing = needs_references(judge, self.metrics)
        if needing and (lacking := next((s for s in source.samples if not s.references), None)):
            raise UserError(
                f"{needing}: needs reference captions, which {where} {lacking.sample_id!r} does not have; give a "
                "dataset that has them, or score the responses with eidolon score --captions"
            )
        samples = [
            self._judged(s, f"{where} {s.sample_id!r}") for s in join_references(source.samples, judge)
        ]
        with_references = matches_references(judge)
        with_depictions = any(isinstance(m, DepictionMetric) and m.needs_depictions for m in self.metrics)
        return Questions(
            prompt=self.prompt,
            asked={sample.sample_id: PromptedSample(sample, self.prompt.text) for sample in samples},
            samples=tuple(
                SampleRow(
                    sample_id=sample.sample_id,
                    image_id=sample.image_id,
                    objects=sample.objects,
                    image_sha256=sample.image_sha256,
                    references=sample.references if with_references else (),
                    unsure=tuple(name for name in sample.unsure if name not in sample.objects),
                    unasked=tuple(unasked),
                    labelled=sample.labelled,
                    **known_of(sample),
                    **(_depicted(source, sample) if with_depictions else {}),
                )
                for sample in samples
            ),
            judge=judge,
            rules=self.rules,
            policy=POLICY,
            work=self.work,
            metrics=tuple(metric.family for metric in self.metrics),
            generations=self.settings.generations,
            summary={"judge": judge.signature(), "metrics": [metric.family for metric in self.metrics]},
        )

    def _judged(self, sample: Sample, where: str) -> Sample:
        """Return a sample with what is known of it in the categories that the judge reports."""
        labelled = sample.labelled
        return replace(
            sample,
            objects=judged_objects(sample.objects, self.judge, where),
            unsure=judged_objects(sample.unsure, self.judge, where),
            labelled=None if labelled is None else judged_objects(labelled, self.judge, where),
        )

    def work(self, run: ModelRun) -> JudgedWork:
        """Return the work on one model's descriptions."""
        return self.work_on(run.name, run.samples, run.keys, run.signature)

    def work_on(
        self, name: str, samples: tuple[SampleRow, ...], keys: tuple[Key, ...], signature: Signature
    ) -> JudgedWork:
        """Return the work on the descriptions of these samples."""
        return JudgedWork(
            name=name,
            samples=samples,
            keys=keys,
            judged_by=self.judge,
            rules=self.rules,
            metrics=self.metrics,
            signature=signature,
            seed=self.settings.seed,
            resamples=self.settings.resamples,
        )


def _depicted(source: SampleSource, sample: Sample) -> dict[str, Any]:
    """Return boxes and colours of the objects that the judge reports."""
    boxes, colours = source.boxes(sample), source.colours(sample)
    return {
        "boxes": {name: found for name, found in boxes.items() if name in sample.objects},
        "colours": {name: found for name, found in colours.items() if name in sample.objects},
    }
