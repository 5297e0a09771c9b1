"""Prints the rivals of several runs as Markdown tables, from their `rivals.json`.

for run in RESPONSES/*.jsonl; do
    eidolon score --responses $run --objects objects.jsonl --metric rivals --out runs/$(basename $run .jsonl)
done
python bench/table_rivals.py runs/*
"""

import argparse
import json
from pathlib import Path
from typing import Any

from eidolon.scorers.core.errors import UserError

LOG_DIGITS = ".3g"


def short(value: float) -> str:
    """Return a number with three significant digits."""
    return f"{float(f'{value:{LOG_DIGITS}}'):,g}"


def odds(effect: dict[str, Any]) -> str:
    """Return an odds ratio with its interval."""
    if effect["odds_ratio"] is None:
        return "none"
    low, high = effect["ci"]
    return f"{short(effect['odds_ratio'])} [{short(low)}, {short(high)}]"


def beside(effect: dict[str, Any]) -> str:
    """Return the number that only this fit has."""
    if not effect["beside"]:
        return ""
    (one,) = effect["beside"]
    if one["ci"] is None:
        return short(one["value"])
    return f"{short(one['value'])} [{short(one['ci'][0])}, {short(one['ci'][1])}]"


def read_json(path: Path) -> dict[str, Any]:
    """Return a JSON object of a run.

    Raises:
        UserError: the file cannot be read, or is none.
    """
    try:
        found: dict[str, Any] = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read: {error}") from error
    return found


def main() -> None:
    """Print a table of the odds ratios, a table of what else was fitted, and the sentences."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+", type=Path)
    try:
        runs = {path.name: read_json(path / "rivals.json") for path in parser.parse_args().runs}
    except UserError as error:
        parser.error(str(error))
    first = next(iter(runs.values()))
    heads = ["run", "plain", *(rival["held"] for rival in first["rivals"]), "a world of fixed salience"]
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    for name, run in runs.items():
        closest = (run["salience"] or {}).get("closest")
        world = "none" if closest is None else f"{odds(closest)}, s = {closest['spread']:g}"
        cells = [odds(run["plain"]), *(odds(rival["effect"]) for rival in run["rivals"]), world]
        print(f"| {name} | {' | '.join(cells)} |")
    extra = [rival["name"] for rival in first["rivals"] if rival["effect"]["beside"]]
    labels = [rival["effect"]["beside"][0]["name"] for rival in first["rivals"] if rival["effect"]["beside"]]
    print(f"\n| run | {' | '.join(labels)} |\n|{'---|' * (len(labels) + 1)}")
    for name, run in runs.items():
        found = {rival["name"]: rival["effect"] for rival in run["rivals"]}
        print(f"| {name} | {' | '.join(beside(found[key]) for key in extra)} |")
    print()
    for name, run in runs.items():
        print(f"- {name}: {run['sentence']}")


if __name__ == "__main__":
    main()
