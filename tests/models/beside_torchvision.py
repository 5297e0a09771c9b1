"""Runs a module beside torchvision, in a process of its own, once in a test session."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

ROOT = Path(__file__).parents[2]
VISION = Path(os.environ.get("EIDOLON_TEST_TORCHVISION", Path(sys.prefix) / "vision-only"))
"""torchvision without its dependencies; `make test` installs it there."""


def beside_torchvision(
    module: str, names: list[str], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """Return what `python -m MODULE OUT.json NAME…` found. A session of many processes runs it once."""
    assert (VISION / "torchvision").is_dir(), (
        f"{VISION} holds no torchvision; run `make {VISION}`, or make test"
    )
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    out = shared / f"{module}.json"
    with FileLock(f"{out}.lock"):
        if not out.exists():
            done = subprocess.run(
                [sys.executable, "-m", module, str(out), *names],
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(VISION), "OMP_NUM_THREADS": "1"},
                capture_output=True,
                text=True,
            )
            assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(out.read_text())
    return found
