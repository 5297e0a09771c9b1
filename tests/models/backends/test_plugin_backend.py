"""A backend of another package has the same abilities as ours: a run uses what it states about itself."""

import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from eidolon.benchmark.cli import invoke
from eidolon.models.backends import registry
from eidolon.models.base.contrast import make_contrast
from eidolon.models.base.model import (
    ClosingModel,
    DescribedModel,
    Request,
    ScoringModel,
    SizingModel,
    WhiteBoxModel,
)
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


class Plain:
    """A class as one writes it for python/FILE:Class."""

    closed = 0

    def __init__(self, *, word="cup"):
        self.word = word

    def generate(self, requests):
        if self.word == "fail":
            raise ValueError("no weights")
        for request in requests:
            yield f"There is a {self.word}."

    def describe(self):
        return {"weights": "abc"}

    def close(self):
        Plain.closed += 1


class Mute:
    def __init__(self, target):
        if target == "fail":
            raise OSError("no such file")
'''


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    info = tmp_path / "echo-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: echo\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[eidolon.models]\necho = echo_backend:Echo\nbare = echo_backend:Bare\n"
        "plain = echo_backend:Plain\nmute = echo_backend:Mute\n"
    )
    (tmp_path / "echo_backend.py").write_text(PLUGIN)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "text").write_text("There is a cup.")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "echo_backend", raising=False)  # that of another test's folder
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


def requests(count: int = 2) -> list[Request]:
    return [Request(str(i), i, Image.new("RGB", (4, 4)), "Describe this image.") for i in range(count)]


def test_its_strings_become_responses(folder: Path) -> None:
    model = registry.load_model("plain", {"word": "dog"})
    found = [(r.sample_id, r.image_id, r.prompt, r.response) for r in model.generate(requests())]
    assert found == [
        ("0", 0, "Describe this image.", "There is a dog."),
        ("1", 1, "Describe this image.", "There is a dog."),
    ]


def test_it_describes_itself_with_its_package(folder: Path) -> None:
    model = registry.load_model("plain")
    assert isinstance(model, DescribedModel)
    assert model.describe() == {
        "backend": "plain",
        "class": "echo_backend:Plain",
        "package": "echo 1.0",
        "weights": "abc",
    }


def test_the_guard_offers_what_the_model_offers(folder: Path) -> None:
    model = registry.load_model("plain")
    assert isinstance(model, ClosingModel)
    assert not isinstance(model, SizingModel | ScoringModel | WhiteBoxModel)
    model.close()
    assert model._model.closed == 1  # type: ignore[attr-defined]
    assert not isinstance(registry.load_model("bare/x"), ClosingModel)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        (
            "plain",
            {"word": "fail"},
            r"^model 'plain': failed in generate\(\): ValueError: no weights \(echo_b.*line",
        ),
        ("plain", {"wird": "dog"}, r"^-M wird=dog: model backend 'plain' has no option 'wird'"),
        ("plain/dog", {}, "^--model 'plain/dog': this backend takes no name of a model; write plain$"),
        ("mute", {}, "^--model 'mute': the name of a model is missing; write mute/NAME$"),
        ("mute/x", {}, r"^model 'mute/x': has no method generate\(requests\)$"),
        (
            "mute/fail",
            {},
            r"^model 'mute/fail': could not be constructed: OSError: no such file \(echo_b.*line",
        ),
    ],
)
def test_its_faults_are_said_in_one_line(
    folder: Path, name: str, options: dict[str, str], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        list(registry.load_model(name, options).generate(requests()))


def test_changed_code_of_a_plugin_is_another_model(folder: Path) -> None:
    reference = registry.resolve("plain")
    before = registry.content_hash(reference)
    assert before is not None
    code = folder.parent / "echo_backend.py"
    code.write_text(code.read_text() + "\n# changed\n")
    assert registry.content_hash(reference) not in (before, None)


def test_a_run_of_a_plain_class(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert invoke(["run", "--model", "plain", "-M", "word=dog", "--limit", "3", "--out", str(out)]) == 0
    assert (out / "plain" / "scores.json").is_file()
