"""Counts how often each rule of the reading `careful` applies to real responses, and draws examples to label by hand.

    python bench/audit_reading.py RESPONSES… --save NOW.jsonl [--before EARLIER.jsonl] [--examples DRAWN.tsv]
    python bench/audit_reading.py --labels DRAWN.tsv

RESPONSES are `.jsonl` files with lines `{"image_id", "response", …}`; equal responses to an image count once. `--save`
writes what the reading found, so that `--before` can compare with an earlier version of the rules, run on the same
files in the same order. `--examples` writes drawn hits, at most 50 a rule, with an empty column for the label:
`r` where the reading is right and `w` where it is wrong. `--labels` reads that file and prints the table of
docs/evidence/lexicon.md. Responses belong to their authors: neither file belongs into a repository.
"""

import argparse
import csv
import random
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jsonlines

from eidolon.scorers.text.lexicon import Lexicon, load_lexicon
from eidolon.scorers.text.reading_careful import CarefulReading

DRAWN = 50
SEED = 0
BEFORE, AFTER = 110, 70
"""Characters of an example on each side of the mention."""
COLUMNS = ("label", "rule", "hits", "changed", "example")

NEW_NAMES = {
    "wine glass": "glass of wine",
    "sports ball": "named ball",
    "teddy bear": "stuffed animal",
    "umbrella": "other new name",
    "frisbee": "other new name",
    "surfboard": "other new name",
    "train": "other new name",
    "dog": "other new name",
    "cake": "other new name",
    "knife": "other new name",
}
OLD_NAMES = frozenset(
    """
    wineglass|tennis ball|soccer ball|surf board|pit bull|cheesecake|teddy|stuffed bear|stuffed teddy bear|toy bear
    |train car|rail car|railcar|railway car|railroad car|passenger car|box car|boxcar|freight car|tank car
    """.replace("\n", "")
    .replace("  ", "")
    .split("|")
)
"""Terms of the categories above that earlier versions had."""
_CUE = re.compile(
    r"(?i)\b(no|not|cannot|never|without|neither|nor|none|zero|0|lacks?|lacking|devoid|free|instead)\b|n['\u2019]t\b"
)
_PREDICATE = re.compile(r"(?i)[^.!?\n]{0,80}?\b(?:is|are|was|were|can|could|does|do)(?:n['\u2019]t| ?not\b)")


class Hit(NamedTuple):
    """One application of a rule. `changed` tells whether the earlier version decided otherwise."""

    rule: str
    changed: bool
    example: str


def main() -> None:
    """Count and draw, or print the table of a labelled file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("responses", type=Path, nargs="*", help="response files (.jsonl)")
    parser.add_argument("--save", type=Path, help="write what the reading finds (.jsonl)")
    parser.add_argument("--before", type=Path, help="what an earlier version found (.jsonl)")
    parser.add_argument("--examples", type=Path, help="write drawn examples to label (.tsv)")
    parser.add_argument("--labels", type=Path, help="a labelled file: print its table")
    arguments = parser.parse_args()
    if arguments.labels is not None:
        print_table(arguments.labels)
        return
    if not arguments.responses:
        sys.exit("give response files, or --labels")
    texts = [*dict.fromkeys(_texts(arguments.responses))]
    lexicon = load_lexicon("coco80")
    reading = CarefulReading(lexicon)
    found = [_found(reading, text) for _, text in texts]
    if arguments.save is not None:
        with jsonlines.open(arguments.save, "w") as writer:
            writer.write_all(found)
    before = None if arguments.before is None else [*_rows(arguments.before)]
    if before is not None and len(before) != len(found):
        sys.exit(f"{arguments.before}: {len(before)} responses, not {len(found)}")
    hits = [
        hit
        for index, (_, text) in enumerate(texts)
        for hit in _hits(text, found[index], None if before is None else before[index], lexicon)
    ]
    print(f"{len(texts)} responses")
    for rule, count in Counter(hit.rule for hit in hits).most_common():
        print(f"{rule}\t{count}\t{sum(hit.changed for hit in hits if hit.rule == rule)} changed")
    if arguments.examples is not None:
        _write_examples(arguments.examples, hits)


def print_table(path: Path) -> None:
    """Print rule, hits, and how many of the drawn ones are right now and were right before."""
    rows: dict[str, list[dict[str, str]]] = defaultdict(list)
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            rows[row["rule"]].append(row)
    print("| rule | hits | drawn | right | right before |\n|---|---:|---:|---:|---:|")
    for rule, drawn in rows.items():
        right = sum(row["label"] == "r" for row in drawn)
        earlier = sum((row["label"] == "r") != (row["changed"] == "yes") for row in drawn)
        print(f"| {rule} | {drawn[0]['hits']} | {len(drawn)} | {right} | {earlier} |")


def _found(reading: CarefulReading, text: str) -> list[list[Any]]:
    return [
        [item.named.start, item.named.end, item.named.category, item.named.term, str(item.dropped or "")]
        for item in reading.explain(text)
    ]


def _hits(
    text: str, now: Sequence[Sequence[Any]], before: Sequence[Sequence[Any]] | None, lexicon: Lexicon
) -> Iterator[Hit]:
    """Yield a hit for each mention that a rule dropped, renamed or added."""
    terms = lexicon.careful_terms()
    earlier = None if before is None else {tuple(item[:3]) for item in before if not item[4]}
    for start, end, category, term, dropped in now:
        example = _example(text, start, end)
        if dropped:
            inside = earlier is not None and any(start <= first and last <= end for first, last, _ in earlier)
            yield Hit(
                _denial(text, start, end) if dropped == "denied" else _part(dropped, term), inside, example
            )
            continue
        changed = earlier is not None and (start, end, category) not in earlier
        if terms.get(term) not in (category, None):
            yield Hit("short name", changed, example)
        elif text[end : end + 1] in ("-", "\u2010", "\u2011") and text[end + 1 : end + 2].isalpha():
            yield Hit("hyphen kept", changed, example)
        elif category in NEW_NAMES and _is_new(term, category, lexicon):
            yield Hit(NEW_NAMES[category], changed, example)
    kept = {(start, end) for start, end, _, _, dropped in now if not dropped}
    for start, end, _, _, dropped in before or ():
        if dropped == "denied" and (start, end) in kept:
            yield Hit("no longer denied", True, _example(text, start, end))


def _is_new(term: str, category: str, lexicon: Lexicon) -> bool:
    return term in lexicon.careful.extra_terms.get(category, ()) and term not in OLD_NAMES


def _part(dropped: str, term: str) -> str:
    return f"{dropped} ({term})" if dropped == "part of another object" else dropped


def _denial(text: str, start: int, end: int) -> str:
    """Return how the mention is denied: by a predicate or label after it, or by which word before it."""
    if re.match(r"[\"'*]*\s*[:=|(\u2013-]", text[end:]):
        return "denied: label"
    sentence = max(text.rfind(mark, 0, start) for mark in ".!?\n") + 1
    cues = [match[0].lower() for match in _CUE.finditer(text, sentence, start)]
    if not cues:
        return "denied: predicate" if _PREDICATE.match(text, end) else "denied: other words"
    return {"no": "denied: no", "without": "denied: without"}.get(
        cues[-1],
        "denied: not" if cues[-1] in ("not", "n't", "n\u2019t", "cannot", "never") else "denied: other words",
    )


def _example(text: str, start: int, end: int) -> str:
    shown = f"{text[max(0, start - BEFORE) : start]}[[{text[start:end]}]]{text[end : end + AFTER]}"
    return " ".join(shown.split())


def _write_examples(path: Path, hits: Sequence[Hit]) -> None:
    """Write at most `DRAWN` hits a rule, no two with the same words around the mention."""
    by_rule: dict[str, list[Hit]] = defaultdict(list)
    for hit in hits:
        by_rule[hit.rule].append(hit)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t")
        writer.writerow(COLUMNS)
        for rule in sorted(by_rule):
            distinct = {re.sub(r"\W", "", hit.example)[-120:]: hit for hit in by_rule[rule]}
            drawn = random.Random(SEED).sample([*distinct.values()], min(DRAWN, len(distinct)))
            for hit in drawn:
                writer.writerow(("", rule, len(by_rule[rule]), "yes" if hit.changed else "no", hit.example))


def _texts(files: Sequence[Path]) -> Iterator[tuple[str, str]]:
    for file in files:
        for row in _rows(file):
            yield str(row["image_id"]), (row["response"] if "response" in row else row["caption"]) or ""


def _rows(path: Path) -> Iterator[Any]:
    with jsonlines.open(path) as reader:
        yield from reader.iter(skip_empty=True)


if __name__ == "__main__":
    main()
