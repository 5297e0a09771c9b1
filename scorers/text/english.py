"""Lists of English function words, used instead of a parser. Tokens are in lower case, with clitics split off
(`n't`)."""


def words(text: str) -> frozenset[str]:
    """Return the white-space-separated words of a list."""
    return frozenset(text.split())


PREPOSITIONS = words(
    """
    about above across after against along alongside amid among around as at before behind below beneath
    beside besides between beyond by despite down during except for from in inside into like near of off on
    onto opposite out outside over past per since than through throughout to toward towards under underneath
    until up upon via with within without
    """
)
CONJUNCTIONS = words(
    """
    and although because but if or nor so that though unless when where whereas whether which while who whom
    whose why yet
    """
)
AUXILIARIES = words(
    """
    am are be been being can could did do does had has have is may might must shall should was were will
    would 'd 'll 'm 're 's 've ca n't not wo
    """
)
PRONOUNS = words("he her hers him his i it its me my our she their them they us we you your")
DEFINITE = words("the these this those")
INDEFINITE = words("a an another any both each every no some")

PHRASE_END = PREPOSITIONS | CONJUNCTIONS | AUXILIARIES | PRONOUNS | DEFINITE | words("there no")
"""Words that end a noun phrase which began with an indefinite determiner."""

FUNCTION_WORDS = PHRASE_END | INDEFINITE | words("also here one what")

AFTER_NOUNS = words(
    """
    appear appears come comes go goes hang hangs hold holds lie lies look looks play plays rest rests ride
    rides run runs seem seems sit sits stand stands stare stares walk walks watch watches wear wears
    alone away back below closer further nearby present together too visible
    """
)
"""Verbs and adverbs that follow a noun in descriptions."""


def ends_phrase(word: str) -> bool:
    """Tell whether a token ends the noun phrase before it: a function word, a punctuation mark, or no token at all."""
    return not word[:1].isalnum() or word in PHRASE_END


def follows_noun(word: str) -> bool:
    """Tell whether the word before this one may be the head of a noun phrase: this word is not a head itself."""
    return ends_phrase(word) or word in FUNCTION_WORDS | AFTER_NOUNS or word.endswith(("ing", "ed", "ly"))
