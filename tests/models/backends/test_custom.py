"""The user's own models: strings or Responses, and errors that name the user's code."""

import sys
from pathlib import Path

import pytest
from PIL import Image

from eidolon.models.backends.registry import load_model
from eidolon.models.base.model import Request
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.types import Response


def requests(count: int = 3) -> list[Request]:
    image = Image.new("RGB", (2, 2))
    return [Request(str(index), index, image, "Describe.") for index in range(count)]


def write(folder: Path, body: str) -> str:
    (folder / "mine.py").write_text(body)
    return f"python/{folder / 'mine.py'}:Mine"


def generate(name: str, **options: str) -> list[Response]:
    return list(load_model(name, options).generate(requests()))


def test_strings_in_order(tmp_path: Path) -> None:
    name = write(
        tmp_path,
        "class Mine:\n"
        "    def __init__(self, word='dog'): self.word = word\n"
        "    def generate(self, requests): return [f'{self.word} {r.sample_id}' for r in requests]\n",
    )
    assert [(r.sample_id, r.image_id, r.response) for r in generate(name)] == [
        ("0", 0, "dog 0"),
        ("1", 1, "dog 1"),
        ("2", 2, "dog 2"),
    ]
    assert generate(name, word="cat")[0].response == "cat 0"


def test_responses_pass_through(tmp_path: Path) -> None:
    name = write(
        tmp_path,
        "from eidolon.scorers.core.types import Response\n"
        "class Mine:\n"
        "    def generate(self, requests):\n"
        "        for r in reversed(requests):\n"
        "            yield Response(sample_id=r.sample_id, image_id=r.image_id, response='x',\n"
        "                           completion_tokens=7)\n",
    )
    assert [(r.sample_id, r.completion_tokens) for r in generate(name)] == [("2", 7), ("1", 7), ("0", 7)]


def test_lone_surrogates_are_replaced(tmp_path: Path) -> None:
    name = write(
        tmp_path, "class Mine:\n    def generate(self, requests): return ['a\\ud800b' for r in requests]\n"
    )
    assert generate(name)[0].response == "a\ufffdb"


def test_module_in_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_models.py").write_text(
        "class Mine:\n    def generate(self, requests): return ['x' for r in requests]\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    assert len(generate("python/my_models:Mine")) == 3


def test_describe(tmp_path: Path) -> None:
    name = write(
        tmp_path,
        "class Mine:\n"
        "    def generate(self, requests): return []\n"
        "    def describe(self): return {'weights': 'abc'}\n",
    )
    described = load_model(name).describe()
    assert described == {"backend": "python", "class": name.removeprefix("python/"), "weights": "abc"}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            "class Mine:\n    def __init__(self): raise KeyError('weights')\n",
            ("constructed", "KeyError", "line 2"),
        ),
        ("class Mine: pass\n", ("no method generate",)),
        ("class Mien: pass\n", ("no 'Mine'", "did you mean 'Mien'")),
        ("import nosuchpackage\n", ("cannot be imported", "nosuchpackage")),
        ("class Mine\n", ("cannot be imported", "SyntaxError")),
        (
            "class Mine:\n    def generate(self, r):\n        yield 'a'\n        raise OSError('a\\nb')\n",
            ("generate()", "OSError: a b", "mine.py, line 4"),
        ),
        ("class Mine:\n    def generate(self, requests): return [None]\n", ("found NoneType as answer 1",)),
        ("class Mine:\n    def generate(self, requests): return ['a'] * 4\n", ("more answers than the 3",)),
        ("class Mine:\n    def generate(self, requests): return 'abc'\n", ("list of answers", "found str")),
        (
            "class Mine:\n    def generate(self, requests): return {r.sample_id: 'a' for r in requests}\n",
            ("list of answers", "found dict"),
        ),
        ("import sys\nclass Mine:\n    def generate(self, r): sys.exit(0)\n", ("SystemExit: 0", "line 3")),
        ("exit()\n", ("cannot be imported", "SystemExit")),
        (
            "from eidolon.scorers.core.types import Response\nclass Mine:\n    def generate(self, r):\n"
            "        return [Response.model_construct(sample_id='0', image_id=0, response=5)]\n",
            ("not valid", "response"),
        ),
    ],
)
def test_errors_name_the_class(tmp_path: Path, body: str, expected: tuple[str, ...]) -> None:
    name = write(tmp_path, body)
    with pytest.raises(UserError) as raised:
        generate(name)
    message = str(raised.value)
    assert "mine.py:Mine" in message
    assert "\n" not in message
    for text in expected:
        assert text in message


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        load_model(f"python/{tmp_path}/nowhere.py:Mine")


def test_a_file_does_not_replace_a_module(tmp_path: Path) -> None:
    before = sys.modules["json"]
    (tmp_path / "json.py").write_text(
        "class Mine:\n    def generate(self, requests): return ['x' for r in requests]\n"
    )
    assert len(generate(f"python/{tmp_path / 'json.py'}:Mine")) == 3
    assert sys.modules["json"] is before


@pytest.mark.parametrize("option", ["target", "self"])
def test_an_option_named_like_ours_reaches_the_class(tmp_path: Path, option: str) -> None:
    name = write(tmp_path, "class Mine:\n    def generate(self, requests): return []\n")
    with pytest.raises(UserError, match="constructed: TypeError"):
        load_model(name, {option: "1"})


def test_a_description_can_be_written(tmp_path: Path) -> None:
    body = "class Mine:\n    def generate(self, requests): return []\n    def describe(self): return %s\n"
    name = write(tmp_path, body % "{'a': '\\ud800', 'path': __import__('pathlib').Path('x')}")
    assert load_model(name).describe()["a"] == "\ufffd"
    for facts in ("{(1, 2): 3}", "{'a': float('nan')}"):
        name = write(tmp_path, body % facts)
        with pytest.raises(UserError, match="JSON cannot hold"):
            load_model(name).describe()


def test_surrogates_in_a_response_are_replaced(tmp_path: Path) -> None:
    name = write(
        tmp_path,
        "from eidolon.scorers.core.types import Response\n"
        "class Mine:\n"
        "    def generate(self, requests):\n"
        "        for r in requests:\n"
        "            yield Response(sample_id=r.sample_id, image_id=r.image_id, response=None,\n"
        "                           error='a\\ud800b')\n",
    )
    assert generate(name)[0].error == "a\ufffdb"
