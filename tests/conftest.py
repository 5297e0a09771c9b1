"""Fixtures that any test may use."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

# What a test may take depends on what else the machine does; nothing here is tested for speed by hypothesis.
settings.register_profile("eidolon", deadline=None)
settings.load_profile("eidolon")

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
