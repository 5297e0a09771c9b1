"""Texts that try to run or to break out: the page shows them as text, wherever they come from."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from eidolon.benchmark.cli import invoke
from eidolon.benchmark.report.view.document import asset
from tests.browser.conftest import Open
from tests.browser.runs import change_lines, scene_run

MARK = "window.ran=1"
PAYLOADS = [
    f"<script>{MARK}</script>",
    f"</script><script>{MARK}</script>",
    f"<!--<script>{MARK}</script>-->",
    f"<img src=x onerror={MARK}>",
    f"<svg onload={MARK}></svg>",
    f"<svg><script>{MARK}</script></svg>",
    f"<iframe srcdoc='<script>parent.{MARK}</script>'></iframe>",
    f"<iframe src=javascript:{MARK}></iframe>",
    f"<a href='javascript:{MARK}'>here</a>",
    f"javascript:{MARK}",
    f"<body onload={MARK}>",
    f"<input autofocus onfocus={MARK}>",
    f"<details open ontoggle={MARK}>",
    f"<video><source onerror={MARK}></video>",
    f"<math><mi xlink:href='javascript:{MARK}'>x</mi></math>",
    f"<style>@import 'http://example.org/{MARK}';</style>",
    "<link rel=stylesheet href=http://example.org/a.css>",
    "<meta http-equiv=refresh content='0;url=http://example.org/'>",
    "<base href=http://example.org/>",
    f"<form action=javascript:{MARK}><button>go</button></form>",
    f"<object data=javascript:{MARK}></object>",
    f"<embed src=javascript:{MARK}>",
    f"<template><script>{MARK}</script></template>",
    f"<noscript><p title=\"</noscript><img src=x onerror={MARK}>\"></noscript>",
    f"\"><img src=x onerror={MARK}>",
    f"' onmouseover='{MARK}",
    f"\" style=\"background:url(http://example.org)\" onfocus=\"{MARK}",
    f"${{{MARK}}} {{{{{MARK}}}}} <%= {MARK} %>",
    f"\\u003cimg src=x onerror={MARK}\\u003e",
    f"&lt;img src=x onerror={MARK}&gt; &#60;script&#62;",
    f"]]><script>{MARK}</script>",
    f"\";{MARK};//",
    f"\\\";{MARK};//\n';{MARK};//",
    f"\u2028{MARK}\u2029{MARK}",
    "__proto__",
    "constructor",
    "toString",
    "hasOwnProperty",
    "\u202egnp.exe\u202c \u2066hidden\u2069",
    "\x1b[31mred\x1b[0m \x00 \x07 \x7f",
    "data:text/html,<script>alert(1)</script>",
    "Z̷̧̛a̸l̴g̵o" + "\u0301" * 200,
    "#sample=other&tab=text",
]  # fmt: skip
HARMFUL = re.compile("[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]")


@pytest.fixture(scope="module")
def poisoned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run in which every text of somebody else is a payload."""
    folder = tmp_path_factory.mktemp("poisoned")
    run = scene_run(folder, len(PAYLOADS) + 1)

    def payload(index: int) -> str:
        return PAYLOADS[index % len(PAYLOADS)]

    def poison_sample(index: int, row: dict[str, Any]) -> None:
        row["sample_id"] = f"{index} {payload(index)}"
        row["objects"] = sorted({payload(index), payload(index + 1), *row["objects"][:1]})
        row["areas"] = {}
        row["references"] = [payload(index + 2), payload(index + 3)]

    def poison_response(index: int, row: dict[str, Any]) -> None:
        text = payload(index)
        row.update(sample_id=f"{index} {text}", response=f"{text} beside {payload(index + 5)}", prompt=text)
        row.update(reasoning=text, token_ends=None, error=None)
        if index % 11 == 10:
            row.update(response=None, error=text, finish_reason="error")

    def poison_judgement(index: int, row: dict[str, Any]) -> None:
        text, other = payload(index), payload(index + 1)
        votes = {f"{payload(index + 7)}/{payload(index + 8)}": 1, "plain": 0}
        row.update(sample_id=f"{index} {text}", unscored=text if index % 11 == 10 else None)
        verdict = ("grounded", "hallucinated", "ignored")[index % 3]
        row["mentions"] = [
            {"category": text, "text": text, "start": 0, "end": len(text), "word": 0, "verdict": verdict,
             "votes": votes, "match": other, "similarity": 0.5},
            {"category": other, "text": "", "start": 0, "end": 0, "word": 0, "verdict": verdict},
        ]  # fmt: skip
        row["votes"] = {text: votes, other: votes}

    change_lines(run / "samples.jsonl", poison_sample)
    change_lines(run / "responses.jsonl", poison_response)
    change_lines(run / "judgements.jsonl", poison_judgement)
    record = json.loads((run / "run.json").read_text())
    record["name"] = "".join(PAYLOADS)
    record["model"] = {text: text for text in PAYLOADS}
    record["sessions"][0]["command"] = " ".join(PAYLOADS)
    record["provenance"]["packages"] = {text: text for text in PAYLOADS}
    (run / "run.json").write_text(json.dumps(record))
    scores = json.loads((run / "scores.json").read_text())
    scores["signature"] = "|".join(PAYLOADS)
    for text in PAYLOADS:
        scores["metrics"]["chair"][text] = {
            "value": None,
            "ci": None,
            "n": 1,
            "higher_is_better": None,
            "reason": text,
        }
    (run / "scores.json").write_text(json.dumps(scores))
    return run


@pytest.fixture(scope="module", params=["inside", "beside"])
def page_file(
    poisoned: Path, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Return the page of one file, and that with a folder of data."""
    out = tmp_path_factory.mktemp("page") / "page.html"
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "beside":
            patch.setattr("eidolon.benchmark.report.view.page.MOST_INSIDE", 1)
            patch.setattr("eidolon.benchmark.report.view.page.PAGE_SIZE", 10)
        assert invoke(["view", str(poisoned), "--out", str(out)]) == 0
    return out


def test_nothing_runs_and_everything_is_text(page_file: Path, open_page: Open) -> None:
    page = open_page(page_file).page
    for summary in page.locator("header summary").all():
        summary.click()
    header = page.locator("header").inner_text()
    assert "<script>window.ran=1</script>" in header
    for index, text in enumerate(PAYLOADS):
        heading = page.locator("article.sample h2").inner_text()
        assert heading.startswith(f"{index} ")
        if not HARMFUL.search(text) and "\u0301" not in text:
            assert " ".join(text.split()) in " ".join(heading.split())
        for mark in page.locator("article.sample mark").all()[:2]:
            mark.hover()
            assert page.locator(".card").count() == 1
        page.mouse.move(2, 2)
        body = page.locator("article.sample").inner_text()
        assert not HARMFUL.search(body.replace("\n", "").replace("\t", ""))
        page.keyboard.press("j")
    for name in ("By category", "Over the response"):
        page.get_by_role("tab", name=name).click()
        assert page.locator("main").inner_text()
    _check(page)


def test_the_filters_take_hostile_names(page_file: Path, open_page: Open) -> None:
    page = open_page(page_file).page
    for text in ("__proto__", "constructor", PAYLOADS[0]):
        page.get_by_label("Object").select_option(text)
        page.get_by_label("Search").fill(text)
        assert page.locator("[role=option]").count() >= 0
        page.get_by_label("Search").fill("")
        assert page.locator("[role=option]").count() > 0
    _check(page)


@pytest.mark.parametrize("text", PAYLOADS[1:5])
def test_a_hostile_link_is_only_a_link(page_file: Path, open_page: Open, text: str) -> None:
    from urllib.parse import quote

    page = open_page(page_file, fragment=f"#tab={quote(text)}&run={quote(text)}&sample={quote(text)}").page
    assert page.locator("article.sample").count() == 1
    _check(page)


def _check(page: Any) -> None:
    assert page.evaluate("window.ran") is None
    assert page.evaluate("({}).ran") is None
    inside = "iframe, object, embed, form[action], link, base, body style, template, video, math, body script"
    found = page.locator(inside).evaluate_all("all => all.map(one => one.outerHTML.slice(0, 60))")
    ours = ('<script type="application/json" id="data"', f"<script>{asset('app.js')[:20]}")
    assert [text for text in found if not text.startswith(ours)] == []
    assert page.locator("meta[http-equiv]").count() == 1
    links = "[...document.querySelectorAll('[href], [src]')].map(e => e.getAttribute('href') || e.getAttribute('src'))"
    assert all(
        link.startswith(("#", "data:image/webp;", "page-data/pictures")) for link in page.evaluate(links)
    )
    handlers = "[...document.querySelectorAll('*')].flatMap(e => e.getAttributeNames()).filter(n => n.startsWith('on'))"
    assert page.evaluate(handlers) == []


def test_the_policy_stops_what_the_page_did_not_bring(
    page_file: Path, open_page: Open, tmp_path: Path
) -> None:
    """The policy is the second wall: with the first one broken by hand, nothing runs either."""
    folder = Path(shutil.copytree(page_file.parent, tmp_path / "broken"))
    broken = folder / page_file.name
    text = broken.read_text(encoding="utf-8")
    broken.write_text(
        text.replace(
            "</body>", f"<script>{MARK}</script><img src=x onerror={MARK}><p style='color:red'>x</p></body>"
        ),
        encoding="utf-8",
    )
    watched = open_page(broken)
    assert watched.page.evaluate("window.ran") is None
    blocked = [fault for fault in watched.faults if "Content Security Policy" in fault]
    assert len(blocked) >= 3
    watched.faults.clear()
