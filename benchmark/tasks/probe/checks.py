"""A probe computed again for `eidolon check`: its questions, its answers, its scores by split and policy."""

import hashlib

from eidolon.benchmark.store.files import QUESTIONS, RESPONSES, SAMPLES
from eidolon.benchmark.store.record import SampleRow
from eidolon.benchmark.tasks.checking.checks import NamedDataset, Options, Recomputed
from eidolon.benchmark.tasks.checking.lines import check_order, check_row
from eidolon.benchmark.tasks.checking.problems import DifferenceError, UncheckableError
from eidolon.benchmark.tasks.checking.run import CheckedConfig, CheckedRun
from eidolon.benchmark.tasks.describe.checks import JudgedChecks
from eidolon.benchmark.tasks.probe.answers import Probe, find_splits
from eidolon.benchmark.tasks.probe.questions import Built
from eidolon.benchmark.tasks.rows import ANSWERS, AnswerRow, QuestionRow, parsed, yes_no
from eidolon.benchmark.tasks.score_files.pope import find_policies
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.input_files import excerpt
from eidolon.scorers.core.judge import Judge
from eidolon.scorers.core.types import Response
from eidolon.scorers.text.yes_no import read_answer


class ProbeChecks(JudgedChecks):
    """Yes/no answers: read again under named policies, and compared with the labels."""

    samples_are_images = False

    def check_settings(self, config: CheckedConfig) -> None:
        """Find splits and policies.

        Raises:
            UserError: one of them is unknown.
        """
        find_policies(config.of_a_model.policy)
        find_splits(config.of_a_model.split)

    def make_judge(self, run: CheckedRun, options: Options | None) -> Judge:
        """Return the judge that reads under the main policy; it takes no options."""
        return probe_of(run).judge()

    def verdicts_follow(self, run: CheckedRun) -> bool | None:
        """Return true: an answer is right or wrong by its label."""
        return True

    def answers(self, run: CheckedRun) -> str:
        """Read the answers again under all policies, and compare the labels with the objects of the images."""
        policies = probe_of(run).policies
        responses = run.lines(RESPONSES, Response)
        questions = run.lines(QUESTIONS, QuestionRow)
        samples = run.lines(SAMPLES, SampleRow)
        rows = {row.sample_id: row for row in run.lines(ANSWERS, AnswerRow)}
        answered = [r.sample_id for r in responses if r.response is not None]
        check_order([*rows], answered, ANSWERS)
        for number, (question, sample, response) in enumerate(
            zip(questions, samples, responses, strict=True), 1
        ):
            place = f"{QUESTIONS}:{number}"
            if question.image != sample.image_id:
                raise DifferenceError(f"{place}: image {excerpt(question.image)} is not that of the sample")
            if yes_no(question.category in sample.objects) != question.label:
                raise DifferenceError(
                    f"{place}: the label is {question.label}, and the objects of the image say otherwise"
                )
            if response.response is None:
                continue
            expected = AnswerRow(
                sample_id=question.question_id,
                image_id=question.image,
                dimension=question.split,
                truth=question.label,
                parsed={
                    name: parsed(read_answer(name, response.response, response.first_token_logprobs))
                    for name in policies
                },
            )
            check_row(rows[question.question_id], expected, ANSWERS)
        return f"{len(rows)} answers read again under {', '.join(policies)}"

    def rescore(self, run: CheckedRun, options: Options | None) -> Recomputed:
        """Compute the scores from the answers and the labels again."""
        self.check_complete(run)
        probe, settings = probe_of(run), run.settings
        signature = self.signature(run, probe.judge(), probe.policy())
        scores = probe.score(
            run.lines(RESPONSES, Response),
            [row.labelled for row in run.lines(SAMPLES, SampleRow)],
            signature=signature.line(),
            seed=settings.seed,
            resamples=settings.resamples,
        )
        return Recomputed(scores, {}, signature.parts() | {"eidolon": run.version})

    def curves(self, run: CheckedRun, options: Options | None) -> str:
        """Return that a probe has none."""
        return "nothing was asked about forgetting"

    def truth(self, run: CheckedRun, given: NamedDataset | None) -> str:
        """Compare the questions with their hash, and the objects and pictures with the dataset."""
        wanted = run.settings.task_input("questions", str)
        content = (run.path / QUESTIONS).read_bytes() if run.has(QUESTIONS) else b""
        if hashlib.sha256(content).hexdigest() != wanted:
            raise DifferenceError(
                f"{QUESTIONS} does not have the hash in run.json: config.inputs.task.questions"
            )
        return super().truth(run, given)


def probe_of(run: CheckedRun) -> Probe:
    """Return the questions of a probe, as the folder holds them."""
    settings = run.settings
    rows = tuple(run.lines(QUESTIONS, QuestionRow))
    images, left_out = (settings.task_input(name, int) or 0 for name in ("images", "left_out"))
    asked = settings.of_a_model
    try:
        splits, policies = find_splits(asked.split), find_policies(asked.policy)
    except UserError as error:
        raise UncheckableError(f"the config cannot be read: {error}") from error
    return Probe(Built(rows, {}, images, left_out), splits, policies)
