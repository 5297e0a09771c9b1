"""Writes the tables of docs/evidence/m3id.md, m3id-base.md and m3id-small.md: M3ID and contrastive decoding on Scenes.

    python bench/sweep_m3id.py choose      # all settings on the scenes of one seed
    python bench/sweep_m3id.py test        # the chosen settings on those of another seed, against plain decoding

Run folders go to results/runs/m3id. The same command again resumes. The choice follows a fixed rule: of a model's
settings of one kind, the one with the lowest CHAIR_i among those with an object recall at most `MAX_RECALL_LOSS` below
that of plain decoding. Without any, it is the one with the highest recall.
"""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eidolon.benchmark.report.page import render_report
from eidolon.benchmark.run.pipeline import execute
from eidolon.benchmark.run.planning import load_run_settings, make_plan
from eidolon.benchmark.verify.compare import CompareOptions, compare

MODELS = ("scenes-base", "scenes-small")
CHOOSING, TESTING = 11, 12
"""Seeds of the scenes for choosing and testing."""
SCENES = {CHOOSING: 150, TESTING: 300}
BATCH = 75
"""Responses do not depend on it. Small models are faster in large batches."""
MAX_RECALL_LOSS = 0.02
RUNS = Path("results/runs/m3id")


@dataclass(frozen=True)
class Setting:
    """One way to decode."""

    kind: str
    """One setting of each kind is chosen."""
    decoding: str = "plain"
    options: tuple[tuple[str, str], ...] = ()
    temperature: float | None = None
    """None for the default of a run."""

    @property
    def label(self) -> str:
        """The name of the folder."""
        parts = [self.decoding, *(f"{key}={value}" for key, value in self.options)]
        return "_".join(parts if self.temperature is None else [*parts, f"t={self.temperature}"])


SHOWN = ("chair.chair_i", "objects.recall", "objects.f05", "chair.words")


def m3id(kind: str, **options: object) -> Setting:
    """Return M3ID with these options (`rate` is λ)."""
    named = (("lambda" if key == "rate" else key, str(value).lower()) for key, value in options.items())
    return Setting(kind, "m3id", tuple(named))


def contrastive(kind: str, **options: object) -> Setting:
    """Return contrastive decoding with these options."""
    return Setting(kind, "contrastive", tuple((key, str(value)) for key, value in options.items()))


NO_CONTRAST = (Setting("plain"), contrastive("cut alone", weight=0))
"""The baselines. The second drops implausible tokens like the others, and does nothing else."""
PAPERS = (m3id("m3id", rate=0.02, alpha=0.3), m3id("m3id, no gate", rate=0.02, gate=False))
"""Settings of the papers. They are tested even if not chosen."""


def settings() -> Iterator[Setting]:
    """Yield all settings for the scenes of CHOOSING."""
    yield from NO_CONTRAST
    for rate in (0.02, 0.1, 0.05, 0.005):
        for alpha in (0.3, 0.8):
            yield m3id("m3id", rate=rate, alpha=alpha)
        yield m3id("m3id, no gate", rate=rate, gate=False)
    for weight in (1.0, 0.25, 0.5, 2.0):
        yield contrastive("contrastive", weight=weight)
    for form in ("zeroed", "neutral"):
        yield m3id("m3id", rate=0.02, alpha=0.8, without=form)
        yield m3id("m3id, no gate", rate=0.02, gate=False, without=form)
        yield contrastive("contrastive", weight=0.5, without=form)
    yield m3id("m3id", rate=0.02, alpha=1.0)
    for cap in ("none", 1):
        yield m3id("m3id", rate=0.02, alpha=0.8, cap=cap)
        yield m3id("m3id, no gate", rate=0.02, gate=False, cap=cap)
    yield Setting("plain, cooler", temperature=0.3)
    yield Setting("plain, greedy", temperature=0.0)
    # Added after the settings above had shown that small weights do best.
    yield m3id("m3id", rate=0.02, alpha=0.8, cap=0.3)
    yield m3id("m3id, no gate", rate=0.02, gate=False, cap=0.3)
    yield contrastive("contrastive", weight=0.1)
    yield contrastive("contrastive", weight=0.25, without="zeroed")


def run(setting: Setting, model: str, seed: int) -> Path:
    """Finish one run, if it is not finished, and return its folder."""
    out = RUNS / str(seed) / setting.label
    if (out / model / "scores.json").is_file():
        return out / model
    chosen = {} if setting.temperature is None else {"temperature": setting.temperature}
    given = load_run_settings(
        None,
        {
            "models": [model],
            "limit": SCENES[seed],
            "seed": seed,
            "batch_size": BATCH,
            "decoding": setting.decoding,
            "decoding_options": dict(setting.options),
            **chosen,
        },
    )
    ((planned, generation),) = make_plan(given, out).runs
    execute(planned, generation, render_report)
    return planned.path


def scores(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the quantities `SHOWN` of a run, each with value and interval."""
    metrics = json.loads((folder / "scores.json").read_text(encoding="utf-8"))["metrics"]
    return {name: metrics[name.partition(".")[0]][name.partition(".")[2]] for name in SHOWN}


def choose(model: str) -> dict[str, Setting]:
    """Return the chosen setting of each kind, from the finished runs on the choosing scenes."""
    plain = scores(run(Setting("plain"), model, CHOOSING))["objects.recall"]["value"]
    found: dict[str, list[tuple[Setting, float, float]]] = {}
    for setting in settings():
        got = scores(run(setting, model, CHOOSING))
        row = (setting, got["chair.chair_i"]["value"], got["objects.recall"]["value"])
        found.setdefault(setting.kind, []).append(row)
    chosen = {}
    for kind, rows in found.items():
        acceptable = [row for row in rows if row[2] >= plain - MAX_RECALL_LOSS]
        best = min(acceptable, key=lambda row: row[1]) if acceptable else max(rows, key=lambda row: row[2])
        chosen[kind] = best[0]
    return chosen


def print_choosing() -> None:
    """Run every setting and print one table for each model, with the chosen settings marked."""
    for setting in settings():
        for model in MODELS:
            run(setting, model, CHOOSING)
    for model in MODELS:
        chosen = choose(model).values()
        print(f"\n{model}\n\n| decoding | {' | '.join(SHOWN)} |\n|---|{'---|' * len(SHOWN)}")
        for setting in settings():
            got = scores(run(setting, model, CHOOSING))
            mark = " ←" if setting in chosen else ""
            print(f"| {setting.label}{mark} | {' | '.join(_cell(name, got[name]) for name in SHOWN)} |")


def print_test() -> None:
    """Run the chosen settings and those of the papers on the test scenes, and print the differences."""
    for model in MODELS:
        chosen = [setting for kind, setting in choose(model).items() if kind != "plain, greedy"]
        tested = list(dict.fromkeys((*NO_CONTRAST, *chosen, *PAPERS)))
        for base in NO_CONTRAST:
            absolute = ", ".join(f"{k} {_cell(k, v)}" for k, v in scores(run(base, model, TESTING)).items())
            print(f"\n{model}, against {base.label}: {absolute}\n")
            print(
                f"| decoding | {' | '.join(SHOWN)} | p, CHAIR_i | p, recall |\n|---|{'---|' * (len(SHOWN) + 2)}"
            )
            for setting in tested:
                if setting == base:
                    continue
                comparison = compare(
                    run(base, model, TESTING), run(setting, model, TESTING), CompareOptions(SHOWN)
                )
                found = dict(_differences(comparison.metrics))
                cells = [_cell(name, found[name], sign="+") for name in SHOWN]
                cells += [f"{found[name]['p']:.4f}" for name in SHOWN[:2]]
                mark = " ←" if setting in chosen else ""
                print(f"| {setting.label}{mark} | {' | '.join(cells)} |")


def _differences(metrics: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for family, compared in metrics.items():
        for name, value in compared.quantities().items():
            yield f"{family}.{name}", value.model_dump(mode="json")


def _cell(name: str, estimate: Mapping[str, Any], sign: str = "") -> str:
    digits = 1 if name.endswith("words") else 3
    values: Sequence[float] = [estimate.get("difference", estimate.get("value")), *estimate["ci"]]
    value, low, high = (f"{number:{sign}.{digits}f}" for number in values)
    return f"{value} [{low}, {high}]"


def main() -> None:
    """Run the chosen verb."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("choose", "test"))
    {"choose": print_choosing, "test": print_test}[parser.parse_args().what]()


if __name__ == "__main__":
    main()
