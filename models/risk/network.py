"""The risk network in PyTorch. `scorers.risk.network` is the same one in NumPy, and says what it computes."""

import numpy as np
import torch
from torch import Tensor, nn

from eidolon.scorers.risk.described import PLACE_FEATURES, TOTALS
from eidolon.scorers.risk.network import HEADS, TENSORS, RiskNetwork
from eidolon.scorers.risk.trees import Trees

WIDTH = 32


class RiskLayer(nn.Module):
    """A pre-norm transformer layer."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Return tokens (b, n, d). `mask` (b or 1, n, n) is true where a token (row) sees another (column)."""
        b, n, width = x.shape
        parts = self.qkv(self.norm1(x)).view(b, n, 3, HEADS, width // HEADS).permute(2, 0, 3, 1, 4)
        mixed = nn.functional.scaled_dot_product_attention(
            parts[0], parts[1], parts[2], attn_mask=mask[:, None]
        )
        x = x + self.out(mixed.transpose(1, 2).reshape(b, n, width))
        out: Tensor = x + self.down(torch.relu(self.up(self.norm2(x))))
        return out


class RiskModule(nn.Module):
    """The network to train, over a vocabulary of v categories."""

    def __init__(self, vocabulary: int, width: int = WIDTH, dropout: float = 0.2) -> None:
        super().__init__()
        self.start = nn.Parameter(0.02 * torch.randn(width))
        self.category = nn.Parameter(0.1 * torch.randn(vocabulary, width))
        self.place = nn.Linear(PLACE_FEATURES + 1, width)
        self.judged = nn.Linear(vocabulary + TOTALS, width)
        self.encoder, self.reader = RiskLayer(width), RiskLayer(width)
        self.last = nn.LayerNorm(width)
        self.score = nn.Parameter(0.1 * torch.randn(width))
        self.dropout = nn.Dropout(dropout)

    def update(self, history: Tensor, judged: Tensor) -> Tensor:
        """Return history vectors (b, d) after one batch of judged responses, (b, n, v + TOTALS)."""
        tokens = torch.cat([history[:, None], self.dropout(self.judged(judged))], dim=1)
        n = tokens.shape[1]
        seen = torch.ones(1, n, n, dtype=torch.bool)
        out: Tensor = self.encoder(tokens, seen)[:, 0]
        return out

    def logits(self, history: Tensor, categories: Tensor, rows: Tensor) -> Tensor:
        """Return the log-odds (b, m) that mentions are wrong.

        `history` is (b, d), `categories` (b, m), `rows` (b, m, PLACE_FEATURES + 1) of `mention_row`. Padding follows
        the mentions, so that no mention sees it.
        """
        mentions = self.dropout(self.category[categories] + self.place(rows))
        start = self.start.expand(len(mentions), -1)
        out: Tensor = rows[..., -1] + self._read(history, mentions) - self._read(start, mentions)
        return out

    def _read(self, history: Tensor, mentions: Tensor) -> Tensor:
        tokens = torch.cat([history[:, None], mentions], dim=1)
        n = tokens.shape[1]
        out: Tensor = (
            self.last(self.reader(tokens, torch.ones(1, n, n, dtype=torch.bool).tril())[:, 1:]) @ self.score
        )
        return out

    def in_numpy(self, trees: Trees) -> RiskNetwork:
        """Return the network with its present weights in NumPy, as 64-bit numbers, over its trees."""
        state = self.state_dict()
        return RiskNetwork(trees, {name: np.asarray(state[name].double().numpy()) for name in TENSORS})
