"""Who answers the batches of a run: this process alone, or several of which this one leads or follows.

The leader hands out the batches in turns (of n processes, process r answers batches r, r + n, …) and gets the
answers back in the order of the batches, so what it writes does not show how many there were. Only the leader
holds the run folder, judges, scores and prints. Messages go through the store that the launcher of the processes
gives them (`torch.distributed`): texts under keys, looked for again and again rather than waited for in a
collective, so that an interrupt and a process that died are noticed at once.
"""

import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import count
from typing import Literal, NoReturn, Protocol, TypeAlias, TypeVar

from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.types import Record, Response

Keys: TypeAlias = Sequence[tuple[str, int]]
"""(sample id, generation) of each request of a batch."""
Usage: TypeAlias = dict[str, int | float]

AHEAD = 2
"""Batches that a process may be ahead of the leader: what a kill can cost it, and the store must hold."""
PART = 1 << 20
"""Bytes of a message that the store is given at once; it takes 8 MiB at most."""
LOST_AFTER_S = 120.0
"""Seconds without a sign of life after which a process counts as lost. Most that die are noticed at once, by their
launcher; this is for those whose machine is gone."""
_POLL_S = (0.001, 0.05)
"""Seconds between two looks, at first and at most."""


class Worker(Protocol):
    """What answers batches in one process."""

    def load(self) -> None:
        """Load the model, unless it is there."""
        ...

    def answer(self, keys: Keys) -> list[Response]:
        """Answer one batch, in order."""
        ...

    def usage(self) -> Usage | None:
        """Return what all requests of this process so far came to, None where the model does not count."""
        ...

    def keep(self) -> dict[str, int] | None:
        """Keep for other runs what was answered; return the hits and misses so far, None without a cache."""
        ...

    def release(self) -> None:
        """Let go of the model."""
        ...


class Coordinator(Protocol):
    """The processes that answer batches."""

    @property
    def size(self) -> int:
        """How many processes answer."""
        ...

    def prepare(self, worker: Worker) -> None:
        """Load a model in every process; what fails in any of them fails here."""
        ...

    def answers(self, worker: Worker, batches: Sequence[Keys]) -> Iterator[list[Response]]:
        """Yield the answers to each batch in turn, then let go of the model everywhere."""
        ...

    def usage(self, worker: Worker) -> Usage | None:
        """Return what the requests of all processes came to, as far as their answers were yielded."""
        ...

    def keep(self, worker: Worker) -> dict[str, int] | None:
        """Keep what was yielded for other runs; return the hits and misses of all processes."""
        ...


class SingleProcess:
    """This process answers everything itself."""

    size = 1

    def prepare(self, worker: Worker) -> None:
        worker.load()

    def answers(self, worker: Worker, batches: Sequence[Keys]) -> Iterator[list[Response]]:
        yield from map(worker.answer, batches)
        worker.release()

    def usage(self, worker: Worker) -> Usage | None:
        return worker.usage()

    def keep(self, worker: Worker) -> dict[str, int] | None:
        return worker.keep()


class MessageStore(Protocol):
    """What of a `torch.distributed.MessageStore` is used here."""

    def set(self, key: str, value: str | bytes) -> None: ...
    def get(self, key: str) -> bytes: ...
    def check(self, keys: list[str]) -> bool: ...
    def add(self, key: str, amount: int) -> int: ...
    def delete_key(self, key: str) -> bool: ...


class Mailbox:
    """Messages of any length under keys, each taken once."""

    def __init__(self, store: MessageStore, prefix: str = "") -> None:
        """Take the store, and what all keys in it are to begin with."""
        self._store, self._prefix = store, prefix

    def post(self, key: str, text: str) -> None:
        """Leave a message. It is there once all of it is."""
        content = text.encode()
        parts = range(0, len(content), PART)
        for number, start in enumerate(parts):
            self._store.set(f"{self._prefix}{key}/{number}", content[start : start + PART])
        self._store.set(self._prefix + key, str(len(parts)))

    def has(self, key: str) -> bool:
        """Tell whether a message is there."""
        return self._store.check([self._prefix + key])

    def lacks(self, key: str) -> bool:
        """Tell whether no message is there, or it was taken."""
        return not self.has(key)

    def take(self, key: str) -> str:
        """Take a message that is there."""
        name = self._prefix + key
        parts = [f"{name}/{number}" for number in range(int(self._store.get(name)))]
        text = b"".join(self._store.get(part) for part in parts).decode()
        for one in (name, *parts):
            self._store.delete_key(one)
        return text

    def number(self, name: str) -> int:
        """Return 1 to the first process that asks, 2 to the second, …"""
        return self._store.add(self._prefix + name, 1)

    def beat(self, rank: int) -> None:
        """Give a sign of life."""
        self._store.add(f"{self._prefix}beats/{rank}", 1)

    def beats(self, rank: int) -> int:
        """Return how many signs of life a process gave."""
        return self._store.add(f"{self._prefix}beats/{rank}", 0)


class _Command(Record):
    """What the leader wants of the others."""

    do: Literal["load", "answer", "leave"]
    worker: int = 0
    batches: tuple[tuple[tuple[str, int], ...], ...] = ()


class _AnsweredBatch(Record):
    """What a process says of a batch."""

    responses: tuple[Response, ...]
    usage: Usage | None
    kept: dict[str, int] | None


class _Failure(Record):
    """What went wrong in a process."""

    rank: int
    message: str
    traceback: str | None
    """Of a bug; None for the user's mistake."""


class ProcessError(RuntimeError):
    """Something that is not the user's failed in another process; the cause is its traceback."""


class _OriginError(Exception):
    """The traceback of an error in another process, as text, to be shown as the cause of the one here."""


class Leader:
    """The first of several processes: it hands out batches, answers its share, and collects the others'."""

    def __init__(self, mail: Mailbox, size: int, lost_after: float = LOST_AFTER_S) -> None:
        self.size = size
        self._mail, self._lost_after = mail, lost_after
        self._orders = count()
        self._workers: list[Worker] = []
        self._usage: dict[int, Usage | None] = {}
        self._kept: dict[int, dict[str, int] | None] = {}

    def gather(self, plan: str, workers: Sequence[Worker]) -> None:
        """Wait until all processes are ready to do the same plan, which a hash stands for.

        Raises:
            UserError: one of them made another plan, or met a mistake while making it.
        """
        self._workers = [*workers]
        for rank in self._others:
            if self._wait(f"ready/{rank}", rank) != plan:
                raise UserError(
                    f"process {rank} of {self.size}: plans another run than process 0; they must see the same "
                    "files and run the same version"
                )

    def prepare(self, worker: Worker) -> None:
        number = self._order("load", worker)
        worker.load()
        for rank in self._others:
            self._wait(f"loaded/{number}/{rank}", rank)

    def answers(self, worker: Worker, batches: Sequence[Keys]) -> Iterator[list[Response]]:
        number = self._order("answer", worker, batches)
        self._usage, self._kept = {}, {}
        for position, keys in enumerate(batches):
            rank = position % self.size
            if rank == 0:
                yield worker.answer(keys)
            else:
                answered = _AnsweredBatch.model_validate_json(
                    self._wait(f"answers/{number}/{position}", rank)
                )
                self._usage[rank], self._kept[rank] = answered.usage, answered.kept
                yield [*answered.responses]
        worker.release()

    def usage(self, worker: Worker) -> Usage | None:
        return add_usages(worker.usage(), *self._usage.values())

    def keep(self, worker: Worker) -> dict[str, int] | None:
        return add_usages(worker.keep(), *self._kept.values())

    def dismiss(self) -> None:
        """Let the others end."""
        number = self._order("leave")
        for rank in self._others:
            self._wait(f"left/{number}/{rank}", rank)

    @property
    def _others(self) -> range:
        return range(1, self.size)

    def _order(
        self,
        do: Literal["load", "answer", "leave"],
        worker: Worker | None = None,
        batches: Sequence[Keys] = (),
    ) -> int:
        number = next(self._orders)
        order = _Command(
            do=do,
            worker=0 if worker is None else next(i for i, one in enumerate(self._workers) if one is worker),
            batches=tuple(tuple(keys) for keys in batches),
        )
        for rank in self._others:
            self._mail.post(f"order/{rank}/{number}", order.model_dump_json())
        return number

    def _wait(self, key: str, rank: int) -> str:
        """Take a message of a process; raise what a process reports instead."""

        def look() -> bool:
            if self._mail.has("failure"):
                raise_failure(_Failure.model_validate_json(self._mail.take("failure")), self.size)
            return self._mail.has(key)

        wait_for(look, lambda: self._mail.beats(rank), f"process {rank} of {self.size}", self._lost_after)
        return self._mail.take(key)


class Follower:
    """Another process than the first: it does what the leader orders."""

    def __init__(self, mail: Mailbox, rank: int, size: int, lost_after: float = LOST_AFTER_S) -> None:
        self._mail, self._rank, self._size, self._lost_after = mail, rank, size, lost_after

    def serve(self, plan: str, workers: Sequence[Worker]) -> None:
        """Answer what the leader hands out, until it lets this process go."""
        self._mail.post(f"ready/{self._rank}", plan)
        for number in count():
            key = f"order/{self._rank}/{number}"
            self._wait(partial(self._mail.has, key))
            order = _Command.model_validate_json(self._mail.take(key))
            if order.do == "leave":
                self._mail.post(f"left/{number}/{self._rank}", "")
                return
            worker = workers[order.worker]
            if order.do == "load":
                worker.load()
                self._mail.post(f"loaded/{number}/{self._rank}", "")
            else:
                self._answer(worker, order, number)

    def report(self, error: BaseException) -> None:
        """Tell the leader what went wrong here. One report is enough: of several the first is heard."""
        if self._mail.number("failures") > 1:
            return
        is_bug = not isinstance(error, UserError)
        failure = _Failure(
            rank=self._rank,
            message=str(error),
            traceback="".join(traceback.format_exception(error)) if is_bug else None,
        )
        self._mail.post("failure", failure.model_dump_json())

    def _answer(self, worker: Worker, order: _Command, number: int) -> None:
        for position in range(self._rank, len(order.batches), self._size):
            earlier = f"answers/{number}/{position - AHEAD * self._size}"
            self._wait(partial(self._mail.lacks, earlier))
            responses = worker.answer(order.batches[position])
            answers = _AnsweredBatch(responses=tuple(responses), usage=worker.usage(), kept=worker.keep())
            self._mail.post(f"answers/{number}/{position}", answers.model_dump_json())
        worker.release()

    def _wait(self, look: Callable[[], bool]) -> None:
        leader = f"process 0 of {self._size}"
        wait_for(look, lambda: self._mail.beats(0), leader, self._lost_after)


def wait_for(look: Callable[[], bool], beats: Callable[[], int], who: str, lost_after: float) -> None:
    """Look until what is looked for is there.

    Raises:
        UserError: the process it must come from gave no sign of life for `lost_after` seconds.
    """
    pause, most = _POLL_S
    heard, at = None, time.monotonic()
    while not look():
        time.sleep(pause)
        pause = min(1.5 * pause, most)
        if (now := beats()) != heard:
            heard, at = now, time.monotonic()
        elif time.monotonic() - at > lost_after:
            raise UserError(
                f"{who}: gave no sign of life for {lost_after:.0f} s; what was written is whole, and the same "
                "command goes on"
            )


def raise_failure(failure: _Failure, size: int) -> NoReturn:
    """Raise here what went wrong in another process."""
    if failure.traceback is None:
        raise UserError(failure.message)
    raise ProcessError(f"in process {failure.rank} of {size}: {failure.message}") from _OriginError(
        f"\n{failure.traceback}"
    )


Number = TypeVar("Number", int, int | float)


def add_usages(*usages: Mapping[str, Number] | None) -> dict[str, Number] | None:
    """Add up what was counted, None where nothing was."""
    counted = [usage for usage in usages if usage is not None]
    names = dict.fromkeys(name for usage in counted for name in usage)
    return {name: sum(usage.get(name, 0) for usage in counted) for name in names} if counted else None
