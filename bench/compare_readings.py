"""Writes the tables of docs/evidence/lexicon.md: the scores of the two readings, and the mentions that only one finds.

    python bench/compare_readings.py RESPONSES_FOLDER OBJECTS_FILE

RESPONSES_FOLDER has one `.jsonl` file for each run, with lines `{"image_id", "response", …}`. OBJECTS_FILE has lines
`{"image_id", "objects"}`. CHAIR is that of Rohrbach et al. 2018; recall is pooled over responses.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jsonlines

from eidolon.scorers.text.lexicon import Lexicon, NamedObject, load_lexicon
from eidolon.scorers.text.reading_careful import CarefulReading, ExplainedMatch
from eidolon.scorers.text.reading_original import OriginalReading

Truth = dict[int | str, frozenset[str]]


@dataclass
class Tally:
    """The counts of CHAIR for one run and reading."""

    responses: int = 0
    with_hallucination: int = 0
    mentions: int = 0
    hallucinated: int = 0
    recalled: int = 0
    objects: int = 0

    def add(self, mentions: Sequence[NamedObject], objects: frozenset[str]) -> None:
        """Count one response."""
        wrong = sum(named.category not in objects for named in mentions)
        self.responses += 1
        self.with_hallucination += wrong > 0
        self.mentions += len(mentions)
        self.hallucinated += wrong
        self.recalled += len(objects & {named.category for named in mentions})
        self.objects += len(objects)

    def cells(self) -> tuple[str, str, str]:
        """Return chair_i, chair_s and recall, as fractions."""
        return (
            f"{self.hallucinated / max(self.mentions, 1):.4f}",
            f"{self.with_hallucination / max(self.responses, 1):.4f}",
            f"{self.recalled / max(self.objects, 1):.4f}",
        )


@dataclass
class Differences:
    """Numbers of mentions, and of hallucinated ones, that only one reading finds, by reading and kind."""

    mentions: Counter[tuple[str, str]] = field(default_factory=Counter)
    hallucinated: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add(self, reading: str, kind: str, wrong: bool) -> None:
        """Count one mention."""
        self.mentions[reading, kind] += 1
        self.hallucinated[reading, kind] += wrong


def main() -> None:
    """Print both tables in Markdown."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("responses", type=Path, help="folder of response files (.jsonl)")
    parser.add_argument("objects", type=Path, help="ground truth (.jsonl)")
    arguments = parser.parse_args()
    truth: Truth = {row["image_id"]: frozenset(row["objects"]) for row in _rows(arguments.objects)}
    runs = sorted(arguments.responses.glob("*.jsonl"))
    if not runs:
        sys.exit(f"{arguments.responses}: no .jsonl files")
    _print_tables(runs, truth)


def _print_tables(runs: Sequence[Path], truth: Truth) -> None:
    lexicon = load_lexicon("coco80")
    original, careful = OriginalReading(lexicon), CarefulReading(lexicon)
    differences = Differences()
    print(
        "| run | n | mean words | chair_i original | careful | chair_s original | careful "
        "| recall original | careful | mentions original | careful |\n|---|" + "---:|" * 10
    )
    for run in runs:
        tallies = Tally(), Tally()
        words = 0
        for row in _rows(run):
            text, objects = row["response"], truth[row["image_id"]]
            words += len(text.split())
            first, found = original.read(text), careful.explain(text)
            second = [item.named for item in found if item.dropped is None]
            tallies[0].add(first, objects)
            tallies[1].add(second, objects)
            for named in _alone(first, second):
                differences.add("original", _kind_dropped(named, found), named.category not in objects)
            for named in _alone(second, first):
                kind = _kind_added(named, text, lexicon, original)
                differences.add("careful", kind, named.category not in objects)
        pairs = zip(*(tally.cells() for tally in tallies), strict=True)
        cells = [cell for pair in pairs for cell in pair]
        n = tallies[0].responses
        counts = [str(tally.mentions) for tally in tallies]
        print("|", " | ".join([run.stem, str(n), f"{words / max(n, 1):.1f}", *cells, *counts]), "|")
    print("\n| found by | kind | mentions | of them hallucinated |\n|---|---|---:|---:|")
    for (reading, kind), count in sorted(
        differences.mentions.items(), key=lambda item: (item[0][0], -item[1])
    ):
        print(f"| {reading} alone | {kind} | {count} | {differences.hallucinated[reading, kind]} |")


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    with jsonlines.open(path) as reader:
        yield from reader.iter(type=dict, skip_empty=True)


def _overlaps(one: NamedObject, other: NamedObject) -> bool:
    return one.start < other.end and other.start < one.end


def _alone(mine: Sequence[NamedObject], theirs: Sequence[NamedObject]) -> Iterator[NamedObject]:
    """Yield the mentions that the other reading does not find at the same place in the same category."""
    for named in mine:
        if not any(named.category == other.category and _overlaps(named, other) for other in theirs):
            yield named


def _kind_dropped(named: NamedObject, found: Sequence[ExplainedMatch]) -> str:
    here = [item for item in found if _overlaps(named, item.named)]
    reasons = [str(item.dropped) for item in here if item.dropped is not None]
    if reasons:
        return reasons[0]
    return "within a longer name" if here else "no form of a term"


def _kind_added(named: NamedObject, text: str, lexicon: Lexicon, original: OriginalReading) -> str:
    if named.term not in lexicon.terms():
        return "term or phrase of the careful reading"
    if not original.read(text[named.start : named.end]):
        return "form that the singulariser misses"
    return "joined with other text, or merged"


if __name__ == "__main__":
    main()
