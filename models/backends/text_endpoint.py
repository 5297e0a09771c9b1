"""A language model behind an OpenAI-compatible chat endpoint: concurrent prompts, an error per failed prompt."""

from collections.abc import Mapping, Sequence
from typing import Any

from eidolon.models.backends.endpoint import Endpoint
from eidolon.models.backends.endpoint_address import parse_address
from eidolon.models.backends.registry import ModelReference
from eidolon.models.generation.generated_text import split_reasoning
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.language_model import AnswerRule, Reply

CONCURRENCY, TIMEOUT_S, RETRIES = 8, 60.0, 5


class EndpointText:
    """`MODEL@URL`, with temperature 0. Constructing it sends nothing.

    `eidolon.models.backends.endpoint` documents retries and the key.
    """

    answer_rule: AnswerRule = "words"
    """Chat models answer in sentences, and few servers give log-probabilities."""

    def __init__(
        self,
        reference: ModelReference,
        name: str,
        *,
        concurrency: str = str(CONCURRENCY),
        timeout: str = str(TIMEOUT_S),
        retries: str = str(RETRIES),
    ) -> None:
        """Check the address and the options: concurrent requests, seconds per try, retries."""
        self.name = name
        model, url = parse_address("-J models=", reference.text, reference.target)
        try:
            seconds = float(timeout)
        except ValueError:
            seconds = 0.0
        if not 0 < seconds < float("inf"):
            raise UserError(f"-J timeout={timeout}: must be a number of seconds above 0")
        self._endpoint = Endpoint(
            f"-J models={reference.text}",
            model,
            url,
            concurrency=_number(concurrency, "concurrency", least=1),
            timeout=seconds,
            retries=_number(retries, "retries", least=0),
        )

    def signature(self) -> str:
        """Return the model's name and the address. The weights behind it are unknown."""
        return f"{self._endpoint.model}@{self._endpoint.url}"

    def reply(
        self, prompts: Sequence[str], *, max_new_tokens: int, schema: Mapping[str, Any] | None = None
    ) -> list[Reply]:
        """Return one reply per prompt, in order. A `schema` is sent as `response_format`.

        If the endpoint stops answering, the remaining prompts are not sent one by one.

        Raises:
            UserError: the endpoint refuses the key, or does not know the address or model.
        """
        fields: dict[str, Any] = {"temperature": 0, "max_tokens": max_new_tokens}
        if schema is not None:
            wanted = {"name": "reply", "schema": dict(schema), "strict": True}
            fields["response_format"] = {"type": "json_schema", "json_schema": wanted}
        completions = self._endpoint.ask(
            [{"messages": [{"role": "user", "content": prompt}], **fields} for prompt in prompts]
        )
        return [
            Reply(None, found.error) if found.text is None else Reply(split_reasoning(found.text).text)
            for found in completions
        ]


def _number(text: str, option: str, *, least: int) -> int:
    if not (text.isascii() and text.isdigit()) or int(text) < least:
        raise UserError(f"-J {option}={text}: must be a whole number from {least}")
    return int(text)
