"""Accuracy under two splits of probe runs on the same images, paired by image. Prints a line.

    python bench/compare_splits.py RUN_A RUN_B [--resamples 2000]

An answer that cannot be read counts as wrong. The interval of the difference, B minus A, is of percentiles over images.
"""

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np
from scipy.stats import bootstrap

from eidolon.benchmark.store.loaded import load_run
from eidolon.benchmark.tasks.rows import ANSWERS, AnswerRow


def by_image(path: Path, label: str | None = None) -> dict[str, float]:
    """Return the share of right answers of each image, of questions with one label or of all."""
    right: dict[str, list[bool]] = defaultdict(list)
    for row in load_run(path).lines(ANSWERS, AnswerRow):
        if label in (None, row.truth):
            right[str(row.image_id)].append(next(iter(row.parsed.values())) == row.truth)
    return {image: float(np.mean(rows)) for image, rows in right.items()}


def main() -> None:
    """Print accuracy and the difference, of all questions and of those about absent objects."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", type=Path, nargs=2)
    parser.add_argument("--resamples", type=int, default=2000)
    given = parser.parse_args()
    for label in (None, "no"):
        one, other = (by_image(path, label) for path in given.runs)
        images = sorted(one.keys() & other.keys())
        a, b = (np.array([side[image] for image in images]) for side in (one, other))
        drawn = bootstrap((b - a,), np.mean, n_resamples=given.resamples, method="percentile", rng=0)
        low, high = drawn.confidence_interval
        print(
            f"{'all questions' if label is None else 'absent objects'}: {a.mean():.3f}, {b.mean():.3f}, difference "
            f"{(b - a).mean():+.3f} [{low:+.3f}, {high:+.3f}], {len(images)} images"
        )


if __name__ == "__main__":
    main()
