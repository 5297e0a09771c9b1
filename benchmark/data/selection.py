"""Which samples of a dataset a run takes: those that a file names, or some that a seed draws."""

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
    """Return the places of the chosen samples among `ids`, the sample ids of the dataset `name`, ascending.

    Drawn samples are the first by a hash of seed and id: fewer are a subset of more, and neither depends on the
    order of the dataset.
    """
    places = list(range(len(ids))) if file is None else _named(ids, name, file)
    if limit is None or limit >= len(places):
        return places
    if pick == "random":
        places = sorted(places, key=lambda place: hashlib.sha256(f"{seed}\0{ids[place]}".encode()).digest())
    return sorted(places[:limit])


def sample_ids_of(rows: "datasets.Dataset") -> list[str]:
    """Return the sample id of every row, without a look at the images."""
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
                f"{file}:{number}: sample id {excerpt(wanted)} stands on line {line_of[wanted]} already"
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
    """Return a likely id: a dataset has too many for all of them to be listed."""
    from difflib import get_close_matches

    if close := get_close_matches(wanted, ids, n=1):
        return f"; did you mean {excerpt(close[0])}?"
    return f"; it has {len(ids)}, the first is {excerpt(ids[0])}" if ids else ""
