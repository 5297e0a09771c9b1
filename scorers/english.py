"""Lists of English function words, in place of a parser. Tokens are lower-case; clitics stand apart (`n't`)."""

PREPOSITIONS = frozenset(
    """
    about above across after against along alongside amid among around as at before behind below beneath beside
    besides between beyond by despite down during except for from in inside into like near of off on onto opposite
    out outside over past per since than through throughout to toward towards under underneath until up upon via
    with within without
    """.split()
)
CONJUNCTIONS = frozenset(
    """
    and although because but if or nor so that though unless when where whereas whether which while who whom whose
    why yet
    """.split()
)
AUXILIARIES = frozenset(
    """
    am are be been being can could did do does had has have is may might must shall should was were will would
    'd 'll 'm 're 's 've ca n't not wo
    """.split()
)
PRONOUNS = frozenset("he her hers him his i it its me my our she their them they us we you your".split())
DEFINITE = frozenset("the these this those".split())
INDEFINITE = frozenset("a an another any both each every no some".split())

PHRASE_END = PREPOSITIONS | CONJUNCTIONS | AUXILIARIES | PRONOUNS | DEFINITE | {"there", "no"}
"""Words at which a noun phrase that began with an indefinite determiner is over."""

FUNCTION_WORDS = PHRASE_END | INDEFINITE | {"also", "one", "here", "what"}

VERBS_OF_SCENES = frozenset(
    """
    appear appears come comes go goes hang hangs hold holds lie lies look looks play plays rest rests ride rides run
    runs seem seems sit sits stand stands stare stares walk walks watch watches wear wears
    alone away back below nearby together too visible present
    """.split()
)
"""Verbs and adverbs that follow a noun in descriptions."""


def ends_phrase(word: str) -> bool:
    """Tell whether a token cannot belong to the noun phrase before it: function word, mark, or nothing."""
    return not word[:1].isalnum() or word in PHRASE_END


def follows_noun(word: str) -> bool:
    """Tell whether the word before this one can be a noun, and this one not the noun it describes."""
    return (
        ends_phrase(word)
        or word in FUNCTION_WORDS
        or word in VERBS_OF_SCENES
        or word.endswith(("ing", "ed", "ly"))
    )
