"""Where a run is computed: here, or by the actors of a Ray cluster."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from eidolon.benchmark.engine.launch import ProcessWorld
from eidolon.benchmark.engine.mapping import BatchMapper
from eidolon.benchmark.engine.ray_coordinator import RayCoordinator, ray_coordinator
from eidolon.benchmark.engine.ray_pool import FLAG, ActorOptions
from eidolon.benchmark.settings.judged import actor_bounds
from eidolon.benchmark.settings.load import Given
from eidolon.benchmark.settings.run import RunSettings
from eidolon.benchmark.settings.score import ScoreSettings
from eidolon.benchmark.tasks.protocol import DistributedWork, Run
from eidolon.scorers.core.errors import UserError

OF_RAY = ("actors", "actor_gpus", "actor_cpus")
"""The settings that another executor does not take."""


def actor_options(
    given: Given[RunSettings] | Given[ScoreSettings], world: ProcessWorld | None = None
) -> ActorOptions | None:
    """Return the actors of a Ray cluster, None for a run on this machine. Imports no Ray.

    Raises:
        UserError: a setting is for another executor.
    """
    settings = given.settings
    if settings.executor != "ray":
        for field in OF_RAY:
            if given.says(field):
                raise UserError(f"{given.place(field)}: is for {FLAG}, not for local; leave it out")
        return None
    if world is not None and (given.says("processes") or world.launched):
        where = given.place("processes") if given.says("processes") else "WORLD_SIZE"
        raise UserError(
            f"{where}: is for one machine; with {FLAG} give --actors N, and use no other launcher"
        )
    least, most = (None, None) if settings.actors is None else actor_bounds(settings.actors)
    return ActorOptions(least=least, most=most, gpus=settings.actor_gpus, cpus=settings.actor_cpus)


@contextmanager
def cluster(given: Given[RunSettings] | Given[ScoreSettings]) -> Iterator[RayCoordinator | None]:
    """Connect with the cluster that the settings ask for; None for a run in this process.

    Raises:
        UserError: a setting is wrong, or the cluster cannot be used.
    """
    if (options := actor_options(given)) is None:
        yield None
    else:
        with ray_coordinator(options) as coordinator:
            yield coordinator


def judged_by(run: Run, mapper: BatchMapper) -> Run:
    """Return a run whose responses the mapper's processes judge, where its task can have them judged elsewhere."""
    return replace(run, work=run.work.by(mapper)) if isinstance(run.work, DistributedWork) else run
