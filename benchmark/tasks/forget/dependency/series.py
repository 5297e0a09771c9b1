"""Visual prompt dependency of responses: the model's token probabilities, joined with the judge's mentions."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from eidolon.models.base.model import Failure, NamedModel, Request, WhiteBoxModel
from eidolon.models.generation.generated_text import split_reasoning, token_ends
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.judge import Judge
from eidolon.scorers.core.resampling import RESAMPLES
from eidolon.scorers.core.types import Judgement, Mention, Response, Verdict
from eidolon.scorers.core.verdict import with_verdicts
from eidolon.scorers.forgetting.dependency import SURVIVAL, PdmTable, pdm_table
from eidolon.scorers.forgetting.fading import TokenSeries
from eidolon.scorers.forgetting.token_kinds import Kind, token_kinds
from eidolon.scorers.judges.judged_text import judge_texts

if TYPE_CHECKING:
    from PIL import Image

    from eidolon.models.generation.image_ablation import Form
    from eidolon.models.probing.dependency import PromptDependency


@dataclass(frozen=True, slots=True)
class Spelled:
    """A text in a model's tokens."""

    text: str
    """The answer, as in `Response.response`."""
    tokens: tuple[int, ...]
    ends: tuple[int, ...]
    """For each token, the offset in `text` at which it ends. The tokens of a thinking block end at 0."""
    reasoning: str | None = None


def spell(model: WhiteBoxModel, text: str, lead: str = "") -> Spelled:
    """Return a text in the model's tokens. `lead` is the white space with which the model's answers begin.

    What looks like a special token (`<image>`) is treated as text.

    Raises:
        UserError: the tokens do not decode to the text.
    """
    tokenizer = model.tokenizer
    tokens = tokenizer.encode(lead + text, add_special_tokens=False, split_special_tokens=True)
    spelled = from_tokens(model, tokens)
    if spelled.text.split() != text.split():
        raise UserError(
            f"the text {text[:40]!r}… becomes {spelled.text[:40]!r}… in the tokens of {model.name}; "
            "its probabilities are unknown"
        )
    return spelled


def from_tokens(model: WhiteBoxModel, tokens: Sequence[int]) -> Spelled:
    """Return the text of tokens that a model generated."""
    tokenizer = model.tokenizer
    text = tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    ends = token_ends(tokenizer, tokens, text)
    if ends is None:
        ends = tuple(
            len(tokenizer.decode(tokens[: i + 1], skip_special_tokens=True)) for i in range(len(tokens))
        )
    answer = split_reasoning(text)
    return Spelled(answer.text, tuple(tokens), answer.shift(ends), answer.reasoning)


def judge_text(
    judge: Judge, request: Request, spelled: Spelled, objects: Collection[str] | None
) -> Judgement:
    """Return the mentions that the judge finds in a text, with verdicts if the true objects are given.

    Mentions without a token are left out: a judge may not say where they are.
    """
    response = Response(
        sample_id=request.sample_id,
        image_id=request.image_id,
        response=spelled.text,
        completion_tokens=len(spelled.tokens),
        token_ends=spelled.ends,
    )
    (judgement,) = judge_texts(judge, [response])
    if objects is not None:
        judgement = with_verdicts(judgement, objects)
    placed = tuple(m for m in judgement.mentions if m.end > m.start and m.token is not None)
    return judgement.model_copy(update={"mentions": placed})


def series_of(
    request: Request, spelled: Spelled, reading: "PromptDependency", mentions: Sequence[Mention]
) -> TokenSeries:
    """Return the measurement along one text, with the kind and the verdict of each token."""
    verdicts: list[Verdict | None] = [None] * len(reading.tokens)
    for mention in mentions:
        if mention.token is not None:
            verdicts[mention.token] = mention.verdict
    return TokenSeries(
        image_id=request.image_id,
        hellinger=np.array(reading.hellinger, dtype=float),
        difference=np.array(reading.difference, dtype=float),
        kinds=kinds_of(spelled, mentions),
        verdicts=tuple(verdicts),
        beside=np.array(reading.beside, dtype=float) if reading.beside else None,
        signal=np.array(reading.signal, dtype=float) if reading.signal else None,
    )


def kinds_of(spelled: Spelled, mentions: Sequence[Mention]) -> tuple[Kind, ...]:
    """Return the kind of each token."""
    return token_kinds(spelled.text, spelled.ends, [(m.start, m.end) for m in mentions])


@dataclass(frozen=True, slots=True)
class TextToRead:
    """A text about a picture."""

    request: Request
    text: str | None
    """Usually the model's own response, without its thinking block; None where there is none."""
    tokens: Sequence[int] | None = None
    """The generated tokens, if they are known: a text can be spelled in several ways."""
    objects: Collection[str] | None = None
    """The true objects of the picture, which decide the verdicts of mentions."""
    other: "Image.Image | None" = None
    """The picture for the form `shuffled`; None takes that of another text."""


@dataclass(frozen=True, slots=True)
class ReadingSettings:
    """How texts are read with their picture and without it."""

    judge: Judge | None = None
    """Finds the mentions; None is the careful lexicon."""
    form: "Form" = "shuffled"
    """What the branch without the picture gets in its place."""
    beside: "Form | None" = "neutral"
    """What a third branch gets. λ is fitted to both; None leaves it and λ out. If it is `form`, the branch is fed the
    other one of `shuffled` and `neutral`."""
    batch: int | None = None
    """Texts per forward pass."""
    seed: int = 0
    """Deals the pictures of the form `shuffled`, and draws the resamples of a table."""

    def third(self) -> "Form | None":
        """Return what the third branch gets."""
        if self.beside == self.form:
            return "neutral" if self.form == "shuffled" else "shuffled"
        return self.beside

    def reader(self) -> Judge:
        """Return the judge, made here if none was given."""
        from eidolon.scorers.judges.lexicon import LexiconJudge

        return self.judge or LexiconJudge()


def read_series(
    model: WhiteBoxModel, texts: Sequence[TextToRead], how: ReadingSettings, *, recover: bool = False
) -> list[TokenSeries | Failure]:
    """Read each text with its picture and without it. Return the measurement along each, or why there is none.

    There is none for None, for a text without tokens, and for one that the tokenizer cannot write. With `recover`, a
    text whose reading fails or does not fit into memory has none either; without it, the exception is raised.

    Raises:
        UserError: the model gives no token probabilities, or cannot be asked without the picture in this form.
    """
    from eidolon.models.probing.dependency import BATCH, read_dependency

    require_probabilities(model)
    judge = how.reader()
    spelled, found = _spell_all(model, texts)
    failures: dict[int, Failure] = {}
    readings = (
        read_dependency(
            model,
            [texts[row].request for row in spelled],
            [one.tokens for one in spelled.values()],
            form=how.form,
            beside=how.third(),
            others=_others([texts[row] for row in spelled]),
            seed=how.seed,
            batch=how.batch or BATCH,
            failures=failures if recover else None,
        )
        if spelled
        else []
    )
    series: dict[int, TokenSeries | Failure] = {**found}
    for position, ((row, one), reading) in enumerate(zip(spelled.items(), readings, strict=True)):
        if position in failures:
            series[row] = failures[position]
        else:
            given = texts[row]
            mentions = judge_text(judge, given.request, one, given.objects).mentions
            series[row] = series_of(given.request, one, reading, mentions)
    return [series[row] for row in range(len(texts))]


def _others(texts: Sequence[TextToRead]) -> "list[Image.Image] | None":
    others = [one.other for one in texts if one.other is not None]
    return others if len(others) == len(texts) else None


def _spell_all(
    model: WhiteBoxModel, texts: Sequence[TextToRead]
) -> tuple[dict[int, Spelled], dict[int, Failure]]:
    """Return the texts in tokens by their place, and why others cannot be read."""
    from eidolon.models.probing.teacher_forcing import leading_space

    failed: dict[int, Failure] = {}
    rows: list[int] = []
    for row, given in enumerate(texts):
        if given.text is None:
            failed[row] = Failure("there is no response")
        elif not (given.tokens or given.text.strip()):
            failed[row] = Failure("the response is empty")
        else:
            rows.append(row)
    unspelled = any(texts[row].tokens is None for row in rows)
    lead = leading_space(model, texts[rows[0]].request) if unspelled else ""
    spelled: dict[int, Spelled] = {}
    for row in rows:
        ids = texts[row].tokens
        try:
            spelled[row] = (
                spell(model, texts[row].text or "", lead) if ids is None else from_tokens(model, ids)
            )
        except UserError as error:  # the other texts can still be read
            failed[row] = Failure(str(error))
    return spelled, failed


def measure_pdm(
    model: WhiteBoxModel,
    texts: Sequence[TextToRead],
    how: ReadingSettings | None = None,
    *,
    survival: int = SURVIVAL,
    resamples: int = RESAMPLES,
) -> PdmTable:
    """Measure how far the model depends on each picture along a text, and how that decays.

    Args:
        model: a transformers model.
        texts: None, a text without tokens, and one that the tokenizer cannot write are left out and counted.
        how: how they are read; by default with the picture of another text and with a grey one, by the careful lexicon.
        survival: the least length in tokens of the responses in the curves of survivors.
        resamples: of the bootstrap, by picture.

    Raises:
        UserError: the model gives no token probabilities, or cannot be asked without the picture in this form.
    """
    how = how or ReadingSettings()
    found = read_series(model, texts, how)
    series = [one for one in found if isinstance(one, TokenSeries)]
    settings: dict[str, str | int | float | None] = {
        "judge": how.reader().signature(),
        "left_out": len(found) - len(series),
    }
    return pdm_table(
        series,
        without=how.form,
        beside=how.third(),
        settings=settings,
        survival=survival,
        seed=how.seed,
        resamples=resamples,
    )


def require_probabilities(model: object) -> WhiteBoxModel:
    """Return the model as one that gives the probabilities of tokens.

    Raises:
        UserError: it gives none.
    """
    if not isinstance(model, WhiteBoxModel):
        name = model.name if isinstance(model, NamedModel) else type(model).__name__
        raise UserError(
            f"model {name!r}: does not give the probabilities of tokens with and without the image; "
            "give a transformers/… model"
        )
    return model
