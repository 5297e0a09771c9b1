"""The differences on a page are those of `eidolon compare`."""

import json
from pathlib import Path

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
