"""Reads the captions in published CHAIR files again: do the objects and the printed values come out?

    python bench/check_published_chair.py --reading original|wordnet FILE [FILE…]

Each file is the output of a CHAIR program: JSON with `sentences` (the caption, its true objects, the objects found) and
`overall_metrics`. The truth is the file's own, so that only the reading is checked.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from eidolon.scorers.judges.lexicon import LexiconJudge, LexiconReading

TOLERANCE = 1e-9


def check(path: Path, reading: LexiconReading) -> tuple[int, int, bool]:
    """Return how many captions there are, how many differ, and whether CHAIR_s and CHAIR_i are the printed ones."""
    content = json.loads(path.read_text(encoding="utf-8"))
    differ = wrong = words = wrong_captions = 0
    for sentence in content["sentences"]:
        named = [one.category for one in reading.read(sentence["caption"])]
        here = sum(category not in sentence["mscoco_gt_words"] for category in named)
        differ += named != sentence["mscoco_generated_words"]
        wrong, words, wrong_captions = wrong + here, words + len(named), wrong_captions + (here > 0)
    printed = content["overall_metrics"]
    captions = len(content["sentences"])
    same = (
        abs(printed["CHAIRs"] - wrong_captions / captions) < TOLERANCE
        and abs(printed["CHAIRi"] - wrong / words) < TOLERANCE
    )
    return captions, differ, same


def main(arguments: Sequence[str]) -> int:
    """Print the files that differ, and the sums."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--reading", required=True)
    parser.add_argument("files", nargs="+", type=Path)
    options = parser.parse_args(arguments)
    reading = LexiconJudge(options.reading).reading
    captions = differing = equal = 0
    for path in options.files:
        found, differ, same = check(path, reading)
        captions, differing, equal = captions + found, differing + differ, equal + (same and not differ)
        if differ or not same:
            print(f"{path}: {differ} of {found} captions differ; values {'equal' if same else 'differ'}")
    print(f"{equal} of {len(options.files)} files equal; {differing} of {captions} captions differ")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
