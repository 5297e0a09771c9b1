"""Plurals of English nouns: the regular spellings, and the nouns that have others."""

from eidolon.scorers.text.english import words

_UNCHANGED = words(
    """
    aircraft bison cattle deer hovercraft moose offspring people salmon series sheep spacecraft species swine trout
    watercraft
    """
)

_FORMS: dict[str, tuple[str, ...]] = {
    "person": ("people", "persons"),
    "child": ("children",),
    "man": ("men",),
    "woman": ("women",),
    "foot": ("feet",),
    "tooth": ("teeth",),
    "goose": ("geese",),
    "mouse": ("mice",),
    "louse": ("lice",),
    "ox": ("oxen",),
    "die": ("dice", "dies"),
    "bus": ("buses", "busses"),
    "gas": ("gases", "gasses"),
    "quiz": ("quizzes",),
    "cactus": ("cacti", "cactuses"),
    "fungus": ("fungi", "funguses"),
    "octopus": ("octopuses", "octopi"),
    "hippopotamus": ("hippopotamuses", "hippopotami"),
    "fish": ("fishes",),
    "shrimp": ("shrimps",),
    "squid": ("squids",),
    **{
        noun: (noun[:-1] + "ves",)
        for noun in ("leaf", "loaf", "half", "calf", "wolf", "elf", "thief", "shelf")
    },
    **{noun: (noun[:-2] + "ves",) for noun in ("knife", "wife", "midwife")},
    **{
        noun: (noun[:-1] + "ves", noun + "s")
        for noun in ("scarf", "hoof", "dwarf", "wharf", "handkerchief", "kerchief")
    },
    **{noun: (noun + "es",) for noun in ("tomato", "potato", "hero", "torpedo", "echo")},
    **{
        noun: (noun + "es", noun + "s")
        for noun in ("mango", "volcano", "buffalo", "domino", "tornado", "mosquito", "avocado", "flamingo")
    },
    **dict.fromkeys(_UNCHANGED, ()),
}
"""Nouns with an irregular plural, and its spellings."""

_AS_SUFFIX = words(
    "child man woman foot tooth goose mouse leaf loaf shelf wolf knife fish sheep scarf potato tomato buffalo person"
)
"""Those of them that also end compounds: bookshelf, snowman, goldfish."""

_REGULAR = words(
    "human german roman norman shaman talisman ottoman caiman cayman mongoose roughhouse selfish parson"
)
"""Nouns that end like one of them and have the regular plural."""


def plural_forms(term: str) -> tuple[str, ...]:
    """Return the spellings of the plural of a term's last word; none where it is spelled as the singular."""
    start = max(term.rfind(" "), term.rfind("-")) + 1
    head, last = term[:start], term[start:]
    return tuple(head + form for form in _word_forms(last))


def singular_of(word: str) -> str | None:
    """Return the noun whose irregular plural this word is, None where it is none."""
    if word in _SINGULARS:
        return _SINGULARS[word]
    for plural, noun in _SINGULARS.items():
        if noun in _AS_SUFFIX and word.endswith(plural):
            whole = word[: -len(plural)] + noun
            if word in _word_forms(whole):
                return whole
    return None


def _word_forms(noun: str) -> tuple[str, ...]:
    if noun in _FORMS:
        return _FORMS[noun]
    if noun not in _REGULAR:
        # The longest ending decides: a woman is no man.
        for end in sorted(_AS_SUFFIX, key=len, reverse=True):
            if noun.endswith(end) and len(noun) > len(end) + 1:
                return tuple(noun[: -len(end)] + form for form in _FORMS[end])
    if noun.endswith(("s", "x", "z", "ch", "sh")):
        return (noun + "es",)
    if noun.endswith("y") and noun[-2:-1] not in tuple("aeiou"):
        return (noun[:-1] + "ies",)
    return (noun + "s",)


_SINGULARS = {form: noun for noun, forms in _FORMS.items() for form in forms if form != noun}
