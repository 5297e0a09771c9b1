"""Checks that two checkouts write the same bytes: makes the outputs of one, or compares those of two.

    python bench/same_outputs.py make OUT          # the outputs of this checkout, into OUT
    python bench/same_outputs.py compare A B       # prints every file that differs; exit code 1 if any does

`run.json` (times, commands, versions), `report.html` and logs are not compared. `make` takes about 20 minutes of one
thread: the demo, the real responses of the reference data under two readings, answers to POPE, AMBER and THRONE, a
probe, a forget run and the memory study's bench.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

NOT_COMPARED = ("run.json", "report.html", "run.log", ".lock")


def commands(data: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield the runs: the name, which is also the folder, and the arguments of `eidolon`."""
    objects = str(data / "coco_gt" / "objects.jsonl")
    yield "demo", ["run", "--no-cache"]
    for responses in sorted((data / "responses").glob("*.jsonl")):
        for reading in ("careful", "original"):
            more = ",forgetting" if reading == "careful" else ""
            yield (
                f"score-{responses.stem}-{reading}",
                [
                    "score",
                    "--responses",
                    str(responses),
                    "--objects",
                    objects,
                    "-J",
                    f"reading={reading}",
                    "--metric",
                    f"chair,objects{more}",
                ],
            )
    for split in ("random", "popular", "adversarial"):
        yield (
            f"pope-{split}",
            [
                *("score", "--metric", "pope", "--questions", str(data / "pope" / f"coco_pope_{split}.json")),
                *("--answers", str(data / "pope" / f"answers_{split}.jsonl"), "--policy", "all"),
            ],
        )
    amber = data / "amber"
    for mode in ("compat", "fixed"):
        yield (
            f"amber-{mode}",
            [
                *(
                    "score",
                    "--metric",
                    "amber",
                    "--annotations",
                    str(amber / "annotations.json"),
                    "--mode",
                    mode,
                ),
                *(
                    "--relations",
                    str(amber / "relation.json"),
                    "--answers",
                    str(amber / "answers_loose.json"),
                ),
            ],
        )
        throne = data / "throne"
        answers = sorted(map(str, (throne / "judge_answers").glob("*.json")))
        yield (
            f"throne-{mode}",
            [
                *("score", "--metric", "throne", "--mode", mode, "--threshold", "9", "--threshold", "8"),
                *("--annotations", str(throne / "coco_annotations.json"), "--answers", *answers),
            ],
        )
    hat = ["--responses", str(data / "hat" / "hat.jsonl"), "--field", "response=caption"]
    yield "detection-words", ["score", "--metric", "detection", "--judge", "words", *hat]
    yield "detection-lexicon", ["score", "--metric", "detection", "--objects", objects, *hat]
    yield "qa", ["run", "--judge", "qa", "--limit", "16", "--no-cache"]
    yield "nouns", ["run", "--judge", "nouns", "--limit", "16", "--no-cache"]
    yield "probe", ["run", "--task", "probe", "--policy", "all", "--limit", "60", "--no-cache"]
    yield "forget", ["run", "--task", "forget", "--no-cache"]
    yield "memory", ["memory", "bench"]


def make(out: Path, data: Path) -> None:
    """Make the outputs that are missing in `out`."""
    for name, arguments in commands(data):
        folder = out / name
        if (folder / "done").exists():
            continue
        folder.mkdir(parents=True, exist_ok=True)
        print(name, flush=True)
        with (folder / "output.txt").open("w") as output:
            done = subprocess.run(
                [sys.executable, "-m", "eidolon.benchmark", *arguments, "--out", "out"],
                cwd=folder,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        if done.returncode not in (0, 3):
            sys.exit(f"{name}: exit code {done.returncode}; see {folder / 'output.txt'}")
        (folder / "done").touch()


def compare(a: Path, b: Path) -> int:
    """Print the files that differ or are in one folder only. Return their number."""
    here, there = (
        {p.relative_to(root): p for p in root.rglob("*") if p.is_file() and p.name not in NOT_COMPARED}
        for root in (a, b)
    )
    differing = 0
    for name in sorted(here.keys() | there.keys()):
        if name not in here or name not in there:
            print(f"only in {a if name in here else b}: {name}")
        elif here[name].read_bytes() != there[name].read_bytes():
            print(f"differs: {name}")
        else:
            continue
        differing += 1
    print(f"{len(here.keys() | there.keys())} files, {differing} differ")
    return differing


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("make").add_argument("out", type=Path)
    both = verbs.add_parser("compare")
    both.add_argument("a", type=Path)
    both.add_argument("b", type=Path)
    given = parser.parse_args()
    if given.verb == "compare":
        sys.exit(1 if compare(given.a, given.b) else 0)
    make(given.out.resolve(), Path(os.environ["EIDOLON_REFERENCE_DATA"]))


if __name__ == "__main__":
    main()
