"""From requests to the inputs of a transformers model, by its processor and chat template."""

from collections.abc import Sequence
from dataclasses import replace
from logging import getLogger
from typing import Any

from PIL import Image

from eidolon.models.backends.transformers_loading import quiet
from eidolon.models.backends.transformers_options import TransformersOptions
from eidolon.models.base.image_size import fit_pixels
from eidolon.models.base.model import Request
from eidolon.scorers.core.reasoning import ends_in_reasoning

_log = getLogger(__name__)


class InputBuilder:
    """Renders batches of requests into padded tensors, on the CPU."""

    def __init__(self, processor: Any, tokenizer: Any, config: Any, options: TransformersOptions) -> None:
        """Take the checkpoint's processor, tokenizer and model config."""
        self._processor, self._tokenizer, self._options = processor, tokenizer, options
        template = getattr(processor, "chat_template", None)
        self.has_template = bool(template)
        # Other templates would pass the switch on to the tokenizer.
        self.template_options: dict[str, Any] = (
            {"enable_thinking": options.thinking} if "enable_thinking" in str(template) else {}
        )
        self.opens_thinking = self.has_template and self._opens_thinking()
        """Whether each prompt ends in a thinking block, whatever `thinking` says."""
        if self.opens_thinking and not options.thinking:
            _log.warning(
                "the chat template of %s opens a thinking block although thinking is off; an answer that does not "
                "close it is empty, so give more --max-new-tokens",
                type(config).__name__,
            )
        self._image_marker = ""
        if not self.has_template:
            self._image_marker = self._find_image_marker(config)

    def with_images(self, requests: Sequence[Request]) -> Any:
        """Return the inputs of a batch: `input_ids` and `attention_mask` (batch, length), and those of the images."""
        requests = [replace(r, image=fit_pixels(r.image, self._options.max_pixels)) for r in requests]
        if self.has_template:
            return self._render([self._messages(request) for request in requests])
        prompts = [request.prompt for request in requests]
        return self._process(prompts, [request.image for request in requests])

    def without_images(self, requests: Sequence[Request]) -> Any:
        """Return the inputs of a batch as if the requests had no images."""
        if self.has_template:
            return self._render([self._messages(request, image=False) for request in requests])
        prompts = [request.prompt for request in requests]
        return self._tokenizer(prompts, padding=True, return_tensors="pt")

    def _render(self, conversations: list[list[dict[str, Any]]]) -> Any:
        return self._processor.apply_chat_template(
            conversations,
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            processor_kwargs={"padding": True},
            **self.template_options,
        )

    def _process(self, prompts: Sequence[str], images: Sequence[Image.Image]) -> Any:
        texts = [f"{self._image_marker}{prompt}" for prompt in prompts]
        with quiet():  # PaliGemma's processor logs at each call that it inserts the image tokens itself
            return self._processor(
                text=texts, images=[[image] for image in images], padding=True, return_tensors="pt"
            )

    def _messages(self, request: Request, image: bool = True) -> list[dict[str, Any]]:
        images = [{"type": "image", "image": request.image}] if image else []
        content = [*images, {"type": "text", "text": request.prompt}]
        system = [{"role": "system", "content": [{"type": "text", "text": self._options.system}]}]
        return [*(system if self._options.system else []), {"role": "user", "content": content}]

    def _opens_thinking(self) -> bool:
        request = Request("", "", Image.new("RGB", (32, 32)), "Describe.")
        text = self._processor.apply_chat_template(
            [self._messages(request)], add_generation_prompt=True, tokenize=False, **self.template_options
        )
        return ends_in_reasoning(text[0] if isinstance(text, list) else text)

    def _find_image_marker(self, config: Any) -> str:
        """Return the text that must precede a prompt of a model without a chat template.

        Some processors insert the image tokens themselves (BLIP-2), others require the marker in the text.
        """
        token = getattr(self._processor, "image_token", None)
        if token is None:
            return ""
        token = getattr(token, "content", token)
        image_id = getattr(config, "image_token_id", None)
        probe = Image.new("RGB", (32, 32))
        try:
            ids = self._process(["a"], [probe])["input_ids"]
        except ValueError:  # the number of image tokens in the text differs from the number of images
            return f"{token}\n"
        return "" if image_id is None or bool((ids == image_id).any()) else f"{token}\n"
