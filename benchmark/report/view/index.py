"""The index of the list of samples: built one sample at a time, and kept on the disk until the page is written."""

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from tempfile import SpooledTemporaryFile
from typing import Self

from eidolon.benchmark.report.view.document import escaped
from eidolon.benchmark.report.view.records import Index
from eidolon.benchmark.report.view.samples import ViewedSample, excerpt, states

NUMBERS = ("there", "absent", "missed")
"""Columns with positions in the sorted categories, which are known at the end alone."""
CHUNK = 250
"""Samples that are written at a time."""
IN_MEMORY = 1 << 18
"""Bytes of a column before it goes to the disk."""
EMPTY = f'"index":{escaped(Index().model_dump(mode="json"))}'
"""What `filled` replaces. No text of a model can have this form: its quotes are escaped inside JSON."""


class IndexColumns:
    """The columns of `Index` as JSON. Use it in a `with` block, which deletes the files on the disk."""

    def __init__(self) -> None:
        self._chunk = Index()
        self._numbers: dict[str, int] = {}
        self._files = ExitStack()
        self._columns = {
            name: self._files.enter_context(SpooledTemporaryFile(IN_MEMORY, "w+", encoding="utf-8"))  # noqa: SIM115 - the stack closes it
            for name in Index.model_fields
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._files.close()

    @property
    def categories(self) -> tuple[str, ...]:
        """All categories that are named or true, sorted."""
        return tuple(sorted(self._numbers))

    def add(self, one: ViewedSample) -> None:
        """Add the next sample."""
        chunk, numbers, text = self._chunk, self._numbers, one.response.response or ""
        for name in one.names():
            numbers.setdefault(name, len(numbers))
        chunk.sample_ids.append(one.response.sample_id)
        chunk.generations.append(one.response.generation)
        chunk.image_ids.append(str(one.response.image_id))
        chunk.excerpts.append(excerpt(one, text))
        chunk.words.append(len(text.split()))
        chunk.states.append("".join(states(one, text)))
        chunk.splits.append(one.question.split if one.question else "")
        for column, names in (
            (chunk.there, one.named("grounded")),
            (chunk.absent, one.named("hallucinated")),
            (chunk.missed, one.missed()),
        ):
            column.append([numbers[name] for name in names])
        if len(chunk.sample_ids) == CHUNK:
            self._store()

    def _store(self) -> None:
        """Write the samples in memory as a line in each column."""
        if self._chunk.sample_ids:
            for name, file in self._columns.items():
                file.write(f"{escaped(getattr(self._chunk, name))}\n")
            self._chunk = Index()

    def json(self) -> Iterator[str]:
        """Yield the JSON of `Index` in parts."""
        self._store()
        order = {self._numbers[name]: place for place, name in enumerate(self.categories)}
        start = "{"
        for name, file in self._columns.items():
            yield f'{start}"{name}":['
            file.seek(0)
            for i, line in enumerate(file):
                text = line.rstrip("\n")
                if name in NUMBERS:
                    text = escaped(
                        [sorted(order[number] for number in of_one) for of_one in json.loads(text)]
                    )
                yield ("," if i else "") + text[1:-1]
            yield "]"
            start = ","
        yield "}"


def filled(page: str, indexes: Sequence[IndexColumns]) -> Iterator[str]:
    """Yield a page in parts, with the index of each run in place of its empty one."""
    first, *rest = page.split(EMPTY)
    yield first
    for columns, part in zip(indexes, rest, strict=True):
        yield '"index":'
        yield from columns.json()
        yield part
