"""The space of a search: layouts from a short grammar, and a few widths.

    layout = block · block · …        the same block `repeats` times
    block  = A … A B                  `before` layers of A, and one of B

So `GDN-GDN-GDN-*` is one block, and `M2-*-M2-*` are two. Widths are multiples of the machine's vector width, because
other widths leave lanes of its registers empty.
"""

from functools import cached_property
from typing import Self

from pydantic import Field, model_validator

from eidolon.models.memory.layout import SYMBOLS, Layout, Symbol, layout_text
from eidolon.scorers.core.types import Record

FLOATS = {"AVX512": 16, "AVX2": 8}
"""Numbers of 32 bits in a vector register. Other processors have 4 (NEON, SSE)."""


def vector_width() -> int:
    """Return the numbers of 32 bits in a vector register of this processor."""
    import torch

    return FLOATS.get(torch.backends.cpu.get_cpu_capability(), 4)


class SearchedLayout(Record):
    """A point of the space."""

    layout: Layout
    width: int = Field(ge=2)

    @property
    def label(self) -> str:
        """Layout and width, such as `GDN-* 32`."""
        return f"{layout_text(self.layout)} {self.width}"

    @property
    def slug(self) -> str:
        """A name for a folder."""
        return self.label.replace("*", "attention").replace(" ", "-")


class SearchSpace(Record):
    """All points of a search."""

    symbols: tuple[Symbol, ...] = tuple(SYMBOLS)
    widths: tuple[int, ...] = Field((32, 64), min_length=1)
    lanes: int = Field(16, ge=1)
    """The vector width: every width is a multiple of it."""
    depth: int = Field(3, ge=1)
    """The largest number of layers."""
    before: int = Field(3, ge=0)
    """The largest number of layers of the first symbol in a block."""

    @model_validator(mode="after")
    def _whole_vectors(self) -> Self:
        odd = [width for width in self.widths if width % self.lanes]
        if odd:
            raise ValueError(f"width {odd[0]}: must be a multiple of the vector width, {self.lanes}")
        return self

    @cached_property
    def layouts(self) -> tuple[Layout, ...]:
        """All layouts, the shallow ones first."""
        found: dict[Layout, None] = {}
        for first in self.symbols:
            for last in self.symbols:
                for before in range(self.before + 1):
                    block = (first,) * before + (last,)
                    for repeats in range(1, self.depth // len(block) + 1):
                        found[block * repeats] = None
        return tuple(sorted(found, key=lambda layout: (len(layout), [*map(self.symbols.index, layout)])))

    @cached_property
    def points(self) -> tuple[SearchedLayout, ...]:
        """All points, in a fixed order."""
        return tuple(
            SearchedLayout(layout=layout, width=width) for layout in self.layouts for width in self.widths
        )

    @cached_property
    def reference(self) -> SearchedLayout:
        """The point that others are compared with: attention in all layers, at the largest depth and width."""
        return SearchedLayout(layout=("*",) * self.depth, width=max(self.widths))

    def neighbours(self, point: SearchedLayout) -> tuple[SearchedLayout, ...]:
        """Return the points that differ in the width only, or in one layer, or by one layer more or less."""
        return tuple(
            other
            for other in self.points
            if (other.layout == point.layout) != (other.width == point.width)
            and (other.layout == point.layout or _distance(other.layout, point.layout) == 1)
        )


def _distance(one: Layout, other: Layout) -> int:
    """Return the number of layers to change, insert or remove (Levenshtein)."""
    row = list(range(len(other) + 1))
    for place, symbol in enumerate(one, 1):
        diagonal, row[0] = row[0], place
        for column, theirs in enumerate(other, 1):
            diagonal, row[column] = (
                row[column],
                min(row[column] + 1, row[column - 1] + 1, diagonal + (symbol != theirs)),
            )
    return row[-1]
