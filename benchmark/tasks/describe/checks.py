"""`JudgedChecks`: runs whose responses a judge reads and metrics count, computed again for `eidolon check`.

A task whose work is `JudgedWork` returns it. It overrides `make_judge` and `metrics` where these do not come from the
settings.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from eidolon.benchmark.data.prompts import Prompt
from eidolon.benchmark.store.files import JUDGEMENTS, RESPONSES, SAMPLES
from eidolon.benchmark.store.record import SampleRow
from eidolon.benchmark.tasks.checking.checks import (
    NamedDataset,
    Options,
    Recomputed,
    TaskChecks,
    TaskFile,
)
from eidolon.benchmark.tasks.checking.problems import DifferenceError, UncheckableError
from eidolon.benchmark.tasks.checking.run import CheckedRun, is_hash
from eidolon.benchmark.tasks.describe.dataset_again import compare_with, draw_again, has_recorded_hash
from eidolon.benchmark.tasks.describe.rejudging import (
    RecordedJudge,
    compare_judgements,
    judge_again,
    make_again,
    recorded_judge,
    rules_of,
)
from eidolon.benchmark.tasks.describe.tallied import score_in_batches
from eidolon.benchmark.tasks.describe.work import JUDGE_BATCH, POLICY, JudgedWork
from eidolon.benchmark.tasks.plugins import has_closed_vocabulary, make_metrics, matches_references
from eidolon.models.base.contrast import make_contrast
from eidolon.models.base.model import Decoding
from eidolon.scorers.core.input_files import excerpt
from eidolon.scorers.core.judge import Judge, SlowJudge
from eidolon.scorers.core.metric import Metric
from eidolon.scorers.core.scores import Scores
from eidolon.scorers.core.signature import Signature, hashed
from eidolon.scorers.core.types import Judgement, Response
from eidolon.scorers.judges.matching import decide
from eidolon.scorers.text.answer import describe_rules

DESCRIBED = (
    TaskFile(SAMPLES, SampleRow),
    TaskFile(RESPONSES, Response),
    TaskFile(JUDGEMENTS, Judgement),
)
"""The files of a run of `JudgedWork`."""
DETAILED = ("forgetting", "rivals")
"""Families of metrics with a file of their own."""


@dataclass(frozen=True, slots=True)
class Origin:
    """The first parts of a run's signature, as they follow from the configuration."""

    dataset: str | None
    prompt: str | None
    decoding: str | None


class JudgedChecks(TaskChecks):
    """Free-form responses: a judge reads them again, metrics count the mentions again."""

    samples_are_images: ClassVar[bool] = True
    """Whether every sample is one image of the dataset. Otherwise it is one of several about an image."""

    def make_judge(self, run: CheckedRun, options: Options | None) -> Judge:
        """Return the run's judge.

        Raises:
            UncheckableError: it cannot be made here.
        """
        return make_again(run, options)

    def metrics(self, run: CheckedRun, judge: Judge) -> tuple[Metric, ...]:
        """Return the metrics that scored the run."""
        return make_metrics(run.settings.metrics, judge)

    def origin(self, run: CheckedRun, responses: Sequence[Response]) -> Origin:
        """Return dataset, prompt and decoding of the run's signature."""
        settings, inputs = run.settings.of_a_model, run.settings.inputs
        if not is_hash(inputs.dataset):
            raise DifferenceError("run.json: config.inputs.dataset is not a SHA-256")
        asked = inputs.prompt
        contrast = make_contrast(settings.decoding, settings.decoding_options)
        decoding = Decoding(
            settings.max_new_tokens, settings.temperature, settings.top_p, settings.seed, contrast
        )
        return Origin(
            dataset=hashed(settings.dataset, inputs.dataset or ""),
            prompt=None if asked is None else Prompt(asked.name, asked.text).signature(),
            decoding=decoding.signature(),
        )

    def verdicts_follow(self, run: CheckedRun) -> bool | None:
        """Tell whether the judge has a closed vocabulary. None if it is not installed here."""
        return has_closed_vocabulary(run.settings.chosen.judge)

    def judge(self, run: CheckedRun, options: Options | None) -> str:
        """Judge the responses again, and compare mention by mention."""
        judge = self.make_judge(run, options)
        responses = run.lines(RESPONSES, Response)
        there = run.lines(JUDGEMENTS, Judgement)
        rows = run.lines(SAMPLES, SampleRow)
        if matches_references(judge) and not any(row.references for row in rows):
            raise UncheckableError("verdicts stand on references, which the folder does not hold")
        if len(there) != len(responses):
            raise DifferenceError(f"{JUDGEMENTS}: holds {len(there)} lines for {len(responses)} responses")
        known = {row.sample_id: row.evidence for row in rows}
        size = (judge.batch if isinstance(judge, SlowJudge) else None) or JUDGE_BATCH  # as in the run
        for start in range(0, len(responses), size):
            part = responses[start : start + size]
            here = decide(judge, judge_again(run, judge, part), [known[r.sample_id] for r in part])
            compare_judgements(here, there[start : start + size], start)
        return f"{judge.signature()} says the same of all {len(responses)} responses"

    def rescore(self, run: CheckedRun, options: Options | None) -> Recomputed:
        """Compute the scores from responses and judgements again."""
        work = self.work(run, options)
        return Recomputed(self.scores(run, work), {}, work.signature.parts() | {"eidolon": run.version})

    def scores(self, run: CheckedRun, work: JudgedWork) -> Scores:
        """Return the scores of the work."""
        return score_in_batches(work, run.lines(RESPONSES, Response), run.lines(JUDGEMENTS, Judgement))

    def work(self, run: CheckedRun, options: Options | None) -> JudgedWork:
        """Return the work of the folder, from its files, as far as scoring takes it.

        Its judge is only recorded where it cannot be made again. UserErrors and UncheckableErrors say what is missing.
        """
        self.check_complete(run)
        judge: Judge
        try:
            judge = self.make_judge(run, options)
        except UncheckableError:
            judge = recorded_judge(run)
        return JudgedWork(
            name=run.record.name,
            samples=tuple(run.lines(SAMPLES, SampleRow)),
            keys=tuple(self.keys(run)),
            judged_by=judge,
            rules=rules_of(run),
            metrics=self.metrics(run, judge),
            signature=self.signature(run, judge, POLICY),
            seed=run.settings.seed,
            resamples=run.settings.resamples,
        )

    def check_complete(self, run: CheckedRun) -> None:
        """Raise an UncheckableError where responses or judgements are missing: scores need them all."""
        responses, judgements = run.lines(RESPONSES, Response), run.lines(JUDGEMENTS, Judgement)
        keys = self.keys(run)
        if [(r.sample_id, r.generation) for r in responses] != keys or len(judgements) != len(keys):
            raise UncheckableError("there is not one response and one judgement to each sample")

    def signature(self, run: CheckedRun, judge: Judge, policy: str) -> Signature:
        """Return the signature that follows from files and configuration."""
        origin = self.origin(run, run.lines(RESPONSES, Response))
        return Signature(
            dataset=origin.dataset,
            truth=run.settings.inputs.annotator,
            prompt=origin.prompt,
            decoding=origin.decoding,
            judge=judge.signature(),
            text=describe_rules(run.settings.inputs.text, run.settings.chosen.last_sentence),
            policy=policy,
            n=len(self.keys(run)),
            resamples=run.settings.resamples,
            seed=run.settings.seed,
        )

    def curves(self, run: CheckedRun, options: Options | None) -> str:
        """Compute curves, controls and fits of forgetting from the responses and the truth again.

        What the judge makes of a sentence moved about is computed again where the judge can be made here.
        """
        wanted = [family for family in DETAILED if family in run.settings.metrics]
        if not wanted:
            return super().curves(run, options)
        from eidolon.benchmark.tasks.describe.details_again import compare_details

        work = self.work(run, options)
        samples = work.judged(run.lines(RESPONSES, Response), run.lines(JUDGEMENTS, Judgement))
        if not samples:
            return "no response was scored"
        known = not isinstance(work.judged_by, RecordedJudge)
        for family in wanted:
            compare_details(run, family, samples, work.judged_by if known else None)
        files = " and ".join(f"{family}.json" for family in wanted)
        return f"{files} computed again{'' if known else ', except the judge by position'}"

    def truth(self, run: CheckedRun, given: NamedDataset | None) -> str:
        """Compare objects and pictures with the dataset that the run names, or with one that the user has."""
        settings = run.settings.of_a_model
        if given is not None:
            judge = self._judge_of_truth(run) if self.samples_are_images else None
            return compare_with(run, given, judge, samples_are_images=self.samples_are_images)
        if settings.dataset == "scenes":
            return draw_again(run, samples_are_images=self.samples_are_images)
        if self.samples_are_images and has_recorded_hash(run, run.lines(SAMPLES, SampleRow)):
            return (
                f"{SAMPLES} has the hash of {excerpt(settings.dataset)}; --dataset compares with one you have"
            )
        raise UncheckableError(
            f"{excerpt(settings.dataset)} is not drawn by a program; name it here with --dataset, and -D"
        )

    def _judge_of_truth(self, run: CheckedRun) -> Judge | None:
        try:
            return self.make_judge(run, None)
        except UncheckableError:
            return None
