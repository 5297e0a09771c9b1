"""The sizes of an aligner, which are also the `config.json` of its checkpoint."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

MODEL_TYPE = "eidolon_aligner"


class AlignerArchitecture(BaseModel):
    """Sizes of the two encoders."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model_type: Literal["eidolon_aligner"] = "eidolon_aligner"
    height: int = Field(96, ge=16, multiple_of=8)
    width: int = Field(96, ge=16, multiple_of=8)
    """Pixels to which every picture is resized."""
    channels: tuple[int, int, int] = (48, 64, 96)
    """Channels after the stem (stride 4), the second convolution and the third (stride 2)."""
    grid: tuple[int, int] = (1, 1)
    """Rows and columns of the cells over which features are pooled. (1, 1) ignores where a thing is."""
    embedding: int = Field(128, ge=8)
    """Dimensions of the shared space."""
    buckets: int = Field(4096, ge=64)
    """Rows of the table into which pieces of words are hashed."""
    text_width: int = Field(64, ge=8)
