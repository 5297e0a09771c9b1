"""Risks of the mentions of a run, or of a file of responses: what `eidolon risk` writes."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import ConfigDict, Field, ValidationError

from eidolon.benchmark.settings.score import ScoreSettings
from eidolon.benchmark.store.loaded import load_run
from eidolon.benchmark.tasks.score_files.responses_file import open_responses
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.input_files import excerpt, read_bytes
from eidolon.scorers.core.metric import FloatArray
from eidolon.scorers.core.types import ImageId, Judgement, Record, Response
from eidolon.scorers.judges.judged_text import judge_texts
from eidolon.scorers.judges.lexicon import LexiconJudge
from eidolon.scorers.judges.mentions import readable_text
from eidolon.scorers.risk.described import Described
from eidolon.scorers.risk.model_file import RiskModel
from eidolon.scorers.risk.shading import mention_risks


class RiskyMention(Record):
    """A mention, and how likely its object is not in the picture."""

    category: str
    text: str
    start: int
    """Character offset of the first character in the response."""
    end: int
    """Character offset after the last one."""
    word: int
    """Words before it."""
    risk: float
    """Probability, 0 to 1. Later mentions of a category have that of the first."""


class RiskLine(Record):
    """A line of the file that `eidolon risk` writes."""

    sample_id: str
    image_id: ImageId
    mentions: tuple[RiskyMention, ...]
    unscored: str | None = None
    """Why the response could not be read. Null if it could."""


class HistoryFile(Record):
    """The history of a model: a vector that more judged responses update."""

    model_config = ConfigDict(allow_inf_nan=False)

    schema_: Literal["eidolon/risk-history/1"] = Field(alias="schema")
    risk_model: str
    vocabulary: tuple[str, ...]
    vector: tuple[float, ...]


def read_texts(path: Path) -> list[str]:
    """Return the texts of a run folder's responses, or those of a file.

    Responses that failed, refusals and texts in another language than English are left out.

    Raises:
        UserError: nothing can be read there.
    """
    if path.is_dir():
        found = load_run(path).responses()
    else:
        found = [line.response for line in open_responses(ScoreSettings(responses=path))]
    return [text for one in found if (text := readable_text(one)) is not None]


def read_described(path: Path, model: RiskModel) -> list[tuple[Response, Judgement]]:
    """Return the responses of a run folder with its judgements, or those of a file, read by the lexicon.

    Raises:
        UserError: nothing can be read there, or a category is not one of the risk model's.
    """
    if path.is_dir():
        found = load_run(path).judged()
    else:
        responses = [line.response for line in open_responses(ScoreSettings(responses=path))]
        found = [*zip(responses, judge_texts(LexiconJudge(), responses), strict=True)]
    names = [mention.category for _, judgement in found for mention in judgement.mentions]
    if unknown := model.unknown(names):
        raise UserError(
            f"{path}: the category {unknown[0]!r} is not one of the risk model's {len(model.vocabulary)}; "
            "give responses that the lexicon judge read with its default vocabulary"
        )
    return found


def risk_lines(
    model: RiskModel, judged: Sequence[tuple[Response, Judgement]], history: FloatArray | None
) -> list[RiskLine]:
    """Return the risk of every mention, response by response. Truth is not used."""
    return [
        RiskLine(
            sample_id=response.sample_id,
            image_id=response.image_id,
            mentions=tuple(_mentions(model, response, judgement, history)),
            unscored=judgement.unscored,
        )
        for response, judgement in judged
    ]


def _mentions(
    model: RiskModel, response: Response, judgement: Judgement, history: FloatArray | None
) -> Iterator[RiskyMention]:
    for mention, risk in zip(
        judgement.mentions, mention_risks(model, response, judgement, history), strict=True
    ):
        yield RiskyMention(
            category=mention.category,
            text=mention.text,
            start=mention.start,
            end=mention.end,
            word=mention.word,
            risk=risk,
        )


def read_history(paths: Sequence[Path], model: RiskModel) -> FloatArray | None:
    """Return the history vector after judged runs and kept histories, in order. None without any.

    Raises:
        UserError: a run has no truth, or a kept history is of another risk model or vocabulary, or not the first.
    """
    history: FloatArray | None = None
    for path in paths:
        if path.is_dir():
            described = [model.describe(*pair) for pair in read_described(path, model)]
            _check_truth(path, described)
            history = model.network.update(model.network.start() if history is None else history, described)
        elif history is None:
            history = _read_history_file(path, model)
        else:
            raise UserError(f"--history {path}: a kept history must come first")
    return history


def _check_truth(path: Path, described: Sequence[Described]) -> None:
    if not any(bool(one.known.any()) for one in described):
        raise UserError(f"--history {path}: no mention has a verdict, so that nothing can be learned from it")


def _read_history_file(path: Path, model: RiskModel) -> FloatArray:
    try:
        found = HistoryFile.model_validate_json(read_bytes(path))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise UserError(
            f"--history {path}: neither a run folder nor a kept history: {excerpt(place)}: {first['msg']}"
        ) from error
    width = len(model.network.start())
    if (found.risk_model, found.vocabulary) != (model.label, model.vocabulary) or len(found.vector) != width:
        raise UserError(
            f"--history {path}: is of the risk model {excerpt(found.risk_model)} or of another vocabulary, and this is "
            f"{model.label}; make it again from the judged runs"
        )
    return np.array(found.vector)


def write_history(model: RiskModel, history: FloatArray) -> str:
    """Return the text of a kept history."""
    content = HistoryFile(
        schema="eidolon/risk-history/1",
        risk_model=model.label,
        vocabulary=model.vocabulary,
        vector=tuple(history.tolist()),
    )
    return content.model_dump_json(by_alias=True) + "\n"
