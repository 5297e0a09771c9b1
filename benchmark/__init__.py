"""A run from configuration to leaderboard; the names below are loaded when they are first used."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from eidolon.benchmark.config import RunConfig as RunConfig
    from eidolon.benchmark.config import load_config as load_config
    from eidolon.benchmark.datasets import SampleSource as SampleSource
    from eidolon.benchmark.datasets import load_dataset as load_dataset
    from eidolon.benchmark.pipeline import execute as execute
    from eidolon.benchmark.planning import make_plan as make_plan

_HOMES = {
    "RunConfig": "config",
    "SampleSource": "datasets",
    "execute": "pipeline",
    "load_config": "config",
    "load_dataset": "datasets",
    "make_plan": "planning",
}
__all__ = ["RunConfig", "SampleSource", "execute", "load_config", "load_dataset", "make_plan"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
