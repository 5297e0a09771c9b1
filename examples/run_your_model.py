"""Run a model of your own on freshly drawn scenes. It needs no PyTorch.

python examples/run_your_model.py
"""

import tempfile
from collections.abc import Iterator, Sequence

import eidolon
from eidolon.models.base.model import Request


class Brightness:
    """Looks at one thing only: how bright the picture is."""

    def generate(self, requests: Sequence[Request]) -> Iterator[str]:
        for request in requests:  # request.image is a PIL image, request.prompt a text
            brightness = sum(request.image.convert("L").resize((1, 1)).tobytes())
            yield "There is a car and a dog." if brightness > 128 else "There is a bed and a clock."


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        run = eidolon.run(Brightness, dataset="scenes", limit=20, metrics=["chair", "objects"], out=folder)
        print(f"{len(run.responses)} responses, written to {run.path}")
    f05 = run["objects"]["f05"]
    print(f"F0.5 = {f05.value} {f05.ci}")
    print(run.to_pandas().samples[["sample_id", "response", "hallucinated"]].head())


if __name__ == "__main__":
    main()
