"""Eidolon: what a vision-language model describes that is not in the picture, and how that changes along a response.

    import eidolon

    eidolon.CHAIR().score(["A cat on a sofa."], [["cat"]])["chair_i"]
    eidolon.score(responses="responses.jsonl", objects="objects.jsonl").scores
    eidolon.run(model="python/mine.py:Blind", limit=20, out="results/runs/mine").to_pandas().mentions
    eidolon.compare("results/runs/a", "results/runs/b")

Everything is loaded on first use, so that `import eidolon` is fast and needs no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from eidolon._metrics import CHAIR, POPE, ObjectMetric, Result, metric
    from eidolon._running import run, score
    from eidolon._runs import FinishedRun, Frames, compare, load_run
    from eidolon.benchmark.verify.compare import Comparison
    from eidolon.scorers.core.errors import UserError
    from eidolon.scorers.core.scores import Scores

    __version__: str

__all__ = [
    "CHAIR",
    "POPE",
    "Comparison",
    "FinishedRun",
    "Frames",
    "ObjectMetric",
    "Result",
    "Scores",
    "UserError",
    "__version__",
    "compare",
    "load_run",
    "metric",
    "run",
    "score",
]

_MODULES = {
    "CHAIR": "eidolon._metrics",
    "Comparison": "eidolon.benchmark.verify.compare",
    "Frames": "eidolon._runs",
    "ObjectMetric": "eidolon._metrics",
    "POPE": "eidolon._metrics",
    "Result": "eidolon._metrics",
    "FinishedRun": "eidolon._runs",
    "Scores": "eidolon.scorers.core.scores",
    "UserError": "eidolon.scorers.core.errors",
    "compare": "eidolon._runs",
    "load_run": "eidolon._runs",
    "metric": "eidolon._metrics",
    "run": "eidolon._running",
    "score": "eidolon._running",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from eidolon.scorers.core.distribution import package_version

        return package_version()
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return __all__
