"""The odds of yes against no as the first token of a reply."""

from collections.abc import Sequence
from typing import Any

import torch

from eidolon.scorers.core.errors import UserError

SPELLINGS = ("{}", " {}", "\n{}")


class WordOdds:
    """Maps logits (batch, vocabulary) to log P(yes) - log P(no), one number a row.

    A word's probability is the sum over its spellings that are one token, in lower case, capitals or with a capital
    letter, with or without white space before it.
    """

    def __init__(self, tokenizer: Any, given: str) -> None:
        """Find the tokens.

        Raises:
            UserError: the tokenizer has no single token for one of the words.
        """
        self._yes, self._no = (_tokens(tokenizer, word) for word in ("yes", "no"))
        for word, tokens in (("yes", self._yes), ("no", self._no)):
            if not tokens:
                raise UserError(
                    f"{given}: its tokenizer has no single token for {word!r}; give -J answers=words"
                )

    def __call__(self, logits: torch.Tensor) -> Sequence[float]:
        """Return the log-odds of each row."""
        rows = logits.float()
        odds = rows[:, self._yes].logsumexp(dim=-1) - rows[:, self._no].logsumexp(dim=-1)
        found: list[float] = odds.tolist()
        return found


def _tokens(tokenizer: Any, word: str) -> list[int]:
    found = set()
    for form in (word, word.capitalize(), word.upper()):
        for spelling in SPELLINGS:
            ids = tokenizer(spelling.format(form), add_special_tokens=False)["input_ids"]
            last = ids[-1] if ids else None
            if last is not None and tokenizer.decode([last]).strip().lower() == word:
                found.add(int(last))
    return sorted(found)
