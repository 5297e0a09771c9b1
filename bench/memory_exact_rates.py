"""Gives the rates of a committed memory study the intervals of few events, from what `memory.json` holds.

    python bench/memory_exact_rates.py results/memory

A study that was computed before the rule of `scorers.statistics.small_samples` has percentile intervals where events
are few, such as [0, 0]. The answers to single questions are not part of `memory.json`. So only those intervals can be
computed again for which the counts decide:

- Without an event, or without another outcome, no resample differs, and the design effect has its least value. The
  same holds for a single event of one model that was asked equally often about each image.
- For other rates with fewer than 5 events the design effect needs the resamples. Their interval is removed, with the
  reason beside the value.

Writes `memory.json`, the figures and the page.
"""

import argparse
from collections import Counter
from pathlib import Path
from typing import Literal

import numpy as np

from eidolon.benchmark.store.atomic import write_atomically
from eidolon.benchmark.study.memory.measurements import BenchSettings
from eidolon.benchmark.study.memory.page import PAGE, STUDY, write_page
from eidolon.benchmark.study.memory.plots import PLOTS
from eidolon.benchmark.study.memory.records import MemoryStudy, MemoryVariant
from eidolon.scorers.core.estimate import Estimate
from eidolon.scorers.statistics.bootstrap import LEVEL
from eidolon.scorers.statistics.small_samples import FEW, METHOD, few_events

Done = Literal["kept", "exact", "removed"]
GONE = f"fewer than {FEW} events, and the answers to single questions are not kept"
RATES = ("accuracy", "accuracy_at_0", "yes_rate")


def with_few_events(rate: Estimate, trials: int, *, images: int | None, models: int) -> tuple[Estimate, Done]:
    """Return a rate with its exact interval where the counts decide it, and what was done.

    `trials` are over all models, and `images` those with a trial, None if that is not recorded.
    """
    if rate.value is None or rate.ci is None or rate.method is not None:
        return rate, "kept"
    events = round(rate.value * trials)
    fewest = min(events, trials - events)
    if fewest >= FEW:
        return rate, "kept"
    decided = images is not None and images > 1 and fewest <= (models == 1 and trials % images == 0)
    if images is None or not decided:
        return rate.model_copy(update={"ci": None, "reason": GONE}), "removed"
    found = few_events(
        np.array(float(events)),
        np.array(float(trials)),
        np.full(2, rate.value),
        clusters=images,
        level=LEVEL,
    )
    return rate.model_copy(update={"ci": (float(found.low), float(found.high)), "method": METHOD}), "exact"


def with_exact_rates(
    variant: MemoryVariant, settings: BenchSettings, done: Counter[tuple[str, Done]]
) -> MemoryVariant:
    """Return the variant with the intervals of its rates, and count in `done` what happened to each."""
    models = len(variant.checkpoints)

    def change(name: str, rate: Estimate, trials: int, images: int | None) -> Estimate:
        found, what = with_few_events(rate, trials, images=images, models=models)
        done[f"{variant.variant} {name}", what] += 1
        return found

    described = settings.descriptions
    scores = dict(variant.scores)
    for name in set(scores) & {"truncated", "chair_s"}:
        scores[name] = change(name, scores[name], models * described, described)
    points = tuple(
        point.model_copy(
            update={
                name: change(
                    f"{point.condition} {point.series} {point.n} {name}",
                    getattr(point, name),
                    point.questions,
                    point.images,
                )
                for name in RATES
            }
        )
        for point in variant.retention
    )
    bins = tuple(
        one.model_copy(
            update={
                "hallucinated": change(
                    f"hallucinated from word {one.start}", one.hallucinated, one.mentions, None
                )
            }
        )
        for one in variant.hallucination
    )
    return variant.model_copy(update={"scores": scores, "retention": points, "hallucination": bins})


def main() -> None:
    """Write the study with its exact intervals, and print which intervals changed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    study = MemoryStudy.model_validate_json((folder / STUDY).read_text(encoding="utf-8"))
    done: Counter[tuple[str, Done]] = Counter()
    variants = tuple(with_exact_rates(one, study.settings, done) for one in study.variants)
    study = study.model_copy(update={"variants": variants})
    write_atomically(folder / STUDY, study.to_json())
    for name, draw in PLOTS.items():
        png = draw(study)
        if png is not None:
            write_atomically(folder / name, png)
    write_page(study, folder / PAGE)
    for (name, what), count in sorted(done.items(), key=lambda item: item[0][1]):
        if what != "kept":
            print(f"{what}: {name}" + (f" ({count})" if count > 1 else ""))


if __name__ == "__main__":
    main()
