"""A program that runs the command line in forks of one warm process, and kills the forks with SIGKILL.

It reads one command per line of stdin, as JSON, and answers each with one line on stdout.
`{"arguments": […], "after_s": 0.3}` kills after that time. `"at": 7` kills right before the seventh operation on a file
below the folder `"below"`. `"slow": true` adds a pause after each operation. The output of the command goes to `log` in
the working folder.
"""

import json
import os
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any

STEP_S = 0.004
"""The pause after each operation with `"slow": true`."""
LONGEST_S = 240.0
WATCHED = {"open", "os.rename", "os.remove", "os.mkdir", "os.truncate"}


def warm() -> None:
    """Import what a run imports, without starting threads."""
    import datasets
    import jinja2
    import PIL.Image

    import eidolon.benchmark.cli.run
    import eidolon.benchmark.report.leaderboard
    import eidolon.benchmark.run.planning  # noqa: F401
    from eidolon.scorers.core.types import Response
    from eidolon.scorers.judges.lexicon import LexiconJudge

    assert datasets
    assert jinja2
    PIL.Image.init()
    list(LexiconJudge().judge([Response(sample_id="1", image_id=1, response="A dog and a cat.")]))


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

        work.JUDGE_BATCH = 4
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
