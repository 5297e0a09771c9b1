"""Tasks by their verb."""

import subprocess
import sys

import pytest

from eidolon.benchmark.tasks.registry import BUILTIN, Verb, tasks


@pytest.mark.parametrize("verb", BUILTIN)
def test_each_built_in_task_is_listed_under_its_verb(verb: Verb) -> None:
    assert {tasks.get(name)().verb for name in BUILTIN[verb]} == {verb}


def test_scoring_imports_no_task_of_a_run() -> None:
    """They take scipy, which is most of the start of a command that scores a few lines."""
    program = (
        "import sys; from eidolon.benchmark.tasks.registry import file_tasks; file_tasks(); "
        "print([name for name in ('scipy', 'torch', 'eidolon.benchmark.tasks.forget.task') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
