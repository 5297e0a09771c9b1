"""The settings of the bench, and the files with the measurements of one checkpoint."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from typing import Any, Self

from pydantic import ConfigDict, Field, model_validator

from eidolon.benchmark.scenes.dialogue import DESCRIBE_PROMPTS
from eidolon.benchmark.scenes.memory_training import CROWDED
from eidolon.benchmark.scenes.scene import Dials, Scene, make_scene
from eidolon.benchmark.store.files import RESPONSES, RETENTION_LINES
from eidolon.benchmark.store.record import SampleRow
from eidolon.benchmark.study.memory.trained import TrainedCheckpoint
from eidolon.benchmark.study.training.predictors import LONG_WORDS
from eidolon.models.base.defaults import DEFAULT_TEMPERATURE
from eidolon.models.memory.layout import Selection
from eidolon.scorers.core.types import Record, Response
from eidolon.scorers.retention.records import AnsweredContext

QUESTIONS, READINGS_FILE, ABOUT = "questions.jsonl", "readings.jsonl", "measured.json"
BLOCKS = (0, 16, 32, 64, 128, 192, 256, 384)
"""First tokens of the blocks of positions in a text. The last block has no end."""
TEXTS = ("own", "usual", "long")
"""Texts that models read with and without the image: their own descriptions, references of usual length, and long
references."""
COLUMNS = ("tokens", "nats", "nats_blind", "pdm", "names", "name_nats", "name_nats_blind", "name_pdm")
"""Sums over the tokens of a block. `names` counts the first tokens that name an object of the image."""


class BenchSettings(Record):
    """The settings of the measurements. They are the same for every checkpoint and part of the signature."""

    limit: int = Field(128, ge=2)
    """Number of held-out scenes with questions."""
    descriptions: int = Field(1024, ge=2)
    """Number of described held-out scenes; the first ones are those with questions. Descriptions are cheap, and
    hallucinations in them are rare."""
    seed: int = 0
    """Seed of the scenes, the questions and sampling."""
    dials: Dials = CROWDED
    lengths: tuple[int, ...] = (16, 32, 64, 128, 256, 512)
    """Tokens of text between image and question. Questions directly after the image are always asked too."""
    questions: int = Field(2, ge=1)
    """Number of questions about present objects directly after the image, and as many about absent ones, drawn with
    replacement, for each scene."""
    prompt: str = DESCRIBE_PROMPTS[0]
    max_new_tokens: int = 256
    temperature: float = DEFAULT_TEMPERATURE
    usual_words: tuple[int, int] = (40, 100)
    """Bounds of the length of the usual references, in words."""
    long_words: tuple[int, int] = LONG_WORDS
    """Bounds of the length of the long references, in words."""

    @model_validator(mode="after")
    def _scenes_with_questions_are_described(self) -> Self:
        if self.descriptions < self.limit:
            raise ValueError(
                f"descriptions {self.descriptions}: fewer than the {self.limit} scenes with questions"
            )
        return self


class TextReading(Record):
    """A line of `readings.jsonl`: sums over the tokens of one text about a scene."""

    model_config = ConfigDict(allow_inf_nan=False)

    sample_id: str
    generation: int
    """Index of the text in `TEXTS`."""
    image_id: int
    blocks: tuple[tuple[float, ...], ...] = ()
    """For each block of `BLOCKS`, the sums of `COLUMNS`."""
    moments: tuple[float, ...] = ()
    """Moments of log PDM by position: `eidolon.scorers.forgetting.fading.fade_moments`."""
    rounding: int = 0
    """Number of tokens that are equally likely with and without the image, up to rounding. `moments` leaves them
    out."""
    missing: str | None = None
    """The reason why the text was not read."""


class CheckpointSummary(Record):
    """The content of `measured.json`. It is written last, so that its presence means that the measurements are
    complete."""

    variant: str
    seed: int
    selection: Selection | None
    digest: str
    trained_tokens: int | None
    parameters: int
    text_parameters: int
    """Parameters without the vision encoder, which all models share, and without predictors of the innovation."""
    predictor_r_squared: tuple[float, ...] | None = None
    """R² of the predictor of each layer with a store, over long references. Null without a store, or if it was not
    measured."""


@dataclass(frozen=True, slots=True)
class CheckpointMeasurements:
    """All measurements of one checkpoint."""

    trained: TrainedCheckpoint
    about: CheckpointSummary
    responses: tuple[Response, ...]
    questions: tuple[AnsweredContext, ...]
    held: tuple[AnsweredContext, ...]
    readings: tuple[TextReading, ...]


def scenes_of(settings: BenchSettings, count: int) -> list[Scene]:
    """Return the first `count` held-out scenes."""
    return [make_scene(settings.seed, index, settings.dials) for index in range(count)]


def rows_of(scenes: Sequence[Scene]) -> list[SampleRow]:
    """Return the ground truth of scenes. `image_id` is the index of the scene."""
    return [
        SampleRow(
            sample_id=f"scenes-{scene.seed}-{scene.index}",
            image_id=scene.index,
            objects=scene.objects,
            areas={thing.category: thing.area for thing in scene.things},
        )
        for scene in scenes
    ]


def versions() -> dict[str, str]:
    """Return the versions of the packages that affect the measurements."""
    from importlib.metadata import version

    from eidolon.scorers.core.distribution import package_version

    return {
        "eidolon": package_version(),
        **{name: version(name) for name in ("torch", "transformers", "numpy")},
    }


def _device() -> dict[str, Any]:
    """Return the device and the precision of the models. Measurements of different devices are kept apart."""
    from eidolon.models.base.devices import choose_device, choose_dtype, device_identity

    device = choose_device("auto", "--device")
    about = device_identity(device)
    return {
        "kind": about["device"],
        "gpu": about.get("gpu"),
        "dtype": str(choose_dtype("auto", device)),
    }


def folder_name(trained: TrainedCheckpoint, settings: BenchSettings, selection: Selection | None) -> str:
    """Return the name of the folder of a checkpoint's measurements, with a hash of all that affects them."""
    content = {
        "settings": settings.model_dump(mode="json"),
        "digest": trained.digest,
        "trained_words": trained.trained_words,
        "selection": selection,
        "blocks": BLOCKS,
        "versions": versions(),
        "device": _device(),
    }
    text = json.dumps(content, sort_keys=True)
    rule = f"-{selection}" if selection else ""
    safe = "".join(c if c.isalnum() or c in "-_.=" else "_" for c in trained.name.replace("*", "A"))
    return f"{safe}{rule}-{hashlib.sha256(text.encode()).hexdigest()[:10]}"


def read_measurements(folder: Traversable, trained: TrainedCheckpoint) -> CheckpointMeasurements | None:
    """Return the measurements in a folder; None if they are not complete."""
    if not (folder / ABOUT).is_file():
        return None

    def lines(name: str, record: Any) -> tuple[Any, ...]:
        path = folder / name
        if not path.is_file():
            return ()
        return tuple(record.model_validate_json(line) for line in path.read_bytes().splitlines())

    return CheckpointMeasurements(
        trained,
        CheckpointSummary.model_validate_json((folder / ABOUT).read_bytes()),
        lines(RESPONSES, Response),
        lines(QUESTIONS, AnsweredContext),
        lines(RETENTION_LINES, AnsweredContext),
        lines(READINGS_FILE, TextReading),
    )
