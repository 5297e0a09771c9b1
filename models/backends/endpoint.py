"""An OpenAI-compatible chat endpoint: concurrent requests, retries, and an error per failed request.

The `openai` model backend and the judges' language models use it. Both pass the bodies of requests and get one
`Completion` for each.
"""

import asyncio
import logging
import os
import random
import time
from collections.abc import Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, TypeVar

from eidolon.models.backends.endpoint_address import KEY_VARIABLE, SHORTEST_SECRET, check_proxies
from eidolon.models.backends.endpoint_body import AnswerBodyError, bound_body
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.input_files import clean, parse_json
from eidolon.scorers.core.types import FinishReason

if TYPE_CHECKING:
    from openai import APIStatusError, AsyncOpenAI

NO_KEY = "none"
"""The key that is sent if none is set. Local servers need none, but the client requires one."""

FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 8.0
"""Wait before the second try, and its limit. It doubles with each try; up to half of it, at random, is skipped."""
LONGEST_RETRY_AFTER_S = 120.0
"""Longest `Retry-After` that is waited for."""
CONNECT_S = 10.0
"""Time limit for a connection, and for the list of models."""
PATIENCE = 3
"""Calls in a row without an answer, after which an endpoint gets one try per call instead of `retries`."""
EXCERPT = 300
"""Most characters of an endpoint's message in an error."""

TRANSIENT_STATUSES = (408, 429)
"""Statuses of transient failures, beside all from 500."""
CONFIGURATION_STATUSES = (401, 403, 404)
"""Statuses that do not depend on the prompt: the key, the address or the model's name is wrong."""
REDIRECTS = range(300, 400)
"""Statuses of redirects. They are not followed: picture, prompt and key go to the address that the user gave only."""
MAX_TOKENS = 10**9
"""The largest count of tokens in an answer that is believed. Sums of larger ones would overflow."""
FINISH: dict[str, FinishReason] = {"stop": "stop", "length": "length"}

T = TypeVar("T")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Completion:
    """The result of one request: `text` or `error`."""

    text: str | None = None
    reasoning: str | None = None
    """The model's reasoning, if the endpoint sends it apart from the answer."""
    finish_reason: FinishReason = "unknown"
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    error: str | None = None
    transient: bool = False
    """Whether the error may pass, so that the same request may succeed later."""


@dataclass(slots=True)
class Traffic:
    """Totals of all requests so far."""

    requests: int = 0
    """Requests sent; each try counts."""
    retries: int = 0
    answers: int = 0
    unmetered: int = 0
    """Answers without a token count."""
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def as_dict(self) -> dict[str, int]:
        """Return the counts by name."""
        return asdict(self)


class Endpoint:
    """One model at one address, through the `openai` package. Constructing it sends nothing.

    Lost connections, time-outs and the statuses 408, 429 and 5xx are retried up to `retries` times. The wait grows
    with each try and is at least that of a `Retry-After`, which delays all requests. A try ends after `timeout`
    seconds, also in the middle of an answer. The key is OPENAI_API_KEY of the environment; it is removed from output.

    If an endpoint answers nothing, not all requests are sent. Once `concurrency` requests in a row have failed, the
    rest of the call fails without being sent. The next call starts with a single request.
    """

    def __init__(
        self, given: str, model: str, url: str, *, concurrency: int, timeout: float, retries: int
    ) -> None:
        """Take what the user gave (for messages), the address, concurrent requests, seconds per try, and retries."""
        self.model, self.url = model, url
        self.traffic = Traffic()
        self._given = given
        self._concurrency, self._timeout, self._retries = concurrency, timeout, retries
        self._key = os.environ.get(KEY_VARIABLE, "").strip()
        if not (self._key.isascii() and self._key.isprintable()):
            raise UserError(f"{KEY_VARIABLE}: has characters that are not allowed in a key; set it again")
        check_proxies(given)
        self._open_at = 0.0  # monotonic time before which no request is sent
        self._lost = 0  # requests in a row that failed after all retries
        self._lost_calls = 0
        self._down: str | None = None
        self._refusal: str | None = None

    def check(self) -> None:
        """Request the list of models. Any answer is accepted, and none in time too: not every server has such a list.

        Raises:
            UserError: the endpoint cannot be reached or refuses the key.
        """
        _run(self._check())

    def ask(self, bodies: Sequence[Mapping[str, Any]]) -> list[Completion]:
        """Return one completion per request, in order. A body has all fields except the model's name.

        Raises:
            UserError: before any answer, the endpoint refuses the key, does not know the address or model, or rejects
                all of several requests.
        """
        return _run(self._ask_all(bodies)) if bodies else []

    async def _check(self) -> None:
        import openai

        try:
            async with self._client() as client, asyncio.timeout(CONNECT_S):
                await client.models.with_raw_response.list()
        except openai.APIStatusError as error:
            if error.status_code in (401, 403):
                raise UserError(f"{self._given}: {self._describe(error)}; set {KEY_VARIABLE}") from None
        except (openai.APITimeoutError, TimeoutError, AnswerBodyError):
            pass
        except openai.APIConnectionError as error:
            reason = self._excerpt(error.__cause__ or error)
            raise UserError(
                f"{self._given}: the endpoint cannot be reached ({reason}); start the server or correct the URL"
            ) from None

    async def _ask_all(self, bodies: Sequence[Mapping[str, Any]]) -> list[Completion]:
        answered = self.traffic.answers
        slots = asyncio.Semaphore(self._concurrency)
        found: list[Completion] = []
        async with self._client() as client:

            async def ask(body: Mapping[str, Any]) -> Completion:
                async with slots:
                    if self._refusal is not None:
                        return Completion(error=self._refusal)
                    if self._down is not None:
                        return _failed(
                            f"not sent, because the endpoint answered nothing before: {self._down}"
                        )
                    return await self._complete(client, body, self._retries)

            if self._lost:
                self._down = None
                found = [
                    await self._complete(
                        client, bodies[0], self._retries if self._lost_calls < PATIENCE else 0
                    )
                ]
                if self._lost:
                    self._down = found[0].error
            found += await asyncio.gather(*(ask(body) for body in bodies[len(found) :]))
        if (
            len(found) > 1
            and not self.traffic.answers
            and all(one.error and not one.transient for one in found)
        ):
            # A single request may be invalid by itself; if all are, the endpoint does not accept their form.
            self._refusal = found[0].error
        if self._refusal is not None:
            raise UserError(f"{self._given}: {self._refusal}")
        self._lost_calls = 0 if self.traffic.answers > answered else self._lost_calls + 1
        return found

    async def _complete(self, client: "AsyncOpenAI", body: Mapping[str, Any], retries: int) -> Completion:
        import openai

        fields = {**body}
        messages = fields.pop("messages")
        for tried in range(retries + 1):
            if tried:
                self.traffic.retries += 1
                await asyncio.sleep(
                    min(FIRST_WAIT_S * 2 ** (tried - 1), LONGEST_WAIT_S) * random.uniform(0.5, 1)
                )
            while (wait := self._open_at - time.monotonic()) > 0:
                await asyncio.sleep(wait * random.uniform(1, 1.1))
            self.traffic.requests += 1
            try:
                async with asyncio.timeout(self._timeout):
                    answer = await client.chat.completions.with_raw_response.create(
                        model=self.model, messages=messages, extra_body=fields
                    )
            except openai.APIStatusError as error:
                message = self._describe(error)
                if error.status_code in REDIRECTS:
                    target = error.response.headers.get("location", "")
                    message = (
                        f"the endpoint answers {error.status_code}, a redirect to {self._excerpt(target)!r}, "
                        "which is not followed; give the URL that it leads to"
                    )
                if error.status_code not in TRANSIENT_STATUSES and error.status_code < 500:
                    return self._refused(error.status_code, message)
                delay = retry_after(error.response.headers.get("retry-after"))
                if delay > LONGEST_RETRY_AFTER_S:
                    message += f" (and asks to wait {delay:.0f} s)"
                    break
                self._open_at = max(self._open_at, time.monotonic() + delay)
            except (openai.APITimeoutError, TimeoutError):
                message = f"the endpoint gave no answer within {self._timeout:g} s"
            except openai.APIConnectionError as error:
                message = f"the endpoint cannot be reached: {self._excerpt(error.__cause__ or error)}"
            except AnswerBodyError as error:
                self._lost, self._down = 0, None
                self.traffic.answers += 1
                self.traffic.unmetered += 1
                return _failed(f"the endpoint's answer {error}")
            else:
                return self._answered(answer.content)
            _log.info(
                "try failed", extra={"fields": {"try": tried + 1, "of": retries + 1, "reason": message}}
            )
        self._lost += 1
        if self._lost >= self._concurrency:
            self._down = message
        return _failed(message)

    def _answered(self, content: bytes) -> Completion:
        self._lost, self._down = 0, None
        self.traffic.answers += 1
        try:
            found = read_completion(content)
        except ValueError as error:
            self.traffic.unmetered += 1
            return _failed(f"the endpoint's answer is not a chat completion: {self._excerpt(error)}")
        if found.prompt_tokens is None or found.completion_tokens is None:
            self.traffic.unmetered += 1
        self.traffic.prompt_tokens += found.prompt_tokens or 0
        self.traffic.completion_tokens += found.completion_tokens or 0
        return replace(
            found,
            text=found.text and self._without_key(found.text),
            reasoning=found.reasoning and self._without_key(found.reasoning),
        )

    def _refused(self, status: int, message: str) -> Completion:
        self._lost, self._down = 0, None
        if status not in CONFIGURATION_STATUSES and status not in REDIRECTS:
            return Completion(error=message)
        if not self.traffic.answers:
            self._refusal = message
        # An endpoint that has answered before may accept key and model again later.
        return _failed(message)

    def _client(self) -> "AsyncOpenAI":
        from openai import AsyncOpenAI, DefaultAsyncHttpxClient, Timeout

        timeout = Timeout(self._timeout, connect=min(self._timeout, CONNECT_S))
        return AsyncOpenAI(
            base_url=self.url,
            api_key=self._key or NO_KEY,
            timeout=timeout,
            max_retries=0,
            http_client=DefaultAsyncHttpxClient(
                timeout=timeout,
                follow_redirects=False,
                headers={"Accept-Encoding": "identity"},
                event_hooks={"response": [bound_body]},
            ),
        )

    def _describe(self, error: "APIStatusError") -> str:
        return f"the endpoint answers {error.status_code}: {self._excerpt(error.response.text)}"

    def _excerpt(self, found: object) -> str:
        text = "".join(c if c.isprintable() else " " for c in self._without_key(clean(str(found))))
        return " ".join(text.split())[:EXCERPT] or type(found).__name__

    def _without_key(self, text: str) -> str:
        return text.replace(self._key, "***") if len(self._key) >= SHORTEST_SECRET else text


def read_completion(content: bytes) -> Completion:
    """Return the completion in the body of a response, whose fields may have any type.

    Raises:
        ValueError: the body is not a chat completion.
    """
    if not content.strip():
        raise ValueError("it is empty")
    try:
        body = parse_json(content.decode())
        choice = body["choices"][0]
        message = choice["message"]
        text, refusal = message.get("content"), message.get("refusal")
        reasoning = message.get("reasoning_content") or message.get("reasoning")
        finish, usage = choice.get("finish_reason"), body.get("usage")
    except (ValueError, LookupError, TypeError, AttributeError):
        raise ValueError(content[:EXCERPT].decode(errors="replace")) from None
    usage = usage if isinstance(usage, dict) else {}
    asked, written = _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))
    reasoning = reasoning if isinstance(reasoning, str) else None
    if text is None:
        # Reasoning alone is an empty answer. A refusal is an answer.
        text = "" if refusal is None and reasoning is not None else refusal
    if finish == "content_filter":
        found = Completion(error="the endpoint's content filter withheld the answer")
    elif not isinstance(text, str):
        found = _failed("the endpoint's answer holds no text")
    else:
        found = Completion(
            clean(text),
            None if reasoning is None else clean(reasoning),
            FINISH.get(finish, "unknown") if isinstance(finish, str) else "unknown",
        )
    return replace(found, prompt_tokens=asked, completion_tokens=written)


def retry_after(value: str | None) -> float:
    """Return the seconds of a `Retry-After` header: a number or a date (RFC 9110); 0 for anything else."""
    if value is None:
        return 0.0
    try:
        seconds = float(value)
    except ValueError:
        try:
            when = parsedate_to_datetime(value)
        except (ValueError, TypeError, OverflowError):
            return 0.0
        # A date without a time zone is UTC.
        try:
            seconds = (when.replace(tzinfo=when.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
        except OverflowError:  # an hour before the year 1, in another time zone
            return 0.0
    return seconds if seconds > 0 else 0.0


def _failed(message: str) -> Completion:
    return Completion(error=message, transient=True)


def _count(value: object) -> int | None:
    whole = isinstance(value, int) and not isinstance(value, bool)
    return value if whole and 0 <= value <= MAX_TOKENS else None  # type: ignore[operator, return-value]


def _run(work: Coroutine[Any, Any, T]) -> T:
    """Return the result of a coroutine, even if the caller runs in an event loop (a notebook)."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()
