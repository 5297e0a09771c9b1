"""The default reading: which objects a text says are there.

The text is split into the tokens of spaCy. Every form of every term and phrase of the lexicon is found in them. Of
overlapping matches the longest is kept, so that "hot dog" is no dog. Then a match is dropped, with its reason, if it

- stands before a hyphen ("dog-friendly") or describes the noun that follows ("pizza box", "orange shirt"),
- is a verb ("to train"), a person's word for an animal ("baby elephant"), or a part ("the seat of the toilet"),
- means something else: a sport ("they play football"), another sense (a mouse that eats cheese), what a thing is
  compared with ("shaped like a boat"), the text of a sign,
- is denied ("no cups").

No downloaded model is needed. `docs/explanation/lexicon.md` lists what the rules miss.
"""

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from eidolon.scorers.text.english import follows_noun, words
from eidolon.scorers.text.lexicon import Lexicon, NamedObject
from eidolon.scorers.text.matches import Form, Match, Reason, Tokens, ends_sentence
from eidolon.scorers.text.negation import denied
from eidolon.scorers.text.phrases import PhraseIndex
from eidolon.scorers.text.plurals import plural_forms
from eidolon.scorers.text.senses import (
    PART_REACH,
    drop_likenesses,
    drop_linked_parts,
    drop_senses,
    drop_sports,
    drop_written,
    resolve_short_names,
)
from eidolon.scorers.text.token_pieces import UNBROKEN, TokenPieces, plain_word
from eidolon.scorers.text.tokens import english_tokenizer

CAREFUL = "careful-2"
"""The reading in signatures. The number is that of its rules and tables: it rises when a text is read differently."""

_PART = re.compile(r"\w+|\W")
_SURROGATE = re.compile("[\ud800-\udfff]")
_BEFORE_VERB = words("to can could will would may might must shall should 'll 'd they we you")
_BEFORE_PREPOSITION_TO = words("next close closer adjacent due up opposite addition compared similar")


class ExplainedMatch(NamedTuple):
    """A match, and why it was dropped. The category of a blocked phrase is empty."""

    named: NamedObject
    dropped: Reason | None


class CarefulReading:
    """Reads texts by the rules above. `explain` also returns the dropped matches."""

    name = "careful"
    signature = CAREFUL

    def __init__(self, lexicon: Lexicon) -> None:
        self._tables = lexicon.careful
        self._tokenizer = english_tokenizer()
        self._phrases = PhraseIndex(
            {
                tuple(token.lower() for _, token in self._tokenizer(spelling)): form
                for text, form in _forms(lexicon).items()
                for spelling in _spellings(text)
            }
        )
        self._pieces = TokenPieces(self._tokenizer, self._phrases.begins)
        self._heads = _compound_heads(lexicon)
        self._animals = _animal_forms(lexicon)
        self._colours = frozenset(self._tables.colours)
        self._colour_cues = frozenset(self._tables.colour_cues)
        self._verbs = frozenset(self._tables.verbs)
        self._kin = frozenset(self._tables.kin)
        self._things = frozenset(self._tables.things)
        self._hyphens_kept = frozenset(self._tables.hyphens_kept)
        self._senses = {term: sense for sense in self._tables.senses for term in sense.terms}

    def read(self, text: str) -> list[NamedObject]:
        """Return the objects that `text` names, in its order. `term` is the term of the lexicon."""
        return [found.named for found in self.explain(text) if found.dropped is None]

    def explain(self, text: str) -> list[ExplainedMatch]:
        """Return every match in the order of the text, with the reason if it was dropped."""
        tokens, matches = self._match(text)
        reasons = [match.form.dropped or self._misread(tokens, match) for match in matches]
        drop_sports(tokens, matches, reasons, self._things)
        drop_senses(tokens, matches, reasons, self._senses)
        self._drop_compounds(matches, reasons)
        self._drop_kin(matches, reasons)
        resolve_short_names(tokens, matches, reasons, self._tables.short_names)
        self._drop_parts(tokens, matches, reasons)
        drop_linked_parts(tokens, matches, reasons, self._tables.linked_parts)
        drop_likenesses(tokens, matches, reasons)
        drop_written(tokens, matches, reasons)
        for index in denied(tokens.words, [(match.first, match.end) for match in matches]):
            if matches[index].form.term not in self._tables.part_names:
                reasons[index] = reasons[index] or Reason.DENIED
        return [
            ExplainedMatch(_named(tokens, match), reason)
            for match, reason in zip(matches, reasons, strict=True)
        ]

    def _match(self, text: str) -> tuple[Tokens, list[Match]]:
        """Return the tokens and the longest matches."""
        if not text.isascii():
            # Half of a surrogate pair cannot be encoded.
            text = _SURROGATE.sub("\ufffd", text)
        read = self._pieces.read(text)
        if read is None:
            tokens = self._tokens(text)
            found = self._phrases.find(
                [text[s:e].lower() for s, e in zip(tokens.starts, tokens.ends, strict=True)]
            )
        else:
            tokens, begins = read
            lowered: Sequence[str] = tokens.words
            if "\u2019" in text:
                lowered = [text[s:e].lower() for s, e in zip(tokens.starts, tokens.ends, strict=True)]
            found = self._phrases.find_at(lowered, begins)
        return tokens, _longest([*map(Match._make, found)])

    def _tokens(self, text: str) -> Tokens:
        """Return the tokens of a text, all of it tokenized as `TokenPieces` says."""
        placed = self._tokenize(text)
        # Longer than needed by one if there is no token at all.
        nexts = [*(token[:1] for _, token in placed[1:]), ""]
        kept = [
            (start, token)
            for (start, token), following in zip(placed, nexts, strict=False)
            if not token.isspace() or ("\n" in token and not following.islower())
        ]
        return Tokens(
            words=[plain_word(token) for _, token in kept],
            starts=[start for start, _ in kept],
            ends=[start + len(token) for start, token in kept],
        )

    def _tokenize(self, text: str) -> list[tuple[int, str]]:
        """Return the tokens with their offsets. They are spaCy's, except in runs that are no prose."""
        placed: list[tuple[int, str]] = []
        position = 0
        for run in UNBROKEN.finditer(text):
            placed += [
                (position + start, token) for start, token in self._tokenizer(text[position : run.start()])
            ]
            placed += [(run.start() + part.start(), part[0]) for part in _PART.finditer(run[0])]
            position = run.end()
        if not position:
            return self._tokenizer(text)
        return placed + [(position + start, token) for start, token in self._tokenizer(text[position:])]

    def _misread(self, tokens: Tokens, match: Match) -> Reason | None:
        """Return why the words around a match show that it names nothing, None if they do not."""
        term, following = match.form.term, tokens.at(match.end)
        if following in ("-", "\u2010", "\u2011") and _joined(tokens, match.end):
            return None if tokens.at(match.end + 1) in self._hyphens_kept else Reason.HYPHEN
        if term in self._kin and self._is_animal(tokens, match):
            return Reason.ANIMAL
        if match.form.plural:
            return Reason.ADJECTIVE if self._is_colour(tokens, match) else None
        if following in self._heads.get(term, ()):
            return Reason.COMPOUND
        if term in self._verbs and self._is_verb(tokens, match):
            return Reason.VERB
        if term in self._tables.modifiers:
            names = following in self._heads_kept(term) or follows_noun(following)
            if not names or self._is_colour(tokens, match):
                return Reason.ADJECTIVE
        return None

    def _heads_kept(self, term: str) -> set[str]:
        heads = self._tables.modifiers[term]
        return {*heads, *(form for head in heads for form in plural_forms(head))}

    def _is_verb(self, tokens: Tokens, match: Match) -> bool:
        before = tokens.at(match.first - 1)
        return before in _BEFORE_VERB and not (
            before == "to" and tokens.at(match.first - 2) in _BEFORE_PREPOSITION_TO
        )

    def _is_animal(self, tokens: Tokens, match: Match) -> bool:
        """Tell whether a word for a person describes an animal: "its mother", "adult and baby zebras"."""
        if tokens.at(match.first - 1) == "its":
            return True
        position = match.end
        while tokens.at(position) in ("and", "her", "its", "&"):
            position += 1
        if position > match.end and tokens.at(position) in self._kin:
            position += 1
        elif position > match.end:
            return False
        return tokens.at(position) in self._animals

    def _is_colour(self, tokens: Tokens, match: Match) -> bool:
        """Tell whether a term that is also a colour means the colour: "red and orange", "is bright orange"."""
        term, following = match.form.term, tokens.at(match.end)
        if term not in self._colours or following in self._heads_kept(term):
            return False
        colours = self._colours - {term, *plural_forms(term)}
        left = match.first - 1
        before = tokens.at(left)
        if before in self._colour_cues or f"{tokens.at(left - 1)} {before}" in self._colour_cues:
            return not match.form.plural
        while tokens.at(left) in (",", "and", "or", "/"):
            left -= 1
        right = match.end
        while tokens.at(right) in (",", "and", "or", "/", "&"):
            right += 1
        beside_left = left < match.first - 1 and tokens.at(left) in colours
        return beside_left or (right > match.end and tokens.at(right) in colours)

    def _drop_compounds(self, matches: list[Match], reasons: list[Reason | None]) -> None:
        """Drop the first of two adjacent terms if it is in the singular and so describes the second: "pickup truck".

        A person at the end is another object than the thing before it ("bus driver"), and a person before a thing
        does not describe it.
        """
        for index, (left, right) in enumerate(pairwise(matches)):
            if left.end != right.first or left.form.plural or reasons[index] or reasons[index + 1]:
                continue
            people = [match.form.category == "person" for match in (left, right)]
            if people[0] == people[1]:
                reasons[index] = Reason.COMPOUND

    def _drop_kin(self, matches: list[Match], reasons: list[Reason | None]) -> None:
        """Drop "the mother" and "her baby" after "a mother zebra", if no other person is named: they are animals."""
        if Reason.ANIMAL not in reasons:
            return
        kin = [index for index, match in enumerate(matches) if match.form.term in self._kin]
        others = (
            match.form.category == "person" and reason is None and match.form.term not in self._kin
            for match, reason in zip(matches, reasons, strict=True)
        )
        if not any(others):
            for index in kin:
                reasons[index] = reasons[index] or Reason.ANIMAL

    def _drop_parts(self, tokens: Tokens, matches: list[Match], reasons: list[Reason | None]) -> None:
        """Drop parts of an object that the same sentence names: "a motorcycle with a black seat"."""
        for index, match in enumerate(matches):
            for whole, parts in self._tables.parts.items():
                if reasons[index] is not None or match.form.term not in parts:
                    continue
                near = matches[max(0, index - PART_REACH) : index + PART_REACH + 1]
                wholes = [other.first for other in near if other.form.category == whole]
                if any(_same_sentence(tokens.words, match.first, first) for first in wholes):
                    reasons[index] = Reason.PART


def _forms(lexicon: Lexicon) -> dict[str, Form]:
    """Return every spelled form of the lexicon's terms and blocked phrases."""
    tables = lexicon.careful
    excluded = frozenset(tables.excluded_terms)
    forms: dict[str, Form] = {}
    for term, category in lexicon.careful_terms().items():
        dropped = Reason.EXCLUDED if term in excluded else None
        for plural in tables.plurals.get(term, plural_forms(term)):
            forms.setdefault(plural, Form(term, category, True, dropped))
    for term, category in lexicon.careful_terms().items():
        forms[term] = Form(term, category, False, Reason.EXCLUDED if term in excluded else None)
    for phrase in tables.blocked_phrases:
        for form in (phrase, *tables.plurals.get(phrase, plural_forms(phrase))):
            forms[form] = Form(phrase, "", False, Reason.BLOCKED)
    return forms


def _spellings(form: str) -> tuple[str, ...]:
    """Return a form as it is, with hyphens between its words, and with the other apostrophe."""
    spaced = (form, form.replace(" ", "-")) if " " in form else (form,)
    return spaced + tuple(spelling.replace("'", "\u2019") for spelling in spaced if "'" in spelling)


def _compound_heads(lexicon: Lexicon) -> dict[str, frozenset[str]]:
    heads: dict[str, set[str]] = {}
    verbs = frozenset(lexicon.careful.verb_heads)
    for group in lexicon.careful.compound_heads:
        plurals = (form for head in group.heads if head not in verbs for form in plural_forms(head))
        forms = {*group.heads, *plurals}
        for term in group.terms:
            heads.setdefault(term, set()).update(forms)
    return {term: frozenset(forms) for term, forms in heads.items()}


def _animal_forms(lexicon: Lexicon) -> frozenset[str]:
    tables = lexicon.careful
    terms = [term for term, name in lexicon.careful_terms().items() if name in tables.animal_categories]
    names = [*terms, *tables.other_animals]
    plurals = [form for name in names for form in tables.plurals.get(name, plural_forms(name))]
    return frozenset([*names, *plurals])


def _longest(matches: Sequence[Match]) -> list[Match]:
    """Return the longest of overlapping matches, or the first of equally long ones, in the order of the text."""
    if all(left.end <= right.first for left, right in pairwise(matches)):
        return list(matches)
    kept: list[Match] = []
    taken: set[int] = set()
    for match in sorted(matches, key=lambda match: (match.first - match.end, match.first)):
        if match.first not in taken and match.end - 1 not in taken:
            kept.append(match)
            taken.update(range(match.first, match.end))
    return sorted(kept)


def _named(tokens: Tokens, match: Match) -> NamedObject:
    start, end = tokens.starts[match.first], tokens.ends[match.end - 1]
    return NamedObject(start, end, match.form.category, match.form.term)


def _joined(tokens: Tokens, hyphen: int) -> bool:
    """Tell whether the hyphen at this position touches a word on both sides."""
    return (
        tokens.ends[hyphen - 1] == tokens.starts[hyphen]
        and tokens.at(hyphen + 1)[:1].isalpha()
        and tokens.ends[hyphen] == tokens.starts[hyphen + 1]
    )


def _same_sentence(words: Sequence[str], one: int, other: int) -> bool:
    between = words[min(one, other) : max(one, other)]
    return not any(ends_sentence(word) for word in between)
