"""A model in front of which earlier answers stand: it is loaded when something is asked for the first time."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from eidolon.benchmark.engine.cache import Called, ResponseCache, model_id, request_key
from eidolon.models.base.model import Decoding, Model, Request
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.types import Response

IDS = ("sample_id", "image_id", "generation")
"""What of a response belongs to the request, and not to the answer."""


def cached(
    called: Called,
    cache: ResponseCache,
    identify: Callable[[], dict[str, Any] | None],
    load: Callable[[], Model],
) -> Model:
    """Return a model that looks into the cache first, or the model itself where its answers may not be kept.

    It is loaded at once unless it was loaded before as it is now, by the same name: then nothing about it can be the
    user's mistake, and what it said of itself is known.
    """
    identity = identify()
    if identity is None or not cache.works:
        return load()
    return CachedModel(called, cache, identity, identify, load)


def uncached(model: Model) -> Model:
    """Return the model itself, loaded: for whoever wants to know how it answers now."""
    return model.loaded() if isinstance(model, CachedModel) else model


class CachedModel:
    """Answers what it can from the cache, and asks the model for the rest."""

    def __init__(
        self,
        called: Called,
        cache: ResponseCache,
        identity: Mapping[str, Any],
        identify: Callable[[], dict[str, Any] | None],
        load: Callable[[], Model],
    ) -> None:
        self._called, self._cache = called, cache
        self._identity, self._identify, self._load = identity, identify, load
        self._id = model_id(identity)
        self._inner: Model | None = None
        self._keeps = True
        self._hits = self._misses = 0
        self._new: dict[bytes, Response] = {}
        self._used: list[bytes] = []
        self._described = cache.description(self._id, called)
        if self._described is None:
            self.loaded()

    def describe(self) -> dict[str, Any]:
        """Return what the model says of itself, or said when it was loaded to give the answers that are kept."""
        if self._described is None:
            describe = getattr(self.loaded(), "describe", None)
            self._described = dict(describe()) if callable(describe) else {}
        return self._described

    def check_decoding(self, decoding: Decoding) -> None:
        """Let the model itself say whether it can decode so; all can plainly, so that one need not be loaded."""
        check = None if decoding.contrast is None else getattr(self.loaded(), "check_decoding", None)
        if callable(check):
            check(decoding)

    def usage(self) -> dict[str, int | float]:
        """Return what the requests to the model itself came to."""
        usage = getattr(self._inner, "usage", None)
        return usage() if callable(usage) else {}

    def find_batch_size(self, largest: Callable[[], Sequence[Request]]) -> int | None:
        """Ask the model, if it is loaded; to load it for that alone would cost more than it could save."""
        find = getattr(self._inner, "find_batch_size", None)
        return find(largest) if callable(find) else None

    def generate(self, requests: Sequence[Request]) -> Iterator[Response]:
        """Yield one response a request: those that are kept, with the ids of now, then the model's."""
        keys = [request_key(self._id, request) for request in requests] if self._keeps else []
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
            asked = missing.get((response.sample_id, response.generation))
            if asked and response.error is None and response.response is not None:
                self._new[asked] = response
            yield response

    def keep(self) -> dict[str, int]:
        """Keep the answers since the last call, which are safe in a run folder now; return hits and misses so far."""
        if self._keeps and (self._new or self._used):
            fields = {
                key: json.loads(response.model_dump_json(exclude={*IDS}))  # what a file would hold of it
                for key, response in self._new.items()
            }
            self._cache.store(self._id, fields, self._used)
        self._new, self._used = {}, []
        return {"hits": self._hits, "misses": self._misses}

    def loaded(self) -> Model:
        """Return the model itself, which is loaded at the first call."""
        if self._inner is None:
            self._inner = self._load()
            if self._identify() != self._identity:
                self._mistrust()
            elif self._described is None:
                self._cache.describe(self._id, self._called, self._identity, self.describe())
        return self._inner

    def _mistrust(self) -> None:
        """Do without the cache: what was loaded is not what was looked up."""
        if self._hits:
            raise UserError(
                f"--model {self._called.name}: was changed while the run went on; run the command again"
            )
        self._keeps = False
        self._described = None


def _restored(fields: Mapping[str, Any] | None, request: Request) -> Response | None:
    if fields is None:
        return None
    ids = {"sample_id": request.sample_id, "image_id": request.image_id, "generation": request.generation}
    try:
        return Response.model_validate({**fields, **ids})
    except ValidationError:  # written by a version whose responses had other fields
        return None
