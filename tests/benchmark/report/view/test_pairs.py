"""The differences on a page are those of `eidolon compare`."""

import json
import re
from pathlib import Path
from typing import Any

from eidolon.benchmark.report.view.pairs import compare_runs
from eidolon.benchmark.verify.compare import CompareOptions
from tests.benchmark.conftest import OBJECTS, RESPONSES, Cli, write_lines


def test_the_differences_are_those_of_compare(cli: Cli, tmp_path: Path) -> None:
    objects = write_lines(tmp_path / "o.jsonl", OBJECTS)
    for name, more in (("a", ""), ("b", " There is a car.")):
        rows = [{**row, "response": row["response"] + more} for row in RESPONSES]
        responses = write_lines(tmp_path / f"{name}.jsonl", rows)
        assert (
            cli("score", "--responses", responses, "--objects", objects, "--out", tmp_path / name).code == 0
        )
    folders = [tmp_path / "a", tmp_path / "b"]
    shared = len(RESPONSES)
    (pair,) = compare_runs(folders, CompareOptions(resamples=100, min_shared=shared))
    result = cli("compare", *folders, "--json", "--resamples", "100", "--min-shared", str(shared))
    wanted = json.loads(result.out)["metrics"]
    assert (pair.a, pair.b, pair.reason) == (0, 1, None)
    assert {one.key for one in pair.differences} >= {"objects.f05", "chair.chair_i"}
    for one in pair.differences:
        family, name = one.key.split(".")
        theirs = wanted[family][name]
        mine = (one.a, one.b, one.estimate.value, one.p, one.p_holm, one.outcome)
        assert mine == tuple(theirs[key] for key in ("a", "b", "difference", "p", "p_holm", "outcome"))
        assert (None if one.estimate.ci is None else list(one.estimate.ci)) == theirs["ci"]


def test_runs_that_differ_have_the_reason(cli: Cli, tmp_path: Path) -> None:
    objects = write_lines(tmp_path / "o.jsonl", OBJECTS)
    for name, rows in (("a", RESPONSES[:1]), ("b", RESPONSES[1:])):
        responses = write_lines(tmp_path / f"{name}.jsonl", rows)
        assert (
            cli("score", "--responses", responses, "--objects", objects, "--out", tmp_path / name).code == 0
        )
    (pair,) = compare_runs([tmp_path / "a", tmp_path / "b"], CompareOptions(resamples=10))
    assert pair.reason
    assert pair.differences == ()
    assert compare_runs([tmp_path / "a"], CompareOptions()) == ()


def test_a_page_allows_what_a_comparison_allows(cli: Cli, tmp_path: Path) -> None:
    objects = write_lines(tmp_path / "o.jsonl", OBJECTS)
    responses = write_lines(tmp_path / "r.jsonl", RESPONSES)
    for name, options in (("a", ()), ("b", ("-J", "reading=original"))):
        out = tmp_path / name
        made = cli("score", "--responses", responses, "--objects", objects, "--out", out, *options)
        assert made.code == 0, made.err
    folders, page = [tmp_path / "a", tmp_path / "b"], tmp_path / "page.html"

    def pair(*flags: str) -> dict[str, Any]:
        result = cli("view", *folders, "--out", page, *flags)
        assert result.code == 0, result.err
        (found,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page.read_text())
        pairs: list[dict[str, Any]] = json.loads(found)["pairs"]
        return pairs[0]

    assert "--allow reading" in pair("--min-shared", "1")["reason"]
    assert "--min-shared" in pair("--allow", "reading")["reason"]
    both = pair("--allow", "reading", "--min-shared", "1")
    assert both["reason"] is None
    assert both["differences"]
    assert "They differ in reading: careful-2 / original." in both["notes"]
    for runs, flags, message in (
        (folders, ("--allow", "readng"), "reading"),
        (folders, ("--min-shared", "-1"), "at least 0"),
        (folders[:1], ("--allow", "reading"), "need another run"),
    ):
        result = cli("view", *runs, "--out", page, *flags)
        assert result.code == 2
        assert message in result.err
