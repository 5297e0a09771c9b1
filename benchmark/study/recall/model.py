"""A small language model with memory layers for associative recall, and its training."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from eidolon.benchmark.study.recall.recipe import RecallRecipe, RecallTraining
from eidolon.benchmark.study.recall.task import AskedSequences, Filler, Sequences, Task, make_sequences
from eidolon.models.memory.configuration import MemoryTextConfig
from eidolon.models.memory.innovation import PREDICTION_WEIGHT
from eidolon.models.memory.layout import Memory
from eidolon.models.memory.modeling import MemoryForCausalLM
from eidolon.models.memory.parts import ShortConvolution
from eidolon.models.training.loop import TrainingReport, train_loop

SPREAD = 0.1
"""Standard deviation of the initial weights, about 1/√width. With the usual 0.02 of transformers, learning starts
late."""
TRAINING, TESTING, VALIDATION = 1, 2, 3
"""First numbers of the seeds: training and test sequences are drawn independently."""


class RecallModel(nn.Module):
    """A language model in which each token also gets the embedding of the token before.

    Zoology has a short convolution before each memory. This is the shortest one, e_t + a · e_{t-1}, with a learned a
    for each channel. It gives the token of a value the information about its key, so that one layer is enough. The
    study tests whether a memory holds pairs, and not whether two layers learn to cooperate.

    All memories start with similarity matching, and their own convolutions with the identity. With random starts, the
    gated delta rule learns nothing of 4 pairs in the steps in which it now recalls 95 %.
    """

    def __init__(self, memory: Memory, vocabulary: int, width: int, inner: int) -> None:
        super().__init__()
        config = MemoryTextConfig.of(
            memory,
            vocab_size=vocabulary,
            hidden_size=width,
            intermediate_size=inner,
            initializer_range=SPREAD,
        )
        self.language = MemoryForCausalLM(config)
        for layer in self.language.model.layers:
            layer.memory.align_queries_and_keys()
        for module in self.modules():
            if isinstance(module, ShortConvolution):
                nn.init.zeros_(module.weight)
                nn.init.ones_(module.weight[:, -1])
        # From 0 to 1: with equal channels, a key after a value would look like a value after a key.
        self.before = nn.Parameter(torch.linspace(0, 1, width))

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the losses by name, and their `total`, for `tokens` (batch, T) at `queries` (batch, pairs), with the
        right `answers` (batch, pairs)."""
        logits, prediction = self.answer(batch["tokens"], batch["queries"])
        language = functional.cross_entropy(logits.flatten(0, 1), batch["answers"].flatten())
        if prediction is None:
            return {"language": language, "total": language}
        total = language + PREDICTION_WEIGHT * prediction
        return {"language": language, "prediction": prediction, "total": total}

    def answer(self, tokens: Tensor, queries: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the logits after each query, (batch, pairs, vocabulary), and the loss of the predictors, if any."""
        hidden, prediction, _ = self._read(tokens, use_cache=False)
        asked = hidden.gather(1, queries[..., None].expand(-1, -1, hidden.shape[-1]))
        logits: Tensor = self.language.lm_head(asked)
        return logits, prediction

    @torch.no_grad()
    def state_bytes(self, length: int) -> int:
        """Return the bytes of the model's memory after a sequence of this length."""
        tokens = torch.zeros(1, length, dtype=torch.int64, device=self.before.device)
        _, _, cache = self._read(tokens, use_cache=True)
        return int(cache.bytes_per_sequence())

    def _read(self, tokens: Tensor, *, use_cache: bool) -> tuple[Tensor, Tensor | None, Any]:
        embedded = self.language.get_input_embeddings()(tokens)
        shifted = functional.pad(embedded[:, :-1], (0, 0, 1, 0))
        outputs = self.language.model(inputs_embeds=self._join(embedded, shifted), use_cache=use_cache)
        return outputs.last_hidden_state, outputs.prediction_loss, outputs.past_key_values

    def _join(self, embedded: Tensor, shifted: Tensor) -> Tensor:
        """Return the inputs of the first layer from the embeddings and those of the tokens before."""
        return embedded + self.before * shifted


class LinkedRecallModel(RecallModel):
    """A recall model whose tokens get a linear map of the embedding of the token before, e_t + A e_{t-1}.

    It is a short convolution over two tokens, as Zoology has one before each memory. A starts as a random orthogonal
    matrix and the projection of keys as that of queries times its transpose. So the key of a value is that of the token
    before it, from the start, and the key of that token itself is another. With the map of `RecallModel` a query finds
    itself first, and among filler of one token it hardly finds its value.
    """

    def __init__(self, memory: Memory, vocabulary: int, width: int, inner: int) -> None:
        super().__init__(memory, vocabulary, width, inner)
        matrix = torch.nn.init.orthogonal_(torch.empty(width, width))
        self.before = nn.Parameter(matrix)
        for layer in self.language.model.layers:
            layer.memory.align_queries_and_keys(matrix)

    def _join(self, embedded: Tensor, shifted: Tensor) -> Tensor:
        return embedded + shifted @ self.before.T


def make_model(recipe: RecallRecipe, memory: Memory, seed: int) -> RecallModel:
    """Return a model with random weights of a seed."""
    torch.manual_seed(seed)
    return RecallModel(memory, recipe.task.vocabulary, recipe.width, recipe.inner)


def make_batch(recipe: RecallRecipe, step: int) -> dict[str, Tensor]:
    """Return the batch of a step: random sequences of one kind. It is the same for all models."""
    kinds = [(filler, pairs) for filler in recipe.fillers for pairs in recipe.pairs_at(step)]
    filler, pairs = kinds[int(np.random.default_rng([TRAINING, step]).integers(len(kinds)))]
    drawn = make_sequences(recipe.task, pairs, filler, recipe.batch_size, [TRAINING, step])
    return tensors(drawn)


def tensors(drawn: AskedSequences) -> dict[str, Tensor]:
    """Return the batch of sequences that a model is trained on."""
    parts = {"tokens": drawn.tokens, "queries": drawn.queries, "answers": drawn.answers}
    return {name: torch.from_numpy(part) for name, part in parts.items()}


def train_model(
    model: RecallModel,
    recipe: RecallRecipe,
    training: RecallTraining,
    folder: Path,
    on_step: Callable[[int, dict[str, float]], None] = lambda step, losses: None,
) -> TrainingReport:
    """Train `model` in place and resume from `folder`. The processes of a launcher share each batch."""

    def batch(step: int, rank: int, world: int) -> dict[str, Tensor]:
        return {name: tensor[rank::world] for name, tensor in make_batch(recipe, step).items()}

    folder.mkdir(parents=True, exist_ok=True)
    return train_loop(model, batch, training, folder, on_step=on_step)


def make_test(task: Task, pairs: int, filler: Filler, sequences: int, seed: int = TESTING) -> Sequences:
    """Return the test sequences of a kind, the same for all models. With `VALIDATION`, those to choose by."""
    return make_sequences(task, pairs, filler, sequences, [seed])


@torch.no_grad()
def find_right(model: RecallModel, test: AskedSequences, batch_size: int = 64) -> NDArray[np.bool_]:
    """Return the queries whose likeliest next token is the right value, bool (sequences, pairs)."""
    model.eval()
    named = []
    for start in range(0, len(test.tokens), batch_size):
        piece = slice(start, start + batch_size)
        device = model.before.device
        logits, _ = model.answer(
            torch.from_numpy(test.tokens[piece]).to(device), torch.from_numpy(test.queries[piece]).to(device)
        )
        named.append(logits.argmax(-1).cpu().numpy())
    return np.asarray(np.concatenate(named) == test.answers)
