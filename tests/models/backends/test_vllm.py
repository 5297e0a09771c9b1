"""vLLM on a CPU with the shipped checkpoints: it answers as the transformers backend does."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from eidolon.benchmark.scenes.scene import Dials, make_scene, render
from eidolon.models.backends import transformers as transformers_backend
from eidolon.models.backends import vllm as vllm_backend
from eidolon.models.backends.registry import load_model
from eidolon.models.backends.transformers import TransformersModel
from eidolon.models.backends.vllm import NEUTRAL, PATIENCE, VllmModel, stop_ids
from eidolon.models.base.model import REUSED, Decoding, Request, request_seed
from eidolon.models.base.shipped import shipped_models
from eidolon.models.generation.generated_text import to_response
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.types import Response

pytestmark = pytest.mark.usefixtures("with_vllm")

CHECKPOINT = shipped_models()["scenes-base"]
SMALL = shipped_models()["scenes-small"]
DESCRIBE = "Describe this image in detail."
PROMPTS = (DESCRIBE, "Is there a cup in the image?", "What is in the image?")
NEAR_TIE = 1e-3
"""Gap of two log-probabilities whose order rounding in float32 may change. Measured: below 2e-5."""


def requests(n: int, decoding: Decoding, prompts: Sequence[str] = PROMPTS) -> list[Request]:
    return [
        Request(str(i), i, render(make_scene(91, i, Dials())), prompts[i % len(prompts)], decoding=decoding)
        for i in range(n)
    ]


def seeded(n: int, decoding: Decoding, run_seed: int = 5) -> list[Request]:
    return [
        replace(request, decoding=replace(decoding, seed=request_seed(run_seed, request.sample_id, 0)))
        for request in requests(n, decoding)
    ]


def answers(model: VllmModel | TransformersModel, asked: Sequence[Request]) -> list[Response]:
    """Return the responses of one batch in the order of the requests."""
    found = {response.sample_id: response for response in model.generate(asked)}
    assert len(found) == len(asked)
    return [found[request.sample_id] for request in asked]


def texts(responses: Sequence[Response]) -> list[str | None]:
    return [response.response for response in responses]


@pytest.fixture(scope="module")
def model(with_vllm: None) -> Iterator[VllmModel]:
    loaded = load_model("vllm/scenes-base", {"logprobs": "true", "kv_cache_gib": "1"})
    assert isinstance(loaded, VllmModel)
    yield loaded
    loaded.close()


@pytest.fixture(scope="module")
def peer() -> TransformersModel:
    return TransformersModel(str(CHECKPOINT))


Load = Callable[..., VllmModel]


@pytest.fixture
def load() -> Iterator[Load]:
    """Return a function that loads further models. They are closed at the end."""
    loaded: list[VllmModel] = []

    def call(path: Path, **options: str) -> VllmModel:
        loaded.append(VllmModel(str(path), **{"kv_cache_gib": "0.25", **options}))
        return loaded[-1]

    yield call
    for one in loaded:
        one.close()


def copy_of(checkpoint: Path, folder: Path, **generation: Any) -> Path:
    """Copy a checkpoint, with other fields in its generation_config."""
    shutil.copytree(checkpoint, folder)
    own = folder / "generation_config.json"
    own.write_text(json.dumps(json.loads(own.read_text()) | generation))
    return folder


def log_probabilities(peer: TransformersModel, request: Request, tokens: Sequence[int]) -> torch.Tensor:
    """Teacher-force a continuation: return the log-probabilities (token, vocabulary)."""
    inputs = dict(peer.prepare([request]))
    start = inputs["input_ids"].shape[1]
    more = torch.tensor([list(tokens)])
    inputs["input_ids"] = torch.cat([inputs["input_ids"], more], dim=1)
    inputs["attention_mask"] = torch.cat([inputs["attention_mask"], torch.ones_like(more)], dim=1)
    with torch.inference_mode():
        logits: torch.Tensor = peer.model(**inputs).logits
    return logits[0, start - 1 : -1].log_softmax(dim=-1)


def test_greedy_answers_and_probabilities_are_those_of_transformers(
    model: VllmModel, peer: TransformersModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """40 descriptions of at most 120 tokens; transformers gets batches of 8, vLLM all at once."""
    rows: dict[str, dict[str, list[int]]] = {"vllm": {}, "transformers": {}}
    for name, module in (("vllm", vllm_backend), ("transformers", transformers_backend)):

        def record(request: Request, row: Sequence[int], _into: Any = rows[name], **more: Any) -> Response:
            _into[request.sample_id] = list(row)
            return to_response(request, row, **more)

        monkeypatch.setattr(module, "to_response", record)
    asked = requests(40, Decoding(max_new_tokens=120), [DESCRIBE])
    here = answers(model, asked)
    there = [response for start in range(0, 40, 8) for response in answers(peer, asked[start : start + 8])]

    same = 0
    for request, ours, theirs in zip(asked, here, there, strict=True):
        assert ours.prompt_tokens == theirs.prompt_tokens
        tokens, others = rows["vllm"][request.sample_id], rows["transformers"][request.sample_id]
        forced = log_probabilities(peer, request, tokens)
        kept = len(ours.token_logprobs or ())
        expected = forced[range(kept), tokens[:kept]]
        assert torch.allclose(torch.tensor(ours.token_logprobs), expected, atol=1e-3)
        if ours.response == theirs.response:
            same += 1
            assert ours.model_copy(update={"token_logprobs": None}) == theirs
        else:
            first = next(i for i, (a, b) in enumerate(zip(tokens, others, strict=False)) if a != b)
            gap = forced[first, others[first]] - forced[first, tokens[first]]
            assert abs(gap) < NEAR_TIE, (request.sample_id, first, float(gap))
    assert same >= 38


def test_questions_are_answered_as_by_transformers(model: VllmModel, peer: TransformersModel) -> None:
    things = ("cup", "bench", "person", "car", "bird")
    asked = requests(
        20, Decoding(max_new_tokens=16), [f"Is there a {thing} in the image?" for thing in things]
    )
    ours, theirs = answers(model, asked), answers(peer, asked)
    assert texts(ours) == texts(theirs)
    assert {r.finish_reason for r in ours} == {"stop"}
    assert {str(r.response)[:2] for r in ours} == {"Ye", "No"}


def test_each_response_has_its_finish_reason_and_token_ends(model: VllmModel) -> None:
    responses = answers(model, requests(9, Decoding(max_new_tokens=30)))
    assert {r.finish_reason for r in responses} == {"length", "stop"}
    for response in responses:
        text, ends, count = response.response, response.token_ends, response.completion_tokens
        assert text is not None
        assert ends is not None
        assert count is not None
        assert list(ends) == sorted(ends)
        assert ends[-1] == len(text)
        assert len(ends) == count - (response.finish_reason == "stop") == len(response.token_logprobs or ())
        assert count == 30 if response.finish_reason == "length" else count <= 30


def test_a_sampled_response_depends_on_its_own_request_only(model: VllmModel) -> None:
    """A hundred prompts have more tokens than are computed at once, so some wait."""
    asked = seeded(100, Decoding(max_new_tokens=25, temperature=1.0, top_p=0.9))
    together = texts(answers(model, asked))
    assert None not in together
    assert texts(answers(model, asked)) == together
    backwards = texts(answers(model, asked[::-1]))[::-1]
    alone = [answers(model, [request])[0].response for request in asked[-20:]]
    # Another batch rounds differently, which may change a draw at the border of two tokens.
    assert sum(a == b for a, b in zip(together, backwards, strict=True)) >= 98
    assert sum(a == b for a, b in zip(together[-20:], alone, strict=True)) >= 19
    others = texts(answers(model, seeded(100, asked[0].decoding, run_seed=6)))
    assert sum(a == b for a, b in zip(together, others, strict=True)) < 50, "yes and no agree by chance"


def test_temperature_and_nucleus_are_per_request(model: VllmModel) -> None:
    greedy = texts(answers(model, requests(6, Decoding(max_new_tokens=30))))
    narrow = Decoding(max_new_tokens=30, temperature=1.0, top_p=1e-6)
    assert texts(answers(model, seeded(6, narrow))) == greedy
    assert texts(answers(model, seeded(6, replace(narrow, top_p=1.0)))) != greedy
    # Requests of one batch may differ in every setting: each has its own.
    mixed = [*requests(3, Decoding(max_new_tokens=30)), *seeded(6, replace(narrow, max_new_tokens=5))[3:]]
    found = answers(model, mixed)
    assert texts(found[:3]) == greedy[:3]
    assert max(r.completion_tokens or 0 for r in found[3:]) == 5


def test_probabilities_do_not_depend_on_the_temperature(model: VllmModel, peer: TransformersModel) -> None:
    (request,) = seeded(1, Decoding(max_new_tokens=25, temperature=2.0, top_p=0.8))
    (response,) = answers(model, [request])
    ids = peer._tokenizer.encode(" " + str(response.response), add_special_tokens=False)
    assert len(ids) == len(response.token_logprobs or ()), "the text is not tokenised as it was generated"
    forced = log_probabilities(peer, request, ids)
    assert torch.allclose(torch.tensor(response.token_logprobs), forced[range(len(ids)), ids], atol=1e-3)


def test_a_models_own_generation_config_changes_nothing(model: VllmModel, load: Load, tmp_path: Path) -> None:
    odd = copy_of(
        CHECKPOINT, tmp_path / "odd", do_sample=True, temperature=5.0, top_k=1, top_p=0.1, min_p=0.3,
        repetition_penalty=9.0, max_new_tokens=3, max_length=60, no_repeat_ngram_size=1,
        suppress_tokens=[300, 301],
    )  # fmt: skip
    asked = [*requests(3, Decoding(max_new_tokens=40)), *seeded(6, Decoding(40, temperature=1.0))[3:]]
    expected = [r.model_copy(update={"token_logprobs": None}) for r in answers(model, asked)]
    assert answers(load(odd), asked) == expected


def test_answers_end_where_they_do_with_transformers(
    load: Load, peer: TransformersModel, tmp_path: Path
) -> None:
    """At each end id of the checkpoint's generation_config; without one, at the tokenizer's."""
    stop = peer._tokenizer.encode("I can see a bird.", add_special_tokens=False)[-1]
    two = copy_of(CHECKPOINT, tmp_path / "two", eos_token_id=[peer._tokenizer.eos_token_id, stop])
    asked = requests(6, Decoding(max_new_tokens=60))
    ours, theirs = answers(load(two), asked), answers(TransformersModel(str(two)), asked)
    assert ours == theirs
    assert all("." not in str(r.response) for r in ours)
    assert {r.finish_reason for r in ours} == {"stop"}
    bare = copy_of(SMALL, tmp_path / "bare")
    (bare / "generation_config.json").unlink()
    other = TransformersModel(str(bare))
    assert stop_ids(str(bare), "main", other.model.config, other._tokenizer) == other._ids["eos_token_id"]


def test_no_setting_is_left_to_a_default(model: VllmModel) -> None:
    from vllm import SamplingParams

    own = {
        "temperature", "top_p", "seed", "max_tokens", "ignore_eos", "stop_token_ids", "logprobs", "output_kind",
    }  # fmt: skip
    # Derived from other fields, and a switch for callers that share settings.
    derived = {"skip_clone", "output_text_buffer_length"}
    public = {name for name in SamplingParams.__struct_fields__ if not name.startswith("_")}
    assert public - derived == own | set(NEUTRAL)


def test_only_the_request_that_does_not_fit_is_unscored(load: Load) -> None:
    narrow = load(SMALL, max_model_len="90")
    asked = requests(3, Decoding(max_new_tokens=10), [DESCRIBE])
    # If nothing fits from the start, the user must fix it.
    hopeless = [replace(request, prompt="word " * 100) for request in asked]
    with pytest.raises(UserError, match=r"none of 3 requests is accepted.*maximum context length is 90"):
        list(narrow.generate(hopeless))
    asked[1] = replace(asked[1], prompt="word " * 100)
    first, second, third = answers(narrow, asked)
    assert first.error is None
    assert third.error is None
    assert second.response is None
    assert second.finish_reason == "error"
    assert "maximum context length is 90" in str(second.error)
    assert not second.transient
    (cut,) = answers(narrow, requests(1, Decoding(max_new_tokens=500), [DESCRIBE]))
    assert cut.finish_reason in ("length", "stop")
    assert (cut.prompt_tokens or 0) + (cut.completion_tokens or 0) <= 90


def test_a_crash_of_the_engine_loses_no_answer(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    mortal = load(SMALL)
    asked = requests(6, Decoding(max_new_tokens=20))
    expected = answers(mortal, asked)

    def die_after(steps: int) -> None:
        assert mortal._engine is not None
        engine = mortal._engine.llm.llm_engine
        whole, left = engine.step, iter(range(steps))

        def step() -> Any:
            if next(left, None) is None:
                raise RuntimeError("the device is\n gone")
            return whole()

        monkeypatch.setattr(engine, "step", step)

    die_after(12)
    found = answers(mortal, asked)
    assert mortal._engine is None
    lost = [response for response in found if response.error is not None]
    assert 0 < len(lost) < 6, "short answers came before"
    for response, whole in zip(found, expected, strict=True):
        if response.error is None:
            assert response == whole
        else:
            assert response.transient
            assert response.error == "vLLM's engine crashed: RuntimeError: the device is gone"
    # The next batch has a new engine.
    assert answers(mortal, asked) == expected
    for _ in range(PATIENCE - 1):
        die_after(0)
        assert all(response.transient for response in mortal.generate(asked))
        mortal._engine = mortal._start()
    die_after(0)
    with pytest.raises(UserError, match=r"crashed 2 times before it answered anything \(RuntimeError"):
        list(mortal.generate(asked))


def test_requests_are_dropped_when_the_caller_stops(model: VllmModel) -> None:
    next(iter(model.generate(requests(3, Decoding(max_new_tokens=30)))))
    assert model._engine is not None
    asked = requests(2, Decoding(max_new_tokens=5))
    assert [r.sample_id for r in answers(model, asked)] == ["0", "1"]
    assert not model._engine.llm.llm_engine.has_unfinished_requests()


def test_prefix_caching_changes_no_answer_and_is_recorded(
    model: VllmModel, peer: TransformersModel, load: Load
) -> None:
    assert model.describe()["prefix_caching"] is False
    cached = load(CHECKPOINT, prefix_caching="true", logprobs="true")
    assert cached.describe()["prefix_caching"] is True
    # A cached block has 128 tokens on a CPU; shorter prompts never enter the cache.
    asked = requests(6, Decoding(max_new_tokens=30), [" ".join([DESCRIBE] * 60), " ".join([DESCRIBE] * 50)])
    expected = texts(answers(model, asked))
    assert texts(answers(cached, asked)) == expected
    cold = cached.usage()[REUSED]
    assert texts(answers(cached, asked)) == expected, "all prompts are in the cache now"
    prompts = sum(peer.prepare([request])["input_ids"].shape[1] for request in asked)
    assert prompts / 2 < cached.usage()[REUSED] - cold < prompts, "the last token is always computed"
    assert model.usage() == {}


def test_its_description_is_json(model: VllmModel) -> None:
    described = json.loads(json.dumps(model.describe()))
    assert described == model.describe()
    assert described["class"] == "Idefics3ForConditionalGeneration"
    assert (described["device"], described["dtype"], described["hybrid"]) == ("cpu", "float32", False)
    assert described["attention"] == ["CPU_ATTN"]
    assert described["max_model_len"] == 4096
    assert described["unused_weights"] == 0


def test_processor_settings_reach_the_processor(model: VllmModel, load: Load) -> None:
    """Half the side: the same number of image tokens, other pixels."""
    blurred = load(CHECKPOINT, mm_processor_kwargs='{"size": {"longest_edge": 24}}', max_num_seqs="4")
    assert blurred.describe()["mm_processor_kwargs"] == {"size": {"longest_edge": 24}}
    assert blurred.describe()["max_num_seqs"] == 4
    asked = requests(4, Decoding(max_new_tokens=30), [DESCRIBE])
    assert texts(answers(blurred, asked)) != texts(answers(model, asked))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dtyp": "float32"}, "did you mean 'dtype'"),
        ({"dtype": "float8"}, "-M dtype=float8"),
        ({"gpu_memory_utilization": "2"}, "-M gpu_memory_utilization=2"),
        ({"max_model_len": "0"}, "-M max_model_len=0"),
        ({"engine": "{"}, "-M engine=.*must be a JSON object"),
        ({"engine": "[1]"}, "-M engine"),
        ({"engine": '{"dtype": "float16"}'}, "-M engine: the argument 'dtype' is set by other options"),
        ({"engine": '{"no_such_thing": 1}'}, "cannot load it: .*no_such_thing"),
        ({"attention": "NO_SUCH"}, "vLLM cannot load it"),
        ({"kv_cache_gib": "0.00001"}, "vLLM cannot load it"),
    ],
)
def test_wrong_options_are_the_users(options: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        VllmModel(str(SMALL), **options)


def test_a_broken_checkpoint_is_the_users(tmp_path: Path) -> None:
    broken = copy_of(SMALL, tmp_path / "broken")
    weights = broken / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])
    with pytest.raises(UserError, match=r"--model vllm/.*: vLLM cannot load it"):
        VllmModel(str(broken))


def test_weights_that_do_not_fit_the_architecture_are_refused(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    holes = copy_of(SMALL, tmp_path / "holes")
    weights = load_file(holes / "model.safetensors")
    del weights[next(name for name in weights if "connector" in name)]
    save_file(weights, holes / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(
        UserError, match=r"--model vllm/.*: lacks weights that Idefics3ForConditionalGeneration needs"
    ):
        VllmModel(str(holes))


def test_it_does_not_change_the_process() -> None:
    """No child process while it runs or after, torch's threads as before, and no output."""
    program = f"""
import multiprocessing, os, torch
from eidolon.models.backends.vllm import VllmModel
before = torch.set_num_threads, torch.get_num_threads()
model = VllmModel({str(SMALL)!r}, kv_cache_gib="0.25")
children = open(f"/proc/self/task/{{os.getpid()}}/children").read()
model.close()
model.close()
assert (torch.set_num_threads, torch.get_num_threads()) == before
assert children == open(f"/proc/self/task/{{os.getpid()}}/children").read() == "", children
assert not torch.distributed.is_initialized()
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True,
        env={**os.environ, "OMP_NUM_THREADS": "2", "TORCH_CPP_LOG_LEVEL": "ERROR"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout + done.stderr == ""


def test_the_module_imports_neither_vllm_nor_torch() -> None:
    program = (
        "import sys, eidolon.models.backends.vllm; print([n for n in ('vllm', 'torch') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
