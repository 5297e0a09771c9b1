"""Distributes the batches of a run over processes.

There is this process alone, or there are several: one leader and its followers. The leader hands out the batches in
turns: of n processes, process r answers batches r, r + n, … It gets the answers back in the order of the batches, so
that the files do not depend on the number of processes. Only the leader holds the run folder, judges, scores and
prints.

Messages are texts under keys in the store that the launcher of the processes provides (`torch.distributed`). They are
polled and not waited for in a collective, so that an interrupt or a dead process is noticed at once.
"""

import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import count
from typing import Any, Literal, NoReturn, Protocol, TypeVar

from eidolon.benchmark.engine.worker import Keys, Usage, Worker, answer_in_turn
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.types import Record, Response

AHEAD = 2
"""Batches that a follower may be ahead of the leader. A kill loses that many, and the store must hold them."""
PART = 1 << 20
"""Bytes per entry in the store, which takes 8 MiB at most. Longer messages are split."""
LOST_AFTER_S = 120.0
"""Seconds without a heartbeat after which a process counts as lost. The launcher notices most dead processes at once;
this is for a machine that is gone."""
_POLL_S = (0.001, 0.05)
"""Seconds between two polls: the first interval and the longest."""


class Coordinator(Protocol):
    """Has batches answered by one process or several."""

    @property
    def size(self) -> int:
        """Number of processes."""
        ...

    def prepare(self, worker: Worker) -> None:
        """Load the worker's model in every process. An error in any process is raised here."""
        ...

    def describe(self, worker: Worker) -> dict[str, Any]:
        """Return what the worker's model says of itself. Once prepared."""
        ...

    def fit_batch(self, worker: Worker, keys: Keys) -> int | None:
        """Return how many of these requests a batch should have, None if the model has no preference. Once prepared."""
        ...

    def answers(self, worker: Worker, batches: Sequence[Keys]) -> Iterator[list[Response]]:
        """Yield the responses of each batch in order, then drop the model in every process."""
        ...

    def usage(self, worker: Worker) -> Usage | None:
        """Return what the requests of all processes have used, for the batches that were yielded."""
        ...

    def keep(self, worker: Worker) -> dict[str, int] | None:
        """Store the yielded responses in the cache. Return the hits and misses of all processes."""
        ...


class _LocalModel:
    """A coordinator whose own process has loaded the model."""

    def describe(self, worker: Worker) -> dict[str, Any]:
        return worker.describe()

    def fit_batch(self, worker: Worker, keys: Keys) -> int | None:
        return worker.fit_batch(keys)


class SingleProcess(_LocalModel):
    """Answers all batches in this process."""

    size = 1

    def prepare(self, worker: Worker) -> None:
        worker.load()

    def answers(self, worker: Worker, batches: Sequence[Keys]) -> Iterator[list[Response]]:
        yield from answer_in_turn(worker, batches)
        worker.release()

    def usage(self, worker: Worker) -> Usage | None:
        return worker.usage()

    def keep(self, worker: Worker) -> dict[str, int] | None:
        return worker.keep()


class MessageStore(Protocol):
    """The part of `torch.distributed.Store` that is used here."""

    def set(self, key: str, value: str | bytes) -> None: ...
    def get(self, key: str) -> bytes: ...
    def check(self, keys: list[str]) -> bool: ...
    def add(self, key: str, amount: int) -> int: ...
    def delete_key(self, key: str) -> bool: ...


class Mailbox:
    """Messages of any length under keys. Each is taken once."""

    def __init__(self, store: MessageStore, prefix: str = "") -> None:
        """`prefix` is prepended to every key in the store."""
        self._store, self._prefix = store, prefix

    def post(self, key: str, text: str) -> None:
        """Store a message. It is visible once it is complete."""
        content = text.encode()
        parts = range(0, len(content), PART)
        for number, start in enumerate(parts):
            self._store.set(f"{self._prefix}{key}/{number}", content[start : start + PART])
        self._store.set(self._prefix + key, str(len(parts)))

    def has(self, key: str) -> bool:
        """Return whether there is a message."""
        return self._store.check([self._prefix + key])

    def lacks(self, key: str) -> bool:
        """Return whether there is no message, or it was taken."""
        return not self.has(key)

    def take(self, key: str) -> str:
        """Return a message and delete it."""
        name = self._prefix + key
        parts = [f"{name}/{number}" for number in range(int(self._store.get(name)))]
        text = b"".join(self._store.get(part) for part in parts).decode()
        for one in (name, *parts):
            self._store.delete_key(one)
        return text

    def number(self, name: str) -> int:
        """Return 1 at the first call by any process, 2 at the second, …"""
        return self._store.add(self._prefix + name, 1)

    def beat(self, rank: int) -> None:
        """Count a heartbeat of a process."""
        self._store.add(f"{self._prefix}beats/{rank}", 1)

    def beats(self, rank: int) -> int:
        """Return the number of heartbeats of a process."""
        return self._store.add(f"{self._prefix}beats/{rank}", 0)


class _Command(Record):
    """A command of the leader to the followers."""

    do: Literal["load", "answer", "leave"]
    worker: int = 0
    batches: tuple[tuple[tuple[str, int], ...], ...] = ()


class AnsweredBatch(Record):
    """The answer of another process to a batch."""

    responses: tuple[Response, ...]
    usage: Usage | None
    kept: dict[str, int] | None


class _ProcessFailure(Record):
    """An error in a process."""

    rank: int
    message: str
    traceback: str | None
    """The traceback of a bug; None for a mistake of the user."""


class ProcessError(RuntimeError):
    """A bug in another process. The cause holds its traceback."""


class _OriginError(Exception):
    """The traceback of an error in another process, as text, shown as the cause of the error here."""


class Leader(_LocalModel):
    """The first of several processes. It hands out batches, answers its share, and collects the others' answers."""

    def __init__(self, mail: Mailbox, size: int, lost_after: float = LOST_AFTER_S) -> None:
        self.size = size
        self._mail, self._lost_after = mail, lost_after
        self._commands = count()
        self._workers: list[Worker] = []
        self._usage: dict[int, Usage | None] = {}
        self._kept: dict[int, dict[str, int] | None] = {}

    def gather(self, plan: str, workers: Sequence[Worker]) -> None:
        """Wait until all processes are ready to execute the same plan; `plan` is its hash.

        Raises:
            UserError: a process made another plan, or failed to make it.
        """
        self._workers = [*workers]
        for rank in self._others:
            if self._wait(f"ready/{rank}", rank) != plan:
                raise UserError(
                    f"process {rank} of {self.size}: plans another run than process 0; they must see the same "
                    "files and run the same version"
                )

    def prepare(self, worker: Worker) -> None:
        number = self._command("load", worker)
        worker.load()
        for rank in self._others:
            self._wait(f"loaded/{number}/{rank}", rank)

    def answers(self, worker: Worker, batches: Sequence[Keys]) -> Iterator[list[Response]]:
        number = self._command("answer", worker, batches)
        self._usage, self._kept = {}, {}
        own = answer_in_turn(worker, batches[:: self.size])
        for position in range(len(batches)):
            rank = position % self.size
            if rank == 0:
                yield next(own)
            else:
                answered = AnsweredBatch.model_validate_json(self._wait(f"answers/{number}/{position}", rank))
                self._usage[rank], self._kept[rank] = answered.usage, answered.kept
                yield [*answered.responses]
        worker.release()

    def usage(self, worker: Worker) -> Usage | None:
        return add_usages(worker.usage(), *self._usage.values())

    def keep(self, worker: Worker) -> dict[str, int] | None:
        return add_usages(worker.keep(), *self._kept.values())

    def dismiss(self) -> None:
        """Tell the followers to end, and wait until they do."""
        number = self._command("leave")
        for rank in self._others:
            self._wait(f"left/{number}/{rank}", rank)

    @property
    def _others(self) -> range:
        return range(1, self.size)

    def _command(
        self,
        do: Literal["load", "answer", "leave"],
        worker: Worker | None = None,
        batches: Sequence[Keys] = (),
    ) -> int:
        number = next(self._commands)
        command = _Command(
            do=do,
            worker=0 if worker is None else next(i for i, one in enumerate(self._workers) if one is worker),
            batches=tuple(tuple(keys) for keys in batches),
        )
        for rank in self._others:
            self._mail.post(f"command/{rank}/{number}", command.model_dump_json())
        return number

    def _wait(self, key: str, rank: int) -> str:
        """Return a message of a process. An error that any process reports is raised instead."""

        def look() -> bool:
            if self._mail.has("failure"):
                failure = _ProcessFailure.model_validate_json(self._mail.take("failure"))
                raise_failure(f"process {failure.rank} of {self.size}", failure.message, failure.traceback)
            return self._mail.has(key)

        wait_for(look, lambda: self._mail.beats(rank), f"process {rank} of {self.size}", self._lost_after)
        return self._mail.take(key)


class Follower:
    """A process that executes the leader's commands."""

    def __init__(self, mail: Mailbox, rank: int, size: int, lost_after: float = LOST_AFTER_S) -> None:
        self._mail, self._rank, self._size, self._lost_after = mail, rank, size, lost_after

    def serve(self, plan: str, workers: Sequence[Worker]) -> None:
        """Answer the batches that the leader hands out, until it tells this process to leave."""
        self._mail.post(f"ready/{self._rank}", plan)
        for number in count():
            key = f"command/{self._rank}/{number}"
            self._wait(partial(self._mail.has, key))
            command = _Command.model_validate_json(self._mail.take(key))
            if command.do == "leave":
                self._mail.post(f"left/{number}/{self._rank}", "")
                return
            worker = workers[command.worker]
            if command.do == "load":
                worker.load()
                self._mail.post(f"loaded/{number}/{self._rank}", "")
            else:
                self._answer(worker, command, number)

    def report(self, error: BaseException) -> None:
        """Report an error in this process to the leader. Only the first report of all processes counts."""
        if self._mail.number("failures") > 1:
            return
        is_bug = not isinstance(error, UserError)
        failure = _ProcessFailure(
            rank=self._rank,
            message=str(error),
            traceback="".join(traceback.format_exception(error)) if is_bug else None,
        )
        self._mail.post("failure", failure.model_dump_json())

    def _answer(self, worker: Worker, command: _Command, number: int) -> None:
        own = answer_in_turn(worker, command.batches[self._rank :: self._size])
        for position in range(self._rank, len(command.batches), self._size):
            earlier = f"answers/{number}/{position - AHEAD * self._size}"
            self._wait(partial(self._mail.lacks, earlier))
            responses = next(own)
            answers = AnsweredBatch(responses=tuple(responses), usage=worker.usage(), kept=worker.keep())
            self._mail.post(f"answers/{number}/{position}", answers.model_dump_json())
        worker.release()

    def _wait(self, look: Callable[[], bool]) -> None:
        leader = f"process 0 of {self._size}"
        wait_for(look, lambda: self._mail.beats(0), leader, self._lost_after)


def wait_for(look: Callable[[], bool], beats: Callable[[], int], who: str, lost_after: float) -> None:
    """Poll until `look` returns true.

    `beats` returns the number of heartbeats of the process `who`.

    Raises:
        UserError: the process had no heartbeat for `lost_after` seconds.
    """
    pause, longest = _POLL_S
    counted, at = None, time.monotonic()
    while not look():
        time.sleep(pause)
        pause = min(1.5 * pause, longest)
        if (now := beats()) != counted:
            counted, at = now, time.monotonic()
        elif time.monotonic() - at > lost_after:
            raise UserError(
                f"{who}: gave no sign of life for {lost_after:.0f} s; the files are whole, and the same command "
                "resumes the run"
            )


def raise_failure(where: str, message: str, trace: str | None) -> NoReturn:
    """Raise the error of another process in this one; a mistake of the user has no traceback.

    Raises:
        UserError: it was a mistake of the user.
        ProcessError: it was a bug.
    """
    if trace is None:
        raise UserError(message)
    raise ProcessError(f"in {where}: {message}") from _OriginError(f"\n{trace}")


CountT = TypeVar("CountT", int, int | float)


def add_usages(*usages: Mapping[str, CountT] | None) -> dict[str, CountT] | None:
    """Return the sums by name, None if nothing was counted."""
    counted = [usage for usage in usages if usage is not None]
    names = dict.fromkeys(name for usage in counted for name in usage)
    return {name: sum(usage.get(name, 0) for usage in counted) for name in names} if counted else None
