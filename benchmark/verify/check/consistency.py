"""Whether the files of a folder are about the same samples, each once, and what they say of them agrees."""

from collections.abc import Iterator, Sequence

from eidolon.benchmark.data.prompts import QUESTION
from eidolon.benchmark.store.batch_file import Key
from eidolon.benchmark.store.files import JUDGEMENTS, QUESTIONS, RESPONSES, SAMPLES
from eidolon.benchmark.store.record import SampleRow
from eidolon.benchmark.tasks.checking.lines import check_order
from eidolon.benchmark.tasks.checking.problems import DifferenceError, UncheckableError
from eidolon.benchmark.tasks.checking.run import CheckedRun
from eidolon.benchmark.tasks.rows import BENCHMARK_QUESTIONS, AskedRow, QuestionRow
from eidolon.benchmark.verify.check.folder import CheckedFolder
from eidolon.scorers.core.input_files import excerpt
from eidolon.scorers.core.types import ImageId, Judgement, Response


def check_samples(folder: CheckedFolder) -> str:
    """`run.json` and `samples.jsonl` list the same samples in the same order, each once, in batches that add up."""
    run = folder.run
    ids = run.record.sample_ids
    if (twice := _first_twice(ids)) is not None:
        raise DifferenceError(f"run.json lists sample {excerpt(twice)} twice")
    if folder.expects(SAMPLES):
        rows = run.lines(SAMPLES, SampleRow)
        there = [row.sample_id for row in rows]
        check_order(there, ids, SAMPLES)
        images: dict[ImageId, tuple[str, ...]] = {}
        for number, row in enumerate(rows, 1):
            if images.setdefault(row.image_id, row.objects) != row.objects:
                raise DifferenceError(
                    f"{SAMPLES}:{number}: image {excerpt(row.image_id)} has other objects before"
                )
    if folder.expects(QUESTIONS):
        asked = run.lines(QUESTIONS, QuestionRow)
        check_order([row.question_id for row in asked], ids, QUESTIONS)
    size, count = (run.record.batches.get(name, 0) for name in ("size", "count"))
    keys = len(folder.keys())
    if folder.known_checks.batch_size not in (None, size):
        size = 0
    if size < 1 or count != -(-keys // size):
        raise DifferenceError(
            f"run.json: {excerpt(count)} batches of {excerpt(size)} do not make {keys} responses"
        )
    return f"{len(ids)} samples, each once"


def check_responses(folder: CheckedFolder) -> str:
    """Every sample has each of its responses once, in order; images and prompts are those of the run."""
    run = folder.run
    if not folder.expects(RESPONSES):
        raise UncheckableError("the run holds no responses, but answers of judges about them")
    responses = run.lines(RESPONSES, Response)
    keys = [(r.sample_id, r.generation) for r in responses]
    if (twice := _first_twice(keys)) is not None:
        raise DifferenceError(
            f"{RESPONSES}: sample {excerpt(twice[0])}, generation {twice[1]}, is there twice"
        )
    check_order(keys, folder.keys(), RESPONSES)
    if lacking := set(run.record.sample_ids) - {sample_id for sample_id, _ in keys}:
        raise DifferenceError(f"{RESPONSES}: has no response to sample {excerpt(min(lacking))}")
    known = set(run.record.sample_ids)
    images = _images(run)
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
    run, checks = folder.run, folder.checks
    if not folder.keeps(JUDGEMENTS):
        raise UncheckableError("runs of this kind hold no judgements")
    judgements = run.lines(JUDGEMENTS, Judgement)
    keys = [(j.sample_id, j.generation) for j in judgements]
    responses: Sequence[Response] = []
    if folder.keeps(RESPONSES):
        responses = run.lines(RESPONSES, Response)
        check_order(keys, [(r.sample_id, r.generation) for r in responses], JUDGEMENTS)
    else:
        check_order([sample_id for sample_id, _ in keys], run.record.sample_ids, JUDGEMENTS)
    images = _images(run)
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
    told = _check_verdicts(run, judgements, checks.verdicts_follow(run))
    mentions = sum(len(judgement.mentions) for judgement in judgements)
    return f"{len(judgements)} judgements, {mentions} mentions{told}"


def _check_verdicts(run: CheckedRun, judgements: Sequence[Judgement], follow: bool | None) -> str:
    """Compare verdicts with the ground truth, where they follow from the true objects alone."""
    if follow is None:
        return "; their verdicts are not compared, for the judge is not installed here"
    if not follow:
        return "; their verdicts depend on more than the true objects"
    objects = {row.sample_id: row.objects for row in run.lines(SAMPLES, SampleRow)}
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


def _images(run: CheckedRun) -> dict[str, ImageId]:
    if not run.has(SAMPLES):
        return {}
    return {row.sample_id: row.image_id for row in run.lines(SAMPLES, SampleRow)}


def _prompts(folder: CheckedFolder) -> Iterator[tuple[str, str]]:
    """Yield what was asked about each sample, where the run says."""
    run = folder.run
    prompt = run.settings.inputs.prompt
    if prompt is None:
        return
    if folder.expects(QUESTIONS):
        for row in run.lines(QUESTIONS, QuestionRow):
            yield row.question_id, prompt.text.replace(QUESTION, row.text)
    elif folder.expects(BENCHMARK_QUESTIONS):
        for asked in run.lines(BENCHMARK_QUESTIONS, AskedRow):
            yield asked.question_id, prompt.text.replace(QUESTION, asked.text)
    else:
        for sample_id in run.record.sample_ids:
            yield sample_id, prompt.text


def _first_twice(keys: Sequence[Key] | Sequence[str]) -> Key | str | None:
    seen = set()
    for key in keys:
        if key in seen:
            return key
        seen.add(key)
    return None
