"""`DoctorSettings`: what `eidolon doctor` examines, and with how many images."""

from typing import Annotated

from pydantic import Field

from eidolon.benchmark.settings.fields import MAX_COUNT, MAX_SEED, Flag, Options, Settings


class DoctorSettings(Settings):
    """What `eidolon doctor` examines, with the defaults."""

    model: Annotated[str | None, Flag("Model", metavar="BACKEND/NAME")] = None
    """Model to examine: backend/name, or a shipped model's name. With --run: the run's own."""
    model_options: Annotated[Options, Flag("Model", "-M", metavar="KEY=VALUE")] = Field({})
    """Option for the model. Repeatable."""
    against: Annotated[str | None, Flag("Model", metavar="MODEL")] = None
    """transformers/PATH with the same checkpoint: its answers are the right ones."""
    against_options: Annotated[Options, Flag("Model", "-A", metavar="KEY=VALUE")] = Field({})
    """Option for the model of --against. Repeatable."""
    dataset: Annotated[str, Flag("Data")] = "scenes"
    """Dataset whose images are shown."""
    dataset_options: Annotated[Options, Flag("Data", "-D", metavar="KEY=VALUE")] = Field({})
    """Option of the dataset. Repeatable."""
    samples: Annotated[int, Field(ge=2), Flag("Data")] = 8
    """Images, and requests in a full batch."""
    max_new_tokens: Annotated[int, Field(ge=1, le=MAX_COUNT), Flag("Decoding")] = 64
    """Longest response in tokens."""
    seed: Annotated[int, Field(ge=0, lt=MAX_SEED), Flag("Data")] = 0
    """Seed of drawn data and of sampling."""
