"""The settings of a search."""

from typing import Literal, get_args

from pydantic import Field

from eidolon.benchmark.study.recall.recipe import RecallRecipe
from eidolon.benchmark.study.recall.task import Task
from eidolon.benchmark.study.search.space import SearchedLayout, SearchSpace
from eidolon.models.memory.layout import Memory
from eidolon.scorers.core.types import Record

Method = Literal["multi-shot", "multi-shot with rules", "single-shot", "zero-shot", "rules"]
METHODS: tuple[Method, ...] = get_args(Method)


class SearchRecipe(Record):
    """The space, the task that measures recall, and the budgets. A search is its function, up to the measured times."""

    space: SearchSpace = SearchSpace()
    recall: RecallRecipe = RecallRecipe(
        task=Task(keys=16, values=16, filler_tokens=4),
        pairs=(2, 4, 8),
        fillers=("none",),
        heads=2,
        head_dim=8,
        window=8,
        rotary=0.0,
        batch_size=32,
        steps=300,
        growing=0.5,
        learning_rate=1e-2,
        test_sequences=200,
    )
    """The task and the training of a candidate. Width and feed-forward width are those of the candidate."""
    store: int = Field(16, ge=1)
    """Tokens in a store."""
    context: int = Field(8192, ge=1)
    """Tokens read before the step whose latency counts; also those after which bytes count."""
    mixed: int = Field(32, ge=0)
    """Random layouts among the measured ones of the regression."""
    unseen: int = Field(24, ge=1)
    """Layouts that check it."""
    trainings: int = Field(24, ge=1)
    """Candidates that the evolution trains at most."""
    population: int = Field(8, ge=1)
    """Random candidates at its start."""
    children: int = Field(4, ge=1)
    """Candidates of a generation."""
    patience: int = Field(3, ge=1)
    """Generations without a new point of the front after which it ends."""
    stop_after: float = Field(0.4, gt=0, lt=1)
    """Share of a training after which a candidate is compared with the others and perhaps stopped."""
    margin: float = Field(0.1, ge=0)
    """A candidate is stopped if one that costs no more recalls more by this there."""
    supernet_steps: int = Field(1000, ge=1)
    finalists: int = Field(6, ge=1)
    """Candidates that a method without trainings trains at the end."""
    sampled: int = Field(20, ge=2)
    """Random candidates that are trained to correlate the scores with."""
    max_bytes: int | None = Field(None, ge=1)
    """Architectures whose memory of a sequence takes more bytes are not searched; null for all. The reference may take
    more."""
    tolerance: float = Field(0.02, ge=0)
    """Recall below that of the reference that still counts as equal."""
    seed: int = Field(0, ge=0)

    def memory(self, point: SearchedLayout) -> Memory:
        """Return layout and sizes of the memories of a candidate."""
        recall = self.recall
        return Memory(
            layout=point.layout,
            window=recall.window,
            store=self.store,
            heads=recall.heads,
            head_dim=recall.head_dim,
            rotary=recall.rotary,
        )

    @property
    def early(self) -> int:
        """The step after which a training may be stopped."""
        return max(1, int(self.stop_after * self.recall.steps))
