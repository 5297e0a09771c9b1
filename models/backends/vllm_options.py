"""The `-M key=value` options of the vLLM backend, and the engine arguments that they become."""

import json
import os
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from eidolon.models.backends.vllm_engine import CPU_CACHE_VARIABLE, on_cpu
from eidolon.scorers.core.errors import UserError

CPU_CACHE_GIB = 2.0
"""Cache of keys and values on a CPU, unless the user sets it; vLLM would take nearly all memory of the machine."""
PROCESSOR_CACHE_GIB = 1.0
"""Cache of processed images, for several questions about one image; vLLM's own default is 4."""


def _parse_object(value: object) -> object:
    try:
        return json.loads(value) if isinstance(value, str) else value
    except ValueError:
        raise ValueError('must be a JSON object, for example {"num_crops": 4}') from None


JsonObject = Annotated[dict[str, Any], BeforeValidator(_parse_object)]


class VllmOptions(BaseModel):
    """The options of the vLLM backend."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """`auto`: float32 on a CPU; elsewhere bfloat16 if the device supports it, else float16."""
    revision: str = "main"
    """Branch, tag or commit of a Hub repository."""
    trust_remote_code: bool = False
    """Run code from the checkpoint."""
    max_model_len: int | None = Field(default=None, ge=1)
    """Most tokens of prompt and answer together; None is the checkpoint's limit."""
    tensor_parallel_size: int = Field(default=1, ge=1)
    """Number of GPUs that share the model."""
    gpu_memory_utilization: float | None = Field(default=None, gt=0, le=1)
    """Fraction of a GPU's memory that vLLM takes; None is vLLM's default."""
    kv_cache_gib: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Memory for keys and values in GiB, instead of what is left of that fraction."""
    max_num_seqs: int | None = Field(default=None, ge=1)
    """Most requests that are computed at once; None is vLLM's default."""
    enforce_eager: bool | None = None
    """Neither compilation nor CUDA graphs; None: on a CPU only."""
    prefix_caching: bool = False
    """Compute the common start of prompts once. Not for hybrid models: see docs/reference/backends/vllm.md."""
    quantization: str | None = None
    """A quantization method of vLLM."""
    load_format: str = "safetensors"
    """Format of the weights. Other formats of vLLM may run code from the checkpoint."""
    attention: str | None = None
    """An attention backend of vLLM; None is vLLM's default."""
    mm_processor_kwargs: JsonObject = {}
    """Settings of the model's image processor, as a JSON object."""
    engine: JsonObject = {}
    """Further arguments of `vllm.LLM`, as a JSON object."""
    system: str | None = None
    """A system message."""
    thinking: bool = False
    """Turn on the thinking mode of models that have one. The thinking block is recorded apart from the answer."""
    logprobs: bool = False
    """Record the log-probability of every generated token."""

    def engine_arguments(self, name: str) -> dict[str, Any]:
        """Return the keyword arguments of `vllm.LLM` for a checkpoint by path or hub id. Imports vLLM.

        Raises:
            UserError: `engine` sets an argument that other options set.
        """
        own: dict[str, Any] = {
            "model": name,
            "runner": "generate",
            "dtype": _dtype(self.dtype),
            "revision": self.revision,
            "tokenizer_revision": self.revision,
            "trust_remote_code": self.trust_remote_code,
            "tensor_parallel_size": self.tensor_parallel_size,
            "enforce_eager": on_cpu() if self.enforce_eager is None else self.enforce_eager,
            "enable_prefix_caching": self.prefix_caching,
            "load_format": self.load_format,
            "limit_mm_per_prompt": {"image": 1},
            "mm_processor_cache_gb": PROCESSOR_CACHE_GIB,
            "generation_config": "vllm",  # nothing from the checkpoint's
            "seed": 0,
            "disable_log_stats": True,
            "use_tqdm_on_load": False,
        }
        cache_gib = self.kv_cache_gib
        if cache_gib is None and on_cpu() and CPU_CACHE_VARIABLE not in os.environ:
            cache_gib = CPU_CACHE_GIB
        given = {
            "max_model_len": self.max_model_len,
            "gpu_memory_utilization": self.gpu_memory_utilization,
            "kv_cache_memory_bytes": None if cache_gib is None else int(cache_gib * 2**30),
            "max_num_seqs": self.max_num_seqs,
            # A prompt in two parts rewinds its random stream by a step, which a CPU's generator cannot do.
            "enable_chunked_prefill": False if on_cpu() else None,
            "quantization": self.quantization,
            "attention_config": {"backend": self.attention} if self.attention else None,
            "mm_processor_kwargs": self.mm_processor_kwargs or None,
        }
        for argument in self.engine:
            if argument in own or argument in given:
                raise UserError(f"-M engine: the argument {argument!r} is set by other options")
        return {
            **own,
            **{key: value for key, value in given.items() if value is not None},
            **self.engine,
        }


def _dtype(name: str) -> str:
    """Return the named precision; `auto` is float32 on a CPU, elsewhere bfloat16 or, if unsupported, float16."""
    import torch
    from vllm.platforms import current_platform

    if name != "auto":
        return name
    if on_cpu():
        return "float32"
    return "bfloat16" if torch.bfloat16 in current_platform.supported_dtypes else "float16"
