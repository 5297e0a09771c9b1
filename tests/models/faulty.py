"""Models with one planted fault each: what the parity checks and the doctor are there to find."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import torch
from PIL import Image

from eidolon.models.backends.transformers import TransformersModel
from eidolon.models.base.model import Request
from eidolon.scorers.core.types import Response


class IgnoresTheMask(TransformersModel):
    """Attends to padding as if it were text."""

    def prepare(self, requests: Sequence[Request], *, images: bool = True) -> Any:
        inputs = super().prepare(requests)
        inputs["attention_mask"] = torch.ones_like(inputs["attention_mask"])
        return inputs


class SwapsPictures(TransformersModel):
    """Hands the pictures of a batch to the wrong prompts."""

    def prepare(self, requests: Sequence[Request], *, images: bool = True) -> Any:
        images = [request.image for request in requests]
        turned = [*images[1:], images[0]]
        return super().prepare([replace(r, image=i) for r, i in zip(requests, turned, strict=True)])


class ReversesPictures(TransformersModel):
    """Puts the pictures of a batch the other way round, so that two of three requests see a wrong one."""

    def prepare(self, requests: Sequence[Request], *, images: bool = True) -> Any:
        images = [request.image for request in requests][::-1]
        return super().prepare([replace(r, image=i) for r, i in zip(requests, images, strict=True)])


class CountsPadding(TransformersModel):
    """Numbers new tokens from the padded width, while the prompt's own numbers leave padding out."""

    def __init__(self, name_or_path: str, /, **options: str) -> None:
        super().__init__(name_or_path, **options)

        def shift(_: Any, args: Any, kwargs: dict[str, Any]) -> Any:
            if kwargs["input_ids"].shape[1] == 1:
                length = kwargs["past_key_values"].get_seq_length()
                kwargs = kwargs | {"position_ids": torch.full_like(kwargs["input_ids"], length)}
            return args, kwargs

        self.model.register_forward_pre_hook(shift, with_kwargs=True)


class SaysFloat32(TransformersModel):
    """Runs in bfloat16, whatever it was told, and says float32."""

    def __init__(self, name_or_path: str, /, **options: str) -> None:
        super().__init__(name_or_path, **options)
        self.model.to(torch.bfloat16)

    def prepare(self, requests: Sequence[Request], *, images: bool = True) -> Any:
        return super().prepare(requests).to(self.device, torch.bfloat16)


class Blind(TransformersModel):
    """Shows the same picture for all."""

    def prepare(self, requests: Sequence[Request], *, images: bool = True) -> Any:
        return super().prepare([replace(r, image=Image.new("RGB", (64, 64))) for r in requests])


class RemembersPictures(TransformersModel):
    """Shows for each id the picture that it saw first under it."""

    def __init__(self, name_or_path: str, /, **options: str) -> None:
        super().__init__(name_or_path, **options)
        self._seen: dict[str, Image.Image] = {}

    def prepare(self, requests: Sequence[Request], *, images: bool = True) -> Any:
        return super().prepare(
            [replace(r, image=self._seen.setdefault(r.sample_id, r.image)) for r in requests]
        )


class KeepsState(TransformersModel):
    """Begins each batch with what the last one left: its first picture."""

    def __init__(self, name_or_path: str, /, **options: str) -> None:
        super().__init__(name_or_path, **options)
        self._left: Image.Image | None = None

    def generate(self, requests: Sequence[Request]) -> Iterable[Response]:
        first, self._left = self._left or requests[0].image, requests[0].image
        return super().generate([replace(requests[0], image=first), *requests[1:]])


class ForgetsTheLimit(TransformersModel):
    """Writes twice as much as it may."""

    def generate(self, requests: Sequence[Request]) -> Iterable[Response]:
        decoding = requests[0].decoding
        more = replace(decoding, max_new_tokens=2 * decoding.max_new_tokens)
        return super().generate([replace(r, decoding=replace(more, seed=r.decoding.seed)) for r in requests])


class IgnoresSeeds(TransformersModel):
    """Samples every request from the same numbers."""

    def generate(self, requests: Sequence[Request]) -> Iterable[Response]:
        return super().generate([replace(r, decoding=replace(r.decoding, seed=5)) for r in requests])


class SeedsByPlace(TransformersModel):
    """Gives each row of a batch a seed by its place, as one stream for the whole batch would."""

    def generate(self, requests: Sequence[Request]) -> Iterable[Response]:
        first = requests[0].decoding.seed
        return super().generate(
            [replace(r, decoding=replace(r.decoding, seed=first + i)) for i, r in enumerate(requests)]
        )


class TextOnly:
    """Any of these as a model of the user's own: answers without tokens, counts or reasons."""

    def __init__(self, model: TransformersModel) -> None:
        self._model = model

    def generate(self, requests: Sequence[Request]) -> Iterable[Response]:
        for response in [*self._model.generate(requests)]:
            yield Response(
                sample_id=response.sample_id, image_id=response.image_id, response=response.response
            )
