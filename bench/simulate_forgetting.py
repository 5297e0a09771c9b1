"""Simulates worlds in which the truth is known: bias, coverage, and how often each estimator says that the odds rise.

    python bench/simulate_forgetting.py [--seeds 40] [--worlds NAME,…] [--estimators NAME;…]
        [--out FILE.json] [--resume]
    python bench/simulate_forgetting.py --laws [--seeds 200] [--responses 2000] [--power]

The worlds are those of `eidolon.scorers.forgetting.worlds`: those that fool a rise with position, and those where
forgetting is real. The estimators are those of `eidolon.scorers.forgetting.rivals`, and the choice model that is
given what the model thought of each object (`utilities`), exactly or as a noisy probe shows it. With `--laws` the
laws of `eidolon.scorers.forgetting.simulation`, for the late-minus-early odds ratio alone.
"""

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import exp, log
from pathlib import Path
from typing import Any

import numpy as np

from eidolon.scorers.core.errors import UserError, did_you_mean
from eidolon.scorers.core.metric import FloatArray
from eidolon.scorers.forgetting.late_early import PER, POSITION, late_early_odds_ratio
from eidolon.scorers.forgetting.rivals.effect import HeldEffect, effect
from eidolon.scorers.forgetting.rivals.held import HELD, PLAIN, Material, fit_rival
from eidolon.scorers.forgetting.rivals.judge_errors import FalseAlarms
from eidolon.scorers.forgetting.rivals.naming import Named
from eidolon.scorers.forgetting.simulation import SCENARIOS, Hazard, simulate
from eidolon.scorers.forgetting.worlds import CATEGORIES, WORLDS, Course, NamingWorld, simulate_world
from eidolon.scorers.statistics.choice_model import ChoiceSets, fit_choice
from eidolon.scorers.statistics.mixed_logistic import NotEstimableError

SENTENCES, NAMED_IN_A_SENTENCE, MOVED = 400, 1.5, 60
"""Sentences that the simulated test of the judge moves, the categories in each, and by how many words."""
PROBE_NOISE = 1.0
"""Standard deviation of the noise of a probe, in log odds."""

Estimator = Callable[[NamingWorld, Course, int], HeldEffect]

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


def material(world: NamingWorld, course: Course, seed: int) -> Material:
    """Return what the rivals are fitted to, with a simulated test of the judge by position."""
    rng = np.random.default_rng([seed, 1])
    read = int(SENTENCES * NAMED_IN_A_SENTENCE)
    added = rng.binomial(read, min(1.0, world.false_alarms[1] * MOVED / PER))
    per_100 = PER / MOVED / read
    error = per_100 * max(added, 1) ** 0.5  # that of a count; of none, about half of the rule of three
    return Material(
        course.events, Named(course.there, course.named), FalseAlarms(per_100 * added, error), seed
    )


def with_utilities(course: Course, noise: float, seed: int) -> HeldEffect:
    """Return the effect of position beside what the model thought of the objects that are left.

    Each mention is a choice between present and absent. The utility of either side is the log of the summed
    exp(utility) of what is left. `noise` is added to the utility of each object.

    Raises:
        NotEstimableError: the data do not determine it.
    """
    rng = np.random.default_rng([seed, 2])
    mentions = course.events.mentions
    shown = course.utilities + noise * rng.standard_normal(course.utilities.shape)
    sides = np.zeros((len(mentions), 2))
    left = np.ones(CATEGORIES, dtype=bool)
    for at, of in enumerate(mentions.response):
        if at and of != mentions.response[at - 1]:
            left[:] = True
        for side, there in enumerate((course.there[of], ~course.there[of])):
            rows = shown[of][left & there]
            sides[at, side] = np.log(np.exp(rows).sum()) if len(rows) else -np.inf
        left[course.named[at]] = False
    free = np.flatnonzero(np.isfinite(sides).all(axis=1))
    absent = np.tile([0.0, 1.0], len(free))
    mention = np.repeat(free, 2)
    columns: dict[str, FloatArray] = {
        POSITION: absent * mentions.word[mention] / PER,
        "absent": absent,
        "utility": sides[free].ravel(),
    }
    chosen = mentions.hallucinated[mention] == (absent > 0)
    found = fit_choice(
        ChoiceSets(columns, chosen, mention, course.events.responses.image[mentions.response[mention]])
    )
    return effect(*found[POSITION])


ESTIMATORS: dict[str, Estimator] = {
    rival.name: lambda world, course, seed, rival=rival: fit_rival(rival, material(world, course, seed))  # type: ignore[misc]
    for rival in (PLAIN, *HELD)
} | {
    "utilities": lambda _, course, seed: with_utilities(course, 0.0, seed),
    "utilities, noisy": lambda _, course, seed: with_utilities(course, PROBE_NOISE, seed),
}
LABELS = {rival.name: rival.label for rival in (PLAIN, *HELD)} | {
    "utilities": "utilities given",
    "utilities, noisy": f"utilities given, noise of sd {PROBE_NOISE:g}",
}


def run_world(
    world: NamingWorld, seeds: int, estimators: Sequence[str]
) -> dict[str, list[tuple[float, float] | None]]:
    """Return the log odds ratio and its standard error by estimator and seed, None where there is none."""
    found: dict[str, list[tuple[float, float] | None]] = {name: [] for name in estimators}
    for seed in range(seeds):
        course = simulate_world(world, seed=seed)
        for name in estimators:
            try:
                one = ESTIMATORS[name](world, course, seed)
            except NotEstimableError as error:
                one = HeldEffect(reason=str(error))
            value, error_ = one.log_odds_ratio, one.standard_error
            found[name].append(None if value is None or error_ is None else (value, error_))
    return found


def summarise_world(world: NamingWorld, found: Mapping[str, list[Any]]) -> dict[str, dict[str, float | None]]:
    """Return bias, coverage and the share of seeds that say "up", by estimator."""
    rows: dict[str, dict[str, float | None]] = {}
    for name, each in found.items():
        known = np.array([one for one in each if one is not None], dtype=float).reshape(-1, 2)
        if not len(known):
            rows[name] = {"fitted": 0.0, **dict.fromkeys(("odds_ratio", "bias", "sd", "coverage", "up"))}
            continue
        value, error = known.T
        low, high = value - 1.96 * error, value + 1.96 * error
        rows[name] = {
            "fitted": len(known) / len(each),
            "odds_ratio": exp(float(np.median(value))),
            "bias": float(value.mean() - world.position),
            "sd": float(value.std(ddof=1)) if len(value) > 1 else None,
            "coverage": float(((low <= world.position) & (world.position <= high)).mean()),
            "up": float((low > 0).mean()),
        }
    return rows


def table(results: Mapping[str, Mapping[str, Mapping[str, float | None]]], column: str, form: str) -> str:
    """Return one number of every world and estimator as a Markdown table."""
    lines = [
        f"| world | true | {' | '.join(LABELS[name] for name in ESTIMATORS)} |",
        "|---|---:" + "|---:" * len(ESTIMATORS) + "|",
    ]
    for name, rows in results.items():
        cells = [
            "" if (value := rows.get(key, {}).get(column)) is None else format(value, form)
            for key in ESTIMATORS
        ]
        lines.append(f"| {name} | {exp(WORLDS[name].position):.3g} | {' | '.join(cells)} |")
    return "\n".join(lines)


def worlds(
    names: Sequence[str], estimators: Sequence[str], seeds: int, out: Path | None, resume: bool
) -> None:
    """Run the worlds, print the tables, and write the numbers after each world. Resuming, keep what FILE has.

    Raises:
        UserError: the file to resume is of another number of seeds, or is no such file.
    """
    done = finished(out, seeds) if resume and out and out.exists() else {}
    results: dict[str, Any] = {name: done[name] for name in names if name in done}
    for name in names:
        there = done.get(name, {})
        missing = [one for one in estimators if one not in there]
        found = summarise_world(WORLDS[name], run_world(WORLDS[name], seeds, missing)) if missing else {}
        results[name] = {key: (there | found)[key] for key in ESTIMATORS if key in there | found}
        if out:
            numbers = {
                key: {e: {k: _rounded(v) for k, v in row.items()} for e, row in rows.items()}
                for key, rows in results.items()
            }
            out.write_text(json.dumps({"seeds": seeds, "worlds": numbers}, indent=1) + "\n", encoding="utf-8")
        print(f"{name}: done", flush=True)
    for title, column, form in (
        ("Median odds ratio per 100 words", "odds_ratio", ".3g"),
        ("Share of seeds whose 95 % interval holds the true odds ratio", "coverage", ".2f"),
        ('Share of seeds that say "up"', "up", ".2f"),
        ("Bias of the log odds ratio", "bias", "+.2f"),
    ):
        print(f"\n{title}, {seeds} seeds:\n\n{table(results, column, form)}")


def finished(path: Path, seeds: int) -> dict[str, Any]:
    """Return the worlds that a file has.

    Raises:
        UserError: it is of another number of seeds, or is no such file.
    """
    try:
        found = json.loads(path.read_bytes())
        done: dict[str, Any] = found["worlds"]
        count = found["seeds"]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise UserError(f"--out {path}: is no file that --out wrote: {error}") from error
    if count != seeds:
        raise UserError(
            f"--out {path}: has {count} seeds, not {seeds}; give --seeds {count}, or another file"
        )
    return done


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")


def summarise(hazard: Hazard, responses: int, seeds: int) -> dict[str, float]:
    """Return the early and late raw rates, and the mean bias, coverage and power of the plain log odds ratio."""
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


def laws(seeds: int, responses: int, power: bool) -> None:
    """Run the laws of hallucination for the late-minus-early odds ratio."""
    names = ("early", "late", "bias", "sd", "SE", "coverage", "finds pos.")
    print(f"{seeds} seeds, log odds ratio per 100 words\n{'':42s}" + "".join(f"{n:>9s}" for n in names))
    if power:
        for hazard in (SCENARIOS["rising"], OTHERS["rising, exhaustion, bad responses longer"]):
            for many in (250, 500, 1000, 2000, 4000):
                show(f"{hazard.exhaustion}, {many} responses", summarise(replace(hazard), many, seeds))
        return
    for label, hazard in {**SCENARIOS, **OTHERS}.items():
        show(label, summarise(hazard, responses, seeds))


def main() -> None:
    """Run the worlds or the laws."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int)
    parser.add_argument(
        "--worlds", default=",".join(WORLDS).replace(", ", "; "), help="names, by default all"
    )
    parser.add_argument("--estimators", help="names, by default all")
    parser.add_argument("--out", type=Path, help="write the numbers as JSON")
    parser.add_argument("--resume", action="store_true", help="keep the numbers that FILE has")
    parser.add_argument("--laws", action="store_true", help="the laws of hallucination instead")
    parser.add_argument("--responses", type=int, default=2000)
    parser.add_argument("--power", action="store_true", help="power by the number of responses instead")
    given = parser.parse_args()
    for flag in ("seeds", "responses"):
        if getattr(given, flag) is not None and getattr(given, flag) < 1:
            parser.error(f"--{flag} {getattr(given, flag)}: must be at least 1")
    if given.laws:
        laws(given.seeds or 200, given.responses, given.power)
        return
    names = [name.replace("; ", ", ") for name in given.worlds.split(",")]
    estimators = given.estimators.split(";") if given.estimators else [*ESTIMATORS]
    for flag, chosen, known in (("worlds", names, WORLDS), ("estimators", estimators, ESTIMATORS)):
        for name in chosen:
            if name not in known:
                parser.error(f"--{flag}: unknown name {name!r}{did_you_mean(name, [*known])}")
    try:
        worlds(names, estimators, given.seeds or 40, given.out, given.resume)
    except UserError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
