"""Rules on the sense of a matched term: the text around it shows that it names another thing, or nothing that is there.

Each function fills in the reasons of the matches that it drops. The words come from the lexicon's tables.
"""

from collections.abc import Mapping, Sequence

from eidolon.scorers.text.english import (
    AFTER_NOUNS,
    AUXILIARIES,
    DEFINITE,
    PRONOUNS,
    ends_phrase,
    follows_noun,
    words,
)
from eidolon.scorers.text.lexicon import OtherSense, ShortName
from eidolon.scorers.text.matches import Match, Reason, Tokens, ends_sentence

LIKENESS_REACH = 4
"""Number of words between "shaped like" and the noun that it compares with."""
LINK_REACH = 7
"""Number of words between the name of a whole and that of its part: "a train with four cars"."""
QUOTE_REACH = 5
"""Number of words before a quotation in which a word of writing introduces it: "the sign reads"."""
PART_REACH = 8
"""Number of matches on each side in which the whole of a part is searched."""
MAX_QUOTE = 40
"""Tokens after which a quotation ends in any case."""

_DETERMINERS = (
    DEFINITE
    | (PRONOUNS - words("he him i it its me she them they us we you"))
    | words(
        "'s a an another any both each every its no one some two three four five six seven eight nine ten several many"
    )
)
_NEVER_A_THING = words(
    "batting clothing inspired outing playing related setting style swing themed training watching"
)
_OF_BALLS = words("bounces comes flies floats goes hits lands lies rests rolls sits soars spins")
"""Verbs of what a ball does."""
_SIMILE = words("look looked looking looks shape shaped dressed")
_RESEMBLE = words("resemble resembled resembles resembling")
_LIKENESS = _RESEMBLE | words("like shape form reminiscent dressed disguised")
"""Every comparison has one of these words."""
_GENERIC = words(
    "animal animals creature figure item items it object objects something that there these thing things this those "
    "vehicle vehicles what which"
)
"""Subjects of "looks like" that leave open what a thing is: "an object that looks like a phone" names a phone."""
_FINITE = (AUXILIARIES - words("n't not 's be been being having")) | (
    AFTER_NOUNS - words("away back below closer")
)
_HAS_PARTS = words(
    """
    carries carrying composed comprised comprising consisting consists contains features featuring had has have having
    hauling hauls including made pull pulling pulls towing tows with 's
    """
)
_ELSEWHERE = words(
    "parked street road lot traffic driving highway driveway waiting drive nearby background crossing"
)
"""Words of a sentence that shows the part of a vehicle as a vehicle of its own."""
_ATTACHED = words("attached connected coupled hitched linked behind")
_WRITING = words(
    """
    engraved inscribed inscription label labeled labelled labels letter lettering letters logo marked message name named
    phrase print printed read reading reads said say saying says sign signs slogan spell spelled spelling spells state
    states stating text title titled word words writing written
    """
)
_ABOUT_TEXT = words("caption captions description")
_WRITTEN_ON = words("banner label lettering logo poster sign signs sticker")
_OPENING = {'"': '"', "\u201c": "\u201d", "``": "''", "'": "'", "\u2018": "'"}


def drop_sports(
    tokens: Tokens, matches: Sequence[Match], reasons: list[Reason | None], things: frozenset[str]
) -> None:
    """Drop "playing football" and "a football field": the ball is named only with a determiner, as the last noun."""
    for index, match in enumerate(matches):
        if match.form.term not in things or match.form.plural or reasons[index]:
            continue
        following = tokens.at(match.end)
        if following in ("and", "or", "/") and tokens.at(match.end + 1) in things:
            following = tokens.at(match.end + 2)
        named_last = follows_noun(following) or following in _OF_BALLS
        modifies = following in _NEVER_A_THING or not named_last
        if modifies or not _determined(tokens, match.first):
            reasons[index] = Reason.SPORT


def _determined(tokens: Tokens, first: int) -> bool:
    for word in tokens.phrase_before(first, LIKENESS_REACH):
        if word in _DETERMINERS:
            return True
        if ends_phrase(word) or word.endswith("ing"):
            return False
    return False


def drop_senses(
    tokens: Tokens, matches: Sequence[Match], reasons: list[Reason | None], senses: Mapping[str, OtherSense]
) -> None:
    """Drop terms that the text shows in another sense: a mouse that nibbles cheese."""
    present: frozenset[str] | None = None
    for index, match in enumerate(matches):
        sense = senses.get(match.form.term)
        if sense is None or reasons[index]:
            continue
        present = frozenset(tokens.words) if present is None else present
        if not present.isdisjoint(sense.cues) and present.isdisjoint(sense.unless):
            reasons[index] = Reason.SENSE


def resolve_short_names(
    tokens: Tokens, matches: list[Match], reasons: Sequence[Reason | None], short_names: Sequence[ShortName]
) -> None:
    """Give "the bear" after "a teddy bear" the category of the longer name, if no other bear was named before."""
    for short in short_names:
        seen = False
        for index, match in enumerate(matches):
            if reasons[index]:
                continue
            if match.form.category == short.category:
                seen = True
            elif match.form.term in short.terms:
                before = list(tokens.phrase_before(match.first, 3))
                if not seen:
                    break
                first, end = tokens.sentence(match.first)
                shown = not short.cues or not frozenset(short.cues).isdisjoint(tokens.words[first:end])
                if shown and frozenset(short.unless).isdisjoint(before):
                    matches[index] = match._replace(form=match.form._replace(category=short.category))


def drop_linked_parts(
    tokens: Tokens,
    matches: Sequence[Match],
    reasons: list[Reason | None],
    linked: Mapping[str, Sequence[str]],
) -> None:
    """Drop the cars of a train: "a train with four cars", "the cars of the train", and "the cars" after them."""
    for whole, parts in linked.items():
        if not any(match.form.category == whole for match in matches):
            continue
        found = own = False
        for index, match in enumerate(matches):
            if match.form.term not in parts or reasons[index]:
                continue
            definite = not DEFINITE.isdisjoint(tokens.phrase_before(match.first, 3))
            near = matches[max(0, index - PART_REACH) : index + PART_REACH + 1]
            wholes = [other for other in near if other.form.category == whole]
            if any(_linked(tokens, other, match) for other in wholes) or (found and definite and not own):
                reasons[index] = Reason.PART
                found = True
            else:
                own = True


def _linked(tokens: Tokens, whole: Match, part: Match) -> bool:
    """Tell whether the words between or after two matches make one a part of the other."""
    first, end = tokens.sentence(part.first)
    if not first <= whole.first < end:
        return False
    if whole.first >= part.end:
        between = tokens.words[part.end : whole.first]
        return len(between) <= LIKENESS_REACH and between[:1] in (["of"], ["on"], ["in"])
    if not _ELSEWHERE.isdisjoint(tokens.words[whole.end : end]):
        return False
    between = tokens.words[whole.end : part.first]
    near = len(between) <= 2 * LINK_REACH and not _HAS_PARTS.isdisjoint(between)
    attached = not _ATTACHED.isdisjoint(tokens.words[part.end : part.end + 2])
    return attached or (near and "," not in between[-LINK_REACH:-2])


def drop_likenesses(tokens: Tokens, matches: Sequence[Match], reasons: list[Reason | None]) -> None:
    """Drop what something else is compared with: "a cloud that looks like an elephant", "shaped like a boat"."""
    if _LIKENESS.isdisjoint(tokens.words):
        return
    for index, match in enumerate(matches):
        if reasons[index]:
            continue
        joined = (
            index > 0 and reasons[index - 1] is Reason.LIKENESS and _joins(tokens, matches[index - 1], match)
        )
        if joined or _compared(tokens, match):
            reasons[index] = Reason.LIKENESS


def _joins(tokens: Tokens, left: Match, right: Match) -> bool:
    between = tokens.words[left.end : right.first]
    return (
        between[:1] in (["or"], ["and"])
        and len(between) <= LIKENESS_REACH
        and not (tokens.at(right.end) in _FINITE or tokens.at(right.end).endswith("ing"))
    )


def _compared(tokens: Tokens, match: Match) -> bool:
    position = match.first - 1
    for _ in range(LIKENESS_REACH):
        word = tokens.at(position)
        if word in ("like", "as") or word in _RESEMBLE or word == "of":
            break
        participle = word.endswith("ing") and not ends_phrase(tokens.at(position - 1))
        if participle or word.endswith(".") or (ends_phrase(word) and word not in ("the", "'s")):
            return False
        position -= 1
    else:
        return False
    word, before = tokens.at(position), tokens.at(position - 1)
    if word in _RESEMBLE:
        return not _left_open(tokens, position)
    if word == "of":
        inside = tokens.at(position - 2) == "the" and tokens.at(position - 3) in ("in", "into")
        return (before in ("shape", "form") and inside) or before == "reminiscent"
    if word == "as":
        return before in ("dressed", "disguised") or (before == "up" and tokens.at(position - 2) == "dressed")
    if before == "up":
        before = tokens.at(position - 2)
    if before not in _SIMILE:
        return False
    if tokens.at(match.end) in _FINITE:
        return False
    return before in ("shape", "shaped", "dressed") or not _left_open(tokens, position - 1)


def _left_open(tokens: Tokens, verb: int) -> bool:
    """Tell whether the subject of "looks like" is "it" or "an object": the text only hedges what it is."""
    position = verb - 1
    while tokens.at(position) in (
        "to",
        "does",
        "do",
        "also",
        "clearly",
        "that",
        "which",
        "closely",
        "somewhat",
    ):
        position -= 1
    return position < 0 or tokens.at(position) in _GENERIC or ends_sentence(tokens.at(position))


def drop_written(tokens: Tokens, matches: Sequence[Match], reasons: list[Reason | None]) -> None:
    """Drop what stands only in quoted writing: 'the sign reads "Beware of Dog"', 'a "Beware of Dog" sign'."""
    if _OPENING.keys().isdisjoint(tokens.words):
        return
    position = 0
    written = False
    while position < len(tokens.words):
        closing = _OPENING.get(tokens.words[position])
        end = None if closing is None else _closing(tokens, position, closing)
        if end is None:
            position += 1
            continue
        again = written and tokens.at(position - 1) in ("and", ",", "or")
        on_a_sign = tokens.at(end + 1) in _WRITTEN_ON
        written = again or on_a_sign or _introduced(tokens, position)
        if written:
            for index, match in enumerate(matches):
                if position < match.first < end:
                    reasons[index] = reasons[index] or Reason.WRITTEN
        position = end + 1


def _closing(tokens: Tokens, opening: int, mark: str) -> int | None:
    for place in range(opening + 1, min(len(tokens.words), opening + MAX_QUOTE)):
        word = tokens.words[place]
        apostrophe = mark == "'" and tokens.at(place + 1)[:1].isalnum() and not _spaced(tokens, place)
        if word == mark and not apostrophe:
            return place
        if "\n" in word:
            return None
    return None


def _spaced(tokens: Tokens, place: int) -> bool:
    return place + 1 < len(tokens.starts) and tokens.starts[place + 1] > tokens.ends[place]


def _introduced(tokens: Tokens, opening: int) -> bool:
    """Tell whether a word of writing stands before a quotation, in its sentence."""
    single = tokens.words[opening] == "'"
    reach = 2 if single else QUOTE_REACH
    for place in range(opening - 1, max(-1, opening - 1 - reach), -1):
        word = tokens.words[place]
        if ends_sentence(word):
            return False
        if word in _WRITING:
            first, _ = tokens.sentence(place)
            return _ABOUT_TEXT.isdisjoint(tokens.words[first:opening])
    return False
