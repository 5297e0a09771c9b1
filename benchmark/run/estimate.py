"""How much work a run is, and how long it may take, before it begins. A number that nothing says is not given."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from eidolon.benchmark.run.pipeline import Run
from eidolon.benchmark.store.files import PDM_LINES, RESPONSES, RETENTION, RETENTION_LINES, RUN
from eidolon.benchmark.store.record import RunRecord, read_record
from eidolon.benchmark.tasks.forget.dependency.stage import TOGETHER
from eidolon.benchmark.tasks.forget.retention.design import Most, most_of
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.judge import VotingJudge

ALIKE = ("verb", "model", "task", "prompt", "decoding", "batch_size", "judge", "retention")
"""What of two runs' configurations must be equal for the one to say how fast the other will be."""
RATE = "--rate"
"""The user's word: of the calls alone, while an earlier run's pace is of all that it did."""
SHORTEST_S = 2
"""Seconds that a run must have taken to say anything: its times are whole seconds."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Responses a second, judged and scored, and who says so."""

    rate: float
    source: str


def estimate(runs: Sequence[Run], out: Path, rate: float | None) -> Mapping[str, Any]:
    """Return what is to do: calls of the models and of a voting judge's, tokens at most, and the time.

    Of the task `forget` also interviews and readings, at most: the responses decide how many there are.

    `rate` is the user's, in responses a second; without it the pace is that of the last like run in the folder
    `out` or in a folder beside it. Reads only.
    """
    asked = sum(len(run.keys) for run in runs)
    answered = sum(_answered(run) for run in runs)
    there = f", {answered} more are answered already" if answered else ""
    at_most = sum((len(run.keys) - _answered(run)) * run.config["decoding"]["max_new_tokens"] for run in runs)
    found: dict[str, Any] = {
        "calls": f"{asked - answered}{there}",
        "new tokens": f"at most {at_most} (beside them, images and prompt: the model's processor decides)",
    }
    if any(run.forget for run in runs):
        found |= _told(sum(map(_probes, runs), _Probes()))
    judge = runs[0].judge
    if isinstance(judge, VotingJudge):
        votes = len(judge.judges) * len(judge.formats)
        found["judge calls"] = (
            f"{asked * votes * len(judge.vocabulary)} for a window of text: {votes} votes on "
            f"{len(judge.vocabulary)} categories a response"
        )
    for run in runs:
        label = "time" if len(runs) == 1 else f"time of {run.name}"
        found[label] = _time(run, Pace(rate, RATE) if rate is not None else find_pace(run, out), out)
    return found


def find_pace(run: Run, out: Path) -> Pace | None:
    """Return the pace of the last finished run with the same model, task, prompt, decoding, batches and judge."""
    best: tuple[str, Pace] | None = None
    for folder in (*out.glob("*"), *out.parent.glob("*/*")):
        if not (folder / RUN).is_file():
            continue
        try:
            record = read_record(folder)
        except (UserError, OSError):  # another version's, or nobody's: it says nothing
            continue
        if any((session.cache or {}).get("hits") for session in record.sessions):
            continue  # what a cache gave says nothing of the model
        if record.status != "success" or any(record.config.get(key) != run.config.get(key) for key in ALIKE):
            continue
        seconds, ended = _duration(record)
        responses = _lines(folder / RESPONSES)
        if seconds >= SHORTEST_S and responses and (best is None or ended > best[0]):
            best = ended, Pace(responses / seconds, str(folder))
    return best[1] if best else None


def _time(run: Run, pace: Pace | None, out: Path) -> str:
    left = len(run.keys) - _answered(run)
    probes = _probes(run)
    if not left and (probes.contexts or probes.readings):
        return "unknown: what is left are interviews and readings, and a pace is of whole responses"
    if pace is None:
        return (
            f"unknown: no finished run like this one in {out} or beside it; --rate R gives responses a second"
        )
    more = ", interviews and readings not counted" if probes.contexts and pace.source == RATE else ""
    return f"about {in_words(left / pace.rate)}, at {pace.rate:.3g} responses/s ({pace.source}{more})"


def in_words(seconds: float) -> str:
    """Return a duration with as much precision as an estimate has."""
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s"


@dataclass(frozen=True, slots=True)
class _Probes:
    """What a run of the task `forget` asks and reads beside its responses; what is there already apart."""

    contexts: int = 0
    questions: int = 0
    tokens: int = 0
    """Of the texts before the questions."""
    asked: int = 0
    """Contexts."""
    readings: int = 0
    positions: int = 0
    """Of both branches."""
    read: int = 0

    def __add__(self, other: "_Probes") -> "_Probes":
        return _Probes(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))


def _probes(run: Run) -> _Probes:
    """Return the most that is left to do; how much it is, the responses decide."""
    if run.forget is None:
        return _Probes()
    retention = run.forget.retention
    most = most_of(len({row.image_id for row in run.samples}), retention.lengths)
    there = list(_json_lines(run.path / RETENTION_LINES))
    whole = (run.path / RETENTION).is_file()
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
    lines = min(_lines(run.path / PDM_LINES), len(run.samples))
    read = lines if lines == len(run.samples) else lines // TOGETHER * TOGETHER
    unread = len(run.samples) - read
    return _Probes(
        contexts=left.contexts,
        questions=left.questions,
        tokens=left.tokens,
        asked=len(done),
        readings=unread,
        positions=2 * unread * run.config["decoding"]["max_new_tokens"],
        read=read,
    )


def _told(probes: _Probes) -> Mapping[str, str]:
    asked = f", {probes.asked} more are asked already" if probes.asked else ""
    read = f", {probes.read} more are read already" if probes.read else ""
    return {
        "interviews": f"at most {probes.contexts}{asked}",
        "interview questions": f"at most {probes.questions}, after at most {probes.tokens} tokens of text in all; "
        "each is answered by one token",
        "dependency readings": f"{probes.readings}{read}; with the picture and without, at most {probes.positions} "
        "tokens",
    }


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


def _duration(record: RunRecord) -> tuple[float, str]:
    """Return the seconds of all sessions, and when the last one ended; 0 where a kill left one without an end."""
    total, ended = 0.0, ""
    for session in record.sessions:
        if session.ended is None:
            return 0.0, ended
        began, ended = session.started, session.ended
        total += (datetime.fromisoformat(ended) - datetime.fromisoformat(began)).total_seconds()
    return total, ended


def _answered(run: Run) -> int:
    """Return how many responses will be kept: those of whole batches."""
    lines = min(_lines(run.path / RESPONSES), len(run.keys))
    return lines if lines == len(run.keys) else lines // run.batch_size * run.batch_size


def _lines(path: Path) -> int:
    return sum(chunk.count(b"\n") for chunk in _chunks(path))


def _chunks(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as stream:
            while chunk := stream.read(1 << 20):
                yield chunk
    except FileNotFoundError:
        return
