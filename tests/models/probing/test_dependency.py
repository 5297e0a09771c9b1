"""Visual prompt dependency of real models, against a naive twin, and of branches with an exactly known decay."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from eidolon.benchmark.scenes.scene import Dials, make_scene, render
from eidolon.models.backends.transformers import TransformersModel
from eidolon.models.base.contrast import Contrastive
from eidolon.models.base.model import Decoding, Failure, Request
from eidolon.models.base.shipped import shipped_models
from eidolon.models.generation.image_ablation import Form, shuffle_images
from eidolon.models.generation.m3id import contrast_scores
from eidolon.models.generation.recovery import OOM_ALONE, OOM_SPLITS, OUT_OF_MEMORY
from eidolon.models.generation.token_log import token_log
from eidolon.models.probing.dependency import (
    EMPTY,
    PADDING,
    PromptDependency,
    compare_branches,
    continue_greedily,
    distances,
    plan_batches,
    plausible_product,
    read_dependency,
)
from eidolon.models.probing.teacher_forcing import Chunk
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.forgetting.fading import TokenSeries, fit_fade
from eidolon.scorers.forgetting.fading_signal import fit_signal
from tests.models.hybrid import HybridModel, picture

PROMPTS = ("Describe this image in detail.", "Is there a cup in the image?", "What is in the image?")


@pytest.fixture(scope="module")
def model() -> TransformersModel:
    return TransformersModel(str(shipped_models()["scenes-small"]))


@pytest.fixture(scope="module")
def hybrid() -> HybridModel:
    return HybridModel("hybrid")


def scenes(n: int) -> list[Request]:
    return [Request(str(i), i, render(make_scene(78, i, Dials())), PROMPTS[i % 3]) for i in range(n)]


def texts(*lengths: int, vocabulary: int = 290) -> list[list[int]]:
    generator = torch.Generator().manual_seed(5)
    return [torch.randint(10, vocabulary, (n,), generator=generator).tolist() for n in lengths]


def expected(
    model: TransformersModel, request: Request, tokens: Sequence[int], pictures: bool
) -> torch.Tensor:
    """(tokens, vocabulary) log-probabilities in float64: for each position the whole text before it is read again."""
    rows = []
    for position in range(len(tokens)):
        inputs = dict(model.prepare([request], images=pictures))
        written = torch.tensor([list(tokens[:position])], dtype=torch.int64)
        inputs["input_ids"] = torch.cat([inputs["input_ids"], written], dim=1)
        inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
        with torch.no_grad():
            logits = model.model(**inputs, use_cache=False).logits[0, -1].double()
        rows.append(logits - logits.logsumexp(0))
    return torch.stack(rows)


@pytest.mark.parametrize("form", ["dropped", "shuffled"])
def test_it_equals_the_naive_twin(model: TransformersModel, form: Form) -> None:
    """Texts of different lengths after prompts of different lengths, in batches; every number of every token."""
    requests, written = scenes(4), texts(7, 0, 11, 10)
    found = read_dependency(model, requests, written, form=form, seed=3, width=4, batch=2, top=3)
    donors = shuffle_images([request.image_id for request in requests], 3)
    for row, (request, tokens, reading) in enumerate(zip(requests, written, found, strict=True)):
        if not tokens:
            assert reading == EMPTY
            continue
        other = request
        if form == "shuffled":
            other = Request("x", "x", requests[donors[row]].image, request.prompt)
        seen = expected(model, request, tokens, True)
        blind = expected(model, other, tokens, form == "shuffled")
        assert reading.tokens == tuple(tokens)
        for t, token in enumerate(tokens):
            assert reading.seen[t] == pytest.approx(float(seen[t, token]), abs=2e-4)
            assert reading.blind[t] == pytest.approx(float(blind[t, token]), abs=2e-4)
            overlap = math.fsum(
                math.exp((float(a) + float(b)) / 2) for a, b in zip(seen[t], blind[t], strict=True)
            )
            assert reading.hellinger[t] == pytest.approx(math.sqrt(max(0.0, 1 - overlap)), abs=1e-4)
            apart = [float(a - b) for a, b in zip(seen[t], blind[t], strict=True)]
            centre = sum(apart) / len(apart)
            size = math.sqrt(sum((x - centre) ** 2 for x in apart) / len(apart))
            assert reading.difference[t] == pytest.approx(size, rel=1e-3, abs=1e-5)
            leaning = contrast_scores(seen[t : t + 1], blind[t : t + 1], Contrastive(), 0)[0]
            for scores, likely, tops in (
                (seen[t], seen[t], reading.top_seen[t]),
                (blind[t], blind[t], reading.top_blind[t]),
                (leaning, seen[t], reading.top_contrast[t]),
            ):
                best = scores.topk(4)
                gaps = -best.values.diff()
                if float(gaps.min()) > 1e-3 or math.isnan(float(gaps.min())):
                    # The order of tokens that are not plausible is arbitrary.
                    sure = [
                        int(i) for i, v in zip(best.indices[:3], best.values, strict=False) if v > -math.inf
                    ]
                    assert [token for token, _ in tops][: len(sure)] == sure
                for token, probability in tops:
                    assert probability == pytest.approx(math.exp(float(likely[token])), abs=1e-4)


def test_a_batch_that_does_not_fit_is_read_in_parts(
    model: TransformersModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five texts are read by threes and twos; at most two fit at once, and one never fits."""
    requests, written = scenes(5), texts(20, 19, 20, 18, 20)
    whole = read_dependency(model, requests, written)
    prepare, sizes = model.prepare, []

    def tight(asked: Sequence[Request], **options: Any) -> Any:
        sizes.append(len(asked))
        if len(asked) > 2 or any(one.sample_id == "3" for one in asked):
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return prepare(asked, **options)

    monkeypatch.setattr(model, "prepare", tight)
    monkeypatch.setattr(model, "counts", Counter())
    with pytest.raises(torch.OutOfMemoryError):
        read_dependency(model, requests, written, batch=3)
    failures: dict[int, Failure] = {}
    found = read_dependency(model, requests, written, batch=3, failures=failures)
    assert failures == {3: Failure(OUT_OF_MEMORY, transient=True)}
    assert found[3] == EMPTY
    assert model.usage() == {OOM_SPLITS: 2, OOM_ALONE: 1}
    for row in (0, 1, 2, 4):
        assert found[row].tokens == whole[row].tokens
        assert found[row].hellinger == pytest.approx(whole[row].hellinger, abs=1e-5)
        assert found[row].difference == pytest.approx(whole[row].difference, rel=1e-3, abs=1e-5)


@pytest.mark.parametrize("kind", ["model", "hybrid"])
def test_it_continues_as_generation_does(kind: str, request: pytest.FixtureRequest) -> None:
    one: TransformersModel = request.getfixturevalue(kind)
    decoding = Decoding(max_new_tokens=14)
    asked = scenes(1)[0] if kind == "model" else Request("0", 0, picture(0), PROMPTS[0])
    asked = replace(asked, decoding=decoding)
    with token_log() as tokens:
        list(one.generate([asked]))
    written = tokens["0", 0]
    for at in (0, 1, 8):
        assert continue_greedily(one, asked, written[:at], written[at : at + 1], length=5) == [
            written[at : at + 6]
        ]


@pytest.mark.parametrize("form", [None, "dropped"])
def test_it_continues_as_the_naive_twin_does(model: TransformersModel, form: Form | None) -> None:
    (asked,), (prefix,) = scenes(1), texts(7)
    for found, start in zip(
        continue_greedily(model, asked, prefix, [30, 77], form=form, length=3), (30, 77), strict=True
    ):
        written = [*prefix, start]
        for _ in range(3):
            # The last row is the prediction after all tokens but the last, which may be any token.
            written.append(int(expected(model, asked, [*written, 0], form is None)[-1].argmax()))
        assert found == tuple(written[len(prefix) :])


@given(st.integers(2, 400), st.floats(0.01, 30), st.floats(0, 10), st.integers(0, 10**6))
def test_the_hellinger_distance_two_ways(vocabulary: int, sharpness: float, apart: float, seed: int) -> None:
    """The norm in float32 against sqrt(1 - Σ√(PQ)) in float64, also where the branches nearly agree."""
    generator = torch.Generator().manual_seed(seed)
    one = sharpness * torch.randn(3, vocabulary, generator=generator)
    other = one + apart * torch.randn(3, vocabulary, generator=generator)
    p, q = (x.log_softmax(dim=-1) for x in (one, other))
    found, size = distances(p, q)
    p64, q64 = (x.double().log_softmax(dim=-1).exp() for x in (one, other))
    twin = (1 - (p64 * q64).sqrt().sum(-1)).clamp(min=0).sqrt()
    assert found.tolist() == pytest.approx(twin.tolist(), abs=1e-5)
    assert bool(((found >= 0) & (found <= 1 + 1e-6)).all())
    assert size.tolist() == pytest.approx(
        (p - q).double().std(dim=-1, correction=0).tolist(), rel=1e-4, abs=1e-5
    )
    same, none = distances(p, p)
    assert same.tolist() == none.tolist() == [0, 0, 0]


def test_the_product_of_two_forms_against_loops() -> None:
    """Over the tokens that the second form finds plausible; NaN where there is one such token."""
    generator = torch.Generator().manual_seed(4)
    seen, blind, other = (3 * torch.randn(20, 30, generator=generator) for _ in range(3))
    other[0, 3] = 40.0
    seen[1, 2] = -math.inf
    branches = [one.log_softmax(-1) for one in (seen, blind, other)]
    found = plausible_product(*branches).tolist()
    assert math.isnan(found[0])
    for row in range(1, 20):
        c, u, v = (one[row].double().tolist() for one in branches)
        kept = [k for k in range(30) if v[k] >= max(v) + math.log(0.1) and math.isfinite(c[k])]
        if len(kept) < 2:
            assert math.isnan(found[row])
            continue
        apart = [[c[k] - one[k] for k in kept] for one in (u, v)]
        centred = [[x - sum(one) / len(one) for x in one] for one in apart]
        expected_product = sum(a * b for a, b in zip(*centred, strict=True)) / len(kept)
        assert found[row] == pytest.approx(expected_product, rel=1e-4, abs=1e-5)
    same = plausible_product(branches[0], branches[1], branches[0])
    assert [x for x in same.tolist() if not math.isnan(x)] == pytest.approx([0] * int((~same.isnan()).sum()))


def test_a_second_form_is_read_beside_the_first(model: TransformersModel) -> None:
    requests, written = scenes(4), texts(7, 0, 11, 10)
    both = read_dependency(model, requests, written, form="shuffled", beside="neutral", seed=3)
    for form, pick in (("shuffled", "hellinger"), ("neutral", "beside")):
        alone = read_dependency(model, requests, written, form=form, seed=3)  # type: ignore[arg-type]
        for one, other in zip(both, alone, strict=True):
            assert getattr(one, pick) == pytest.approx(other.hellinger, abs=1e-5)
    lent = [requests[row].image for row in shuffle_images([request.image_id for request in requests], 3)]
    again = read_dependency(model, requests, written, form="shuffled", beside="neutral", others=lent)
    assert [one.hellinger for one in again] == [one.hellinger for one in both]


@pytest.mark.parametrize("rate", [0.02, 0.0])
def test_noise_without_the_image_does_not_hide_the_fading(rate: float) -> None:
    """0.1 nats of noise in each form without the image. The line through the whole vocabulary is biased to 0."""
    rows, length, vocabulary, noise = 20, 60, 2000, 0.1
    generator = torch.Generator().manual_seed(7)
    fade = torch.exp(-rate * torch.arange(length))[:, None]
    made = []
    for image in range(rows):
        prior = 3 * torch.randn(length, vocabulary, generator=generator)
        changed = 2 * torch.randn(length, vocabulary, generator=generator)
        looking = prior + changed * (prior > prior.amax(1, keepdim=True) - 3)
        seen = (fade * looking.log_softmax(-1) + (1 - fade) * prior.log_softmax(-1)).log_softmax(-1)
        u, v = (
            (prior + noise * torch.randn(length, vocabulary, generator=generator)).log_softmax(-1)
            for _ in range(2)
        )
        hellinger, difference = (one.numpy() for one in distances(seen, u))
        kinds, verdicts = ("content",) * length, (None,) * length
        signal = plausible_product(seen, u, v).numpy()
        made.append(TokenSeries(image, hellinger, difference, kinds, verdicts, hellinger, signal))  # type: ignore[arg-type]
    found = fit_signal(made, "", resamples=200)
    assert found.rate == pytest.approx(rate, abs=0.0015)
    assert found.rate_ci is not None
    assert found.rate_ci[0] <= rate <= found.rate_ci[1]
    assert found.finding == ("decay" if rate else "no decay")
    if rate:
        assert (fit_fade(made, "", resamples=0).rate or 0) < 0.6 * rate


def test_tokens_of_probability_zero() -> None:
    """They count for the distance, but not for the centred difference, which would be infinite."""
    one = torch.tensor([[0.5, 0.5, 0.0]]).log()
    other = torch.tensor([[0.25, 0.5, 0.25]]).log()
    hellinger, size = distances(one, other)
    assert float(hellinger) == pytest.approx(math.sqrt(1 - (math.sqrt(0.125) + 0.5)), abs=1e-6)
    assert float(size) == pytest.approx(math.log(2) / 2, abs=1e-6)
    alone, nothing = distances(torch.tensor([[1.0, 0.0]]).log(), torch.tensor([[0.0, 1.0]]).log())
    assert (float(alone), float(nothing)) == (pytest.approx(1), 0)


def test_a_known_decay_is_recovered_from_logits() -> None:
    """l(t) = f_t·l*(t) + (1 - f_t)·l_u(t) with f_t = e^{-λt}, all of it over chunks; λ within 2 %."""
    rate, length, vocabulary, rows = 0.02, 200, 512, 6
    generator = torch.Generator().manual_seed(2)
    looking = 6 * torch.randn(rows, length, vocabulary, generator=generator)
    blind = 3 * torch.randn(rows, length, vocabulary, generator=generator)
    gamma = torch.exp(-rate * torch.arange(length))[:, None]
    # Up to a constant, which softmax cancels.
    seen = gamma * looking.log_softmax(-1) + (1 - gamma) * blind.log_softmax(-1) + 7.0
    tokens = torch.randint(0, vocabulary, (rows, length), generator=generator)

    def chunks(logits: torch.Tensor) -> Iterator[Chunk]:
        alive = torch.ones_like(tokens, dtype=torch.bool)
        for start in range(0, length, 32):
            part = slice(start, start + 32)
            yield Chunk(start, tokens[:, part], alive[:, part], logits[:, part])

    readings = compare_branches(chunks(seen), chunks(blind), rows=rows)
    series = [_series(image, reading) for image, reading in enumerate(readings)]
    fit = fit_fade(series, "")
    assert fit.rate == pytest.approx(rate, rel=0.02)
    assert fit.rate_ci is not None
    assert fit.half_life == pytest.approx(math.log(2) / rate, rel=0.02)
    # The Hellinger distance itself is not an exponential of the same rate.
    naive = fit_fade(
        [TokenSeries(s.image_id, s.hellinger, s.hellinger, s.kinds, s.verdicts) for s in series], ""
    )
    assert naive.rate != pytest.approx(rate, rel=0.05)


def _series(image: int, reading: PromptDependency) -> TokenSeries:
    import numpy as np

    n = len(reading.tokens)
    arrays = np.array(reading.hellinger), np.array(reading.difference)
    return TokenSeries(image, *arrays, ("content",) * n, (None,) * n)


@pytest.mark.parametrize("form", ["zeroed", "shuffled"])
def test_a_model_that_ignores_its_image_does_not_depend_on_it(model: TransformersModel, form: Form) -> None:
    handle = model.model.model.connector.register_forward_hook(lambda _, __, out: torch.zeros_like(out))
    try:
        blind = read_dependency(model, scenes(3), texts(20, 18, 20), form=form)
    finally:
        handle.remove()
    assert max(h for reading in blind for h in reading.hellinger) < 1e-5
    looking = read_dependency(model, scenes(3), texts(20, 18, 20), form=form)
    assert max(h for reading in looking for h in reading.hellinger) > 0.05, "else the test says nothing"


@pytest.mark.parametrize("form", ["zeroed", "neutral", "shuffled"])
def test_a_hybrid_can_be_measured(hybrid: HybridModel, form: Form) -> None:
    requests = [Request(str(i), i, picture(i), PROMPTS[i % 3]) for i in range(3)]
    written = texts(6, 5, 6)
    together = read_dependency(hybrid, requests, written, form=form, width=3)
    assert all(
        len(reading.hellinger) == len(tokens) for reading, tokens in zip(together, written, strict=True)
    )
    if form != "shuffled":  # which needs several requests to assign images
        alone = read_dependency(hybrid, requests[1:2], written[1:2], form=form)[0]
        assert together[1].hellinger == pytest.approx(alone.hellinger, abs=1e-4)


def test_the_cost_is_at_most_2_2_positions_a_token(model: TransformersModel) -> None:
    """All positions that the language model reads beyond the prompts, padding included, for texts of all lengths."""
    lengths = [3, 90, 41, 40, 38, 12, 88, 86, 39, 5, 85, 11, 17, 60]
    requests, written = scenes(len(lengths)), texts(*lengths)
    shapes: list[tuple[int, int, bool]] = []

    def note(_: Any, args: Any, kwargs: Any, __: Any) -> None:
        cached = (
            kwargs["past_key_values"].get_seq_length() if kwargs.get("past_key_values") is not None else 0
        )
        batch, width = kwargs["inputs_embeds"].shape[:2]
        shapes.append((batch, width, cached > width))

    handle = model.model.model.text_model.register_forward_hook(note, with_kwargs=True)
    try:
        readings = read_dependency(model, requests, written, width=16)
    finally:
        handle.remove()
    assert [len(reading.tokens) for reading in readings] == lengths
    read = sum(batch * width for batch, width, goes_on in shapes if goes_on)
    assert 1.8 * sum(lengths) < read <= 2.2 * sum(lengths)
    prompts = Counter(batch for batch, _, goes_on in shapes if not goes_on)
    batches = plan_batches(lengths)
    # Each batch's prompt twice; and once a pair, by which the form is tried out.
    assert sum(prompts.values()) == 2 * len(batches) + 1
    assert len(batches) < len(lengths) / 1.5, "texts are read in batches"


@given(st.lists(st.integers(0, 300), max_size=60), st.integers(1, 12))
def test_batches_have_every_text_once_and_limited_padding(lengths: list[int], batch: int) -> None:
    batches = plan_batches(lengths, batch)
    assert sorted(row for rows in batches for row in rows) == [i for i, n in enumerate(lengths) if n]
    for rows in batches:
        assert len(rows) <= batch
        assert len(rows) * max(lengths[row] for row in rows) <= (1 + PADDING) * sum(
            lengths[row] for row in rows
        )


def test_texts_of_one_length_fill_their_batches() -> None:
    assert [len(rows) for rows in plan_batches([50] * 20, 8)] == [8, 8, 4]


def peak_bytes(model: TransformersModel, length: int, width: int) -> int:
    """Most bytes of tensors that were alive at once during a measurement."""
    requests, written = scenes(4), texts(*[length] * 4)
    read_dependency(model, requests, written, width=width)  # one-time allocations happen here
    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True, acc_events=True
    ) as profiler:
        read_dependency(model, requests, written, width=width)
    assert profiler.profiler is not None
    alive = most = 0
    for event in sorted(profiler.profiler.kineto_results.events(), key=lambda event: event.start_ns()):
        if event.name() == "[memory]":
            alive += event.nbytes()
            most = max(most, alive)
    return most


def test_memory_does_not_grow_with_vocabulary_times_length(model: TransformersModel) -> None:
    """Only the caches of the two branches grow with the text; a chunk of logits does not."""
    config = model.model.config.text_config
    vocabulary = config.vocab_size
    head = config.hidden_size // config.num_attention_heads
    cache = 2 * 2 * config.num_hidden_layers * config.num_key_value_heads * head * 4
    short, long = (peak_bytes(model, length, 8) for length in (40, 200))
    grown = (long - short) / (4 * 160)
    whole = 2 * vocabulary * 4
    # A cache is copied when it grows, one layer at a time, and masks grow too.
    assert grown < 2 * cache
    assert grown < whole / 2, "else all logits could be there"
    wide = peak_bytes(model, 200, 128)
    assert wide - long > 4 * 100 * whole / 2, "the measure sees logits where there are many"


def test_models_that_cannot_be_forced_or_ablated_are_refused(model: TransformersModel) -> None:
    same = [Request(str(i), "a", scenes(1)[0].image, "What?") for i in range(2)]
    with pytest.raises(UserError, match="all 2 requests of the batch are about image 'a'"):
        read_dependency(model, same, texts(3, 3), form="shuffled")
