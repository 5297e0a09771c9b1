"""Hostile text from models and datasets, in terminals, tables, HTML and JSON."""

import json
import re
import time
import unicodedata
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from rich.console import Console

from eidolon.benchmark.report.examples import marked
from eidolon.benchmark.terminal.progress import print_line
from eidolon.benchmark.terminal.safe_text import one_line, safe_text
from eidolon.scorers.core.types import Judgement, Mention, Response
from tests.benchmark.conftest import Cli, read_lines, write_lines

pytestmark = pytest.mark.faults

ATTACKS = [
    "\x1b[31mred\x1b[0m \x1b]0;title\x07 \x1b]8;;http://evil/\x1b\\link \x9b2J",
    "[bold red]markup[/] [link=http://evil/]x[/link] :skull: [/]",
    "abc\u202edcba\u2066x\u2069 \u200f\u061c right to left",
    "\u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627, a dog",
    "<script>alert(1)</script><img src=x onerror=alert(1)><svg/onload=alert(1)>",
    "\"><b onmouseover=alert(1)>x</b> ' onfocus=alert(1) autofocus=' `",
    "{{ 7*7 }} {% raw %} ${7*7} </mark></p></body></html><!-- --> ]]>",
    "a NUL \0 and a bell \a and backspaces \b\b\b and \r overwritten",
    '=HYPERLINK("http://evil/") a dog,"x"\n+1+1\n@SUM(1)',
    "\ud800 a lone half \udfff of a pair",
    "\u2028lines\u2029 and \x85 others\x0b\x0c",
    "javascript:alert(1) data:text/html,x file:///etc/passwd http://evil/",
]
SILENT = re.compile(r"\x1b\[[0-9;]*m")
"""The colours that rich writes to a terminal."""


class Page(HTMLParser):
    """Collects the elements of a page that a browser would act on."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.values: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.values += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.text += data


def harmless(text: str) -> None:
    """Fail if a text could move the cursor, hide characters or change the writing direction."""
    for character in SILENT.sub("", text):
        if character not in "\n\u200d":
            assert unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Zl", "Zp"), ascii(character)


MODEL = """
import json
class Hostile:
    def generate(self, requests):
        texts = json.load(open("attacks.json"))
        for request in requests:
            yield "A dog and a cat. " + texts[int(request.image_id.split("-")[0])]
    def describe(self):
        return {"said": json.load(open("attacks.json"))}
"""


@pytest.fixture
def hostile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """A run with a hostile model and hostile ids. One sample fails with a hostile error."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "attacks.json").write_text(json.dumps(ATTACKS))
    (tmp_path / "hostile.py").write_text(MODEL)
    folder = tmp_path / "pictures"
    folder.mkdir()
    rows = []
    for index, attack in enumerate(ATTACKS):
        Image.new("RGB", (8, 8), (9 * index, 50, 90)).save(folder / f"{index}.png")
        rows.append({"image_id": f"{index}-{attack}", "image": f"{index}.png", "objects": ["dog"]})
    (folder / "3.png").write_bytes(b"none")
    write_lines(folder / "objects.jsonl", rows)
    return [
        "run", "--model", "python/hostile.py:Hostile", "--dataset", f"folder/{folder}", "--resamples", 20,
        "--prompt", f"Describe. {ATTACKS[4]}", "--max-unscored", 1, "--log-level", "debug", "--out",
    ]  # fmt: skip


def test_nothing_hostile_reaches_a_terminal_or_a_page(
    hostile: list[object], cli: Cli, tmp_path: Path
) -> None:
    result = cli(*hostile, "a")
    assert result.code == 0, result.err
    assert "A [!dog!]" in result.out or "A dog" in result.out
    again = cli(*hostile[:-1], "--seed", 1, "--out", "b")
    assert again.code == 0
    (run,) = [path.parent for path in (tmp_path / "a").glob("*/run.json")]
    (other,) = [path.parent for path in (tmp_path / "b").glob("*/run.json")]
    compared = cli("compare", run, other, "--min-shared", 1, "--allow", "seed")
    board = cli("leaderboard", tmp_path / "a", tmp_path / "b")
    as_json = cli("leaderboard", tmp_path / "a", "--json")
    for output in (result, again, compared, board, as_json):
        harmless(output.out)
        harmless(output.err)
    json.loads(as_json.out)

    page = Page()
    page.feed((run / "report.html").read_text(encoding="utf-8"))
    page.close()
    assert not page.tags & {"script", "b", "svg", "a", "iframe", "object", "link", "form", "base"}
    assert not {name for name in page.attributes if name.startswith("on")} | (page.attributes & {"autofocus"})
    assert all(
        value.startswith(("data:image/jpeg;base64,", "data:image/png;base64,")) for value in page.values
    )
    harmless(page.text)
    assert "<script>alert(1)</script>" in page.text, "shown as text"
    assert "{{ 7*7 }}" in page.text

    for name in ("run.json", "scores.json"):
        json.loads((run / name).read_text(encoding="utf-8"))
    # Split as bytes: in JSON, U+2028 and similar characters do not end a line.
    lines = [json.loads(line) for line in (run / "responses.jsonl").read_bytes().splitlines()]
    assert len(lines) == len(ATTACKS), "no text ends a line"
    for line, attack in zip(lines, ATTACKS, strict=True):
        clean = re.sub("[\ud800-\udfff]", "\ufffd", attack)
        assert line["response"] is None or line["response"].endswith(clean), "kept as the model wrote it"
    log = (run / "run.log").read_bytes()
    assert log.isascii()
    assert all(json.loads(line) for line in log.decode().splitlines())


def test_a_hostile_error_in_the_log(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = "".join(ATTACKS[:8])
    (tmp_path / "bad.py").write_text(
        f"class Bad:\n    def generate(self, requests):\n        raise ValueError({words!r})\n"
    )
    result = cli("run", "--model", "python/bad.py:Bad", "--limit", 2, "--out", "out", "--log-level", "info")
    assert result.code == 2
    harmless(result.err)
    assert result.err.splitlines()[-1].startswith("error: model 'python/bad.py:Bad': failed in generate()")


TEXTS = st.text(st.characters(codec="utf-8"), max_size=60) | st.sampled_from(ATTACKS[:9])


@given(text=TEXTS)
def test_neutral_text_is_harmless(text: str) -> None:
    harmless(safe_text(text))
    harmless(one_line(text))
    assert "\n" not in one_line(text)


@given(text=TEXTS, start=st.integers(0, 50), length=st.integers(1, 20))
def test_marked_text_has_no_effect_on_a_terminal(text: str, start: int, length: int) -> None:
    end = min(len(text), start + length)
    mentions = (
        [
            Mention(
                category="[red]x", text=text[start:end], start=start, end=end, word=0, verdict="hallucinated"
            )
        ]
        if start < end
        else []
    )
    response = Response(sample_id="a", image_id="a", response=text)
    judged = Judgement(sample_id="a", image_id="a", mentions=tuple(mentions))
    console = Console(force_terminal=True, color_system="truecolor", width=80)
    with console.capture() as shown:
        console.print(marked(response, judged, plain=False))
    harmless(shown.get())


def test_lines_on_stderr_are_text(capsys: pytest.CaptureFixture[str]) -> None:
    print_line("[bold]x[/] :skull: [/]")
    assert capsys.readouterr().err == "[bold]x[/] :skull: [/]\n"


@pytest.mark.parametrize(
    ("unit", "length"),
    [("x", 10_000_000), ("no not never ", 10_000_000), ("a hot dog. ", 1_000_000), ("(", 1_000_000)],
)
def test_ten_megabytes(unit: str, length: int, cli: Cli, tmp_path: Path, picture_folder: Path) -> None:
    """Such a response is judged in reasonable time, or unscored with a reason, and only a part of it is shown."""
    long = unit * (length // len(unit))
    rows: list[dict[str, Any]] = [
        {"image_id": 0, "response": long},
        *({"image_id": index, "response": "A dog."} for index in range(1, 10)),
    ]
    answers = write_lines(tmp_path / "answers.jsonl", rows)
    started = time.monotonic()
    result = cli(
        "run", "--model", f"replay/{answers}", "--dataset", f"folder/{picture_folder}", "--resamples", 10,
        "--max-unscored", 0.2, "--out", tmp_path / "out",
    )  # fmt: skip
    assert result.code == 0, result.err[-500:]
    assert time.monotonic() - started < 240
    (run,) = [path.parent for path in (tmp_path / "out").glob("*/run.json")]
    assert len(result.out) < 20_000
    plot = 4 * -(-(run / "forgetting.png").stat().st_size // 3) if (run / "forgetting.png").exists() else 0
    assert (run / "report.html").stat().st_size - plot < 200_000
    judged = {row["sample_id"]: row["unscored"] for row in read_lines(run / "judgements.jsonl")}
    assert len(judged) == 10
    assert [key for key, reason in judged.items() if reason] in ([], ["0"])
