"""POPE from files: the questions with their labels, and one answer to each."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from eidolon.benchmark.data.json_rows import Row, id_field, read_rows, text_field, yes_no_field
from eidolon.benchmark.store.files import RESPONSES
from eidolon.benchmark.tasks.score_files.rows import AnswerRow, parsed, yes_no
from eidolon.benchmark.tasks.score_files.run import ANSWERS, AnswerRequest, AnswerRun, lines
from eidolon.scorers.core.errors import UserError, did_you_mean
from eidolon.scorers.core.input_files import excerpt, read_bytes
from eidolon.scorers.core.scores import Family, Scores, Variant
from eidolon.scorers.core.signature import hashed, signature
from eidolon.scorers.core.types import ImageId, Response
from eidolon.scorers.metrics.pope import AnsweredQuestion, Pope
from eidolon.scorers.metrics.scoring import assemble, named_counts, values_of
from eidolon.scorers.statistics.bootstrap import column_sums
from eidolon.scorers.text.yes_no import POLICIES

ALL = "all"
MAIN = "original"
"""The policy of `metrics` where all are asked for."""
OF_A_RUN = {"question_id": "sample_id", "answer": "response"}
"""What `responses.jsonl` of a run calls these fields; it is read as it is."""
FIELDS = ("question_id", "image", "text", "label", "question", "answer")
"""The first four are the questions', the last two and the id the answers'."""


def prepare(
    request: AnswerRequest,
    questions: Path,
    answers: Path,
    *,
    policy: str = MAIN,
    fields: Mapping[str, str] | None = None,
) -> AnswerRun:
    """Read and check all inputs: every question has exactly one answer, by its id or by its place."""
    policies = find_policies(policy)
    for name, value in (fields or {}).items():
        if name not in FIELDS:
            raise UserError(f"--field {name}={value}: unknown field {name!r}{did_you_mean(name, FIELDS)}")
    names = {name: name for name in FIELDS} | dict(fields or {})
    question_bytes, answer_bytes = read_bytes(questions), read_bytes(answers)
    asked = _read_questions(read_rows(question_bytes, questions, "questions"), names)
    rows = read_rows(answer_bytes, answers, "answers")
    texts = _read_answers(rows, answers, asked, questions, _answer_names(rows, names))
    samples = [
        AnsweredQuestion(question_id, image_id, truth, texts[question_id])
        for question_id, (image_id, _, truth) in asked.items()
    ]
    images = [sample.image_id for sample in samples]
    main = policies[0]

    def scored(name: str) -> dict[str, Family]:
        return {"pope": family(samples, name, seed=request.seed, resamples=request.resamples)}

    def scores() -> Scores:
        metric = Pope(main)
        return assemble(
            scored(main),
            images,
            signature=signature(
                dataset=hashed(questions.stem, question_bytes),
                prompt="questions",
                judge="yes-no",
                policy=f"pope(policy={main})",
                n=len(samples),
                resamples=request.resamples,
                seed=request.seed,
            ),
            counts={"pope": named_counts(metric.columns, column_sums(metric.statistics(samples)))},
            variants=[
                Variant(label=f"policy={name}", settings={"policy": name}, metrics=scored(name))
                for name in (policies if policy == ALL else ())
            ],
            seed=request.seed,
            resamples=request.resamples,
        )

    return AnswerRun(
        path=request.out,
        config={
            "verb": "score",
            "metrics": ["pope"],
            "questions": hashlib.sha256(question_bytes).hexdigest(),
            "answers": hashlib.sha256(answer_bytes).hexdigest(),
            "fields": dict(fields or {}),
            "policy": policy,
            "seed": request.seed,
            "resamples": request.resamples,
        },
        sample_ids=list(asked),
        files={
            RESPONSES: lambda: lines(_response(sample, asked[sample.question_id][1]) for sample in samples),
            ANSWERS: lambda: lines(_row(sample, policies) for sample in samples),
        },
        scores=scores,
        main=f"policy={main}",
    )


def find_policies(name: str) -> tuple[str, ...]:
    """Return the policy of that name, or all, the main one first; an unknown one is a UserError."""
    if name == ALL:
        return (MAIN, *(policy for policy in POLICIES if policy != MAIN))
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
