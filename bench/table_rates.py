"""Prints the rates of several runs by position as Markdown tables, from their `scores.json` and `forgetting.json`.

for run in RESPONSES/*.jsonl; do
    eidolon score --responses $run --objects objects.jsonl --metric forgetting --out runs/$(basename $run .jsonl)
done
python bench/table_rates.py runs/*
"""

import argparse
from pathlib import Path
from typing import Any

from table_rivals import odds, read_json, short

from eidolon.scorers.core.errors import UserError

CHANGES = ("survivors_change", "unexhausted_change", "repeated_change")
CONTROLS = ("mentions from word 20 on", "3 or more true objects still unnamed")
ORDERS = ("at random", "latest first")


def main() -> None:
    """Print a table of the rates, one of the odds ratios, and one of what annotation could explain."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+", type=Path)
    runs = {path.name: path for path in parser.parse_args().runs}
    try:
        scores = {name: read_json(path / "scores.json") for name, path in runs.items()}
        details = {name: read_json(path / "forgetting.json") for name, path in runs.items()}
    except UserError as error:
        parser.error(str(error))
    _table(
        ("run", "n", "early", "late", "survivors", "unexhausted", "re-mentions"),
        [_rates(name, found) for name, found in scores.items()],
    )
    _table(
        ("run", "late minus early, per 100 words", "detectable", "from word 20 on", "3 or more unnamed"),
        [_odds_row(name, detail) for name, detail in details.items()],
    )
    _table(
        ("run", "late", *ORDERS, *(one["name"] for one in _strata(next(iter(details.values()))))),
        [_annotation(name, detail) for name, detail in details.items()],
    )


def _table(heads: tuple[str, ...], rows: list[list[str]]) -> None:
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    for row in rows:
        print(f"| {' | '.join(row)} |")
    print()


def _rates(name: str, scores: dict[str, Any]) -> list[str]:
    found = scores["metrics"]["forgetting"]
    changes = [found[change] for change in CHANGES]
    return [
        name,
        f"{scores['n']['samples']:,}",
        *(f"{found[rate]['value']:.2f}" for rate in ("rate_early", "rate_late")),
        *(f"{one['value']:.2f} [{one['ci'][0]:.2f}, {one['ci'][1]:.2f}]" for one in changes),
    ]


def _odds_row(name: str, detail: dict[str, Any]) -> list[str]:
    whole = detail["late_early"]
    controls = {one["label"]: one for one in detail["sensitivity"]}
    return [
        name,
        odds(whole),
        short(whole["minimum_detectable"]),
        *(odds(controls[label]) for label in CONTROLS),
    ]


def _annotation(name: str, detail: dict[str, Any]) -> list[str]:
    found = {(one["order"], one["bound"]): one for one in detail["annotation"]["tipping"]}
    shares = [f"{_share(found[order, 'estimate'])} ({_share(found[order, 'interval'])})" for order in ORDERS]
    late = str(found[ORDERS[0], "estimate"]["objects"])
    return [name, late, *shares, *(odds(one["late_early"]) for one in _strata(detail))]


def _share(tipping: dict[str, Any]) -> str:
    return "none" if tipping["share"] is None else f"{tipping['share']:.2f}"


def _strata(detail: dict[str, Any]) -> list[dict[str, Any]]:
    return [one for one in detail["annotation"]["strata"] if one["split"] == "prevalence"]


if __name__ == "__main__":
    main()
