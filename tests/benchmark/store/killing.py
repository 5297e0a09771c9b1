"""A program that runs the command line in forks of one warm process, and kills the forks with SIGKILL.

It reads one command per line of stdin, as JSON, and answers each with one line on stdout.
`{"arguments": […], "after_s": 0.3}` kills after that time. `"at": 7` kills right before the seventh operation on a file
below the folder `"below"`. `"slow": true` adds a pause after each operation. `"judged": 1` is the number of responses
that are judged at once, by default 4. The output of the command goes to `log` in the working folder.
"""

import json
import os
import signal
import sys
import tempfile
import threading
import time
import traceback
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

STEP_S = 0.004
"""The pause after each operation with `"slow": true`."""
LONGEST_S = 240.0
BLANK = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
    "1f15c4890000000d49444154789c63f8ffff3f0300050201fe2c2a4c260000000049454e44ae426082"
)
"""A PNG of one pixel."""
WATCHED = {"open", "os.rename", "os.remove", "os.mkdir", "os.truncate"}


def warm() -> None:
    """Run the commands once, so that the forks find everything imported and read. No thread is left."""
    from PIL import Image

    from eidolon.benchmark.cli import invoke

    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder, open(os.devnull, "w") as nowhere:
        os.chdir(folder)
        Image.new("RGB", (8, 8)).save("0.png")
        Path("objects.jsonl").write_text('{"image_id": 0, "image": "0.png", "objects": ["dog"]}\n')
        Path("answers.jsonl").write_text('{"image_id": 0, "response": "A dog and a cat."}\n')
        again = ["--resamples", "20", "--out"]
        files = ["--responses", "answers.jsonl", "--objects", "objects.jsonl"]
        run = ["run", "--model", "replay/answers.jsonl", "--dataset", f"folder/{folder}", "--no-cache"]
        with redirect_stdout(nowhere), redirect_stderr(nowhere):
            assert invoke([*run, *again, "run"]) == 0
            assert invoke(["score", *files, *again, "score"]) == 0
        os.chdir(before)
    assert threading.active_count() == 1


def draw_nothing() -> None:
    """Have plots made of no lines: to draw takes most of a short run, and the files are written all the same."""
    from eidolon.benchmark.tasks.describe import forgetting_plot

    forgetting_plot.png = lambda draw: BLANK


def watch(command: dict[str, Any]) -> None:
    """Count the operations on files, pause after each if asked, and kill this process before the given one."""
    below, at, slow = str(command["below"]), command.get("at"), command.get("slow")
    count = [0]

    def step(path: object) -> None:
        if not str(path).startswith(below):
            return
        count[0] += 1
        if count[0] == at:
            os.kill(os.getpid(), signal.SIGKILL)
        if slow:
            time.sleep(STEP_S)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event in WATCHED and arguments and isinstance(arguments[0], str | bytes | Path):
            step(os.fsdecode(arguments[0]))

    real = os.fsync

    def fsync(descriptor: int) -> None:
        name = os.readlink(f"/proc/self/fd/{descriptor}")
        step(name)
        real(descriptor)
        step(name)

    os.fsync = fsync
    sys.addaudithook(hook)


def run(command: dict[str, Any]) -> None:
    """Run the command in the fork, and exit."""
    code = 70
    try:
        log = os.open("log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        from eidolon.benchmark.cli import invoke
        from eidolon.benchmark.tasks.describe import work
        from eidolon.benchmark.tasks.score_files import streamed_work

        work.JUDGE_BATCH = streamed_work.JUDGE_BATCH = command.get("judged", 4)
        draw_nothing()
        watch(command)
        code = invoke(command["arguments"])
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def main() -> None:
    warm()
    print("ready", flush=True)
    for line in sys.stdin:
        command = json.loads(line)
        started = time.monotonic()
        child = os.fork()
        if not child:
            run(command)
        deadline = started + min(command.get("after_s") or LONGEST_S, LONGEST_S)
        done, status = 0, 0
        while not done and time.monotonic() < deadline:
            done, status = os.waitpid(child, os.WNOHANG)
            if not done:
                time.sleep(0.001)
        if not done:
            os.kill(child, signal.SIGKILL)
            _, status = os.waitpid(child, 0)
        answer = {"seconds": time.monotonic() - started, "code": os.waitstatus_to_exitcode(status)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
