"""Position given knowledge in simulated worlds: bias, coverage, and how often it says that hallucination rises.

    python bench/simulate_knowledge.py [--seeds 40] [--world NAME]… [--estimator NAME]… [--out FILE]

Each world is a law of `scorers.forgetting.knowledge_simulation`. FILE has every estimate. It is written after each
seed, and a later call computes only what it lacks. The tables are printed in Markdown. `--estimator` computes some
estimators only.
"""

import argparse
import json
from dataclasses import dataclass, field
from math import exp, log
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from eidolon.scorers.core.estimate import Estimate
from eidolon.scorers.forgetting.knowledge import Form, fit_form, odds_ratio
from eidolon.scorers.forgetting.knowledge_choices import POSITION
from eidolon.scorers.forgetting.knowledge_simulation import KnowledgeWorld, simulate_knowledge
from eidolon.scorers.forgetting.rivals.judge_errors import FalseAlarms

Z = 1.959964
SENTENCES, NAMED_IN_A_SENTENCE, MOVED = 400, 1.5, 60
"""Sentences that the simulated test of the judge moves, the categories in each, and by how many words."""
HEADLINE, JUDGE_IGNORED = "position_given_knowledge", "judge_ignored"
FORMS: dict[str, Form] = {
    HEADLINE: "headline",
    "length_not_held": "length not held",
    "noise_ignored": "noise ignored",
    "plain": "knowledge not held",
    JUDGE_IGNORED: "headline",
}
ESTIMATORS = {
    HEADLINE: "given knowledge",
    "length_not_held": "length not held",
    "noise_ignored": "noise ignored",
    "plain": "knowledge not held",
    JUDGE_IGNORED: "given knowledge, judge ignored",
}
COLUMNS = {
    "odds_ratio": ("Median odds ratio per 100 words", ".2g"),
    "bias": ("Bias of the log odds ratio", "+.2f"),
    "coverage": ("Share of seeds whose 95 % interval holds the true odds ratio", ".2f"),
    "up": ('Share of seeds that say "up"', ".2f"),
}
Found: TypeAlias = list[float] | None
"""Log odds ratio and its standard error, None where there is no estimate."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A world, and how many images are described."""

    world: KnowledgeWorld = field(default_factory=KnowledgeWorld)
    images: int = 300


WORLDS: dict[str, Trial] = {
    "easy things first": Trial(KnowledgeWorld(sureness=9.0, spread=(4.0, 1.0)), 500),
    "odds ratio 3": Trial(KnowledgeWorld(position=log(3)), 500),
    "odds ratio 3, noise 2": Trial(KnowledgeWorld(position=log(3), noise=2.0), 500),
    "snowballing": Trial(KnowledgeWorld(snowball=0.7)),
    "random slopes": Trial(KnowledgeWorld(slope_sd=2.0)),
    "easy things first, noise 2": Trial(KnowledgeWorld(sureness=9.0, spread=(4.0, 1.0), noise=2.0), 500),
    "stops after a wrong mention": Trial(KnowledgeWorld(stop=0.5)),
    "2 logits": Trial(KnowledgeWorld(position=2.0)),
    "AR(1) course": Trial(KnowledgeWorld(drift=1.0)),
    "clustered mentions": Trial(KnowledgeWorld(clustered=True)),
    "responses differ": Trial(KnowledgeWorld(intercept_sd=1.0)),
    "responses differ, sd 2": Trial(KnowledgeWorld(intercept_sd=2.0, slope_sd=2.0)),
    "bad responses shorter": Trial(KnowledgeWorld(intercept_sd=1.0, longer=-0.3)),
    "bad responses longer": Trial(KnowledgeWorld(intercept_sd=1.0, longer=0.4)),
    "3 % wrong": Trial(KnowledgeWorld(sureness=10.0), 500),
    "56 % wrong": Trial(KnowledgeWorld(sureness=4.2)),
    "50 images": Trial(images=50),
    "judge errs late": Trial(KnowledgeWorld(false_alarms=(0.01, 0.08))),
    "judge errs late, beside what is named": Trial(KnowledgeWorld(false_alarms=(0.01, 0.08), instead=False)),
    "judge misses late": Trial(KnowledgeWorld(misses=(0.01, 0.08))),
    "odds ratio 3, judge errs late": Trial(KnowledgeWorld(position=log(3), false_alarms=(0.01, 0.08)), 500),
    "2 logits, noise 2": Trial(KnowledgeWorld(position=2.0, noise=2.0)),
    "easy things first, odds ratio 3": Trial(
        KnowledgeWorld(sureness=9.0, spread=(4.0, 1.0), position=log(3)), 500
    ),
}


def estimators(world: KnowledgeWorld) -> list[str]:
    """Return the estimators of a world: not what must be the headline itself."""
    same = {"noise_ignored"} if not world.noise else set[str]()
    return [name for name in ESTIMATORS if name not in same | (set() if _errs(world) else {JUDGE_IGNORED})]


def run_seed(trial: Trial, seed: int, estimator: str) -> Found:
    """Return an estimate of one seed."""
    probes, first = simulate_knowledge(trial.world, trial.images, seed=seed)
    # A judge that does not err is taken as known.
    alarms = _judge(trial.world, seed) if _errs(trial.world) and estimator != JUDGE_IGNORED else None
    fit = fit_form(FORMS[estimator], probes, first, seed=seed, alarms=alarms)
    return _log(odds_ratio(fit, POSITION, len(first)))


def _errs(world: KnowledgeWorld) -> bool:
    return any(world.false_alarms) or any(world.misses)


def _judge(world: KnowledgeWorld, seed: int) -> FalseAlarms:
    """Return what a test of the judge by position finds, with the error of a count; of none, that of one.

    A false alarm in place of what the sentence names loses a category in the same sentence, so that its kind is seen.
    """
    read = int(SENTENCES * NAMED_IN_A_SENTENCE)
    added = np.random.default_rng([seed, 1]).binomial(read, world.false_alarms[1] * MOVED / 100)
    per_100 = 100 / MOVED / read
    return FalseAlarms(
        per_100 * added, per_100 * max(added, 1) ** 0.5, 1.0 if world.instead or not added else 0.0
    )


def _log(estimate: Estimate | None) -> Found:
    if estimate is None or estimate.value is None or estimate.ci is None:
        return None
    low, high = (log(bound) for bound in estimate.ci)
    return [round(log(estimate.value), 4), round((high - low) / (2 * Z), 4)]


def summarise(world: KnowledgeWorld, each: list[Found]) -> dict[str, float | None]:
    """Return bias, coverage and the share of seeds that say "up". A seed without an estimate says nothing."""
    known = np.array([one for one in each if one is not None]).reshape(-1, 2)
    if not len(known):
        return {"fitted": 0.0, **dict.fromkeys(("odds_ratio", "bias", "sd", "coverage", "up"))}
    value, error = known.T
    low, high = value - Z * error, value + Z * error
    found = {
        "fitted": len(known) / len(each),
        "odds_ratio": exp(float(np.median(value))),
        "bias": float(value.mean() - world.position),
        "sd": float(value.std(ddof=1)) if len(value) > 1 else 0.0,
        "coverage": float(((low <= world.position) & (world.position <= high)).mean()),
        "up": float((low > 0).mean()),
    }
    return {name: float(f"{one:.4g}") for name, one in found.items()}


def run_world(name: str, seeds: int, chosen: list[str], done: dict[str, Any], out: Path | None) -> None:
    """Add the seeds that `done` lacks of the chosen estimators, and write the file after each."""
    trial = WORLDS[name]
    there = done.setdefault(
        name, {"true": exp(trial.world.position), "images": trial.images, "estimates": {}}
    )
    each: dict[str, list[Found]] = there["estimates"]
    for estimator in estimators(trial.world):
        values = each.setdefault(estimator, []) if estimator in chosen else each.get(estimator, [])
        for seed in range(len(values), seeds if estimator in chosen else 0):
            values.append(run_seed(trial, seed, estimator))
            there["found"] = {one: summarise(trial.world, found) for one, found in each.items() if found}
            if out:
                out.write_text(_text(done), encoding="utf-8")


def _text(worlds: dict[str, Any]) -> str:
    """Return the file: a line for the estimates of each estimator."""
    parts = []
    for name, world in worlds.items():
        lines = [f"   {json.dumps(key)}: {json.dumps(value)}" for key, value in world["estimates"].items()]
        rest = {key: value for key, value in world.items() if key != "estimates"}
        body = json.dumps(rest, indent=1)[1:-2].replace("\n", "\n  ")
        parts.append(f'  {json.dumps(name)}: {{{body},\n   "estimates": {{\n' + ",\n".join(lines) + "\n   }}")
    return '{\n "worlds": {\n' + ",\n".join(parts) + "\n }\n}\n"


def table(worlds: dict[str, Any], column: str, form: str) -> str:
    """Return one number of every world and estimator as a Markdown table."""
    lines = [
        f"| world | images | true | {' | '.join(ESTIMATORS.values())} |",
        "|---|---:|---:" + "|---:" * len(ESTIMATORS) + "|",
    ]
    for name, world in worlds.items():
        found = world["found"]
        cells = ["" if (v := found.get(e, {}).get(column)) is None else format(v, form) for e in ESTIMATORS]
        lines.append(f"| {name} | {world['images']} | {world['true']:.2g} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Simulate the worlds and print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=40)
    parser.add_argument("--world", action="append", choices=[*WORLDS])
    parser.add_argument("--estimator", action="append", choices=[*ESTIMATORS])
    parser.add_argument("--out", type=Path, help="write the numbers as JSON; what it has is kept")
    given = parser.parse_args()
    out: Path | None = given.out
    done = json.loads(out.read_text(encoding="utf-8"))["worlds"] if out and out.exists() else {}
    for name in given.world or WORLDS:
        run_world(name, given.seeds, given.estimator or [*ESTIMATORS], done, out)
        print(f"{name}: done", flush=True)
    for column, (title, form) in COLUMNS.items():
        print(f"\n{title}, {given.seeds} seeds:\n\n{table(done, column, form)}")


if __name__ == "__main__":
    main()
