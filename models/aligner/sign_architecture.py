"""The sizes of a reader of signs, which are also the `config.json` of its checkpoint."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class SignArchitecture(BaseModel):
    """Sizes of a reader of signs."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model_type: Literal["eidolon_sign_reader"] = "eidolon_sign_reader"
    height: int = Field(32, ge=16, multiple_of=8)
    width: int = Field(128, ge=32, multiple_of=4)
    """Pixels to which every crop is resized. A frame, which can hold one letter, is 4 pixels wide."""
    channels: tuple[int, int, int, int] = (16, 32, 64, 96)
    """Channels of the four stages of convolutions."""
    frame: int = Field(128, ge=8)
    """Features of a frame."""
    letter: int = Field(24, ge=4)
    """Dimensions of a letter in an embedding."""
