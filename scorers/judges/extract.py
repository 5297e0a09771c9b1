"""The judge `extract`: a language model lists the objects that a response names."""

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Literal

from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.judge import Judge, describe_judge
from eidolon.scorers.core.language_model import LanguageModel, Reply
from eidolon.scorers.core.types import Judgement, Mention, Response
from eidolon.scorers.judges.matcher_options import Concreteness, make_matcher
from eidolon.scorers.judges.matching import singular_name
from eidolon.scorers.judges.mentions import Places, judged, why_missing
from eidolon.scorers.judges.nouns import NounsJudge
from eidolon.scorers.text.english import words
from eidolon.scorers.text.lexicon import DEFAULT_LEXICON, load_lexicon
from eidolon.scorers.text.singular_nouns import singular
from eidolon.scorers.text.tagged import spans_of_words

CHECKS = "1"
"""Version of the rules by which a reply is no list, for signatures."""
BATCH = 64
"""Responses in one call of the model."""
MAX_NEW_TOKENS = 512
PROMPT = (
    "Below is a description of an image. List the physical objects, animals and people that it says are in "
    "the image.\n"
    "- Name each one once, as a short singular noun from the description, without colours, numbers or "
    "other adjectives.\n"
    "- Leave out what the description says is absent, and what cannot be seen, such as feelings or sounds.\n"
    '- Reply with JSON only, in this form: {{"objects": ["first", "second"]}}. Without any object: '
    '{{"objects": []}}.\n'
    "\n"
    "Description:\n{response}"
)
SCHEMA = {
    "type": "object",
    "properties": {"objects": {"type": "array", "items": {"type": "string"}}},
    "required": ["objects"],
    "additionalProperties": False,
}
"""JSON Schema of the reply, for a backend that can constrain its output."""

MAX_UNPLACED = 0.5
"""Share of a list's objects without a place in the text above which the list is about something else."""
PLACEHOLDERS = words(
    """
    a adjective animal b category description example first fourth image item name noun obj object objects people person
    picture second string text thing third unknown none
    """
)
"""Words of the prompt and of its example, which a model may repeat. One that the text has counts as its own."""

_SHOWN = 60


class ExtractJudge:
    """Mentions the objects that a language model lists.

    Each object is one mention, at the first place where the text names it. An object that the text does not name is
    the judge's invention: it is kept as `ignored`, without a place. A response is unscored if the model fails, if its
    reply is not JSON of the requested form, or if the list is no list of what the text names (`why_no_list`).

    The judge `nouns` reads the captions, so that the ground truth does not depend on the model. The options are those
    of `nouns`.
    """

    name = "extract"
    vocabulary: tuple[str, ...] = ()
    open_vocabulary = True
    language_models: Literal["required", "optional"] = "required"

    def __init__(
        self,
        models: Sequence[LanguageModel],
        match: str = "names",
        lexicon: str = DEFAULT_LEXICON,
        embeddings: str | None = None,
        threshold: str | float | None = None,
        concreteness: str | None = None,
    ) -> None:
        if len(models) != 1:
            raise UserError(
                f"judge extract: needs exactly one language model, found {len(models)}; name it by "
                "-J models=…"
            )
        (self._model,) = models
        self.matcher = make_matcher(
            self.name,
            match,
            lexicon=load_lexicon(lexicon),
            embeddings=embeddings,
            threshold=threshold,
            models=models,
        )
        self._concreteness = None if concreteness is None else Concreteness(concreteness)
        self.reader: Judge | None = None
        if self.matcher.verdicts_from == "objects":
            self.reader = NounsJudge(lexicon=lexicon, concreteness=concreteness)

    def signature(self) -> str:
        """Return the settings, as the judge's part of the score's signature."""
        return describe_judge(self.name, self.settings())

    def settings(self) -> dict[str, str]:
        """Return the model, how objects are matched, and which of them count."""
        return {
            "model": self._model.signature(),
            "match": self.matcher.signature(),
            "concreteness": "all" if self._concreteness is None else self._concreteness.signature(),
            "checks": CHECKS,
        }

    def judge(self, responses: Iterable[Response]) -> Iterator[Judgement]:
        """Yield one judgement for each response, in order. Verdicts are not set yet."""
        rest = iter(responses)
        while batch := list(islice(rest, BATCH)):
            asked = [response for response in batch if needs_asking(response)]
            prompts = [PROMPT.format(response=response.response) for response in asked]
            replies = (
                self._model.reply(prompts, max_new_tokens=MAX_NEW_TOKENS, schema=SCHEMA) if prompts else []
            )
            found = iter(replies)
            for response in batch:
                yield self._judge_one(response, next(found) if needs_asking(response) else None)

    def _judge_one(self, response: Response, reply: Reply | None) -> Judgement:
        if response.response is None or response.error is not None:
            return judged(response, unscored=why_missing(response))
        if reply is None:
            return judged(response)
        if reply.text is None or reply.error is not None:
            return judged(response, unscored=f"{self._model.name}: {reply.error or 'no reply'}")
        objects = parse_objects(reply.text)
        if objects is None:
            shown = " ".join(reply.text.split())[:_SHOWN]
            return judged(response, unscored=f'{self._model.name}: not {{"objects": [strings]}}: {shown!r}')
        mentions = place(objects, response)
        if (reason := why_no_list(mentions)) is not None:
            return judged(response, unscored=f"{self._model.name}: {reason}")
        return judged(
            response, [m for m in mentions if self._concreteness is None or m.category in self._concreteness]
        )


def needs_asking(response: Response) -> bool:
    """Tell whether there is a text to ask about. A text without a letter or digit names nothing."""
    return response.error is None and any(character.isalnum() for character in response.response or "")


def parse_objects(text: str) -> list[str] | None:
    """Return the names in the first JSON object with `objects` in a reply, each once and in the singular.

    None if there is no such object, or its `objects` is not a list of non-blank strings.
    """
    decoder = json.JSONDecoder()
    position = text.find("{")
    while position != -1:
        try:
            value, _ = decoder.raw_decode(text, position)
        except (ValueError, RecursionError):
            value = None
        if isinstance(value, dict) and "objects" in value:
            names = value["objects"]
            if not isinstance(names, list) or not all(
                isinstance(name, str) and name.strip() for name in names
            ):
                return None
            return list(dict.fromkeys(map(singular_name, names)))
        position = text.find("{", position + 1)
    return None


def why_no_list(mentions: Sequence[Mention]) -> str | None:
    """Return why the objects of a reply are no list of what the text names, None if they may be.

    A weak model repeats the example of the prompt, or lists what fits any picture. Counted as inventions, such a list
    would score like a response that names nothing: perfectly.
    """
    unplaced = [mention.category for mention in mentions if not mention.text]
    copied = [name for name in unplaced if name in PLACEHOLDERS or name.rstrip("0123456789 ") in PLACEHOLDERS]
    if copied:
        return f"a placeholder in place of an object: {copied[0]!r}"
    if len(unplaced) > MAX_UNPLACED * len(mentions):
        return f"{len(unplaced)} of {len(mentions)} objects are not in the text, for example {unplaced[0]!r}"
    return None


def place(objects: Sequence[str], response: Response) -> list[Mention]:
    """Return a mention for each object, in the order of the text. Objects without a place come last.

    Long names are placed first, so that "dog" does not take the place of "hot dog".
    """
    places = Places(response)
    text = response.response or ""
    spans = spans_of_words(text)
    taken: set[int] = set()
    mentions: list[Mention] = []
    unplaced: list[Mention] = []
    for name in sorted(objects, key=lambda name: -len(name.split())):
        span = _find(name.split(), spans, taken)
        if span is None:
            unplaced.append(places.mention(0, 0, name).model_copy(update={"verdict": "ignored"}))
        else:
            taken.update(range(*span))
            mentions.append(places.mention(spans[span[0]][1], spans[span[1] - 1][2], name))
    return sorted(mentions, key=lambda mention: mention.start) + unplaced


def _find(
    name: Sequence[str], spans: Sequence[tuple[str, int, int]], taken: set[int]
) -> tuple[int, int] | None:
    """Return the first run of words [first, end) that is this name, with its last word in the singular or plural."""
    for first in range(len(spans) - len(name) + 1):
        end = first + len(name)
        *before, last = (word for word, _, _ in spans[first:end])
        if before == [*name[:-1]] and name[-1] in (last, singular(last)) and not taken & {*range(first, end)}:
            return first, end
    return None
