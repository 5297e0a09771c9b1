"""The measurements of a trained model in one file, with what the study's tables need of the model except its weights.

The weights of a study are many times as large as its measurements. With the archives, everybody can compute the tables
again, and `eidolon memory bench` needs no checkpoint.
"""

import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, ValidationError

from eidolon.benchmark.store.atomic import write_atomically
from eidolon.benchmark.store.files import RESPONSES, RETENTION_LINES
from eidolon.benchmark.study.memory.measurements import (
    ABOUT,
    QUESTIONS,
    READINGS_FILE,
    BenchSettings,
    CheckpointMeasurements,
    read_measurements,
    versions,
)
from eidolon.benchmark.study.memory.trained import CONFIG, TrainedCheckpoint
from eidolon.benchmark.tasks.forget.retention.lengths import RECIPE
from eidolon.models.memory.layout import Selection
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.types import Record
from eidolon.scorers.retention.records import AnsweredContext

if TYPE_CHECKING:
    from eidolon.models.memory.modeling import MemoryTextModel

SUFFIX = ".measured.zip"
SUMMARY = "archive.json"
SCHEMA: Literal["eidolon/measured/1"] = "eidolon/measured/1"
TRAINED = "trained"
"""The folder of the measurements with the stores filled as in training. Those with another rule are in a folder of the
rule's name."""
_TIME = (2000, 1, 1, 0, 0, 0)
"""The time of every file in an archive, so that equal measurements give equal bytes."""


class ArchiveSummary(Record):
    """The content of `archive.json`."""

    schema_: Literal["eidolon/measured/1"] = Field(alias="schema", default=SCHEMA)
    variant: str
    digest: str
    """SHA-256 of weights and configuration."""
    settings: BenchSettings
    versions: dict[str, str]
    """The packages that affected the measurements."""


def write_archive(
    file: Path, trained: TrainedCheckpoint, settings: BenchSettings, measured: Mapping[Selection | None, Path]
) -> None:
    """Write the measurements of a model. `measured` are their folders, by the rule that filled the stores."""
    summary = ArchiveSummary(
        variant=trained.variant, digest=trained.digest, settings=settings, versions=versions()
    )
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_LZMA) as archive:

        def add(name: str, made: bytes) -> None:
            archive.writestr(zipfile.ZipInfo(name, _TIME), made, zipfile.ZIP_LZMA)

        add(SUMMARY, summary.model_dump_json(indent=1, by_alias=True).encode())
        for name in (CONFIG, RECIPE):
            if (trained.folder / name).is_file():
                add(name, (trained.folder / name).read_bytes())
        for rule, folder in measured.items():
            for name in (ABOUT, RESPONSES, QUESTIONS, RETENTION_LINES, READINGS_FILE):
                if (folder / name).is_file():
                    add(f"{rule or TRAINED}/{name}", (folder / name).read_bytes())
    write_atomically(file, content.getvalue())


def is_archive(path: Path) -> bool:
    """Whether a path is named as an archive."""
    return path.name.endswith(SUFFIX) and path.is_file()


def open_archive(file: Path) -> tuple[Traversable, ArchiveSummary]:
    """Return the content of an archive as a folder, and its summary.

    Raises:
        UserError: the file is not an archive.
    """
    try:
        folder = zipfile.Path(zipfile.ZipFile(file))
        return folder, ArchiveSummary.model_validate_json((folder / SUMMARY).read_bytes())
    except (OSError, KeyError, zipfile.BadZipFile, ValidationError) as error:
        raise UserError(f"{file}: is not an archive of measurements ({type(error).__name__})") from None


def measured_versions(trained: Sequence[TrainedCheckpoint]) -> dict[str, str]:
    """Return the versions of the packages that affected the measurements of these models, which are made now unless
    there are archives. Different versions of one package are listed."""
    found = [versions() if one.archive is None else open_archive(one.archive)[1].versions for one in trained]
    names = dict.fromkeys(name for one in found for name in one)
    return {name: ", ".join(sorted({one[name] for one in found if name in one})) for name in names}


def rules_in(trained: TrainedCheckpoint, rules: Sequence[Selection]) -> tuple[Selection, ...]:
    """Return which of the rules an archive has measurements with."""
    return tuple(rule for rule in rules if (trained.folder / rule / ABOUT).is_file())


def read_archived(
    trained: TrainedCheckpoint, settings: BenchSettings, selection: Selection | None
) -> CheckpointMeasurements:
    """Return the measurements with a rule for the stores from an archive.

    Raises:
        UserError: it has none, or they have other settings.
    """
    assert trained.archive is not None
    made = open_archive(trained.archive)[1].settings
    for name in BenchSettings.model_fields:
        found, wanted = (getattr(one, name) for one in (made, settings))
        if found != wanted:
            raise UserError(f"{trained.archive}: was measured with {name} {found}, not {wanted}")
    measured = read_measurements(trained.folder / (selection or TRAINED), trained)
    if measured is None:
        raise UserError(f"{trained.archive}: has no measurements of {selection or 'the trained model'}")
    return measured


def accuracy_at_start(file: Path) -> float:
    """Return the share of right answers directly after the image that an archive has, of the model as trained.

    Raises:
        UserError: the file is not an archive.
    """
    folder, _ = open_archive(file)
    lines = (folder / TRAINED / QUESTIONS).read_text(encoding="utf-8").splitlines()
    answers = [
        answer.correct for line in lines for answer in AnsweredContext.model_validate_json(line).answers
    ]
    return sum(answers) / len(answers)


def untrained_text_model(trained: TrainedCheckpoint) -> "MemoryTextModel":
    """Return the language model of an archive with random weights. It costs as much as the trained one."""
    from eidolon.models.base.devices import choose_device, choose_dtype
    from eidolon.models.memory.configuration import MemoryConfig
    from eidolon.models.memory.modeling import MemoryTextModel, register

    register()  # the configuration of the text model is found by its type
    config = MemoryConfig(**json.loads((trained.folder / CONFIG).read_text(encoding="utf-8")))
    device = choose_device("auto", "--device")
    text: Any = config.get_text_config()
    model: Any = MemoryTextModel(text)
    return model.to(device, choose_dtype("auto", device)).eval()  # type: ignore[no-any-return]
