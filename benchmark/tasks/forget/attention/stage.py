"""Attention on the picture of a run: `attention.jsonl` grows as responses are read, then `attention.json` is computed.

The first response to each sample is read. A model without attention weights gets lines that say so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from eidolon.benchmark.store.atomic import write_atomically
from eidolon.benchmark.store.batch_file import BatchFile, Key
from eidolon.benchmark.store.batch_writer import Stage, batch_by_batch, complete, is_complete
from eidolon.benchmark.store.files import ATTENTION, ATTENTION_LINES, SCORES
from eidolon.benchmark.tasks.forget.attention.detail import SCHEMA, AttentionDetail
from eidolon.benchmark.tasks.forget.measurement import Measurement, first_of_each, is_readable, read_document
from eidolon.models.base.model import AttendingModel, Failure, PictureAttention, Request, ScoringModel
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.metric import JudgedSample
from eidolon.scorers.core.types import Response
from eidolon.scorers.forgetting.attention import AttentionLine, TokenGroup, attention_line, measure_attention
from eidolon.scorers.forgetting.events import in_order

TOGETHER = 8
"""Responses per batch: attention weights are large."""
NONE_OFFERED = "the model offers no attention weights"


@dataclass(frozen=True, slots=True)
class AttentionSettings:
    """How attention is read."""

    prompt: str
    """What the model was asked for its descriptions."""
    seed: int
    resamples: int


def measure_looking(settings: AttentionSettings, measurement: Measurement) -> AttentionDetail:
    """Complete both files, and return the content of `attention.json`.

    Raises:
        UserError: a file is not one that this run wrote.
    """
    folder, source = measurement.folder, measurement.source
    first = {response.sample_id: response for response in reversed(measurement.responses)}
    judged = first_of_each(measurement.judged)
    keys = [(row.sample_id, first[row.sample_id].generation) for row in measurement.rows]
    file = BatchFile(folder.path / ATTENTION_LINES, AttentionLine, keys, TOGETHER)
    finished = read_document(folder.path / ATTENTION, AttentionDetail)
    if finished is not None and is_complete(file) and finished.signature == measurement.signature:
        return finished
    folder.forget(ATTENTION, SCORES)

    def read(batch: Sequence[Key]) -> list[AttentionLine]:
        texts = {
            sample_id: first[sample_id].response
            for sample_id, _ in batch
            if first[sample_id].response and sample_id in judged and is_readable(source, sample_id)
        }
        model = source.scoring_model()
        requests = []
        for sample_id in texts:
            picture = source.picture(sample_id)
            assert picture is not None
            requests.append(Request(sample_id, first[sample_id].image_id, picture, settings.prompt))
        tokens = {sample_id: model.encode_reply(text or "") for sample_id, text in texts.items()}
        found = _read(model, requests, tokens) if requests else {}
        return [
            _line(first[sample_id], found.get(sample_id), tokens.get(sample_id, ()), judged, model)
            for sample_id, _ in batch
        ]

    stage: Stage[AttentionLine] = Stage(
        label=f"{measurement.name}, attention",
        tokens=lambda line: len(line.mass),
        failed=lambda line: False,
        after_batch=lambda *_: measurement.count_usage(),
    )
    lines = complete(file, batch_by_batch("attention read", "responses", read), stage)
    detail = AttentionDetail(
        schema=SCHEMA,
        signature=measurement.signature,
        found=measure_attention(lines, seed=settings.seed, resamples=settings.resamples),
    )
    write_atomically(folder.path / ATTENTION, detail.to_json())
    return detail


def _read(
    model: ScoringModel, requests: Sequence[Request], tokens: Mapping[str, Sequence[int]]
) -> dict[str, PictureAttention | Failure]:
    """Return the attention along each response, or why there is none, by sample id."""
    ids = [request.sample_id for request in requests]
    if not isinstance(model, AttendingModel):
        return dict.fromkeys(ids, Failure(NONE_OFFERED))
    try:
        found = model.read_attention(requests, [tokens[sample_id] for sample_id in ids])
    except UserError as error:  # the other measurements of the run do not need it
        return dict.fromkeys(ids, Failure(str(error)))
    return dict(zip(ids, found, strict=True))


def _line(
    response: Response,
    found: PictureAttention | Failure | None,
    tokens: Sequence[int],
    judged: Mapping[str, JudgedSample],
    model: ScoringModel,
) -> AttentionLine:
    line = AttentionLine(
        sample_id=response.sample_id, generation=response.generation, image_id=response.image_id
    )
    if found is None:
        return line.model_copy(update={"left_out": "there is no response, judgement or picture"})
    if isinstance(found, Failure):
        return line.model_copy(update={"left_out": found.reason, "transient": found.transient})
    line = line.model_copy(
        update={"picture_tokens": found.picture_tokens, "prompt_tokens": found.prompt_tokens}
    )
    return attention_line(
        line,
        found.mass,
        found.entropy,
        token_groups(model, tokens, judged[response.sample_id]),
        found.readout,
    )


def token_groups(model: ScoringModel, tokens: Sequence[int], sample: JudgedSample) -> list[TokenGroup]:
    """Return the group of each token: that before the first token of a mention has the mention's verdict."""
    ends = [len(model.decode_reply(tokens[: i + 1])) for i in range(len(tokens))]
    groups: list[TokenGroup] = ["other"] * len(tokens)
    for mention in in_order(sample):
        at = next((i for i, end in enumerate(ends) if end > mention.start), 0)
        if at > 0:
            groups[at - 1] = "grounded" if mention.verdict == "grounded" else "hallucinated"
    return groups
