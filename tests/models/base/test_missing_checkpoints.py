import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from eidolon.models.backends.registry import resolve
from eidolon.models.backends.text_models import language_models
from eidolon.models.base import shipped
from eidolon.scorers.core.errors import UserError


@pytest.fixture
def without_checkpoints(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(shipped, "CHECKPOINTS", tmp_path)
    monkeypatch.setattr(shipped, "MEMORY_CHECKPOINTS", tmp_path / "memory")


@pytest.mark.usefixtures("without_checkpoints")
@pytest.mark.parametrize("name", ["scenes-base", "memory/gdn"])
def test_without_the_checkpoints_a_model_says_which_package_holds_them(name: str) -> None:
    with pytest.raises(UserError, match=rf"--model '{name}': the package eidolon-checkpoints.*pip install"):
        resolve(name)


@pytest.mark.usefixtures("without_checkpoints")
@pytest.mark.parametrize("name", ["judge-base", None])
def test_so_does_a_judge(name: str | None) -> None:
    with pytest.raises(UserError, match=r"-J models.*: the package eidolon-checkpoints.*pip install"):
        language_models(name, {})


def test_an_installed_package_is_found_where_the_code_has_none_beside_it(tmp_path: Path) -> None:
    """The code alone, as the core wheel holds it, and the folder of the checkpoints, as theirs does."""
    code = tmp_path / "code"
    code.mkdir()
    shutil.copy(shipped.__file__, code / "shipped.py")
    installed = tmp_path / "site" / shipped.PACKAGE
    (installed / "some-model").mkdir(parents=True)
    (installed / "some-model" / "processor_config.json").write_text("{}")
    found = subprocess.run(
        [sys.executable, "-c", "import shipped; print(shipped.shipped_models())"],
        env={"PYTHONPATH": f"{code}:{installed.parent}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "some-model" in found.stdout
