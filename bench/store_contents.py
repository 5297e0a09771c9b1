"""Prints which tokens the stores of a memory model hold after a text, as a Markdown table.

    python bench/store_contents.py memory/bm --scenes 64 --tokens 256

Each scene's picture and a prompt are followed by a text in the model's own turn, as in the memory study: template
filler, the same words in random order, or the reference of another picture. The table has the mean number of stored
tokens that belong to the picture, by layer, beside what a store of random tokens would hold.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence

import torch

from eidolon.benchmark.scenes.dialogue import DESCRIBE_PROMPTS
from eidolon.benchmark.scenes.memory_training import CROWDED
from eidolon.benchmark.scenes.scene import Scene, make_scene, render
from eidolon.benchmark.study.training.predictors import long_reference
from eidolon.benchmark.tasks.forget.retention.filler import filler, random_words
from eidolon.models.backends.registry import load_model
from eidolon.models.backends.transformers import TransformersModel
from eidolon.models.base.model import Request
from eidolon.models.generation.image_ablation import image_token_mask
from eidolon.models.memory.block import MemoryBlock

TEXTS: dict[str, Callable[[Scene, int], str]] = {
    "filler": lambda scene, words: filler(f"store {scene.index}", words),
    "random words": lambda scene, words: random_words(f"store {scene.index}", words),
    "another picture's description": lambda scene, words: long_reference(
        make_scene(scene.seed, scene.index + 1, CROWDED), (words, words + 60)
    ),
}


@torch.inference_mode()
def stored(
    model: TransformersModel, layers: Sequence[int], scenes: Sequence[Scene], text: str, tokens: int
) -> Iterator[list[float]]:
    """Yield for each scene the stored tokens of the picture in each layer, and the expected number of a random
    store."""
    for scene in scenes:
        request = Request(str(scene.index), scene.index, render(scene), DESCRIBE_PROMPTS[0], is_question=True)
        inputs = dict(model.prepare([request]))
        given = model.encode_within(TEXTS[text](scene, tokens))[:tokens]
        if len(given) < tokens:
            raise SystemExit(f"{text}: scene {scene.index} has only {len(given)} tokens of {tokens}")
        inputs["input_ids"] = torch.cat([inputs["input_ids"], torch.tensor([given])], 1)
        inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
        picture = image_token_mask(model.model, inputs["input_ids"])[0]
        memories = model.model(**inputs, use_cache=True).past_key_values.memories
        places = torch.stack([memories[layer].state.store_positions[0] for layer in layers])
        size = places.shape[1]
        entered = inputs["input_ids"].shape[1] - memories[layers[0]].state.window.real.shape[1]
        if entered < size:
            raise SystemExit(
                f"--tokens {tokens}: must be {tokens + size - entered} or more to fill the stores"
            )
        expected = size * float(picture[:entered].float().mean())
        yield [*picture[places].sum(1).tolist(), expected]


def find_blocks(model: TransformersModel) -> list[MemoryBlock]:
    """Return the memories of the layers, in their order."""
    return [module for module in model.model.modules() if isinstance(module, MemoryBlock)]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model")
    parser.add_argument("--scenes", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--seed", type=int, default=0, help="of the scenes")
    given = parser.parse_args()
    model = load_model(given.model)
    assert isinstance(model, TransformersModel)
    layers = [place for place, block in enumerate(find_blocks(model)) if block.store]
    if not layers:
        raise SystemExit(f"{given.model}: has no store")
    scenes = [make_scene(given.seed, index, CROWDED) for index in range(given.scenes)]
    for number, text in enumerate(TEXTS):
        rows = torch.tensor(list(stored(model, layers, scenes, text, given.tokens)), dtype=torch.float64)
        *found, expected = rows.mean(0).tolist()
        if number == 0:
            heads = [f"layer {layer + 1}" for layer in layers]
            print(f"| after {given.tokens} tokens of | {' | '.join(heads)} | a random store |")
            print("|---|" + "---|" * (len(layers) + 1))
        print(f"| {text} | {' | '.join(f'{value:.1f}' for value in found)} | {expected:.1f} |")


if __name__ == "__main__":
    main()
