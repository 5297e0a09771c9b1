"""POPE from files: the questions with their labels, and one answer to each."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

from eidolon.benchmark.settings.config import Inputs
from eidolon.benchmark.settings.fields import ALL, MAIN_POLICY
from eidolon.benchmark.settings.load import Given
from eidolon.benchmark.settings.score import ScoreSettings
from eidolon.benchmark.store.files import RESPONSES
from eidolon.benchmark.store.json_lines import to_lines
from eidolon.benchmark.tasks.checking.checks import TaskChecks, TaskFile
from eidolon.benchmark.tasks.protocol import Producer, Run
from eidolon.benchmark.tasks.rows import ANSWERS, AnswerRow, parsed, yes_no
from eidolon.benchmark.tasks.score_files.checks.pope import FILES, PopeChecks
from eidolon.benchmark.tasks.score_files.inputs import check_fields, content_hashes, one_answer_file, one_path
from eidolon.benchmark.tasks.score_files.pope_files import FIELDS, read_answers, read_questions
from eidolon.benchmark.tasks.score_files.work import AnswersTask, AnswersWork, answers_run
from eidolon.scorers.core.errors import UserError, did_you_mean
from eidolon.scorers.core.input_files import read_bytes
from eidolon.scorers.core.scores import Family, Scores, Variant
from eidolon.scorers.core.signature import Signature, hashed
from eidolon.scorers.core.types import Response
from eidolon.scorers.metrics.pope import AnsweredQuestion, Pope
from eidolon.scorers.metrics.scoring import assemble, named_counts, values_of
from eidolon.scorers.statistics.bootstrap import column_sums
from eidolon.scorers.text.yes_no import POLICIES, POLICY_NAMES, TOKEN_SETS, policy_rules, read_answer


class PopeTask(AnswersTask):
    """POPE from files: the questions with their labels, and one answer to each."""

    name: ClassVar[str] = "pope"
    verb: ClassVar[Literal["score"]] = "score"
    run_files: ClassVar[tuple[TaskFile, ...]] = FILES
    fields: ClassVar[tuple[str, ...]] = ("questions", "answers", "policy", "fields")
    needs: ClassVar[tuple[str, ...]] = ("questions", "answers")

    def plan(self, given: Given[ScoreSettings], out: Path) -> tuple[Run, Producer]:
        """Read and check all inputs: every question has exactly one answer, by its id or by its place.

        Raises:
            UserError: a setting or a file is wrong.
        """
        settings = given.settings
        questions, answers = one_path(settings.questions), one_answer_file(settings)
        policies = find_policies(settings.policy)
        check_fields(settings.fields, FIELDS)
        question_bytes, answer_bytes = read_bytes(questions), read_bytes(answers)
        asked, notes = read_questions(question_bytes, questions, settings.fields)
        answered = read_answers(answer_bytes, answers, settings.fields, asked, questions)
        if policies[0] in TOKEN_SETS and not answered.logprobs:
            raise UserError(
                f"--policy {policies[0]}: {answers} has no field 'logprobs', the log-probabilities of each answer's "
                "first token; give one of the policies that read text, or --field logprobs=NAME"
            )
        samples = [
            AnsweredQuestion(
                question_id,
                question.image,
                question.truth,
                answered.texts[question_id],
                answered.logprobs.get(question_id),
            )
            for question_id, question in asked.items()
        ]
        signature = Signature(
            dataset=hashed(questions.stem, question_bytes),
            prompt="questions",
            judge="yes-no",
            text=policy_rules(policies[0]).signature(),
            policy=f"pope(policy={policies[0]})",
            n=len(samples),
            resamples=settings.resamples,
            seed=settings.seed,
        )
        return answers_run(
            self.name,
            settings,
            out,
            inputs=Inputs(
                files=content_hashes(questions=question_bytes, answers=answer_bytes),
                text=policy_rules(policies[0]).version,
                notes=(*notes, *answered.notes),
            ),
            signature=signature,
            sample_ids=list(asked),
            work=AnswersWork(
                files={
                    RESPONSES: lambda: to_lines(_response(s, asked[s.question_id].text) for s in samples),
                    ANSWERS: lambda: to_lines(_row(sample, policies) for sample in samples),
                },
                compute=lambda: score_answers(samples, settings, signature, policies),
                main=f"policy={policies[0]}",
            ),
        )

    def checks(self) -> TaskChecks:
        """Return what `eidolon check` asks of this task."""
        return PopeChecks()


def score_answers(
    samples: Sequence[AnsweredQuestion],
    settings: ScoreSettings,
    signature: Signature,
    policies: Sequence[str],
) -> Scores:
    """Return the scores under the first policy, and under all of them as variants where there are several."""
    metric = Pope(policies[0])

    def scored(policy: str) -> dict[str, Family]:
        return {"pope": family(samples, policy, seed=settings.seed, resamples=settings.resamples)}

    return assemble(
        scored(metric.policy),
        [sample.image_id for sample in samples],
        signature=signature.line(),
        counts={"pope": named_counts(metric.columns, column_sums(metric.statistics(samples)))},
        variants=[
            Variant(label=f"policy={name}", settings={"policy": name}, metrics=scored(name))
            for name in (policies if settings.policy == ALL else ())
        ],
        seed=settings.seed,
        resamples=settings.resamples,
    )


def find_policies(name: str) -> tuple[str, ...]:
    """Return the policy of that name, or all, the main one first; an unknown one is a UserError."""
    if name == ALL:
        return (MAIN_POLICY, *(policy for policy in POLICIES if policy != MAIN_POLICY))
    if name not in POLICY_NAMES:
        raise UserError(f"--policy {name}: unknown policy{did_you_mean(name, [*POLICY_NAMES, ALL])}")
    return (name,)


def family(samples: Sequence[AnsweredQuestion], policy: str, *, seed: int, resamples: int) -> Family:
    """Return the quantities under one policy, with intervals over images."""
    metric = Pope(policy)
    images = [sample.image_id for sample in samples]
    values: dict[str, Any] = values_of(
        metric, metric.statistics(samples), images, seed=seed, resamples=resamples
    )
    return Family(**values)


def _response(sample: AnsweredQuestion, text: str) -> Response:
    return Response(
        sample_id=sample.question_id,
        image_id=sample.image_id,
        response=sample.answer,
        prompt=text,
        first_token_logprobs=None if sample.logprobs is None else dict(sample.logprobs),
    )


def _row(sample: AnsweredQuestion, policies: Sequence[str]) -> AnswerRow:
    return AnswerRow(
        sample_id=sample.question_id,
        image_id=sample.image_id,
        truth=yes_no(sample.truth),
        parsed={name: parsed(read_answer(name, sample.answer, sample.logprobs)) for name in policies},
    )
