"""The closed vocabulary of the lexicon judge: its categories, the words that name each, and misleading contexts.

A lexicon is a JSON file in this package's `data/`, or a user's own file in the same format. The top level holds what
both readings use and the tables of the reading `original`. `careful` holds the tables of that reading.
"""

import re
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from pydantic import Field, ValidationError, model_validator

from eidolon.scorers.core.errors import UserError, did_you_mean
from eidolon.scorers.core.input_files import read_bytes
from eidolon.scorers.core.signature import hashed
from eidolon.scorers.core.types import Record

DEFAULT_LEXICON = "coco80"
_SENSE = re.compile(r"\([^()]*\)")


class NamedObject(NamedTuple):
    """An object named in a text: `text[start:end]`, by a term of the lexicon."""

    start: int
    end: int
    category: str
    term: str


class LexiconCategory(Record):
    """One kind of object, and the singular words that name it. `id` is its number in the source dataset."""

    name: str
    terms: tuple[str, ...]
    id: int | None = None


class CompoundHeads(Record):
    """Terms that name no object of their own before one of these heads: `bus` + `stop`."""

    terms: tuple[str, ...]
    heads: tuple[str, ...]


class OtherSense(Record):
    """Terms that name something else in a text that has a word of `cues` and none of `unless`."""

    terms: tuple[str, ...]
    cues: tuple[str, ...]
    unless: tuple[str, ...] = ()


class ShortName(Record):
    """Terms that refer to an object of `category` in a text that named it before and names no other object by them.

    With `cues`, only in a sentence that has one of these words; with `unless`, not directly after one of these.
    """

    category: str
    terms: tuple[str, ...]
    cues: tuple[str, ...] = ()
    unless: tuple[str, ...] = ()


class CarefulTables(Record):
    """The tables of the reading `careful`. Every table may be empty."""

    extra_terms: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Category → more terms, including compound phrases."""
    excluded_terms: tuple[str, ...] = ()
    """Terms that usually name something else."""
    plurals: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Term → its plural forms, if the spelling rules do not give them."""
    blocked_phrases: tuple[str, ...] = ()
    """Phrases that contain a term and name none of the objects."""
    modifiers: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Term that is usually an adjective → heads before which it still names its object."""
    colours: tuple[str, ...] = ()
    colour_cues: tuple[str, ...] = ()
    """Words or phrases after which a term that is also a colour means the colour."""
    compound_heads: tuple[CompoundHeads, ...] = ()
    verb_heads: tuple[str, ...] = ()
    """Heads whose plural is usually a verb: "the bus stops"."""
    verbs: tuple[str, ...] = ()
    """Terms that are also verbs."""
    kin: tuple[str, ...] = ()
    """Terms for a person that also describe animals."""
    animal_categories: tuple[str, ...] = ()
    other_animals: tuple[str, ...] = ()
    """Animals without a category."""
    parts: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Category → terms that name a part of it in a sentence that names the category."""
    part_names: tuple[str, ...] = ()
    """Terms that name an object by a part of it. To deny the part does not deny the object: "no toilet seat"."""
    linked_parts: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Category → terms that name a part of it where the text links the two: "a train with four cars"."""
    things: tuple[str, ...] = ()
    """Terms that name their object only in the plural, or with a determiner and no noun after them."""
    senses: tuple[OtherSense, ...] = ()
    short_names: tuple[ShortName, ...] = ()
    hyphens_kept: tuple[str, ...] = ()
    """Words that a hyphen may join to a term that still names its object: "horse-drawn"."""


class Lexicon(Record):
    """A vocabulary with its terms, in the order of the file."""

    name: str
    source: str = ""
    licence: str = ""
    categories: tuple[LexiconCategory, ...]
    pairs: dict[str, str] = Field(default_factory=dict)
    """Two neighbouring words → the word that replaces them (`original` only)."""
    careful: CarefulTables = CarefulTables()

    @model_validator(mode="after")
    def _consistent(self) -> "Lexicon":
        owner: dict[str, str] = {}
        for category in self.categories:
            for term in category.terms:
                if owner.setdefault(term, category.name) != category.name:
                    raise ValueError(f"the term {term!r} names both {owner[term]!r} and {category.name!r}")
        careful = self.careful
        for table in (careful.extra_terms, careful.parts, careful.linked_parts):
            for name in table:
                _require(name, self.vocabulary, "category")
        for short in careful.short_names:
            _require(short.category, self.vocabulary, "category")
        for name in careful.animal_categories:
            _require(name, self.vocabulary, "category")
        for term, name in self.careful_terms().items():
            if owner.get(term, name) != name:
                raise ValueError(f"the term {term!r} names both {owner[term]!r} and {name!r}")
        return self

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """The category names, in the lexicon's order."""
        return tuple(category.name for category in self.categories)

    def terms(self) -> dict[str, str]:
        """Return term → category, as the source spells the terms."""
        return {term: category.name for category in self.categories for term in category.terms}

    def careful_terms(self) -> dict[str, str]:
        """Return term → category for the reading `careful`, in lower case and with the excluded terms.

        A term with its sense in brackets, as in LVIS, is also found without: no text writes "bow (weapon)".
        """
        terms = {term.lower(): name for term, name in self.terms().items()}
        for name, extra in self.careful.extra_terms.items():
            terms |= dict.fromkeys(extra, name)
        for term, name in [*terms.items()]:
            if bare := without_sense(term):
                terms.setdefault(bare, name)
        return terms

    def select(self, categories: "tuple[str, ...] | list[str] | None") -> tuple[str, ...]:
        """Return the named categories in the lexicon's order, or all if none are named.

        Raises:
            UserError: the lexicon does not have a name, or the choice is empty.
        """
        if categories is None:
            return self.vocabulary
        if not categories:
            raise UserError(f"lexicon {self.name}: no categories chosen; name at least one, or leave it out")
        for name in categories:
            if name not in self.vocabulary:
                hint = did_you_mean(name, self.vocabulary)
                raise UserError(f"lexicon {self.name} has no category {name!r}{hint}")
        return tuple(name for name in self.vocabulary if name in set(categories))


def without_sense(term: str) -> str:
    """Return a term without what it holds in brackets: `bow` of `bow (weapon)`."""
    return " ".join(_SENSE.sub(" ", term).split())


def _require(name: str, known: tuple[str, ...], kind: str) -> None:
    if name not in known:
        raise ValueError(f"no such {kind}: {name!r}{did_you_mean(name, known)}")


def available_lexicons() -> tuple[str, ...]:
    """Return the names of the lexicons that ship with the package."""
    folder = files("eidolon.scorers") / "data"
    return tuple(
        sorted(item.name[: -len(".json")] for item in folder.iterdir() if item.name.endswith(".json"))
    )


def outside_lexicon(name: str) -> str | None:
    """Return `lexicon NAME` for a lexicon that does not ship with the package, else None. Loads nothing."""
    return None if name in available_lexicons() else f"lexicon {name}"


def load_lexicon(name: str) -> Lexicon:
    """Return a shipped lexicon by name, or a user's by the path of its `.json` file.

    Raises:
        UserError: there is no such lexicon, or it is not valid.
    """
    if name.endswith(".json"):
        return _read_file(Path(name))
    return _load_shipped(name)


@cache
def _load_shipped(name: str) -> Lexicon:
    known = available_lexicons()
    if name not in known:
        raise UserError(f"unknown lexicon {name!r}{did_you_mean(name, known)} (or the path of a .json file)")
    return Lexicon.model_validate_json((files("eidolon.scorers") / "data" / f"{name}.json").read_bytes())


def label(lexicon: Lexicon, vocabulary: tuple[str, ...] | None = None) -> str:
    """Return the lexicon as it is written in a signature.

    This is its name, with a hash of its content unless it ships with the package, and the categories of a
    `vocabulary` that is narrower.
    """
    name = lexicon.name
    if name not in available_lexicons() or lexicon != load_lexicon(name):
        name = hashed(name, lexicon.model_dump_json())
    narrowed = vocabulary is not None and vocabulary != lexicon.vocabulary
    return f"{name}:{'+'.join(vocabulary or ())}" if narrowed else name


def _read_file(path: Path) -> Lexicon:
    try:
        return Lexicon.model_validate_json(read_bytes(path))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise UserError(f"{path}: not a lexicon: {place + ': ' if place else ''}{first['msg']}") from error
