"""A model behind the response cache. It is loaded only when the cache lacks a response."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from eidolon.benchmark.engine.cache import ResponseCache
from eidolon.benchmark.engine.cache_file import ModelName
from eidolon.benchmark.engine.cache_keys import model_id, request_key
from eidolon.models.base.model import (
    Decoding,
    DecodingCheckedModel,
    DescribedModel,
    MeteredModel,
    Model,
    Request,
    SizingModel,
)
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.types import Response

IDS = ("sample_id", "image_id", "generation")
"""The fields of a response that belong to the request, so that the cache does not store them."""


def cached(
    name: ModelName,
    cache: ResponseCache,
    identify: Callable[[], dict[str, Any] | None],
    load: Callable[[], Model],
) -> Model:
    """Return a model behind the cache, or the loaded model itself if its responses may not be stored.

    `identify` returns the model's identity, None if it is unknown. The model is loaded at once unless the cache has
    its description: then the same model was loaded by this name before, so that loading it again cannot fail by a
    mistake of the user's.
    """
    identity = identify()
    if identity is None or not cache.works:
        return load()
    return CachedModel(name, cache, identity, identify, load)


def uncached(model: Model) -> Model:
    """Return the model itself, loaded, without a cache in front of it."""
    return model.loaded() if isinstance(model, CachedModel) else model


class CachedModel:
    """Answers from the cache where it can, and asks the model for the rest."""

    def __init__(
        self,
        name: ModelName,
        cache: ResponseCache,
        identity: Mapping[str, Any],
        identify: Callable[[], dict[str, Any] | None],
        load: Callable[[], Model],
    ) -> None:
        self._name, self._cache = name, cache
        self._identity, self._identify, self._load = identity, identify, load
        self._id = model_id(identity)
        self._inner: Model | None = None
        self._stores = True
        self._hits = self._misses = 0
        self._new: dict[bytes, Response] = {}
        self._used: list[bytes] = []
        self._described = cache.description(self._id, name)
        if self._described is None:
            self.loaded()

    def describe(self) -> dict[str, Any]:
        """Return the model's description, from the cache if it is stored there."""
        if self._described is None:
            model = self.loaded()
            self._described = dict(model.describe()) if isinstance(model, DescribedModel) else {}
        return self._described

    def check_decoding(self, decoding: Decoding) -> None:
        """Check a decoding. Every model supports the plain one, so that none is loaded for that.

        Raises:
            UserError: the model does not support the decoding.
        """
        if decoding.contrast is not None and isinstance(model := self.loaded(), DecodingCheckedModel):
            model.check_decoding(decoding)

    def usage(self) -> dict[str, int | float]:
        """Return what the requests to the model itself have used."""
        return self._inner.usage() if isinstance(self._inner, MeteredModel) else {}

    def find_batch_size(self, largest: Callable[[], Sequence[Request]]) -> int | None:
        """Return the batch size that the model chooses, None if it is not loaded.

        Loading it for that alone would cost more than it saves.
        """
        return self._inner.find_batch_size(largest) if isinstance(self._inner, SizingModel) else None

    def generate(self, requests: Sequence[Request]) -> Iterator[Response]:
        """Yield one response per request: first those in the cache, then the model's."""
        keys = [request_key(self._id, request) for request in requests] if self._stores else []
        found = self._cache.find(keys) if keys else {}
        missing: dict[tuple[str, int], bytes] = {}
        left = []
        for key, request in zip(keys or [b""] * len(requests), requests, strict=True):
            response = _restored(found.get(key), request)
            if response is None:
                missing[request.sample_id, request.generation] = key
                left.append(request)
            else:
                self._hits += 1
                self._used.append(key)
                yield response
        if not left:
            return
        self._misses += len(left)
        for response in self.loaded().generate(left):
            new_key = missing.get((response.sample_id, response.generation))
            if new_key and response.error is None and response.response is not None:
                self._new[new_key] = response
            yield response

    def keep(self) -> dict[str, int]:
        """Store the responses since the last call, and return hits and misses so far.

        It is called when they are on the disk in a run folder.
        """
        if self._stores and (self._new or self._used):
            # Through JSON, so that the cache holds what the run's file does.
            fields = {
                key: json.loads(response.model_dump_json(exclude={*IDS}))
                for key, response in self._new.items()
            }
            self._cache.store(self._id, fields, self._used)
        self._new, self._used = {}, []
        return {"hits": self._hits, "misses": self._misses}

    def loaded(self) -> Model:
        """Return the model itself. It is loaded at the first call."""
        if self._inner is None:
            self._inner = self._load()
            if self._identify() != self._identity:
                self._stop_storing()
            elif self._described is None:
                self._cache.describe(self._id, self._name, self._identity, self.describe())
        return self._inner

    def _stop_storing(self) -> None:
        """Continue without the cache: the loaded model is not the one that was looked up."""
        if self._hits:
            raise UserError(f"--model {self._name.name}: was changed during the run; run the command again")
        self._stores = False
        self._described = None


def _restored(fields: Mapping[str, Any] | None, request: Request) -> Response | None:
    if fields is None:
        return None
    ids = {"sample_id": request.sample_id, "image_id": request.image_id, "generation": request.generation}
    try:
        return Response.model_validate({**fields, **ids})
    except ValidationError:  # stored by a version with other fields
        return None
