"""Examines the backend with one architecture, in this process or in another.

    python -m tests.models.architecture_checks OUT.json NAME…

examines architectures with processors that need torchvision. torchvision's CUDA builds do not load with a CPU build of
PyTorch, because of their compiled operators. These are declared here and never called. That is for tests only.
librosa and soxr, which Nemotron-H Omni's processor needs for sound, are replaced by empty modules.
"""

import json
import os
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType, SimpleNamespace
from typing import Any

from tests.models.tiny_checkpoints import Architecture
from tests.models.tiny_hybrids import BY_NAME

NEW_TOKENS = 12
PROMPTS = (
    "Describe this image in detail.",
    "What is in the image? Name all that you can see, whatever it may be, and put one thing on a line.",
    "Hi",
)
SIZES = ((64, 48), (40, 90), (200, 150))
"""Width and height of the images."""
OPERATORS = ("nms(Tensor dets, Tensor scores, float threshold) -> Tensor",)
OPERATORS += ("q" + OPERATORS[0],)


def pretend_libraries() -> Any:
    """Let the processors load. Call it before transformers is imported.

    Returns the library of torchvision's operators, which must be kept until the process ends.
    """
    import numpy as np
    import torch

    library = torch.library.Library("torchvision", "DEF")
    for operator in OPERATORS:
        library.define(operator)
    for name in ("librosa", "soxr"):
        module = ModuleType(name)
        module.__spec__ = ModuleSpec(name, None)
        sys.modules[name] = module
    filters = SimpleNamespace(
        mel=lambda *, n_mels, n_fft, **_: np.zeros((n_mels, 1 + n_fft // 2), np.float32)
    )
    vars(sys.modules["librosa"])["filters"] = filters
    return library


def requests() -> list[Any]:
    """Return three requests with different image sizes and prompt lengths."""
    import numpy as np
    from PIL import Image

    from eidolon.models.base.model import Decoding, Request

    random = np.random.default_rng(5)
    pictures = [
        Image.fromarray(random.integers(0, 256, (height, width, 3), dtype=np.uint8))
        for width, height in SIZES
    ]
    decoding = Decoding(max_new_tokens=NEW_TOKENS)
    return [
        Request(str(i), i, picture, prompt, decoding=decoding)
        for i, (picture, prompt) in enumerate(zip(pictures, PROMPTS, strict=True))
    ]


def examine(architecture: Architecture, folder: Path) -> dict[str, Any]:
    """Make a checkpoint, load it as a user would, and return findings as plain values."""
    from dataclasses import replace

    from PIL import Image

    from eidolon.models.backends.registry import load_model

    def answers(model: Any, asked: list[Any]) -> list[dict[str, Any]]:
        return [response.model_dump(mode="json") for response in model.generate(asked)]

    architecture.make(folder)
    model: Any = load_model(f"transformers/{folder}", {"logprobs": "true"})
    asked = requests()
    black = replace(asked[0], image=Image.new("RGB", asked[0].image.size))
    rows = [model._run([request])[0][0] for request in asked]
    found = {
        "described": json.loads(json.dumps(model.describe())),
        "usage": model.usage(),
        "prompts": model.processor.tokenizer.batch_decode(model.prepare(asked)["input_ids"]),
        "alone": [answers(model, [request])[0] for request in asked],
        "together": answers(model, asked),
        "black": answers(model, [black])[0],
        "rows": rows,
    }
    settings = folder / "generation_config.json"
    # The token with the latest first occurrence in an answer, so that the answer does not end at once.
    end = max((row.index(token), token) for row in rows for token in row)[1]
    settings.write_text(json.dumps(json.loads(settings.read_text()) | {"eos_token_id": [end]}))
    found["end"] = end
    found["ended"] = answers(load_model(f"transformers/{folder}"), asked)
    return found


def main(out: Path, names: list[str]) -> None:
    """Examine architectures that need torchvision, and write the findings, or the error, by name."""
    library = pretend_libraries()
    found: dict[str, Any] = {}
    for name in names:
        with TemporaryDirectory() as folder:
            try:
                found[name] = examine(BY_NAME[name], Path(folder))
            except Exception as error:
                found[name] = {"failed": f"{type(error).__name__}: {error}"}
    out.write_text(json.dumps(found))
    sys.stdout.flush()
    del library
    os._exit(0)  # the declared operators may break the normal shutdown


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
