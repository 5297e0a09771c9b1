"""A vLLM engine in this process: quiet, without telemetry, and gone without a trace when it is closed."""

import logging
import os
import warnings
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from eidolon.scorers.core.distribution import install
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
"""What vLLM reads when it is imported; what the user has set stays."""
CPU_CACHE_VARIABLE = "VLLM_CPU_KVCACHE_SPACE"
EXCERPT = 400
"""Characters of vLLM's own messages that an error keeps."""

_open = 0
_closed: "list[LLM]" = []


class Engine:
    """One engine. Several may be open at once; they share process groups, so that all go when the last is closed."""

    def __init__(self, given: str, arguments: Callable[[], Mapping[str, Any]]) -> None:
        """Load a model; `arguments` returns those of `vllm.LLM`, and is called when vLLM may be imported.

        Raises:
            UserError: beginning with what the user gave: vLLM is not there, or cannot load the model.
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
        ) as error:  # vLLM reports a wrong checkpoint, or one too large, in any of a dozen classes
            _release(None, restore)
            raise UserError(f"{given}: vLLM cannot load it: {reason(error)}") from error
        # Engines hold memory of the device, and worker processes where there are several: neither may outlive this.
        self._finalizer = weakref.finalize(self, _release, self.llm, restore)

    def close(self) -> None:
        """Give back memory, processes and threads; a second time does nothing."""
        self._finalizer()


def import_vllm(given: str) -> None:
    """Import vLLM as it is to be used here; a UserError begins with what the user gave."""
    if find_spec("vllm") is None:
        raise UserError(f"{given}: needs the package vllm; {install('vllm')}")
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        with quiet():
            import vllm  # noqa: F401
        # An engine that dies would show all that it had in hand, in thousands of lines.
        logging.getLogger("vllm.logging_utils.dump_input").setLevel(logging.CRITICAL)
    except (ImportError, OSError) as error:
        raise UserError(
            f"{given}: the installed vllm cannot be imported ({reason(error)}); install the build for this "
            "machine, with the torch that it names"
        ) from error


def on_cpu() -> bool:
    """Tell whether the installed vLLM is built for CPUs."""
    from vllm.platforms import current_platform

    return bool(current_platform.is_cpu())


def reason(error: BaseException) -> str:
    """Return an exception as one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:EXCERPT] if text else type(error).__name__


def _restorer(torch: Any) -> Callable[[], None]:
    """Return what undoes vLLM's changes to this process: on a CPU it takes `set_num_threads` away from torch."""
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
        if not _closed:  # one that could not be loaded has left things half done
            cleanup_dist_env_and_memory()
        while _closed:
            going = _closed.pop()
            going.renderer.shutdown()
            going.llm_engine.engine_core.shutdown()
            del going
    finally:
        restore()


@contextmanager
def quiet() -> Iterator[None]:
    """Keep what libraries say on loading from the terminal; what matters of it is an exception."""
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
