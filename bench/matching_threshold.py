"""What a threshold of sentence embeddings keeps of COCO's synonyms, and what it changes on captions of HAT.

    python bench/matching_threshold.py FOLDER [--lexicon coco80] [--hat hat.jsonl]

FOLDER is a model of sentence-transformers, such as all-MiniLM-L6-v2. A synonym is kept if its cosine with the name of
its own category reaches the threshold. A wrong pair is a synonym with the name of another category that reaches it. The
names of categories themselves are left out.

With --hat, the judge `nouns` reads captions and references of HAT. The table has the average precision against people's
flags of captions: of the share of a caption's nouns that no noun of the references reaches, for each threshold; and of
what ALOHa gives a caption. Intervals of 95 % resample images. The last column is the difference from matching by names.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eidolon.benchmark.tasks.plugins import make_judge
from eidolon.scorers.core.types import Response
from eidolon.scorers.judges.embeddings import SentenceEmbedder
from eidolon.scorers.judges.matching import NameMatcher, cosines, most_alike
from eidolon.scorers.text.lexicon import Lexicon, load_lexicon

THRESHOLDS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
RESAMPLES = 1000
BY_NAMES = "names alone"
Floats = NDArray[np.float64]


def main(arguments: Sequence[str]) -> int:
    """Print a row for each threshold."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder")
    parser.add_argument("--lexicon", default="coco80")
    parser.add_argument("--hat", type=Path)
    options = parser.parse_args(arguments)
    lexicon = load_lexicon(options.lexicon)
    embedder = SentenceEmbedder(options.folder)
    _print_synonyms(lexicon, embedder)
    if options.hat is not None:
        rows = [json.loads(line) for line in options.hat.read_text(encoding="utf-8").splitlines()]
        _print_captions(rows, lexicon, embedder)
    return 0


def _print_synonyms(lexicon: Lexicon, embedder: SentenceEmbedder) -> None:
    pairs = sorted(pair for pair in lexicon.terms().items() if pair[0] not in lexicon.vocabulary)
    names = list(lexicon.vocabulary)
    alike = cosines(embedder.embed([synonym for synonym, _ in pairs]), embedder.embed(names))
    own = np.array([[name == category for name in names] for _, category in pairs])
    print(f"{len(pairs)} synonyms of {len(names)} categories\n")
    print("| threshold | synonyms kept | wrong pairs |")
    print("|---:|---:|---:|")
    for threshold in THRESHOLDS:
        reached = alike >= threshold
        print(f"| {threshold:g} | {reached[own].mean():.3f} | {reached[~own].mean():.4f} |")


def _print_captions(rows: Sequence[Any], lexicon: Lexicon, embedder: SentenceEmbedder) -> None:
    said = _nouns([row["caption"] for row in rows])
    listed = iter(_nouns([text for row in rows for text in row["references"]]))
    there = [sorted({noun for _ in row["references"] for noun in next(listed)}) for row in rows]
    embedder.embed(sorted({noun for nouns in (*said, *there) for noun in nouns}))
    scores = _scores(said, there, lexicon, embedder)
    flagged = np.array([bool(row["contains_hallucination"]) for row in rows])
    images, place = np.unique([str(row["image_id"]) for row in rows], return_inverse=True)
    draws = np.random.default_rng(0).multinomial(
        len(images), np.full(len(images), 1 / len(images)), RESAMPLES
    )
    weights = draws[:, place].astype(float)
    drawn = {
        name: np.array([average_precision(values, flagged, one) for one in weights])
        for name, values in scores.items()
    }
    print(f"\n{len(rows)} captions of {len(images)} images, {flagged.sum()} flagged\n")
    print("| score of a caption | average precision | difference |")
    print("|---|---:|---:|")
    whole = np.ones(len(rows))
    base = average_precision(scores[BY_NAMES], flagged, whole)
    for name, values in scores.items():
        value = average_precision(values, flagged, whole)
        low, high = np.quantile(drawn[name], (0.025, 0.975))
        less, more = np.quantile(drawn[name] - drawn[BY_NAMES], (0.025, 0.975))
        print(
            f"| {name} | {value:.3f} [{low:.3f}, {high:.3f}] | {value - base:+.3f} [{less:+.3f}, {more:+.3f}] |"
        )


def _scores(
    said: Sequence[Sequence[str]],
    there: Sequence[Sequence[str]],
    lexicon: Lexicon,
    embedder: SentenceEmbedder,
) -> dict[str, Floats]:
    """Return how wrong each caption seems, by each way to score it."""
    by_name = [NameMatcher(lexicon).pair(nouns, names) for nouns, names in zip(said, there, strict=True)]
    matcher = NameMatcher(lexicon, embedder)
    paired = [matcher.pair(nouns, names) for nouns, names in zip(said, there, strict=True)]
    at_once = [most_alike(nouns, names, embedder) for nouns, names in zip(said, there, strict=True)]
    scores = {BY_NAMES: _shares(said, by_name, 1.0)}
    scores |= {f"threshold {t:g}": _shares(said, paired, t) for t in THRESHOLDS}
    for what, pairs in (("", paired), (", names with all others at once", at_once)):
        found = [_similarities(nouns, one) for nouns, one in zip(said, pairs, strict=True)]
        kept = [
            [one[noun][1] for noun in nouns if noun in one] for nouns, one in zip(said, pairs, strict=True)
        ]
        scores |= {
            f"ALOHa `score`{what}": np.array([1 - min(one, default=1) for one in found]),
            f"ALOHa `mean`{what}": np.array([1 - np.mean(one or [1]) for one in found]),
            f"ALOHa `compat_score`{what}": np.array([1 - min(one, default=1) for one in kept]),
            f"ALOHa `compat_mean`{what}": np.array([1 - np.mean(one or [1]) for one in kept]),
        }
    return scores


def _nouns(texts: Sequence[str]) -> list[list[str]]:
    judge = make_judge("nouns", {})
    responses = [Response(sample_id=str(i), image_id=i, response=text) for i, text in enumerate(texts)]
    return [sorted({m.category for m in one.mentions}) for one in judge.judge(responses)]


def _similarities(nouns: Sequence[str], pairs: Mapping[str, tuple[str, float]]) -> list[float]:
    return [pairs[noun][1] if noun in pairs else 0.0 for noun in nouns]


def _shares(
    said: Sequence[Sequence[str]], pairs: Sequence[Mapping[str, tuple[str, float]]], threshold: float
) -> Floats:
    """Return the share of each caption's nouns whose similarity is below the threshold."""
    found = [_similarities(nouns, one) for nouns, one in zip(said, pairs, strict=True)]
    return np.array([np.mean([s < threshold for s in one]) if one else 0.0 for one in found])


def average_precision(scores: Floats, flagged: NDArray[np.bool_], weights: Floats) -> float:
    """Return Σ (R_k - R_(k-1)) P_k over the distinct scores, from the highest; samples count by their weight."""
    levels, place = np.unique(-scores.round(9), return_inverse=True)
    right = np.bincount(place, weights * flagged, len(levels))
    seen, found = np.bincount(place, weights, len(levels)).cumsum(), right.cumsum()
    precision = np.divide(found, seen, out=np.zeros_like(found), where=seen > 0)
    return float((right * precision).sum() / found[-1]) if found[-1] else float("nan")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
