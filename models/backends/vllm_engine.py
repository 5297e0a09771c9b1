"""A vLLM engine in this process: quiet, without telemetry; closing it frees all of its resources."""

import logging
import os
import warnings
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from eidolon.scorers.core.distribution import require_packages
from eidolon.scorers.core.errors import UserError

if TYPE_CHECKING:
    from vllm import LLM

ENVIRONMENT = {
    # The scheduler's order is then fixed, and no process is left behind when this one is killed.
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "VLLM_LOGGING_LEVEL": "ERROR",
    "TORCH_CPP_LOG_LEVEL": "ERROR",
}
"""Environment variables that vLLM reads when it is imported. Variables that the user has set are kept."""
CPU_CACHE_VARIABLE = "VLLM_CPU_KVCACHE_SPACE"
EXCERPT = 400
"""Characters of vLLM's own messages that an error keeps."""

_open = 0
_closed: "list[LLM]" = []


class Engine:
    """One engine. Several may be open at once; they share process groups, so all are freed when the last is closed."""

    def __init__(self, given: str, arguments: Callable[[], Mapping[str, Any]]) -> None:
        """Load a model. `arguments` returns the arguments of `vllm.LLM`; it is called after vLLM is imported.

        `given` is what the user wrote, to start messages with.

        Raises:
            UserError: vLLM is not installed, or cannot load the model.
        """
        import_vllm(given)
        import torch
        from vllm import LLM

        global _open
        restore = _restorer(torch)
        _open += 1
        try:
            with quiet():
                self.llm: LLM = LLM(**arguments())
        except UserError:
            _release(None, restore)
            raise
        except (
            Exception
        ) as error:  # vLLM reports a wrong or too large checkpoint by a dozen exception classes
            _release(None, restore)
            raise UserError(f"{given}: vLLM cannot load it: {reason(error)}") from error
        # The engine holds device memory and perhaps worker processes; both are freed with this object.
        self._finalizer = weakref.finalize(self, _release, self.llm, restore)

    def close(self) -> None:
        """Free memory, processes and threads. A second call has no effect."""
        self._finalizer()


def import_vllm(given: str) -> None:
    """Import vLLM with our environment variables. `given` starts the message of an error.

    Raises:
        UserError: vLLM is not installed or cannot be imported.
    """
    require_packages(given, "vllm")
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        with quiet():
            import vllm  # noqa: F401
        # A crash would log all requests of the engine, in thousands of lines.
        logging.getLogger("vllm.logging_utils.dump_input").setLevel(logging.CRITICAL)
    except (ImportError, OSError) as error:
        raise UserError(
            f"{given}: the installed vllm cannot be imported ({reason(error)}); install the build for this "
            "machine, with the torch version that it requires"
        ) from error


def on_cpu() -> bool:
    """Return whether the installed vLLM is built for CPUs."""
    from vllm.platforms import current_platform

    return bool(current_platform.is_cpu())


def reason(error: BaseException) -> str:
    """Return an exception as one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:EXCERPT] if text else type(error).__name__


def _restorer(torch: Any) -> Callable[[], None]:
    """Return a function that undoes vLLM's changes to torch: on a CPU it replaces `set_num_threads`."""
    set_threads, threads = torch.set_num_threads, torch.get_num_threads()

    def restore() -> None:
        torch.set_num_threads = set_threads
        if torch.get_num_threads() != threads:
            set_threads(threads)

    return restore


def _release(llm: "LLM | None", restore: Callable[[], None]) -> None:
    from vllm.distributed.parallel_state import cleanup_dist_env_and_memory

    global _open
    _open -= 1
    if llm is not None:
        _closed.append(llm)
        del llm
    if _open:
        return
    try:
        if not _closed:  # a failed load leaves process groups behind
            cleanup_dist_env_and_memory()
        while _closed:
            engine = _closed.pop()
            engine.renderer.shutdown()
            engine.llm_engine.engine_core.shutdown()
            del engine
    finally:
        restore()


@contextmanager
def quiet() -> Iterator[None]:
    """Suppress log messages and warnings of libraries while they load; real problems are exceptions."""
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
