"""Compares the ordinary and the decomposable contrastive loss on a noisy synthetic task, where the optimum is known.

    OMP_NUM_THREADS=1 python bench/aligner_synthetic.py [--runs 10] [--json FILE]

Items have a random feature vector in each of two modalities. Each time an item is seen, both are noisy. Two linear
encoders into few dimensions are trained by a loss over small batches. The score is the InfoNCE over all items that
full-batch training reaches, divided by the InfoNCE over all items that the small batches reach: 1.0 is the optimum.

Chen et al. (NeurIPS 2022) report that on their noisy synthetic task the ordinary loss never reaches the optimum in ten
runs and theirs always does. Their task is not public; this one is ours.
"""

import argparse
import json
import math
import statistics
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import normalize

from eidolon.models.aligner.losses.decomposable import (
    RunningPartition,
    decomposable,
    log_partition,
    sample_log_auxiliary,
)

ITEMS, FEATURES, DIMENSIONS = 32, 16, 3
BATCH = 4
NOISE = 0.3
TEMPERATURE = 0.2
STEPS = 4000
LEARNING_RATE = 0.01
MOMENTUM = 0.9
REACHED = 0.99
"""A score from here on counts as the optimum."""
METHODS = ("full batch", "ordinary", "decomposable", "decomposable, mean u", "decomposable, u of the batch")


def main() -> None:
    """Run all methods, and print and write what they reach."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    losses = {method: run(method, given.runs, given.steps) for method in METHODS}
    rows = []
    for number in range(given.runs):
        of_run = {method: losses[method][number] for method in METHODS}
        scores = {method: of_run["full batch"] / loss for method, loss in of_run.items()}
        rows.append({"run": number, "loss": of_run, "score": scores})
    print(f"{'loss':30} {'mean score':>10} {'least':>7} {'largest':>8} {'reached 0.99':>13}")
    for method in METHODS:
        found = [row["score"][method] for row in rows]
        reached = sum(score >= REACHED for score in found)
        mean = statistics.mean(found)
        print(f"{method:30} {mean:10.3f} {min(found):7.3f} {max(found):8.3f} {reached:>9} of {len(found)}")
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps(rows, indent=2) + "\n")


def run(method: str, runs: int, steps: int) -> list[float]:
    """Return the InfoNCE over all items, in nats, that each run reaches with a method; noise is averaged out.

    All runs are trained side by side: they share each operation, but no number.
    """
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(runs, *shape, generator=generator)

    items = [normal(ITEMS, FEATURES) for _ in range(2)]
    maps = [(normal(FEATURES, DIMENSIONS) / math.sqrt(FEATURES)).requires_grad_() for _ in range(2)]
    optimizer = torch.optim.Adam(maps, lr=LEARNING_RATE)
    running = [RunningPartition(runs * ITEMS, MOMENTUM) for _ in range(2)]
    offsets = ITEMS * torch.arange(runs)[:, None]

    def scores(ids: Tensor) -> Tensor:
        rows = ids[..., None].expand(-1, -1, FEATURES)
        seen = [part.gather(1, rows) + NOISE * normal(ids.shape[1], FEATURES) for part in items]
        first, second = (normalize(x @ w, dim=-1) for x, w in zip(seen, maps, strict=True))
        return first @ second.mT / TEMPERATURE

    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * 0.5 * (1 + math.cos(math.pi * step / steps))
        size = ITEMS if method == "full batch" else BATCH
        ids = torch.rand(runs, ITEMS, generator=generator).argsort(1)[:, :size]
        found = scores(ids)
        loss = sum(
            _loss(method, directed, ids + offsets, partition, generator)
            for directed, partition in zip((found, found.mT), running, strict=True)
        )
        optimizer.zero_grad()
        torch.as_tensor(loss).backward()
        optimizer.step()
    everything = torch.arange(ITEMS).expand(runs, -1)
    with torch.no_grad():
        repeated = [(_infonce(found) + _infonce(found.mT)) / 2 for found in map(scores, [everything] * 64)]
    means: list[float] = torch.stack(repeated).mean(0).tolist()
    return means


def _infonce(scores: Tensor) -> Tensor:
    """Return the InfoNCE of each run, (runs)."""
    return (scores.logsumexp(-1) - scores.diagonal(dim1=-2, dim2=-1)).mean(-1)


def _loss(
    method: str, scores: Tensor, ids: Tensor, running: RunningPartition, generator: torch.Generator
) -> Tensor:
    if method in ("full batch", "ordinary"):
        return _infonce(scores).mean()
    estimate = log_partition(scores.detach(), ITEMS)
    if method == "decomposable, u of the batch":
        return decomposable(scores, -estimate, ITEMS)
    log_z = running.update(ids, estimate)
    log_u = -log_z if method == "decomposable, mean u" else sample_log_auxiliary(log_z, generator)
    return decomposable(scores, log_u, ITEMS)


if __name__ == "__main__":
    main()
