"""One command as several processes, started here or by a launcher of the user's (`accelerate launch`, torchrun).

Started here, this process becomes the launcher: torch's elastic agent runs the same command in every process, ends all
of them when one dies, and passes interrupts on. Inside the processes there is no difference: the environment gives
their number and the rank of this one, and the launcher's store carries messages between them.
"""

import logging
import os
import signal
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from types import FrameType
from typing import NoReturn

from eidolon.benchmark.engine.coordinator import Follower, Leader, Mailbox, MessageStore, SingleProcess
from eidolon.scorers.core.errors import UserError

RESUMABLE = "the files are whole, and the same command resumes the run"
BEAT_S = 0.5
"""Seconds between two heartbeats, and between two checks that the launcher still runs."""
JOIN_S = 120.0
"""The longest time in seconds that the processes may take to connect."""
REPORT_AFTER_S = 10.0
"""Seconds that a follower waits before it prints a mistake that the first process has most likely printed."""


@dataclass(frozen=True, slots=True)
class ProcessWorld:
    """The number of processes that execute a command, and the rank of this one."""

    rank: int
    size: int
    launched: bool
    """Whether the processes run already. Otherwise they are still to be started."""


def find_world(asked: int | None = None, environment: Mapping[str, str] = os.environ) -> ProcessWorld:
    """Return the world that the environment describes, else one of `asked` processes that are not started yet.

    Raises:
        UserError: a launcher started another number of processes than `asked`, or one although it was told several.
    """
    if "WORLD_SIZE" in environment:
        world = ProcessWorld(_number("RANK", environment), _number("WORLD_SIZE", environment), launched=True)
    elif "ACCELERATE_MIXED_PRECISION" in environment:
        # accelerate sets the port when it was told several processes, even if it then starts only one.
        if "MASTER_PORT" in environment:
            raise UserError(
                "accelerate launch: was told several processes and started one, as it does with --cpu; leave the "
                "launcher out and give --processes N, or use ACCELERATE_USE_CPU=true accelerate launch --multi_gpu"
            )
        world = ProcessWorld(0, 1, launched=True)
    else:
        return ProcessWorld(0, asked or 1, launched=False)
    if asked not in (None, world.size):
        raise UserError(
            f"--processes {asked}: the launcher started {world.size}; give both the same number, or leave one out"
        )
    return world


def refuse_launcher(command: str) -> None:
    """Refuse to run in the processes of a launcher: for commands that decide what to train from what is trained.

    Raises:
        UserError: a launcher started this process.
    """
    if find_world().launched:
        raise UserError(
            f"{command}: decides what to train from what it has trained, in one process; leave the launcher out"
        )


def is_follower(environment: Mapping[str, str] = os.environ) -> bool:
    """Return whether this is one of several processes, and not the first, which alone prints."""
    with suppress(UserError):
        return find_world(None, environment).rank > 0
    return False


def wait_for_first_process() -> None:
    """Wait until the first process has printed a mistake that occurs in all processes. That ends this one too."""
    time.sleep(REPORT_AFTER_S)


def start(size: int, arguments: Sequence[str]) -> int:
    """Run `eidolon ARGUMENTS` in `size` processes until all have ended, and return the exit code.

    It is that of the first process. If one was killed, it is 128 + the signal's number, and one line says so.
    """
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    _silence("torch.distributed.elastic", "torch.distributed.launcher")
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, _cores() // size)))
    # If the launcher is killed, torch would print a lot about lost connections.
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=size,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="127.0.0.1:0",
        rdzv_configs={"is_host": True},
        local_addr="127.0.0.1",
        max_restarts=0,
        monitor_interval=0.1,
        logs_specs=DefaultLogsSpecs(log_dir=os.devnull),
    )
    # -P: nothing is imported from the working folder, as in the program itself.
    command = ["-P", "-m", "eidolon.benchmark", *arguments]
    try:
        elastic_launch(config, sys.executable)(*command)
    except ChildFailedError as error:
        return end({rank: failure.exitcode for rank, failure in error.failures.items()}, size)
    except SignalException as error:
        return 128 + int(error.sigval)
    return 0


def end(codes: Mapping[int, int], size: int) -> int:
    """Return the exit code of a run, from those of its failed processes by rank (negative: killed by a signal).

    One line on stderr gives the reason where no process could.
    """
    # The agent ends the other processes with SIGTERM when one has failed: those are not the reason.
    reasons = {
        rank: code for rank, code in codes.items() if code not in (-signal.SIGTERM, 128 + signal.SIGTERM)
    }
    if not reasons:
        return 128 + signal.SIGTERM
    rank = min(reasons)
    code = reasons[rank]
    if code < 0:
        print(f"error: process {rank} of {size} was killed ({_name(-code)}); {RESUMABLE}", file=sys.stderr)
        return 128 - code
    if rank > 0:
        print(f"error: process {rank} of {size} ended with exit code {code}; {RESUMABLE}", file=sys.stderr)
    return code


@contextmanager
def join(world: ProcessWorld) -> Iterator[SingleProcess | Leader | Follower]:
    """Connect this process with the others. An error in any of them is raised in the first.

    Raises:
        UserError: the processes cannot connect.
    """
    if world.size == 1:
        yield SingleProcess()
        return
    mail = _open_mail()
    with _heartbeat(mail, world.rank):
        if world.rank == 0:
            with _signal_as_exception():
                leader = Leader(mail, world.size)
                try:
                    yield leader
                except Exception as error:
                    if not isinstance(error, UserError):
                        error.add_note(f"in process 0 of {world.size}")
                    raise
                leader.dismiss()
        else:
            follower = Follower(mail, world.rank, world.size)
            try:
                yield follower
            except Exception as error:
                follower.report(error)
                _await_end()


class ProcessEnded(KeyboardInterrupt):
    """The launcher ended this process, because another one failed or it was ended itself; or the launcher is gone."""


class _LauncherStore:
    """The launcher's store (`torch.distributed.Store`). An error in it means that the launcher is gone."""

    def __init__(self, store: MessageStore) -> None:
        self._store = store

    def set(self, key: str, value: str | bytes) -> None:
        with _launcher_gone():
            self._store.set(key, value)

    def get(self, key: str) -> bytes:
        with _launcher_gone():
            return self._store.get(key)

    def check(self, keys: list[str]) -> bool:
        with _launcher_gone():
            return self._store.check(keys)

    def add(self, key: str, amount: int) -> int:
        with _launcher_gone():
            return self._store.add(key, amount)

    def delete_key(self, key: str) -> bool:
        with _launcher_gone():
            return self._store.delete_key(key)


@contextmanager
def _launcher_gone() -> Iterator[None]:
    try:
        yield
    except (RuntimeError, OSError):
        raise ProcessEnded("the launcher of the processes is gone") from None


@contextmanager
def _signal_as_exception() -> Iterator[None]:
    """Turn the launcher's signal into an exception, so that the run's record says how the session ended."""

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        raise ProcessEnded("another process of the run failed, or their launcher was told to end")

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except ProcessEnded:
        sys.exit(128 + signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _heartbeat(mail: Mailbox, rank: int) -> Iterator[None]:
    """Send heartbeats while the block runs, and end this process if its launcher is gone.

    A process that was started by hand, in a shell that may end before it, has no launcher to check.
    """
    done = threading.Event()
    parent = os.getppid() if "TORCHELASTIC_RUN_ID" in os.environ else None

    def live() -> None:
        while not done.wait(BEAT_S):
            try:
                mail.beat(rank)
            except ProcessEnded:
                gone = True
            else:
                gone = parent is not None and os.getppid() != parent
            if gone and not done.is_set():
                os._exit(128 + signal.SIGTERM)

    thread = threading.Thread(target=live, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _open_mail() -> Mailbox:
    from torch.distributed import DistError
    from torch.distributed.rendezvous import rendezvous

    try:
        store, _, _ = next(iter(rendezvous("env://", timeout=timedelta(seconds=JOIN_S))))
    except (DistError, ValueError) as error:
        raise UserError(
            f"--processes: the processes cannot find each other: {str(error).splitlines()[0]}"
        ) from error
    # A launcher that restarts all processes keeps its store, with the old messages.
    return Mailbox(_LauncherStore(store), f"eidolon/{os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}/")


def _await_end() -> NoReturn:
    """Wait until the launcher ends this process, or until the store is gone with the first one (see `_heartbeat`)."""
    while True:
        time.sleep(60)


def _silence(*loggers: str) -> None:
    """Drop the launcher's long messages: one line is printed here instead."""
    for name in loggers:
        logger = logging.getLogger(name)
        logger.addHandler(logging.NullHandler())
        logger.propagate = False


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _number(name: str, environment: Mapping[str, str]) -> int:
    try:
        return int(environment.get(name, ""))
    except ValueError:
        raise UserError(
            f"environment variable {name}: expected a number beside WORLD_SIZE, found "
            f"{environment.get(name)!r}; start the command by a launcher, or unset both"
        ) from None


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
