"""Attention on the picture along a response: its mass, its entropy, by token, by layer and by verdict.

The mass falls as the text grows even if attention is spread evenly, because there is more to attend to. So each mass
is next to the even share, the picture's tokens over all tokens so far, and the change is that of their ratio.
Attention is not use: a model can look without effect.
"""

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from pydantic import ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

from eidolon.scorers.core.estimate import Estimate
from eidolon.scorers.core.metric import FloatArray, ratio
from eidolon.scorers.core.resampling import RESAMPLES
from eidolon.scorers.core.types import ImageId, Record
from eidolon.scorers.forgetting.forced_orders import LEAST_IMAGES
from eidolon.scorers.statistics.bootstrap import bootstrap

BIN = 16
"""Tokens of a bin of the curve."""
PER = 100
DIGITS = 4
"""Significant digits of every number."""
TokenGroup: TypeAlias = Literal["grounded", "hallucinated", "other"]
GROUPS: tuple[TokenGroup, ...] = get_args(TokenGroup)
"""The token before the name of an object, by the verdict of the mention, and all other tokens."""
COLUMNS = ("tokens", "mass", "entropy", "even")


class AttentionLine(Record):
    """A line of `attention.jsonl`: one response, token by token and layer by layer."""

    model_config = ConfigDict(allow_inf_nan=False)

    sample_id: str
    generation: int
    image_id: ImageId
    picture_tokens: int = 0
    prompt_tokens: int = 0
    mass: tuple[float, ...] = ()
    """Share of the attention after each token that falls on the picture, the mean over layers and heads."""
    entropy: tuple[float, ...] = ()
    """Entropy of the attention after each token, in nats, the mean over layers and heads."""
    tokens: dict[TokenGroup, int] = Field(default_factory=dict)
    """Number of tokens in each group."""
    layer_mass: dict[TokenGroup, tuple[float, ...]] = Field(default_factory=dict)
    """Mean mass by layer, of the tokens of each group."""
    readout: tuple[float, ...] = ()
    """For a model of fading memories: the share of their output after each token that comes from what the picture wrote
    into their states, the mean over layers. Then the other numbers are empty. Absent from the file if empty."""
    left_out: str | None = None
    """Why nothing was measured. Absent from the file if something was."""
    transient: bool = False
    """The reason is temporary, so that a later session tries again. Absent from the file if false."""

    @model_serializer(mode="wrap")
    def _without_empty(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields: dict[str, Any] = handler(self)
        return {
            name: value
            for name, value in fields.items()
            if name not in ("left_out", "transient", "readout") or value
        }


class AttentionAt(Record):
    """Attention over one bin of tokens."""

    model_config = ConfigDict(allow_inf_nan=False)

    token: int
    """The first token of the bin."""
    responses: int
    mass: Estimate
    entropy: Estimate
    even: float
    """The mass if attention were spread evenly."""


class LayerAttention(Record):
    """Mean mass on the picture in one layer, by the verdict of what is named next."""

    model_config = ConfigDict(allow_inf_nan=False)

    layer: int
    """From 0, among the layers that have attention weights."""
    grounded: float | None
    hallucinated: float | None
    other: float | None


class AttentionSummary(Record):
    """All results of the attention."""

    responses: int
    left_out: int
    curve: tuple[AttentionAt, ...]
    layers: tuple[LayerAttention, ...]
    change: Estimate
    """Change of mass / even share per 100 tokens, within responses."""
    readout_change: Estimate
    """Change per 100 tokens of the read-out of what the picture wrote, within responses, for fading memories."""
    readout_start: Estimate
    """Mean read-out over the first `BIN` tokens."""
    hallucinated_minus_grounded: Estimate
    """Difference of the mass before wrong and before true names."""
    reason: str | None = None
    """Why there are no results."""


def attention_line(
    line: AttentionLine,
    mass: Sequence[Sequence[float]],
    entropy: Sequence[Sequence[float]],
    groups: Sequence[TokenGroup],
    readout: Sequence[Sequence[float]] = (),
) -> AttentionLine:
    """Return the line with the numbers of a response, given by layer and token, and the group of each token."""
    if len(readout):
        return line.model_copy(update={"readout": _rounded(np.array(readout, dtype=float).mean(axis=0))})
    masses, entropies = np.array(mass, dtype=float), np.array(entropy, dtype=float)
    kinds = np.array(groups)
    there = [group for group in GROUPS if (kinds == group).any()]
    return line.model_copy(
        update={
            "mass": _rounded(masses.mean(axis=0)),
            "entropy": _rounded(entropies.mean(axis=0)),
            "tokens": {group: int((kinds == group).sum()) for group in there},
            "layer_mass": {group: _rounded(masses[:, kinds == group].mean(axis=1)) for group in there},
        }
    )


def measure_attention(
    lines: Sequence[AttentionLine], *, seed: int = 0, resamples: int = RESAMPLES
) -> AttentionSummary:
    """Return the curve, the layers and the contrasts. Intervals are percentile bootstraps over images."""
    measured = [line for line in lines if line.left_out is None and line.mass]
    images = [line.image_id for line in measured]
    reason = None
    if len(set(images)) < LEAST_IMAGES:
        why = next((line.left_out for line in lines if line.left_out), None)
        if any(line.readout for line in lines):
            why = "the model has fading memories instead of attention weights"
        reason = why or f"{len(set(images))} images, fewer than {LEAST_IMAGES}"
    contrasts = bootstrap(
        np.array([_contrasts(line) for line in measured], dtype=float).reshape(-1, 6),
        images,
        _compute_contrasts,
        seed=seed,
        resamples=resamples,
    )
    values = {
        name: Estimate.undefined(reason) if reason else contrasts[name].estimate()
        for name in ("change", "difference")
    }
    values = {name: value.model_copy(update={"n": len(set(images))}) for name, value in values.items()}
    states = _readout([line for line in lines if line.readout], seed=seed, resamples=resamples)
    return AttentionSummary(
        readout_change=states["change"],
        readout_start=states["start"],
        responses=len(measured),
        left_out=len(lines) - len(measured),
        curve=tuple(_curve(measured, seed=seed, resamples=resamples)),
        layers=tuple(_layers(measured)),
        change=values["change"],
        hallucinated_minus_grounded=values["difference"],
        reason=reason,
    )


def _readout(lines: Sequence[AttentionLine], *, seed: int, resamples: int) -> dict[str, Estimate]:
    images = [line.image_id for line in lines]
    rows = []
    for line in lines:
        values, position = np.array(line.readout), np.arange(len(line.readout)) / PER
        centred = position - position.mean()
        rows.append(
            (centred @ (values - values.mean()), centred @ centred, values[:BIN].sum(), len(values[:BIN]))
        )
    statistics = np.array(rows, dtype=float).reshape(-1, 4)

    def compute(totals: FloatArray) -> dict[str, FloatArray]:
        return {
            "change": ratio(totals[..., 0], totals[..., 1]),
            "start": ratio(totals[..., 2], totals[..., 3]),
        }

    found = bootstrap(statistics, images, compute, seed=seed, resamples=resamples)
    if len(set(images)) < LEAST_IMAGES:
        nothing = Estimate.undefined("the model has no fading memories, or too few images were read")
        return dict.fromkeys(("change", "start"), nothing.model_copy(update={"n": len(set(images))}))
    return {
        name: found[name].estimate().model_copy(update={"n": len(set(images))})
        for name in ("change", "start")
    }


def even_share(line: AttentionLine) -> FloatArray:
    """Return the picture's share of all tokens so far, after each token of the response."""
    so_far = line.prompt_tokens + 1 + np.arange(len(line.mass))
    return np.asarray(line.picture_tokens / so_far)


def _curve(lines: Sequence[AttentionLine], *, seed: int, resamples: int) -> list[AttentionAt]:
    found = []
    longest = max((len(line.mass) for line in lines), default=0)
    for start in range(0, longest, BIN):
        here = [line for line in lines if len(line.mass) > start]
        part = slice(start, start + BIN)
        rows = [
            (
                len(line.mass[part]),
                sum(line.mass[part]),
                sum(line.entropy[part]),
                even_share(line)[part].sum(),
            )
            for line in here
        ]
        statistics = np.array(rows, dtype=float).reshape(-1, len(COLUMNS))
        images = [line.image_id for line in here]
        numbers = bootstrap(statistics, images, _means, seed=seed, resamples=resamples)
        even = float(statistics[:, 3].sum() / statistics[:, 0].sum())
        found.append(
            AttentionAt(
                token=start,
                responses=len(here),
                mass=numbers["mass"].estimate(),
                entropy=numbers["entropy"].estimate(),
                even=_rounded([even])[0],
            )
        )
    return found


def _means(totals: FloatArray) -> dict[str, FloatArray]:
    """Map totals (..., 4) to means per token, shape (...)."""
    return {
        name: ratio(totals[..., at], totals[..., 0]) for at, name in enumerate(COLUMNS) if name != "tokens"
    }


def _contrasts(line: AttentionLine) -> tuple[float, ...]:
    """Return the sums of the slope within the response, and of the mass before wrong and true names."""
    relative = np.array(line.mass) / even_share(line)
    position = np.arange(len(relative)) / PER
    centred = position - position.mean()
    sums = [float(centred @ (relative - relative.mean())), float(centred @ centred)]
    for group in GROUPS[:2]:
        count = line.tokens.get(group, 0)
        mean = float(np.mean(line.layer_mass[group])) if count else 0.0
        sums += [count * mean, float(count)]
    return tuple(sums)


def _compute_contrasts(totals: FloatArray) -> dict[str, FloatArray]:
    """Map totals (..., 6) to the slope and the difference, shape (...)."""
    product, square, true, trues, wrong, wrongs = (totals[..., i] for i in range(6))
    return {"change": ratio(product, square), "difference": ratio(wrong, wrongs) - ratio(true, trues)}


def _layers(lines: Sequence[AttentionLine]) -> list[LayerAttention]:
    count = max((len(mass) for line in lines for mass in line.layer_mass.values()), default=0)
    means: dict[str, list[float | None]] = {}
    for group in GROUPS:
        here = [line for line in lines if line.tokens.get(group)]
        weights = np.array([line.tokens[group] for line in here], dtype=float)
        masses = np.array([line.layer_mass[group] for line in here], dtype=float)
        means[group] = list(_rounded(weights @ masses / weights.sum())) if len(here) else [None] * count
    return [LayerAttention(layer=at, **{group: means[group][at] for group in GROUPS}) for at in range(count)]


def _rounded(values: Sequence[float] | FloatArray) -> tuple[float, ...]:
    return tuple(float(f"{value:.{DIGITS}g}") for value in values)
