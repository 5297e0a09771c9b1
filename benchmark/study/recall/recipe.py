"""What the models of associative recall are and how they are trained: all but the memory is the same for all."""

from pydantic import Field

from eidolon.benchmark.study.recall.task import FILLERS, Filler, Task
from eidolon.models.memory.layout import Layout, Memory, Selection, layout_text
from eidolon.models.training.loop import Schedule
from eidolon.scorers.core.types import Record


class RecallTraining(Schedule):
    """A schedule of one piece."""

    length: int = Field(ge=1)

    @property
    def steps(self) -> int:
        return self.length


class RecallRecipe(Record):
    """The task, the sizes, and the training."""

    task: Task = Task()
    pairs: tuple[int, ...] = (4, 8, 16)
    """Numbers of pairs, trained on in equal shares and measured one by one; so are the fillers."""
    fillers: tuple[Filler, ...] = FILLERS
    width: int = Field(64, ge=2)
    inner: int = Field(64, ge=1)
    heads: int = Field(2, ge=1)
    head_dim: int = Field(8, ge=2)
    """Small, so that a state of heads · head_dim² numbers is short of room."""
    window: int = Field(8, ge=1)
    """Tokens; most questions are asked from farther away."""
    rotary: float = Field(0.0, ge=0, le=1)
    """Keys are compared by content alone, wherever they stand."""
    batch_size: int = Field(32, ge=1)
    steps: int = Field(2000, ge=1)
    """Mamba2, whose states start long and are written to in small steps, has learned nothing after 600."""
    growing: float = Field(0.75, ge=0, le=1)
    """Share of the steps over which larger numbers of pairs join the smaller ones: states learn far faster so."""
    learning_rate: float = Field(5e-3, gt=0)
    test_sequences: int = Field(200, ge=1)
    """Of each filler and number of pairs."""

    @property
    def kinds(self) -> tuple[tuple[Filler, int], ...]:
        """The kinds of sequences: a filler and a number of pairs."""
        return tuple((filler, pairs) for filler in self.fillers for pairs in self.pairs)

    def pairs_at(self, step: int) -> tuple[int, ...]:
        """Return the numbers of pairs that a step may be trained on."""
        grown = self.growing * self.steps
        joined = len(self.pairs) if step >= grown else 1 + int(len(self.pairs) * step / grown)
        return tuple(sorted(self.pairs)[:joined])

    def memory(self, cell: "Cell") -> Memory:
        """Return the sizes of a cell's memories."""
        given = {"store": cell.store, "selection": cell.selection}
        return Memory(
            layout=cell.layout,
            window=self.window,
            heads=self.heads,
            head_dim=self.head_dim,
            rotary=self.rotary,
            **{name: value for name, value in given.items() if value is not None},
        )

    def training(self, seed: int) -> RecallTraining:
        """Return the schedule of a model."""
        return RecallTraining(
            seed=seed, learning_rate=self.learning_rate, warmup=min(50, self.steps // 2), length=self.steps
        )


class Cell(Record):
    """One model of the study: which memory a layer has, and the seed of its weights."""

    layout: Layout
    store: int | None = Field(None, ge=1)
    """Tokens that a store holds; null in a layout without BM, as is `selection`."""
    selection: Selection | None = None
    seed: int = Field(0, ge=0)

    @property
    def label(self) -> str:
        """What it is called, its seed aside."""
        text = layout_text(self.layout)
        if self.store is None:
            return text
        return f"{text} {self.store}" + ("" if self.selection == "innovation" else f" {self.selection}")

    @property
    def slug(self) -> str:
        """The name of its folder."""
        return f"{self.label}-{self.seed}".replace("*", "attention").replace(" ", "-")


STORES = (4, 8, 16, 32)
COMPARED_STORE = 16
"""Of the stores that keep the latest and random tokens."""
PLAIN = ("*", "SWA", "M2", "GDN", "GKA", "BMF")
SEEDS = (0, 1, 2)


def study_cells(seeds: tuple[int, ...] = SEEDS) -> list[Cell]:
    """Return every model of the study, a seed after the other: every memory alone, and B'MOJO with its stores."""
    return [
        Cell.model_validate({"layout": layout, "store": store, "selection": selection, "seed": seed})
        for seed in seeds
        for layout, store, selection in (
            *((layout, None, None) for layout in PLAIN),
            *(("BM", store, "innovation") for store in STORES),
            *(("BM", COMPARED_STORE, selection) for selection in ("recent", "random")),
        )
    ]
