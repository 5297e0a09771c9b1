"""Measures two ways to do the same work in turn, so that other load on the machine affects both equally."""

import json
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

PAIRS = 5
ResultT = TypeVar("ResultT")


def timed(call: Callable[[], ResultT]) -> tuple[float, float, ResultT]:
    """Return CPU seconds of this process, wall seconds, and the result."""
    cpu, wall = time.process_time(), time.perf_counter()
    result = call()
    return time.process_time() - cpu, time.perf_counter() - wall, result


def compare(
    name: str,
    plain: Callable[[], ResultT],
    fast: Callable[[], ResultT],
    *,
    pairs: int = PAIRS,
    same: Callable[[ResultT, ResultT], bool] = lambda a, b: a == b,
    least: float | None = None,
    most: float | None = None,
) -> dict[str, Any]:
    """Return the medians of both, and the median of the ratios plain / fast. Each is run once before it is measured.

    `least` is the goal for the ratio; `most` is a goal for its inverse. `same` compares the results of a pair.
    """
    return compare_all(
        plain, {name: fast}, pairs=pairs, same=same, least={name: least if most is None else 1 / most}
    )[0]


def compare_all(
    plain: Callable[[], ResultT],
    fast: Mapping[str, Callable[[], ResultT]],
    *,
    pairs: int = PAIRS,
    same: Callable[[ResultT, ResultT], bool] = lambda a, b: a == b,
    least: Mapping[str, float | None],
) -> list[dict[str, Any]]:
    """Return what `compare` does for several ways, each timed after the plain one in every round."""
    wanted = plain()
    equal = {name: same(wanted, call()) for name, call in fast.items()}
    rounds = [
        (timed(plain)[:2], {name: timed(call)[:2] for name, call in fast.items()}) for _ in range(pairs)
    ]
    return [
        _row(name, [(first, others[name]) for first, others in rounds], equal[name], least[name])
        for name in fast
    ]


def _row(
    name: str,
    rows: Sequence[tuple[tuple[float, float], tuple[float, float]]],
    equal: bool,
    goal: float | None,
) -> dict[str, Any]:
    found: dict[str, Any] = {"name": name, "pairs": len(rows), "same": equal}
    for i, clock in enumerate(("cpu", "wall")):
        ratios = sorted(a[i] / b[i] for a, b in rows)
        found[clock] = {
            "plain_s": round(statistics.median(a[i] for a, _ in rows), 4),
            "fast_s": round(statistics.median(b[i] for _, b in rows), 4),
            "ratio": round(statistics.median(ratios), 3),
            "ratios": [round(ratio, 3) for ratio in ratios],
        }
    if goal is not None:
        found["goal"] = round(goal, 3)
        found["met"] = equal and found["cpu"]["ratio"] >= goal
    return found


def show(rows: list[dict[str, Any]], path: Path | None) -> None:
    """Print the rows as a table, and write them as JSON if a path is given."""
    head = f"{'what':44} {'plain s':>9} {'fast s':>9} {'CPU ratio':>10} {'wall ratio':>11} {'goal':>6}  same"
    print(head)
    for row in rows:
        cpu, wall = row["cpu"], row["wall"]
        goal = f"{row['goal']:.2f}" if "goal" in row else ""
        print(
            f"{row['name']:44} {cpu['plain_s']:9.3f} {cpu['fast_s']:9.3f} {cpu['ratio']:10.2f} "
            f"{wall['ratio']:11.2f} {goal:>6}  {'yes' if row['same'] else 'NO'}",
            flush=True,
        )
    if path is not None:
        path.write_text(json.dumps(rows, indent=2) + "\n")
