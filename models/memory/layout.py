"""Which memory each layer has: one symbol a layer, joined by `-`."""

from collections.abc import Sequence
from typing import Annotated, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from eidolon.scorers.core.errors import UserError, did_you_mean

Symbol = Literal["*", "SWA", "M2", "GDN", "GKA", "BMF", "BM"]
SYMBOLS: dict[Symbol, str] = {
    "*": "attention to everything before",
    "SWA": "attention to a sliding window",
    "M2": "Mamba2, a state-space state",
    "GDN": "gated delta rule, a state that corrects itself",
    "GKA": "gated KalmaNet, a state read by ridge regression",
    "BMF": "B'MOJO-F: a window, and fading states from before it",
    "BM": "B'MOJO: a window, fading states, and a store of the most surprising tokens",
}
Fading = Literal["M2", "GDN", "GKA"]
FADING: tuple[Fading, ...] = get_args(Fading)
Selection = Literal["innovation", "recent", "random"]


def parse_layout(layout: object) -> object:
    """Split `GDN-GDN-GDN-*` into its symbols; what is a list already stays one.

    Raises:
        ValueError: no such symbol, with its index, value and the likely one.
    """
    if not isinstance(layout, str):
        return layout
    symbols = layout.split("-")
    for index, symbol in enumerate(symbols):
        if symbol not in SYMBOLS:
            mend = did_you_mean(symbol, list(SYMBOLS)) or f" (one of {', '.join(SYMBOLS)}, joined by -)"
            raise ValueError(f"symbol {index} of {layout!r} is {symbol!r}, which is no memory{mend}")
    return tuple(symbols)


def layout_text(symbols: Sequence[str]) -> str:
    """Join the symbols of the layers."""
    return "-".join(symbols)


def parse_layout_option(flag: str, layout: str) -> tuple[Symbol, ...]:
    """Split a layout that the user gave; what is wrong with it is a UserError that names the flag."""
    try:
        symbols = parse_layout(layout)
    except ValueError as error:
        raise UserError(f"{flag} {layout!r}: {error}") from error
    return symbols  # type: ignore[return-value]


Layout = Annotated[tuple[Symbol, ...], BeforeValidator(parse_layout), Field(min_length=1)]


class Memory(BaseModel):
    """The sizes of a backbone's memories. Each layer takes of them what its symbol needs."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    layout: Layout
    window: int = Field(96, ge=1)
    """Tokens that a window holds, the newest among them."""
    store: int = Field(16, ge=1)
    """Tokens that a store holds."""
    fading: Fading = "GDN"
    """What makes the fading states of BMF and BM."""
    selection: Selection = "innovation"
    """Which tokens a store keeps: the most surprising ones, or, to compare, the latest or random ones."""
    heads: int = Field(2, ge=1)
    head_dim: int = Field(32, ge=2, multiple_of=2)
    rotary: float = Field(0.5, ge=0, le=1)
    """Share of each attention head that is rotated by position (RoPE); the rest is compared by content alone."""
    rotary_base: float = Field(10_000.0, gt=1)
    chunk: int = Field(64, ge=1)
    """Tokens computed at once; it changes speed alone."""
