"""A backend of another package has the same abilities as ours: a run uses what it states about itself."""

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from eidolon.benchmark.cli import invoke
from eidolon.models.backends import registry
from eidolon.models.base.contrast import make_contrast
from eidolon.models.base.model import Request
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.registry import Registry

PLUGIN = '''
from pathlib import Path
from eidolon.models.base.backend import BackendTraits
from eidolon.scorers.core.errors import UserError


class Echo:
    """Answers with its file's text."""

    traits = BackendTraits(
        transport_options=("speed",), one_process="it is fast already", preferred_batch=3, contrast=True
    )

    @classmethod
    def resolve(cls, target, given):
        if not Path(target).is_dir():
            raise UserError(f"{given}: no such folder")
        return str(Path(target) / "text")

    @classmethod
    def content_files(cls, target):
        return {"text": Path(target)}

    @classmethod
    def identity(cls, target, options, digest):
        return {"text": digest(Path(target))}

    def __init__(self, target, /, *, speed="1"):
        self.text = Path(target).read_text()

    def generate(self, requests):
        from eidolon.scorers.core.types import Response

        for r in requests:
            yield Response(sample_id=r.sample_id, image_id=r.image_id, response=self.text, finish_reason="stop")


class Bare:
    """States nothing about itself."""

    def __init__(self, target, /):
        pass

    def generate(self, requests):
        return []
'''


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    info = tmp_path / "echo-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: echo\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[eidolon.models]\necho = echo_backend:Echo\nbare = echo_backend:Bare\n"
    )
    (tmp_path / "echo_backend.py").write_text(PLUGIN)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "text").write_text("There is a cup.")
    monkeypatch.syspath_prepend(tmp_path)
    ours = registry.backends
    fresh: Any = Registry(ours.kind, ours.group, ours._builtin)  # one that has not looked for plug-ins yet
    monkeypatch.setattr(registry, "backends", fresh)
    return tmp_path / "model"


def test_what_it_states_is_used(folder: Path) -> None:
    reference = registry.resolve(f"echo/{folder}")
    assert reference.target == str(folder / "text")
    traits = registry.backend_traits(reference)
    assert (traits.preferred_batch, traits.one_process) == (3, "it is fast already")
    assert registry.deciding_options(reference, {"speed": "2", "size": "3"}) == {"size": "3"}
    contrast = make_contrast("m3id", {})
    registry.check_contrast_support(contrast, reference)
    found = registry.identity(reference, {}, lambda path: path.read_text())
    assert found is not None
    assert (found["backend"], found["text"]) == ("echo", "There is a cup.")
    first = registry.content_hash(reference)
    (folder / "text").write_text("There is a dog.")
    assert registry.content_hash(reference) not in (first, None)


def test_a_wrong_name_is_reported_by_the_backend(folder: Path) -> None:
    with pytest.raises(UserError, match=r"^--model 'echo/nowhere': no such folder$"):
        registry.resolve("echo/nowhere")


def test_a_backend_that_states_nothing_has_the_defaults(folder: Path) -> None:
    reference = registry.resolve("bare/anything")
    assert registry.backend_traits(reference).preferred_batch == 16
    assert registry.deciding_options(reference, {"speed": "2"}) == {"speed": "2"}
    assert registry.identity(reference, {}, str) is None
    assert registry.content_hash(reference) is None
    with pytest.raises(UserError, match="backend 'bare', which cannot compare tokens"):
        registry.check_contrast_support(make_contrast("m3id", {}), reference)


def test_it_answers(folder: Path) -> None:
    model = registry.load_model(f"echo/{folder}", {"speed": "2"})
    (response,) = model.generate([Request("1", 1, Image.new("RGB", (4, 4)), "Describe this image.")])
    assert response.response == "There is a cup."


def test_a_run_with_it(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    common = ["run", "--model", f"echo/{folder}", "--limit", "4", "--out", str(tmp_path / "out")]
    assert invoke([*common, "-M", "speed=1"]) == 0
    assert invoke([*common, "-M", "speed=2"]) == 0, "a transport option does not make another run"
    assert invoke([*common, "--processes", "2"]) == 2
    assert "it is fast already" in capsys.readouterr().err
