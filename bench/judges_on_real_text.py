"""Every judge on the same real text: agreement with COCO truth, with the careful lexicon and with people, and cost.

    python bench/judges_on_real_text.py DATA [--responses N] [--hat N] [--keep DIR] [--judge "NAME:key=value;…"]…

With --keep, each judgement goes to a file of DIR as soon as it is there, and a stopped run resumes from it. Undecided
is the share of (response, category) that the votes leave open, unreadable that of the answers that are neither yes nor
no. Unscored responses count in neither, nor in precision and recall.

DATA holds `responses/opera_llava-1.5_greedy.jsonl`, `coco_gt/objects.jsonl` and `hat/hat.jsonl`. Only COCO categories
count: a noun counts as the category that the lexicon gives it. With people: the average precision of the share of a
caption's mentions whose category, or noun, no reference names, and the number of captions that count. The judge `words`
has its cost alone here, with five references a response; `--metric detection` compares it with people.
"""

import argparse
import json
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from eidolon.benchmark.tasks.plugins import make_judge
from eidolon.scorers.core.judge import Evidence, Judge, SelfTestedJudge
from eidolon.scorers.core.types import Judgement, Response
from eidolon.scorers.judges.matching import NameMatcher, decide
from eidolon.scorers.judges.qa import QuestionJudge
from eidolon.scorers.text.lexicon import load_lexicon

DEFAULT = ("lexicon", "lexicon:reading=original", "lexicon:reading=wordnet", "nouns")


def main(arguments: Sequence[str]) -> int:
    """Print a row for each judge."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--responses", type=int, default=100)
    parser.add_argument("--hat", type=int, default=200)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--judge", action="append")
    options = parser.parse_args(arguments)
    lines = _lines(options.data / "responses" / "opera_llava-1.5_greedy.jsonl")[: options.responses]
    truth = {
        row["image_id"]: set(row["objects"]) for row in _lines(options.data / "coco_gt" / "objects.jsonl")
    }
    texts = [_response(i, row["image_id"], row["response"]) for i, row in enumerate(lines)]
    careful = _sets(make_judge("lexicon", {}), texts)
    hat = _lines(options.data / "hat" / "hat.jsonl")[: options.hat]
    print(
        "| judge | responses | precision | recall | F1 with the lexicon | unscored | undecided | unreadable | "
        "HAT average precision | CPU ms a response |"
    )
    print("|---|" + "---:|" * 9)
    for text in options.judge or DEFAULT:
        name, _, given = text.partition(":")
        judge = make_judge(name, dict(one.split("=", 1) for one in given.split(";") if one))
        if name == "words":
            print(
                f"| `{text}` | {len(texts)}{' | -' * 7} | {1000 * _cost_with_references(judge, texts, hat):.2f} |"
            )
            continue
        kept = options.keep and options.keep / _file_name(text)
        judgements, cost = _judge(judge, texts, kept and kept.with_name(f"{kept.name}.jsonl"))
        scored = [i for i, one in enumerate(judgements) if one.unscored is None]
        found = [_categories(judgements[i]) for i in scored]
        pairs = list(zip(found, [truth[texts[i].image_id] for i in scored], strict=True))
        right = sum(len(a & b) for a, b in pairs)
        precision = right / max(1, sum(len(a) for a, _ in pairs))
        recall = right / max(1, sum(len(b) for _, b in pairs))
        people = _with_people(judge, hat, kept) if hat else "-"
        print(
            f"| `{text}` | {len(texts)} | {precision:.3f} | {recall:.3f} | "
            f"{_f1(found, [careful[i] for i in scored]):.3f} | {len(texts) - len(scored)} | "
            f"{_open_shares(judge, [judgements[i] for i in scored])} | {people} | {1000 * cost:.2f} |",
            flush=True,
        )
        if isinstance(judge, SelfTestedJudge):
            print("\n".join(judge.weaknesses()), file=sys.stderr)
    return 0


def _judge(judge: Judge, texts: Sequence[Response], keep: Path | None) -> tuple[list[Judgement], float]:
    """Return the judgements and the CPU seconds a response. With `keep`, only what the file lacks is judged."""
    done = _lines(keep) if keep is not None and keep.exists() else []
    done = done[: len(texts)]
    if len(done) < len(texts):
        list(judge.judge(texts[:1]))  # what is loaded at first use is not counted
    judgements = [Judgement.model_validate(row["judgement"]) for row in done]
    seconds = sum(row["seconds"] for row in done)
    rest = texts[len(done) :]
    for piece in [[one] for one in rest] if keep is not None else [rest]:
        start = time.process_time()
        new = list(judge.judge(piece))
        taken = time.process_time() - start
        judgements, seconds = judgements + new, seconds + taken
        if keep is not None:
            keep.parent.mkdir(parents=True, exist_ok=True)
            with keep.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"judgement": new[0].model_dump(mode="json"), "seconds": taken}) + "\n")
    return judgements, seconds / max(1, len(texts))


def _cost_with_references(judge: Judge, texts: Sequence[Response], hat: Sequence[Any]) -> float:
    """Return the CPU seconds a response, with the references of captions of HAT in place of its image's own."""
    evidence = [Evidence(frozenset(), tuple(hat[i % len(hat)]["references"])) for i in range(len(texts))]
    decide(judge, list(judge.judge(texts[:1])), evidence[:1])  # what is loaded at first use is not counted
    start = time.process_time()
    decide(judge, list(judge.judge(texts)), evidence)
    return (time.process_time() - start) / max(1, len(texts))


def _file_name(text: str) -> str:
    return re.sub(r"[^\w.=-]+", "_", text)[-100:]


def _open_shares(judge: Judge, judgements: Sequence[Judgement]) -> str:
    """Return two cells: the share of undecided categories, and that of unreadable answers. Blank without questions."""
    if not isinstance(judge, QuestionJudge):
        return "- | -"
    asked = max(1, len(judge.vocabulary) * len(judgements))
    undecided = sum(m.verdict == "ignored" for one in judgements for m in one.mentions)
    unreadable = sum(one.unreadable for one in judgements)
    return f"{undecided / asked:.3f} | {unreadable / asked / judge.voters:.3f}"


def _lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _response(number: int, image_id: int, text: str) -> Response:
    return Response(sample_id=str(number), image_id=image_id, response=text)


_TERMS = NameMatcher(load_lexicon("coco80"))
_VOCABULARY = frozenset(load_lexicon("coco80").vocabulary)


def _categories(judgement: Judgement) -> set[str]:
    named = {_TERMS.canonical(m.category) for m in judgement.mentions if m.verdict != "ignored"}
    return named & _VOCABULARY


def _sets(judge: Judge, texts: Sequence[Response]) -> list[set[str]]:
    return [_categories(one) for one in judge.judge(texts)]


def _f1(found: Sequence[set[str]], other: Sequence[set[str]]) -> float:
    shared = sum(len(a & b) for a, b in zip(found, other, strict=True))
    return 2 * shared / max(1, sum(map(len, found)) + sum(map(len, other)))


def _with_people(judge: Judge, rows: Sequence[Any], kept: Path | None) -> str:
    """Return the average precision of the share of unsupported mentions against people's flags of captions.

    A caption counts if it and its references are scored; the number of those that count follows the value.
    """
    captions, _ = _judge(
        judge,
        [_response(i, row["image_id"], row["caption"]) for i, row in enumerate(rows)],
        kept and kept.with_name(f"{kept.name}-hat.jsonl"),
    )
    said = [any(m.verdict != "ignored" for m in one.mentions) for one in captions]
    # The references of a caption that names nothing cannot change its score.
    places = [(i, text) for i, row in enumerate(rows) for text in row["references"] if said[i]]
    read, _ = _judge(
        judge,
        [_response(n, rows[i]["image_id"], text) for n, (i, text) in enumerate(places)],
        kept and kept.with_name(f"{kept.name}-references.jsonl"),
    )
    known: list[set[str]] = [set() for _ in rows]
    unscored = {i for i, one in enumerate(captions) if one.unscored is not None}
    for (i, _), judgement in zip(places, read, strict=True):
        known[i] |= {_TERMS.canonical(m.category) for m in judgement.mentions if m.verdict != "ignored"}
        if judgement.unscored is not None:
            unscored.add(i)
    scores, flags = [], []
    for i, (judgement, there) in enumerate(zip(captions, known, strict=True)):
        if i not in unscored:
            named = [_TERMS.canonical(m.category) for m in judgement.mentions if m.verdict != "ignored"]
            scores.append(sum(name not in there for name in named) / len(named) if named else 0.0)
            flags.append(bool(rows[i]["contains_hallucination"]))
    return f"{_average_precision(scores, flags):.3f} of {len(flags)}" if any(flags) else f"- of {len(flags)}"


def _average_precision(scores: Sequence[float], truth: Sequence[bool]) -> float:
    """Return Σ (R_k - R_(k-1)) P_k over the distinct thresholds, from the highest."""
    total, found, seen, precision_sum = sum(truth), 0, 0, 0.0
    for level in sorted({*scores}, reverse=True):
        at = [flag for score, flag in zip(scores, truth, strict=True) if score == level]
        seen, before = seen + len(at), found
        found += sum(at)
        precision_sum += (found - before) / total * found / seen
    return precision_sum


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
