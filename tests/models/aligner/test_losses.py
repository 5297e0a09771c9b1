"""The identities of the aligner's losses, each against a naive twin."""

import itertools
import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from eidolon.models.aligner.losses.contrastive import contrast, contrast_views, infonce
from eidolon.models.aligner.losses.decomposable import (
    RunningPartition,
    decomposable,
    log_partition,
    sample_log_auxiliary,
)
from eidolon.models.aligner.losses.latent import bridge, consistency, separation, uniformity
from eidolon.models.aligner.losses.proxies import proxy_nca, proxy_nca_hn

TAU = 0.3


def unit(n: int, d: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return normalize(torch.randn(n, d, generator=generator, dtype=torch.float64), dim=-1)


def gradient(loss: Tensor, of: Tensor) -> Tensor:
    (found,) = torch.autograd.grad(loss, of)
    return found


def dot(a: Tensor, b: Tensor) -> float:
    return sum(float(x) * float(y) for x, y in zip(a, b, strict=True))


def test_infonce_is_its_double_loop() -> None:
    a, b = unit(5, 4, 0), unit(5, 4, 1)
    expected = 0.0
    for i in range(5):
        z = sum(math.exp(dot(a[i], b[j]) / TAU) for j in range(5))
        expected -= math.log(math.exp(dot(a[i], b[i]) / TAU) / z) / 5
    assert float(infonce(a, b, TAU)) == pytest.approx(expected, abs=1e-12)
    assert float(contrast(a, b, TAU)) == pytest.approx((expected + float(infonce(b, a, TAU))) / 2, abs=1e-12)


def test_views_are_a_quarter_each() -> None:
    v, t, va, ta = (unit(4, 3, seed) for seed in range(4))
    parts = (infonce(v, t, TAU), infonce(t, v, TAU), infonce(v, va, TAU), infonce(t, ta, TAU))
    assert float(contrast_views(v, t, va, ta, TAU)) == pytest.approx(float(sum(parts)) / 4, abs=1e-12)


class TestDecomposable:
    """Six pairs are all candidates; batches have three."""

    n, m = 6, 3

    def scores(self) -> Tensor:
        generator = torch.Generator().manual_seed(7)
        return (2 * torch.randn(self.n, self.n, generator=generator, dtype=torch.float64)).requires_grad_()

    def full(self, scores: Tensor) -> Tensor:
        return gradient((scores.logsumexp(-1) - scores.diagonal()).mean(), scores)

    def batches(self) -> list[Tensor]:
        return [torch.tensor(chosen) for chosen in itertools.combinations(range(self.n), self.m)]

    def test_the_expected_gradient_is_that_of_all_candidates(self) -> None:
        """Over all batches, exactly: the loss is linear in u, so E over u puts 1/Z in its place."""
        scores = self.scores()
        log_z = scores.detach().logsumexp(-1)
        losses = [
            decomposable(scores[chosen][:, chosen], -log_z[chosen], self.n) for chosen in self.batches()
        ]
        expected = gradient(torch.stack(losses).mean(), scores)
        torch.testing.assert_close(expected, self.full(scores), rtol=1e-12, atol=1e-12)

    def test_the_ordinary_minibatch_gradient_is_biased(self) -> None:
        scores = self.scores()
        losses = [infonce_of(scores[chosen][:, chosen] + spread(self.m, self.n)) for chosen in self.batches()]
        difference = gradient(torch.stack(losses).mean(), scores) - self.full(scores)
        assert float(difference.abs().max()) > 0.01

    def test_sampled_auxiliaries_agree_within_their_error(self) -> None:
        scores = self.scores()
        generator = torch.Generator().manual_seed(3)
        log_z = scores.detach().logsumexp(-1)
        batches = self.batches()
        draws = []
        for _ in range(3000):
            chosen = batches[int(torch.randint(len(batches), (), generator=generator))]
            log_u = sample_log_auxiliary(log_z[chosen], generator)
            draws.append(gradient(decomposable(scores[chosen][:, chosen], log_u, self.n), scores))
        found = torch.stack(draws)
        error = found.std(0) / math.sqrt(len(draws))
        assert bool(((found.mean(0) - self.full(scores)).abs() <= 4.5 * error).all())

    def test_the_auxiliary_is_an_exponential_of_rate_z(self) -> None:
        log_z = torch.full((40_000,), math.log(5.0), dtype=torch.float64)
        u = sample_log_auxiliary(log_z, torch.Generator().manual_seed(1)).exp()
        assert float(u.mean()) == pytest.approx(1 / 5, rel=0.02)
        assert float(u.var()) == pytest.approx(1 / 25, rel=0.05)

    def test_the_batch_s_own_partition_gives_the_ordinary_minibatch_loss(self) -> None:
        """u = 1/Z of the batch, with the batch as all candidates."""
        scores = self.scores()
        part = scores[:3, :3]
        own = decomposable(part, -log_partition(part.detach(), 3), 3)
        torch.testing.assert_close(gradient(own, scores), gradient(infonce_of(part), scores))

    def test_a_running_partition_is_a_moving_average(self) -> None:
        running = RunningPartition(4, momentum=0.75)
        ids = torch.tensor([1, 3])
        first, second = torch.tensor([2.0, -1.0]), torch.tensor([0.5, 60.0])
        torch.testing.assert_close(running.update(ids, first), first)
        expected = (0.75 * first.double().exp() + 0.25 * second.double().exp()).log()
        torch.testing.assert_close(running.update(ids, second).double(), expected, rtol=1e-5, atol=1e-5)
        assert running.log_z.isnan().tolist() == [True, False, True, False]


def infonce_of(scores: Tensor) -> Tensor:
    return (scores.logsumexp(-1) - scores.diagonal()).mean()


def spread(m: int, n: int) -> Tensor:
    """The weights that make a batch's Z an estimate for all candidates, as logarithms."""
    return torch.full((m, m), math.log((n - 1) / (m - 1)), dtype=torch.float64).fill_diagonal_(0.0)


class TestBridge:
    time = 0.25

    def test_it_is_the_gaussian_s_log_density_up_to_scale_and_constant(self) -> None:
        v, t, va = unit(6, 5, 0), unit(6, 5, 1), unit(6, 5, 2)
        mean = normalize(self.time * v + (1 - self.time) * t, dim=-1)
        variance = self.time * (1 - self.time)
        normal = torch.distributions.MultivariateNormal(mean, variance * torch.eye(5, dtype=torch.float64))
        constant = 5 / 2 * math.log(2 * math.pi * variance)
        from_density = (-normal.log_prob(va) - constant).mean() * 2 * variance
        torch.testing.assert_close(bridge(v, t, va), from_density)

    def test_it_is_the_closed_form_with_sign_and_norm(self) -> None:
        v, t, va = unit(6, 5, 3), unit(6, 5, 4), unit(6, 5, 5)
        s = self.time
        closed = 0.0
        for a, b, c in zip(v, t, va, strict=True):
            norm = math.sqrt(s**2 + (1 - s) ** 2 + 2 * s * (1 - s) * dot(a, b))
            closed += (2 - 2 * (s * dot(a, c) + (1 - s) * dot(b, c)) / norm) / 6
        assert float(bridge(v, t, va)) == pytest.approx(closed, abs=1e-12)

    def test_a_view_on_the_bridge_costs_nothing(self) -> None:
        v, t = unit(3, 4, 6), unit(3, 4, 7)
        assert float(bridge(v, t, normalize(0.25 * v + 0.75 * t, dim=-1))) == pytest.approx(0, abs=1e-12)


def test_consistency_is_its_double_loops() -> None:
    n = 4
    v, t, va, ta = (unit(n, 3, seed) for seed in range(4))
    expected = 0.0
    for a, b in ((v, t), (v, va), (t, ta)):
        for j in range(n):
            for k in range(n):
                expected += (dot(a[j], b[k]) - dot(a[k], b[j])) ** 2 / n
                expected += (dot(a[j], a[k]) - dot(b[j], b[k])) ** 2 / n
    for j in range(n):
        expected += (dot(v[j], t[j]) - dot(va[j], ta[j])) ** 2 / n
    assert float(consistency(v, t, va, ta)) == pytest.approx(expected, abs=1e-12)
    assert float(consistency(v, v, v, v)) == pytest.approx(0, abs=1e-12)


def test_separation_is_its_naive_sum() -> None:
    n = 4
    shared, own, views = ((unit(n, 3, 2 * k), unit(n, 3, 2 * k + 1)) for k in range(3))
    repeated = sum(dot(z[j], zi[j]) ** 2 for z, zi in zip(shared, own, strict=True) for j in range(n)) / n
    spread_out = 0.0
    for part in own:
        for j in range(n):
            for k in range(n):
                spread_out += math.exp(-2 * float((part[j] - part[k]).square().sum())) / n
    assert float(uniformity(*own)) == pytest.approx(math.log(spread_out), abs=1e-12)
    within = float(infonce(own[0], views[0], TAU) + infonce(own[1], views[1], TAU))
    expected = repeated + within + math.log(spread_out)
    assert float(separation(shared, own, views, TAU)) == pytest.approx(expected, abs=1e-12)


class TestProxies:
    sigma = 0.5
    labels = torch.tensor([0, 1, 1, 2, 3])

    def g(self, a: Tensor, b: Tensor) -> float:
        return math.exp(-float((a - b).square().sum()) / self.sigma)

    def test_the_denominators_are_as_written(self) -> None:
        f, p = unit(5, 3, 0), unit(6, 3, 1)
        hard = torch.zeros(6, 6, dtype=torch.bool)
        hard[0, 1] = hard[1, 0] = hard[2, 3] = True
        plain = with_hard = 0.0
        for i in range(5):
            y = int(self.labels[i])
            over = sum(self.g(f[i], p[c]) for c in range(6))
            more = sum(self.g(f[i], f[j]) for j in range(5) if hard[y, int(self.labels[j])])
            plain -= math.log(self.g(f[i], p[y]) / over) / 5
            with_hard -= math.log(self.g(f[i], p[y]) / (over + more)) / 5
        assert float(proxy_nca(f, p, self.labels, self.sigma)) == pytest.approx(plain, abs=1e-10)
        assert float(proxy_nca_hn(f, p, self.labels, hard, self.sigma)) == pytest.approx(with_hard, abs=1e-10)
        assert with_hard > plain

    def test_without_hard_negatives_both_are_the_same(self) -> None:
        f, p = unit(5, 3, 2), unit(6, 3, 3)
        none = torch.zeros(6, 6, dtype=torch.bool)
        assert float(proxy_nca_hn(f, p, self.labels, none)) == pytest.approx(
            float(proxy_nca(f, p, self.labels)), abs=1e-10
        )
