"""The tables of an export: their columns, and their rows from run folders, read as a stream.

`SCHEMA` is the version of the columns. Within a version columns are only added.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from eidolon.benchmark.store.files import JUDGEMENTS, RESPONSES, SAMPLES, SCORES
from eidolon.benchmark.store.loaded import LoadedRun
from eidolon.benchmark.store.record import SampleRow
from eidolon.scorers.core.estimate import Estimate
from eidolon.scorers.core.scores import Family
from eidolon.scorers.core.types import Judgement, Response

if TYPE_CHECKING:
    import pyarrow

SCHEMA = "eidolon/export/1"
SHARED = {
    "run": ("string", "Path of the run folder, as it was given."),
    "name": ("string", "Name of the run: the model's, or that of `--label`."),
}
"""The first columns of every table."""
OF_RESPONSE = {
    "sample_id": ("string", "The sample; with `generation` the key of a response."),
    "image_id": ("string", "The image. Numbers are written as text."),
    "generation": ("int32", "Number of the response among those to its sample, from 0."),
}


@dataclass(frozen=True, slots=True)
class Table:
    """One table."""

    columns: Mapping[str, tuple[str, str]]
    """Type and meaning of each column, by name."""
    rows: Callable[[LoadedRun], Iterator[dict[str, Any]]]
    """The rows of a run, without the shared columns."""

    def schema(self, name: str) -> "pyarrow.Schema":
        """Return the Arrow schema; its metadata name the version and the table."""
        import pyarrow

        columns = {**SHARED, **self.columns}
        fields = [pyarrow.field(column, _type(kind)) for column, (kind, _) in columns.items()]
        return pyarrow.schema(fields, metadata={"eidolon.schema": SCHEMA, "eidolon.table": name})


def _type(kind: str) -> "pyarrow.DataType":
    """Return the Arrow type of a column. There are no maps among them: `datasets` has no such type."""
    import pyarrow

    if kind.startswith("list<"):
        return pyarrow.list_(_type(kind[5:-1]))
    if kind.startswith("struct<"):
        parts = (part.split(": ") for part in kind[7:-1].split(", "))
        return pyarrow.struct([(name, _type(inner)) for name, inner in parts])
    return pyarrow.type_for_alias(kind)


def _samples(run: LoadedRun) -> Iterator[dict[str, Any]]:
    for position, row in enumerate(run.stream(SAMPLES, SampleRow)):
        yield {
            "position": position,
            "sample_id": row.sample_id,
            "image_id": str(row.image_id),
            "objects": row.objects,
            "image_sha256": row.image_sha256,
            "references": row.references,
            "areas": [{"object": name, "area": area} for name, area in row.areas.items()],
            "annotated": row.annotated,
            "captioned": row.captioned,
        }


def _responses(run: LoadedRun) -> Iterator[dict[str, Any]]:
    for position, (response, judgement) in enumerate(_judged(run)):
        yield {
            "position": position,
            **_key(response),
            "prompt": response.prompt,
            "response": response.response,
            "reasoning": response.reasoning,
            "finish_reason": response.finish_reason,
            "prompt_tokens": response.prompt_tokens,
            "completion_tokens": response.completion_tokens,
            "error": response.error,
            "unscored": None if judgement is None else judgement.unscored,
            "mentions": None if judgement is None or judgement.unscored else len(judgement.mentions),
            "token_ends": response.token_ends,
            "token_logprobs": response.token_logprobs,
        }


def _mentions(run: LoadedRun) -> Iterator[dict[str, Any]]:
    for _, judgement in _judged(run):
        if judgement is None:
            continue
        for number, mention in enumerate(judgement.mentions):
            yield {
                **_key(judgement),
                "mention": number,
                "category": mention.category,
                "text": mention.text,
                "start": mention.start,
                "end": mention.end,
                "word": mention.word,
                "token": mention.token,
                "verdict": mention.verdict,
                "weight": mention.weight,
                "match": mention.match,
                "similarity": mention.similarity,
                "votes": None
                if mention.votes is None
                else [{"vote": name, "yes": yes} for name, yes in mention.votes.items()],
            }


def _scores(run: LoadedRun) -> Iterator[dict[str, Any]]:
    if not run.has(SCORES):
        return
    scores = run.scores()
    shared = {"task": run.record.config.task, "signature": scores.signature}
    readings = [(None, scores.metrics), *((one.label, one.metrics) for one in scores.variants)]
    for variant, metrics in readings:
        for name, family in metrics.items():
            yield from ({**shared, "variant": variant, "family": name, **row} for row in _quantities(family))


def _quantities(family: Family) -> Iterator[dict[str, Any]]:
    by_category = family.per_category or {}
    parts: list[tuple[str | None, dict[str, Estimate]]] = [
        (None, family.quantities()),
        *((name, found.quantities()) for name, found in by_category.items()),
    ]
    for category, quantities in parts:
        for name, estimate in quantities.items():
            low, high = estimate.ci or (None, None)
            yield {
                "category": category,
                "quantity": name,
                "value": estimate.value,
                "ci_low": low,
                "ci_high": high,
                "n": estimate.n,
                "higher_is_better": estimate.higher_is_better,
                "reason": estimate.reason,
            }


def _judged(run: LoadedRun) -> Iterator[tuple[Response, Judgement | None]]:
    """Yield each response with its judgement; None where the run has judged nothing yet."""
    judgements = run.stream(JUDGEMENTS, Judgement)
    for response in run.stream(RESPONSES, Response):
        yield response, next(judgements, None)


def _key(of: Response | Judgement) -> dict[str, Any]:
    return {"sample_id": of.sample_id, "image_id": str(of.image_id), "generation": of.generation}


TABLES: dict[str, Table] = {
    "samples": Table(
        {
            "position": ("int64", "Place in the order of the run, from 0."),
            "sample_id": OF_RESPONSE["sample_id"],
            "image_id": OF_RESPONSE["image_id"],
            "objects": ("list<string>", "The true objects."),
            "image_sha256": ("string", "Hash of the image file; null where the run saw no images."),
            "references": ("list<string>", "Reference captions, where the judge reads them."),
            "areas": (
                "list<struct<object: string, area: double>>",
                "Share of the image that the largest instance of an object covers.",
            ),
            "annotated": (
                "list<string>",
                "The objects that the dataset annotates, where captions joined the truth.",
            ),
            "captioned": ("list<string>", "The objects that captions name, where they joined the truth."),
        },
        _samples,
    ),
    "responses": Table(
        {
            "position": ("int64", "Place in the order of the run, from 0."),
            **OF_RESPONSE,
            "prompt": ("string", "What the model was asked."),
            "response": ("string", "What it wrote; null where it failed."),
            "reasoning": ("string", "The text of its thinking block."),
            "finish_reason": ("string", "`stop`, `length`, `error` or `unknown`."),
            "prompt_tokens": ("int64", "Tokens of the request, where the backend counts them."),
            "completion_tokens": ("int64", "Tokens of the response."),
            "error": ("string", "Why there is no response."),
            "unscored": ("string", "Why the response could not be judged; null where it was."),
            "mentions": ("int32", "Number of its mentions; null where it was not judged."),
            "token_ends": ("list<int64>", "Offset at which the text of each token ends."),
            "token_logprobs": ("list<double>", "Natural logarithm of the probability of each token."),
        },
        _responses,
    ),
    "mentions": Table(
        {
            **OF_RESPONSE,
            "mention": ("int32", "Number of the mention in its response, from 0."),
            "category": ("string", "The category, or the free noun."),
            "text": ("string", "The words of the response."),
            "start": ("int64", "Offset of the first character in the response."),
            "end": ("int64", "Offset after the last character."),
            "word": ("int64", "Index of the first word, from 0."),
            "token": ("int64", "Index of the first token, where the backend reports tokens."),
            "verdict": ("string", "`grounded`, `hallucinated` or `ignored`."),
            "weight": ("double", "How likely the mention is wrong if nothing supports it."),
            "match": ("string", "The true object that a free noun was paired with."),
            "similarity": ("double", "How alike the two are."),
            "votes": (
                "list<struct<vote: string, yes: int32>>",
                "1 or 0 by `judge/format`, of a judge with several votes.",
            ),
        },
        _mentions,
    ),
    "scores": Table(
        {
            "task": ("string", "The task of the run."),
            "signature": ("string", "How the scores were computed."),
            "variant": ("string", "The variant; null for the main scores."),
            "family": ("string", "The metric: `chair`, `objects`, …"),
            "category": ("string", "The category; null for all together."),
            "quantity": ("string", "The quantity: `chair_i`, `f05`, …"),
            "value": ("double", "The value, a fraction; null where it is undefined."),
            "ci_low": ("double", "Lower bound of the 95 % interval."),
            "ci_high": ("double", "Upper bound."),
            "n": ("int64", "Responses that it was computed from."),
            "higher_is_better": ("bool", "Null where neither direction is better."),
            "reason": ("string", "Why there is no value, or no interval."),
        },
        _scores,
    ),
}
"""The tables by name: `NAME.parquet`."""
