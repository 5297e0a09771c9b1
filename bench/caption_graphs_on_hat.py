"""How well the rules of `--metric capture` rank captions of HAT: average precision against people's flags.

    python bench/caption_graphs_on_hat.py hat.jsonl

A caption's score is 1 - its value against the references, by our rules, without embeddings and without WordNet.
Intervals of 95 % resample captions.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matching_threshold import RESAMPLES, average_precision

from eidolon.benchmark.tasks.score_files.long_captions.options import CaptureOptions
from eidolon.benchmark.tasks.score_files.long_captions.work import CaptureWork
from eidolon.scorers.metrics.benchmarks.question import MODES

VALUES = ("capture", "object_precision", "attribute_precision", "relation_precision")


def main(arguments: Sequence[str]) -> int:
    """Print a row for each value."""
    rows = [json.loads(line) for line in Path(arguments[0]).read_text(encoding="utf-8").splitlines()]
    references = {str(i): row["references"] for i, row in enumerate(rows)}
    captions = {str(i): row["caption"] for i, row in enumerate(rows)}
    flagged = np.array([bool(row["contains_hallucination"]) for row in rows])
    draws = np.random.default_rng(0).multinomial(len(rows), np.full(len(rows), 1 / len(rows)), RESAMPLES)
    options = CaptureOptions()
    print(
        f"{len(rows)} captions, {flagged.sum()} flagged\n\n| mode | value | average precision |\n|---|---|---:|"
    )
    for mode in MODES:
        samples = CaptureWork(options.matcher(mode), options.parser, references, captions).samples
        for name in VALUES:
            found = [one.values[name] for one in samples]
            scores = np.array([0.0 if value is None else 1 - value for value in found])
            value = average_precision(scores, flagged, np.ones(len(rows)))
            drawn = [average_precision(scores, flagged, weights) for weights in draws.astype(float)]
            low, high = np.quantile(drawn, (0.025, 0.975))
            print(f"| `{mode}` | `{name}` | {value:.3f} [{low:.3f}, {high:.3f}] |")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
