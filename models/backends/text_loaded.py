"""A loaded language model of transformers: batches of prompts, greedy decoding, each prompt answered once.

While a piece of the prompts is answered, the next one is tokenised.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TYPE_CHECKING, TypeAlias

from eidolon.models.backends.text_loading import load_language_model
from eidolon.models.generation.generated_text import split_reasoning
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.language_model import Reply, YesNoOdds

if TYPE_CHECKING:
    import torch
    from transformers import GenerationConfig

    from eidolon.models.backends.text_prefixes import PrefixReader

KEPT_IDS = ("bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id")
"""The only fields that are taken from a model's own generation_config."""
PIECE = 2048
"""Prompts that are tokenised at a time."""
CPU_TOKENS = 2048
"""Tokens of a batch on a CPU. Larger batches leave its caches: T5 of the width 64 or 512 answered 15 % fewer prompts a
second with 4,096 or more."""
THINKING_MARKS = ("think", "reason", "channel")
"""Words in the chat template of a model that may think first: then its text does not start with its answer."""

Decided: TypeAlias = Callable[[str], bool]


class LoadedText:
    """The weights and the tokenizer of a language model, on their device."""

    def __init__(self, target: str, given: str, dtype: str, device: str, batch_size: int) -> None:
        from eidolon.models.backends.text_encoder import fuse, has_short_first_step
        from eidolon.models.base.devices import choose_device, choose_dtype

        self._given, self._batch_size = given, batch_size
        self.device = choose_device(device, "-J")
        self.tokenizer, self.model = load_language_model(target, given, choose_dtype(dtype, self.device))
        self.model = self.model.to(self.device).eval()
        self.encoder_decoder = bool(self.model.config.is_encoder_decoder)
        own = self.model.generation_config
        self._ids = {name: getattr(own, name, None) for name in KEPT_IDS}
        for name, value in (
            ("eos_token_id", self.tokenizer.eos_token_id),
            ("pad_token_id", _first(self.tokenizer.pad_token_id, self.tokenizer.eos_token_id)),
            ("decoder_start_token_id", getattr(self.model.config, "decoder_start_token_id", None)),
        ):
            if self._ids[name] is None:
                self._ids[name] = value
        # The other fields of the checkpoint's own generation_config must have no effect.
        self.model.generation_config = self._generation_config(1)
        self._template = self.tokenizer.chat_template
        # Other templates would not accept the switch.
        self._template_options = (
            {"enable_thinking": False} if "enable_thinking" in str(self._template) else {}
        )
        limit = getattr(self.model.config, "max_position_embeddings", None)
        self._limit: int | None = None if self.encoder_decoder else limit
        fuse(self.model)
        self._short_first_step = has_short_first_step(self.model)
        self._thinks = any(mark in str(self._template or "") for mark in THINKING_MARKS)
        self._prefixes: PrefixReader | None = None
        self._shares: bool | None = None

    def reply(self, prompts: Sequence[str], decided: Decided | None, max_new_tokens: int) -> list[Reply]:
        distinct = [*dict.fromkeys(prompts)]
        pieces = [distinct[start : start + PIECE] for start in range(0, len(distinct), PIECE)]
        replies: list[Reply] = []
        with ThreadPoolExecutor(1) as tokenising:
            waiting = tokenising.submit(self._tokenise, pieces[0])
            for number in range(len(pieces)):
                rows = waiting.result()
                if number + 1 < len(pieces):
                    waiting = tokenising.submit(self._tokenise, pieces[number + 1])
                replies += self._answer_rows(rows, None if self._thinks else decided, max_new_tokens)
        by_prompt = dict(zip(distinct, replies, strict=True))
        return [by_prompt[prompt] for prompt in prompts]

    def yes_no(self, prompts: Sequence[str]) -> list[YesNoOdds]:
        from eidolon.models.backends.text_odds import WordOdds

        distinct = [*dict.fromkeys(prompts)]
        odds = WordOdds(self.tokenizer, self._given)
        rows = self._tokenise(distinct)
        too_long = [self._too_long(row, 1) for row in rows]
        fitting = [i for i, error in enumerate(too_long) if error is None]
        if fitting and self._shares is None:
            self._shares = self._find_prefixes(rows[fitting[0]])
        if self._shares and self._prefixes is not None:
            values = dict(
                zip(fitting, self._prefixes.next_token_scores([rows[i] for i in fitting], odds), strict=True)
            )
        else:
            values = {}
            for batch in self._batches(rows, fitting):
                values.update(zip(batch, odds(self._first_logits([rows[i] for i in batch])), strict=True))
        found = {
            prompt: YesNoOdds(values[i]) if error is None else YesNoOdds(None, error.error)
            for i, (prompt, error) in enumerate(zip(distinct, too_long, strict=True))
        }
        return [found[prompt] for prompt in prompts]

    def _first_logits(self, rows: Sequence[Sequence[int]]) -> "torch.Tensor":
        """Return the logits of the first token of the replies, shape (batch, vocabulary)."""
        import torch

        ids, mask = self._padded(rows)
        settings = self._generation_config(1)
        settings.output_logits = settings.return_dict_in_generate = True
        try:
            with torch.inference_mode():
                output = self.model.generate(
                    input_ids=ids,
                    attention_mask=torch.ones_like(ids) if mask is None else mask,
                    generation_config=settings,
                )
        except torch.OutOfMemoryError as error:
            raise self._too_large(*ids.shape) from error
        logits: torch.Tensor = output.logits[0]
        return logits

    def _tokenise(self, prompts: Sequence[str]) -> list[list[int]]:
        rows: list[list[int]] = self.tokenizer(
            [self._text(prompt) for prompt in prompts],
            add_special_tokens=not self._template,
            verbose=False,
        )["input_ids"]
        return rows

    def _answer_rows(
        self, rows: Sequence[Sequence[int]], decided: Decided | None, max_new_tokens: int
    ) -> list[Reply]:
        """Return the replies to prompts as tokens, in order."""
        replies = [self._too_long(row, max_new_tokens) for row in rows]
        fitting = [i for i, reply in enumerate(replies) if reply is None]
        if fitting and self._shares is None:
            self._shares = self._find_prefixes(rows[fitting[0]])
        if self._shares:
            answers = self._generate_shared([rows[i] for i in fitting], decided, max_new_tokens)
            texts = dict(zip(fitting, answers, strict=True))
        else:
            texts = {}
            for batch in self._batches(rows, fitting):
                answers = self._generate([rows[i] for i in batch], decided, max_new_tokens)
                texts.update(zip(batch, answers, strict=True))
        for i, text in texts.items():
            replies[i] = Reply(split_reasoning(text).text if self._template else text)
        return [reply for reply in replies if reply is not None]

    def _batches(self, rows: Sequence[Sequence[int]], chosen: Sequence[int]) -> Iterator[list[int]]:
        """Yield the prompts of each batch. On a CPU they are equally long, so that there is no padding and no mask.

        The longest come first, so that lack of memory shows at once.
        """
        if self.device.type != "cpu":
            order = sorted(chosen, key=lambda i: -len(rows[i]))
            yield from (order[i : i + self._batch_size] for i in range(0, len(order), self._batch_size))
            return
        alike: dict[int, list[int]] = defaultdict(list)
        for i in chosen:
            alike[len(rows[i])].append(i)
        for length, members in sorted(alike.items(), reverse=True):
            size = max(1, min(self._batch_size, CPU_TOKENS // max(1, length)))
            yield from (members[i : i + size] for i in range(0, len(members), size))

    def _find_prefixes(self, row: Sequence[int]) -> bool:
        from eidolon.models.backends.text_prefixes import PrefixReader, can_share

        if self.encoder_decoder or not can_share(self.model, row):
            return False
        self._prefixes = PrefixReader(self.model, self._ends, self._batch_size)
        return True

    @property
    def _ends(self) -> list[int]:
        ends = self._ids["eos_token_id"]
        return [] if ends is None else [*ends] if isinstance(ends, (list, tuple)) else [ends]

    def _text(self, prompt: str) -> str:
        if not self._template:
            return prompt
        text: str = self.tokenizer.apply_chat_template(
            [{"role": "user", "content": prompt}],
            add_generation_prompt=True,
            tokenize=False,
            **self._template_options,
        )
        return text

    def _too_long(self, row: Sequence[int], max_new_tokens: int) -> Reply | None:
        if self._limit is None or len(row) + max_new_tokens <= self._limit:
            return None
        return Reply(
            None, f"a prompt of {len(row)} tokens is too long for the model, which reads {self._limit}"
        )

    def _generate_shared(
        self, rows: Sequence[Sequence[int]], decided: Decided | None, max_new_tokens: int
    ) -> list[str]:
        import torch

        assert self._prefixes is not None
        try:
            new = self._prefixes.answers(rows, max_new_tokens, self._of_tokens(decided))
        except torch.OutOfMemoryError as error:
            raise self._too_large(len(rows), max(map(len, rows), default=0)) from error
        texts: list[str] = self.tokenizer.batch_decode(new, skip_special_tokens=True)
        return texts

    def _generate(
        self, rows: Sequence[Sequence[int]], decided: Decided | None, max_new_tokens: int
    ) -> list[str]:
        import torch

        ids, mask = self._padded(rows)
        width = ids.shape[1]
        try:
            with torch.inference_mode():
                if self._short_first_step:
                    return self._generate_encoded(ids, mask, decided, max_new_tokens)
                sequences: torch.Tensor = self.model.generate(
                    input_ids=ids,
                    attention_mask=torch.ones_like(ids) if mask is None else mask,
                    generation_config=self._generation_config(max_new_tokens),
                )
        except torch.OutOfMemoryError as error:
            raise self._too_large(len(rows), width) from error
        skip = 1 if self.encoder_decoder else width
        texts: list[str] = self.tokenizer.batch_decode(sequences[:, skip:], skip_special_tokens=True)
        return texts

    def _padded(self, rows: Sequence[Sequence[int]]) -> "tuple[torch.Tensor, torch.Tensor | None]":
        """Return the tokens of a batch, (batch, width), and the mask of its padding; None without any."""
        import torch

        width = max(map(len, rows))
        filler = self._ids["pad_token_id"] or 0
        ids = torch.tensor(
            [self._pad(row, [filler] * (width - len(row))) for row in rows], device=self.device
        )
        if all(len(row) == width for row in rows):
            return ids, None
        ones = [self._pad([1] * len(row), [0] * (width - len(row))) for row in rows]
        return ids, torch.tensor(ones, device=self.device)

    def _generate_encoded(
        self,
        ids: "torch.Tensor",
        mask: "torch.Tensor | None",
        decided: Decided | None,
        max_new_tokens: int,
    ) -> list[str]:
        """Answer a batch of a T5: the encoder, then the first token alone, then the prompts that it leaves open."""
        import torch
        from transformers.modeling_outputs import BaseModelOutput

        from eidolon.models.backends.text_encoder import first_tokens

        encoded = self.model.encoder(input_ids=ids, attention_mask=mask).last_hidden_state
        new: list[list[int]] = [[] for _ in ids]
        going = [*range(len(ids))]
        if decided is not None:
            start = self._ids["decoder_start_token_id"] or 0
            new = [[token] for token in first_tokens(self.model, encoded, mask, start).tolist()]
            settled = self._of_tokens(decided)
            going = [i for i, tokens in enumerate(new) if tokens[0] not in self._ends and not settled(tokens)]
        if going:
            index = torch.tensor(going, device=encoded.device)
            sequences = self.model.generate(
                encoder_outputs=BaseModelOutput(last_hidden_state=encoded[index]),
                attention_mask=torch.ones_like(ids[index]) if mask is None else mask[index],
                generation_config=self._generation_config(max_new_tokens),
            )
            for i, tokens in zip(going, sequences[:, 1:].tolist(), strict=True):
                new[i] = tokens
        texts: list[str] = self.tokenizer.batch_decode(new, skip_special_tokens=True)
        return texts

    def _of_tokens(self, decided: Decided | None) -> Callable[[Sequence[int]], bool]:
        """Return the same condition on token ids."""
        if decided is None:
            return lambda _: False

        @cache
        def settled(tokens: tuple[int, ...]) -> bool:
            return decided(self.tokenizer.decode(list(tokens), skip_special_tokens=True))

        return lambda tokens: settled(tuple(tokens))

    def _too_large(self, prompts: int, width: int) -> UserError:
        return UserError(
            f"{self._given}: {prompts} prompts of {width} tokens do not fit into the memory of "
            f"{self.device}; give a smaller -J batch_size="
        )

    def _pad(self, row: Sequence[int], fill: Sequence[int]) -> list[int]:
        """Pad a causal model's prompt on the left, because its answer starts at the end of the prompt."""
        return [*row, *fill] if self.encoder_decoder else [*fill, *row]

    def _generation_config(self, max_new_tokens: int) -> "GenerationConfig":
        from transformers import GenerationConfig

        return GenerationConfig(
            max_new_tokens=max_new_tokens,
            do_sample=False,
            num_beams=1,
            repetition_penalty=1.0,
            use_cache=True,
            **{name: value for name, value in self._ids.items() if value is not None},
        )


def _first(value: int | None, other: int | list[int] | None) -> int | None:
    return value if value is not None else other[0] if isinstance(other, list) else other
