"""Simulates the bias, coverage and power of the late-minus-early odds ratio, with known hazards.

    python bench/simulate_forgetting.py [--seeds 200] [--responses 2000] [--power]

Each line is one law of hallucination (`eidolon.scorers.forgetting.simulation`), simulated with many seeds.
"""

import argparse
from dataclasses import replace
from math import exp, log

import numpy as np

from eidolon.scorers.forgetting.late_early import late_early_odds_ratio
from eidolon.scorers.forgetting.simulation import SCENARIOS, Hazard, simulate

OTHERS = {
    "exhaustion linear in the unnamed": Hazard(exhaustion="linear"),
    "exhaustion by the unnamed share": Hazard(exhaustion="share"),
    "exhaustion linear, bad responses longer": Hazard(exhaustion="linear", spread=1.0, longer=0.4),
    "share, bad responses twice as long": Hazard(exhaustion="share", spread=1.0, longer=0.7),
    "a fifth of the responses bad, and longer": Hazard(
        exhaustion="competing", spread=1.0, bad=0.2, longer=0.4
    ),
    "half of the responses bad, and longer": Hazard(exhaustion="competing", spread=1.0, bad=0.5, longer=0.4),
    "a fifth bad, longer, and rising": Hazard(
        position=log(3), exhaustion="competing", spread=1.0, bad=0.2, longer=0.4
    ),
    "bad responses shorter": Hazard(exhaustion="competing", spread=1.0, longer=-0.3),
    "rising, exhaustion, bad responses longer": Hazard(
        position=log(3), exhaustion="competing", spread=1.0, longer=0.4
    ),
    "rising, rare": Hazard(position=log(3), base=-3.0, exhaustion="competing"),
    "falling": Hazard(position=-log(2), base=-1.0, exhaustion="competing", spread=0.5),
}


def summarise(hazard: Hazard, responses: int, seeds: int) -> dict[str, float]:
    """Return the early and late raw rates, and the mean bias, coverage and power of the adjusted log odds ratio."""
    rows = []
    for seed in range(seeds):
        events = simulate(hazard, responses, seed=seed)
        mentions = events.mentions
        found = late_early_odds_ratio(events)
        late = mentions.word >= 60
        rows.append(
            (
                mentions.hallucinated[mentions.word < 20].mean(),
                mentions.hallucinated[late].mean() if late.any() else np.nan,
                found.log_odds_ratio - hazard.position,
                found.standard_error,
                found.low <= exp(hazard.position) <= found.high,
                not found.low <= 1 <= found.high,
            )
        )
    early, late_rate, error, standard_error, covered, rejected = np.array(rows, dtype=float).T
    return {
        "early": early.mean(),
        "late": late_rate.mean(),
        "bias": error.mean(),
        "sd": error.std(ddof=1),
        "SE": standard_error.mean(),
        "coverage": covered.mean(),
        "finds position": rejected.mean(),
    }


def show(label: str, found: dict[str, float]) -> None:
    """Print one line."""
    print(f"{label:42s}" + "".join(f"{value:9.3f}" for value in found.values()), flush=True)


def main() -> None:
    """Run the scenarios."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--responses", type=int, default=2000)
    parser.add_argument("--power", action="store_true", help="power by the number of responses instead")
    given = parser.parse_args()
    names = ("early", "late", "bias", "sd", "SE", "coverage", "finds pos.")
    print(f"{given.seeds} seeds, log odds ratio per 100 words\n{'':42s}" + "".join(f"{n:>9s}" for n in names))
    if given.power:
        for hazard in (SCENARIOS["rising"], OTHERS["rising, exhaustion, bad responses longer"]):
            for responses in (250, 500, 1000, 2000, 4000):
                label = f"{hazard.exhaustion}, {responses} responses"
                show(label, summarise(replace(hazard), responses, given.seeds))
        return
    for label, hazard in {**SCENARIOS, **OTHERS}.items():
        show(label, summarise(hazard, given.responses, given.seeds))


if __name__ == "__main__":
    main()
