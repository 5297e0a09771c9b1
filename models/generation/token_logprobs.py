"""How probable a model found each token that it generated, gathered while it generates."""

import torch
from transformers import LogitsProcessor


class TokenLogprobs(LogitsProcessor):
    """Keeps the log-probability of every generated token, under the model as it is (temperature 1, no cut).

    Must be the first processor. `generate` can return the logits of all steps instead, which for 16 rows of 512
    tokens and a vocabulary of 150,000 are 5 GB; here those of one step are held. A token is known at the step after
    it was drawn, the last one when all is over.
    """

    def __init__(self) -> None:
        self._last: torch.Tensor | None = None
        self._found: list[torch.Tensor] = []

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Take the logits (rows, vocabulary) of a step as they come; return them untouched."""
        self._gather(input_ids)
        self._last = scores.float().log_softmax(dim=-1)
        return scores

    def finish(self, sequences: torch.Tensor) -> list[list[float]]:
        """Return the log-probabilities of each row's generated tokens, what follows its end included."""
        self._gather(sequences)
        return torch.stack(self._found, dim=1).tolist() if self._found else [[] for _ in sequences]

    def _gather(self, sequences: torch.Tensor) -> None:
        if self._last is not None:
            tokens = sequences[:, -1:].to(self._last.device)
            self._found.append(self._last.gather(1, tokens)[:, 0].cpu())
            self._last = None
