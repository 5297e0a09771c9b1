"""Exports an architecture by `torch.export`, and checks that the program answers as the model does.

The program takes the tokens of one sequence, (1, length), and the positions of its queries, (1, pairs), int64, and
returns the logits after the queries, (1, pairs, vocabulary). It has no Python in it: compilers for other hardware take
such a graph.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from eidolon.benchmark.study.recall.model import RecallModel, make_test
from eidolon.benchmark.study.search.recipe import SearchRecipe
from eidolon.scorers.core.errors import UserError

SEQUENCES = 8
"""Test sequences that the program and the model answer; the first one made the program."""
TOLERANCE = 1e-5
"""Largest difference of two logits, relative to the largest logit."""


class Exported(NamedTuple):
    """What was written, and its check."""

    operations: int
    """Nodes of the graph that call an operator."""
    difference: float
    """Largest difference of a logit from the model's, as a share of the largest logit."""


class Answering(nn.Module):
    """A recall model as a function of tensors that returns a tensor."""

    def __init__(self, model: RecallModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, tokens: Tensor, queries: Tensor) -> Tensor:
        """Return the logits, (batch, pairs, vocabulary)."""
        return self.model.answer(tokens, queries)[0]


def export_model(model: RecallModel, recipe: SearchRecipe, file: Path) -> Exported:
    """Write the program of a trained model, read it again, and compare its answers with the model's.

    Raises:
        UserError: the file cannot be written.
        ValueError: an answer differs by more than TOLERANCE.
    """
    recall = recipe.recall
    test = make_test(recall.task, max(recall.pairs), recall.fillers[0], SEQUENCES)
    inputs = [
        (torch.from_numpy(test.tokens[row : row + 1]), torch.from_numpy(test.queries[row : row + 1]))
        for row in range(SEQUENCES)
    ]
    whole = Answering(model.eval())
    with torch.no_grad():
        program = torch.export.export(whole, inputs[0])
    try:
        torch.export.save(program, file)
    except (OSError, RuntimeError) as error:
        raise UserError(f"--export {file}: cannot be written ({str(error).splitlines()[0]})") from error
    read = torch.export.load(file)
    difference = compare(read.module(), whole, inputs)
    if not difference <= TOLERANCE:
        raise ValueError(
            f"{file}: its answers differ from the model's by {difference:.1e} of the largest logit"
        )
    return Exported(sum(node.op == "call_function" for node in read.graph.nodes), difference)


@torch.no_grad()
def compare(
    program: Callable[..., Tensor], model: Callable[..., Tensor], inputs: list[tuple[Tensor, Tensor]]
) -> float:
    """Return the largest difference of two functions' logits, as a share of the largest logit of the second one."""
    differences, largest = [], []
    for tokens, queries in inputs:
        ours = model(tokens, queries)
        differences.append(float((program(tokens, queries) - ours).abs().max()))
        largest.append(float(ours.abs().max()))
    return max(differences) / max(largest)
