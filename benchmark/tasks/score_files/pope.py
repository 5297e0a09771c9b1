"""POPE from files: the questions with their labels, and one answer to each."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

from eidolon.benchmark.data.json_rows import Row, id_field, read_rows, text_field, yes_no_field
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
from eidolon.benchmark.tasks.score_files.work import AnswersTask, AnswersWork, answers_run
from eidolon.scorers.core.errors import UserError, did_you_mean
from eidolon.scorers.core.input_files import excerpt, read_bytes
from eidolon.scorers.core.scores import Family, Scores, Variant
from eidolon.scorers.core.signature import Signature, hashed
from eidolon.scorers.core.types import ImageId, Response
from eidolon.scorers.metrics.pope import AnsweredQuestion, Pope
from eidolon.scorers.metrics.scoring import assemble, named_counts, values_of
from eidolon.scorers.statistics.bootstrap import column_sums
from eidolon.scorers.text.yes_no import POLICIES, policy_rules

OF_A_RUN = {"question_id": "sample_id", "answer": "response"}
"""What `responses.jsonl` of a run calls these fields; it is read as it is."""
FIELDS = ("question_id", "image", "text", "label", "question", "answer")
"""The first four are the questions', the last two and the id the answers'."""


class PopeTask(AnswersTask):
    """Score answers to POPE's yes/no questions under named parsing policies."""

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
        names = {name: name for name in FIELDS} | settings.fields
        question_bytes, answer_bytes = read_bytes(questions), read_bytes(answers)
        asked = _read_questions(read_rows(question_bytes, questions, "questions"), names)
        rows = read_rows(answer_bytes, answers, "answers")
        texts = _read_answers(rows, answers, asked, questions, _answer_names(rows, names))
        samples = [
            AnsweredQuestion(question_id, image_id, truth, texts[question_id])
            for question_id, (image_id, _, truth) in asked.items()
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
            ),
            signature=signature,
            sample_ids=list(asked),
            work=AnswersWork(
                files={
                    RESPONSES: lambda: to_lines(_response(s, asked[s.question_id][1]) for s in samples),
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
    if name not in POLICIES:
        raise UserError(f"--policy {name}: unknown policy{did_you_mean(name, [*POLICIES, ALL])}")
    return (name,)


def family(samples: Sequence[AnsweredQuestion], policy: str, *, seed: int, resamples: int) -> Family:
    """Return the quantities under one policy, with intervals over images."""
    metric = Pope(policy)
    images = [sample.image_id for sample in samples]
    values: dict[str, Any] = values_of(
        metric, metric.statistics(samples), images, seed=seed, resamples=resamples
    )
    return Family(**values)


Asked = dict[str, tuple[ImageId, str, bool]]
"""(image, text, truth) of each question by its id."""


def _read_questions(rows: Sequence[Row], names: Mapping[str, str]) -> Asked:
    asked: Asked = {}
    places: dict[str, str] = {}
    for place, row in rows:
        question_id = str(id_field(row, names["question_id"], place))
        if question_id in asked:
            raise UserError(
                f"{place}: question id {excerpt(question_id)} stands at {places[question_id]} already"
            )
        places[question_id] = place
        asked[question_id] = (
            id_field(row, names["image"], place),
            text_field(row, names["text"], place),
            yes_no_field(row, names["label"], place),
        )
    return asked


def _answer_names(rows: Sequence[Row], names: Mapping[str, str]) -> Mapping[str, str]:
    """Return what the answers' fields are called: in a run's own responses they are called otherwise."""
    first = rows[0][1]
    renamed = any(names[field] != field or field in first for field in OF_A_RUN)
    return names if renamed or not first.keys() >= set(OF_A_RUN.values()) else {**names, **OF_A_RUN}


def _read_answers(
    rows: Sequence[Row], path: Path, asked: Asked, questions: Path, names: Mapping[str, str]
) -> dict[str, str]:
    """Return the answer to each question, joined by id where the rows have one, else in order."""
    by_id = names["question_id"] in rows[0][1]
    if not by_id and len(rows) != len(asked):
        raise UserError(
            f"{path}: holds {len(rows)} answers to the {len(asked)} questions of {questions}; without "
            f"{names['question_id']!r} there must be one for each, in order"
        )
    answers: dict[str, str] = {}
    places: dict[str, str] = {}
    for (place, row), following in zip(rows, [*asked, *[""] * len(rows)], strict=False):
        question_id = str(id_field(row, names["question_id"], place)) if by_id else following
        if question_id not in asked:
            raise UserError(f"{place}: question id {excerpt(question_id)} is not in {questions}")
        if question_id in answers:
            raise UserError(
                f"{place}: question id {excerpt(question_id)} is answered at {places[question_id]} already"
            )
        text = asked[question_id][1]
        if row.get(names["question"], text) != text:
            raise UserError(
                f"{place}: answers {excerpt(row[names['question']])} where question {question_id} of {questions} "
                f"is {excerpt(text)}"
            )
        answers[question_id] = text_field(row, names["answer"], place)
        places[question_id] = place
    if missing := [question_id for question_id in asked if question_id not in answers]:
        raise UserError(
            f"{path}: question id {excerpt(missing[0])} of {questions} has no answer ({len(missing)} of "
            f"{len(asked)} have none)"
        )
    return answers


def _response(sample: AnsweredQuestion, text: str) -> Response:
    return Response(
        sample_id=sample.question_id, image_id=sample.image_id, response=sample.answer, prompt=text
    )


def _row(sample: AnsweredQuestion, policies: Sequence[str]) -> AnswerRow:
    return AnswerRow(
        sample_id=sample.question_id,
        image_id=sample.image_id,
        truth=yes_no(sample.truth),
        parsed={name: parsed(POLICIES[name](sample.answer)) for name in policies},
    )
