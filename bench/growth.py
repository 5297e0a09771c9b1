"""Measures how the work grows with categories, words, runs of a leaderboard, and samples of a page.

    OMP_NUM_THREADS=1 python bench/growth.py [--only NAME]… [--json FILE]

Everything runs in this process and is timed in CPU seconds. The exponent is the slope of log(time) on log(size), by
least squares, and between the two largest sizes. `bench/score_growth.py` measures time and memory of `eidolon score`
against the number of responses.
"""

import argparse
import io
import json
import random
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np

from eidolon.benchmark.cli import invoke
from eidolon.scorers.core.metric import JudgedSample
from eidolon.scorers.core.types import Judgement, Mention, Response
from eidolon.scorers.core.verdict import with_verdicts
from eidolon.scorers.judges.lexicon import LexiconJudge
from eidolon.scorers.metrics.objects import Objects
from eidolon.scorers.metrics.scoring import score
from eidolon.scorers.text.lexicon import Lexicon, LexiconCategory, load_lexicon

GOAL = 1.1
Measured = tuple[int, float]
"""A size and its CPU seconds."""
FRAMES = ("There is {} near {}.", "In the background, {} is behind {}.", "I see no {}, but {} is here.")


def text(words: int, names: Sequence[str], rng: random.Random) -> str:
    """Return about so many words of sentences about objects."""
    found: list[str] = []
    length = 0
    while length < words:
        found.append(rng.choice(FRAMES).format(*(f"a {rng.choice(names)}" for _ in range(2))))
        length += found[-1].count(" ") + 1
    return " ".join(found)


def timed(call: Callable[[], object]) -> float:
    """Return the CPU seconds of a call."""
    before = time.process_time()
    call()
    return time.process_time() - before


def words(reading: str) -> Iterator[Measured]:
    """Judge responses of 100 to 5,000 words; the time is that of one."""
    rng, names = random.Random(0), load_lexicon("coco80").vocabulary
    for size in (100, 500, 1_000, 5_000):
        count = 20_000 // size
        responses = [
            Response(sample_id=str(i), image_id=i, response=text(size, names, rng)) for i in range(count)
        ]
        judge = LexiconJudge(reading)
        yield size, timed(lambda judge=judge, responses=responses: [*judge.judge(responses)]) / count  # type: ignore[misc]


def category_names(count: int) -> list[str]:
    """Return so many made-up names of objects."""
    return [f"{a}{b}{c}" for a in "bdfgklmnprst" for b in ("or", "an", "il", "um") for c in (
        "bel", "dak", "fin", "gop", "hul", "jat", "kem", "lod", "mib", "nup", "pef", "rig", "sav", "tok", "vun", "wex",
        "yar", "zil", "bam", "cro", "dru", "flo", "gri", "klo", "pli", "sno")][:count]  # fmt: skip


def categories() -> Iterator[Measured]:
    """Score 300 samples by category, for vocabularies from COCO's to LVIS's."""
    rng = random.Random(0)
    for size in (80, 365, 1_203):
        names = category_names(size)
        samples = []
        for i in range(300):
            named = rng.sample(names, 6)
            mentions = tuple(Mention(category=c, text=c, start=0, end=1, word=0) for c in named)
            truth = frozenset(rng.sample(named, 3) + rng.sample(names, 2))
            found = with_verdicts(
                Judgement(sample_id=str(i), image_id=i, mentions=mentions, unscored=None), truth
            )
            samples.append(JudgedSample(Response(sample_id=str(i), image_id=i, response="x"), found, truth))
        yield (
            size,
            timed(
                lambda samples=samples, names=names: score(  # type: ignore[misc]
                    samples, [Objects()], signature="growth", vocabulary=names, resamples=500
                )
            ),
        )


def reading_categories() -> Iterator[Measured]:
    """Build a lexicon judge and read 100 responses, for the same vocabularies."""
    for size in (80, 365, 1_203):
        names = category_names(size)
        lexicon = Lexicon(
            name="made up", categories=tuple(LexiconCategory(name=n, terms=(n,)) for n in names)
        )
        rng = random.Random(0)
        responses = [
            Response(sample_id=str(i), image_id=i, response=text(100, names, rng)) for i in range(100)
        ]
        yield (
            size,
            timed(
                lambda lexicon=lexicon, responses=responses: [  # type: ignore[misc]
                    *LexiconJudge("careful", lexicon).judge(responses)
                ]
            ),
        )


def scored(count: int, folder: Path) -> Path:
    """Return the folder of a run of so many responses."""
    rng, names = random.Random(0), load_lexicon("coco80").vocabulary
    files = folder / f"responses-{count}.jsonl", folder / f"objects-{count}.jsonl"
    rows = [{"image_id": i, "response": text(60, names, rng)} for i in range(count)]
    truth = [{"image_id": i, "objects": rng.sample(names, 3)} for i in range(count)]
    for path, lines in zip(files, (rows, truth), strict=True):
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    out = folder / f"run-{count}"
    quietly(
        "score", "--responses", files[0], "--objects", files[1], "--metric", "chair,objects", "--resamples", 100,
        "--processes", 1, "--out", out,
    )  # fmt: skip
    return out


def quietly(*arguments: object) -> None:
    """Run a command."""
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        assert invoke([str(argument) for argument in arguments]) == 0


def leaderboard() -> Iterator[Measured]:
    """Collect runs into a leaderboard and write its JSON and its page."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        one = scored(20, folder)
        for size in (10, 100, 1_000):
            runs = folder / f"runs-{size}"
            for i in range(size):
                (runs / f"model-{i}").mkdir(parents=True)
                for name in ("run.json", "scores.json"):
                    shutil.copy(one / name, runs / f"model-{i}" / name)
            page = folder / f"{size}.html"
            yield (
                size,
                timed(
                    lambda runs=runs, page=page, size=size: quietly(  # type: ignore[misc]
                        "leaderboard", runs, "--out", folder / f"{size}.json", "--html", page
                    )
                ),
            )


def page() -> Iterator[Measured]:
    """Write the page of `eidolon view`."""
    with tempfile.TemporaryDirectory() as made:
        for size in (300, 1_000, 3_000):
            run = scored(size, Path(made))
            yield size, timed(lambda run=run: quietly("view", run, "--no-open"))  # type: ignore[misc]


SERIES: dict[str, Callable[[], Iterator[Measured]]] = {
    "words of a response, careful": lambda: words("careful"),
    "words of a response, original": lambda: words("original"),
    "categories, scoring": categories,
    "categories, reading": reading_categories,
    "runs of a leaderboard": leaderboard,
    "samples of a page": page,
}


def main() -> None:
    """Print a line for each series, and write JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", action="append", choices=[*SERIES], default=[])
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    rows = []
    for name in given.only or SERIES:
        measured = [*SERIES[name]()]
        sizes, times = (np.log(np.array(column, dtype=float)) for column in zip(*measured, strict=True))
        slope = float(np.polyfit(sizes, times, 1)[0])
        last = float((times[-1] - times[-2]) / (sizes[-1] - sizes[-2]))
        row = {
            "name": f"exponent: {name}", "measured": round(last, 3), "all_sizes": round(slope, 3), "goal": GOAL,
            "met": last <= GOAL, "cpu_s": {str(size): round(taken, 4) for size, taken in measured},
        }  # fmt: skip
        print(f"{row['name']:44} {slope:6.2f} {last:6.2f}  {row['cpu_s']}", flush=True)
        rows.append(row)
    if given.json is not None:
        given.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
