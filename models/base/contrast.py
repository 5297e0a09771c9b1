"""Decodings that weigh the model's word against what it would say without the picture: their settings.

Both make of l_c, the log-probabilities with the picture, and l_u, those without it,

    l̂ = l_c + w(t)·(l_c - l_u)        at new token t = 0, 1, …

and differ in the weight w and in where it applies. What computes this is `eidolon.models.generation.m3id`.
"""

import math
from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, ConfigDict, Field
from pydantic.dataclasses import dataclass

from eidolon.models.base.options import validate_options
from eidolon.scorers.core.errors import UserError

M3ID_RATE = 0.02
"""`lambda`, a token: Favero et al., CVPR 2024 (arXiv 2403.14003)."""
M3ID_CONFIDENCE = 0.3
"""`alpha`, the probability from which the model is left alone: the same paper."""
M3ID_CAP = 5.0
"""Largest weight, as later work has it. The paper sets none: e^{λt} - 1 is 6.4 at token 100 and 53.6 at 200."""
PLAUSIBLE = 0.1
"""Share of the likeliest token's probability below which a token is cut off (Li et al., ACL 2023; β of VCD, Leng
et al., CVPR 2024; and of the variant of M3ID without the gate)."""
CONTRAST_WEIGHT = 1.0
"""Weight of contrastive decoding, called alpha in VCD's formula; 0 changes nothing. The value is our choice."""

Without = Literal["dropped", "zeroed", "neutral"]
"""How the second branch lacks the picture (`eidolon.models.generation.image_ablation`). `shuffled` is not among them: a
response would depend on whose picture was dealt to it."""


def _as_number_or_none(value: object) -> object:
    return None if value == "none" else value


CHECKED = ConfigDict(extra="forbid", allow_inf_nan=False)

Value = str | float | bool | None


@dataclass(frozen=True, config=CHECKED)
class ContrastDecoding:
    """What the decodings have in common."""

    name: ClassVar[str]

    without: Without = "dropped"

    def weight(self, step: int) -> float:
        """Return w at the new token `step`, counted from 0."""
        raise NotImplementedError

    @property
    def confident(self) -> float:
        """Largest probability from which the model is left alone; infinite where it never is."""
        return math.inf

    @property
    def plausible(self) -> float:
        """Share of the likeliest token's probability, with the picture, that a token must have; 0 for none."""
        return 0.0

    def settings(self) -> dict[str, Value]:
        """Return the name and the options that decide the result, JSON-ready."""
        raise NotImplementedError

    def signature(self) -> str:
        """Return it as it stands in a score's signature."""
        values = {key: value for key, value in self.settings().items() if key != "name"}
        inner = ",".join(f"{key}={str(value).lower()}" for key, value in values.items())
        return f"{self.name}({inner})"


@dataclass(frozen=True, config=CHECKED)
class M3ID(ContrastDecoding):
    """Multi-modal mutual information decoding (Favero et al. 2024): the weight grows as the picture fades.

    w(t) = min(e^{λt} - 1, cap). With the gate it applies where no token reaches probability `alpha`, and everywhere
    without; there tokens that the model itself finds implausible are cut off.
    """

    name: ClassVar[str] = "m3id"

    rate: float = Field(default=M3ID_RATE, ge=0, alias="lambda")
    gate: bool = True
    alpha: float = Field(default=M3ID_CONFIDENCE, gt=0, le=1)
    """Of the gate."""
    cut: float = Field(default=PLAUSIBLE, ge=0, le=1)
    """Of the variant without the gate."""
    cap: Annotated[float | None, BeforeValidator(_as_number_or_none)] = Field(default=M3ID_CAP, ge=0)
    """None, or `none`, leaves the weight alone."""

    def weight(self, step: int) -> float:
        """Return min(e^{λt} - 1, cap)."""
        try:
            grown = math.expm1(self.rate * step)
        except OverflowError:
            grown = math.inf
        # Infinity times a difference of zero would be no number.
        return min(grown, 1e30 if self.cap is None else self.cap)

    @property
    def confident(self) -> float:
        """`alpha`, or infinite without the gate."""
        return self.alpha if self.gate else math.inf

    @property
    def plausible(self) -> float:
        """The cut, or 0 with the gate."""
        return 0.0 if self.gate else self.cut

    def settings(self) -> dict[str, Value]:
        """Return the options but for the one that is of the other variant."""
        values: dict[str, Value] = {"name": self.name, "without": self.without, "lambda": self.rate}
        applies: dict[str, Value] = {"alpha": self.alpha} if self.gate else {"cut": self.cut}
        return values | {"gate": self.gate} | applies | {"cap": self.cap}


@dataclass(frozen=True, config=CHECKED)
class Contrastive(ContrastDecoding):
    """Contrastive decoding as VCD has it (Leng et al. 2024): one weight throughout, implausible tokens cut off.

    VCD's second branch sees a noisy picture; this one sees none, so that it differs from M3ID in the weight alone.
    """

    name: ClassVar[str] = "contrastive"

    constant: float = Field(default=CONTRAST_WEIGHT, ge=0, alias="weight")
    cut: float = Field(default=PLAUSIBLE, ge=0, le=1)

    def weight(self, step: int) -> float:
        """Return the constant."""
        return self.constant

    @property
    def plausible(self) -> float:
        """The cut."""
        return self.cut

    def settings(self) -> dict[str, Value]:
        """Return the options."""
        return {"name": self.name, "without": self.without, "weight": self.constant, "cut": self.cut}


PLAIN = "plain"
KINDS: Mapping[str, type[ContrastDecoding]] = {kind.name: kind for kind in (M3ID, Contrastive)}
FLAG = "--decoding-option"


def make_contrast(name: str, options: Mapping[str, str]) -> ContrastDecoding | None:
    """Return the decoding of this name, None for the plain one. Options that it does not take are UserErrors."""
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
