"""Simulates texts whose dependence on the picture fades at a known rate, and fits the rate in both ways.

    python bench/simulate_fading.py [--seeds 20]

l_c = f·l* + (1 - f)·l_u with f = e^{-λt}. The picture changes plausible tokens only. Both forms without the picture
give l_u with independent noise of 0.1 nats.
Printed: the mean of the fitted λ over seeds, and the share of the intervals that hold the truth.
"""

import argparse
import math

import numpy as np
import torch

from eidolon.models.probing.dependency import distances, plausible_product
from eidolon.scorers.forgetting.fading import Fade, TokenSeries, fit_fade
from eidolon.scorers.forgetting.fading_signal import fit_signal

NOISE = 0.1
REACH = 3.0
"""The picture changes tokens of at least e^-3 of the likeliest's probability."""
TEXTS, LENGTH = 20, 60
RESAMPLES = 200
VOCABULARIES = (1344, 32_000)
RATES = (0.02, 0.0)


def make(rate: float, vocabulary: int, seed: int) -> list[TokenSeries]:
    """Return the measurements along simulated texts."""
    generator = torch.Generator().manual_seed(seed)
    fading = torch.exp(-rate * torch.arange(LENGTH))[:, None]
    found = []
    for image in range(TEXTS):
        blind = (3 * torch.randn(LENGTH, vocabulary, generator=generator)).log_softmax(-1)
        changed = 2 * torch.randn(LENGTH, vocabulary, generator=generator)
        plausible = blind > blind.amax(-1, keepdim=True) - REACH
        looking = (blind + changed * plausible).log_softmax(-1)
        seen = (fading * looking + (1 - fading) * blind).log_softmax(-1)
        one, other = (
            (blind + NOISE * torch.randn(LENGTH, vocabulary, generator=generator)).log_softmax(-1)
            for _ in range(2)
        )
        hellinger, difference = distances(seen, one)
        signal = plausible_product(seen, one, other)
        found.append(
            TokenSeries(
                image,
                hellinger.numpy().astype(float),
                difference.numpy().astype(float),
                ("content",) * LENGTH,
                (None,) * LENGTH,
                hellinger.numpy().astype(float),
                signal.numpy().astype(float),
            )
        )
    return found


def summary(fits: list[Fade], rate: float) -> str:
    """Return the mean rate, and the share of the intervals that hold the truth."""
    rates = [fit.rate for fit in fits if fit.rate is not None]
    held = [fit.rate_ci is not None and fit.rate_ci[0] <= rate <= fit.rate_ci[1] for fit in fits]
    mean = np.mean(rates) if rates else math.nan
    return f"{mean:.4f} ± {np.std(rates) / max(1, len(rates)) ** 0.5:.4f} | {np.mean(held):.2f}"


def main() -> None:
    """Print a row for each rate and vocabulary."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--vocabulary", type=int, action="append")
    parser.add_argument("--rate", type=float, action="append")
    given = parser.parse_args()
    print(
        "| true λ | vocabulary | line through the logarithm | holds the truth | floor removed | holds the truth |"
    )
    print("|---|---|---|---|---|---|")
    for vocabulary in given.vocabulary or VOCABULARIES:
        for rate in given.rate or RATES:
            worlds = [make(rate, vocabulary, seed) for seed in range(given.seeds)]
            lines = [fit_fade(world, "", resamples=RESAMPLES) for world in worlds]
            without = [fit_signal(world, "", resamples=RESAMPLES) for world in worlds]
            print(f"| {rate} | {vocabulary:,} | {summary(lines, rate)} | {summary(without, rate)} |")


if __name__ == "__main__":
    main()
