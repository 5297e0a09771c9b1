"""Every example runs as it stands, in a process of its own, and prints what it is for."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
PRINTED = {
    "compare_runs.py": "recall: 0.0",
    "forgetting.py": "retention_filler_64 = ",
    "run_your_model.py": "20 responses, written to",
    "score_a_file.py": "chair.chair_i = 0.2857142857142857",
}


def run(*command: str | Path, folder: Path, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env={**os.environ, "EIDOLON_CACHE": str(folder / "cache"), **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_script_has_a_test() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == {*PRINTED}


@pytest.mark.parametrize("name", sorted(PRINTED))
def test_script(name: str, tmp_path: Path) -> None:
    assert PRINTED[name] in run(EXAMPLES / name, folder=tmp_path)


def test_notebook(tmp_path: Path) -> None:
    """Its code cells, one after the other in one namespace, as a kernel runs them."""
    cells = json.loads((EXAMPLES / "tour.ipynb").read_text(encoding="utf-8"))["cells"]
    assert all(not cell["outputs"] for cell in cells if cell["cell_type"] == "code"), "clear the outputs"
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    script = tmp_path / "cells.py"
    script.write_text("\n\n".join(code) + "\nprint(f'{len(share)} ranks')\n", encoding="utf-8")
    printed = run(script, folder=tmp_path)
    assert "chair_i = 0.200 [" in printed
    assert "8 ranks" in printed
