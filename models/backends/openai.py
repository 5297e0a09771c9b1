"""A VL model behind an OpenAI-compatible chat endpoint. Images are data URIs; each request has every setting."""

import base64
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

from PIL import Image
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from eidolon.models.backends.endpoint import Completion, Endpoint
from eidolon.models.backends.endpoint_address import KEY_VARIABLE, check_secrets, parse_address
from eidolon.models.base.backend import BackendTraits, FileDigest
from eidolon.models.base.identity import versions
from eidolon.models.base.model import Decoding, Request
from eidolon.models.base.options import validate_options
from eidolon.models.generation.generated_text import split_reasoning
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.types import Response

JPEG_QUALITY = 95
LONGEST_TOKEN = 128
"""Characters of the longest tokens in use (runs of spaces and dashes). An answer longer than this times the limit on
new tokens ignored the limit."""
REQUEST_FIELDS = (
    "model",
    "messages",
    "temperature",
    "top_p",
    "max_tokens",
    "max_completion_tokens",
    "seed",
    "n",
    "stream",
)
"""Fields of a request that the option `extra` must not set."""


def _parse_extra(value: object) -> object:
    try:
        return json.loads(value) if isinstance(value, str) else value
    except ValueError:
        raise ValueError('must be a JSON object, for example {"top_k": -1}') from None


class OpenAIOptions(BaseModel):
    """The `-M key=value` options of this backend. The last five (`transport_options`) do not change a request."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    image_format: Literal["png", "jpeg"] = "png"
    """`png` loses nothing; `jpeg` is smaller, at quality 95 without chroma subsampling."""
    detail: Literal["auto", "low", "high"] | None = None
    """Image resolution that the service uses, if it supports the field."""
    system: str | None = None
    """A system message."""
    revision: str | None = Field(default=None, min_length=1)
    """Your name for the version of the served model. With it, answers are cached."""
    limit_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    """The field for the limit on new tokens; some services accept the longer name only."""
    extra: Annotated[dict[str, Any], BeforeValidator(_parse_extra)] = {}
    """Further fields of the request, as a JSON object, such as settings that a server takes from the model's own."""
    concurrency: int = Field(default=8, ge=1)
    """Concurrent requests; at most a batch."""
    timeout: float = Field(default=180.0, gt=0, allow_inf_nan=False)
    """Seconds per try."""
    retries: int = Field(default=5, ge=0)
    """Further tries after lost connections, time-outs, 408, 429 and 5xx."""
    price_in: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    """Price of a million prompt tokens, in any currency."""
    price_out: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    """Price of a million answer tokens, in the same currency."""


class OpenAIModel:
    """A model behind OpenAI's chat API: `openai/MODEL@URL`.

    Each answer depends on its own request only, so a failed request can be sent again alone.
    """

    traits: ClassVar[BackendTraits] = BackendTraits(
        transport_options=("concurrency", "timeout", "retries", "price_in", "price_out"),
        one_process="its server does the work, and -M concurrency=N sends it more requests at once",
    )

    @classmethod
    def resolve(cls, target: str, given: str) -> str:
        """Return the target.

        Raises:
            UserError: it is not `MODEL@URL`.
        """
        parse_address("--model ", f"openai/{target}", target)
        return target

    @classmethod
    def check_options(cls, options: Mapping[str, str]) -> None:
        """Check the options, before anything of them is written.

        Raises:
            UserError: one is unknown, has a wrong value, or holds a key.
        """
        for name in options:
            if "key" in name.lower():
                raise UserError(f"-M {name}: set the key in the environment variable {KEY_VARIABLE}")
        found = validate_options(OpenAIOptions, options)
        for name in REQUEST_FIELDS:
            if name in found.extra:
                raise UserError(f"-M extra: the field {name!r} is set by flags and other options")
        check_secrets("-M", found.model_dump())

    def __init__(self, target: str, /, **options: str) -> None:
        """Check the options and contact the endpoint.

        Raises:
            UserError: an unknown or ill-typed option, a wrong address, or an endpoint that cannot be reached or
                refuses the key.
        """
        given = f"openai/{target}"
        model, url = parse_address("--model ", given, target)
        self.check_options(options)
        self.options = validate_options(OpenAIOptions, options)
        self._endpoint = Endpoint(
            f"--model {given}",
            model,
            url,
            concurrency=self.options.concurrency,
            timeout=self.options.timeout,
            retries=self.options.retries,
        )
        self._endpoint.check()

    @classmethod
    def identity(cls, target: str, options: Mapping[str, str], digest: FileDigest) -> dict[str, Any] | None:
        """Return model, address and options; None without `revision`, because a server does not name its weights."""
        read = validate_options(OpenAIOptions, options)
        if read.revision is None:
            return None
        model, url = parse_address("--model ", f"openai/{target}", target)
        asked = read.model_dump(mode="json", exclude={*cls.traits.transport_options})
        # The bytes of a JPEG depend on Pillow's version.
        return {"model": model, "url": url, "options": asked, "versions": versions(("pillow",))}

    def describe(self) -> dict[str, Any]:
        """Return what determines the responses beside the requests, as far as it is known here."""
        jpeg = self.options.image_format == "jpeg"
        return {
            "backend": "openai",
            "name": self._endpoint.model,
            "url": self._endpoint.url,
            "image_encoding": f"jpeg(quality={JPEG_QUALITY},4:4:4)" if jpeg else "png",
            "detail": self.options.detail,
            "system": self.options.system,
            **({} if self.options.revision is None else {"revision": self.options.revision}),
            "limit_field": self.options.limit_field,
            "extra": self.options.extra,
        }

    def usage(self) -> dict[str, int | float]:
        """Return the totals of all requests so far, failed ones included, and their cost if prices are given."""
        traffic = self._endpoint.traffic
        counts: dict[str, int | float] = {**traffic.as_dict()}
        prices = (self.options.price_in, self.options.price_out)
        if prices != (None, None):
            per_token = [(price or 0.0) / 1e6 for price in prices]
            counts["cost"] = traffic.prompt_tokens * per_token[0] + traffic.completion_tokens * per_token[1]
        return counts

    def generate(self, requests: Sequence[Request]) -> Iterable[Response]:
        """Yield one response per request, in order. Up to `concurrency` requests are sent at once."""
        completions = self._endpoint.ask([self._body(request) for request in requests])
        for request, completion in zip(requests, completions, strict=True):
            yield _response(request, completion)

    def _body(self, request: Request) -> dict[str, Any]:
        image: dict[str, Any] = {"url": data_uri(request.image, self.options.image_format)}
        if self.options.detail is not None:
            image["detail"] = self.options.detail
        content = [{"type": "image_url", "image_url": image}, {"type": "text", "text": request.prompt}]
        system = [{"role": "system", "content": self.options.system}] if self.options.system else []
        return {
            "messages": [*system, {"role": "user", "content": content}],
            "temperature": request.decoding.temperature,
            "top_p": request.decoding.top_p,
            self.options.limit_field: request.decoding.max_new_tokens,
            "seed": request.decoding.seed,
            **self.options.extra,
        }


def data_uri(image: Image.Image, image_format: Literal["png", "jpeg"]) -> str:
    """Return an image's pixels as a data URI, without metadata such as colour profile and rotation."""
    plain = image.convert("RGB")
    plain.info = {}
    stream = io.BytesIO()
    if image_format == "png":
        plain.save(stream, "PNG")
    else:
        plain.save(stream, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    return f"data:image/{image_format};base64,{base64.b64encode(stream.getvalue()).decode()}"


def _response(request: Request, completion: Completion) -> Response:
    completion = _within_limit(completion, request.decoding)
    answer = None if completion.text is None else split_reasoning(completion.text)
    return Response(
        sample_id=request.sample_id,
        image_id=request.image_id,
        response=None if answer is None else answer.text,
        generation=request.generation,
        prompt=request.prompt,
        reasoning=completion.reasoning or (answer.reasoning if answer else None),
        finish_reason="error" if answer is None else completion.finish_reason,
        prompt_tokens=completion.prompt_tokens,
        completion_tokens=completion.completion_tokens,
        error=completion.error,
        transient=completion.transient,
    )


def _within_limit(completion: Completion, decoding: Decoding) -> Completion:
    length = len(completion.text or "")
    if length <= LONGEST_TOKEN * decoding.max_new_tokens:
        return completion
    return Completion(
        prompt_tokens=completion.prompt_tokens,
        completion_tokens=completion.completion_tokens,
        error=f"the endpoint's answer holds {length} characters, more than {decoding.max_new_tokens} tokens can",
        transient=True,
    )
