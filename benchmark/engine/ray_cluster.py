"""The connection with a Ray cluster."""

import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from eidolon.benchmark.engine.ray_pool import FLAG, ActorOptions, RayPool, first_line
from eidolon.scorers.core.distribution import require_packages
from eidolon.scorers.core.errors import UserError

ADDRESS = "RAY_ADDRESS"
SHARED_VARIABLES = ("OMP_NUM_THREADS", "HF_HOME", "HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE")
"""Variables of this process that the actors get too, beside those that begin with `EIDOLON_`. None is a secret."""
REACHED_S = 10.0
"""Seconds in which the cluster must accept a connection."""


@contextmanager
def ray_pool(options: ActorOptions) -> Iterator[RayPool]:
    """Connect with the cluster that `RAY_ADDRESS` names, or the one of this machine; else start one here.

    Raises:
        UserError: Ray is not installed, the cluster does not answer, or it has no place for an actor.
    """
    require_packages(FLAG, "ray")
    # Eidolon connects to nothing that it was not told to; Ray reports its use over the network by default.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray
    import ray.data

    _check_address(os.environ.get(ADDRESS, ""))
    before = signal.getsignal(signal.SIGTERM)
    shared = {name: value for name, value in os.environ.items() if _is_shared(name)}
    try:
        ray.init(
            include_dashboard=None if ADDRESS in os.environ else False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            runtime_env={"env_vars": shared} if shared else None,
        )
    except (ConnectionError, ValueError) as error:
        raise UserError(f"{ADDRESS}={os.environ.get(ADDRESS, '')}: {first_line(error)}") from error
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, before)  # Ray's own handler ends the process as a plug-in would
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.execution_options.verbose_progress = False
    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.ERROR)
    pool = None
    try:
        pool = RayPool(options)
        yield pool
    finally:
        if pool is not None:
            pool.close()
        ray.shutdown()


def _check_address(address: str) -> None:
    """Check that something answers at `HOST:PORT`: Ray itself tries for minutes.

    Raises:
        UserError: nothing does.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or "/" in host:
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), REACHED_S).close()
    except (OSError, OverflowError) as error:
        raise UserError(
            f"{ADDRESS}={address}: no Ray cluster answers there ({error}); start one by ray start --head"
        ) from error


def _is_shared(name: str) -> bool:
    return name in SHARED_VARIABLES or name.startswith("EIDOLON_")
