"""Training of the memory family: learning, exact resumption, a frozen vision side, stored batches."""

from collections.abc import Callable
from pathlib import Path

import jsonlines
import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoModelForImageTextToText, Idefics3Processor

from eidolon.models.memory.building import EyeError, MemoryArchitecture, layers_size, make_memory_model
from eidolon.models.memory.layout import SYMBOLS, Memory
from eidolon.models.memory.modeling import MemoryForConditionalGeneration
from eidolon.models.training.idefics3 import Architecture, make_model, make_processor, train_tokenizer
from eidolon.models.training.loop import TrainingReport
from eidolon.models.training.memory_training import FEATURES, FeatureBatches, MemoryTrainee, train_memory
from eidolon.models.training.vl_training import (
    Batches,
    Collator,
    Phase,
    TrainingConfig,
    TrainingSample,
    TrainingTurn,
)
from eidolon.scorers.core.errors import UserError

EYE = Architecture(
    image_size=16, patch_size=4, vision_width=32, vision_layers=1, text_width=32, text_layers=1, text_inner=32,
    vocabulary=300, max_positions=128,
)  # fmt: skip
CONFIG = TrainingConfig(
    phases=(
        Phase(name="first", kind="dialogue", steps=6, batch_size=4, presence_weight=1.0),
        Phase(name="then", kind="dialogue", steps=24, batch_size=4),
    ),
    warmup=2,
    save_every=7,
    learning_rate=5e-3,
)
COLOURS = {"red": (220, 20, 20), "blue": (20, 20, 220)}


def memory(layout: str = "BM-GDN") -> MemoryArchitecture:
    return MemoryArchitecture(
        memory=Memory(layout=layout, window=6, store=2, heads=2, head_dim=8),
        width=32,
        layer_parameters=16_000,
    )


def sample(phase: int, index: int) -> TrainingSample:
    """An image of one colour and a question about it."""
    name = ("red", "blue")[(index + phase) % 2]
    return TrainingSample(
        image=lambda: Image.new("RGB", (16, 16), COLOURS[name]),
        turns=[
            TrainingTurn("Which colour?" + " Well?" * (index % 3), name),
            TrainingTurn("Red?", "Yes" if name == "red" else "No", 2.0, presence=[(3, name == "red")]),
        ],
        cells=np.zeros((2, 2, 1), dtype=np.bool_),
    )


@pytest.fixture(scope="module")
def eye(tmp_path_factory: pytest.TempPathFactory) -> Path:
    texts = ["User: Which colour? Well?\nAssistant: red blue Red? Yes No"] * 4
    tokenizer = train_tokenizer(texts, EYE.vocabulary)
    folder = tmp_path_factory.mktemp("eye")
    make_model(EYE, tokenizer, seed=3).save_pretrained(folder)
    make_processor(EYE, tokenizer).save_pretrained(folder)
    return folder


Built = tuple[MemoryForConditionalGeneration, Idefics3Processor]


@pytest.fixture
def build(eye: Path) -> Callable[[], Built]:
    return lambda: make_memory_model(memory(), eye, seed=1)


def run(
    built: Built, folder: Path, batches: Path | None = None, stop_at: int | None = None
) -> TrainingReport:
    folder.mkdir(exist_ok=True)
    return train_memory(*built, sample, CONFIG, folder, batches=batches, stop_at=stop_at)


def weights(built: Built) -> dict[str, torch.Tensor]:
    return dict(built[0].state_dict())


def test_learns_and_does_not_change_the_vision_side(build: Callable[[], Built], tmp_path: Path) -> None:
    built = build()
    before = {name: tensor.clone() for name, tensor in weights(built).items()}
    report = run(built, tmp_path / "run")
    with jsonlines.open(tmp_path / "run" / "log.jsonl") as log:
        losses = [line["language"] for line in log.iter(type=dict)]
    assert report.steps == 30
    assert np.mean(losses[-4:]) < 0.5 * np.mean(losses[:4])
    for name, tensor in weights(built).items():
        seeing = "vision_model" in name or "connector" in name
        assert torch.equal(tensor, before[name]) == seeing, name


def test_resumes_to_the_bit_with_and_without_stored_batches(
    build: Callable[[], Built], tmp_path: Path
) -> None:
    whole = build()
    run(whole, tmp_path / "whole")
    pieces = build()
    run(pieces, tmp_path / "pieces", tmp_path / "batches", stop_at=10)
    resumed = build()
    run(resumed, tmp_path / "pieces", tmp_path / "batches")
    assert sorted(path.suffix for path in (tmp_path / "batches").iterdir()) == [".safetensors"] * 2
    for name, tensor in weights(whole).items():
        assert torch.equal(tensor, weights(resumed)[name]), name


def test_stored_batches_equal_new_ones(build: Callable[[], Built], tmp_path: Path) -> None:
    model, processor = build()

    def look(pictures: dict[str, torch.Tensor]) -> torch.Tensor:
        with torch.no_grad():
            found: torch.Tensor = model.model.get_image_features(**pictures).pooler_output
        return found

    made, kept = (
        FeatureBatches(Batches(CONFIG, sample, Collator(processor)), look, folder)
        for folder in (None, tmp_path)
    )
    for step in (0, 26, 3, 29):  # across files, and back
        expected, found = made.batch(step, 1, 2), kept.batch(step, 1, 2)
        assert expected.keys() == found.keys()
        assert all(torch.equal(expected[name], found[name]) for name in expected)


def test_loss_is_that_of_the_whole_model(build: Callable[[], Built]) -> None:
    model, processor = build()
    batch = Batches(CONFIG, sample, Collator(processor)).batch(8)
    with torch.no_grad():
        features = model.model.get_image_features(
            batch["pixel_values"], batch["pixel_attention_mask"]
        ).pooler_output
        losses = MemoryTrainee(model)({**batch, FEATURES: features}, 0.0)
        logits = model(
            input_ids=batch["input_ids"],
            attention_mask=batch["attention_mask"],
            pixel_values=batch["pixel_values"],
            pixel_attention_mask=batch["pixel_attention_mask"],
        ).logits.double()
    total, weight = 0.0, 0.0
    for row in range(4):
        for place in range(batch["labels"].shape[1] - 1):
            target = int(batch["labels"][row, place + 1])
            if target >= 0:
                own = float(batch["weights"][row, place + 1])
                total -= own * float(logits[row, place].log_softmax(-1)[target])
                weight += own
    assert float(losses["language"]) == pytest.approx(total / weight, rel=1e-5)


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_sizes_are_matched(symbol: str) -> None:
    architecture = MemoryArchitecture(memory=Memory(layout="-".join([symbol] * 4)))
    found = layers_size(
        architecture.memory.layout, architecture.width, architecture.memory, architecture.inner
    )
    assert found == pytest.approx(4 * architecture.layer_parameters, rel=0.01)


def test_a_size_that_memories_alone_exceed_is_refused() -> None:
    with pytest.raises(ValueError, match=r"layer_parameters=2000: the memories of 2 layers alone have \d+"):
        _ = MemoryArchitecture(memory=Memory(layout="BM-BM"), layer_parameters=2000).inner


def test_an_eye_of_another_width_is_refused(eye: Path) -> None:
    wide = MemoryArchitecture(memory=Memory(layout="*"), width=64)
    with pytest.raises(ValueError, match="its image tokens are 32 wide, the model is 64"):
        make_memory_model(wide, eye, seed=1)


def test_is_a_checkpoint_of_transformers(build: Callable[[], Built], tmp_path: Path) -> None:
    model, _ = build()
    model.save_pretrained(tmp_path)
    again = AutoModelForImageTextToText.from_pretrained(tmp_path)
    assert type(again) is MemoryForConditionalGeneration
    assert all(
        torch.equal(a, b)
        for a, b in zip(model.state_dict().values(), again.state_dict().values(), strict=True)
    )


def test_the_order_of_batches_can_be_independent_of_the_model(build: Callable[[], Built]) -> None:
    collator = Collator(build()[1])

    def lengths(seed: int, order: int | None) -> list[list[int]]:
        config = CONFIG.model_copy(update={"seed": seed, "order": order})
        batches = Batches(config, sample, collator)
        return [batches.batch(step)["attention_mask"].sum(dim=1).tolist() for step in range(6, 30)]

    assert lengths(1, None) != lengths(2, None)
    assert lengths(1, 5) == lengths(2, 5) == lengths(5, None)


def test_a_folder_of_another_model_is_not_resumed(build: Callable[[], Built], tmp_path: Path) -> None:
    run(build(), tmp_path, stop_at=2)
    with pytest.raises(UserError, match="another configuration"):
        train_memory(*build(), sample, CONFIG, tmp_path, stop_at=3, identity={"window": 7})
    assert run(build(), tmp_path, stop_at=3).steps == 3


def test_a_checkpoint_without_a_vision_side_is_refused(eye: Path, tmp_path: Path) -> None:
    from eidolon.models.base.shipped import CHECKPOINTS

    with pytest.raises(EyeError, match="has no config"):
        make_memory_model(memory(), tmp_path, 0)
    with pytest.raises(EyeError, match="32 wide, the model is 48"):
        make_memory_model(memory().model_copy(update={"width": 48}), eye, 0)
    with pytest.raises(EyeError, match="cannot be loaded as a VL model"):
        make_memory_model(memory(), CHECKPOINTS / "judge-small", 0)
