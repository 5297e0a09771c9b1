"""Recipes of the recall study. The models differ only in their memory and seed."""

from pathlib import Path

from pydantic import Field

from eidolon.benchmark.study.recall.task import FILLERS, Filler, Task
from eidolon.models.memory.layout import Layout, Memory, Selection, layout_text
from eidolon.models.training.loop import Schedule
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.types import Record


class RecallTraining(Schedule):
    """The schedule of a training with one phase."""

    length: int = Field(ge=1)

    @property
    def steps(self) -> int:
        """Number of training steps."""
        return self.length


class RecallRecipe(Record):
    """The task, the sizes of the models, and the training."""

    task: Task = Task()
    pairs: tuple[int, ...] = (4, 8, 16)
    """Numbers of pairs. Each is trained on equally often and measured separately, and so is each filler."""
    fillers: tuple[Filler, ...] = FILLERS
    width: int = Field(64, ge=2)
    inner: int = Field(64, ge=1)
    heads: int = Field(2, ge=1)
    head_dim: int = Field(8, ge=2)
    """Small, so that a state of heads · head_dim² numbers has little capacity."""
    window: int = Field(8, ge=1)
    """Tokens of a window. Most queries are farther from their value."""
    rotary: float = Field(0.0, ge=0, le=1)
    """0: keys are compared by content only, and not by position."""
    batch_size: int = Field(32, ge=1)
    steps: int = Field(2000, ge=1)
    """After 600 steps, Mamba2 has learned nothing: its states start with slow decay and small updates."""
    growing: float = Field(0.75, ge=0, le=1)
    """Share of the steps over which larger numbers of pairs are added. State-space memories learn much faster this
    way."""
    learning_rate: float = Field(5e-3, gt=0)
    test_sequences: int = Field(200, ge=1)
    """Test sequences for each filler and number of pairs."""

    @property
    def kinds(self) -> tuple[tuple[Filler, int], ...]:
        """All kinds of sequences: (filler, number of pairs)."""
        return tuple((filler, pairs) for filler in self.fillers for pairs in self.pairs)

    def pairs_at(self, step: int) -> tuple[int, ...]:
        """Return the numbers of pairs that occur at a step."""
        grown = self.growing * self.steps
        joined = len(self.pairs) if step >= grown else 1 + int(len(self.pairs) * step / grown)
        return tuple(sorted(self.pairs)[:joined])

    def memory(self, cell: "RecallCell") -> Memory:
        """Return layout and sizes of the memories of a cell."""
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
        """Return the schedule of a model with this seed."""
        return RecallTraining(
            seed=seed, learning_rate=self.learning_rate, warmup=min(50, self.steps // 2), length=self.steps
        )


class RecallCell(Record):
    """One model of the study: its memory and the seed of its weights."""

    layout: Layout
    store: int | None = Field(None, ge=1)
    """Tokens of a store. Null without BM in the layout, like `selection`."""
    selection: Selection | None = None
    seed: int = Field(0, ge=0)

    @property
    def label(self) -> str:
        """The name of the memory, without the seed."""
        text = layout_text(self.layout)
        if self.store is None:
            return text
        return f"{text} {self.store}" + ("" if self.selection == "innovation" else f" {self.selection}")

    @property
    def slug(self) -> str:
        """The name of the folder."""
        return f"{self.label}-{self.seed}".replace("*", "attention").replace(" ", "-")


STORES = (4, 8, 16, 32)
COMPARED_STORE = 16
"""Size of the stores with the rules `recent` and `random`."""
PLAIN = ("*", "SWA", "M2", "GDN", "GKA", "BMF")
SEEDS = (0, 1, 2)


def study_cells(seeds: tuple[int, ...] = SEEDS) -> list[RecallCell]:
    """Return all models of the study, seed by seed: every memory alone, and B'MOJO with all stores."""
    return [
        RecallCell.model_validate({"layout": layout, "store": store, "selection": selection, "seed": seed})
        for seed in seeds
        for layout, store, selection in (
            *((layout, None, None) for layout in PLAIN),
            *(("BM", store, "innovation") for store in STORES),
            *(("BM", COMPARED_STORE, selection) for selection in ("recent", "random")),
        )
    ]


def check_recipe(path: Path, made: Record, wanted: Record) -> None:
    """Check that a result in a file was made by the wanted recipe.

    Raises:
        UserError: it was made by another one.
    """
    other = made.model_dump()
    differing = [name for name, value in wanted.model_dump().items() if other[name] != value]
    if differing:
        raise UserError(
            f"{path}: was made by another recipe ({', '.join(differing)}); give the same options, or another --out"
        )
