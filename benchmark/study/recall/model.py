"""A small language model of memory blocks that learns associative recall, and its training."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from eidolon.benchmark.study.recall.recipe import RecallRecipe, RecallTraining
from eidolon.benchmark.study.recall.task import Filler, Sequences, Task, make_sequences
from eidolon.models.memory.configuration import MemoryTextConfig
from eidolon.models.memory.layout import Memory
from eidolon.models.memory.modeling import MemoryForCausalLM
from eidolon.models.memory.parts import ShortConvolution
from eidolon.models.training.loop import TrainingReport, train_loop

SPREAD = 0.1
"""Standard deviation of the first weights: about 1/√width, where transformers' usual 0.02 learns nothing for long."""
TRAINING, TESTING = 1, 2
"""First words of the seeds, so that no test sequence was trained on but by chance."""


class RecallModel(nn.Module):
    """A language model whose every token also brings the embedding of the one before.

    Zoology puts a short convolution before each memory; this is the shortest, e_t + a · e_{t-1}, with a learned a
    for each channel. So a value's token tells its key, and one layer is enough: what is tested is whether a memory
    holds pairs, not whether two layers find each other.

    All memories start by looking for likeness, and their own convolutions by passing each token on as it is: from
    random ones the gated delta rule had learned nothing of 4 pairs in the time in which it now names 95 %.
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
            layer.memory.start_alike()
        for module in self.modules():
            if isinstance(module, ShortConvolution):
                nn.init.zeros_(module.weight)
                nn.init.ones_(module.weight[:, -1])
        # From 0 to 1: were a channel like another, a key behind a value would look like a value behind a key.
        self.before = nn.Parameter(torch.linspace(0, 1, width))

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the losses of `tokens`, (batch, T), at the `queries`, (batch, pairs), by name, and their `total`."""
        logits, prediction = self.answer(batch["tokens"], batch["queries"])
        right = batch["tokens"].gather(1, batch["queries"] + 1)
        language = functional.cross_entropy(logits.flatten(0, 1), right.flatten())
        if prediction is None:
            return {"language": language, "total": language}
        return {"language": language, "prediction": prediction, "total": language + prediction}

    def answer(self, tokens: Tensor, queries: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the logits after each query, (batch, pairs, vocabulary), and the predictors' loss."""
        hidden, prediction, _ = self._read(tokens, use_cache=False)
        asked = hidden.gather(1, queries[..., None].expand(-1, -1, hidden.shape[-1]))
        logits: Tensor = self.language.lm_head(asked)
        return logits, prediction

    @torch.no_grad()
    def state_bytes(self, length: int) -> int:
        """Return the bytes that the model keeps of a sequence of that length."""
        tokens = torch.zeros(1, length, dtype=torch.int64, device=self.before.device)
        _, _, cache = self._read(tokens, use_cache=True)
        return int(cache.bytes_per_sequence())

    def _read(self, tokens: Tensor, *, use_cache: bool) -> tuple[Tensor, Tensor | None, Any]:
        embedded = self.language.get_input_embeddings()(tokens)
        shifted = functional.pad(embedded[:, :-1], (0, 0, 1, 0))
        outputs = self.language.model(inputs_embeds=embedded + self.before * shifted, use_cache=use_cache)
        return outputs.last_hidden_state, outputs.prediction_loss, outputs.past_key_values


def make_model(recipe: RecallRecipe, memory: Memory, seed: int) -> RecallModel:
    """Build a model with seeded random weights."""
    torch.manual_seed(seed)
    return RecallModel(memory, recipe.task.vocabulary, recipe.width, recipe.inner)


def make_batch(recipe: RecallRecipe, step: int) -> dict[str, Tensor]:
    """Return a step's batch: sequences of one kind, drawn by the step; all models see the same."""
    kinds = [(filler, pairs) for filler in recipe.fillers for pairs in recipe.pairs_at(step)]
    filler, pairs = kinds[int(np.random.default_rng([TRAINING, step]).integers(len(kinds)))]
    drawn = make_sequences(recipe.task, pairs, filler, recipe.batch_size, [TRAINING, step])
    return {"tokens": torch.from_numpy(drawn.tokens), "queries": torch.from_numpy(drawn.queries)}


def train_model(
    model: RecallModel,
    recipe: RecallRecipe,
    training: RecallTraining,
    folder: Path,
    on_step: Callable[[int, dict[str, float]], None] = lambda step, losses: None,
) -> TrainingReport:
    """Train `model` in place, resuming from `folder`; processes of a launcher share each batch."""

    def batch(step: int, rank: int, world: int) -> dict[str, Tensor]:
        return {name: tensor[rank::world] for name, tensor in make_batch(recipe, step).items()}

    folder.mkdir(parents=True, exist_ok=True)
    return train_loop(model, batch, training, folder, on_step=on_step)


def make_test(task: Task, pairs: int, filler: Filler, sequences: int) -> Sequences:
    """Return the sequences on which models are measured, the same for all."""
    return make_sequences(task, pairs, filler, sequences, [TESTING])


@torch.no_grad()
def find_right(model: RecallModel, test: Sequences, batch_size: int = 64) -> NDArray[np.bool_]:
    """Return which queries are answered by their value, bool (sequences, pairs): the likeliest of all tokens."""
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
