"""The task `forget`: descriptions, and what the model still knows of the image as its text grows.

The descriptions are judged and scored as in `describe`, with the metric `forgetting` among the others. Then the model
is put into texts of a set length and is asked what it still knows: the retention probe. Its own descriptions are read
with the image and without it: visual prompt dependency. Last, its turn begins with the small objects, or with the
large ones, and it continues: forced orders. And before any text it is asked what it knows: position given knowledge.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import JsonValue

from eidolon.benchmark.data.samples import SampleSource
from eidolon.benchmark.engine.mapping import BatchMapper
from eidolon.benchmark.settings.fields import AUTO
from eidolon.benchmark.settings.load import Given
from eidolon.benchmark.settings.run import RunSettings
from eidolon.benchmark.store.folder import RunFolder
from eidolon.benchmark.store.loaded import load_run
from eidolon.benchmark.tasks.checking.checks import TaskChecks, TaskFile
from eidolon.benchmark.tasks.describe.checks import DESCRIBED
from eidolon.benchmark.tasks.describe.task import Descriptions
from eidolon.benchmark.tasks.describe.work import JudgedWork
from eidolon.benchmark.tasks.forget.attention.stage import AttentionSettings
from eidolon.benchmark.tasks.forget.checks import MEASURED, ForgetChecks
from eidolon.benchmark.tasks.forget.cloze.stage import ClozeSettings
from eidolon.benchmark.tasks.forget.estimate import (
    Probes,
    remaining_attention,
    remaining_cloze,
    remaining_knowledge,
    remaining_probes,
    remaining_turns,
)
from eidolon.benchmark.tasks.forget.forced_orders.stage import OrderSettings
from eidolon.benchmark.tasks.forget.interventions.stage import InterventionSettings
from eidolon.benchmark.tasks.forget.knowledge.stage import KnowledgeSettings
from eidolon.benchmark.tasks.forget.measurement import ModelSource
from eidolon.benchmark.tasks.forget.retention.lengths import trained_words
from eidolon.benchmark.tasks.forget.retention.stage import INTERVIEWS, RetentionSettings
from eidolon.benchmark.tasks.forget.stage import Forget, measure_forgetting
from eidolon.benchmark.tasks.protocol import ModelRun, Producer, Questions, Results, Run, Shown, Text
from eidolon.models.backends.registry import ModelReference
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.judge import Judge, RereadingJudge
from eidolon.scorers.core.scores import Scores
from eidolon.scorers.core.types import Judgement, Response
from eidolon.scorers.forgetting.knowledge import MEASURE

if TYPE_CHECKING:
    from rich.console import Console


class ForgetTask:
    """Describe every image, and measure what the model still knows of it."""

    name: ClassVar[str] = "forget"
    verb: ClassVar[Literal["run"]] = "run"
    run_files: ClassVar[tuple[TaskFile, ...]] = (*DESCRIBED, *MEASURED)
    fields: ClassVar[tuple[str, ...]] = (
        "judge",
        "judge_options",
        "metrics",
        "generations",
        "lengths",
        "trained_length",
        "skip",
    )
    defaults: ClassVar[Mapping[str, Any]] = {}

    def plan(self, given: Given[RunSettings]) -> Callable[[SampleSource], Questions]:
        """Find prompt, judge and metrics; return what makes the questions of a dataset.

        Raises:
            UserError: one of them is unknown, or the judge is not a lexicon.
        """
        described = Descriptions.plan(given.settings)
        namers = find_namers(described.judge, given.settings.judge)

        def ask(source: SampleSource) -> Questions:
            if source.annotator is not None:
                raise UserError(
                    f"--dataset {source.name}: was made by eidolon annotate, which leaves names open; --task forget "
                    "needs all objects; use --task describe"
                )
            return replace(
                described.questions(source),
                work=lambda run: forget_work(described, namers, run),
                inputs_of_model=lambda reference: inputs_of(given.settings, reference),
                interviews=True,
                measures=None if "knowledge" in given.settings.skip else MEASURE,
            )

        return ask

    def checks(self) -> TaskChecks:
        """Return what `eidolon check` asks of this task."""
        return ForgetChecks()

    def show(self, runs: "Sequence[tuple[Run, Scores]]", console: "Console") -> None:
        """Print what was measured of the runs."""
        from eidolon.benchmark.tasks.forget.attention import table as attention_table
        from eidolon.benchmark.tasks.forget.cloze import table as cloze_table
        from eidolon.benchmark.tasks.forget.forced_orders import table as orders_table
        from eidolon.benchmark.tasks.forget.interventions import table as interventions_table
        from eidolon.benchmark.tasks.forget.knowledge import table as knowledge_table
        from eidolon.benchmark.tasks.forget.retention import table as retention_table

        loaded = [load_run(run.path) for run, _ in runs]
        retention_table.show(loaded, console)
        orders_table.show(loaded, console)
        knowledge_table.show(loaded, console)
        cloze_table.show(loaded, console)
        interventions_table.show(loaded, console)
        attention_table.show(loaded, console)


def find_namers(judge: Judge, name: str) -> tuple[Judge, ...]:
    """Return the judges that find everything a text names, also what it denies.

    Raises:
        UserError: the judge has none.
    """
    if not isinstance(judge, RereadingJudge):
        raise UserError(
            f"--judge {name}: --task forget asks about what a text has not named, and this judge cannot find that; "
            "leave --judge out"
        )
    return judge.namers()


def inputs_of(settings: RunSettings, reference: ModelReference) -> dict[str, JsonValue]:
    """Return what decides the measurements beside the settings."""
    from eidolon.benchmark.tasks.forget.cloze.design import FRAME as CLOZE_FRAME
    from eidolon.benchmark.tasks.forget.continued_turns import TOKENS
    from eidolon.benchmark.tasks.forget.dependency.stage import BESIDE, WITHOUT
    from eidolon.benchmark.tasks.forget.forced_orders.design import FRAME, MOST_NAMED
    from eidolon.benchmark.tasks.forget.interventions.design import AT
    from eidolon.benchmark.tasks.forget.knowledge.design import ABSENT as CANDIDATES
    from eidolon.benchmark.tasks.forget.knowledge.design import WORDINGS
    from eidolon.benchmark.tasks.forget.retention.design import ABSENT
    from eidolon.scorers.forgetting.forced_orders import WINDOW

    optional: dict[str, JsonValue] = {
        "cloze": {"frame": CLOZE_FRAME},
        "dependency": {"without": [WITHOUT, BESIDE]},
        "interventions": {"at": list(AT)},
        "knowledge": {"absent": CANDIDATES, "wordings": list(WORDINGS), "measure": MEASURE},
    }
    return {
        "absent": ABSENT,
        "trained_words": _trained_words(settings, reference),
        **{name: value for name, value in optional.items() if name not in settings.skip},
        "orders": {"frame": FRAME, "most_named": MOST_NAMED, "window": WINDOW, "tokens": TOKENS},
    }


def forget_work(described: Descriptions, namers: tuple[Judge, ...], run: ModelRun) -> "ForgetWork":
    """Return the work on one model's descriptions and its memory."""
    settings = run.settings
    retention = RetentionSettings(
        prompt=described.prompt.text,
        lengths=tuple(sorted(set(settings.lengths))),
        trained_tokens=settings.trained_length,
        trained_words=_trained_words(settings, run.reference),
        batch_size=INTERVIEWS if settings.batch_size == AUTO else settings.batch_size,
        seed=settings.seed,
        resamples=settings.resamples,
    )
    orders = OrderSettings(
        prompt=described.prompt.text,
        decoding=run.decoding,
        judge=described.judge,
        batch_size=retention.batch_size,
        resamples=settings.resamples,
    )
    knowledge = (
        None
        if "knowledge" in settings.skip
        else KnowledgeSettings(batch_size=retention.batch_size, seed=settings.seed, judge=described.judge)
    )
    cloze = (
        None
        if "cloze" in settings.skip
        else ClozeSettings(
            prompt=described.prompt.text,
            lengths=retention.lengths,
            batch_size=retention.batch_size,
            seed=settings.seed,
            resamples=settings.resamples,
        )
    )
    interventions = (
        None
        if "interventions" in settings.skip
        else InterventionSettings(
            prompt=described.prompt.text,
            decoding=run.decoding,
            judge=described.judge,
            batch_size=retention.batch_size,
            resamples=settings.resamples,
        )
    )
    attention = (
        None
        if "attention" in settings.skip
        else AttentionSettings(described.prompt.text, seed=settings.seed, resamples=settings.resamples)
    )
    return ForgetWork(
        described.work(run), Forget(retention, orders, knowledge, cloze, interventions, attention, namers)
    )


def _trained_words(settings: RunSettings, reference: ModelReference) -> int | None:
    return trained_words(Path(reference.target)) if settings.trained_length is None else None


@dataclass(frozen=True, slots=True)
class ForgetWork:
    """Descriptions as in `describe`, then the measurements with the model."""

    described: JudgedWork
    forget: Forget

    def by(self, mapper: BatchMapper) -> "ForgetWork":
        """Return the same work with the responses judged elsewhere."""
        return replace(self, described=self.described.by(mapper))

    def rows(self) -> Mapping[str, Text]:
        """Return the text of `samples.jsonl`."""
        return self.described.rows()

    def produce(self, folder: RunFolder, producer: Producer) -> Sequence[Response]:
        """Have the missing responses produced, and return all."""
        return self.described.produce(folder, producer)

    def judge(self, folder: RunFolder, responses: Sequence[Response]) -> Sequence[Judgement]:
        """Judge what `judgements.jsonl` lacks."""
        return self.described.judge(folder, responses)

    def score(self, responses: Sequence[Response], judgements: Sequence[Judgement]) -> Scores:
        """Compute the metrics of the descriptions."""
        return self.described.score(responses, judgements)

    def remaining(self, run: Run) -> Probes:
        """Return the most that is left to ask and to read; the responses decide how much it is."""
        samples = self.described.samples
        images = len({row.image_id for row in samples})
        longest = run.config.run_settings().max_new_tokens
        return remaining_probes(
            run.path, images, len(samples), self.forget.retention, longest
        ) + self._unasked(run)

    def _unasked(self, run: Run) -> Probes:
        """Return the most that is left of the measurements that can be left out."""
        samples, forget = self.described.samples, self.forget
        left = Probes()
        if forget.knowledge is not None:
            left += remaining_knowledge(run.path, samples, forget.knowledge.batch_size)
        if forget.cloze is not None:
            left += remaining_cloze(run.path, samples, len(forget.cloze.lengths))
        if forget.interventions is not None:
            left += remaining_turns(run.path, samples)
        if forget.attention is not None:
            left += remaining_attention(run.path, len(samples), run.config.run_settings().max_new_tokens)
        return left

    def report(self, folder: RunFolder, results: Results, producer: Producer) -> Shown:
        """Measure what the folder lacks; return the scores with it, and the plots."""
        if not isinstance(producer, ModelSource):
            raise TypeError(f"{type(producer).__name__} has no model to measure")
        shown = self.described.report(folder, results, producer)
        scores, plots = measure_forgetting(
            self.forget,
            folder,
            self.described.name,
            self.described.samples,
            results.responses,
            self.described.judged(results.responses, results.judgements),
            results.scores,
            producer,
        )
        return Shown(scores, shown.samples, shown.responses, shown.judgements, plots=[*shown.plots, *plots])
