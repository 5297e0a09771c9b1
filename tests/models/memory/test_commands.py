"""Eidolon's commands with a tiny checkpoint of every kind of memory."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from eidolon.benchmark.data.datasets import load_dataset
from eidolon.benchmark.verify.doctor.examine import Examination, examine
from eidolon.models.backends.registry import resolve
from eidolon.models.backends.transformers import TransformersModel
from eidolon.models.base.contrast import M3ID
from eidolon.models.base.model import Decoding, Interview, Request
from eidolon.models.generation.image_ablation import FORMS, Form
from eidolon.models.memory.cache import MemoryCache
from eidolon.models.probing.dependency import read_dependency
from eidolon.models.probing.teacher_forcing import prompt_cache, recurrent_states, teacher_force
from tests.models.memory.tiny import save_eye, save_memory

LAYOUTS = ("*-SWA", "SWA-SWA", "GDN-*", "M2-M2", "GKA-SWA", "BMF-BMF", "BM-GDN")


@pytest.fixture(scope="module")
def eye(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_eye(tmp_path_factory.mktemp("eye"))


@pytest.fixture(scope="module", params=LAYOUTS)
def checkpoint(request: pytest.FixtureRequest, eye: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    # Windows alone must reach from the answer back to the image.
    sizes = {"window": 64} if request.param == "SWA-SWA" else {}
    return save_memory(tmp_path_factory.mktemp("memory"), eye, request.param, **sizes)


@pytest.fixture(scope="module")
def model(checkpoint: Path) -> TransformersModel:
    return TransformersModel(str(checkpoint))


def requests(n: int = 3, tokens: int = 14) -> list[Request]:
    """Return requests of different lengths about different images."""
    pictures = [Image.effect_noise((32, 32), 60 + 30 * i).convert("RGB") for i in range(n)]
    texts = ["What is this?" + " Describe this image." * i for i in range(n)]
    return [
        Request(str(i), str(i), picture, text, decoding=Decoding(max_new_tokens=tokens))
        for i, (picture, text) in enumerate(zip(pictures, texts, strict=True))
    ]


def test_the_doctor_finds_windows_that_do_not_reach_the_image(eye: Path, tmp_path: Path) -> None:
    source = load_dataset("scenes", limit=2, seed=0, options={})
    blind = save_memory(tmp_path, eye, "SWA-SWA", window=3)
    found = examine(resolve(f"transformers/{blind}"), {}, Examination(source, samples=2, max_new_tokens=6))
    assert found.failed == ("weights", "image")


def test_the_doctor_finds_no_fault(checkpoint: Path, model: TransformersModel) -> None:
    source = load_dataset("scenes", limit=2, seed=0, options={})
    what = Examination(source, samples=2, max_new_tokens=6)
    found = examine(resolve(f"transformers/{checkpoint}"), {}, what, model)
    # The checkpoint is untrained, and the doctor sees that of its connector.
    assert found.failed == ("weights",), [check for check in found.checks if check.verdict == "differs"]
    by_name = {check.name: check for check in found.checks}
    assert {name for name, check in by_name.items() if check.verdict == "not applicable"} <= {
        "precision", "prefix cache", "against",
    }  # fmt: skip
    assert found.described["class"] == "MemoryForConditionalGeneration"
    cache = prompt_cache(model, requests(1))
    assert isinstance(cache, MemoryCache)
    fading = any(symbol not in ("*", "SWA") for symbol in model.model.config.text_config.memory.layout)
    assert {state.dtype for state in recurrent_states(cache)} == ({torch.float32} if fading else set())
    assert by_name["precision"].figures.get("states") == ("float32" if fading else "none")


def test_forced_texts_equal_one_pass(model: TransformersModel) -> None:
    """Against one pass over each row alone, without cache and padding."""
    asked = requests(2)
    texts = [[5, 9, 40, 77, 101, 3], list(range(20, 60))]
    chunks = list(teacher_force(model, asked, texts, width=16))
    forced = torch.cat([chunk.log_probabilities() for chunk in chunks], 1)
    for row, (request, text) in enumerate(zip(asked, texts, strict=True)):
        inputs = dict(model.prepare([request]))
        inputs["input_ids"] = torch.cat([inputs["input_ids"], torch.tensor([text])], 1)
        inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
        with torch.no_grad():
            logits = model.model(**inputs, use_cache=False).logits[0, -len(text) - 1 : -1]
        expected = logits.log_softmax(-1).gather(1, torch.tensor(text)[:, None])[:, 0]
        torch.testing.assert_close(forced[row, : len(text)], expected, rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize("form", FORMS)
def test_its_dependency_on_the_image_is_measured(model: TransformersModel, form: Form) -> None:
    readings = read_dependency(model, requests(2), [list(range(20, 30)), [7, 8, 9]], form=form)
    assert [len(reading.hellinger) for reading in readings] == [10, 3]
    assert readings[0].hellinger[0] > 0


def test_it_is_interviewed(model: TransformersModel) -> None:
    """Alone and together, with one question and with two, as `retention` does."""
    asked = [
        Interview(request, tuple(range(20, 20 + 9 * i)), ("Is there a cup?", "Is there a dog in it?"))
        for i, request in enumerate(requests(3))
    ]
    together = model.interview(asked)
    for interview, odds in zip(asked, together, strict=True):
        for slot, question in enumerate(interview.questions):
            ((alone,),) = model.interview([Interview(interview.request, interview.given, (question,))])
            if interview.given:
                assert odds[slot].yes == pytest.approx(alone.yes, abs=1e-3)
                assert odds[slot].margin == pytest.approx(alone.margin, abs=1e-3)


def test_it_decodes_with_m3id(model: TransformersModel) -> None:
    plain = requests(2)
    contrasted = [replace(r, decoding=replace(r.decoding, contrast=M3ID())) for r in plain]
    model.check_decoding(contrasted[0].decoding)
    together = list(model.generate(contrasted))
    assert all(response.error is None for response in together)
    assert [r.response for r in together] == [next(iter(model.generate([r]))).response for r in contrasted]
