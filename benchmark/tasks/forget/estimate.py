"""What the task `forget` asks and reads beside its responses, before it begins."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

from eidolon.benchmark.store.batch_file import count_lines
from eidolon.benchmark.store.files import (
    ATTENTION_LINES,
    CLOZE,
    CLOZE_LINES,
    INTERVENTIONS,
    INTERVENTIONS_LINES,
    KNOWLEDGE_LINES,
    PDM_LINES,
    RETENTION,
    RETENTION_LINES,
)
from eidolon.benchmark.store.record import SampleRow
from eidolon.benchmark.tasks.forget.continued_turns import TOKENS
from eidolon.benchmark.tasks.forget.dependency.stage import TOGETHER
from eidolon.benchmark.tasks.forget.interventions.design import AT
from eidolon.benchmark.tasks.forget.knowledge.design import WORDINGS, make_candidates
from eidolon.benchmark.tasks.forget.retention.design import Most, most_of
from eidolon.benchmark.tasks.forget.retention.stage import RetentionSettings
from eidolon.scorers.forgetting.interventions import ARMS


@dataclass(frozen=True, slots=True)
class Probes:
    """What is left to ask and to read, and what is there already."""

    contexts: int = 0
    questions: int = 0
    tokens: int = 0
    """Tokens of the texts before the questions."""
    asked: int = 0
    """Contexts that are asked already."""
    readings: int = 0
    positions: int = 0
    """Tokens in all three branches."""
    read: int = 0
    """Responses that are read already."""
    known: int = 0
    """Questions before the description, about what the model knows."""
    names: int = 0
    """Names that the cloze scores."""
    turns: int = 0
    """Turns that are changed during generation and continued."""
    attended: int = 0
    """Tokens that are read with attention weights."""

    def __add__(self, other: "Probes") -> "Probes":
        return Probes(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    def any(self) -> bool:
        """Tell whether anything is left."""
        return bool(self.contexts or self.readings or self.known or self.names or self.turns or self.attended)

    def describe(self) -> Mapping[str, str]:
        """Return what `--dry-run` prints, by name."""
        asked = f", {self.asked} more are asked already" if self.asked else ""
        read = f", {self.read} more are read already" if self.read else ""
        return {
            "interviews": f"at most {self.contexts}{asked}",
            "interview questions": f"at most {self.questions}, after at most {self.tokens} tokens of text in all; "
            "each is answered by one token",
            "dependency readings": f"{self.readings}{read}; with the picture and in two forms without, at most "
            f"{self.positions} tokens",
            "questions before the description": f"{self.known}",
            "names scored": f"at most {self.names}",
            "read with attention weights": f"at most {self.attended} tokens",
            "changed turns": f"at most {self.turns}, with at most {self.turns * TOKENS} tokens of continuation",
        }


def remaining_probes(
    path: Path, images: int, samples: int, retention: RetentionSettings, max_new_tokens: int
) -> Probes:
    """Return the most that is left to do in a run folder; how much it is, the responses decide."""
    most = most_of(images, retention.lengths)
    there = list(_json_lines(path / RETENTION_LINES))
    whole = (path / RETENTION).is_file()
    done = there if whole else there[: len(there) // retention.batch_size * retention.batch_size]
    left = (
        Most(0, 0, 0)
        if whole
        else Most(
            most.contexts - len(done),
            most.questions - sum(len(one["answers"]) for one in done),
            most.tokens - sum(one["n"] for one in done),
        )
    )
    lines = min(count_lines(path / PDM_LINES), samples)
    read = lines if lines == samples else lines // TOGETHER * TOGETHER
    unread = samples - read
    return Probes(
        contexts=left.contexts,
        questions=left.questions,
        tokens=left.tokens,
        asked=len(done),
        readings=unread,
        positions=3 * unread * max_new_tokens,
        read=read,
    )


def remaining_knowledge(path: Path, rows: Sequence[SampleRow], batch_size: int) -> Probes:
    """Return the questions before the descriptions that a run folder lacks."""
    images = make_candidates(rows, 0)
    done = count_lines(path / KNOWLEDGE_LINES)
    if done < len(images):
        done -= done % batch_size
    left = list(images.values())[done:]
    return Probes(known=sum(len(one.objects) for one in left) * len(WORDINGS))


def remaining_cloze(path: Path, rows: Sequence[SampleRow], lengths: int) -> Probes:
    """Return the most names that the cloze of a run folder still scores."""
    if (path / CLOZE).is_file():
        return Probes()
    names = sum(len(one.objects) for one in make_candidates(rows, 0).values())
    done = sum(len(one["names"]) for one in _json_lines(path / CLOZE_LINES))
    return Probes(names=max(names * (1 + lengths) - done, 0))


def remaining_turns(path: Path, rows: Sequence[SampleRow]) -> Probes:
    """Return the most turns that the interventions of a run folder still continue."""
    if (path / INTERVENTIONS).is_file():
        return Probes()
    return Probes(turns=max(len(rows) * len(AT) * len(ARMS) - count_lines(path / INTERVENTIONS_LINES), 0))


def remaining_attention(path: Path, samples: int, max_new_tokens: int) -> Probes:
    """Return the most tokens that a run folder still reads with attention weights."""
    return Probes(attended=max(samples - count_lines(path / ATTENTION_LINES), 0) * max_new_tokens)


def _json_lines(path: Path) -> Iterator[Any]:
    """Yield what stands on the whole lines of a file, up to one that is no JSON."""
    if not path.is_file():
        return
    for line in path.read_bytes().splitlines(keepends=True):
        if not line.endswith(b"\n"):
            return
        try:
            yield json.loads(line)
        except ValueError:
            return
