"""Is the difference between two models more than chance? Both describe the same scenes.

python examples/compare_runs.py
"""

import tempfile
from collections.abc import Iterator, Sequence

import eidolon
from eidolon.models.base.model import Request


class Brief:
    """Names one object."""

    def generate(self, requests: Sequence[Request]) -> Iterator[str]:
        return ("There is a car." for _ in requests)


class Talkative:
    """Names ten objects."""

    def generate(self, requests: Sequence[Request]) -> Iterator[str]:
        text = "There is a car, a dog, a cat, a bed, a cup, a book, a clock, a chair, a kite and a fork."
        return (text for _ in requests)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        brief = eidolon.run(Brief, limit=40, metrics=["objects"], out=folder)
        talkative = eidolon.run(Talkative, limit=40, metrics=["objects"], out=folder)
        comparison = eidolon.compare(brief, talkative, resamples=2000)
    for name, found in comparison.metrics["objects"].quantities().items():
        print(f"{name}: {found.a:.3f} and {found.b:.3f}, {found.ci}, p = {found.p_holm:.3f}, {found.outcome}")


if __name__ == "__main__":
    main()
