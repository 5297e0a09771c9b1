"""The design of the retention probe: the questions about an image, and the n tokens of text before them.

    own      the first n tokens of the model's own description of the image
    filler   n tokens that name nothing
    other    the first n tokens of its description of another image
    before   the same filler before the picture: equally long, but not between picture and question
    words    the words of the filler in random order; only the memory study asks after them

In every condition the questions are about one present and one absent object that the text does not name. After `other`,
they are also about one present and one absent object that it does name. As a control there are two questions about a
fact that the prompt states, with the right value and with a wrong one; not in `before`, where no text lies between.
Every question is also asked at n = 0. The absent object is the one that occurs most often beside the present one in the
dataset (POPE's adversarial choice), so that co-occurrence does not help to guess.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from eidolon.benchmark.store.record import SampleRow
from eidolon.benchmark.tasks.forget.retention.filler import filler, random_words
from eidolon.benchmark.tasks.forget.retention.lengths import LENGTHS
from eidolon.benchmark.tasks.probe.questions import Annotations, choose_absent, count, wording
from eidolon.models.base.model import ScoringModel
from eidolon.scorers.core.types import ImageId, Response
from eidolon.scorers.retention.records import Condition, Kind

ABSENT = "adversarial"
ROOM = 64
"""Positions reserved for the fact, the question and the answer."""
FACTS: dict[str, tuple[str, ...]] = {
    "the code word": ("maple", "harbor", "velvet", "comet", "ginger", "silver"),
    "the painter": ("Anna", "Boris", "Clara", "David", "Emma", "Felix"),
    "the day": ("Monday", "Tuesday", "Thursday", "Friday", "Saturday", "Sunday"),
}
"""Facts that the prompt may state and that no picture shows, with their values. The shipped models were trained on
these."""

FACT_QUESTIONS = 2
QUESTIONS: Mapping[Condition, int] = {"own": 4, "filler": 4, "other": 6, "before": 2, "words": 4}
"""Number of questions after each kind of text, including those about the fact."""

RUN_CONDITIONS: tuple[Condition, ...] = ("own", "filler", "other", "before")
"""The kinds of text of a run."""

Namer = Callable[[str], Collection[str]]
"""Returns the categories that a text names, including those that it denies."""


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
    """A text in the model's turn, and the questions after it."""

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
    """All contexts, in order of length, and the ones that are missing."""

    contexts: tuple[Context, ...]
    missing: Mapping[tuple[Condition, int], Counter[str]]
    """Number of images without a context, by condition and n, then by reason."""


def make_design(
    rows: Sequence[SampleRow],
    responses: Sequence[Response],
    model: ScoringModel,
    name: Namer,
    *,
    lengths: Sequence[int] = LENGTHS,
    seed: int = 0,
    conditions: Sequence[Condition] = RUN_CONDITIONS,
    others: Mapping[str, str] | None = None,
) -> ProbeDesign:
    """Return the texts and questions for every image.

    Only the first response to an image is used. Choices are drawn by hash, so that the same seed gives the same design.
    `others` are descriptions by sample id, which `other` takes instead of the model's own.
    """
    images = _first_of_each_image(rows, responses)
    own = {row.sample_id: text for row, text, _ in images}
    texts = _Texts(model, own, own if others is None else others, name)
    annotations = count(row.objects for row, _, _ in images)
    missing: dict[tuple[Condition, int], Counter[str]] = defaultdict(Counter)
    contexts: list[Context] = []
    for row, _, prompt_tokens in images:
        fact, facts = _fact(row.sample_id, seed)
        asked: dict[tuple[Kind, str], Query] = {(query.kind, query.about): query for query in facts}
        after: list[Context] = []
        for n in lengths:
            for condition in conditions:
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
    """Upper bounds of a design. Descriptions that are short or name every object make it smaller."""

    contexts: int
    questions: int
    tokens: int
    """Tokens of the texts before the questions."""


def most_of(images: int, lengths: Sequence[int]) -> Most:
    """Return the upper bounds for a number of images, before their descriptions are known."""
    after = sum(QUESTIONS[condition] for condition in RUN_CONDITIONS)
    # At n = 0 each object and the fact are asked about once, however often they are later.
    first = sum(
        QUESTIONS[condition] - (FACT_QUESTIONS if condition != "before" else 0)
        for condition in RUN_CONDITIONS
    )
    return Most(
        contexts=images * (1 + len(lengths) * len(RUN_CONDITIONS)),
        questions=images * (FACT_QUESTIONS + len(lengths) * (after + first)),
        tokens=images * len(RUN_CONDITIONS) * sum(lengths),
    )


@dataclass(slots=True)
class _Text:
    tokens: tuple[int, ...]
    named: dict[int, frozenset[str]]


class _Texts:
    """The texts before the questions. Each is tokenised and read once."""

    def __init__(
        self,
        model: ScoringModel,
        own: Mapping[str, str | None],
        others: Mapping[str, str | None],
        name: Namer,
    ) -> None:
        self._model, self._name = model, name
        self._own = self._encoded(own)
        self._others = self._own if others is own else self._encoded(others)
        self._filler: dict[tuple[str, bool], _Text] = {}

    def _encoded(self, texts: Mapping[str, str | None]) -> dict[str, _Text | None]:
        return {
            sample_id: _Text(self._model.encode_reply(text), {}) if text else None
            for sample_id, text in texts.items()
        }

    def own(self, sample_id: str) -> _Text | None:
        return self._own[sample_id]

    def filler(self, sample_id: str, n: int, *, in_order: bool) -> _Text:
        # n + 1 words give at least n tokens: no tokenizer has tokens of several words.
        found = self._filler.get((sample_id, in_order))
        if found is None or len(found.tokens) < n:
            text = (filler if in_order else random_words)(sample_id, n + 1)
            found = self._filler[sample_id, in_order] = _Text(self._model.encode_reply(text), {})
        return found

    def named(self, text: _Text, n: int) -> frozenset[str]:
        if n not in text.named:
            text.named[n] = frozenset(self._name(self._model.decode_reply(text.tokens[:n])))
        return text.named[n]

    def donors(self, sample_id: str, n: int, seed: int) -> Iterator[tuple[str, _Text]]:
        long = (name for name, text in self._others.items() if text is not None and len(text.tokens) >= n)
        for name in hash_order((name for name in long if name != sample_id), seed, "donor", sample_id):
            text = self._others[name]
            assert text is not None
            yield name, text


Chosen = tuple[tuple[int, ...], tuple[Query, ...], str | None]


def _choose(
    condition: Condition, n: int, row: SampleRow, texts: _Texts, annotations: Annotations, seed: int
) -> Chosen | str:
    """Return the tokens, the questions about objects and the donor of a cell, or the reason why there is none."""
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
        text = texts.filler(row.sample_id, n, in_order=condition != "words")
    pair = _pair(row, texts.named(text, n), annotations, seed, among_named=False)
    return (text.tokens[:n], pair, None) if pair else "every object is named"


def _pair(
    row: SampleRow, named: Collection[str], annotations: Annotations, seed: int, *, among_named: bool
) -> tuple[Query, Query] | None:
    """Return questions about a present and an absent object: the text names both with `among_named`, else neither."""
    candidates = hash_order(
        (name for name in row.objects if (name in named) == among_named), seed, "present", row.sample_id
    )
    for present in candidates:
        ranking = [name for name in annotations.beside_most(present) if (name in named) == among_named]
        for absent in choose_absent([ranking], row.objects):
            return _object(present, True, among_named), _object(absent, False, among_named)
    return None


def _object(category: str, truth: bool, named: bool) -> Query:
    return Query("object", category, truth, wording(category), named)


def _fact(sample_id: str, seed: int) -> tuple[str, tuple[Query, Query]]:
    """Return the sentence that states a fact, a question with its value, and a question with another value."""
    name = hash_order(FACTS, seed, "fact", sample_id)[0]
    true, false = hash_order(FACTS[name], seed, "value", sample_id)[:2]
    right, wrong = (Query("text", value, value == true, f"Is {name} {value}?") for value in (true, false))
    return f"Remember that {name} is {true}.", (right, wrong)


def hash_order(names: Iterable[str], seed: int, purpose: str, sample_id: str) -> list[str]:
    """Return the names sorted by a hash of each with seed, purpose and sample id. Their given order does not matter."""
    return sorted(
        names,
        key=lambda name: hashlib.sha256(
            f"{seed}\0retention {purpose}\0{sample_id}\0{name}".encode()
        ).digest(),
    )


def _first_of_each_image(
    rows: Sequence[SampleRow], responses: Sequence[Response]
) -> list[tuple[SampleRow, str | None, int]]:
    """Return each image's first sample, the text of its first response, and the number of tokens of the prompt."""
    first: dict[str, Response] = {}
    for response in responses:
        first.setdefault(response.sample_id, response)
    images: dict[ImageId, tuple[SampleRow, str | None, int]] = {}
    for row in rows:
        response = first[row.sample_id]
        images.setdefault(row.image_id, (row, response.response, response.prompt_tokens or 0))
    return list(images.values())
