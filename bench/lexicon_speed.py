"""Times `eidolon score --metric chair` against the reference CHAIR program, whole processes in turn, and the start.

    OMP_NUM_THREADS=1 python bench/lexicon_speed.py [--responses FILE] [--objects FILE] [--reference FOLDER]
        [--captions 2000] [--few 10] [--pairs 5] [--json FILE]

The files are by default those of EIDOLON_REFERENCE_DATA. FOLDER holds the released `chair.py` and its `pattern/en.py`;
without it, a loop of the same steps is timed: NLTK's tokens, pattern's singular of every token, merged pairs, and a
look-up in the set of terms, which the program makes again for every word. Both programs run with many captions and
with few. The difference is what further captions cost, so that the start is left out.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

READINGS = ("original", "careful")
LEAST_PER_CAPTION, MOST_OF_WHOLE, MOST_FEW_S, MOST_HELP_S = 20, 0.15, 1.2, 0.2
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
"""So that both programs are compiled once, in the runs that are not counted, as where they are installed."""
REFERENCE = r"""
import json, re, sys
responses, objects, n, folder = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
from nltk.tokenize import NLTKWordTokenizer
tokenizer, ends = NLTKWordTokenizer(), re.compile("[.!?]+[\"'\u201d\u2019)\\]]*\\s+")
def word_tokenize(text):
    cuts = [0, *(match.end() for match in ends.finditer(text)), len(text)]
    return [t for a, b in zip(cuts, cuts[1:]) for t in tokenizer.tokenize(text[a:b].strip())]
if folder:
    sys.path.insert(0, folder)
    import nltk
    nltk.word_tokenize = word_tokenize
    import chair
    class Reference(chair.CHAIR):
        def get_annotations(self):
            pass
    read = Reference("").caption_to_words
else:
    from textblob.inflect import singularize
    from eidolon.scorers.text.lexicon import load_lexicon
    lexicon = load_lexicon("coco80")
    categories, pairs = lexicon.terms(), lexicon.pairs
    terms = list(categories)
    def read(caption):
        words, merged, i = [singularize(w) for w in word_tokenize(caption.lower())], [], 0
        while i < len(words):
            pair = " ".join(words[i : i + 2])
            merged.append(pairs[pair] if pair in pairs else words[i])
            i += 2 if pair in pairs else 1
        if "toilet" in merged and "seat" in merged:
            merged = [w for w in merged if w != "seat"]
        places = [i for i, w in enumerate(merged) if w in set(terms)]
        words = [w for w in merged if w in set(terms)]
        return words, [categories[w] for w in words], places, merged
truth = {row["image_id"]: set(row["objects"]) for row in map(json.loads, open(objects))}
mentions = wrong = captions = 0
for row in [json.loads(line) for line in open(responses)][:n]:
    found = [word not in truth[row["image_id"]] for word in read(row["response"])[1]]
    mentions, wrong, captions = mentions + len(found), wrong + sum(found), captions + any(found)
print(json.dumps([mentions, wrong, captions]))
"""


def measured(command: list[str]) -> tuple[float, float, str]:
    """Return the CPU seconds and wall seconds of a process, and what it printed."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=ENVIRONMENT
    )
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall, done.stdout


def score(given: argparse.Namespace, reading: str, captions: int) -> tuple[float, float, str]:
    """Time `eidolon score`. The text holds mentions, hallucinated mentions and captions with one, as JSON."""
    with tempfile.TemporaryDirectory() as out:
        cpu, wall, _ = measured(
            [
                *(
                    sys.executable,
                    "-m",
                    "eidolon.benchmark",
                    "score",
                    "--out",
                    f"{out}/run",
                    "--metric",
                    "chair",
                ),
                *("--responses", str(given.responses), "--objects", str(given.objects)),
                *("--limit", str(captions), "-J", f"reading={reading}"),
            ]
        )
        counts = json.loads(Path(out, "run", "scores.json").read_text())["counts"]["chair"]
    names = ("mentions", "hallucinated_mentions", "hallucinated_responses")
    return cpu, wall, json.dumps([counts[name] for name in names])


def row(
    name: str, pairs: list[tuple[tuple[float, float], tuple[float, float]]], goal: float
) -> dict[str, Any]:
    """Return a row of the table from (CPU, wall) of reference and ours: the medians, and that of the ratios."""
    found: dict[str, Any] = {"name": name, "pairs": len(pairs), "goal": round(goal, 2)}
    for i, clock in enumerate(("cpu", "wall")):
        ratios = sorted(plain[i] / fast[i] for plain, fast in pairs)
        found[clock] = {
            "plain_s": round(statistics.median(plain[i] for plain, _ in pairs), 5),
            "fast_s": round(statistics.median(fast[i] for _, fast in pairs), 5),
            "ratio": round(statistics.median(ratios), 3),
            "ratios": [round(ratio, 3) for ratio in ratios],
        }
    return {**found, "met": found["cpu"]["ratio"] >= goal}


def main() -> None:
    """Measure, print the table and write it as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    data = Path(os.environ.get("EIDOLON_REFERENCE_DATA", "."))
    parser.add_argument(
        "--responses", type=Path, default=data / "responses" / "pope_minigpt-4_instruction1.jsonl"
    )
    parser.add_argument("--objects", type=Path, default=data / "coco_gt" / "objects.jsonl")
    parser.add_argument("--reference", default="")
    parser.add_argument("--captions", type=int, default=2000)
    parser.add_argument("--few", type=int, default=10)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    whole: dict[str, list[Any]] = {reading: [] for reading in READINGS}
    further: dict[str, list[Any]] = {reading: [] for reading in READINGS}
    few: dict[str, list[float]] = {reading: [] for reading in READINGS}
    helps, same = list[float](), True
    for reading in READINGS:
        score(given, reading, given.few)
    for _ in range(given.pairs):
        sizes = (given.captions, given.few)
        plain = [
            measured(
                [
                    sys.executable,
                    "-c",
                    REFERENCE,
                    str(given.responses),
                    str(given.objects),
                    str(n),
                    given.reference,
                ]
            )
            for n in sizes
        ]
        for reading in READINGS:
            fast = [score(given, reading, n) for n in sizes]
            whole[reading].append((plain[0][:2], fast[0][:2]))
            further[reading].append(
                tuple(
                    tuple((many[i] - less[i]) / (sizes[0] - sizes[1]) for i in range(2))
                    for many, less in (plain, fast)
                )
            )
            few[reading].append(fast[1][0])
            same = same and (reading == "careful" or json.loads(plain[0][2]) == json.loads(fast[0][2]))
        helps.append(measured([sys.executable, "-m", "eidolon.benchmark", "--help"])[0])
    rows = []
    for reading in READINGS:
        rows.append(row(f"CHAIR, {reading}, whole process", whole[reading], 1 / MOST_OF_WHOLE))
        rows.append(row(f"CHAIR, {reading}, per caption", further[reading], LEAST_PER_CAPTION))
        rows.append(seconds(f"score of {given.few} lines, {reading}, CPU s", few[reading], MOST_FEW_S))
    rows.append(seconds("eidolon --help, CPU s", helps, MOST_HELP_S))
    for found in rows:
        print(line(found), flush=True)
    print(f"counts of the reading original equal those of the reference: {'yes' if same else 'NO'}")
    if given.json is not None:
        given.json.write_text(json.dumps([{**found, "same": same} for found in rows], indent=2) + "\n")


def seconds(name: str, values: list[float], most: float) -> dict[str, Any]:
    """Return a row of CPU seconds, with a goal that they are to stay below."""
    middle = round(statistics.median(values), 3)
    return {"name": name, "measured": middle, "all": values, "goal": most, "met": middle <= most}


def line(found: dict[str, Any]) -> str:
    """Return a row as text."""
    value = f"{found['cpu']['ratio']:.2f} times" if "cpu" in found else f"{found['measured']:.2f} s"
    return f"{found['name']:40} {value:>14}  goal {found['goal']:<6}  {'met' if found['met'] else 'NOT met'}"


if __name__ == "__main__":
    main()
