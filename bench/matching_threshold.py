"""What a threshold of sentence embeddings keeps of COCO's synonyms, and how many wrong pairs it lets through.

    python bench/matching_threshold.py FOLDER [--lexicon coco80]

FOLDER is a model of sentence-transformers, such as all-MiniLM-L6-v2. A synonym is kept if its cosine with the name of
its own category reaches the threshold. A wrong pair is a synonym with the name of another category that reaches it. The
names of categories themselves are left out.
"""

import argparse
import sys
from collections.abc import Sequence

import numpy as np

from eidolon.scorers.judges.embeddings import SentenceEmbedder
from eidolon.scorers.judges.matching import cosines
from eidolon.scorers.text.lexicon import load_lexicon

THRESHOLDS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8)


def main(arguments: Sequence[str]) -> int:
    """Print a row for each threshold."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder")
    parser.add_argument("--lexicon", default="coco80")
    options = parser.parse_args(arguments)
    lexicon = load_lexicon(options.lexicon)
    pairs = sorted(pair for pair in lexicon.terms().items() if pair[0] not in lexicon.vocabulary)
    embedder = SentenceEmbedder(options.folder)
    names = list(lexicon.vocabulary)
    alike = cosines(embedder.embed([synonym for synonym, _ in pairs]), embedder.embed(names))
    own = np.array([[name == category for name in names] for _, category in pairs])
    print(f"{len(pairs)} synonyms of {len(names)} categories\n")
    print("| threshold | synonyms kept | wrong pairs |")
    print("|---:|---:|---:|")
    for threshold in THRESHOLDS:
        reached = alike >= threshold
        print(f"| {threshold:g} | {reached[own].mean():.3f} | {reached[~own].mean():.4f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
