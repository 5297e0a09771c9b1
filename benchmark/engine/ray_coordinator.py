"""A coordinator whose processes are the actors of a Ray cluster. This process asks no model itself."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from eidolon.benchmark.engine.coordinator import AnsweredBatch, add_usages
from eidolon.benchmark.engine.ray_cluster import ray_pool
from eidolon.benchmark.engine.ray_pool import ActorOptions, RayPool, Scout
from eidolon.benchmark.engine.worker import Keys, Usage, Worker
from eidolon.scorers.core.types import Response


class _AnswerBatches:
    """Answers batches in an actor."""

    def __init__(self, worker: Worker, batches: Sequence[Keys]) -> None:
        self._worker, self._batches = worker, batches

    def __call__(self, batch: int) -> bytes:
        worker = self._worker
        worker.load()
        answers = AnsweredBatch(
            responses=tuple(worker.answer(self._batches[batch])), usage=worker.usage(), kept=worker.keep()
        )
        return answers.model_dump_json().encode()


class RayCoordinator:
    """Has the batches of a run answered by the actors of a cluster.

    One actor loads the model before the run begins, so that a mistake shows before there is a folder. It says what the
    model is and how many requests fit into a batch, and makes room for the pool.
    """

    def __init__(self, pool: RayPool) -> None:
        self.pool = pool
        self.size = pool.size
        self._prepared: Worker | None = None
        self._scout: Scout | None = None
        self._description: dict[str, Any] = {}
        self._usage: dict[str, Usage | None] = {}
        self._kept: dict[str, dict[str, int] | None] = {}

    def prepare(self, worker: Worker) -> None:
        if self._prepared is worker:
            return
        self._dismiss()
        self._scout = self.pool.scout(worker)
        self._description = self._scout.ask(_load)
        self._prepared = worker

    def describe(self, worker: Worker) -> dict[str, Any]:
        self.prepare(worker)
        return self._description

    def fit_batch(self, worker: Worker, keys: Keys) -> int | None:
        self.prepare(worker)
        return self._scout.ask(_FitBatch(keys)) if self._scout is not None else None

    def answers(self, worker: Worker, batches: Sequence[Keys]) -> Iterator[list[Response]]:
        self._dismiss()
        self.size = self.pool.size
        self._usage, self._kept = {}, {}
        for actor, content in self.pool.map(_AnswerBatches(worker, batches), len(batches)):
            answered = AnsweredBatch.model_validate_json(content)
            self._usage[actor], self._kept[actor] = answered.usage, answered.kept
            yield [*answered.responses]
        worker.release()  # the doctor may have loaded the model in this process

    def usage(self, worker: Worker) -> Usage | None:
        return add_usages(*self._usage.values())

    def keep(self, worker: Worker) -> dict[str, int] | None:
        return add_usages(*self._kept.values())

    def _dismiss(self) -> None:
        if self._scout is not None:
            self._scout.dismiss()
        self._scout = None


def _load(worker: Worker) -> dict[str, Any]:
    worker.load()
    return worker.describe()


class _FitBatch:
    """The question how many of some requests fit into a batch."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys

    def __call__(self, worker: Worker) -> int | None:
        return worker.fit_batch(self._keys)


@contextmanager
def ray_coordinator(options: ActorOptions) -> Iterator[RayCoordinator]:
    """Connect with a cluster, and return the coordinator of its actors.

    Raises:
        UserError: Ray is not installed, the cluster does not answer, or it has no place for an actor.
    """
    with ray_pool(options) as pool:
        yield RayCoordinator(pool)
