"""Which objects named in a tokenised text are denied: "there is no cup", "without a tie or hat".

A cue denies the noun phrase that follows it, and the phrases joined to it by `or` or `nor`. The phrase ends at a
preposition, verb, pronoun, definite determiner, conjunction or punctuation mark. So in "no cup on the table" the
table is not denied. A few lists of function words replace a parser.
"""

from collections.abc import Sequence

from eidolon.scorers.text.english import ends_phrase, words

MAX_MODIFIERS = 5
"""Largest number of words between a cue and the noun that it denies."""
MAX_SCOPE = 60
"""Tokens after which a list of denied objects ends in any case."""

_AFFIRMED_AFTER_NO = words("doubt fewer idea less longer matter more one way wonder")
_AFFIRMED_AFTER_NOT = words(
    "all always both certain clear enough every everyone exactly far fully just merely much necessarily only "
    "quite simply solely sure until"
)
_ADVERBS = words("actually also clearly currently directly even ever explicitly really yet")
_LIGHT = words(
    """
    a an another any appear appears be been being carry carrying contain contains depict depicting feature
    featuring find has have having hold holding include including is mention one see seeing seem seems
    show showing shows single to use using wear wearing
    """
)
"""Words that may stand between `not` and the denied noun."""
_BE = words("am are be been is was were 's 're")
_AFTER_NOR = words("are is was were do does did there") | _LIGHT
_OF_NOTHING = words(
    "evidence glimpse hint indication kind mention presence sight sign signs sort trace traces type view"
)
"""Nouns after which `of` continues a denial: `no sign of a dog` denies the dog."""
_PAIRED_CUES = frozenset(
    {
        ("absence", "of"),
        ("devoid", "of"),
        ("empty", "of"),
        ("free", "from"),
        ("free", "of"),
        ("instead", "of"),
        ("lack", "of"),
        ("rather", "than"),
    }
)
_SEEN = words("depicted included pictured present seen shown there visible")
_SEEN_ADVERBS = words("actually clearly currently directly explicitly fully")


def denied(tokens: Sequence[str], spans: Sequence[tuple[int, int]]) -> set[int]:
    """Return the indexes of the denied `spans`.

    `tokens` are in lower case. `spans` are (first, end) token positions, in order and without overlaps.
    """
    starts = {first: index for index, (first, _) in enumerate(spans)}
    found: set[int] = set()
    for position, word in enumerate(tokens):
        begin = _scope(tokens, position, word)
        if begin is not None:
            found |= _noun_phrases(tokens, begin, spans, starts)
    found |= {index for index, span in enumerate(spans) if _is_declared_unseen(tokens, *span)}
    return found


def _scope(tokens: Sequence[str], position: int, word: str) -> int | None:
    """Return where the denied noun phrase begins if the word at `position` is a cue."""
    following = tokens[position + 1] if position + 1 < len(tokens) else ""
    if word == "no":
        return None if following in _AFFIRMED_AFTER_NO else position + 1
    if word in ("not", "n't", "never"):
        return _scope_of_not(tokens, position)
    if word in ("without", "lacks", "lacking"):
        return _skip(tokens, position + 1, _LIGHT)
    if word == "neither":
        return position + 1 if "nor" in tokens[position : position + 12] else None
    if word == "nor":
        return _skip(tokens, position + 1, _AFTER_NOR)
    if (word, following) in _PAIRED_CUES:
        return _skip(tokens, position + 2, _LIGHT)
    return None


def _scope_of_not(tokens: Sequence[str], position: int) -> int | None:
    """Return where the noun phrase denied by `not` begins, if there is one.

    `not` denies a noun only directly, or through a verb of having, being or showing. "Is not wearing a tie" and
    "isn't any car" deny. "Is not sitting on the chair" does not deny the chair.
    """
    begin = _skip(tokens, position + 1, _ADVERBS)
    if begin < len(tokens) and tokens[begin] in _AFFIRMED_AFTER_NOT:
        return None
    after = _skip(tokens, begin, _LIGHT)
    follows_be = position > 0 and tokens[position - 1] in _BE
    return after if after > begin or follows_be else None


def _skip(tokens: Sequence[str], position: int, skipped: frozenset[str]) -> int:
    while position < len(tokens) and tokens[position] in skipped:
        position += 1
    return position


def _noun_phrases(
    tokens: Sequence[str], begin: int, spans: Sequence[tuple[int, int]], starts: dict[int, int]
) -> set[int]:
    """Return the spans in the noun phrases from `begin` on.

    What follows a comma belongs to them only if an `or` or `nor` closes the list: "no cups, forks or knives" denies
    three, "no cups, people are sitting" one.
    """
    sure: set[int] = set()
    pending: set[int] = set()
    after_comma = False
    modifiers = 0
    position = begin
    while position < min(len(tokens), begin + MAX_SCOPE):
        word = tokens[position]
        if position in starts:
            index = starts[position]
            (pending if after_comma else sure).add(index)
            position = spans[index][1]
            if position >= len(tokens) or tokens[position] not in ("or", "nor", ",", "/"):
                break
        elif word in ("or", "nor", "/"):
            sure |= pending
            after_comma, modifiers, position = False, 0, position + 1
        elif word == "," and position > begin:
            after_comma, modifiers, position = True, 0, position + 1
        elif word == "of" and tokens[position - 1] in _OF_NOTHING:
            position += 1
        elif ends_phrase(word) or modifiers == MAX_MODIFIERS:
            break
        else:
            modifiers, position = modifiers + 1, position + 1
    return sure


def _is_declared_unseen(tokens: Sequence[str], first: int, end: int) -> bool:
    """Tell whether the sentence then says that the object cannot be seen: "the dog is not visible".

    In "the face of the man is not visible" the object is the face.
    """
    if "of" in tokens[max(0, first - 3) : first]:
        return False
    position = end
    if position < len(tokens) and tokens[position] in ("can", "could", "is", "are", "was", "were"):
        position += 1
    else:
        return False
    if position >= len(tokens) or tokens[position] not in ("not", "n't"):
        return False
    position = _skip(tokens, position + 1, _SEEN_ADVERBS | {"be"})
    return position < len(tokens) and tokens[position] in _SEEN
