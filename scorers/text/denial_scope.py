"""Which objects a word of denial denies: the scope of "no", "not", "without" and their kin, by rules.

The scope is the noun phrase after the cue, with the phrases joined to it by "or", "nor" or a bare "and", and the
examples that "such as" or "like" introduce. Lists of function words replace a parser.
"""

from collections.abc import Sequence

from eidolon.scorers.text.english import AFTER_NOUNS, AUXILIARIES, INDEFINITE, ends_phrase, words

MAX_MODIFIERS = 6
"""Largest number of words between a cue and the noun that it denies."""
MAX_SCOPE = 60
"""Tokens after which a list of denied objects ends in any case."""
MAX_ANY = 15
"""Tokens after a cue in which "any" repeats it: "not sitting on any chair"."""
MAX_ANYS = 3
"""Number of times that "any" repeats one cue."""

_AFFIRMED_AFTER_NO = words("doubt fewer idea less longer matter one way wonder")
_AFFIRMED_AFTER_NOT = words(
    "all always both certain clear enough every everyone exactly far fully just merely much necessarily only "
    "quite simply solely sure too until"
)
_ADVERBS = words("actually also clearly currently directly even ever explicitly really yet")
_LIGHT = words(
    """
    a able an another any appear appears be been being carry carrying contain contains depict depicting detect
    discern feature featuring find has have having hold holding identify include included including is locate
    make mention notice observe of one out recognize see seeing seem seems show showing shows single
    spot to use using wear wearing
    """
)
"""Words that may stand between `not` and the denied noun."""
_BE = words("am are be been is was were 's 're")
_AFTER_NOR = words("are is was were do does did there") | _LIGHT
_OF_NOTHING = words(
    "evidence glimpse hint indication kind kinds mention presence sight sign signs sort sorts trace traces type types "
    "view"
)
"""Nouns after which `of` continues a denial: `no sign of a dog` denies the dog."""
_PAIRED_CUES = frozenset(
    {
        ("absence", "of"),
        ("absent", "of"),
        ("as", "opposed"),
        ("bare", "of"),
        ("barren", "of"),
        ("clear", "of"),
        ("devoid", "of"),
        ("empty", "of"),
        ("free", "from"),
        ("free", "of"),
        ("instead", "of"),
        ("lack", "of"),
        ("rather", "than"),
        ("void", "of"),
    }
)
_DENYING_LABELS = words("absent excluded missing")
CUES = words(
    "no not n't never without lack lacks lacking lacked neither nor none nobody nothing zero 0 unable sans"
) | ({first for first, _ in _PAIRED_CUES} | _DENYING_LABELS)
"""Every text that denies something by a cue has at least one of these words."""
_REPEATED_BY_ANY = words("no not n't never without nor unable nobody none nothing absent")
_EXAMPLES = frozenset(
    {("such", "as"), ("like",), ("including",), ("for", "example"), ("for", "instance"), ("e.g.",)}
)
_OPEN = words("a an another any single")
"""Determiners that may begin a denied phrase."""
_OWN = INDEFINITE | words("several many some two three four five six seven eight nine ten one")
"""Words that begin a phrase of its own, which an "and" does not deny."""
_BEFORE_NOUNS = words(
    """
    additional apparent clear clearly discernible different distinct living moving noticeable obvious other particular
    passing real significant specific such visible visibly
    """
)
"""Adjectives after which a word in "-ing" still describes a noun: "no other moving cars"."""
_ING_NOUNS = words(
    """
    awning building ceiling clothing covering dressing earring filling flooring frosting furnishing icing king
    lighting morning painting railing ring seasoning seating setting spring string thing topping wedding wing writing
    anything something nothing everything parking dining string swing
    """
)
_FINITE = (AUXILIARIES - words("n't not be been being having")) | (
    AFTER_NOUNS - words("alone away back below closer further nearby present together too visible")
)


def denied_after_cues(tokens: Sequence[str], spans: Sequence[tuple[int, int]]) -> set[int]:
    """Return the indexes of the spans that a cue before them denies. Arguments are those of `denied`."""
    starts = {first: index for index, (first, _) in enumerate(spans)}
    found: set[int] = set()
    for position, word in enumerate(tokens):
        if word not in CUES:
            continue
        begin = _scope(tokens, position, word)
        if begin is not None:
            found |= _Phrases(tokens, spans, starts).read(position, begin)
        if word in _REPEATED_BY_ANY:
            for begin in _after_any(tokens, position):
                found |= _Phrases(tokens, spans, starts).read(position, begin)
        unseen = word == "not" and tokens[position + 1 : position + 2] in (["present"], ["visible"])
        if word in _DENYING_LABELS or unseen:
            found |= _labelled(tokens, position + (word == "not"), starts)
    return found


def _scope(tokens: Sequence[str], position: int, word: str) -> int | None:
    """Return where the denied noun phrase begins if the word at `position` is a cue."""
    following = tokens[position + 1] if position + 1 < len(tokens) else ""
    if (word, following) in _PAIRED_CUES:
        return _skip(tokens, position + 2, _LIGHT)
    if word in ("no", "zero", "0"):
        more = following in ("more", "other") and tokens[position + 2 : position + 3] == ["than"]
        return None if more or following in _AFFIRMED_AFTER_NO else position + 1
    if word in ("not", "n't", "never", "unable"):
        return _scope_of_not(tokens, position)
    if word in ("without", "sans", "lack", "lacks", "lacking", "lacked"):
        return _skip(tokens, position + 1, _LIGHT)
    if word == "missing":
        owner = following in ("a", "an", "any", "its", "his", "her", "their")
        return position + 2 if owner else None
    if word == "neither":
        return _skip(tokens, position + 1, _OPEN) if "nor" in tokens[position : position + 12] else None
    if word == "nor":
        return _skip(tokens, position + 1, _AFTER_NOR)
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


def _after_any(tokens: Sequence[str], position: int) -> list[int]:
    """Return the places after each "any" that the cue at `position` governs: those in its clause."""
    if tokens[position + 1 : position + 2] and tokens[position + 1] in _AFFIRMED_AFTER_NOT:
        return []
    places = []
    for place in range(position + 1, min(len(tokens), position + MAX_ANY)):
        if tokens[place] in (".", "!", "?", ";", "\n", "but", "if"):
            break
        # "Not touching any other car" speaks of cars that are there.
        other = tokens[position] in ("not", "n't", "never") and tokens[place + 1 : place + 2] == ["other"]
        if tokens[place] == "any" and not other:
            places.append(place + 1)
    return places[:MAX_ANYS]


def _labelled(tokens: Sequence[str], label: int, starts: dict[int, int]) -> set[int]:
    """Return the objects of a list after "Absent:" or "Not present:", up to the end of the sentence."""
    found: set[int] = set()
    if tokens[label + 1 : label + 2] != [":"]:
        return found
    for place in range(label + 2, min(len(tokens), label + MAX_SCOPE)):
        if tokens[place] in (".", ";", "\n"):
            break
        if place in starts:
            found.add(starts[place])
    return found


def _skip(tokens: Sequence[str], position: int, skipped: frozenset[str]) -> int:
    while position < len(tokens) and tokens[position] in skipped:
        position += 1
    return position


class _Phrases:
    """Walks over the denied noun phrases after one cue.

    What follows a comma belongs to them only if an "or", "nor" or "and" closes the list: "no cups, forks or knives"
    denies three, "no cups, people are sitting" one.
    """

    def __init__(
        self, tokens: Sequence[str], spans: Sequence[tuple[int, int]], starts: dict[int, int]
    ) -> None:
        self._tokens, self._spans, self._starts = tokens, spans, starts
        self._sure: set[int] = set()
        self._pending: set[int] = set()
        self._after_comma = self._examples = False
        self._fresh = True
        """Whether a phrase begins here, so that a determiner may stand here."""

    def read(self, cue: int, begin: int) -> set[int]:
        """Return the denied spans from `begin` on."""
        subject = (
            cue == 0 or not self._tokens[cue - 1][:1].isalnum() or self._tokens[cue - 1] in ("that", "and")
        )
        position, modifiers = begin, 0
        limit = min(len(self._tokens), begin + MAX_SCOPE)
        while position < limit:
            after = self._connector(position, begin, subject)
            if after > position:
                position, modifiers, self._fresh = after, 0, True
            elif position in self._starts:
                index = self._starts[position]
                (self._pending if self._after_comma else self._sure).add(index)
                position, modifiers, self._fresh = self._spans[index][1], 0, False
            elif self._ends_at(position, begin) or modifiers == MAX_MODIFIERS:
                break
            else:
                self._fresh = self._fresh and self._tokens[position] in _LIGHT
                position, modifiers = position + 1, modifiers + 1
        return self._sure

    def _connector(self, position: int, begin: int, subject: bool) -> int:
        """Return the place after a word that joins another denied phrase, or `position` if there is none."""
        word, tokens = self._tokens[position], self._tokens
        if word in ("or", "nor", "/"):
            self._commit()
            return position + 1
        if word in ("and", "&") and position > begin and not self._own_phrase(position + 1, subject):
            self._commit()
            return position + 1
        if word == "of" and tokens[position - 1] in _OF_NOTHING:
            the = tokens[position + 1 : position + 2] == ["the"]
            return position + 1 + the
        if (
            word == "that"
            and tokens[position - 1] in _OF_NOTHING
            and tokens[position + 1 : position + 2] == ["there"]
        ):
            return _skip(tokens, position + 2, _BE)
        if position == begin:
            return position
        comma = position + (word in (",", "("))
        for example in _EXAMPLES:
            if tuple(tokens[comma : comma + len(example)]) == example:
                self._after_comma, self._examples = False, True
                return _skip(tokens, comma + len(example), frozenset(","))
        if word == ",":
            self._after_comma = True
            return position + 1
        return position

    def _commit(self) -> None:
        self._sure |= self._pending
        self._pending = set()
        self._after_comma = False

    def _own_phrase(self, position: int, subject: bool) -> bool:
        """Tell whether what follows an "and" is a phrase or clause of its own: "no cup and a plate"."""
        following = self._tokens[position] if position < len(self._tokens) else ""
        if following in ("/", "or"):
            return False
        if self._examples and following in _OPEN:
            return False
        if following in _OWN or ends_phrase(following):
            return True
        end = position
        while (
            end < len(self._tokens)
            and not ends_phrase(self._tokens[end])
            and self._tokens[end] not in _FINITE
        ):
            if end > position and self._is_verb(end):
                return not subject
            end += 1
        return not subject and end < len(self._tokens) and self._tokens[end] in _FINITE

    def _ends_at(self, position: int, begin: int) -> bool:
        word = self._tokens[position]
        if ends_phrase(word):
            return True
        if self._fresh:
            return word in _OWN and word not in _OPEN and position > begin
        return word in INDEFINITE or word in _FINITE or self._is_verb(position)

    def _is_verb(self, position: int) -> bool:
        """Tell whether a word in "-ing" is a verb: it follows a noun, and no "or" joins it to another phrase."""
        word = self._tokens[position]
        if not word.endswith("ing") or word in _ING_NOUNS:
            return False
        before = self._tokens[position - 1]
        joined = self._tokens[position + 1 : position + 2] in (["or"], ["nor"])
        return before not in _BEFORE_NOUNS and not joined
