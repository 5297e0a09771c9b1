"""Times a comparison of two runs with 5,000 images, 80 categories and 10,000 resamples, against a plain loop.

    python bench/compare_speed.py [--images N] [--categories N] [--resamples N]

The plain loop sums the drawn rows of both runs and computes all quantities for each resample. It is timed on a few
resamples and scaled up. Memory is the peak of numpy's allocations without the inputs.
"""

import argparse
import time
import tracemalloc
from collections.abc import Callable

import numpy as np

from eidolon.scorers.core.metric import FloatArray
from eidolon.scorers.metrics.throne import Throne, VotedImage
from eidolon.scorers.statistics.bootstrap import draws
from eidolon.scorers.statistics.paired import Side, paired_bootstrap, randomisation

LOOPED = 40
"""Resamples of the plain loop."""


def main() -> None:
    """Print the CPU seconds of interval, test and loop, and the peak memory."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=5_000)
    parser.add_argument("--categories", type=int, default=80)
    parser.add_argument("--resamples", type=int, default=10_000)
    asked = parser.parse_args()
    metric = Throne("compat", 9, 9, asked.categories)
    a, b = (_statistics(metric, asked.images, asked.categories, seed) for seed in (0, 1))
    images = range(asked.images)
    print(f"{asked.images} images, {asked.categories} categories, {asked.resamples} resamples, "
          f"{a.shape[1]} statistics a run")  # fmt: skip
    sides = Side(a, metric.compute), Side(b, metric.compute)
    tracemalloc.start()
    fast = [
        _timed("interval", lambda: paired_bootstrap(*sides, images, resamples=asked.resamples)),
        _timed("test", lambda: randomisation(a, b, images, metric.compute, resamples=asked.resamples)),
    ]
    print(f"peak memory   {tracemalloc.get_traced_memory()[1] / 2**20:8.0f} MiB")
    tracemalloc.stop()
    started = time.process_time()
    for drawn in draws(asked.images, seed=0, resamples=LOOPED):
        for statistics in (a, b):
            metric.compute(statistics[drawn].sum(axis=0))
    loop = (time.process_time() - started) / LOOPED * asked.resamples
    print(f"plain loop    {loop:8.1f} s for the interval alone, {loop / fast[0]:.0f} times as long")


def _timed(what: str, call: Callable[[], object]) -> float:
    started = time.process_time()
    call()
    seconds = time.process_time() - started
    print(f"{what:13} {seconds:8.1f} s")
    return seconds


def _statistics(metric: Throne, images: int, categories: int, seed: int) -> FloatArray:
    """Return the statistics of a run in which the judges mostly agree."""
    generator = np.random.default_rng(seed)
    truth = np.random.default_rng(9).random((images, categories)) < 0.05
    named = truth & (generator.random(truth.shape) < 0.7) | (generator.random(truth.shape) < 0.01)
    votes = np.where(named, generator.integers(7, 10, truth.shape), generator.integers(0, 2, truth.shape))
    samples = [VotedImage(i, votes[i], truth[i]) for i in range(images)]
    return metric.statistics(samples)


if __name__ == "__main__":
    main()
