"""The categories of a dataset and those of the judge: which the judge knows, and which it reports."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from eidolon.scorers.core.errors import UserError, did_you_mean
from eidolon.scorers.core.input_files import clean, excerpt, parse_json, read_bytes
from eidolon.scorers.core.judge import Judge, NarrowedJudge, TermedJudge, VotingJudge
from eidolon.scorers.core.notes import InputNote, assumed
from eidolon.scorers.core.records import read_records, text_of

LISTED = 100
"""Unknown names that a message lists."""
_FROM = ("name", "from", "other", "source", "label", "labelname", "theirs")
_TO = ("category", "to", "judge", "target", "displayname", "display_name", "ours")
"""Columns of a mapping file: the other program's name, and the category."""


def check_objects(objects: Sequence[str], vocabulary: Sequence[str], where: str) -> None:
    """Raise a UserError, with `where`, for an object outside the vocabulary. An empty, open vocabulary has all."""
    for name in objects:
        if vocabulary and name not in vocabulary:
            raise UserError(f"{where}: unknown category {name!r}{did_you_mean(name, list(vocabulary))}")


def judged_objects(objects: Sequence[str], judge: Judge, where: str) -> tuple[str, ...]:
    """Return the objects that the judge reports. Raises UserError, with `where`, for one that it does not know."""
    check_objects(objects, _known(judge), where)
    return tuple(name for name in objects if not judge.vocabulary or name in judge.vocabulary)


class CategoryMap:
    """Maps the names of a file of objects to the judge's categories.

    A name is first looked up in the user's own mapping. Then it is a category, or another spelling of one
    (`pottedplant`, `Dining_Table`), or a term by which the judge finds one (`sofa`, `aeroplane`).
    """

    def __init__(self, judge: Judge, names: Mapping[str, str | None] | None = None) -> None:
        """`names` maps names to categories, or to None for what leaves the truth."""
        self._given = names or {}
        self._known = _known(judge)
        self._reported = frozenset(judge.vocabulary)
        self._spelled: dict[str, set[str]] = {}
        self._terms: dict[str, set[str]] = {}
        for name in self._known:
            self._spelled.setdefault(_squeezed(name), set()).add(name)
        for term, name in _terms(judge).items():
            self._terms.setdefault(_squeezed(term), set()).add(name)
        self._found: dict[str, str | None] = {}
        self._unknown: dict[str, str] = {}
        self._assumed: dict[str, str] = {}

    def judged(self, objects: Sequence[str], place: str) -> tuple[str, ...]:
        """Return the categories that the judge reports, each once. What it does not know is kept for `check`."""
        found = dict.fromkeys(self._category(name, place) for name in objects)
        return tuple(name for name in found if name and (not self._reported or name in self._reported))

    def check(self) -> None:
        """Raise a UserError that names everything unknown, with the place of the first."""
        if not self._unknown:
            return
        place = next(iter(self._unknown.values()))
        if len(self._unknown) == 1:
            (name,) = self._unknown
            raise UserError(
                f"{place}: unknown category {name!r}{self._near(name) or did_you_mean(name, self._known)}; "
                "map other names with --names FILE"
            )
        listed = [f"{name!r}{self._near(name)}" for name in self._unknown][:LISTED]
        more = f" and {len(self._unknown) - LISTED} more" if len(self._unknown) > LISTED else ""
        raise UserError(
            f"{place}: {len(self._unknown)} unknown categories: {', '.join(listed)}{more}; map them with --names FILE"
        )

    def notes(self, source: str) -> list[InputNote]:
        """Return the names that were read as categories, where they are spelled otherwise."""
        return [assumed(source, "names", names={**self._assumed})] if self._assumed else []

    def _category(self, name: str, place: str) -> str | None:
        if name not in self._found:
            self._found[name] = self._look_up(name, place)
        return self._found[name]

    def _look_up(self, name: str, place: str) -> str | None:
        wanted = self._given.get(name, name)
        if wanted is None or not self._known or wanted in self._known:
            return wanted
        form = _squeezed(wanted)
        found = self._spelled.get(form) or self._terms.get(form) or self._joined(form)
        if len(found) != 1:
            self._unknown.setdefault(wanted, place)
            return None
        (category,) = found
        self._assumed[name] = category
        return category

    def _joined(self, form: str) -> set[str]:
        """Return the categories with a name that joins two terms: darknet's `tvmonitor`."""
        found: set[str] = set()
        for cut in range(2, len(form) - 1):
            found |= self._terms.get(form[:cut], set()) & self._terms.get(form[cut:], set())
        return found

    def _near(self, name: str) -> str:
        near = get_close_matches(_squeezed(name), [*self._spelled, *self._terms], n=1)
        if not near:
            return ""
        (category, *_) = sorted(self._spelled.get(near[0]) or self._terms[near[0]])
        hint = f"did you mean {category!r}?"
        return f"; {hint}" if len(self._unknown) == 1 else f" ({hint})"


def read_names(path: Path) -> dict[str, str | None]:
    """Return a mapping of names to categories: an object {name: category}, or records or a table with both.

    Null, or an empty cell, removes a name from the truth.

    Raises:
        UserError: the file cannot be read, or is something else.
    """
    content = read_bytes(path)
    text = text_of(content, path)
    found: dict[str, str | None] = {}
    if (mapping := _one_object(text)) is not None:
        for name, category in mapping.items():
            if category is not None and not isinstance(category, str):
                raise UserError(
                    f"{path}: {excerpt(name)} must have a name or null, found {excerpt(category)}"
                )
            found[clean(name)] = None if category is None else clean(category)
        return found
    if not text.lstrip().startswith(("[", "{")):
        header = text.lstrip().partition("\n")[0].strip().replace("\t", ",").split(",")
        if len(header) == 2 and not (header[0].strip().lower() in _FROM and header[1].strip().lower() in _TO):
            # Open Images' class descriptions have no header.
            content = (
                "name\tcategory\n" if "\t" in text else "name,category\n"
            ).encode() + text.lstrip().encode()
    for placed in read_records(content, path, {*_FROM, *_TO}).rows:
        row = {key.lower(): value for key, value in placed.row.items()}
        given = next((row[key] for key in _FROM if key in row), None)
        category = next((row[key] for key in _TO if key in row), None)
        if not isinstance(given, str) or not (category is None or isinstance(category, str)):
            raise UserError(
                f"{placed.place}: must have a 'name' and a 'category', found {excerpt(placed.row)}"
            )
        category = category or None
        if found.setdefault(clean(given), category) != category:
            raise UserError(f"{placed.place}: {excerpt(given)} is there twice, with two categories")
    return found


def _one_object(text: str) -> dict[str, Any] | None:
    """Return the content of a text that is one JSON object, and not one record of a mapping; else None."""
    try:
        value = parse_json(text) if text.lstrip().startswith("{") else None
    except ValueError:
        return None
    if not isinstance(value, dict) or (value.keys() & {*_FROM} and value.keys() & {*_TO}):
        return None
    return value


def _known(judge: Judge) -> tuple[str, ...]:
    return tuple(judge.known if isinstance(judge, NarrowedJudge) else judge.vocabulary)


def _terms(judge: Judge) -> Mapping[str, str]:
    reader = judge.reader() if isinstance(judge, VotingJudge) else judge
    if not isinstance(reader, TermedJudge):
        return {}
    known = {*_known(judge)}
    return {term: name for term, name in reader.terms().items() if name in known}


def _squeezed(name: str) -> str:
    return "".join(c for c in name.casefold() if c not in " _-")
