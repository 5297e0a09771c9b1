"""Parity of answers: the shipped models answer the same however they are run, and every injected fault is found."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from eidolon.benchmark.scenes.scene import Dials, make_scene, render
from eidolon.benchmark.verify.doctor.parity import (
    NEAR_TIE,
    Answered,
    Fork,
    Parity,
    Reference,
    as_reference,
    ask,
    common,
    compare,
    draw_gap,
    find_fork,
    forced,
    tie_gap,
)
from eidolon.models.backends.transformers import TransformersModel
from eidolon.models.base.model import Decoding, Request, request_seed
from eidolon.models.base.shipped import shipped_models
from eidolon.models.generation.sampling import RowwiseSampling
from eidolon.scorers.core.types import Response
from tests.models import faulty

SHIPPED = shipped_models()
PROMPTS = (
    "Describe this image in detail.",
    "Is there a cup in the image?",
    "What is in the image? Look at all of it, from the left to the right.",
)
WANTED = 0.95
"""The least share of equal answers between two ways to run a shipped model."""


@pytest.fixture(scope="module", params=[*SHIPPED])
def model(request: pytest.FixtureRequest) -> TransformersModel:
    return TransformersModel(str(SHIPPED[request.param]))


@pytest.fixture(scope="module")
def small() -> TransformersModel:
    return TransformersModel(str(SHIPPED["scenes-small"]))


def requests(n: int, prompts: int = 1, **decoding: float) -> list[Request]:
    settings = {"max_new_tokens": 64, **decoding}
    return [
        Request(
            f"s{i}", i, render(make_scene(99, i, Dials())), PROMPTS[i % prompts],
            decoding=Decoding(seed=request_seed(0, f"s{i}", 0), **settings),  # type: ignore[arg-type]
        )
        for i in range(n)
    ]  # fmt: skip


def test_alone_together_and_padded_are_the_same(model: TransformersModel) -> None:
    """Tests 24 descriptions, and 24 answers to prompts of three lengths."""
    reference = as_reference(model)
    for prompts in (1, 3):
        asked = requests(24, prompts)
        alone = ask(model, asked, batch=1)
        for batch in (8, 5):
            parity = compare(alone, ask(model, asked, batch=batch), reference)
            print(
                f"{model.name}: batch {batch}, {prompts} prompts: {parity.equal} of {parity.n}, {parity.largest_gap}"
            )
            assert parity.equal >= WANTED * parity.n
            assert parity.same, parity.differences


def test_the_threshold_is_above_the_noise_of_batching(model: TransformersModel) -> None:
    """It is not far above, so that it hides no faults. In float32 there is room for much larger models."""
    told = ask(model, requests(16, 3), batch=16)
    checkpoint = str(SHIPPED[model.name.rpartition("/")[2]])
    for dtype, threshold in NEAR_TIE.items():
        same = model if dtype == "float32" else TransformersModel(checkpoint, dtype=dtype)
        together = forced(same, told)
        alone = torch.zeros_like(together)
        for row, one in enumerate(told):
            values = forced(same, [one])[0]
            alone[row, : len(values)] = values
        noise = float((together - alone).abs().max())
        print(f"{model.name}: {dtype}: batching moves log-probabilities by {noise:.2g} nats")
        assert noise <= threshold / 2
        assert dtype == "float32" or noise >= threshold / 20


@pytest.mark.parametrize(
    ("kind", "batch", "prompts"),
    [
        (faulty.IgnoresTheMask, 8, 3),
        (faulty.CountsPadding, 8, 3),
        (faulty.SwapsPictures, 8, 1),
        (faulty.ReversesPictures, 3, 1),
        (faulty.SaysFloat32, 1, 1),
    ],
)
def test_injected_faults_are_found(
    small: TransformersModel, kind: type[TransformersModel], batch: int, prompts: int
) -> None:
    """Each makes differences that are no near-ties, and no differences where it has no effect."""
    asked = requests(16, prompts)
    broken = kind(str(SHIPPED["scenes-small"]))
    parity = compare(ask(small, asked, batch=batch), ask(broken, asked, batch=batch), as_reference(small))
    print(
        f"{kind.__name__}: {parity.equal} of {parity.n}, {len(parity.unexplained)} unexplained, {parity.largest_gap}"
    )
    assert not parity.same
    assert (parity.largest_gap or 0) > 10 * NEAR_TIE["float32"]
    if kind is not faulty.SaysFloat32:
        harmless = compare(ask(small, asked, batch=1), ask(broken, asked, batch=1), as_reference(small))
        assert harmless.same


def test_a_broken_tie_is_distinguished_from_a_difference(small: TransformersModel) -> None:
    """The gap is that of the two tokens: the second token has the gap of the model, others have larger ones."""
    from eidolon.models.probing.teacher_forcing import teacher_force

    (answered,) = ask(small, requests(1), batch=1)
    tokens = answered.tokens
    assert tokens is not None
    (chunk,) = teacher_force(small, [answered.request], [tokens], width=99)
    ids, values = (found[0] for found in chunk.top(3))
    at = len(tokens) // 2
    for rank in (1, 2):
        other = (*tokens[:at], int(ids[at, rank]), 50)
        text = small.tokenizer.decode(other).strip()
        changed = Answered(answered.request, answered.response.model_copy(update={"response": text}), other)
        gap = float(values[at, 0] - values[at, rank])
        for tolerance in (gap * 1.01, gap * 0.99):
            parity = compare([answered], [changed], Reference(small, tolerance))
            (difference,) = parity.differences
            assert difference.token == at
            assert difference.gap == pytest.approx(gap, abs=1e-4)
            assert difference.near_tie == parity.same == (tolerance > gap)
            assert difference.character == common(text, answered.response.response or "")


def test_text_alone_leads_to_the_same_fork(small: TransformersModel) -> None:
    """A server gives no tokens. Aligned by characters, its answers differ from the same position on."""
    asked = requests(12)
    ours = ask(small, asked, batch=12)
    theirs = ask(TransformersModel(str(SHIPPED["scenes-base"])), asked, batch=12)
    theirs += ask(small, [_shorter(r) for r in asked], batch=12)
    told = 0
    for one, other in zip([*ours, *ours], theirs, strict=True):
        known = find_fork(one, other, small)
        mute = replace(other, tokens=None)
        assert find_fork(one, mute, small) == known
        turned = find_fork(mute, one, small)
        assert (turned and Fork(turned.prefix, turned.found, turned.expected)) == known
        assert find_fork(replace(one, tokens=None), mute, small) == known
        told += known is not None
    # A truncated answer does not show its next token.
    assert told >= 12


def _shorter(request: Request) -> Request:
    return replace(request, decoding=replace(request.decoding, max_new_tokens=9))


def test_an_end_is_a_token_too(small: TransformersModel) -> None:
    """If one answer stops where the other continues, the gap is that of the end token."""
    (whole,) = ask(small, requests(1, max_new_tokens=300), batch=1)
    assert whole.tokens is not None
    assert whole.response.finish_reason == "stop"
    cut = whole.tokens[:10]
    text = small.tokenizer.decode(cut).strip()
    early = whole.response.model_copy(update={"response": text, "finish_reason": "stop"})
    (difference,) = compare([whole], [Answered(whole.request, early, cut)], as_reference(small)).differences
    assert difference.token == 10
    assert difference.gap == pytest.approx(
        tie_gap(whole.request, Fork(cut, whole.tokens[10:11], small.end_ids), small)
    )
    assert difference.gap > 1
    assert difference.found == "(ends: stop)"
    limited = early.model_copy(update={"finish_reason": "length"})
    (difference,) = compare([whole], [Answered(whole.request, limited, cut)], as_reference(small)).differences
    assert (difference.gap, difference.near_tie) == (None, False)


def test_sampled_answers_are_judged_by_their_random_number(small: TransformersModel) -> None:
    """The random number is inside the share of the drawn token. For other tokens the gap is the distance to their
    share."""
    for top_p in (1.0, 0.7):
        asked = requests(3, temperature=0.9, top_p=top_p, max_new_tokens=20)
        for one in ask(small, asked, batch=3):
            assert one.tokens
            for at in (0, 7, len(one.tokens) - 1):
                prefix, token = one.tokens[:at], one.tokens[at : at + 1]
                assert draw_gap(one.request, Fork(prefix, token, token), small) < 1e-6
                wrong = ((token[0] + 40) % 600,)
                expected = _outside(one.request, prefix, wrong[0], small)
                assert draw_gap(one.request, Fork(prefix, token, wrong), small) == pytest.approx(
                    expected, abs=1e-6
                )


def _outside(request: Request, prefix: tuple[int, ...], token: int, model: TransformersModel) -> float:
    """Return by how much the random number of a step would have to change to draw a token.

    It is found by bisection of the sampler, with its random numbers replaced.
    """
    from eidolon.models.probing.teacher_forcing import teacher_force

    *_, chunk = teacher_force(model, [request], [[*prefix, 0]], width=1)
    decoding = request.decoding

    class Fixed:
        value = 0.0

        def random(self) -> float:
            return self.value

    sampler, numbers = RowwiseSampling([0], decoding.temperature, decoding.top_p), Fixed()
    sampler._streams = [numbers]  # type: ignore[list-item]

    def drawn(value: float) -> int:
        numbers.value = value
        return int(sampler(torch.zeros(1, 0), chunk.logits[:, 0]).argmax())

    stream = np.random.Generator(np.random.PCG64(decoding.seed))
    value = [stream.random() for _ in range(len(prefix) + 1)][-1]
    if drawn(value) == token:
        return 0.0
    low, high = (value, 1.0) if drawn(value) < token else (0.0, value)
    rising = drawn(value) < token
    for _ in range(40):
        middle = (low + high) / 2
        beyond = drawn(middle) >= token if rising else drawn(middle) > token
        low, high = (low, middle) if beyond else (middle, high)
    return abs(low - value)


def test_failures_and_ends_are_differences() -> None:
    (asked,) = requests(1)

    def said(text: str | None, finish: str = "stop") -> Answered:
        error = None if text is not None else "out of memory"
        return Answered(asked, Response(
            sample_id="s0", image_id=0, response=text, error=error, finish_reason=finish,  # type: ignore[arg-type]
        ))  # fmt: skip

    assert compare([said("a dog")], [said("a dog")]).equal == 1
    assert compare([said("a dog")], [said("a dog", "unknown")]).equal == 1
    for other in (said("a dot"), said("a dog", "length"), said(None)):
        parity = compare([said("a dog")], [other])
        assert (parity.equal, parity.same) == (0, False)
        assert parity.differences[0].near_tie is None
    failed = compare([said(None)], [said(None)])
    assert failed.differences[0].found == "(failed: out of memory)"
    with pytest.raises(ValueError, match="1 answers and 0"):
        compare([said("a")], [])


@given(st.text("ab", max_size=6), st.text("ab", max_size=6))
def test_common_start(one: str, other: str) -> None:
    n = common(one, other)
    assert one[:n] == other[:n]
    assert n == min(len(one), len(other)) or one[n] != other[n]


@settings(max_examples=30)
@given(st.lists(st.booleans(), min_size=1, max_size=8))
def test_counts_add_up(equal: list[bool]) -> None:
    asked = requests(1)[0]
    rows = [
        Answered(replace(asked, sample_id=str(i)), Response(sample_id=str(i), image_id=0, response=text))
        for i, text in enumerate("same" if same else "x" for same in equal)
    ]
    plain = [replace(row, response=row.response.model_copy(update={"response": "same"})) for row in rows]
    parity: Parity = compare(plain, rows)
    assert parity.n == len(equal) == parity.equal + len(parity.differences)
    assert [d.sample_id for d in parity.differences] == [str(i) for i, same in enumerate(equal) if not same]
