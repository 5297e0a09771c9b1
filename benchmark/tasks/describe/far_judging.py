"""Judging by the actors of a cluster. Each makes the judge, and reads the responses from the run folder itself."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from eidolon.benchmark.engine.mapping import BatchMapper
from eidolon.benchmark.settings.config import ConfigRecord, settings_of
from eidolon.benchmark.store.files import RESPONSES
from eidolon.benchmark.store.json_lines import to_lines
from eidolon.benchmark.tasks.plugins import make_judge
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.foreign import foreign_code
from eidolon.scorers.core.judge import Evidence, Judge, SlowJudge
from eidolon.scorers.core.types import Judgement, Response
from eidolon.scorers.judges.judged_text import judge_texts
from eidolon.scorers.judges.matching import decide
from eidolon.scorers.text.answer import TextRules

WORTHWHILE = 8
"""Batches of a fast judge from which on a pool of actors is started: fewer are done before it is ready."""


@dataclass(slots=True)
class _JudgeBatches:
    """Judges batches in an actor, and returns the lines of their judgements."""

    name: str
    options: Mapping[str, str]
    rules: TextRules
    known: Mapping[str, Evidence]
    file: Path
    spans: Sequence[tuple[int, int]]
    """First byte of each batch in the file, and the byte after its last."""
    judge: Judge | None = field(default=None, init=False)

    def __call__(self, batch: int) -> bytes:
        if self.judge is None:
            self.judge = make_judge(self.name, self.options)
        first, last = self.spans[batch]
        try:
            with self.file.open("rb") as stream:
                stream.seek(first)
                content = stream.read(last - first)
        except OSError as error:
            raise UserError(
                f"{self.file}: cannot be read by an actor ({error.strerror}); all nodes must see the run folder"
            ) from error
        responses = [Response.model_validate_json(line) for line in content.splitlines()]
        evidence = [self.known[response.sample_id] for response in responses]
        with foreign_code():
            return to_lines(
                decide(self.judge, judge_texts(self.judge, responses, self.rules), evidence)
            ).encode()


def judge_far(
    mapper: BatchMapper,
    config: ConfigRecord,
    judge: Judge,
    rules: TextRules,
    known: Mapping[str, Evidence],
    folder: Path,
    batches: Sequence[slice],
) -> Iterator[list[Judgement]] | None:
    """Return the judgements of each batch in order, None where a pool would cost more than it saves.

    `batches` are positions in `responses.jsonl`.
    """
    slow = isinstance(judge, SlowJudge)
    if not batches or (not slow and len(batches) < WORTHWHILE):
        return None
    settings = settings_of(config)
    file = (folder / RESPONSES).absolute()
    function = _JudgeBatches(
        settings.judge, settings.judge_options, rules, known, file, _spans(file, batches)
    )
    return map(_judgements, mapper.map(function, len(batches), light=not slow))


def _judgements(found: tuple[str, bytes]) -> list[Judgement]:
    _, lines = found
    return [Judgement.model_validate_json(line) for line in lines.splitlines()]


def _spans(file: Path, batches: Sequence[slice]) -> list[tuple[int, int]]:
    """Return where each batch is in the file. Lines are read one at a time."""
    wanted = {place for batch in batches for place in (batch.start, batch.stop)}
    places: dict[int, int] = {}
    position = number = 0
    with file.open("rb") as stream:
        for number, line in enumerate(stream):
            if number in wanted:
                places[number] = position
            position += len(line)
    places[number + 1] = position
    return [(places[batch.start], places[batch.stop]) for batch in batches]
