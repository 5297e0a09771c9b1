"""A task: the model is asked how many kinds of objects a picture shows.

`eidolon run --task count` asks, reads the first number of each answer, and reports how often it is right and how far
it is off. An answer without a number is unscored.
"""

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np

from eidolon.benchmark.data.prompts import Prompt
from eidolon.benchmark.data.samples import SampleSource
from eidolon.benchmark.engine.generation import PromptedSample
from eidolon.benchmark.settings.load import Given
from eidolon.benchmark.settings.run import RunSettings
from eidolon.benchmark.store.record import SampleRow
from eidolon.benchmark.tasks.checking.checks import TaskChecks, TaskFile
from eidolon.benchmark.tasks.checking.run import CheckedRun
from eidolon.benchmark.tasks.describe.checks import DESCRIBED, JudgedChecks
from eidolon.benchmark.tasks.describe.work import POLICY, JudgedWork
from eidolon.benchmark.tasks.protocol import ModelRun, Questions
from eidolon.scorers.core.judge import Judge
from eidolon.scorers.core.metric import FloatArray, JudgedSample, Metric, Quantity, ratio
from eidolon.scorers.core.types import Judgement, Response
from eidolon.scorers.judges.mentions import judged

PROMPT = Prompt("count", "How many kinds of objects do you see? Answer with a number.")


class Count:
    """Ask how many kinds of objects a picture shows."""

    name: ClassVar[str] = "count"
    verb: ClassVar[Literal["run"]] = "run"
    run_files: ClassVar[tuple[TaskFile, ...]] = DESCRIBED
    fields: ClassVar[tuple[str, ...]] = ()
    defaults: ClassVar[Mapping[str, Any]] = {"max_new_tokens": 16, "temperature": 0.0}

    def plan(self, given: Given[RunSettings]) -> Callable[[SampleSource], Questions]:
        """Return what makes the questions of a dataset."""
        return ask

    def checks(self) -> TaskChecks:
        """Return what `eidolon check` asks of this task."""
        return CountChecks()


def ask(source: SampleSource) -> Questions:
    """Return what the models are asked about a dataset, and what becomes of their answers."""
    return Questions(
        prompt=PROMPT,
        asked={sample.sample_id: PromptedSample(sample, PROMPT.text) for sample in source.samples},
        samples=tuple(
            SampleRow(
                sample_id=sample.sample_id,
                image_id=sample.image_id,
                objects=sample.objects,
                image_sha256=sample.image_sha256,
            )
            for sample in source.samples
        ),
        judge=NumberJudge(),
        policy=POLICY,
        work=work,
        metrics=(CountErrors.family,),
    )


def work(run: ModelRun) -> JudgedWork:
    """Return the work on the answers of one model: a judge reads them, a metric scores them."""
    return JudgedWork(
        name=run.name,
        samples=run.samples,
        keys=run.keys,
        judged_by=NumberJudge(),
        metrics=(CountErrors(),),
        signature=run.signature,
        seed=run.settings.seed,
        resamples=run.settings.resamples,
    )


class CountChecks(JudgedChecks):
    """The judge and the metric of the task, for `eidolon check`, which computes everything else from the folder."""

    def make_judge(self, run: CheckedRun, options: Mapping[str, str] | None) -> Judge:
        """Return the judge of every such run."""
        return NumberJudge()

    def metrics(self, run: CheckedRun, judge: Judge) -> tuple[Metric, ...]:
        """Return the metric of every such run."""
        return (CountErrors(),)

    def verdicts_follow(self, run: CheckedRun) -> bool | None:
        """Return true: the judge names no object, so there is no verdict that could be wrong."""
        return True


class NumberJudge:
    """Reads numbers: it names no object, and leaves an answer without a number unscored."""

    name = "number"
    vocabulary: tuple[str, ...] = ()

    def signature(self) -> str:
        """Return how it reads."""
        return "number(first)"

    def judge(self, responses: Iterable[Response]) -> Iterator[Judgement]:
        """Yield one judgement a response, in order."""
        for response in responses:
            unscored = response.error or ("no number" if number_in(response) is None else None)
            yield judged(response, unscored=unscored)


class CountErrors:
    """How often the number of an answer is right, and how far it is off."""

    family: str = "count"
    quantities: tuple[Quantity, ...] = (
        Quantity("exact", True, (0, 1), "right numbers / answers", "no answer has a number"),
        Quantity(
            "error", False, (0, math.inf), "mean distance from the right number", "no answer has a number"
        ),
    )
    columns: tuple[str, ...] = ("answers", "right", "distance")

    def statistics(self, samples: Sequence[JudgedSample]) -> FloatArray:
        """Return the counts named by `columns`, shape (samples, 3)."""
        distances = [abs((number_in(s.response) or 0) - len(s.objects)) for s in samples]
        counts = [(1, distance == 0, distance) for distance in distances]
        return np.array(counts, dtype=float).reshape(len(samples), len(self.columns))

    def compute(self, totals: FloatArray) -> dict[str, FloatArray]:
        """Map totals (..., 3) to the quantities, shape (...)."""
        answers = totals[..., 0]
        return {"exact": ratio(totals[..., 1], answers), "error": ratio(totals[..., 2], answers)}


def number_in(response: Response) -> int | None:
    """Return the first number of a response, None where there is none."""
    found = re.search(r"\d+", response.response or "")
    return int(found[0]) if found else None
