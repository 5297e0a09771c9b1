"""When does a model forget the picture? The shipped `scenes-small` is asked what it still knows after some text.

It takes the extra `models` and the shipped checkpoints:

pip install '.[models]' ./models/checkpoints
python examples/forgetting.py
"""

import tempfile

import eidolon


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        run = eidolon.run(
            "scenes-small",
            task="forget",
            limit=12,
            lengths=[16, 64],
            skip=["cloze", "interventions", "attention"],  # other measurements, which take most of the time
            out=folder,
            resamples=200,
        )
    for name, number in run["forgetting"].quantities().items():
        if number.value is not None:  # otherwise number.reason says why: so few images do not tell much
            print(f"{name} = {number.value:.3f} {number.ci}")


if __name__ == "__main__":
    main()
