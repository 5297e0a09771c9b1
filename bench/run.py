"""Runs the benchmarks and prints one table of their goals: what was measured, the goal, and whether it is met.

    OMP_NUM_THREADS=1 python bench/run.py [--only NAME]… [--out FOLDER]

Each script takes `--json FILE` and writes a list of rows there. A row has a `name`, and with a goal `goal` and `met`;
what was measured is `measured`, or the ratio of CPU seconds `cpu.ratio`. Rows without a goal are listed too. The JSON
of all scripts is left in FOLDER.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

SCRIPTS: dict[str, tuple[str, ...]] = {
    "lexicon_speed": (),
    "judge_speed": (),
    "saved_votes": (),
    "run_overhead": (),
    "contrast_speed": (),
    "growth": (),
}
"""The scripts in the order in which they run, with their arguments."""


def main() -> int:
    """Run the scripts; return 1 if one of them failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", action="append", choices=[*SCRIPTS], default=[])
    parser.add_argument("--out", type=Path, default=Path("build") / "bench")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    here = Path(__file__).parent
    chosen = [name for name in SCRIPTS if name in (given.only or SCRIPTS) and (here / f"{name}.py").exists()]
    failed = []
    table: list[tuple[str, dict[str, Any]]] = []
    for name in chosen:
        path = given.out / f"{name}.json"
        path.unlink(missing_ok=True)
        done = subprocess.run([sys.executable, here / f"{name}.py", *SCRIPTS[name], "--json", path])
        if done.returncode or not path.exists():
            failed.append(name)
        else:
            table += [(name, row) for row in json.loads(path.read_text())]
    print(f"\n{'script':16} {'what':44} {'measured':>9} {'goal':>7}")
    for name, row in table:
        print(f"{name:16} {row['name']:44} {_measured(row):>9} {row.get('goal', ''):>7}  {_verdict(row)}")
    for name in failed:
        print(f"{name:16} failed")
    return 1 if failed else 0


def _measured(row: dict[str, Any]) -> str:
    found = row.get("measured", row.get("cpu", {}).get("ratio") if isinstance(row.get("cpu"), dict) else None)
    return "" if found is None else f"{found:.2f}"


def _verdict(row: dict[str, Any]) -> str:
    return "" if "met" not in row else "met" if row["met"] else "NOT met"


if __name__ == "__main__":
    sys.exit(main())
