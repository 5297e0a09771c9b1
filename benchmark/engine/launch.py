"""One command as several processes: started here, or by a launcher of the user's (`accelerate launch`, torchrun).

Started here, this process becomes the launcher: torch's elastic agent runs the same command once a process, ends all
when one dies, and passes interrupts on. In the processes themselves both ways look alike: the environment says how
many there are and which one this is, and a store of the launcher's carries messages between them.
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
from typing import Any, NoReturn

from eidolon.benchmark.engine.coordinator import Follower, Leader, Mailbox, SingleProcess
from eidolon.scorers.core.errors import UserError

GO_ON = "what was written is whole, and the same command goes on"
BEAT_S = 0.5
"""Seconds between two signs of life, and between two looks whether the launcher is there."""
JOIN_S = 120.0
"""Seconds that the processes have to find each other."""
SAY_AFTER_S = 10.0
"""Seconds that a process keeps a mistake to itself which the first one has most likely said already."""


@dataclass(frozen=True, slots=True)
class World:
    """How many processes do a command together, and which of them this is."""

    rank: int
    size: int
    launched: bool
    """They are there; otherwise they are still to be started."""


def find_world(asked: int | None = None, environment: Mapping[str, str] = os.environ) -> World:
    """Return the world that the environment announces, else one of as many processes as were asked for.

    Raises:
        UserError: a launcher started another number than was asked for, or one where it was told several.
    """
    if "WORLD_SIZE" in environment:
        world = World(_number("RANK", environment), _number("WORLD_SIZE", environment), launched=True)
    elif "ACCELERATE_MIXED_PRECISION" in environment:
        # accelerate names the place to meet when it was told several processes, even where it then starts only one.
        if "MASTER_PORT" in environment:
            raise UserError(
                "accelerate launch: was told several processes and started one, as it does with --cpu; leave the "
                "launcher out and give --processes N, or use ACCELERATE_USE_CPU=true accelerate launch --multi_gpu"
            )
        world = World(0, 1, launched=True)
    else:
        return World(0, asked or 1, launched=False)
    if asked not in (None, world.size):
        raise UserError(
            f"--processes {asked}: the launcher started {world.size}; give both the same number, or leave one out"
        )
    return world


def follows(environment: Mapping[str, str] = os.environ) -> bool:
    """Tell whether this is one of several processes and not the first, which does the talking."""
    with suppress(UserError):
        return find_world(None, environment).rank > 0
    return False


def let_the_first_speak() -> None:
    """Wait for as long as the first process may take to say a mistake that all of them meet, which ends them."""
    time.sleep(SAY_AFTER_S)


def start(size: int, arguments: Sequence[str]) -> int:
    """Run `eidolon ARGUMENTS` in `size` processes, to the end of all of them, and return the exit code.

    It is that of the first process; 128 + the signal's number where one was killed, which is said in one line.
    """
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    _silence("torch.distributed.elastic", "torch.distributed.launcher")
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, _cores() // size)))
    # Should the launcher be killed, torch would tell at length of connections lost.
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
    # The working folder is no place to import from (-P), as it is none for the program itself.
    command = ["-P", "-m", "eidolon.benchmark", *arguments]
    try:
        elastic_launch(config, sys.executable)(*command)
    except ChildFailedError as error:
        return end({rank: failure.exitcode for rank, failure in error.failures.items()}, size)
    except SignalException as error:
        return 128 + int(error.sigval)
    return 0


def end(codes: Mapping[int, int], size: int) -> int:
    """Return the exit code of a run whose processes failed with these (negative: killed by a signal); say why
    where none of them could."""
    # Those that the agent told to end when another had failed are none of the reasons.
    reasons = {
        rank: code for rank, code in codes.items() if code not in (-signal.SIGTERM, 128 + signal.SIGTERM)
    }
    if not reasons:
        return 128 + signal.SIGTERM
    rank = min(reasons)
    code = reasons[rank]
    if code < 0:
        print(f"error: process {rank} of {size} was killed ({_name(-code)}); {GO_ON}", file=sys.stderr)
        return 128 - code
    if rank > 0:
        print(f"error: process {rank} of {size} ended with exit code {code}; {GO_ON}", file=sys.stderr)
    return code


@contextmanager
def join(world: World) -> Iterator[SingleProcess | Leader | Follower]:
    """Take this process's place among those of the world. What fails in one of the others fails in the first.

    Raises:
        UserError: the others cannot be found.
    """
    if world.size == 1:
        yield SingleProcess()
        return
    mail = _open_mail()
    with _pulse(mail, world.rank):
        if world.rank == 0:
            with _told_to_end():
                lead = Leader(mail, world.size)
                try:
                    yield lead
                except Exception as error:
                    if not isinstance(error, UserError):
                        error.add_note(f"in process 0 of {world.size}")
                    raise
                lead.dismiss()
        else:
            follow = Follower(mail, world.rank, world.size)
            try:
                yield follow
            except Exception as error:
                follow.report(error)
                _await_end()


class Ended(KeyboardInterrupt):
    """The launcher told this process to end, because another one failed or it was told so itself; or it is gone."""


class _LaunchersStore:
    """The launcher's store, whose failure means that the launcher is gone."""

    def __init__(self, store: Any) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._store, name)

        def guarded(*arguments: Any) -> Any:
            try:
                return call(*arguments)
            except (RuntimeError, OSError):
                raise Ended("the launcher of the processes is gone") from None

        return guarded


@contextmanager
def _told_to_end() -> Iterator[None]:
    """Turn the launcher's signal into an exception, so that the run's record says how it ended."""

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        raise Ended("another process of the run failed, or their launcher was told to end")

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except Ended:
        sys.exit(128 + signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _pulse(mail: Mailbox, rank: int) -> Iterator[None]:
    """Give signs of life while the block runs, and end this process, whatever it does, if its launcher is gone.

    A process that was started by hand, in a shell that may end before it, has no launcher to look for.
    """
    done = threading.Event()
    parent = os.getppid() if "TORCHELASTIC_RUN_ID" in os.environ else None

    def live() -> None:
        while not done.wait(BEAT_S):
            try:
                mail.beat(rank)
            except Ended:
                gone = True
            else:
                gone = parent is not None and os.getppid() != parent
            if gone and not done.is_set():
                os._exit(128 + signal.SIGTERM)

    thread = threading.Thread(target=live, name="pulse", daemon=True)
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
    # A launcher that starts everything once more keeps its store, with the messages of the last time.
    return Mailbox(_LaunchersStore(store), f"eidolon/{os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}/")


def _await_end() -> NoReturn:
    """Wait for the launcher to end this process, or for the store to go with the first one (see `_pulse`)."""
    while True:
        time.sleep(60)


def _silence(*loggers: str) -> None:
    """Keep the launcher from telling at length what is said here in one line."""
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
