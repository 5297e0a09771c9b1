"""Words of a description that make a claim, and groups of words that make the same claim.

The lists cover everyday English as in captions. The synonyms of a closed vocabulary are in its lexicon.
"""

from collections.abc import Iterable
from functools import cache

from eidolon.scorers.text.english import words
from eidolon.scorers.text.tagged import stem

LIGHT_NOUNS = words(
    """
    area assortment back background bit bottom bunch bunches camera center centre close-up collection corner
    couple day distance edge end example foreground front group groups half image images item items kind kinds
    left line lot lots middle number object objects pair part parts photo photograph picture pictures piece
    pieces pile place portion position process right row rows scene section series set shot side sides sort
    sorts space spot stuff thing things time top type types variety view way
    """
)
"""Nouns that tell where, how many or what kind, rather than what."""
NO_OBJECTS = LIGHT_NOUNS | words(
    """
    air angle atmosphere beauty color colors colour colours condition design drawing frame height length
    lighting look moment mood motion order pattern size sizes sense shape shapes style sunlight texture use
    weather width
    """
)
"""Nouns that name no object one could point at, in descriptions of images."""
LIGHT_ADJECTIVES = words(
    """
    assorted big different giant huge large little long multiple old older open other own same several short
    similar small such tall tiny various whole young
    """
)
"""Sizes, ages and amounts. They are matters of opinion and rarely flagged as wrong."""
LIGHT_VERBS = words(
    """
    appear appearing appears contain containing contains feature features featuring filled fills go goes going
    hold holding holds include included includes including laying leaning lie lies line lined look looking
    looks lying make makes making mounted placed rest resting rests seated set show showing shown shows sit
    sits sitting stand standing stands surround surrounded surrounding take takes taken taking topped use used
    uses using wear wearing wears
    """
)
"""Postures, and verbs of location. Annotators and models use them interchangeably for the same image."""
LIGHT = LIGHT_NOUNS | LIGHT_ADJECTIVES | LIGHT_VERBS

HEDGES = words("apparently likely maybe might perhaps possibly potentially presumably probably seemingly")
"""Words that weaken the claims after them in the sentence."""

_FROM_TWO = "two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen"
NUMBERS = {word: value for value, word in enumerate(_FROM_TWO.split(" "), start=2)}
"""`one` is left out: it is a pronoun as often as a number."""
PAIRS = words("both couple pair twin twins")
"""Words for two that are no numbers."""

_ALIKE = """
adjacent beside close near nearby next
big giant huge enormous large
little small tiny miniature young
old older elderly vintage antique old-fashioned
avenue highway intersection lane road roadway street traffic crosswalk
field grass grassland green lawn meadow pasture park yard
beach coast ocean sand sea shore surf water wave lake river
hill mountain slope
ski skier skies slope snow snowboard snowboarder winter
log lumber timber wood wooden
bag baggage backpack luggage suitcase
computer desktop keyboard laptop monitor pc screen
dish plate platter tray
freezer fridge refrigerator
burner oven range stove
bicycle bike biker cyclist
bike biker motorbike motorcycle motorcyclist
aircraft airliner airplane jet plane
automobile car suv truck van vehicle
bus coach trolley
cup drink glass mug beverage
doughnut donut
cake dessert pastry
bread bun roll sandwich toast
food meal dinner lunch breakfast snack
fruit vegetable produce
cell cellphone mobile phone smartphone telephone
building house home structure
building diner restaurant shop store market
room bedroom bathroom kitchen
bathroom restroom toilet
bench chair seat stool
couch sofa
counter countertop table desk
plant flower pot vase
crowd group people
ball baseball batter bat game player pitcher pitch match
racket racquet tennis
air airborne fly jump leap trick
fly overhead sky soar
ride rider
run race gallop
walk stroll wander
stand pose
sit seat perch
lie lay rest sleep nap
eat chew feed graze
hold carry grip
look stare watch gaze
cook prepare make
pull tow drag
travel drive move
colorful colored multicolored bright
metal metallic steel
stone rock brick
street city town urban
cattle cow bull calf
dog puppy pup
cat kitten kitty
horse pony
sheep lamb
bird duck goose pigeon parrot
child kid baby toddler boy girl son daughter
man guy gentleman male boy
woman lady female girl
picture photo photograph image
sign billboard banner
tv television
pizza pie slice
umbrella parasol
clock time tower
train locomotive railroad rail track
boat ship canoe kayak
black-and-white monochrome
"""


def alike(stems: Iterable[str]) -> frozenset[int]:
    """Return the groups of similar words that contain one of these stems."""
    return frozenset(group for stem in stems for group in _groups().get(stem, ()))


@cache
def _groups() -> dict[str, frozenset[int]]:
    groups: dict[str, set[int]] = {}
    for index, line in enumerate(_ALIKE.strip().splitlines()):
        for word in line.split():
            groups.setdefault(stem(word), set()).add(index)
    return {word: frozenset(found) for word, found in groups.items()}
