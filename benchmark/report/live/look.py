"""What the responses of a run say so far: counts, failures, and the first hallucinations.

Everything is read from the run folder, so that a resumed run and one of several processes look the same. Until the run
judges its responses itself, a fast judge reads the first ones here, for a short time in each look.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from eidolon.benchmark.report.live.records import Counts, Example
from eidolon.benchmark.report.live.tail import Tail
from eidolon.benchmark.report.view.pictures import data_uri, encode
from eidolon.benchmark.store.files import JUDGEMENTS, RESPONSES
from eidolon.benchmark.store.record import SampleRow
from eidolon.benchmark.tasks.protocol import Producer, Questions
from eidolon.scorers.core.foreign import foreign_code
from eidolon.scorers.core.judge import Judge, SlowJudge
from eidolon.scorers.core.types import Judgement, Response
from eidolon.scorers.judges.judged_text import judge_texts
from eidolon.scorers.judges.matching import decide
from eidolon.scorers.text.answer import TextRules

EXAMPLES = 8
"""Hallucinations that the page shows."""
TEXT = 1500
"""Characters of a response that the page shows."""
REASONS = 3
REASON = 300
"""Characters of the reason of a failure."""
LINES = 2000
"""Lines of a file that are read in one look."""
CHUNK = 2
"""Responses that the judge is handed at a time."""
JUDGE_S = 0.02
"""Seconds that one look spends on judging."""
PENDING = 256
"""Responses that wait for the judge here. Later ones wait for the run's own judging."""
PICTURES = 2
"""Pictures that one look reads."""
LATER = "The judge takes long, so it reads the responses when all are there."

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Reading:
    """How the responses of a command are judged."""

    judge: Judge
    rules: TextRules
    samples: Mapping[str, SampleRow]
    prompts: Mapping[str, str]
    """By sample id, the questions that are asked; empty where every sample has the same prompt."""

    @classmethod
    def of(cls, questions: Questions) -> "Reading":
        """Return how the responses to these questions are judged."""
        asked = {key: one.prompt for key, one in questions.asked.items() if one.is_question}
        rows = {row.sample_id: row for row in questions.samples}
        return cls(questions.judge, questions.rules, rows, asked)

    def read(self, responses: Sequence[Response]) -> list[Judgement]:
        """Return the judgements of responses, with their verdicts."""
        rows = [self.samples[response.sample_id] for response in responses]
        evidence = [row.evidence for row in rows]
        with foreign_code():
            return decide(self.judge, judge_texts(self.judge, responses, self.rules), evidence)


class Look:
    """What the folder of a run holds so far. Each look reads what is new."""

    def __init__(
        self, folder: Path, reading: Reading, producer: Producer, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._folder, self._reading, self._producer, self._clock = folder, reading, producer, clock
        self._restart()

    def _restart(self) -> None:
        self._responses = Tail(self._folder / RESPONSES, Response)
        self._pending: list[Response] = []
        self.reasons: list[str] = []
        self.count = Counts()
        self._restart_judged()

    def _restart_judged(self) -> None:
        self._judgements = Tail(self._folder / JUDGEMENTS, Judgement)
        self._texts = Tail(self._folder / RESPONSES, Response)
        self._follows = False
        self.judging: str | None = LATER if isinstance(self._reading.judge, SlowJudge) else None
        self.examples: list[Example] = []
        self._drawn = 0
        fields = ("judged", "unscored", "with_hallucination", "named", "hallucinated")
        self.count = self.count.model_copy(update=dict.fromkeys(fields, 0))

    def look(self, pictures: int = PICTURES) -> None:
        """Read what is new, judge some of it, and find so many pictures."""
        if self._responses.restarted():
            self._restart()
        new = self._responses.take(LINES)
        for response in new:
            self._note(response.error)
        self._add(responses=len(new), failed=sum(response.error is not None for response in new))
        if (self._folder / JUDGEMENTS).exists():
            self._follow()
        elif self._follows:  # it was deleted, because some responses are asked for again
            self._restart_judged()
        else:
            self._pending += new[: PENDING - len(self._pending)]
            self._judge_some()
        self._draw_some(pictures)

    def _follow(self) -> None:
        """Read the judgements that the run writes, beside their responses."""
        if self._judgements.restarted() or not self._follows:
            self._restart_judged()
            self._follows, self.judging = True, None
            self._judgements.restarted()
        judgements = self._judgements.take(LINES)
        for response, judgement in zip(self._texts.take(len(judgements)), judgements, strict=True):
            self._count(response, judgement)

    def _judge_some(self) -> None:
        """Judge responses that wait, for a short time. A judge that fails here is left to the run itself."""
        end = self._clock() + JUDGE_S
        while self._pending and self.judging is None and self._clock() < end:
            chunk, self._pending = self._pending[:CHUNK], self._pending[CHUNK:]
            try:
                found = self._reading.read(chunk)
            except Exception as error:  # the run judges again, and then ends with this error
                reason = f"{type(error).__name__}: {error}"
                self.judging = f"The judge failed: {reason}"[:REASON]
                _log.warning("judge failed for the watched page", extra={"fields": {"reason": reason}})
                return
            for response, judgement in zip(chunk, found, strict=True):
                self._count(response, judgement)

    def _count(self, response: Response, judgement: Judgement) -> None:
        named = {m.category for m in judgement.mentions if m.verdict != "ignored"}
        wrong = {m.category for m in judgement.mentions if m.verdict == "hallucinated"}
        unscored = judgement.unscored is not None
        self._add(
            judged=not unscored,
            unscored=unscored,
            with_hallucination=bool(wrong),
            named=len(named),
            hallucinated=len(wrong),
        )
        if wrong and len(self.examples) < EXAMPLES:
            self.examples.append(_example(response, judgement, self._reading.prompts))

    def _draw_some(self, most: int) -> None:
        """Find the pictures of some examples that have none yet."""
        for place in range(self._drawn, min(self._drawn + most, len(self.examples))):
            example = self.examples[place]
            with suppress(Exception):  # a decoder may raise anything; the response of the sample says so
                image = self._producer.picture(example.sample_id)
                picture = None if image is None else data_uri(encode(image))
                self.examples[place] = example.model_copy(update={"picture": picture})
            self._drawn = place + 1

    def _add(self, **more: int) -> None:
        now = self.count
        self.count = now.model_copy(update={name: getattr(now, name) + by for name, by in more.items()})

    def _note(self, error: str | None) -> None:
        reason = (error or "")[:REASON]
        if reason and reason not in self.reasons and len(self.reasons) < REASONS:
            self.reasons.append(reason)


def _example(response: Response, judgement: Judgement, prompts: Mapping[str, str]) -> Example:
    text = response.response or ""
    return Example(
        sample_id=response.sample_id,
        prompt=prompts.get(response.sample_id),
        text=text[:TEXT],
        cut=len(text) > TEXT,
        mentions=tuple(m.model_copy(update={"votes": None}) for m in judgement.mentions if m.end <= TEXT),
        edits=tuple(edit for edit in judgement.edits if edit.end <= TEXT),
        picture=None,
    )
