"""The trainings of `eidolon memory recall`: MQAR at published sizes, with a sweep of learning rates."""

from pydantic import Field, ValidationError

from eidolon.benchmark.study.recall.published_task import MqarTask
from eidolon.benchmark.study.recall.recipe import RecallTraining
from eidolon.models.memory.layout import Layout, Memory, layout_text
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.types import Record

RATES = (1e-2, 2.154e-3, 4.642e-4, 1e-4)
"""Zoology's learning rates, logspace(-4, -2, 4). The largest is tried first: it learns with the fewest sequences."""
SEEDS = (0, 1, 2)
LAYOUTS = ("*-*", "GDN-GDN", "M2-M2", "BMF-BMF", "BM-BM", "SWA-SWA", "GKA-GKA")
"""The order in which memories are trained."""
SETTINGS = ((64, 4), (128, 8))
"""Length and number of pairs: the two small settings of Zoology. Those of a GPU are (256, 16) and (512, 64)."""


FORM = "must be LENGTHxPAIRS with an even length of at least 4 tokens a pair, such as 64x4"


def parse_setting(text: str) -> tuple[int, int]:
    """Return length and pairs of a text such as `64x4`.

    Raises:
        UserError: it is not two numbers, or no sequence has these sizes.
    """
    length, _, pairs = text.partition("x")
    try:
        task = MqarTask(length=int(length), pairs=int(pairs))
    except ValidationError as error:
        # Only the model's own checks say more than the form does.
        own = [f"; {one['ctx']['error']}" for one in error.errors() if one["type"] == "value_error"]
        raise UserError(f"--setting {text!r}: {FORM}{''.join(own)}") from error
    except ValueError as error:
        raise UserError(f"--setting {text!r}: {FORM}") from error
    return task.length, task.pairs


SAVE_EVERY = 200
"""Steps between two saves of a training's state."""


class SweepRecipe(Record):
    """What all trainings of a sweep have in common."""

    vocabulary: int = Field(8192, ge=4)
    width: int = Field(64, ge=2)
    inner: int = Field(64, ge=1)
    """Width of the feed-forward layers. Zoology's models have none."""
    window: int = Field(16, ge=1)
    store: int = Field(16, ge=1)
    budget: int = Field(100_000, ge=1)
    """Most sequences of a training. Zoology trains on 6,400,000 (64 epochs of 100,000); none is repeated here."""
    batch_size: int = Field(64, ge=1)
    warmup: int = Field(50, ge=0)
    """Steps."""
    weight_decay: float = Field(0.1, ge=0)
    check_every: int = Field(40, ge=1)
    """Steps between two measurements of recall on validation sequences."""
    validation_sequences: int = Field(256, ge=1)
    saturated: float = Field(0.995, gt=0, le=1)
    """A training ends with this recall of the validation sequences."""
    behind: float = Field(0.1, ge=0, le=1)
    """The training of a further rate ends when its recall is this much below that of a saturated rate after as many
    sequences."""
    far_behind: float = Field(0.2, ge=0, le=1)
    """The same for a rate that used the whole budget without saturating, in the second half of the budget, in which
    the learning rate falls."""
    test_sequences: int = Field(3000, ge=2)

    @property
    def steps(self) -> int:
        """The most steps of a training."""
        return max(1, self.budget // self.batch_size)

    def training(self, cell: "SweepCell") -> RecallTraining:
        """Return the schedule of a training."""
        return RecallTraining(
            length=self.steps,
            seed=cell.seed,
            learning_rate=cell.learning_rate,
            warmup=min(self.warmup, self.steps),
            weight_decay=self.weight_decay,
            save_every=SAVE_EVERY,
        )

    def memory(self, cell: "SweepCell") -> Memory:
        """Return layout and sizes of the memories: one head, and keys that are compared by content only."""
        return Memory(
            layout=cell.layout,
            window=self.window,
            store=self.store,
            heads=1,
            head_dim=cell.head_dim,
            rotary=0.0,
            chunk=64,
        )


class SweepCell(Record):
    """One training."""

    layout: Layout
    length: int
    pairs: int
    head_dim: int = Field(64, ge=2, multiple_of=2)
    """The state of GDN, M2 and GKA has head_dim² numbers in each layer."""
    learning_rate: float = Field(gt=0)
    seed: int = Field(0, ge=0)

    @property
    def label(self) -> str:
        """The memory's layout, with the size of its head if that is not 64."""
        text = layout_text(self.layout)
        return text if self.head_dim == 64 else f"{text} d={self.head_dim}"

    @property
    def slug(self) -> str:
        """The name of the record."""
        text = layout_text(self.layout).replace("*", "attention")
        size = f"{self.length}x{self.pairs}-{text}-d{self.head_dim}"
        return f"{size}-lr{self.learning_rate:g}-seed{self.seed}"

    def task(self, vocabulary: int) -> MqarTask:
        """Return the task of the training."""
        return MqarTask(length=self.length, pairs=self.pairs, vocabulary=vocabulary)
