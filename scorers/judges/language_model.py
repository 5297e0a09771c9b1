"""What a judge asks of a language model: text in, text out, greedily, and an error is an answer too."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back for one prompt: either `text`, or the `error` that kept it away."""

    text: str | None
    error: str | None = None


class LanguageModel(Protocol):
    """A text-only model, of whatever kind and wherever it runs.

    Decoding is greedy, so that a reply depends on its prompt alone and not on its batch.
    """

    name: str
    """Short, and different from that of any other model of the same ensemble; it names the model's votes."""

    def signature(self) -> str:
        """Return what was asked, for the score's signature: name, and a hash of the weights where they are local.

        Loads no weights.
        """
        ...

    def reply(
        self, prompts: Sequence[str], *, max_new_tokens: int, schema: Mapping[str, Any] | None = None
    ) -> list[Reply]:
        """Return one reply a prompt, in order.

        With a JSON `schema`, a backend that can constrain its output does; any other answers freely.
        """
        ...
