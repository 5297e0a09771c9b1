"""Options shared by the judges of an open vocabulary: how to match, and which nouns are concrete."""

import csv
from collections.abc import Sequence
from pathlib import Path

from eidolon.scorers.core.errors import UserError, did_you_mean
from eidolon.scorers.core.input_files import decode_text, read_bytes, user_path
from eidolon.scorers.core.judge import Matcher
from eidolon.scorers.core.language_model import LanguageModel
from eidolon.scorers.core.signature import hashed
from eidolon.scorers.judges.embeddings import SentenceEmbedder
from eidolon.scorers.judges.lm_matcher import LanguageModelMatcher
from eidolon.scorers.judges.matching import SIMILARITY, NameMatcher, plain, read_threshold, singular_name
from eidolon.scorers.text.lexicon import Lexicon

MATCHES = ("names", "lm")
CONCRETE = 4.5
"""Nouns with a higher rating are concrete enough to be seen (OpenCHAIR, Ben-Kish et al. 2024)."""
WORD_COLUMNS, RATING_COLUMNS = ("Word", "word"), ("Conc.M", "concreteness")


def make_matcher(
    judge: str,
    match: str,
    *,
    lexicon: Lexicon,
    embeddings: str | None = None,
    threshold: str | float | None = None,
    models: Sequence[LanguageModel] = (),
) -> Matcher:
    """Return the matcher that a judge's options choose.

    With `match` = `names`, nouns are compared with the true objects: by name, by the synonyms of the lexicon, and, if
    `embeddings` names a model of sentence-transformers, by a similarity of at least `threshold`. With `lm`, one
    language model is asked about the references.

    Raises:
        UserError: the options do not fit together, or `lm` has not exactly one model.
    """
    if match not in MATCHES:
        raise UserError(
            f"-J match={match}: judge {judge} matches by names or lm{did_you_mean(match, MATCHES)}"
        )
    for option, value in (("embeddings", embeddings), ("threshold", threshold)):
        if value is not None and match != "names":
            raise UserError(f"-J {option}={value}: is not for -J match={match}, which asks a language model")
    if match == "lm":
        if len(models) != 1:
            raise UserError(
                f"-J match=lm: judge {judge} asks exactly one language model, found {len(models)}; "
                "name it by -J models=…"
            )
        return LanguageModelMatcher(models[0])
    if threshold is not None and embeddings is None:
        raise UserError(f"-J threshold={threshold}: is the similarity of embeddings; add -J embeddings=MODEL")
    embedder = None if embeddings is None else SentenceEmbedder(embeddings)
    return NameMatcher(
        lexicon, embedder, SIMILARITY if threshold is None else read_threshold(threshold, judge)
    )


class Concreteness:
    """The nouns that a table rates as concrete. The user gives the table: comma- or tab-separated, with a header.

    The columns are `Word` and `Conc.M`, as in the ratings of Brysbaert et al. (2014), or `word` and `concreteness`. A
    noun that is not in the table is not concrete.

    Raises:
        UserError: the file cannot be read or is no such table.
    """

    def __init__(self, path: str) -> None:
        text = decode_text(read_bytes(user_path(path)), Path(path))
        self._signature = hashed(Path(path).stem, text)
        rows = csv.DictReader(text.splitlines(), delimiter="\t" if "\t" in text.partition("\n")[0] else ",")
        header = rows.fieldnames or ()
        word = next((name for name in WORD_COLUMNS if name in header), None)
        rating = next((name for name in RATING_COLUMNS if name in header), None)
        if word is None or rating is None:
            raise UserError(
                f"{path}:1: needs the columns 'Word' and 'Conc.M' (or 'word' and 'concreteness'), "
                f"found {', '.join(header) or 'nothing'}"
            )
        self._concrete = {
            plain(row[word] or "")
            for row in rows
            if _rating(row[rating], f"{path}:{rows.line_num}", rating) > CONCRETE
        }

    def __contains__(self, noun: str) -> bool:
        """Tell whether a noun is concrete. A noun that is not in the table is looked up in the singular."""
        return plain(noun) in self._concrete or singular_name(noun) in self._concrete

    def signature(self) -> str:
        """Return the threshold, and the table with its hash."""
        return f">{CONCRETE:g}:{self._signature}"


def _rating(value: str | None, where: str, column: str) -> float:
    try:
        return float(value or "")
    except ValueError:
        raise UserError(f"{where}: {column} must be a number, found {value!r}") from None
