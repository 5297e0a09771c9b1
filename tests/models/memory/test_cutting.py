"""Models of memory blocks read several tokens at once with the same result as one by one, to 1e-5."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from eidolon.benchmark.scenes.scene import Dials, make_scene, render
from eidolon.models.backends.transformers import TransformersModel
from eidolon.models.base.model import Interview, Request
from eidolon.models.base.shipped import EYE, MEMORY_CHECKPOINTS
from eidolon.models.generation.token_reader import TokenReader
from eidolon.models.memory.building import MemoryArchitecture, make_memory_model
from eidolon.models.memory.cache import MemoryCache
from eidolon.models.memory.layout import Memory, Symbol
from eidolon.models.memory.stores import select_by
from eidolon.models.probing.teacher_forcing import force

LAYOUTS: tuple[tuple[Symbol, ...], ...] = (
    ("*", "*"),
    ("SWA", "GDN"),
    ("BMF", "M2"),
    ("BM", "GKA"),
    ("BM", "BM"),
)


def build(folder: Path, layout: tuple[Symbol, ...]) -> TransformersModel:
    memory = Memory(layout=layout, window=7, store=5, heads=2, chunk=8)
    architecture = MemoryArchitecture(memory=memory, layer_parameters=120_000)
    model, processor = make_memory_model(architecture, MEMORY_CHECKPOINTS / EYE, 3)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return TransformersModel(str(folder))


def picture(index: int) -> Image.Image:
    return render(make_scene(77, index, Dials(image_size=96)))


@pytest.mark.parametrize("layout", LAYOUTS, ids="-".join)
def test_several_at_once_equal_one_after_the_other(
    layout: tuple[Symbol, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = build(tmp_path, layout)
    requests = [Request(str(i), i, picture(i), "Describe the image." * (1 + i)) for i in range(2)]
    texts = [[(i * 37 + 11) % 900 + 20 for i in range(length)] for length in (41, 23)]
    interviews = [Interview(request, tuple(text), ("Is there a cup?", "Is there a red car?"))
                  for request, text in zip(requests, texts, strict=True)]  # fmt: skip

    def read() -> tuple[torch.Tensor, list[list[float]]]:
        chunks = force(model.model, model.prepare(requests), texts, width=16, pad=model.pad_id)
        logits = torch.cat([chunk.logits.masked_fill(~chunk.mask[..., None], 0) for chunk in chunks], dim=1)
        return logits, [[odds.margin for odds in row] for row in model.interview(interviews)]

    at_once, margins = read()
    asked = [_reads_singly(model, requests)]
    monkeypatch.setattr(MemoryCache, "cut_anywhere", False)
    asked.append(_reads_singly(model, requests))
    one_by_one, margins_singly = read()
    assert asked == [False, True]
    assert (at_once - one_by_one).abs().max() < 1e-5
    for a, b in zip(margins, margins_singly, strict=True):
        assert a == pytest.approx(b, abs=1e-5)


def _reads_singly(model: TransformersModel, requests: list[Request]) -> bool:
    reader = TokenReader(model.model, model.prepare(requests))
    reader.read_prompt()
    return reader.one_by_one


def test_a_store_with_another_rule_answers_differently(tmp_path: Path) -> None:
    model = build(tmp_path, ("BM", "BM"))
    request = Request("0", 0, picture(0), "Describe the image.")
    text = [(i * 37 + 11) % 900 + 20 for i in range(60)]

    def last() -> torch.Tensor:
        return list(force(model.model, model.prepare([request]), [text], width=64, pad=model.pad_id))[
            -1
        ].logits

    before = last()
    assert select_by(model.model, "recent") == 2
    assert model.model.config.get_text_config().selection == "recent"
    assert (last() - before).abs().max() > 1e-4
    select_by(model.model, "innovation")
    assert torch.equal(last(), before)


def test_only_stores_change(tmp_path: Path) -> None:
    assert select_by(build(tmp_path, ("GDN",)).model, "random") == 0
