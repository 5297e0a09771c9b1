"""Models with one planted fault each, which the parity checks and the doctor must find."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import torch
from PIL import Image

from eidolon.models.backends.transformers import TransformersModel
from eidolon.models.base.model import Request
from eidolon.scorers.core.types import Response


class IgnoresTheMask(TransformersModel):
    """Attends to padding."""

    def prepare(self, requests: Sequence[Request], *, images: bool = True) -> Any:
        inputs = super().prepare(requests, images=images)
        inputs["attention_mask"] = torch.ones_like(inputs["attention_mask"])
        return inputs


class SwapsPictures(TransformersModel):
    """Gives the images of a batch to the wrong prompts."""

    def prepare(self, requests: Sequence[Request], *, images: bool = True) -> Any:
        own = [request.image for request in requests]
        turned = [*own[1:], own[0]]
        swapped = [replace(r, image=i) for r, i in zip(requests, turned, strict=True)]
        return super().prepare(swapped, images=images)


class ReversesPictures(TransformersModel):
    """Reverses the images of a batch, so that two of three requests see a wrong one."""

    def prepare(self, requests: Sequence[Request], *, images: bool = True) -> Any:
        turned = [request.image for request in requests][::-1]
        swapped = [replace(r, image=i) for r, i in zip(requests, turned, strict=True)]
        return super().prepare(swapped, images=images)


class CountsPadding(TransformersModel):
    """Counts the positions of new tokens with padding, but those of the prompt without."""

    def __init__(self, name_or_path: str, /, **options: str) -> None:
        super().__init__(name_or_path, **options)

        def shift(_: Any, args: Any, kwargs: dict[str, Any]) -> Any:
            if kwargs["input_ids"].shape[1] == 1:
                length = kwargs["past_key_values"].get_seq_length()
                kwargs = kwargs | {"position_ids": torch.full_like(kwargs["input_ids"], length)}
            return args, kwargs

        self.model.register_forward_pre_hook(shift, with_kwargs=True)


class SaysFloat32(TransformersModel):
    """Always runs in bfloat16 and reports float32."""

    def __init__(self, name_or_path: str, /, **options: str) -> None:
        super().__init__(name_or_path, **options)
        self.model.to(torch.bfloat16)

    def prepare(self, requests: Sequence[Request], *, images: bool = True) -> Any:
        return super().prepare(requests, images=images).to(self.device, torch.bfloat16)


class Blind(TransformersModel):
    """Uses the same image for all requests."""

    def prepare(self, requests: Sequence[Request], *, images: bool = True) -> Any:
        blank = [replace(r, image=Image.new("RGB", (64, 64))) for r in requests]
        return super().prepare(blank, images=images)


class RemembersPictures(TransformersModel):
    """Uses for each id the first image of that id."""

    def __init__(self, name_or_path: str, /, **options: str) -> None:
        super().__init__(name_or_path, **options)
        self._seen: dict[str, Image.Image] = {}

    def prepare(self, requests: Sequence[Request], *, images: bool = True) -> Any:
        known = [replace(r, image=self._seen.setdefault(r.sample_id, r.image)) for r in requests]
        return super().prepare(known, images=images)


class KeepsState(TransformersModel):
    """Uses the first image of a batch in the next batch."""

    def __init__(self, name_or_path: str, /, **options: str) -> None:
        super().__init__(name_or_path, **options)
        self._left: Image.Image | None = None

    def generate(self, requests: Sequence[Request]) -> Iterable[Response]:
        first, self._left = self._left or requests[0].image, requests[0].image
        return super().generate([replace(requests[0], image=first), *requests[1:]])


class ForgetsTheLimit(TransformersModel):
    """Writes twice the limit of tokens."""

    def generate(self, requests: Sequence[Request]) -> Iterable[Response]:
        decoding = requests[0].decoding
        more = replace(decoding, max_new_tokens=2 * decoding.max_new_tokens)
        return super().generate([replace(r, decoding=replace(more, seed=r.decoding.seed)) for r in requests])


class IgnoresSeeds(TransformersModel):
    """Samples every request with the same seed."""

    def generate(self, requests: Sequence[Request]) -> Iterable[Response]:
        return super().generate([replace(r, decoding=replace(r.decoding, seed=5)) for r in requests])


class SeedsByPlace(TransformersModel):
    """Gives each row of a batch a seed by its index, as one stream for the whole batch would."""

    def generate(self, requests: Sequence[Request]) -> Iterable[Response]:
        first = requests[0].decoding.seed
        return super().generate(
            [replace(r, decoding=replace(r.decoding, seed=first + i)) for i, r in enumerate(requests)]
        )


class TextOnly:
    """Any of these as a user's own model: answers without tokens, counts or finish reasons."""

    def __init__(self, model: TransformersModel) -> None:
        self._model = model

    def generate(self, requests: Sequence[Request]) -> Iterable[Response]:
        for response in [*self._model.generate(requests)]:
            yield Response(
                sample_id=response.sample_id, image_id=response.image_id, response=response.response
            )
