"""What many models on a large dataset cost, from measured rates and rates that are assumed.

    python bench/ray_equals_one.py --json measured.json
    python bench/cost_at_scale.py measured.json [--models 1000] [--images 5110] [--categories 365]

The rates of the harness (start, overhead, lexicon, scoring) come from the file, measured on one core. The rates of
models on a GPU are assumptions and printed as such: a dry run takes yours from an earlier run, or from `--rate`.
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

GENERATION_RATES = (0.5, 2.0, 10.0, 50.0)
"""Responses a second and GPU that are assumed: a large model in transformers, up to a small one in vLLM."""
QUESTION_RATES = (200.0, 1_000.0, 5_000.0)
"""Judge questions a second and GPU that are assumed."""
VOTES = 9
"""Three judges with three formats each: THRONE (Kaul et al., CVPR 2024)."""
LOAD_S = 60.0
"""Seconds that are assumed for loading a model."""
ACTORS = (2, 8, 64)


@dataclass(frozen=True)
class Rates:
    """Seconds of the harness, measured with `samples` replayed responses."""

    samples: int
    start: float
    ray_start: float
    answer: float
    judge: float
    score: float

    @classmethod
    def read(cls, path: Path) -> "Rates":
        """Return the rates in the output of `ray_equals_one.py`."""
        found = json.loads(path.read_text(encoding="utf-8"))
        one, ray = found["one_process"], found["ray"]
        samples = found["samples"]
        return cls(
            samples,
            one["start"],
            ray["start"],
            one["answer"] / samples,
            one["judge"] / samples,
            one["score"] / samples,
        )


def hours(seconds: float) -> str:
    """Return seconds as hours with three digits."""
    return f"{float(f'{seconds / 3600:.3g}'):,g}"


def break_even(rate: float, actors: int, extra: float) -> float:
    """Return the responses from which on `actors` are faster than one process, if they start `extra` seconds later.

    One process takes n/rate, the actors extra + n/(rate · actors).
    """
    return rate * extra / (1 - 1 / actors)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("measured", type=Path)
    parser.add_argument("--models", type=int, default=1000)
    parser.add_argument("--images", type=int, default=5110)
    parser.add_argument("--categories", type=int, default=365)
    arguments = parser.parse_args()
    rates = Rates.read(arguments.measured)
    models, images = arguments.models, arguments.images
    responses, questions = models * images, models * images * arguments.categories * VOTES
    print(f"responses: {responses:,}; questions of the judge qa: {questions:,}\n")
    print("| the harness, on one CPU core | measured | CPU-hours for all |\n|---|---|---|")
    rows = (
        ("start of a run", rates.start, models * rates.start, "s"),
        ("a response, around the model", rates.answer, responses * rates.answer, "ms"),
        ("judged by the lexicon", rates.judge, responses * rates.judge, "ms"),
        ("scored, `chair` and `objects`", rates.score, responses * rates.score, "ms"),
    )
    for name, each, all_seconds, unit in rows:
        shown = f"{each:.1f} s" if unit == "s" else f"{1000 * each:.2f} ms"
        print(f"| {name} | {shown} | {hours(all_seconds)} |")
    print(
        "\n| assumed responses/s of a GPU | GPU-hours to describe | share of the harness in it, on one core |"
    )
    print("|---|---|---|")
    overhead = rates.answer + rates.judge + rates.score
    for rate in GENERATION_RATES:
        seconds = responses / rate + models * LOAD_S
        print(f"| {rate:g} | {hours(seconds)} | {responses * overhead / seconds:.1%} |")
    print("\n| assumed questions/s of a GPU | GPU-hours of the judge qa | times that of describing at 2/s |")
    print("|---|---|---|")
    for rate in QUESTION_RATES:
        seconds = questions / rate
        print(f"| {rate:,g} | {hours(seconds)} | {seconds / (responses / 2):.0f} |")
    later = rates.ray_start - rates.start + LOAD_S
    print(
        f"\nRay starts {rates.ray_start - rates.start:.0f} s later (measured), and loads once more ({LOAD_S:g} s).\n"
    )
    print("| responses/s of one | " + " | ".join(f"{actors} actors pay from" for actors in ACTORS) + " |")
    print("|---|" + "---|" * len(ACTORS))
    for rate in GENERATION_RATES:
        cells = (f"{float(f'{break_even(rate, actors, later):.2g}'):,g}" for actors in ACTORS)
        print(f"| {rate:g} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
