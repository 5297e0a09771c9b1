"""Nouns of descriptions that name nothing one could point at: qualities, feelings, events, relations.

The list comes from reading the most frequent nouns of eight runs of published responses, and their synonyms.
"""

from eidolon.scorers.text.english import words

ABSTRACT_NOUNS = words(
    """
    ability absence abundance accent access accessibility act action activity addition adventure age aim amount answer
    anticipation appeal appearance arrangement arrival aspect athleticism attempt attention balance beauty behavior
    behaviour benefit blend boundary break bustle calm camaraderie care case celebration challenge chance character
    charm choice clarity combination comfort companionship comparison competition complexity concept concentration
    concern condition confidence connection contact content context contrast control convenience conversation
    cooking coordination course creativity culture curiosity damage danger day decision degree delight demeanor
    depth description detail determination difference dimension direction discussion disrepair distinction diversity
    dynamic ease effect effort elegance element emotion emphasis energy engagement enjoyment entertainment enthusiasm
    environment era essence event evening evidence excitement existence experience expertise expression extent fact
    feel feeling flair flavor focus force form formality freedom friendliness fun function functionality gathering
    gesture glimpse goal grace grandeur guess handling harmony haste hint history hobby hour hygiene idea imagination
    impact importance impression indication information instance intensity intent intention interaction interest
    intrigue inspiration issue joy journey kindness knowledge lack layout leisure level life limit limitation location
    luxury majority manner means measure memory method midst minute mix mixture mode mood morning motivation movement
    mystery nature need night nostalgia notion occasion offering opinion opportunity option organization other others
    overall pace passion past peace performance period personality perspective phase phrase pleasure plenty point
    possibility practice precision preference preparation presence present pride privacy procedure process progress
    project protection proximity purpose quality question range rating reality reason recreation reference
    relation relationship relaxation rest result return rhythm rise risk role routine safety satisfaction scale
    scheme scenario season selection sensation sense serenity session set setting setup significance simplicity
    situation skill sophistication sort source speed spirit state status story strategy strength stress subject
    success support suspense symbol symmetry talent task taste technique tension term theme thought thrill time
    togetherness tone topic total touch tradition tranquility tranquillity transport trend trip truth type unity
    usage use utility value variation variety versatility vibe vicinity viewpoint visibility visit warmth way whimsy
    whole width wonder year yesterday tomorrow today
    """
)

PRONOUN_LIKE = words(
    """
    anybody anyone anything everybody everyone everything nobody nothing one ones somebody someone something there're
    """
)
"""Words that taggers call nouns, and that name no kind of thing."""

_ENDINGS = ("ness", "ility", "ality", "osity", "itude", "icism", "siasm")
_CONCRETE = words("facility harness lioness wilderness governess witness business")


def is_abstract(noun: str) -> bool:
    """Tell whether a lower-cased singular noun names nothing that can be seen as a thing."""
    if noun in ABSTRACT_NOUNS or noun in PRONOUN_LIKE:
        return True
    return noun.endswith(_ENDINGS) and noun not in _CONCRETE
