"""A score of an untrained model: how evenly gradient descent would learn its outputs.

Near its start a model learns as its neural tangent kernel says (Jacot et al., NeurIPS 2018): K_ij is the product of the
gradients of outputs i and j. The part of the error along an eigenvector of K shrinks at a rate of its eigenvalue. So
a model whose eigenvalues are of one size learns everything, and one with a large condition number leaves a part
unlearned. The condition number ranks architectures in TE-NAS (Chen et al., ICLR 2021). Trainability is minus its
common logarithm; larger is better.
"""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eidolon.benchmark.study.recall.model import VALIDATION, RecallModel, make_test
from eidolon.benchmark.study.search.recipe import SearchRecipe

OUTPUTS = 16
"""Answers whose gradients are taken."""
SMALLEST = 1e-9
"""Eigenvalues below this share of the largest one count as this."""


class ZeroShot(NamedTuple):
    """Scores without training."""

    trainability: float
    """Minus the logarithm of the kernel's condition number."""
    gradient: float
    """The logarithm of the mean squared length of a gradient, for comparison: speed without evenness."""


def zero_shot_scores(model: RecallModel, recipe: SearchRecipe) -> ZeroShot:
    """Return the scores of a model on validation sequences of the largest number of pairs."""
    kernel = tangent_kernel(model, recipe)
    values = np.linalg.eigvalsh(kernel)
    largest = values[-1]
    smallest = max(values[0], SMALLEST * largest)
    return ZeroShot(float(np.log10(smallest / largest)), float(np.log10(np.trace(kernel) / len(kernel))))


def tangent_kernel(model: RecallModel, recipe: SearchRecipe) -> NDArray[np.float64]:
    """Return the neural tangent kernel of the logarithms of the right answers' probabilities, (outputs, outputs)."""
    pairs, filler = max(recipe.recall.pairs), recipe.recall.fillers[0]
    asked = make_test(recipe.recall.task, pairs, filler, OUTPUTS, VALIDATION)
    tokens, queries = torch.from_numpy(asked.tokens), torch.from_numpy(asked.queries)
    logits, _ = model.answer(tokens, queries)
    # One answer of each sequence: two of one sequence share most of their gradient.
    right = torch.from_numpy(asked.answers)[:, :1]
    outputs = logits[:, 0].log_softmax(-1).gather(1, right)[:, 0]
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    rows = []
    for output in outputs:
        parts = torch.autograd.grad(output, weights, retain_graph=True, allow_unused=True)
        rows.append(torch.cat([_flat(part, weight) for part, weight in zip(parts, weights, strict=True)]))
    gradients = torch.stack(rows).double()
    return np.asarray((gradients @ gradients.T).numpy())


def _flat(part: Tensor | None, weight: Tensor) -> Tensor:
    return (torch.zeros_like(weight) if part is None else part).flatten()
