"""The task `probe`: models answer yes/no questions about objects that are in an image and objects that are not."""

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from eidolon.benchmark.data.prompts import QUESTION, find_question_prompt
from eidolon.benchmark.data.samples import SampleSource
from eidolon.benchmark.engine.generation import PromptedSample
from eidolon.benchmark.settings.load import Given
from eidolon.benchmark.settings.run import RunSettings
from eidolon.benchmark.store.atomic import write_atomically
from eidolon.benchmark.store.batch_file import Key
from eidolon.benchmark.store.files import JUDGEMENTS, QUESTIONS, RESPONSES, SAMPLES
from eidolon.benchmark.store.folder import RunFolder
from eidolon.benchmark.store.record import SampleRow
from eidolon.benchmark.tasks.checking.checks import TaskChecks, TaskFile
from eidolon.benchmark.tasks.describe.work import judge_responses, produce_responses
from eidolon.benchmark.tasks.probe.answers import Probe, find_splits, probes_path
from eidolon.benchmark.tasks.probe.checks import ProbeChecks
from eidolon.benchmark.tasks.probe.questions import Built, build
from eidolon.benchmark.tasks.protocol import (
    JoinedShards,
    Producer,
    Questions,
    Results,
    Run,
    Shown,
    Text,
    sample_text,
)
from eidolon.benchmark.tasks.rows import ANSWERS, AnswerRow, QuestionRow
from eidolon.benchmark.tasks.score_files.pope import find_policies
from eidolon.scorers.core.scores import Scores
from eidolon.scorers.core.signature import Signature
from eidolon.scorers.core.types import Judgement, Response
from eidolon.scorers.probes.model_file import load_probe_model
from eidolon.scorers.text.answer import RAW
from eidolon.scorers.text.yes_no import policy_rules

if TYPE_CHECKING:
    from rich.console import Console


class ProbeTask:
    """Ask yes/no questions about objects, as POPE does."""

    name: ClassVar[str] = "probe"
    verb: ClassVar[Literal["run"]] = "run"
    run_files: ClassVar[tuple[TaskFile, ...]] = (
        TaskFile(SAMPLES, SampleRow),
        TaskFile(QUESTIONS, QuestionRow),
        TaskFile(RESPONSES, Response),
        TaskFile(JUDGEMENTS, Judgement),
        TaskFile(ANSWERS, AnswerRow),
    )
    fields: ClassVar[tuple[str, ...]] = ("split", "policy", "pairs", "min_objects")
    defaults: ClassVar[Mapping[str, Any]] = {"prompt": "question", "max_new_tokens": 32, "temperature": 0.0}
    """Answers are short, and those of POPE are greedy."""

    def plan(self, given: Given[RunSettings]) -> Callable[[SampleSource], Questions]:
        """Find prompt, splits and policies; return what makes the questions of a dataset.

        Raises:
            UserError: one of them is unknown.
        """
        settings = given.settings
        prompt = find_question_prompt(settings.prompt)
        splits, policies = find_splits(settings.split), find_policies(settings.policy)
        path = probes_path(settings.split)
        probes = None if path is None else load_probe_model(path)

        def ask(source: SampleSource) -> Questions:
            built = build(
                source.samples,
                splits=splits,
                pairs=settings.pairs,
                min_objects=settings.min_objects,
                seed=settings.seed,
                name=settings.dataset,
                probes=probes,
            )
            probe = Probe(built, splits, policies)
            samples = built.samples
            return Questions(
                prompt=prompt,
                asked={
                    row.question_id: PromptedSample(
                        samples[row.question_id], prompt.text.replace(QUESTION, row.text), is_question=True
                    )
                    for row in built.rows
                },
                samples=tuple(
                    SampleRow(
                        sample_id=row.question_id,
                        image_id=samples[row.question_id].image_id,
                        objects=samples[row.question_id].objects,
                        image_sha256=samples[row.question_id].image_sha256,
                        labelled=samples[row.question_id].labelled,
                    )
                    for row in built.rows
                ),
                judge=probe.judge(),
                rules=policy_rules(policies[0]),
                policy=probe.policy(),
                work=lambda run: ProbeWork(
                    run.name,
                    run.samples,
                    run.keys,
                    probe.about(run.samples),
                    run.signature,
                    settings.seed,
                    settings.resamples,
                ),
                metrics=("pope",),
                inputs={
                    "images": built.images,
                    "left_out": built.left_out,
                    "questions": hashlib.sha256(probe.text().encode()).hexdigest(),
                },
                summary={
                    "images": f"{built.images}, {built.left_out} left out",
                    "questions": dict(Counter(row.split for row in built.rows)),
                    "policy": ", ".join(policies),
                    "metrics": ["pope"],
                },
            )

        return ask

    def checks(self) -> TaskChecks:
        """Return what `eidolon check` asks of this task."""
        return ProbeChecks()

    def joined(self, shards: JoinedShards) -> "ProbeWork":
        """Return the work on the answers of several shards."""
        settings = shards.config.run_settings()
        images = len({row.image for row in shards.questions})
        probe = Probe(
            Built(shards.questions, {}, images, 0),
            find_splits(settings.split),
            find_policies(settings.policy),
        )
        return ProbeWork(
            shards.name,
            shards.samples,
            shards.keys,
            probe,
            shards.signature,
            settings.seed,
            settings.resamples,
        )

    def show(self, runs: "Sequence[tuple[Run, Scores]]", console: "Console") -> None:
        """Print the splits and policies of the runs."""
        from eidolon.benchmark.tasks.probe.table import show

        show(
            [(run.name, run.work.probe, scores) for run, scores in runs if isinstance(run.work, ProbeWork)],
            console,
        )


@dataclass(frozen=True, slots=True)
class ProbeWork:
    """Yes/no answers: read under named policies, and compared with the labels."""

    name: str
    samples: tuple[SampleRow, ...]
    keys: tuple[Key, ...]
    probe: Probe
    """The questions, in the order of `keys`."""
    signature: Signature
    seed: int
    resamples: int

    def rows(self) -> Mapping[str, Text]:
        """Return the text of `samples.jsonl` and of `questions.jsonl`."""
        return {SAMPLES: sample_text(self.samples), QUESTIONS: self.probe.text}

    def produce(self, folder: RunFolder, producer: Producer) -> Sequence[Response]:
        """Have the missing answers produced, and return all."""
        return produce_responses(folder, self.keys, producer)

    def judge(self, folder: RunFolder, responses: Sequence[Response]) -> Sequence[Judgement]:
        """Read the answers under the main policy, and write what every policy reads to `answers.jsonl`."""
        judgements = judge_responses(
            self.name,
            self.probe.judge(),
            RAW,
            folder,
            self.samples,
            self.keys,
            responses,
        )
        write_atomically(folder.path / ANSWERS, self.probe.answers(responses))
        return judgements

    def score(self, responses: Sequence[Response], judgements: Sequence[Judgement]) -> Scores:
        """Score the answers by split and policy."""
        return self.probe.score(
            responses,
            [row.labelled for row in self.samples],
            signature=self.signature.line(),
            seed=self.seed,
            resamples=self.resamples,
        )

    def report(self, folder: RunFolder, results: Results, producer: Producer) -> Shown:
        """Return answers and questions for the page."""
        rows = self.probe.built.rows
        return Shown(results.scores, self.samples, results.responses, results.judgements, questions=rows)
