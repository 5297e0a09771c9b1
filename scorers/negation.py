"""Which of the objects named in a tokenised text are denied: "there is no cup", "without a tie or hat".

A cue denies the noun phrase that follows it, and the phrases joined to that one by `or` / `nor`. The phrase
ends at a preposition, verb, pronoun, definite determiner, conjunction or punctuation mark, so that in "no cup
on the table" the table stands. A few lists of function words take the place of a parser.
"""

from collections.abc import Sequence

from eidolon.scorers.english import ends_phrase

MAX_MODIFIERS = 5
"""Words that may stand between a cue and the noun it denies."""
MAX_SCOPE = 60
"""Tokens after which a list of denied things is taken to be over."""

_AFFIRMED_AFTER_NO = frozenset("doubt fewer idea less longer matter more one way wonder".split())
_AFFIRMED_AFTER_NOT = frozenset(
    "all always both certain clear enough every everyone exactly far fully just merely much necessarily only "
    "quite simply solely sure until".split()
)
_ADVERBS = frozenset("actually also clearly currently directly even ever explicitly really yet".split())
_LIGHT = frozenset(
    """
    a an another any appear appears be been being carry carrying contain contains depict depicting feature
    featuring find has have having hold holding include including is mention one see seeing seem seems
    show showing shows single to use using wear wearing
    """.split()
)
"""What a denial may pass on its way from `not` to the noun."""
_BE = frozenset("am are be been is was were 's 're".split())
_AFTER_NOR = frozenset("are is was were do does did there".split()) | _LIGHT
_OF_NOTHING = frozenset(
    "evidence glimpse hint indication kind mention presence sight sign signs sort trace traces type view".split()
)
"""`no sign of a dog` denies the dog."""
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
_SEEN = frozenset("depicted included pictured present seen shown there visible".split())
_SEEN_ADVERBS = frozenset("actually clearly currently directly explicitly fully".split())


def denied(words: Sequence[str], spans: Sequence[tuple[int, int]]) -> set[int]:
    """Return the indexes of the denied `spans`.

    `words` are lower-cased tokens; `spans` are (first, end) token positions, ordered, not overlapping.
    """
    starts = {first: index for index, (first, _) in enumerate(spans)}
    found: set[int] = set()
    for position, word in enumerate(words):
        begin = _scope(words, position, word)
        if begin is not None:
            found |= _noun_phrases(words, begin, spans, starts)
    found |= {index for index, span in enumerate(spans) if _said_unseen(words, *span)}
    return found


def _scope(words: Sequence[str], position: int, word: str) -> int | None:
    """Return where the denied noun phrase begins if the word at `position` is a cue."""
    following = words[position + 1] if position + 1 < len(words) else ""
    if word == "no":
        return None if following in _AFFIRMED_AFTER_NO else position + 1
    if word in ("not", "n't", "never"):
        return _scope_of_not(words, position)
    if word in ("without", "lacks", "lacking"):
        return _skip(words, position + 1, _LIGHT)
    if word == "neither":
        return position + 1 if "nor" in words[position : position + 12] else None
    if word == "nor":
        return _skip(words, position + 1, _AFTER_NOR)
    if (word, following) in _PAIRED_CUES:
        return _skip(words, position + 2, _LIGHT)
    return None


def _scope_of_not(words: Sequence[str], position: int) -> int | None:
    """`not` denies a noun only directly, or through a verb of having, being or showing.

    "Is not wearing a tie" and "isn't any car" deny; "is not sitting on the chair" leaves the chair.
    """
    begin = _skip(words, position + 1, _ADVERBS)
    if begin < len(words) and words[begin] in _AFFIRMED_AFTER_NOT:
        return None
    after = _skip(words, begin, _LIGHT)
    follows_be = position > 0 and words[position - 1] in _BE
    return after if after > begin or follows_be else None


def _skip(words: Sequence[str], position: int, skipped: frozenset[str]) -> int:
    while position < len(words) and words[position] in skipped:
        position += 1
    return position


def _noun_phrases(
    words: Sequence[str], begin: int, spans: Sequence[tuple[int, int]], starts: dict[int, int]
) -> set[int]:
    """Return the spans in the noun phrases from `begin` on.

    What follows a comma belongs to them only if an `or` / `nor` closes the list: "no cups, forks or knives"
    denies three, "no cups, people are sitting" one.
    """
    sure: set[int] = set()
    pending: set[int] = set()
    after_comma = False
    modifiers = 0
    position = begin
    while position < min(len(words), begin + MAX_SCOPE):
        word = words[position]
        if position in starts:
            index = starts[position]
            (pending if after_comma else sure).add(index)
            position = spans[index][1]
            if position >= len(words) or words[position] not in ("or", "nor", ",", "/"):
                break
        elif word in ("or", "nor", "/"):
            sure |= pending
            after_comma, modifiers, position = False, 0, position + 1
        elif word == "," and position > begin:
            after_comma, modifiers, position = True, 0, position + 1
        elif word == "of" and words[position - 1] in _OF_NOTHING:
            position += 1
        elif ends_phrase(word) or modifiers == MAX_MODIFIERS:
            break
        else:
            modifiers, position = modifiers + 1, position + 1
    return sure


def _said_unseen(words: Sequence[str], first: int, end: int) -> bool:
    """Tell whether the sentence goes on to say that the object is not to be seen: "the dog is not visible".

    In "the face of the man is not visible" it is the face.
    """
    if "of" in words[max(0, first - 3) : first]:
        return False
    position = end
    if position < len(words) and words[position] in ("can", "could", "is", "are", "was", "were"):
        position += 1
    else:
        return False
    if position >= len(words) or words[position] not in ("not", "n't"):
        return False
    position = _skip(words, position + 1, _SEEN_ADVERBS | {"be"})
    return position < len(words) and words[position] in _SEEN
