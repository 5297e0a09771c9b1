"""The `config` of `run.json`: the settings that decide the result, and the hashes of what they name."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import ConfigDict, Field, JsonValue, model_serializer

from eidolon.benchmark.settings.fields import Settings, flag_of
from eidolon.benchmark.settings.run import ModelSpec, RunSettings
from eidolon.benchmark.settings.score import ScoreSettings
from eidolon.scorers.core.notes import InputNote
from eidolon.scorers.core.types import Record


class PromptText(Record):
    """What the model was asked, whatever a preset of that name says later."""

    name: str
    text: str
    hash: str


class Inputs(Record):
    """What decides the result beside the settings: hashes of files, and what a task derived from them.

    Fields without a value are absent from the file.
    """

    model_config = ConfigDict(extra="forbid")

    dataset: str | None = None
    """SHA-256 of the dataset's samples."""
    model_files: str | None = None
    """Hash of the model's local files."""
    prompt: PromptText | None = None
    text: int | None = None
    """Version of the rules that clean responses; none if they are judged as they are."""
    judge: str | None = None
    """The judge's signature, with the hash of what its options name."""
    contrast: dict[str, JsonValue] = Field(default_factory=dict)
    """The settings of contrastive decoding, with its defaults."""
    files: dict[str, str] = Field(default_factory=dict)
    """SHA-256 of each input file by the setting that names it; of several answers, `answers.NAME`."""
    truth: str | None = None
    """`name#hash` of the ground truth of the images that were responded to."""
    annotator: str | None = None
    """The annotator of the truth, as in the signature; none where it is people's, or drawn."""
    areas: str | None = None
    sources: str | None = None
    """The same of areas, and of who says that an object is there."""
    unknown: str | None = None
    """The same of what the annotator leaves open, and of the labelled part."""
    task: dict[str, JsonValue] = Field(default_factory=dict)
    """What the task adds."""
    shard: str | None = None
    """The shard of the run that the folder holds, as `2/8`; of a merged part of a run `1,2/8`."""
    notes: tuple[InputNote, ...] = ()
    """What was assumed about the files that were read, and what is odd in them."""

    @model_serializer(mode="wrap")
    def _without_empty(self, handler: Any) -> dict[str, Any]:
        fields: dict[str, Any] = handler(self)
        return {name: value for name, value in fields.items() if value not in (None, {}, [], ())}


class ConfigRecord(Record):
    """Everything that decides the result. A folder is only ever continued with an equal one."""

    verb: Literal["run", "score"]
    task: str
    """The task's name in the registry."""
    settings: dict[str, JsonValue]
    """The settings that decide, all of them; `settings_of` reads them back."""
    inputs: Inputs = Inputs()

    def run_settings(self) -> RunSettings:
        """Return the settings of a run of a model.

        Raises:
            ValidationError: they are not those of a run.
        """
        return RunSettings.model_validate(self.settings)

    def score_settings(self) -> ScoreSettings:
        """Return the settings of a run over existing files.

        Raises:
            ValidationError: they are not those of such a run.
        """
        return ScoreSettings.model_validate(self.settings)


def settings_of(config: ConfigRecord) -> RunSettings | ScoreSettings:
    """Return the settings of either kind.

    Raises:
        ValidationError: they are not settings of the record's verb.
    """
    return config.run_settings() if config.verb == "run" else config.score_settings()


def model_of(config: ConfigRecord) -> ModelSpec | None:
    """Return the model of a run, None where responses came from files."""
    if config.verb != "run":
        return None
    (model,) = config.run_settings().models
    return model


def deciding(settings: Settings, **changed: Any) -> dict[str, JsonValue]:
    """Return the fields that decide the result, JSON-ready, with some of them changed."""
    kind = type(settings)
    names = {name for name in kind.model_fields if flag_of(kind, name).decides}
    found: Mapping[str, JsonValue] = settings.model_copy(update=changed).model_dump(
        mode="json", include=names
    )
    return dict(found)
