"""Makes a first vocabulary for the judges from the category names in a dataset's annotations."""

from pathlib import Path

from eidolon.benchmark.data.amber_format import GENERATIVE
from eidolon.benchmark.data.coco_format import coco_records, read_document
from eidolon.benchmark.data.image_rows import read_strings
from eidolon.benchmark.data.json_rows import read_rows, required, text_field
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.input_files import decode_text, excerpt, read_bytes
from eidolon.scorers.text.english import words
from eidolon.scorers.text.lexicon import Lexicon, LexiconCategory

PLURAL_ONLY = words(
    "binoculars chopsticks earphones glasses goggles headphones jeans leggings pajamas pants pliers pyjamas "
    "scissors shorts skis sunglasses tights tongs trousers tweezers"
)
"""Objects without a singular, or with a singular that means something else."""
NO_PLURAL_ENDINGS = ("ss", "us", "is", "as", "ens")
"""Endings of singular words that end in s: glass, bus, tennis, canvas, lens."""
SINGULAR_IN_IE = words("cookies movies pies ties")
"""Plurals in -ies whose singular ends in -ie, not in -y."""


def read_categories(path: Path) -> list[tuple[str, int | None]]:
    """Return (name, id) of the categories in a file of annotations.

    From a COCO instances JSON: its categories in the order of their ids. From AMBER's annotations: the words of the
    free-form items, those of likely hallucinations included, sorted, with None as id.

    Raises:
        UserError: the file is neither of the two, or has no categories.
    """
    content = read_bytes(path)
    text = decode_text(content, path)
    document = read_document(text, path)
    if document is not None:
        found: dict[str, int] = {}
        for place, category in coco_records(document, "categories", path):
            name, number = text_field(category, "name", place), category.get("id")
            if isinstance(number, bool) or not isinstance(number, int):
                raise UserError(f"{place}: 'id' must be a whole number, found {excerpt(number)}")
            found.setdefault(name, number)
        if not found:
            raise UserError(f"{path}: holds no categories")
        return [(name, found[name]) for name in sorted(found, key=found.__getitem__)]
    named: set[str] = set()
    for place, row in read_rows(content, path, "annotations"):
        if text_field(row, "type", place) == GENERATIVE:
            for field in ("truth", "hallu"):
                named.update(read_strings(required(row, field, place), field, place))
    if not named:
        raise UserError(f"{path}: holds neither COCO categories nor AMBER's items of type {GENERATIVE!r}")
    return [(word, None) for word in sorted(named)]


def make_lexicon(categories: list[tuple[str, int | None]], name: str) -> tuple[Lexicon, list[str]]:
    """Return a lexicon whose terms are the words of the category names, and notes about what to check in it.

    `Handbag/Satchel` becomes two terms, `Sneakers` the term `sneaker`. A term that two categories share goes to the
    first of them.
    """
    owner: dict[str, str] = {}
    found: list[LexiconCategory] = []
    notes: list[str] = []
    for category, number in categories:
        terms = []
        for term in dict.fromkeys(_terms(category)):
            if owner.setdefault(term, category) == category:
                terms.append(term)
            else:
                notes.append(f"{term!r} of {category!r} goes to {owner[term]!r}")
        if not terms:
            notes.append(f"{category!r} has no term of its own: no judge will find it")
        found.append(LexiconCategory(name=category, terms=tuple(terms), id=number))
    return Lexicon(name=name, source="category names", categories=tuple(found)), notes


def _terms(category: str) -> list[str]:
    parts = (" ".join(part.replace("_", " ").lower().split()) for part in category.split("/"))
    return [_singular(part) for part in parts if part]


def _singular(term: str) -> str:
    """Return a term with its last word in the singular, as far as the spelling shows it."""
    head, space, last = term.rpartition(" ")
    if not last.endswith("s") or len(last) < 4 or last in PLURAL_ONLY or last.endswith(NO_PLURAL_ENDINGS):
        return term
    if last.endswith("ies") and last not in SINGULAR_IN_IE:
        last = last[:-3] + "y"
    elif last.endswith(("ches", "shes", "sses", "xes")):
        last = last[:-2]
    else:
        last = last[:-1]
    return head + space + last
