"""How much work a run is, and how long it may take, before it begins. A number that nothing says is not given."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

from eidolon.benchmark.store.batch_file import count_lines
from eidolon.benchmark.store.files import RESPONSES, RUN
from eidolon.benchmark.store.record import RunRecord, read_record
from eidolon.benchmark.tasks.protocol import EstimatedWork, Remaining, Run
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.judge import Judge, VotingJudge

ALIKE = (
    *("models", "task", "task_options", "prompt", "max_new_tokens", "temperature", "top_p", "decoding"),
    *("decoding_options", "batch_size", "judge", "judge_options", "lengths", "trained_length"),
)
"""The settings that must be equal in two runs for the one to say how fast the other will be."""
RATE = "--rate"
"""The user's word: of the calls alone, while an earlier run's pace is of all that it did."""
SHORTEST_S = 2
"""Seconds that a run must have taken to say anything: its times are whole seconds."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Responses a second, judged and scored, and who says so."""

    rate: float
    source: str


def estimate(runs: Sequence[Run], judge: Judge, out: Path, rate: float | None) -> Mapping[str, Any]:
    """Return what is to do: calls of the models and of a voting judge's, tokens at most, and the time.

    For the task `forget` it also counts interviews and readings, at most: their number depends on the responses.

    `rate` is the user's, in responses a second; without it the pace is that of the last like run in the folder
    `out` or in a folder beside it. Reads only.
    """
    asked = sum(len(run.keys) for run in runs)
    answered = sum(_answered(run) for run in runs)
    there = f", {answered} more are answered already" if answered else ""
    at_most = sum((len(run.keys) - _answered(run)) * _longest(run) for run in runs)
    found: dict[str, Any] = {
        "calls": f"{asked - answered}{there}",
        "new tokens": f"at most {at_most} (beside them, images and prompt: the model's processor decides)",
    }
    if left := [probes for run in runs if (probes := _remaining(run)) is not None]:
        found |= reduce(add, left).describe()
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
        except (UserError, OSError):  # no run folder of this version
            continue
        if any((session.cache or {}).get("hits") for session in record.sessions):
            continue  # what a cache gave says nothing of the model
        there, here = record.config.settings, run.config.settings
        if record.status != "success" or any(there.get(key) != here.get(key) for key in ALIKE):
            continue
        seconds, ended = _duration(record)
        responses = count_lines(folder / RESPONSES)
        if seconds >= SHORTEST_S and responses and (best is None or ended > best[0]):
            best = ended, Pace(responses / seconds, str(folder))
    return best[1] if best else None


def _time(run: Run, pace: Pace | None, out: Path) -> str:
    left = len(run.keys) - _answered(run)
    probes = _remaining(run)
    more_left = probes is not None and probes.any()
    if not left and more_left:
        return "unknown: what is left are interviews and readings, and a pace is of whole responses"
    if pace is None:
        return (
            f"unknown: no finished run like this one in {out} or beside it; --rate R gives responses a second"
        )
    more = ", interviews and readings not counted" if more_left and pace.source == RATE else ""
    return f"about {in_words(left / pace.rate)}, at {pace.rate:.3g} responses/s ({pace.source}{more})"


def in_words(seconds: float) -> str:
    """Return a duration with as much precision as an estimate has."""
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s"


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
    lines = min(count_lines(run.path / RESPONSES), len(run.keys))
    return lines if lines == len(run.keys) else lines // run.batch_size * run.batch_size


def _longest(run: Run) -> int:
    return run.config.run_settings().max_new_tokens


def _remaining(run: Run) -> Remaining | None:
    return run.work.remaining(run) if isinstance(run.work, EstimatedWork) else None
