"""Prints which tokens the stores of memory models hold after a text, as a Markdown table.

    python bench/store_contents.py memory/bm --scenes 64 --tokens 256 --json contents.json
    python bench/store_contents.py results/memory/store-contents.json

Each scene's picture and a prompt are followed by a text in the model's own turn, as in the memory study: template
filler, the same words in random order, or the reference of another picture. The table has the mean number of stored
tokens that belong to the picture, by layer, beside what a store of random tokens would hold. With several models it has
their mean, with the lowest and highest. In place of a model, a file that `--json` wrote.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from pydantic import TypeAdapter, ValidationError

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
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.types import Record

TEXTS: dict[str, Callable[[Scene, int], str]] = {
    "filler": lambda scene, words: filler(f"store {scene.index}", words),
    "random words": lambda scene, words: random_words(f"store {scene.index}", words),
    "another picture's description": lambda scene, words: long_reference(
        make_scene(scene.seed, scene.index + 1, CROWDED), (words, words + 60)
    ),
}


class Contents(Record):
    """The stored tokens of the picture after one kind of text, means over scenes."""

    model: str
    scenes: int
    tokens: int
    """Tokens of text after the picture."""
    text: str
    by_layer: tuple[float, ...]
    """By layer with a store, in order."""
    random_store: float
    """What a store of random tokens would hold."""


CONTENTS = TypeAdapter(list[Contents])


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
            raise UserError(f"--tokens {tokens}: {text} of scene {scene.index} has only {len(given)}")
        inputs["input_ids"] = torch.cat([inputs["input_ids"], torch.tensor([given])], 1)
        inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
        picture = image_token_mask(model.model, inputs["input_ids"])[0]
        memories = model.model(**inputs, use_cache=True).past_key_values.memories
        places = torch.stack([memories[layer].state.store_positions[0] for layer in layers])
        size = places.shape[1]
        entered = inputs["input_ids"].shape[1] - memories[layers[0]].state.window.real.shape[1]
        if entered < size:
            raise UserError(
                f"--tokens {tokens}: must be {tokens + size - entered} or more to fill the stores"
            )
        expected = size * float(picture[:entered].float().mean())
        yield [*picture[places].sum(1).tolist(), expected]


def find_blocks(model: TransformersModel) -> list[MemoryBlock]:
    """Return the memories of the layers, in their order."""
    return [module for module in model.model.modules() if isinstance(module, MemoryBlock)]


def measure(name: str, count: int, tokens: int, seed: int) -> list[Contents]:
    """Return what the stores of a model hold after each text."""
    model = load_model(name)
    assert isinstance(model, TransformersModel)
    layers = [place for place, block in enumerate(find_blocks(model)) if block.store]
    if not layers:
        raise UserError(f"{name}: has no store")
    scenes = [make_scene(seed, index, CROWDED) for index in range(count)]
    found = []
    for text in TEXTS:
        rows = torch.tensor(list(stored(model, layers, scenes, text, tokens)), dtype=torch.float64)
        *by_layer, random_store = (round(value, 4) for value in rows.mean(0).tolist())
        found.append(
            Contents(
                model=name,
                scenes=count,
                tokens=tokens,
                text=text,
                by_layer=tuple(by_layer),
                random_store=random_store,
            )
        )
    return found


def table(contents: Sequence[Contents]) -> list[str]:
    """Return the lines of a Markdown table with a row for each text, over all models."""
    heads = [f"layer {place + 1}" for place in range(len(contents[0].by_layer))]
    lines = [f"| after {contents[0].tokens} tokens of | {' | '.join(heads)} | a random store |"]
    lines.append("|---|" + "---|" * (len(heads) + 1))
    for text in dict.fromkeys(one.text for one in contents):
        own = [one for one in contents if one.text == text]
        cells = [spread(values) for values in zip(*(one.by_layer for one in own), strict=True)]
        lines.append(f"| {text} | {' | '.join(cells)} | {spread([one.random_store for one in own])} |")
    return lines


def spread(values: Sequence[float]) -> str:
    """Return the mean, with the lowest and the highest if they differ."""
    mean, low, high = (f"{value:.1f}" for value in (sum(values) / len(values), min(values), max(values)))
    return mean if low == high == mean else f"{mean} ({low}\N{EN DASH}{high})"


def read(path: Path) -> list[Contents]:
    """Return what `--json` wrote.

    Raises:
        UserError: the file is another.
    """
    try:
        return CONTENTS.validate_json(path.read_bytes())
    except ValidationError as error:
        raise UserError(f"{path}: is no file that --json wrote: {error.errors()[0]['msg']}") from error


def main() -> None:
    """Print the table, and write what it is made of."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="+")
    parser.add_argument("--scenes", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--seed", type=int, default=0, help="of the scenes")
    parser.add_argument("--json", type=Path, help="write the means to this file")
    given = parser.parse_args()
    for flag in ("scenes", "tokens"):
        if getattr(given, flag) < 1:
            parser.error(f"--{flag} {getattr(given, flag)}: must be at least 1")
    contents: list[Contents] = []
    try:
        for name in given.models:
            if Path(name).is_file():
                contents += read(Path(name))
            else:
                contents += measure(name, given.scenes, given.tokens, given.seed)
    except UserError as error:
        parser.error(str(error))
    print("\n".join(table(contents)))
    if given.json is not None:
        given.json.write_bytes(CONTENTS.dump_json(contents, indent=1) + b"\n")


if __name__ == "__main__":
    main()
