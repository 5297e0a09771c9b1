"""Selects the samples of a run: those that a file names, or random ones."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.input_files import clean, decode_text, excerpt, read_bytes

if TYPE_CHECKING:
    import datasets


def choose(
    ids: Sequence[str], name: str, limit: int | None, seed: int, file: Path | None, pick: str
) -> list[int]:
    """Return the indices of the chosen samples, ascending.

    Random samples are the first by a hash of seed and id. So a smaller limit selects a subset of a larger one, and the
    selection does not depend on the order of the dataset.

    Args:
        ids: The sample ids of the dataset.
        name: The dataset as the user named it, for messages.
        limit: How many to keep; None for all.
        seed: For `pick` = `random`.
        file: Sample ids to choose from, one a line; None for all of the dataset.
        pick: `first` or `random`.

    Raises:
        UserError: the file cannot be read, is empty, or has an id twice or one that the dataset does not have.
    """
    places = list(range(len(ids))) if file is None else _named(ids, name, file)
    if limit is None or limit >= len(places):
        return places
    if pick == "random":
        places = sorted(places, key=lambda place: hashlib.sha256(f"{seed}\0{ids[place]}".encode()).digest())
    return sorted(places[:limit])


def sample_ids_of(rows: "datasets.Dataset") -> list[str]:
    """Return the sample id of every row, without reading the images."""
    image_ids = list(rows["image_id"])
    given = list(rows["sample_id"]) if "sample_id" in rows.column_names else [None] * len(rows)
    return [str(i if s is None else s) for s, i in zip(given, image_ids, strict=True)]


def _named(ids: Sequence[str], name: str, file: Path) -> list[int]:
    place_of: dict[str, int] = {}
    for place, sample_id in enumerate(ids):
        place_of.setdefault(sample_id, place)
    line_of: dict[str, int] = {}
    for number, line in enumerate(decode_text(read_bytes(file), file).split("\n"), 1):
        if not (wanted := clean(line.strip())):
            continue
        if wanted in line_of:
            raise UserError(
                f"{file}:{number}: sample id {excerpt(wanted)} is on line {line_of[wanted]} already"
            )
        if wanted not in place_of:
            raise UserError(
                f"{file}:{number}: --dataset {name} has no sample {excerpt(wanted)}{_close(wanted, ids)}"
            )
        line_of[wanted] = number
    if not line_of:
        raise UserError(f"{file}: holds no sample ids; write one a line")
    return sorted(place_of[wanted] for wanted in line_of)


def _close(wanted: str, ids: Sequence[str]) -> str:
    """Return the closest id for a message. All ids of a dataset would be too many to list."""
    from difflib import get_close_matches

    if close := get_close_matches(wanted, ids, n=1):
        return f"; did you mean {excerpt(close[0])}?"
    return f"; it has {len(ids)}, the first is {excerpt(ids[0])}" if ids else ""
