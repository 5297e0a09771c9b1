"""Settings of the decodings that compare the model's predictions with and without the image.

With l_c the log-probabilities with the image and l_u those without it, they use at new token t = 0, 1, …

    l̂ = l_c + w(t)·(l_c - l_u)

They differ in the weight w and in where it applies. `eidolon.models.generation.m3id` computes it.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, ConfigDict, Field
from pydantic.dataclasses import dataclass

from eidolon.models.base.options import validate_options
from eidolon.scorers.core.errors import UserError

M3ID_RATE = 0.02
"""`lambda`, per token (Favero et al., CVPR 2024, arXiv 2403.14003)."""
M3ID_CONFIDENCE = 0.3
"""`alpha`, the next-token probability from which it no longer applies (same paper)."""
M3ID_CAP = 5.0
"""Largest weight, from later work. The paper has no limit: e^{λt} - 1 is 6.4 at token 100 and 53.6 at 200."""
PLAUSIBLE = 0.1
"""Fraction of the likeliest token's probability below which a token is cut off (Li et al., ACL 2023). VCD (Leng et al.,
CVPR 2024) calls it β; M3ID uses it in the variant without the gate."""
CONTRAST_WEIGHT = 1.0
"""Weight of contrastive decoding (alpha in VCD's formula); 0 has no effect. The value is our choice."""

Without = Literal["dropped", "zeroed", "neutral"]
"""How the image is removed in the second branch (`models.generation.image_ablation`). `shuffled` is not allowed:
a response would depend on the other requests of its batch."""


def _as_number_or_none(value: object) -> object:
    return None if value == "none" else value


CHECKED = ConfigDict(extra="forbid", allow_inf_nan=False)

Value = str | float | bool | None


@dataclass(frozen=True, config=CHECKED)
class ContrastDecoding(ABC):
    """Base of the decodings; `without` says how the second branch lacks the image."""

    name: ClassVar[str]

    without: Without = "dropped"

    @abstractmethod
    def weight(self, step: int) -> float:
        """Return w at the new token `step`, counted from 0."""

    @property
    def confident(self) -> float:
        """Next-token probability from which the decoding no longer applies; infinite if it always applies."""
        return math.inf

    @property
    def plausible(self) -> float:
        """Fraction of the likeliest token's probability, with the image, that a token must have; 0 for no cut."""
        return 0.0

    @abstractmethod
    def settings(self) -> dict[str, Value]:
        """Return the name and the options that affect the result, JSON-ready."""

    def signature(self) -> str:
        """Return the decoding in the form of a score's signature."""
        values = {key: value for key, value in self.settings().items() if key != "name"}
        inner = ",".join(f"{key}={str(value).lower()}" for key, value in values.items())
        return f"{self.name}({inner})"


@dataclass(frozen=True, config=CHECKED)
class M3ID(ContrastDecoding):
    """Multi-modal mutual information decoding (Favero et al. 2024): the weight grows as the model forgets the image.

    w(t) = min(e^{λt} - 1, cap). With the gate it applies at positions where no token reaches probability `alpha`.
    Without the gate it applies everywhere, and tokens that are implausible to the model are cut off.
    """

    name: ClassVar[str] = "m3id"

    rate: float = Field(default=M3ID_RATE, ge=0, alias="lambda")
    gate: bool = True
    alpha: float = Field(default=M3ID_CONFIDENCE, gt=0, le=1)
    """Threshold of the gate."""
    cut: float = Field(default=PLAUSIBLE, ge=0, le=1)
    """`PLAUSIBLE`, in the variant without the gate."""
    cap: Annotated[float | None, BeforeValidator(_as_number_or_none)] = Field(default=M3ID_CAP, ge=0)
    """Limit of the weight; None, or `none`, for no limit."""

    def weight(self, step: int) -> float:
        """Return min(e^{λt} - 1, cap)."""
        try:
            grown = math.expm1(self.rate * step)
        except OverflowError:
            grown = math.inf
        # Infinity times a difference of zero would be NaN.
        return min(grown, 1e30 if self.cap is None else self.cap)

    @property
    def confident(self) -> float:
        """`alpha`, or infinite without the gate."""
        return self.alpha if self.gate else math.inf

    @property
    def plausible(self) -> float:
        """The option `cut`; 0 with the gate."""
        return 0.0 if self.gate else self.cut

    def settings(self) -> dict[str, Value]:
        """Return the options of this variant."""
        values: dict[str, Value] = {"name": self.name, "without": self.without, "lambda": self.rate}
        applies: dict[str, Value] = {"alpha": self.alpha} if self.gate else {"cut": self.cut}
        return values | {"gate": self.gate} | applies | {"cap": self.cap}


@dataclass(frozen=True, config=CHECKED)
class Contrastive(ContrastDecoding):
    """Contrastive decoding as in VCD (Leng et al. 2024): a constant weight, and implausible tokens are cut off.

    VCD's second branch sees a noisy image. Here it sees none, so that the only difference from M3ID is the weight.
    """

    name: ClassVar[str] = "contrastive"

    constant: float = Field(default=CONTRAST_WEIGHT, ge=0, alias="weight")
    cut: float = Field(default=PLAUSIBLE, ge=0, le=1)

    def weight(self, step: int) -> float:
        """Return the constant."""
        return self.constant

    @property
    def plausible(self) -> float:
        """The option `cut`."""
        return self.cut

    def settings(self) -> dict[str, Value]:
        """Return the options."""
        return {"name": self.name, "without": self.without, "weight": self.constant, "cut": self.cut}


PLAIN = "plain"
KINDS: Mapping[str, type[ContrastDecoding]] = {kind.name: kind for kind in (M3ID, Contrastive)}
FLAG = "--decoding-option"


def make_contrast(name: str, options: Mapping[str, str]) -> ContrastDecoding | None:
    """Return the decoding of this name, None for plain decoding.

    Raises:
        UserError: the decoding has no such option, or the value is invalid.
    """
    if name == PLAIN:
        for key, value in options.items():
            raise UserError(
                f"{FLAG} {key}={value}: plain decoding has no options; give --decoding {' or '.join(KINDS)}"
            )
        return None
    contrast = validate_options(KINDS[name], options, flag=FLAG)
    for key in options:
        if key not in contrast.settings():
            gate = "gate=false" if key == "cut" else "gate=true"
            raise UserError(f"{FLAG} {key}={options[key]}: works with {gate} only; leave one of the two out")
    return contrast
