import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from eidolon.models.base.model import request_seed
from eidolon.models.generation.sampling import RowwiseSampling

LOGITS = torch.tensor([2.0, 1.0, 0.5, 0.0, -1.0, -torch.inf])
IDS = torch.zeros((1, 1), dtype=torch.long)


def by_hand(logits: list[float], temperature: float, top_p: float, uniform: float) -> int:
    """Add up the probabilities of the kept tokens until they exceed the uniform number."""
    weights = [np.exp(logit / temperature) for logit in logits]
    total, order = sum(weights), sorted(range(len(weights)), key=lambda i: -weights[i])
    kept, mass = set(), 0.0
    for token in order:
        if mass >= top_p:
            break
        kept.add(token)
        mass += weights[token] / total
    threshold, running = uniform * sum(weights[i] for i in kept), 0.0
    for token in sorted(kept):
        running += weights[token]
        if running > threshold:
            return token
    raise AssertionError("no token")


@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 1.0), (0.6, 1.0), (1.5, 0.8), (0.2, 0.9)])
def test_a_row_takes_the_token_of_its_own_random_number(temperature: float, top_p: float) -> None:
    seeds = list(range(200))
    sampler = RowwiseSampling(seeds, temperature, top_p)
    streams = [np.random.Generator(np.random.PCG64(seed)) for seed in seeds]
    for _ in range(3):
        scores = sampler(IDS.expand(200, 1), LOGITS.expand(200, -1).clone())
        assert ((scores > -torch.inf).sum(dim=1) == 1).all()
        expected = [by_hand(LOGITS.tolist(), temperature, top_p, stream.random()) for stream in streams]
        assert scores.argmax(dim=1).tolist() == expected


def test_frequencies_are_the_probabilities() -> None:
    n = 20_000
    drawn = RowwiseSampling(range(n), 0.8, 1.0)(IDS.expand(n, 1), LOGITS.expand(n, -1).clone()).argmax(dim=1)
    counts = np.bincount(drawn.numpy(), minlength=6)
    assert counts[5] == 0, "a token of probability zero"
    expected = (LOGITS[:5] / 0.8).softmax(dim=0).double().numpy()
    assert chisquare(counts[:5], n * expected / expected.sum()).pvalue > 1e-3


def test_a_row_does_not_depend_on_its_neighbours() -> None:
    logits = torch.randn((8, 50), generator=torch.Generator().manual_seed(0))
    together = RowwiseSampling(range(8), 1.0, 1.0)(IDS.expand(8, 1), logits)
    for row in range(8):
        alone = RowwiseSampling([row], 1.0, 1.0)(IDS, logits[row : row + 1])
        assert alone.argmax() == together[row].argmax()


def test_seeds_of_requests_differ_and_are_fixed() -> None:
    seeds = {(s, g): request_seed(7, str(s), g) for s in range(20) for g in range(3)}
    assert len(set(seeds.values())) == 60
    assert all(0 <= seed < 2**31 for seed in seeds.values())
    assert request_seed(7, "10", 2) == seeds[10, 2]
    assert request_seed(8, "10", 2) != seeds[10, 2]
