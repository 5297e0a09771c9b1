"""Fixtures that any test may use."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

from tests import fault_table
from tests.fault_table import faults as faults  # a fixture for every test

# What a test may take depends on what else the machine does; nothing here is tested for speed by hypothesis.
settings.register_profile("eidolon", deadline=None)
settings.load_profile("eidolon")


def pytest_addoption(parser: pytest.Parser) -> None:
    fault_table.add_option(parser)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    fault_table.show(terminalreporter, config)


REFERENCE_VARIABLE = "EIDOLON_REFERENCE_DATA"


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
    """Two tiny T5 checkpoints by name, that answer yes and no at random; nobody may write to them."""
    from tests.language_models import save_t5

    folder = tmp_path_factory.mktemp("judges")
    sizes = {"tiny-one": 32, "tiny-two": 48}
    for seed, (name, width) in enumerate(sizes.items()):
        (folder / name).mkdir()
        save_t5(folder / name, width=width, seed=seed)
    return {name: folder / name for name in sizes}
