"""Which objects named in a tokenised text are denied: "there is no cup", "without a tie or hat", "cats: none".

Three kinds of denial are found, without a parser:

- a cue before the objects ("no", "without", "devoid of"): see `denial_scope`;
- a predicate after them ("is not visible", "are absent"): it denies the head of its subject. In "the cup behind the
  dog is not visible" the dog is not denied;
- a label with an empty value ("Cats: 0").

A cue denies the noun phrase that follows it, and the phrases joined to it. The phrase ends at a preposition, verb,
pronoun, definite determiner or punctuation mark: in "no cup on the table" the table is not denied, and in "no shirt
eating a donut" the donut is not.
"""

from collections.abc import Sequence

from eidolon.scorers.text.denial_scope import CUES, denied_after_cues
from eidolon.scorers.text.english import AFTER_NOUNS, AUXILIARIES, PREPOSITIONS, words

MAX_SUBJECT = 40
"""Tokens before a predicate in which its subject begins."""

_BE = words("am are is was were 's 're be been")
_CAN = words("ca can could")
_DO = words("do does did")
_SEEN = words("depicted included pictured present seen shown there visible")
_SEEN_ADVERBS = words("actually currently directly explicitly really")
_GONE = words("absent lacking nonexistent nowhere non-existent")
_BE_ADVERBS = words("completely entirely notably also conspicuously")
_NOT = words("not n't never")
_AUXILIARY = _BE | _CAN | _DO
_AFTER_AUXILIARY = _BE_ADVERBS | _NOT | _GONE | words("missing out")
"""One of these words follows every auxiliary that says that its subject cannot be seen."""
_CLAUSE_START = words(
    "although as because but if since so that though unless when where whereas whether which while who whose"
)
_MARKS = frozenset(".!?;:,\n")
_SENTENCE_MARKS = frozenset(".!?;\n")
_FINITE = (AUXILIARIES - words("n't not 's be been being having")) | (
    AFTER_NOUNS - words("alone away back below closer further nearby present together too visible")
)
_SEPARATORS = words(": = - \u2013 \u2014 | \u2192 -> => --")
_NOTHING = words("0 absent false missing n/a nil none nope nothing zero")
_QUOTES = frozenset("\"'\u201c\u201d\u2018\u2019`*")
_AFTER_LABEL = _SEPARATORS | {"("}
"""One of these stands between a label and its value."""
_ENDS = frozenset(".,;|)]}\n")


def denied(tokens: Sequence[str], spans: Sequence[tuple[int, int]]) -> set[int]:
    """Return the indexes of the denied `spans`.

    `tokens` are in lower case. `spans` are (first, end) token positions, in order and without overlaps.
    """
    if not spans:
        return set()
    starts = {first: index for index, (first, _) in enumerate(spans)}
    found: set[int] = set()
    if not CUES.isdisjoint(tokens):
        found |= denied_after_cues(tokens, spans)
    if not _AFTER_AUXILIARY.isdisjoint(tokens):
        for position, after in enumerate(tokens[1:]):
            if (
                after in _AFTER_AUXILIARY
                and tokens[position] in _AUXILIARY
                and _says_unseen(tokens, position)
            ):
                found |= _subject(tokens, position, spans, starts)
    return found | {index for index, span in enumerate(spans) if _labelled_none(tokens, *span)}


def _says_unseen(tokens: Sequence[str], position: int) -> bool:
    """Tell whether the predicate that begins with this auxiliary says that its subject cannot be seen."""

    def at(place: int) -> str:
        return tokens[place] if place < len(tokens) else ""

    word, after = tokens[position], position + 1
    if word in _BE and at(after) in _BE_ADVERBS:
        after += 1
    if word in _BE and at(after) in _GONE:
        return True
    if word in _BE and at(after) == "missing":
        return at(after + 1) in ("", "from", "in", "here", "and", "or") or not at(after + 1)[:1].isalnum()
    if word in _BE and (at(after), at(after + 1)) == ("out", "of"):
        return at(after + 2) in ("frame", "view", "sight")
    if at(after) not in _NOT:
        return False
    after += 1
    while at(after) in _SEEN_ADVERBS or at(after) in ("be", "to", "in", "any", "anywhere"):
        if at(after) == "in":
            break
        after += 1
    if word in _DO:
        return at(after) in ("appear", "exist") and at(after + 1) != "to" and _closes(at(after + 1))
    if at(after) == "in" and at(after + 1) in ("the", "this"):
        return at(after + 2) in ("image", "picture", "photo", "scene", "frame", "view")
    if at(after) == "in":
        return at(after + 1) in ("view", "sight", "frame")
    if (at(after), at(after + 1)) == ("part", "of"):
        return at(after + 3) in ("image", "picture", "photo", "scene")
    return at(after) in _SEEN


def _closes(word: str) -> bool:
    return not word[:1].isalnum() or word in PREPOSITIONS or word in ("anywhere", "here", "at", "and")


def _subject(
    tokens: Sequence[str], verb: int, spans: Sequence[tuple[int, int]], starts: dict[int, int]
) -> set[int]:
    """Return the spans that head the subject of the predicate at `verb`.

    The clause begins after the last mark, conjunction or finite verb. Its head is the end of its first noun phrase:
    in "the face of the man" it is the face. Phrases joined to the head by "and" or "or" belong to it.
    """
    begin = verb
    joined = None
    while (
        begin > max(0, verb - MAX_SUBJECT)
        and tokens[begin - 1] not in _MARKS
        and tokens[begin - 1] not in _CLAUSE_START
    ):
        word = tokens[begin - 1]
        if word in _FINITE or _is_verb_before(tokens, begin - 1):
            begin = begin if joined is None else joined
            break
        if word in ("and", "or", "nor"):
            joined = begin
        begin -= 1
    inside = [(*spans[starts[place]], starts[place]) for place in range(begin, verb) if place in starts]
    inside = [(first, end, index) for first, end, index in inside if end <= verb]
    if begin < len(tokens) and tokens[begin] in PREPOSITIONS:
        return {index for _, end, index in inside if end == verb}
    found: set[int] = set()
    for first, end, index in inside:
        if any(_ends_head(tokens[place]) for place in range(begin, first)):
            break
        following = tokens[end]
        if end == verb or following in ("and", "or", "nor", ",", "both") or _ends_head(following):
            found.add(index)
    return found


def _ends_head(word: str) -> bool:
    return word in PREPOSITIONS or (word.endswith(("ing", "ed")) and len(word) > 4)


def _is_verb_before(tokens: Sequence[str], position: int) -> bool:
    """Tell whether a word is a verb in the third person: "s" at its end, and a determiner after it."""
    following = tokens[position + 1] if position + 1 < len(tokens) else ""
    word = tokens[position]
    return (
        word.endswith("s")
        and word.isalpha()
        and len(word) > 3
        and following in ("a", "an", "the", "his", "her")
    )


def _labelled_none(tokens: Sequence[str], first: int, end: int) -> bool:
    """Tell whether the object is a label whose value says that there is none: "Cats: 0", "| dog | none |"."""
    position = end
    while position < len(tokens) and tokens[position] in _QUOTES:
        position += 1
    bracket = position < len(tokens) and tokens[position] == "("
    if position >= len(tokens) or (tokens[position] not in _SEPARATORS and not bracket):
        return False
    position += 1
    while position < len(tokens) and (tokens[position] in _QUOTES or tokens[position] in _SEPARATORS):
        position += 1
    value = tokens[position : position + 4]
    if not value:
        return False
    closed = len(value) == 1 or value[1] in _ENDS or value[1] in _QUOTES
    if value[0] in ("no", "not"):
        named = tokens[end - 1]
        again = len(value) > 1 and value[0] == "no" and named in value[1:4]
        return (
            closed or again or (value[0] == "not" and value[1] in _SEEN | words("found detected applicable"))
        )
    return value[0] in _NOTHING and (
        closed or value[1] in ("visible", "present", "in", "are", "is", "seen", "detected")
    )
