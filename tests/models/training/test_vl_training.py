"""The training loop on a model of a few thousand weights: learning, exact resumption, no mixing of runs."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import Idefics3ForConditionalGeneration, Idefics3Processor

from eidolon.models.training.idefics3 import Architecture, make_model, make_processor, train_tokenizer
from eidolon.models.training.loop import Restart, TrainingReport
from eidolon.models.training.vl_training import (
    IGNORED,
    Batches,
    Collator,
    Phase,
    Trainee,
    TrainingConfig,
    TrainingSample,
    TrainingTurn,
    train,
)
from eidolon.scorers.core.errors import UserError

TINY = Architecture(
    image_size=16, patch_size=4, vision_width=32, vision_layers=1, text_width=32, text_layers=1, text_inner=32,
    vocabulary=300, max_positions=128,
)  # fmt: skip
CONFIG = TrainingConfig(
    phases=(
        Phase(name="look", kind="cells", steps=6, batch_size=4),
        Phase(name="talk", kind="dialogue", steps=18, batch_size=4),
    ),
    warmup=2,
    save_every=5,
    learning_rate=5e-3,
)
LABELS = ("red", "blue")
COLOURS = {"red": (220, 20, 20), "blue": (20, 20, 220)}


def sample(phase: int, index: int) -> TrainingSample:
    """An image of one colour and a question about it."""
    name = ("red", "blue")[(index + phase) % 2]
    cells = np.zeros((2, 2, 2), dtype=np.bool_)
    cells[..., list(COLOURS).index(name)] = True
    return TrainingSample(
        image=lambda: Image.new("RGB", (16, 16), COLOURS[name]),
        turns=[
            TrainingTurn("Which colour?" + " Well?" * (index % 3), name),
            TrainingTurn("Red?", "Yes" if name == "red" else "No", 2.0, presence=[(3, name == "red")]),
        ],
        cells=cells,
    )


@pytest.fixture(scope="module")
def processor() -> Idefics3Processor:
    texts = ["User: Which colour? Well?\nAssistant: red blue Red? Yes No"] * 4
    return make_processor(TINY, train_tokenizer(texts, TINY.vocabulary))


@pytest.fixture
def new_model(processor: Idefics3Processor) -> Callable[[], Idefics3ForConditionalGeneration]:
    return lambda: make_model(TINY, processor.tokenizer, seed=3)


def run(
    model: Idefics3ForConditionalGeneration,
    processor: Idefics3Processor,
    folder: Path,
    stop_at: int | None = None,
) -> TrainingReport:
    folder.mkdir(exist_ok=True)
    return train(model, processor, sample, LABELS, CONFIG, folder, stop_at=stop_at)


def weights(model: torch.nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_a_resumed_training_ends_at_the_same_weights(
    processor: Idefics3Processor, new_model: Callable[[], Idefics3ForConditionalGeneration], tmp_path: Path
) -> None:
    whole, pieces = new_model(), new_model()
    report = run(whole, processor, tmp_path / "whole")
    assert report.steps == CONFIG.steps
    for stop in (3, 8, 13, None):
        pieces = new_model()
        report = run(pieces, processor, tmp_path / "pieces", stop)
    assert torch.equal(weights(whole), weights(pieces))
    assert report.steps == CONFIG.steps
    lines = (tmp_path / "pieces" / "log.jsonl").read_text().splitlines()
    assert len(lines) == CONFIG.steps, "one line a step, none twice"


def test_it_learns_to_use_the_image(
    processor: Idefics3Processor, new_model: Callable[[], Idefics3ForConditionalGeneration], tmp_path: Path
) -> None:
    config = CONFIG.model_copy(
        update={"phases": (Phase(name="talk", kind="dialogue", steps=120, batch_size=8),), "save_every": 1000}
    )
    losses: list[float] = []
    model = new_model()
    train(
        model,
        processor,
        sample,
        LABELS,
        config,
        tmp_path,
        on_step=lambda step, values: losses.append(values["language"]),
    )
    assert losses[-1] < 0.05
    batch = Batches(config, sample, Collator(processor)).batch(0)
    batch["pixel_values"] = batch["pixel_values"].flip(0)
    blind = Trainee(model, [[1], [2]])(batch, 0.0, 0.0)["language"]
    assert blind.item() > 20 * losses[-1], "the answer must come from the picture"


def test_another_configuration_is_not_resumed(
    processor: Idefics3Processor, new_model: Callable[[], Idefics3ForConditionalGeneration], tmp_path: Path
) -> None:
    run(new_model(), processor, tmp_path, stop_at=2)
    other = CONFIG.model_copy(update={"seed": 9})
    with pytest.raises(UserError, match="another configuration"):
        train(new_model(), processor, sample, LABELS, other, tmp_path)


def test_a_kill_while_saving_loses_nothing(
    processor: Idefics3Processor, new_model: Callable[[], Idefics3ForConditionalGeneration], tmp_path: Path
) -> None:
    run(new_model(), processor, tmp_path, stop_at=5)
    (tmp_path / "state").rename(tmp_path / "state.old")  # as after a kill between the two renames
    (tmp_path / "state.new").mkdir()
    assert run(new_model(), processor, tmp_path).steps == CONFIG.steps
    whole = new_model()
    run(whole, processor, tmp_path / "whole")


def test_only_answers_are_learned(processor: Idefics3Processor) -> None:
    collator = Collator(processor)
    encoded = collator.encode(sample(0, 0))
    ids, labels, weights_ = encoded.ids, encoded.labels, encoded.weights
    learned = [token for token, label in zip(ids, labels, strict=True) if label != IGNORED]
    assert processor.tokenizer.decode(learned) == " red<end_of_utterance> Yes<end_of_utterance>"
    assert {w for w, label in zip(weights_, labels, strict=True) if label == IGNORED} == {0.0}
    assert ids.count(processor.image_token_id) == TINY.grid**2


def test_emphasis_weighs_the_words_it_spans(processor: Idefics3Processor) -> None:
    turn = TrainingTurn("Well?", "red and blue", weight=1.0, emphasis=[(8, 12, 5.0)])
    plain = sample(0, 0)
    encoded = Collator(processor).encode(TrainingSample(plain.image, [turn], plain.cells))
    weights_ = encoded.weights
    heavy = [token for token, weight in zip(encoded.ids, weights_, strict=True) if weight == 5.0]
    assert processor.tokenizer.decode(heavy) == " blue"
    assert weights_[-1] == 1.0


def test_presence_is_marked_at_the_last_token_of_the_name(processor: Idefics3Processor) -> None:
    encoded = Collator(processor).encode(sample(0, 0))
    (place,) = [i for i, target in enumerate(encoded.presence) if target != IGNORED]
    assert encoded.presence[place] == 1
    assert processor.tokenizer.decode(encoded.ids[: place + 1]).endswith("User: Red")


def test_training_sees_the_prompt_of_generation(processor: Idefics3Processor) -> None:
    """The tokens before the first answer must be those that the chat template gives."""
    encoded = Collator(processor).encode(sample(0, 0))
    ids, labels = encoded.ids, encoded.labels
    first = next(i for i, label in enumerate(labels) if label != IGNORED)
    message = [
        {"role": "user", "content": [{"type": "image", "image": sample(0, 0).image()},
                                     {"type": "text", "text": "Which colour?"}]}
    ]  # fmt: skip
    inputs = processor.apply_chat_template(
        message, add_generation_prompt=True, tokenize=True, return_dict=True
    )
    assert inputs["input_ids"][0] == ids[:first]


def test_batches_cover_every_sample_once(processor: Idefics3Processor) -> None:
    """Sorting by length must not lose or repeat a sample, with one process or two."""
    seen: list[int] = []

    def noted(phase: int, index: int) -> TrainingSample:
        if phase == 1:
            seen.append(index)
        return sample(phase, index)

    config = CONFIG.model_copy(
        update={"phases": (CONFIG.phases[0], CONFIG.phases[1].model_copy(update={"steps": 32}))}
    )
    batches = Batches(config, noted, Collator(processor))
    sizes = [len(batches.batch(step)["input_ids"]) for step in range(6, 6 + 32)]
    assert sorted(seen) == list(range(32 * 4))
    assert sizes == [4] * 32
    halves = [batches.batch(7, rank, 2)["input_ids"] for rank in (0, 1)]
    assert sum(len(half) for half in halves) == 4


def test_the_cell_loss_reads_the_right_cell(processor: Idefics3Processor) -> None:
    """Image token k must come from cell k in reading order, or the model would learn wrong positions."""
    model = make_model(TINY, processor.tokenizer, seed=0).eval()
    picture = np.full((16, 16, 3), 128, dtype=np.uint8)

    def features(pixels: np.ndarray) -> torch.Tensor:
        inputs = processor.image_processor(images=[[Image.fromarray(pixels)]], return_tensors="pt")
        vision = model.model.vision_model.embeddings(
            inputs["pixel_values"][0], torch.ones(1, 4, 4, dtype=torch.bool)
        )
        return model.model.connector(vision.contiguous())[0]

    for row in range(2):
        for column in range(2):
            changed = picture.copy()
            changed[row * 8 : row * 8 + 8, column * 8 : column * 8 + 8] = 255
            moved = (features(changed) - features(picture)).abs().sum(-1)
            assert moved.argmax() == row * 2 + column
            assert (moved > 1e-4).sum() == 1


def test_the_learning_rate_rises_falls_and_restarts() -> None:
    config = CONFIG.model_copy(
        update={
            "phases": (Phase(name="talk", kind="dialogue", steps=100, batch_size=1),),
            "warmup": 10,
            "horizon": 50,
            "learning_rate": 1.0,
            "restarts": (
                Restart(step=60, horizon=40, learning_rate=2.0),
                Restart(step=70, horizon=20, learning_rate=2.0, since=60),
            ),
        }
    )
    rates = [config.learning_rate_at(step) for step in range(100)]
    assert rates[:10] == pytest.approx([(step + 1) / 10 for step in range(10)])
    assert rates[10] == 1.0
    assert rates[30] == pytest.approx(0.05 + 0.95 / 2), "halfway down the cosine"
    assert rates[50:60] == pytest.approx([0.05] * 10)
    assert rates[60] == 2.0
    assert rates[70] == pytest.approx(2 * (0.05 + 0.95 / 2)), "half of the shorter horizon has gone by"
    assert rates[80:] == pytest.approx([0.1] * 20)
