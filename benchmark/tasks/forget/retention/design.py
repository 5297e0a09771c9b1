"""Which questions are asked about an image after which n tokens of text.

    own      the first n tokens of the model's own description of the image
    filler   n tokens about nothing
    other    the first n tokens of its description of another image
    before   the same filler, but before the picture: as long a text, nothing to be remembered over it

Each time one object that is there and one that is not are asked about, neither named by the text, and after `other`
also one of each that it does name; and as a control a fact that the prompt told, once as it was told and once not
(but not after `before`, where nothing stands between). Every question is also put at n = 0. The absent object is the
one that stands most often beside the present one in the dataset (POPE's adversarial choice), so that guessing by what
goes together does not pay.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from eidolon.benchmark.store.record import SampleRow
from eidolon.benchmark.tasks.forget.retention.filler import filler
from eidolon.benchmark.tasks.forget.retention.lengths import LENGTHS
from eidolon.benchmark.tasks.probe.questions import Annotations, choose_absent, count, wording
from eidolon.models.base.model import ScoringModel
from eidolon.scorers.core.types import ImageId, Response
from eidolon.scorers.retention.records import CONDITIONS, Condition, Kind

ABSENT = "adversarial"
ROOM = 64
"""Positions kept for the fact, the question and the answer."""
FACTS: dict[str, tuple[str, ...]] = {
    "the code word": ("maple", "harbor", "velvet", "comet", "ginger", "silver"),
    "the painter": ("Anna", "Boris", "Clara", "David", "Emma", "Felix"),
    "the day": ("Monday", "Tuesday", "Thursday", "Friday", "Saturday", "Sunday"),
}
"""What the prompt may tell that no picture shows; the shipped models were trained on such."""

FACT_QUESTIONS = 2
QUESTIONS: Mapping[Condition, int] = {"own": 4, "filler": 4, "other": 6, "before": 2}
"""Questions after each text, those about the fact among them."""

Namer = Callable[[str], Collection[str]]
"""Returns the categories that a text names, denied ones among them."""


@dataclass(frozen=True, slots=True)
class Query:
    """One yes/no question."""

    kind: Kind
    about: str
    truth: bool
    text: str
    named: bool = False


@dataclass(frozen=True, slots=True)
class Context:
    """What the model is put into, and asked there."""

    sample_id: str
    image_id: ImageId
    number: int
    condition: Condition | None
    n: int
    given: tuple[int, ...]
    fact: str
    """The sentence in the prompt that states the fact."""
    queries: tuple[Query, ...]
    donor: str | None = None


@dataclass(frozen=True, slots=True)
class ProbeDesign:
    """All contexts, the short ones first, and why others are lacking."""

    contexts: tuple[Context, ...]
    missing: Mapping[tuple[Condition, int], Counter[str]]
    """By condition and n, images by reason."""


def make_design(
    rows: Sequence[SampleRow],
    responses: Sequence[Response],
    model: ScoringModel,
    name: Namer,
    *,
    lengths: Sequence[int] = LENGTHS,
    seed: int = 0,
) -> ProbeDesign:
    """Choose texts and questions; one response an image is looked at, its first. Draws are orders by hash."""
    images = _first_of_each_image(rows, responses)
    texts = _Texts(model, {row.sample_id: text for row, text, _ in images}, name)
    annotations = count(row.objects for row, _, _ in images)
    missing: dict[tuple[Condition, int], Counter[str]] = defaultdict(Counter)
    contexts: list[Context] = []
    for row, _, prompt_tokens in images:
        fact, facts = _fact(row.sample_id, seed)
        asked: dict[tuple[Kind, str], Query] = {(query.kind, query.about): query for query in facts}
        after: list[Context] = []
        for n in lengths:
            for condition in CONDITIONS:
                if model.max_positions is not None and prompt_tokens + n + ROOM > model.max_positions:
                    missing[condition, n]["beyond the model's positions"] += 1
                    continue
                chosen = _choose(condition, n, row, texts, annotations, seed)
                if isinstance(chosen, str):
                    missing[condition, n][chosen] += 1
                    continue
                given, queries, donor = chosen
                asked |= {(query.kind, query.about): query for query in queries}
                queries = queries if condition == "before" else (*queries, *facts)
                number = 1 + len(after)
                after.append(
                    Context(row.sample_id, row.image_id, number, condition, n, given, fact, queries, donor)
                )
        first = Context(row.sample_id, row.image_id, 0, None, 0, (), fact, tuple(asked.values()))
        contexts += [first, *after] if after else []
    return ProbeDesign(tuple(sorted(contexts, key=lambda context: context.n)), dict(missing))


@dataclass(frozen=True, slots=True)
class Most:
    """The most that a design can come to; descriptions that end early and name everything make it less."""

    contexts: int
    questions: int
    tokens: int
    """Of the texts before the questions."""


def most_of(images: int, lengths: Sequence[int]) -> Most:
    """Return the most that is asked about so many images, before any description is there."""
    after = sum(QUESTIONS[condition] for condition in CONDITIONS)
    # At n = 0 each object is asked about once, however often afterwards, and so is the fact.
    first = sum(
        QUESTIONS[condition] - (FACT_QUESTIONS if condition != "before" else 0) for condition in CONDITIONS
    )
    return Most(
        contexts=images * (1 + len(lengths) * len(CONDITIONS)),
        questions=images * (FACT_QUESTIONS + len(lengths) * (after + first)),
        tokens=images * len(CONDITIONS) * sum(lengths),
    )


@dataclass(slots=True)
class _Text:
    tokens: tuple[int, ...]
    named: dict[int, frozenset[str]]


class _Texts:
    """The texts that stand before questions, each tokenised and read once."""

    def __init__(self, model: ScoringModel, own: Mapping[str, str | None], name: Namer) -> None:
        self._model, self._name = model, name
        self._own = {
            sample_id: _Text(model.encode_reply(text), {}) if text else None
            for sample_id, text in own.items()
        }
        self._filler: dict[str, _Text] = {}

    def own(self, sample_id: str) -> _Text | None:
        return self._own[sample_id]

    def filler(self, sample_id: str, n: int) -> _Text:
        # A token is at most a word and its mark, or a word is more tokens: n + 1 words are enough for n tokens
        # unless a tokenizer has tokens of several words, which none has.
        found = self._filler.get(sample_id)
        if found is None or len(found.tokens) < n:
            found = self._filler[sample_id] = _Text(self._model.encode_reply(filler(sample_id, n + 1)), {})
        return found

    def named(self, text: _Text, n: int) -> frozenset[str]:
        if n not in text.named:
            text.named[n] = frozenset(self._name(self._model.decode_reply(text.tokens[:n])))
        return text.named[n]

    def donors(self, sample_id: str, n: int, seed: int) -> Iterator[tuple[str, _Text]]:
        long = (name for name, text in self._own.items() if text is not None and len(text.tokens) >= n)
        for name in drawn((name for name in long if name != sample_id), seed, "donor", sample_id):
            text = self._own[name]
            assert text is not None
            yield name, text


Chosen = tuple[tuple[int, ...], tuple[Query, ...], str | None]


def _choose(
    condition: Condition, n: int, row: SampleRow, texts: _Texts, annotations: Annotations, seed: int
) -> Chosen | str:
    """Return tokens, object questions and donor of a cell, or why there is none."""
    if condition == "other":
        for donor, text in texts.donors(row.sample_id, n, seed):
            named = texts.named(text, n)
            unnamed_pair = _pair(row, named, annotations, seed, among_named=False)
            named_pair = _pair(row, named, annotations, seed, among_named=True)
            if unnamed_pair and named_pair:
                return text.tokens[:n], (*unnamed_pair, *named_pair), donor
        return "no other description is long enough and names one object that is there and one that is not"
    if condition == "own":
        own = texts.own(row.sample_id)
        if own is None:
            return "no description"
        if len(own.tokens) < n:
            return "the description is shorter"
        text = own
    else:
        text = texts.filler(row.sample_id, n)
    pair = _pair(row, texts.named(text, n), annotations, seed, among_named=False)
    return (text.tokens[:n], pair, None) if pair else "every object is named"


def _pair(
    row: SampleRow, named: Collection[str], annotations: Annotations, seed: int, *, among_named: bool
) -> tuple[Query, Query] | None:
    """Return a question about a present object and one about an absent one, both named by the text or neither."""
    there = drawn(
        (name for name in row.objects if (name in named) == among_named), seed, "present", row.sample_id
    )
    for present in there:
        ranking = [name for name in annotations.beside_most(present) if (name in named) == among_named]
        for absent in choose_absent([ranking], row.objects):
            return _object(present, True, among_named), _object(absent, False, among_named)
    return None


def _object(category: str, truth: bool, named: bool) -> Query:
    return Query("object", category, truth, wording(category), named)


def _fact(sample_id: str, seed: int) -> tuple[str, tuple[Query, Query]]:
    """Return the sentence that tells a fact, and the questions whether it is as told, and as not told."""
    name = drawn(FACTS, seed, "fact", sample_id)[0]
    told, other = drawn(FACTS[name], seed, "value", sample_id)[:2]
    asked = [Query("text", value, value == told, f"Is {name} {value}?") for value in (told, other)]
    return f"Remember that {name} is {told}.", (asked[0], asked[1])


def drawn(names: Iterable[str], seed: int, purpose: str, sample_id: str) -> list[str]:
    """Return the names in an order by hash, the same for the same four whatever order they came in."""
    return sorted(
        names,
        key=lambda name: hashlib.sha256(
            f"{seed}\0retention {purpose}\0{sample_id}\0{name}".encode()
        ).digest(),
    )


def _first_of_each_image(
    rows: Sequence[SampleRow], responses: Sequence[Response]
) -> list[tuple[SampleRow, str | None, int]]:
    """Return each image's first sample, the text of its first response, and the tokens of the prompt."""
    first: dict[str, Response] = {}
    for response in responses:
        first.setdefault(response.sample_id, response)
    images: dict[ImageId, tuple[SampleRow, str | None, int]] = {}
    for row in rows:
        response = first[row.sample_id]
        images.setdefault(row.image_id, (row, response.response, response.prompt_tokens or 0))
    return list(images.values())
