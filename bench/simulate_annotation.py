"""Simulates the effect of incomplete annotation on the forgetting measures, in worlds with known ground truth.

    python bench/simulate_annotation.py [--seeds 8] [--responses 600]

Each line is one world (`eidolon.scorers.forgetting.simulation_annotation`). Hallucination is judged by the complete
ground truth, by boxes and captions, and by boxes alone. For each, the line has the rise of the raw rate from words 0-19
to words 60 on, and the late-minus-early odds ratio per 100 words (geometric mean over seeds). The last columns are
about the late hallucinations by boxes and captions: the share that is in the image after all, and its estimate from
the two sources.
"""

import argparse
from math import exp, log

import numpy as np

from eidolon.scorers.forgetting.annotation import annotation_bounds
from eidolon.scorers.forgetting.captions import with_truth
from eidolon.scorers.forgetting.events import Events, read_events
from eidolon.scorers.forgetting.late_early import late_early_odds_ratio
from eidolon.scorers.forgetting.simulation_annotation import World, simulate_annotated
from eidolon.scorers.statistics.mixed_logistic import NotEstimableError

HALF = (0.3, 0.8, 1.0)
WORLDS = {
    "complete": World(boxes=(1, 1, 1)),
    "small often missed": World(),
    "the same, half of the captions dependent": World(dependence=0.5),
    "many objects, few of them annotated": World(true=14, seen=(0.5, 0.5, 0.5), boxes=HALF),
    "the same, rising": World(true=14, seen=(0.5, 0.5, 0.5), boxes=HALF, position=log(3)),
}


def summarise(world: World, responses: int, seeds: int) -> list[float]:
    """Return the means over seeds, in the order of the columns."""
    rows = []
    for seed in range(seeds):
        samples, truths = simulate_annotated(world, responses, seed=seed)
        found = annotation_bounds(samples, resamples=0)
        assert found is not None
        assert found.captions is not None
        row = []
        for objects in (
            truths,
            [s.objects for s in samples],
            [s.sources.annotated for s in samples if s.sources],
        ):
            judged = [with_truth(s, o) for s, o in zip(samples, objects, strict=True)]
            row += [*_measures(read_events(judged))]
        late = next(u for u in found.captions.unannotated if (u.split, u.part) == ("size", "late"))
        present = [
            m.category in truth
            for s, truth in zip(samples, truths, strict=True)
            for m in s.judgement.mentions
            if m.word >= 60 and m.verdict == "hallucinated"
        ]
        rows.append([*row, float(np.mean(present)), late.share.value or 0.0])
    return np.nanmean(np.array(rows), axis=0).tolist()


def _measures(events: Events) -> tuple[float, float]:
    mentions = events.mentions
    late, early = mentions.hallucinated[mentions.word >= 60], mentions.hallucinated[mentions.word < 20]
    try:
        late_early = late_early_odds_ratio(events).log_odds_ratio
    except NotEstimableError:
        late_early = np.nan
    return float(late.mean() - early.mean()), late_early


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--responses", type=int, default=600)
    arguments = parser.parse_args()
    print("| world | truth: rise, OR | boxes and captions | boxes alone | in the image | estimated |")
    print("|---|---|---|---|---:|---:|")
    for name, world in WORLDS.items():
        truth, or_, joined, joined_or, boxes, boxes_or, present, estimated = summarise(
            world, arguments.responses, arguments.seeds
        )
        pairs = [(truth, or_), (joined, joined_or), (boxes, boxes_or)]
        cells = " | ".join(f"{rise:+.2f}, {exp(odds):.2f}" for rise, odds in pairs)
        print(f"| {name} | {cells} | {present:.2f} | {estimated:.2f} |", flush=True)


if __name__ == "__main__":
    main()
