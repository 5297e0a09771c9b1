"""A search that takes seconds."""

from eidolon.benchmark.study.recall.task import Task
from eidolon.benchmark.study.search.estimator import BESIDE, CostEstimator, CostLine
from eidolon.benchmark.study.search.recipe import SearchRecipe
from eidolon.benchmark.study.search.space import SearchedLayout, SearchSpace

RECIPE = SearchRecipe(
    space=SearchSpace(symbols=("*", "GDN", "BM"), widths=(16, 32), depth=2, lanes=16),
    store=3,
    context=12,
    mixed=0,
    unseen=2,
    trainings=5,
    population=3,
    children=2,
    supernet_steps=4,
    finalists=2,
    sampled=4,
    tolerance=0.5,
)
RECIPE = RECIPE.model_copy(
    update={
        "recall": RECIPE.recall.model_copy(
            update={
                "task": Task(keys=6, values=6, filler_tokens=2),
                "pairs": (1, 2),
                "window": 3,
                "batch_size": 4,
                "steps": 4,
                "test_sequences": 20,
            }
        )
    }
)
ESTIMATOR = CostEstimator(
    context=12,
    machine="a machine",
    ms={
        BESIDE: CostLine(constant=0.1, per_width=0.0),
        "*": CostLine(constant=1.0, per_width=0.01),
        "GDN": CostLine(constant=0.5, per_width=0.01),
        "BM": CostLine(constant=2.0, per_width=0.01),
    },
    bytes={
        BESIDE: CostLine(constant=0.0, per_width=0.0),
        "*": CostLine(constant=1000.0, per_width=0.0),
        "GDN": CostLine(constant=100.0, per_width=0.0),
        "BM": CostLine(constant=300.0, per_width=0.0),
    },
)


def point(layout: str, width: int = 16) -> SearchedLayout:
    """Return an architecture of a layout such as `GDN-*`."""
    return SearchedLayout.model_validate({"layout": layout, "width": width})
