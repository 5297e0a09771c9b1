"""Position given knowledge in simulated worlds: bias, coverage, and how often it says that hallucination rises.

    python bench/simulate_knowledge.py [--seeds 40] [--images 300] [--world NAME]… [--out FILE]

Each world is a law of `scorers.forgetting.knowledge_simulation`. The result is a table in Markdown; with --out its rows
are written as they are finished.
"""

import argparse
from math import exp, log
from pathlib import Path

import numpy as np

from eidolon.scorers.core.estimate import Estimate
from eidolon.scorers.forgetting.knowledge import measure_knowledge
from eidolon.scorers.forgetting.knowledge_simulation import KnowledgeWorld, simulate_knowledge

WORLDS: dict[str, KnowledgeWorld] = {
    "easy things first": KnowledgeWorld(),
    "easy things first, noise 2": KnowledgeWorld(noise=2.0),
    "snowballing": KnowledgeWorld(snowball=0.7),
    "random slopes": KnowledgeWorld(slope_sd=2.0),
    "stops after a wrong mention": KnowledgeWorld(stop=0.5),
    "responses differ": KnowledgeWorld(intercept_sd=1.0),
    "odds ratio 3": KnowledgeWorld(position=log(3)),
    "2 logits": KnowledgeWorld(position=2.0),
    "2 logits, noise 2": KnowledgeWorld(position=2.0, noise=2.0),
}
ESTIMATORS = ("position_given_knowledge", "noise_ignored", "plain")
HEAD = (
    "| world | true | estimator | odds ratio | sd of its log | intervals that hold the true one | says it rises |",
    "|---|---|---|---|---|---|---|",
)


def rows(name: str, images: int, seeds: int) -> list[str]:
    """Return the table rows of one world, one for each estimator."""
    world = WORLDS[name]
    found: dict[str, list[Estimate]] = {estimator: [] for estimator in ESTIMATORS}
    for seed in range(seeds):
        summary = measure_knowledge(*simulate_knowledge(world, images, seed=seed), seed=seed)
        for estimator in ESTIMATORS:
            found[estimator].append(getattr(summary, estimator))
    lines = []
    for estimator, estimates in found.items():
        known = [(one.value, *one.ci) for one in estimates if one.value is not None and one.ci is not None]
        values = np.log(np.array(known))
        holds = (values[:, 1] <= world.position) & (world.position <= values[:, 2])
        lines.append(
            f"| {name} | {exp(world.position):.2f} | {estimator} | {exp(values[:, 0].mean()):.2f} | "
            f"{values[:, 0].std():.2f} | {holds.mean():.2f} | {(values[:, 1] > 0).mean():.2f} |"
        )
    return lines


def main() -> None:
    """Simulate the worlds and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=40)
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--world", action="append", choices=[*WORLDS])
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    lines = [*HEAD]
    for line in HEAD:
        print(line)
    for name in given.world or WORLDS:
        for line in rows(name, given.images, given.seeds):
            print(line, flush=True)
            lines.append(line)
        if given.out:
            given.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
