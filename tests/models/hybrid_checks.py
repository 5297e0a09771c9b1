"""Runs `eidolon doctor` and `eidolon run --task forget` on tiny hybrids, beside torchvision.

    python -m tests.models.hybrid_checks OUT.json NAME…

`architecture_checks` says how torchvision loads beside a CPU build of PyTorch.
"""

import contextlib
import io
import json
import os
import sys
import traceback
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.models.architecture_checks import pretend_libraries
from tests.models.tiny_checkpoints import Architecture
from tests.models.tiny_hybrids import HYBRIDS

DOCTOR = ("--samples", "2", "--max-new-tokens", "8", "--json")
FORGET = (
    "--task", "forget", "--limit", "2", "--lengths", "8", "--max-new-tokens", "8", "--batch-size", "2",
    "--skip", "knowledge,cloze,interventions", "--resamples", "40", "--no-cache", "--max-unscored", "1",
)  # fmt: skip
STAGES = ("responses", "retention", "pdm", "orders", "attention")
"""The files of the stages that run: descriptions, retention, dependence on the picture, forced orders, attention."""


def run(*arguments: str) -> tuple[int, str, str]:
    """Run a command in this process. Returns its exit code and what it printed."""
    from eidolon.benchmark.cli import invoke

    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = invoke(list(arguments))
    return code, out.getvalue(), err.getvalue()


def examine(architecture: Architecture, folder: Path) -> dict[str, Any]:
    """Make a checkpoint, examine it, run the task, and return what both recorded."""
    checkpoint, runs = folder / architecture.name, folder / "runs"
    architecture.make(checkpoint)
    model = f"transformers/{checkpoint}"
    code, out, err = run("doctor", "--model", model, *DOCTOR)
    found: dict[str, Any] = {"doctor_code": code, "doctor_error": err}
    found["doctor"] = json.loads(out) if out.startswith("{") else None
    code, _, err = run("run", "--model", model, "--out", str(runs), *FORGET)
    found |= {"forget_code": code, "forget_error": err[-2000:]}
    records = list(runs.glob("*/run.json"))
    found["run"] = json.loads(records[0].read_text()) if records else None
    found["retention"] = [json.loads(path.read_text()) for path in runs.glob("*/retention.json")]
    lines = [path for path in runs.glob("*/*.jsonl") if path.stem in STAGES]
    found["stages"] = {
        path.stem: [json.loads(line) for line in path.read_text().splitlines()] for path in lines
    }
    return found


def main(out: Path, names: list[str]) -> None:
    """Examine hybrids, and write the findings, or the error, by name."""
    library = pretend_libraries()
    found: dict[str, Any] = {}
    for architecture in HYBRIDS:
        if architecture.name not in names:
            continue
        with TemporaryDirectory() as folder:
            try:
                found[architecture.name] = examine(architecture, Path(folder))
            except Exception:
                found[architecture.name] = {"failed": traceback.format_exc()[-1500:]}
    out.write_text(json.dumps(found))
    sys.stdout.flush()
    del library
    os._exit(0)  # the declared operators may break the normal shutdown


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
