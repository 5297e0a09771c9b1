"""Makes a first vocabulary for the judges from the category names in a dataset's annotations."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from eidolon.benchmark.data.amber_format import GENERATIVE
from eidolon.benchmark.data.coco_format import category_id, coco_records, read_document
from eidolon.benchmark.data.image_rows import read_strings
from eidolon.benchmark.data.json_rows import read_rows, required, text_field
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.input_files import decode_text, read_bytes
from eidolon.scorers.text.english import words
from eidolon.scorers.text.lexicon import Lexicon, LexiconCategory, without_sense
from eidolon.scorers.text.plurals import singular_of

PLURAL_ONLY = words(
    "binoculars chopsticks earphones glasses goggles headphones jeans leggings pajamas pants pliers pyjamas "
    "scissors shorts skis sunglasses tights tongs trousers tweezers"
)
"""Objects without a singular, or with a singular that means something else."""
NO_PLURAL_ENDINGS = ("ss", "us", "is", "as", "ens")
"""Endings of singular words that end in s: glass, bus, tennis, canvas, lens."""
SINGULAR_IN_IE = words("cookies movies pies ties")
"""Plurals in -ies whose singular ends in -ie, not in -y."""


_PARTS = re.compile(r"[/;,]")
"""What stands between several names of one category."""


class NamedCategory(NamedTuple):
    """A category of a dataset."""

    name: str
    number: int | None = None
    synonyms: tuple[str, ...] = ()
    """Other names that the file gives, as LVIS does."""


class _Claim(NamedTuple):
    """A term that a category would have, and how good its right to it is; 0 is best."""

    rank: int
    term: str
    category: str


def read_categories(path: Path) -> list[NamedCategory]:
    """Return the categories in a file of annotations.

    From an instances JSON as COCO's, Objects365's or LVIS's: its categories in the order of their ids, with the
    synonyms that LVIS lists. From AMBER's annotations: the words of the free-form items, those of likely hallucinations
    included, sorted.

    Raises:
        UserError: the file is neither of the two, or has no categories.
    """
    content = read_bytes(path)
    text = decode_text(content, path)
    document = read_document(text, path)
    if document is not None:
        found: dict[str, NamedCategory] = {}
        for place, category in coco_records(document, "categories", path):
            name, number = text_field(category, "name", place), category_id(category, place)
            synonyms = category.get("synonyms")
            others = () if synonyms is None else read_strings(synonyms, "synonyms", place)
            found.setdefault(name, NamedCategory(name, number, tuple(others)))
        if not found:
            raise UserError(f"{path}: holds no categories")
        return sorted(found.values(), key=lambda category: category.number or 0)
    named: set[str] = set()
    for place, row in read_rows(content, path, "annotations"):
        if text_field(row, "type", place) == GENERATIVE:
            for field in ("truth", "hallu"):
                named.update(read_strings(required(row, field, place), field, place))
    if not named:
        raise UserError(f"{path}: holds neither COCO categories nor AMBER's items of type {GENERATIVE!r}")
    return [NamedCategory(word) for word in sorted(named)]


def make_lexicon(categories: Sequence[NamedCategory], name: str) -> tuple[Lexicon, list[str]]:
    """Return a lexicon whose terms are the words of the category names, and notes about what to check in it.

    `Handbag/Satchel` becomes two terms, `Sneakers` the term `sneaker`. A sense in brackets is left out, since no text
    writes it: `mouse_(computer_equipment)` becomes `mouse`. A term that two categories share goes to the one that it
    is a whole name of, then to the one whose name has it with a sense in brackets, then to the one that has it as a
    synonym; of equals to the first.
    """
    claims = {category.name: [*_claims(category)] for category in categories}
    owner: dict[str, str] = {}
    for claim in sorted((c for found in claims.values() for c in found), key=lambda claim: claim.rank):
        owner.setdefault(claim.term, claim.category)
    found: list[LexiconCategory] = []
    notes: list[str] = []
    for category in categories:
        wanted = dict.fromkeys(claim.term for claim in claims[category.name])
        terms = [term for term in wanted if owner[term] == category.name]
        notes += [
            f"{term!r} of {category.name!r} goes to {owner[term]!r}"
            for term in wanted
            if owner[term] != category.name
        ]
        if not terms:
            notes.append(f"{category.name!r} has no term of its own: no judge will find it")
        found.append(LexiconCategory(name=category.name, terms=tuple(terms), id=category.number))
    if senses := [category.name for category in categories if without_sense(category.name) != category.name]:
        notes.append(
            f"{len(senses)} names have a sense in brackets, which the terms leave out: their words are read in every "
            f"sense ({', '.join(senses[:3])}{', …' if len(senses) > 3 else ''})"
        )
    return Lexicon(name=name, source="category names", categories=tuple(found)), notes


def _claims(category: NamedCategory) -> Iterator[_Claim]:
    for name in (category.name, *category.synonyms):
        plain = name.replace("_", " ").lower()
        rank = 2 if name != category.name else int(without_sense(plain) != " ".join(plain.split()))
        for part in _PARTS.split(without_sense(plain)):
            if part.strip():
                yield _Claim(rank, _singular(" ".join(part.split())), category.name)


def _singular(term: str) -> str:
    """Return a term with its last word in the singular, as far as the spelling shows it."""
    head, space, last = term.rpartition(" ")
    if (noun := singular_of(last)) is not None and last not in PLURAL_ONLY:
        return head + space + noun
    if not last.endswith("s") or len(last) < 4 or last in PLURAL_ONLY or last.endswith(NO_PLURAL_ENDINGS):
        return term
    if last.endswith("ies") and last not in SINGULAR_IN_IE:
        last = last[:-3] + "y"
    elif last.endswith(("ches", "shes", "sses", "xes")):
        last = last[:-2]
    else:
        last = last[:-1]
    return head + space + last
