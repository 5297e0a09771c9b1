"""Functions of batches, computed by the actors of a Ray cluster: one stage of Ray Data over a pool of actors.

Only the positions of the batches go through the pipeline, and the bytes of the results come back, in order and one
block at a time. What a batch needs is in one object that every actor reads once.

An actor that is lost ends the pipeline: its batches would wait for a free place, which a smaller cluster may never
have. Another one begins at the first batch that has not come back, with as many actors as the cluster then has
places for.
"""

import logging
import os
import threading
import time
import traceback
import uuid
import warnings
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from eidolon.benchmark.engine.coordinator import raise_failure
from eidolon.benchmark.engine.launch import RESUMABLE
from eidolon.benchmark.engine.mapping import BatchFunction
from eidolon.scorers.core.distribution import package_version
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.types import Record

if TYPE_CHECKING:
    import pyarrow

FLAG = "--executor ray"
IN_FLIGHT = 2
"""Batches that an actor has at most: one that it computes and one that waits."""
MOST_BLOCKS = 20_000
"""Blocks of one pipeline: Ray keeps a record of each. Of more batches, several share a block."""
MOST_LOSSES = 5
"""Actors that may be lost one after the other before any batch comes back."""

THREADS = ("StreamingExecutor", "iter_threaded", "ray-data-metadata-prefetch")
"""How the names of the threads begin that Ray Data uses for a pipeline (Ray 2.60)."""
THREADS_END_S = 60
"""Seconds to wait for them. On a crowded machine they take several; Ray itself waits 2."""

T = TypeVar("T")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ActorOptions:
    """How many actors there may be, and what each of them occupies."""

    least: int | None = None
    """Actors to wait for; None where the cluster decides."""
    most: int | None = None
    """None for as many as the cluster has places for."""
    gpus: float | None = None
    """GPUs of one actor, which may be a share of one. None: one where the cluster has any."""
    cpus: float = 1


class ActorFailure(Record):
    """An error in an actor."""

    node: str
    message: str
    traceback: str | None
    """The traceback of a bug; None for a mistake of the user."""

    def reraise(self) -> None:
        """Raise the error here: a UserError, or a ProcessError with the traceback of a bug as its cause."""
        raise_failure(f"an actor on {self.node}", self.message, self.traceback)


@dataclass(frozen=True, slots=True)
class _Shipment:
    """What an actor is sent."""

    version: str
    folder: str
    """The working folder of the command, from which relative paths lead."""
    function: bytes

    def unpack(self) -> Any:
        """Return the function, with the working folder set.

        Raises:
            UserError: the node has another version of Eidolon, or lacks the folder or the files of the dataset.
        """
        from ray import cloudpickle

        node = os.uname().nodename
        if (here := package_version()) != self.version:
            raise UserError(f"{FLAG}: node {node} has Eidolon {here}, and the command {self.version}")
        try:
            os.chdir(self.folder)
        except OSError as error:
            raise UserError(
                f"{FLAG}: node {node} cannot enter the folder {self.folder} of the command ({error.strerror}); all "
                "nodes must see the same files"
            ) from error
        try:
            return cloudpickle.loads(self.function)
        except FileNotFoundError as error:
            raise UserError(
                f"{FLAG}: node {node} lacks a file of the dataset ({error}); all nodes must see the same files, those "
                "of HF_HOME too"
            ) from error


def attempt(act: Callable[[], T]) -> tuple[T | None, str]:
    """Return a result and no text, or None and the failure as JSON: Ray's own errors hold no UserError."""
    try:
        return act(), ""
    except Exception as error:
        trace = None if isinstance(error, UserError) else "".join(traceback.format_exception(error))
        failure = ActorFailure(node=os.uname().nodename, message=str(error), traceback=trace)
        return None, failure.model_dump_json()


class _StageActor:
    """An actor of the pool. Errors are results, so that the mistake of a user is shown as one."""

    def __init__(self, shipped: list[Any]) -> None:
        """`shipped` holds the reference of the shipment: in a list, Ray leaves it as it is."""
        self._shipped = shipped
        self._name = uuid.uuid4().hex
        self._function: BatchFunction | None = None

    def __call__(self, rows: "pyarrow.Table") -> "pyarrow.Table":
        import pyarrow

        batches = rows["batch"].to_pylist()
        found = [attempt(partial(self._compute, batch)) for batch in batches]
        return pyarrow.table(
            {
                "batch": batches,
                "actor": [self._name] * len(batches),
                "result": pyarrow.array([result for result, _ in found], pyarrow.large_binary()),
                "failure": [failure for _, failure in found],
            }
        )

    def _compute(self, batch: int) -> bytes:
        import ray

        if self._function is None:
            self._function = ray.get(self._shipped[0]).unpack()
        return self._function(batch)


class _Scout:
    """One actor alone, before there is a pool."""

    def __init__(self) -> None:
        self._worker: Any = None

    def ask(self, shipped: list[Any], question: Callable[[Any], Any]) -> tuple[Any, str]:
        """Return the answer of the worker, or the failure."""
        return attempt(lambda: question(self._unpacked(shipped)))

    def _unpacked(self, shipped: list[Any]) -> Any:
        import ray

        if self._worker is None:
            self._worker = ray.get(shipped[0]).unpack()
        return self._worker


class RayPool:
    """Actors of the connected cluster."""

    def __init__(self, options: ActorOptions) -> None:
        """Look at the cluster.

        Raises:
            UserError: it has no place for one actor, and does not say that it can grow.
        """
        import ray

        self.options = options
        self._open: Any = None
        has_gpus = ray.cluster_resources().get("GPU", 0) > 0
        self._gpus = options.gpus if options.gpus is not None else float(has_gpus)
        if not self.places(self._gpus) and options.least is None:
            raise UserError(
                f"{FLAG}: the cluster has no place for an actor with {options.cpus:g} CPUs and {self._gpus:g} GPUs; "
                "give --actor-cpus or --actor-gpus, or --actors 1-N for a cluster that grows"
            )

    @property
    def size(self) -> int:
        """The most actors that there may be now."""
        return self._most(self._gpus)

    def places(self, gpus: float) -> int:
        """Return how many actors with so many GPUs fit into the nodes that are alive."""
        import ray

        each = {"CPU": self.options.cpus, "GPU": gpus}
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        return sum(
            int(min(node.get(name, 0) / amount for name, amount in each.items() if amount)) for node in nodes
        )

    def scout(self, worker: object) -> "Scout":
        """Return one actor that holds `worker` and answers questions about it."""
        return Scout(ship(worker), self._occupied())

    def map(self, function: BatchFunction, count: int, *, light: bool = False) -> Iterator[tuple[str, bytes]]:
        """Yield the results of the batches 0 to `count` - 1 in order, each with the name of the actor that made it.

        The actors of a `light` function take no GPU.

        Raises:
            UserError: the function raised one, or actors are lost one after the other.
            ProcessError: the function raised anything else.
        """
        from ray.exceptions import RayError, RayTaskError

        shipped = ship(function)
        done = losses = 0
        while done < count:
            try:
                for row in self._pipeline(shipped, range(done, count), 0 if light else self._gpus):
                    if row["failure"]:
                        ActorFailure.model_validate_json(row["failure"]).reraise()
                    if row["batch"] != done:
                        raise RuntimeError(f"batch {row['batch']} came back in place of batch {done}")
                    done, losses = done + 1, 0
                    yield row["actor"], row["result"]
            except RayError as error:
                self.close()
                if isinstance(error, RayTaskError) and not is_loss(error):
                    raise
                losses += 1
                _log.warning("actor lost", extra={"fields": {"batch": done, "error": first_line(error)}})
                if losses > MOST_LOSSES:
                    raise UserError(
                        f"{FLAG}: {losses} actors were lost one after the other before batch {done} of {count} came "
                        f"back ({first_line(error)}); {RESUMABLE}"
                    ) from error

    def _pipeline(self, shipped: list[Any], batches: range, gpus: float) -> Iterator[Mapping[str, Any]]:
        """Yield the rows of one pipeline over the batches, in their order."""
        import ray.data

        blocks = min(len(batches), MOST_BLOCKS)
        rows = ray.data.from_items([{"batch": batch} for batch in batches], override_num_blocks=blocks)
        most = min(self._most(gpus), len(batches))
        with warnings.catch_warnings(action="ignore"):  # Ray has no other way to set restarts yet
            stage = rows.map_batches(
                _StageActor,
                fn_constructor_args=[shipped],
                batch_size=1,
                batch_format="pyarrow",
                compute=ray.data.ActorPoolStrategy(
                    min_size=min(most, self.options.least or most),
                    max_size=most,
                    max_tasks_in_flight_per_actor=IN_FLIGHT,
                ),
                num_cpus=self.options.cpus,
                num_gpus=gpus or None,
                ray_remote_args_fn=_without_restarts,
            )
        stage.context.execution_options.preserve_order = True
        self._open = iter(stage.iter_batches(batch_size=1, batch_format="pyarrow"))
        for table in self._open:
            yield from table.to_pylist()

    def close(self) -> None:
        """End the pipeline that runs, if any."""
        if self._open is not None:
            end_pipeline(self._open)

    def _most(self, gpus: float) -> int:
        return self.options.most or max(1, self.places(gpus))

    def _occupied(self) -> dict[str, float]:
        return {"num_cpus": self.options.cpus, "num_gpus": self._gpus}


class Scout:
    """The handle of an actor that holds a worker. It is moved to another node if its own is lost."""

    def __init__(self, shipped: list[Any], occupied: Mapping[str, float]) -> None:
        import ray

        remote: Any = ray.remote(_Scout)
        self._shipped = shipped
        lost = {"max_restarts": MOST_LOSSES, "max_task_retries": MOST_LOSSES}
        self._actor = remote.options(**occupied, **lost).remote()

    def ask(self, question: Callable[[Any], T]) -> T:
        """Return the answer of a function of the worker.

        Raises:
            UserError: the function raised one, or the actor is lost.
            ProcessError: the function raised anything else.
        """
        import ray
        from ray.exceptions import RayActorError

        try:
            answer, failure = ray.get(self._actor.ask.remote(self._shipped, question))
        except RayActorError as error:
            raise UserError(f"{FLAG}: the first actor was lost ({first_line(error)})") from error
        if failure:
            ActorFailure.model_validate_json(failure).reraise()
        found: T = answer
        return found

    def dismiss(self) -> None:
        """End the actor, so that its place is free."""
        import ray

        ray.kill(self._actor)


def ship(function: object) -> list[Any]:
    """Put a picklable object where all actors can read it, and return its reference in a list.

    Raises:
        UserError: it holds something that cannot be sent, such as the open file of a plug-in's dataset.
    """
    import ray
    from ray import cloudpickle

    try:
        content = cloudpickle.dumps(function)
    except Exception as error:  # what a plug-in holds may raise anything
        raise UserError(
            f"{FLAG}: model, dataset and judge are sent to the actors by pickle, and these cannot be: "
            f"{type(error).__name__}: {error}"
        ) from error
    return [ray.put(_Shipment(package_version(), str(Path.cwd()), content))]


def end_pipeline(opened: Generator[Any, None, None]) -> None:
    """Close a pipeline, and wait for its threads.

    Ray ends the whole process, without a message, if one of them uses it after it is shut down.
    """
    opened.close()
    deadline = time.monotonic() + THREADS_END_S
    for thread in threading.enumerate():
        if thread.name.startswith(THREADS):
            thread.join(max(0.0, deadline - time.monotonic()))


def is_loss(error: BaseException) -> bool:
    """Return whether an error of Ray says that an actor, its node or its results are gone."""
    from ray.exceptions import NodeDiedError, ObjectLostError, RayActorError, WorkerCrashedError

    gone = (NodeDiedError, ObjectLostError, RayActorError, WorkerCrashedError)
    return isinstance(error, gone) or isinstance(getattr(error, "cause", None), gone)


def first_line(error: BaseException) -> str:
    """Return the kind of an error and the first line of its message: Ray's messages have many."""
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0].strip()}"


def _without_restarts() -> dict[str, Any]:
    """Return the options of an actor that is not started again: Ray would keep its batches for it."""
    return {"max_restarts": 0, "max_task_retries": 0}
