"""The memory of each layer: one symbol per layer, joined by `-`."""

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
Predicting = Literal["convolution", "last"]
StorePosition = Literal["clipped", "absolute"]


def parse_layout(layout: object) -> object:
    """Return the symbols of a text such as `GDN-GDN-GDN-*`; a value that is not a text is returned as it is.

    Raises:
        ValueError: there is no such symbol.
    """
    if not isinstance(layout, str):
        return layout
    symbols = layout.split("-")
    for index, symbol in enumerate(symbols):
        if symbol not in SYMBOLS:
            hint = did_you_mean(symbol, list(SYMBOLS)) or f" (one of {', '.join(SYMBOLS)}, joined by -)"
            raise ValueError(f"symbol {index} of {layout!r} is {symbol!r}, which is not a memory{hint}")
    return tuple(symbols)


def layout_text(symbols: Sequence[str]) -> str:
    """Return the layout of the layers' symbols as a text."""
    return "-".join(symbols)


def parse_layout_option(flag: str, layout: str) -> tuple[Symbol, ...]:
    """Return the symbols of the user's layout. `flag` is for the message.

    Raises:
        UserError: there is no such symbol.
    """
    try:
        symbols = parse_layout(layout)
    except ValueError as error:
        raise UserError(f"{flag} {layout!r}: {error}") from error
    return symbols  # type: ignore[return-value]


Layout = Annotated[tuple[Symbol, ...], BeforeValidator(parse_layout), Field(min_length=1)]


class Memory(BaseModel):
    """The sizes of a backbone's memories. Each layer uses those that its symbol needs."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    layout: Layout
    window: int = Field(96, ge=1)
    """Tokens in a window, including the newest."""
    store: int = Field(16, ge=1)
    """Tokens in a store."""
    fading: Fading = "GDN"
    """The kind of fading memory in BMF and BM."""
    selection: Selection = "innovation"
    """Which tokens a store keeps: the most surprising ones or, for comparison, the latest or random ones. The random
    ones are at positions that are drawn once, the same in every text."""
    predictor: Predicting = "convolution"
    """What the next input is predicted from: the last inputs and fading states, or the last fading state alone, which
    predicts next to nothing."""
    store_position: StorePosition = "clipped"
    """Where a query finds a stored token: always at the far end of its window, or at its own distance, which may be
    longer than any in training."""
    query_key_norm: bool = True
    """Whether queries and keys are normalised in each head. Without it, the keys of fading states are short beside
    those of tokens, and get little attention."""
    heads: int = Field(2, ge=1)
    head_dim: int = Field(32, ge=2, multiple_of=2)
    rotary: float = Field(0.5, ge=0, le=1)
    """Fraction of each attention head that is rotated by position (RoPE). The rest depends on content only."""
    rotary_base: float = Field(10_000.0, gt=1)
    chunk: int = Field(64, ge=1)
    """Tokens computed at once; it changes the speed only."""
