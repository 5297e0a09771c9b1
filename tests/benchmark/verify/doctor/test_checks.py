"""Each check of the doctor, with a correct model that passes and a faulty one that fails."""

import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from eidolon.benchmark.data.datasets import load_dataset
from eidolon.benchmark.data.samples import SampleSource
from eidolon.benchmark.engine.generation import describe_model
from eidolon.benchmark.store.diagnosis import Check
from eidolon.benchmark.verify.doctor import batching, image, loading, settings
from eidolon.benchmark.verify.doctor.parity import as_reference
from eidolon.benchmark.verify.doctor.subject import Subject, make_requests
from eidolon.models.backends.registry import ModelReference, backend_traits
from eidolon.models.backends.transformers import TransformersModel
from eidolon.models.base.model import Model, Request
from eidolon.models.base.shipped import shipped_models
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.types import Response
from tests.models import faulty
from tests.models.hybrid import HybridModel
from tests.models.hybrid import picture as noise_picture

SMALL = str(shipped_models()["scenes-small"])
CheckOf = Callable[[Subject], Check]


def scenes(n: int) -> SampleSource:
    return load_dataset("scenes", limit=n, seed=0, options={})


@pytest.fixture(scope="module")
def asked() -> list[Request]:
    return make_requests(scenes(8), 8, max_new_tokens=40, seed=0)


@pytest.fixture(scope="module")
def sound() -> TransformersModel:
    return TransformersModel(SMALL)


def subject(model: Model, asked: Sequence[Request], backend: str = "transformers", **more: Any) -> Subject:
    given = {"reference": as_reference(model), "described": describe_model(model), **more}
    traits = backend_traits(ModelReference("tried", backend, "tried"))
    return Subject(name="tried", traits=traits, model=model, requests=asked, **given)


@pytest.mark.parametrize(
    "check",
    [
        loading.weights, settings.length, batching.determinism, batching.batch, batching.padding, batching.order,
        image.image, settings.seeds,
    ],
)  # fmt: skip
@pytest.mark.parametrize("text_only", [False, True])
def test_a_correct_model_passes(
    sound: TransformersModel, asked: list[Request], check: CheckOf, text_only: bool
) -> None:
    model: Model = faulty.TextOnly(sound) if text_only else sound
    found = check(subject(model, asked))
    if text_only and check is loading.weights:
        assert found.verdict == "not applicable"
    else:
        assert found.verdict == "ok", found
    if found.n is not None:
        assert (found.equal, found.n, found.near_ties) == (8, 8, None)


@pytest.mark.parametrize(
    ("check", "kind", "told"),
    [
        (settings.length, faulty.ForgetsTheLimit, "8 answers are longer than 8 tokens"),
        (batching.determinism, faulty.KeepsState, "sample scenes-0-0 at token"),
        (batching.batch, faulty.SwapsPictures, "sample scenes-0-0 at token"),
        (batching.padding, faulty.IgnoresTheMask, "log-probabilities of the same text change by"),
        (batching.padding, faulty.CountsPadding, "at token"),
        (batching.order, faulty.ReversesPictures, "at token"),
        (batching.order, faulty.SwapsPictures, "at token"),
        (image.image, faulty.Blind, "another image changes no log-probability of 8 answers"),
        (image.image, faulty.RemembersPictures, "at token"),
        (settings.seeds, faulty.IgnoresSeeds, "no answer at temperature 1 changed with the seed"),
        (settings.seeds, faulty.SeedsByPlace, "at token"),
    ],
)
@pytest.mark.parametrize("text_only", [False, True])
def test_a_faulty_model_fails(
    asked: list[Request], check: CheckOf, kind: type[TransformersModel], told: str, text_only: bool
) -> None:
    """It also fails if only its text is known. Then near-ties are unknown."""
    broken = kind(SMALL)
    if kind is faulty.IgnoresTheMask and text_only:
        asked = [replace(r, decoding=replace(r.decoding, max_new_tokens=64)) for r in asked]
    found = check(subject(faulty.TextOnly(broken) if text_only else broken, asked))
    assert found.verdict == "differs", found
    if text_only:
        assert found.near_ties is None
        assert all(d.gap is None and d.token is None for d in found.differences)
        told = {
            "at token": "at character",
            "sample scenes-0-0 at token": "sample scenes-0-0 at character",
            "log-probabilities of the same text change by": "at character",
            "another image changes no log-probability of 8 answers": "no answer changed with the image",
        }.get(told, told)
    assert told in found.detail
    # After the limit of an answer, the other side has no token.
    if found.differences and not text_only and check is not settings.length:
        assert (found.largest_gap or 0) > 0.001


def test_seeds_by_position_are_found_although_each_batch_is_reproducible(asked: list[Request]) -> None:
    """Answers alone and in a batch differ; those of the same batch again do not."""
    found = settings.seeds(subject(faulty.SeedsByPlace(SMALL), asked))
    assert found.equal == 1, "the first request of the batch has its own seed, alone and together"


def test_unused_tensors_are_found(tmp_path: Path, asked: list[Request]) -> None:
    from safetensors.torch import load_file, save_file

    checkpoint = tmp_path / "more"
    shutil.copytree(SMALL, checkpoint)
    tensors = load_file(checkpoint / "model.safetensors")
    tensors["model.text_model.layers.0.gka.weight"] = torch.ones(4)
    save_file(tensors, checkpoint / "model.safetensors", metadata={"format": "pt"})
    found = loading.weights(subject(TransformersModel(str(checkpoint)), asked))
    assert (found.verdict, found.figures) == ("differs", {"unused": 1})
    assert "1 tensors of the checkpoint are not used by the model" in found.detail


def load_small(options: Mapping[str, str]) -> Model:
    return TransformersModel(SMALL, **options)


def test_precision(asked: list[Request], sound: TransformersModel) -> None:
    """Float32 has no finer precision to compare with. In float16 Idefics3 gets wrong positions of patches: it fails.

    transformers 5.19 computes the positions in the precision of the pixels (its pull request 47133).
    """
    full = loading.precision(subject(sound, asked, twin=load_small))
    assert (full.verdict, full.figures) == ("not applicable", {"weights": "float32", "states": "none"})
    half = loading.precision(subject(TransformersModel(SMALL, dtype="float16"), asked, twin=load_small))
    assert half.verdict == "differs"
    assert "of rounding" in half.detail
    repaired = TransformersModel(SMALL, dtype="float16")
    repaired.model.model.vision_model.embeddings.position_embedding.register_forward_pre_hook(
        lambda _, given: (torch.arange(given[0].shape[1]).expand_as(given[0]),)
    )
    found = loading.precision(subject(repaired, asked, twin=load_small))
    assert found.verdict == "ok", found
    assert 0.001 < float(found.figures["noise"]) < 0.03


def test_a_model_that_is_less_precise_than_it_says(asked: list[Request]) -> None:
    found = loading.precision(subject(faulty.SaysFloat32(SMALL), asked, twin=load_small))
    assert found.verdict == "differs"
    assert "some weights are bfloat16, not float32" in found.detail


def test_precision_of_a_backend_that_does_not_say(asked: list[Request], sound: TransformersModel) -> None:
    assert loading.precision(subject(faulty.TextOnly(sound), asked, "python")).verdict == "not applicable"


def test_no_memory_for_float32(asked: list[Request]) -> None:
    """With either error, the check does not apply and the examination continues."""
    coarse = TransformersModel(SMALL, dtype="bfloat16")
    for error in (torch.OutOfMemoryError("40 GiB wanted"), UserError("40 GiB wanted")):

        def too_large(options: Mapping[str, str], error: Exception = error) -> Model:
            raise error

        found = loading.precision(subject(coarse, asked, twin=too_large))
        assert found.verdict == "not applicable"
        assert found.detail == "the same model cannot be loaded in float32: 40 GiB wanted"


def keep_states_in_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers.cache_utils import LinearAttentionLayer

    update = LinearAttentionLayer.update_recurrent_state

    def coarse(self: Any, states: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        return update(self, states.bfloat16(), *args, **kwargs)

    monkeypatch.setattr(LinearAttentionLayer, "update_recurrent_state", coarse)


def test_what_was_found_without_float32_stays_found(
    pictures: list[Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model too large for a copy in float32 is just the one whose states in 16 bits matter."""
    keep_states_in_bfloat16(monkeypatch)

    def too_large(options: Mapping[str, str]) -> Model:
        raise UserError("40 GiB wanted")

    found = loading.precision(
        subject(HybridModel("hybrid"), pictures, twin=too_large, described={"dtype": "bfloat16"})
    )
    assert found.verdict == "differs"
    assert "recurrent states are kept in bfloat16" in found.detail


@pytest.mark.parametrize(
    ("declared", "verdict", "told"),
    [
        ("float16", "differs", "recurrent states are kept in float16"),
        ("float32", "ok", ""),
        ("auto", "not applicable", "all that the backend reports is float32"),
        (None, "not applicable", "all that the backend reports is float32"),
    ],
)
def test_states_of_a_backend_that_declares_them(
    asked: list[Request], sound: TransformersModel, declared: str | None, verdict: str, told: str
) -> None:
    described = {"dtype": "float32", "state_dtype": declared}
    found = loading.precision(subject(faulty.TextOnly(sound), asked, "vllm", described=described))
    assert found.verdict == verdict
    assert told in found.detail


class Cached:
    """A model with a prefix cache. A `leaky` one gives a wrong answer to a repeated request. With `reused`, it counts
    tokens from the cache, always so many."""

    def __init__(self, model: TransformersModel, leaky: bool, reused: int | None = None) -> None:
        self._model, self._leaky, self._reused = model, leaky, reused
        self._met: set[str] = set()
        self.closed = 0

    def usage(self) -> dict[str, int | float]:
        return {} if self._reused is None else {"reused_prompt_tokens": self._reused}

    def close(self) -> None:
        self.closed += 1

    def generate(self, requests: Sequence[Request]) -> Iterable[Response]:
        for request in requests:
            spoilt = self._leaky and request.sample_id in self._met
            self._met.add(request.sample_id)
            image = Image.new("RGB", request.image.size) if spoilt else request.image
            yield from self._model.generate([replace(request, image=image)])


@pytest.mark.parametrize("leaky", [False, True])
def test_prefix_cache(asked: list[Request], sound: TransformersModel, leaky: bool) -> None:
    loaded: list[tuple[Mapping[str, str], Cached]] = []
    own = Cached(sound, False)

    def twin(options: Mapping[str, str]) -> Model:
        assert all(model.closed for model in (own, *(model for _, model in loaded))), (
            "a device has room for one engine"
        )
        loaded.append((options, Cached(sound, leaky and options["prefix_caching"] == "true")))
        return loaded[-1][1]

    found = loading.prefix_cache(subject(own, asked, "vllm", twin=twin, reference=as_reference(sound)))
    assert found.verdict == ("differs" if leaky else "ok")
    assert [options for options, _ in loaded] == [{"prefix_caching": "false"}, {"prefix_caching": "true"}]
    assert all(model.closed for _, model in loaded)
    if leaky:
        assert (found.equal, found.near_ties) == (0, False)


@pytest.mark.parametrize(("reused", "verdict"), [(0, "not applicable"), (528, "ok")])
def test_a_cache_that_answers_nothing_is_not_tested(
    asked: list[Request], sound: TransformersModel, reused: int, verdict: str
) -> None:
    """Hybrid models have blocks of hundreds of tokens, and shorter prompts are never taken from the cache."""
    tried = subject(
        Cached(sound, False), asked, "vllm",
        twin=lambda options: Cached(sound, False, reused), reference=as_reference(sound),
    )  # fmt: skip
    found = loading.prefix_cache(tried)
    assert (found.verdict, found.figures["reused tokens"]) == (verdict, reused)


def test_no_prefix_cache(asked: list[Request], sound: TransformersModel) -> None:
    assert loading.prefix_cache(subject(sound, asked, twin=load_small)).verdict == "not applicable"


def test_against_another(asked: list[Request], sound: TransformersModel) -> None:
    """Without tokens, the reference decides: the same checkpoint passes, another one and bfloat16 fail."""
    other = TransformersModel(str(shipped_models()["scenes-base"]))
    coarse = TransformersModel(SMALL, dtype="bfloat16")
    reference = as_reference(sound)
    for model, verdict in ((sound, "ok"), (other, "differs"), (coarse, "differs")):
        tried = subject(faulty.TextOnly(model), asked, "openai", reference=reference, against=sound)
        found = loading.against(tried)
        assert found.verdict == verdict
        if verdict == "differs":
            assert found.near_ties is False
            assert (found.largest_gap or 0) > 0.001
    assert loading.against(subject(sound, asked)).verdict == "not applicable"


@pytest.fixture(scope="module")
def pictures() -> list[Request]:
    return [
        replace(r, image=noise_picture(i), decoding=replace(r.decoding, max_new_tokens=24))
        for i, r in enumerate(make_requests(scenes(6), 6, max_new_tokens=24, seed=0))
    ]


def test_a_hybrid_passes(pictures: list[Request]) -> None:
    """A model with recurrent and attention layers, padded prompts and an unknown processor."""
    model = HybridModel("hybrid")
    tried = subject(model, pictures, twin=lambda options: HybridModel("hybrid", **options))
    for check in (
        batching.determinism, batching.batch, batching.padding, batching.order, image.image, settings.length,
        settings.seeds, loading.precision,
    ):  # fmt: skip
        found = check(tried)
        assert found.verdict == "ok", found
    assert loading.precision(tried).figures["states"] == "float32"


def test_states_in_16_bits_are_found(pictures: list[Request], monkeypatch: pytest.MonkeyPatch) -> None:
    keep_states_in_bfloat16(monkeypatch)
    found = loading.precision(subject(HybridModel("hybrid"), pictures))
    assert found.verdict == "differs"
    assert "recurrent states are kept in bfloat16" in found.detail


def test_recurrent_layers_that_ignore_padding_are_found(
    pictures: list[Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One release of such layers did this. Their attention layers use the mask."""
    from transformers.models.qwen3_5 import modeling_qwen3_5

    monkeypatch.setattr(modeling_qwen3_5, "apply_mask_to_padding_states", lambda states, mask: states)
    model = HybridModel("hybrid")
    assert batching.batch(subject(model, pictures)).verdict == "ok"
    found = batching.padding(subject(model, pictures))
    assert found.verdict == "differs"
    assert float(found.figures["noise"]) > 0.01


class Failing:
    """Fails on every batch of more than one request."""

    def __init__(self, model: TransformersModel) -> None:
        self._model = model

    def generate(self, requests: Sequence[Request]) -> Iterable[Response]:
        if len(requests) == 1:
            return self._model.generate(requests)
        return [
            Response(sample_id=r.sample_id, image_id=r.image_id, response=None, error="out of memory")
            for r in requests
        ]


def test_a_failed_answer_is_not_equal(asked: list[Request], sound: TransformersModel) -> None:
    found = batching.batch(subject(Failing(sound), asked))
    assert (found.verdict, found.equal) == ("differs", 0)
    assert "(failed: out of memory)" in found.detail


def test_requests_need_two_images() -> None:
    source = scenes(1)
    with pytest.raises(UserError, match="has 1 readable images"):
        make_requests(source, 8, max_new_tokens=8, seed=0)


def test_a_limit_below_the_short_one(sound: TransformersModel, asked: list[Request]) -> None:
    few = [replace(r, decoding=replace(r.decoding, max_new_tokens=3)) for r in asked]
    found = settings.length(subject(sound, few))
    assert (found.verdict, found.figures) == ("ok", {"limit": 3})
