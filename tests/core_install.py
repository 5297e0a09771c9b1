"""What the plain distribution does without PyTorch; `make core` runs this in an environment with nothing else in it.

    python tests/core_install.py

It is no pytest module, because that environment has no pytest.
"""

import json
import os
import subprocess
import sys
import sysconfig
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

from chat_server import ChatServer

ABSENT = ("torch", "transformers", "accelerate", "safetensors", "eidolon_checkpoints")
HEAVY = ("datasets", "spacy", "numpy", "pandas", "pydantic", "typer", "matplotlib", "openai")
"""What `import eidolon` does not load, beside what is absent."""
EIDOLON = Path(sysconfig.get_path("scripts")) / "eidolon"
INSTALL = "pip install 'eidolon-bench[models]'"
MODEL = '''
class Blind:
    """Says the same of every picture."""

    def generate(self, requests):
        for _ in requests:
            yield "A red car beside a bench."
'''
METRICS = """
import eidolon

print(eidolon.CHAIR().score(["A cat and a dog."], [["cat"]])["chair_i"].value)
print(eidolon.load_run("out/a").to_pandas().mentions.shape[0])
"""


def main() -> None:
    """Run every check; the first that fails ends the script with its traceback."""
    for package in ABSENT:
        assert find_spec(package) is None, f"{package} is installed: not the plain distribution"
    print(f"absent: {', '.join(ABSENT)}")
    check_import()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        os.environ["EIDOLON_CACHE"] = str(Path(folder) / "cache")
        check_verbs()
        check_messages()
    print("the plain distribution works")


def check_import() -> None:
    """`import eidolon` loads next to nothing, and says how long it takes."""
    code = f"import sys, eidolon; assert not [name for name in {HEAVY!r} if name in sys.modules]"
    without, with_it = (min(time_of(what) for _ in range(10)) for what in ("pass", code))
    print(
        f"import eidolon: {with_it - without:.3f} s ({with_it:.3f} s with the interpreter), no heavy module"
    )


def time_of(code: str) -> float:
    before = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - before


def check_verbs() -> None:
    """Score, check, compare, run a model of one's own and one behind an endpoint, and the Python API."""
    Path("mine.py").write_text(MODEL)
    texts = ["A dog and a cat sit on a bench.", "There is a car.", "Two cups on a table."]
    objects = [["dog", "bench"], ["car"], ["cup", "dining table", "fork"]]
    write_lines("responses.jsonl", [{"image_id": i, "response": text} for i, text in enumerate(texts)])
    write_lines("objects.jsonl", [{"image_id": i, "objects": found} for i, found in enumerate(objects)])
    files = ("--responses", "responses.jsonl", "--objects", "objects.jsonl")
    eidolon("score", *files, "--out", "out/a")
    eidolon("score", *files, "--out", "out/b", "-J", "reading=original")
    eidolon("check", "out/a")
    eidolon("compare", "out/a", "out/b", "--allow", "reading", "--min-shared", "3")
    eidolon("run", "--model", "python/mine.py:Blind", "--limit", "3", "--out", "out/runs")
    eidolon("run", "--model", "python/mine.py:Blind", "--task", "probe", "--limit", "3", "--out", "out/probe")
    server = ChatServer()
    server.start()
    eidolon("run", "--model", server.name, "--limit", "2", "--out", "out/runs")
    eidolon("leaderboard", "out/runs")
    for run in sorted(Path("out/runs").glob("*/run.json")):
        eidolon("check", str(run.parent))
    done = subprocess.run([sys.executable, "-c", METRICS], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["0.5", "6"], done.stdout


def check_messages() -> None:
    """What needs more than the plain distribution says in one line what to install."""
    Path("checkpoint").mkdir()
    Path("checkpoint/config.json").write_text("{}")
    run = ("run", "--limit", "1", "--out", "out/none", "--model")
    refused(INSTALL, *run, "transformers/checkpoint")
    refused(INSTALL, *run, "python/mine.py:Blind", "--processes", "2")
    refused("pip install 'eidolon-bench[vllm]'", *run, "vllm/checkpoint")
    judge = ("--judge", "qa", "-J", "models=transformers/google/flan-t5-base")
    files = ("--responses", "responses.jsonl", "--objects", "objects.jsonl")
    refused(INSTALL, "score", *files, *judge, "--out", "out/none")
    refused(INSTALL, "train", "scenes-small", "--out", "out/trained")
    refused("pip install ./models/checkpoints", *run[:-1])
    refused("pip install ./models/checkpoints", *run, "scenes-base")
    assert not Path("out/none").exists()


def eidolon(*arguments: str) -> None:
    done = subprocess.run([EIDOLON, *arguments], capture_output=True, text=True)
    print(f"eidolon {' '.join(arguments)}: exit code {done.returncode}")
    assert done.returncode == 0, done.stderr


def refused(message: str, *arguments: str) -> None:
    done = subprocess.run([EIDOLON, *arguments], capture_output=True, text=True)
    print(f"eidolon {' '.join(arguments)}: {done.stderr.strip()}")
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert message in done.stderr


def write_lines(path: str, lines: list[dict[str, object]]) -> None:
    Path(path).write_text("".join(json.dumps(line) + "\n" for line in lines))


if __name__ == "__main__":
    main()
