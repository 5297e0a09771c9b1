"""A language model behind an OpenAI-compatible chat endpoint: many questions at once, failures kept apart."""

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from threading import Event
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from eidolon.models.generated_text import split_reasoning
from eidolon.models.registry import ModelReference
from eidolon.scorers.errors import UserError
from eidolon.scorers.language_model import Reply

if TYPE_CHECKING:
    from openai import OpenAI

KEY_VARIABLE = "OPENAI_API_KEY"
CONCURRENCY, TIMEOUT_S, RETRIES = 8, 60.0, 5
NOT_OURS = (401, 403, 404)
"""Statuses that no other prompt would change: the key, the address or the model's name is wrong."""
EXCERPT = 300
"""Characters of an endpoint's own message that an error keeps."""


class EndpointText:
    """`MODEL@URL`, asked through the `openai` package with temperature 0. Constructing it sends nothing.

    Lost connections, time-outs, and the statuses 408, 409, 429 and 5xx are tried again by that package, waiting
    longer each time. The key is that of the environment's OPENAI_API_KEY.
    """

    def __init__(
        self,
        reference: ModelReference,
        name: str,
        *,
        concurrency: str = str(CONCURRENCY),
        timeout: str = str(TIMEOUT_S),
        retries: str = str(RETRIES),
    ) -> None:
        """Check the address and the options: requests at once, seconds a request, further tries."""
        self.name = name
        self._given = f"-J models={reference.text}"
        model, at, rest = reference.target.partition("@http")
        url = f"http{rest}"
        parts = urlsplit(url)
        if not at or not model or parts.scheme not in ("http", "https") or not parts.hostname:
            raise UserError(
                f"{self._given}: write openai/MODEL@URL, for example openai/qwen3@http://host:8000/v1"
            )
        if parts.username or parts.password:
            raise UserError(
                f"{self._given}: put the key into the environment's {KEY_VARIABLE}, not into the URL"
            )
        if find_spec("openai") is None:
            raise UserError(f"{self._given}: needs the package openai; pip install 'eidolon[endpoints]'")
        self._model, self._url = model, url
        self._concurrency = _number(concurrency, "concurrency", least=1)
        self._retries = _number(retries, "retries", least=0)
        try:
            self._timeout = float(timeout)
        except ValueError:
            self._timeout = 0.0
        if not 0 < self._timeout < float("inf"):
            raise UserError(f"-J timeout={timeout}: must be a number of seconds above 0")
        self._client: OpenAI | None = None

    def signature(self) -> str:
        """Return the model's name and the address; what weights stand behind it only its owner knows."""
        return f"{self._model}@{self._url}"

    def reply(
        self, prompts: Sequence[str], *, max_new_tokens: int, schema: Mapping[str, Any] | None = None
    ) -> list[Reply]:
        """Answer all prompts, several at a time, in order; a `schema` is asked for as `response_format`.

        Once the endpoint cannot be reached at all, the prompts that are left are not tried one by one.

        Raises:
            UserError: the endpoint refuses the key, or knows no such address or model.
        """
        client = self._open()
        extra: dict[str, Any] = {}
        if schema is not None:
            wanted = {"name": "reply", "schema": dict(schema), "strict": True}
            extra["response_format"] = {"type": "json_schema", "json_schema": wanted}
        down, refused = Event(), Event()
        first_error: list[str] = []

        def ask(prompt: str) -> Reply:
            if refused.is_set() or down.is_set():
                return Reply(None, first_error[0])
            return self._ask(client, prompt, max_new_tokens, extra, down, refused, first_error)

        with ThreadPoolExecutor(self._concurrency) as pool:
            replies = list(pool.map(ask, prompts))
        if refused.is_set():
            raise UserError(f"{self._given}: {first_error[0]}")
        return replies

    def _ask(
        self,
        client: "OpenAI",
        prompt: str,
        max_new_tokens: int,
        extra: Mapping[str, Any],
        down: Event,
        refused: Event,
        first_error: list[str],
    ) -> Reply:
        import openai

        try:
            answer = client.chat.completions.create(
                model=self._model,
                messages=[{"role": "user", "content": prompt}],
                temperature=0,
                max_tokens=max_new_tokens,
                **extra,
            )
            text = answer.choices[0].message.content
        except openai.APIStatusError as error:
            message = f"the endpoint answers {error.status_code}: {_excerpt(error)}"
            if error.status_code in NOT_OURS:
                first_error.append(message)
                refused.set()
            return Reply(None, message)
        except openai.APITimeoutError:
            return Reply(None, f"the endpoint gave no answer within {self._timeout:g} s")
        except openai.APIConnectionError as error:
            message = f"the endpoint {self._url} cannot be reached: {_excerpt(error.__cause__ or error)}"
            first_error.append(message)
            down.set()
            return Reply(None, message)
        except (openai.OpenAIError, ValueError, AttributeError, IndexError, TypeError) as error:
            # What is no chat completion at all fails wherever it is first looked into.
            return Reply(None, f"the endpoint's answer is no chat completion: {_excerpt(error)}")
        if not isinstance(text, str):
            return Reply(None, "the endpoint's answer holds no text")
        return Reply(split_reasoning(text).text)

    def _open(self) -> "OpenAI":
        if self._client is None:
            from openai import OpenAI

            self._client = OpenAI(
                base_url=self._url,
                api_key=os.environ.get(KEY_VARIABLE) or "none",
                timeout=self._timeout,
                max_retries=self._retries,
            )
        return self._client


def _number(text: str, option: str, *, least: int) -> int:
    if not (text.isascii() and text.isdigit()) or int(text) < least:
        raise UserError(f"-J {option}={text}: must be a whole number from {least}")
    return int(text)


def _excerpt(error: BaseException) -> str:
    return " ".join(str(error).split())[:EXCERPT] or type(error).__name__
