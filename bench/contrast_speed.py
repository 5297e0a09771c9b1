"""Times a token of M3ID against a token of plain decoding: one request and a batch, on random models of two widths.

    OMP_NUM_THREADS=1 python bench/contrast_speed.py [--tokens 100] [--pairs 5] [--json FILE]

The models are the shipped one with other language models. Both decodings write the same number of tokens, with the
contrast on at every token. `apart` is M3ID with two readers that take turns, as for models with a recurrent state.
"""

import argparse
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from pairs import PAIRS, compare, show

from eidolon.benchmark.scenes.scene import Dials, make_scene, render
from eidolon.models.backends.transformers import TransformersModel
from eidolon.models.base.contrast import M3ID
from eidolon.models.base.model import Decoding, Request
from eidolon.models.base.shipped import shipped_models

WIDTHS = (128, 768)
"""Widths of the language models: a small one, where overhead counts, and one where the multiplications do."""
BATCHES = (1, 8)
GOAL = 1.6


def widened(width: int, folder: Path) -> TransformersModel:
    """Return the model scenes-small with a random language model of this width that never ends its answer."""
    from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor

    torch.manual_seed(0)
    source = shipped_models()["scenes-small"]
    config: Any = AutoConfig.from_pretrained(source)
    config.text_config.update(
        {
            "hidden_size": width, "intermediate_size": 3 * width, "num_attention_heads": width // 64,
            "num_key_value_heads": width // 64, "num_hidden_layers": 6, "head_dim": 64,
        }
    )  # fmt: skip
    AutoModelForImageTextToText.from_config(config).eval().save_pretrained(folder)
    AutoProcessor.from_pretrained(source).save_pretrained(folder)
    model = TransformersModel(str(folder))
    model._ids["eos_token_id"] = []
    return model


def main() -> None:
    """Print a line for each model, batch and way to read the second branch."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tokens", type=int, default=100)
    parser.add_argument("--pairs", type=int, default=PAIRS)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    plain = Decoding(max_new_tokens=given.tokens)
    contrast = replace(plain, contrast=M3ID(alpha=1.0))
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for width in WIDTHS:
            model = widened(width, Path(folder) / str(width))
            for batch in BATCHES:
                asked = [
                    Request(str(i), i, render(make_scene(77, i, Dials())), "Describe this image in detail.")
                    for i in range(batch)
                ]

                def run(
                    decoding: Decoding, joins: bool, asked: list[Request] = asked, model: Any = model
                ) -> list[int]:
                    model._joins = joins
                    found = model.generate([replace(request, decoding=decoding) for request in asked])
                    return [response.completion_tokens or 0 for response in found]

                for name, joins in (("joined", True), ("apart", False)):
                    row = compare(
                        f"width {width}, batch {batch}: plain / M3ID {name}",
                        lambda: run(plain, True),
                        lambda joins=joins: run(contrast, joins),  # type: ignore[misc]
                        pairs=given.pairs,
                        most=GOAL if joins else None,
                    )
                    row["times_plain"] = round(1 / row["cpu"]["ratio"], 3)
                    print(f"{row['name']}: {row['times_plain']:.2f} times plain", file=sys.stderr, flush=True)
                    rows.append(row)
    show(rows, given.json)


if __name__ == "__main__":
    main()
