"""The outcome of each injected fault, counted from the files it left, as one table at the end of the test run.

A test injects a fault, runs again, and hands the folder to the recorder; the numbers are never typed in. The rows
travel with pytest's reports (`user_properties`), so that the table is whole under xdist too.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest

PROPERTY = "fault"
TITLES = ("fault", "injected", "lost", "doubled", "unscored", "healed")
FILES = ("responses.jsonl", "judgements.jsonl")


@dataclass(frozen=True)
class Tally:
    """What became of the samples of one run that is over."""

    lost: int
    """Keys without a response or judgement, and failures that give no reason."""
    doubled: int
    """Lines beyond the first of a key."""
    unscored: int
    """Samples that are there with the reason why they have no score."""


def tally(folder: Path, keys: Iterable[tuple[str, int]]) -> Tally:
    """Count what the files of a finished run hold of the expected (sample id, generation)."""
    wanted = list(keys)
    lost: set[tuple[str, int]] = set()
    doubled = 0
    reasons: dict[tuple[str, int], str | None] = {}
    for name in FILES:
        lines = [json.loads(line) for line in (folder / name).read_bytes().splitlines()]
        found = Counter((line["sample_id"], line["generation"]) for line in lines)
        assert not found.keys() - set(wanted), "a sample that was not requested"
        lost |= {key for key in wanted if key not in found}
        doubled += sum(found.values()) - len(found)
        for line in lines:
            key = (line["sample_id"], line["generation"])
            if line.get("response", "") is None and not line["error"]:
                lost.add(key)
            if "unscored" in line:
                reasons[key] = line["unscored"]
    unscored = [key for key, reason in reasons.items() if reason is not None]
    n = json.loads((folder / "scores.json").read_text(encoding="utf-8"))["n"]
    assert n["unscored"] == len(unscored), "the totals do not add up"
    assert n["scored"] + n["unscored"] == n["requested"] == len(wanted)
    return Tally(len(lost), doubled, len(unscored))


class FaultRecorder:
    """Records the outcome of the faults of one test."""

    def __init__(self, properties: list[tuple[str, Any]]) -> None:
        self._properties = properties

    def record(
        self,
        fault: str,
        *,
        injected: int = 1,
        lost: int = 0,
        doubled: int = 0,
        unscored: int = 0,
        healed: int,
    ) -> None:
        """Add a row; rows of one fault are added up. Fails where something was lost or doubled.

        `healed` counts the faults after which the samples are as if there had been none: at once, or after the
        same command was run again. Those that cannot heal leave samples `unscored`.
        """
        numbers = {
            "injected": injected, "lost": lost, "doubled": doubled, "unscored": unscored, "healed": healed,
        }  # fmt: skip
        self._properties.append((PROPERTY, json.dumps({"fault": fault, **numbers})))
        assert injected > 0, f"{fault}: never injected"
        assert (lost, doubled) == (0, 0), f"{fault}: lost {lost}, doubled {doubled}"

    def after(
        self,
        fault: str,
        folder: Path,
        keys: Iterable[tuple[str, int]],
        *,
        injected: int = 1,
        healed: Callable[[], int] | int,
    ) -> Tally:
        """Count a finished run's folder and add the row; `healed` is a number, or what counts it."""
        found = tally(folder, keys)
        self.record(
            fault, injected=injected, healed=healed if isinstance(healed, int) else healed(), **asdict(found)
        )
        return found


@pytest.fixture
def faults(request: pytest.FixtureRequest) -> FaultRecorder:
    """Where a test says which faults it injected and their outcome."""
    return FaultRecorder(request.node.user_properties)


def render(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Return the table's lines; rows of the same fault are added up, in the order of their first."""
    summed: dict[str, Counter[str]] = {}
    for row in rows:
        summed.setdefault(row["fault"], Counter()).update({k: v for k, v in row.items() if k != "fault"})
    width = max(map(len, ("all faults", *summed)), default=0)
    total: Counter[str] = Counter()
    lines = [f"{TITLES[0]:<{width}}" + "".join(f"{title:>10}" for title in TITLES[1:])]
    for fault, counts in summed.items():
        total.update(counts)
        lines.append(f"{fault:<{width}}" + "".join(f"{counts[title]:>10}" for title in TITLES[1:]))
    lines.append(f"{'all faults':<{width}}" + "".join(f"{total[title]:>10}" for title in TITLES[1:]))
    return lines


def add_option(parser: pytest.Parser) -> None:
    """Declare `--fault-table FILE`."""
    parser.addoption(
        "--fault-table", metavar="FILE", help="Also write the table of injected faults to a file."
    )


def show(reporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the table of all faults that the tests of this run injected, and write it where it is asked for."""
    rows = [
        json.loads(value)
        for outcome in ("passed", "failed")
        for report in reporter.stats.get(outcome, [])
        if getattr(report, "when", None) == "call"
        for name, value in report.user_properties
        if name == PROPERTY
    ]
    if not rows:
        return
    lines = render(sorted(rows, key=lambda row: str(row["fault"])))
    reporter.section("injected faults")
    for line in lines:
        reporter.write_line(line)
    if path := config.getoption("--fault-table"):
        Path(path).write_text("\n".join(lines) + "\n", encoding="utf-8")
