"""Whether the files of a folder are about the same samples, each once, and what they say of them agrees."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar

from eidolon.benchmark.data.prompts import QUESTION
from eidolon.benchmark.store.files import JUDGEMENTS, QUESTIONS, RESPONSES, SAMPLES
from eidolon.benchmark.store.record import SampleRow
from eidolon.benchmark.tasks.plugins import has_closed_vocabulary
from eidolon.benchmark.tasks.registry import RESPONSES as RESPONSES_TASK
from eidolon.benchmark.tasks.rows import (
    ANSWERS,
    FREE_FORM,
    WORDS,
    AnswerRow,
    FreeFormRow,
    QuestionRow,
    WordRow,
    parsed,
    yes_no,
)
from eidolon.benchmark.tasks.score_files.responses_file import IMPORT_BATCH
from eidolon.benchmark.verify.check.findings import DifferenceError, UncheckableError
from eidolon.benchmark.verify.check.folder import CheckedFolder
from eidolon.scorers.core.input_files import excerpt
from eidolon.scorers.core.types import ImageId, Judgement, Response
from eidolon.scorers.metrics.amber import DIMENSIONS
from eidolon.scorers.metrics.detection import judged_words, word_spans
from eidolon.scorers.text.yes_no import POLICIES, strict

Key = tuple[str, int]
RowT = TypeVar("RowT", AnswerRow, WordRow)


def check_samples(folder: CheckedFolder) -> str:
    """`run.json` and `samples.jsonl` list the same samples in the same order, each once, in batches that add up."""
    ids = folder.record.sample_ids
    if (twice := _first_twice(ids)) is not None:
        raise DifferenceError(f"run.json lists sample {excerpt(twice)} twice")
    if folder.expects(SAMPLES):
        rows = folder.lines(SAMPLES, SampleRow)
        there = [row.sample_id for row in rows]
        _check_order(there, ids, SAMPLES)
        images: dict[ImageId, tuple[str, ...]] = {}
        for number, row in enumerate(rows, 1):
            if images.setdefault(row.image_id, row.objects) != row.objects:
                raise DifferenceError(
                    f"{SAMPLES}:{number}: image {excerpt(row.image_id)} has other objects before"
                )
    if folder.expects(QUESTIONS):
        asked = folder.lines(QUESTIONS, QuestionRow)
        _check_order([row.question_id for row in asked], ids, QUESTIONS)
    size, count = (folder.record.batches.get(name, 0) for name in ("size", "count"))
    keys = len(expected_keys(folder))
    if folder.record.config.task == RESPONSES_TASK:
        size = size if size == IMPORT_BATCH else 0
    if size < 1 or count != -(-keys // size):
        raise DifferenceError(
            f"run.json: {excerpt(count)} batches of {excerpt(size)} do not make {keys} responses"
        )
    return f"{len(ids)} samples, each once"


def expected_keys(folder: CheckedFolder) -> list[Key]:
    """Return (sample id, generation) of every response that the run is to have."""
    ids = folder.record.sample_ids
    if folder.record.config.task == RESPONSES_TASK:
        # A file of responses may hold several to a sample; those that there are were asked for.
        return [(r.sample_id, r.generation) for r in folder.lines(RESPONSES, Response)]
    return [(sample_id, generation) for sample_id in ids for generation in range(folder.settings.generations)]


def check_responses(folder: CheckedFolder) -> str:
    """Every sample has each of its responses once, in order; images and prompts are those of the run."""
    if not folder.expects(RESPONSES):
        raise UncheckableError("the run holds no responses, but answers of judges about them")
    responses = folder.lines(RESPONSES, Response)
    keys = [(r.sample_id, r.generation) for r in responses]
    if (twice := _first_twice(keys)) is not None:
        raise DifferenceError(
            f"{RESPONSES}: sample {excerpt(twice[0])}, generation {twice[1]}, is there twice"
        )
    _check_order(keys, expected_keys(folder), RESPONSES)
    if lacking := set(folder.record.sample_ids) - {sample_id for sample_id, _ in keys}:
        raise DifferenceError(f"{RESPONSES}: has no response to sample {excerpt(min(lacking))}")
    known = set(folder.record.sample_ids)
    images = _images(folder)
    asked = dict(_prompts(folder))
    for number, response in enumerate(responses, 1):
        place = f"{RESPONSES}:{number}"
        if response.sample_id not in known:
            raise DifferenceError(f"{place}: sample {excerpt(response.sample_id)} is not one of the run")
        if images.get(response.sample_id, response.image_id) != response.image_id:
            raise DifferenceError(f"{place}: image {excerpt(response.image_id)} is not that of the sample")
        if (response.response is None) == (response.error is None):
            raise DifferenceError(f"{place}: must have either a response or an error")
        prompt = asked.get(response.sample_id, response.prompt)
        if response.prompt not in (None, prompt):
            raise DifferenceError(
                f"{place}: answers {excerpt(response.prompt)}, which is not what the run asked"
            )
    failed = sum(response.error is not None for response in responses)
    return f"{len(responses)} responses to {len(known)} samples, {failed} of them errors"


def check_judgements(folder: CheckedFolder) -> str:
    """Each response has one judgement, whose mentions are words of it; verdicts follow the truth."""
    if folder.kind in ("pope", "amber") or (folder.kind == "detection" and not folder.has(JUDGEMENTS)):
        raise UncheckableError("runs of this kind hold no judgements")
    judgements = folder.lines(JUDGEMENTS, Judgement)
    keys = [(j.sample_id, j.generation) for j in judgements]
    if folder.kind == "throne":
        _check_order([sample_id for sample_id, _ in keys], folder.record.sample_ids, JUDGEMENTS)
        responses: list[Response] = []
    else:
        responses = folder.lines(RESPONSES, Response)
        _check_order(keys, [(r.sample_id, r.generation) for r in responses], JUDGEMENTS)
    images = _images(folder)
    for number, (judgement, response) in enumerate(zip(judgements, responses, strict=False), 1):
        place = f"{JUDGEMENTS}:{number}"
        if judgement.image_id != response.image_id:
            raise DifferenceError(f"{place}: image {excerpt(judgement.image_id)} is not that of the response")
        if response.response is None and (judgement.unscored is None or judgement.mentions):
            raise DifferenceError(f"{place}: there is no response, and it is scored")
        for mention in judgement.mentions:
            said = (response.response or "")[max(0, mention.start) : max(0, mention.end)]
            if said != mention.text:
                raise DifferenceError(
                    f"{place}: {excerpt(mention.text)} does not stand at {mention.start} to {mention.end}"
                )
    for number, judgement in enumerate(judgements, 1):
        if images.get(judgement.sample_id, judgement.image_id) != judgement.image_id:
            raise DifferenceError(
                f"{JUDGEMENTS}:{number}: image {excerpt(judgement.image_id)} is not that of the sample"
            )
    told = _check_verdicts(folder, judgements)
    mentions = sum(len(judgement.mentions) for judgement in judgements)
    return f"{len(judgements)} judgements, {mentions} mentions{told}"


def check_answers(folder: CheckedFolder) -> str:
    """What was read in each answer, and in each word, is what is read there now."""
    readers: Mapping[str, Callable[[CheckedFolder], str]] = {
        "probe": _questioned,
        "pope": _answered,
        "amber": _closed,
        "detection": _words,
    }
    reader = readers.get(folder.kind)
    if reader is None:
        raise UncheckableError("runs of this kind hold no answers to questions")
    return reader(folder)


def _questioned(folder: CheckedFolder) -> str:
    responses = folder.lines(RESPONSES, Response)
    questions = folder.lines(QUESTIONS, QuestionRow)
    samples = folder.lines(SAMPLES, SampleRow)
    rows = {row.sample_id: row for row in folder.lines(ANSWERS, AnswerRow)}
    answered = [r.sample_id for r in responses if r.response is not None]
    _check_order([*rows], answered, ANSWERS)
    for number, (question, sample, response) in enumerate(zip(questions, samples, responses, strict=True), 1):
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
            parsed={name: parsed(POLICIES[name](response.response)) for name in folder.settings.policies},
        )
        _check_row(rows[question.question_id], expected, ANSWERS)
    return f"{len(rows)} answers read again under {', '.join(folder.settings.policies)}"


def _answered(folder: CheckedFolder) -> str:
    responses = {r.sample_id: r for r in folder.lines(RESPONSES, Response)}
    rows = folder.lines(ANSWERS, AnswerRow)
    _check_order([row.sample_id for row in rows], [*responses], ANSWERS)
    for row in rows:
        answer = responses[row.sample_id].response or ""
        read = {name: parsed(POLICIES[name](answer)) for name in row.parsed}
        _check_row(row, row.model_copy(update={"parsed": read}), ANSWERS)
    return f"{len(rows)} answers read again; whether the labels are true takes the questions"


def _closed(folder: CheckedFolder) -> str:
    responses = {r.sample_id: r for r in folder.lines(RESPONSES, Response)}
    rows = folder.lines(ANSWERS, AnswerRow) if folder.has(ANSWERS) else []
    free = folder.lines(FREE_FORM, FreeFormRow) if folder.has(FREE_FORM) else []
    ids = [*(row.sample_id for row in rows), *(row.sample_id for row in free)]
    if sorted(ids) != sorted(responses):
        raise DifferenceError(f"{ANSWERS} and {FREE_FORM} do not hold the responses, each once")
    for row in rows:
        if row.dimension not in DIMENSIONS:
            raise DifferenceError(f"{ANSWERS}: unknown dimension {excerpt(row.dimension)}")
        answer = responses[row.sample_id].response or ""
        exact = {"Yes": True, "No": False}.get(answer)
        read = {mode: parsed(exact if mode == "compat" else strict(answer)) for mode in row.parsed}
        _check_row(row, row.model_copy(update={"parsed": read}), ANSWERS)
    more = f"; {len(free)} descriptions take AMBER's word lists" if free else ""
    return f"{len(rows)} answers read again{more}"


def _words(folder: CheckedFolder) -> str:
    rows = folder.lines(WORDS, WordRow)
    if not folder.has(JUDGEMENTS):
        raise UncheckableError("the words were compared with the references, which the folder does not hold")
    responses = {r.sample_id: r for r in folder.lines(RESPONSES, Response)}
    judgements = {j.sample_id: j for j in folder.lines(JUDGEMENTS, Judgement) if j.unscored is None}
    _check_order([row.sample_id for row in rows], [*judgements], WORDS)
    for row in rows:
        spans = word_spans(row.words, responses[row.sample_id].response or " ".join(row.words))
        if len(row.human) != len(row.words):
            raise DifferenceError(
                f"{WORDS}: sample {excerpt(row.sample_id)} has {len(row.human)} flags on {len(spans)} words"
            )
        scores = judged_words(judgements[row.sample_id], spans)
        _check_row(row, row.model_copy(update={"scores": scores}), WORDS)
    return f"the words of {len(rows)} responses scored again"


def _check_verdicts(folder: CheckedFolder, judgements: Sequence[Judgement]) -> str:
    """Compare verdicts with the ground truth, for a judge of a closed vocabulary."""
    closed = folder.kind in ("probe", "throne") or has_closed_vocabulary(folder.settings.chosen.judge)
    if closed is None:
        return "; their verdicts are not compared, for the judge is not installed here"
    if folder.kind == "detection" or not closed:
        return "; their verdicts depend on more than the true objects"
    objects = {row.sample_id: row.objects for row in folder.lines(SAMPLES, SampleRow)}
    for number, judgement in enumerate(judgements, 1):
        for mention in judgement.mentions:
            if mention.verdict == "ignored":
                continue  # the judge's own decision, whatever is true
            right = "grounded" if mention.category in objects[judgement.sample_id] else "hallucinated"
            if mention.verdict != right:
                raise DifferenceError(
                    f"{JUDGEMENTS}:{number}: {excerpt(mention.category)} is called {mention.verdict}, and is {right}"
                )
    return ", all verdicts as the truth has them"


def _images(folder: CheckedFolder) -> dict[str, ImageId]:
    if not folder.has(SAMPLES):
        return {}
    return {row.sample_id: row.image_id for row in folder.lines(SAMPLES, SampleRow)}


def _prompts(folder: CheckedFolder) -> Iterator[tuple[str, str]]:
    """Yield what was asked about each sample, where the run says."""
    prompt = folder.settings.inputs.prompt
    if prompt is None:
        return
    if folder.expects(QUESTIONS):
        for row in folder.lines(QUESTIONS, QuestionRow):
            yield row.question_id, prompt.text.replace(QUESTION, row.text)
    else:
        for sample_id in folder.record.sample_ids:
            yield sample_id, prompt.text


def _check_order(found: Sequence[object], wanted: Sequence[object], name: str) -> None:
    for number, (here, there) in enumerate(zip(found, wanted, strict=False), 1):
        if here != there:
            raise DifferenceError(f"{name}:{number}: holds {_told(here)} where the run has {_told(there)}")
    if len(found) != len(wanted):
        raise DifferenceError(f"{name}: holds {len(found)} lines where the run has {len(wanted)}")


def _check_row(there: RowT, here: RowT, name: str) -> None:
    if there != here:
        fields = (field for field in type(here).model_fields if getattr(here, field) != getattr(there, field))
        field = next(fields)
        raise DifferenceError(
            f"{name}: sample {excerpt(there.sample_id)}: {field} is {excerpt(getattr(there, field))} there and "
            f"{excerpt(getattr(here, field))} from the response"
        )


def _told(key: object) -> str:
    if isinstance(key, tuple):
        return f"sample {excerpt(key[0])}" + (f" (generation {key[1]})" if key[1] else "")
    return f"sample {excerpt(key)}"


def _first_twice(keys: Sequence[Key] | Sequence[str]) -> Key | str | None:
    seen = set()
    for key in keys:
        if key in seen:
            return key
        seen.add(key)
    return None
