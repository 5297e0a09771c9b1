"""Verbs that read a run accept the folder above it, where it holds one run."""

from pathlib import Path

import pytest

import eidolon
from eidolon.benchmark.store.loaded import find_run, load_run
from eidolon.scorers.core.errors import UserError
from tests.benchmark.conftest import Cli


def test_a_run_is_found_in_the_folder_above_it(cli: Cli, inputs: list[str], tmp_path: Path) -> None:
    above = tmp_path / "runs"
    run, other = above / "one", tmp_path / "two"
    for folder in (run, other):
        assert cli("score", *inputs, "--out", folder, "--metric", "chair").code == 0
    assert find_run(run) == find_run(above) == run
    assert eidolon.load_run(above).path == run
    checked = cli("check", above, "--json")
    assert checked.code == 0
    assert checked.out == cli("check", run, "--json").out
    compared = cli("compare", above, other, "--min-shared", 1, "--json")
    assert compared.out == cli("compare", run, other, "--min-shared", 1, "--json").out
    same = cli("compare", above, run)
    assert same.code == 2
    assert "are the same run folder" in same.err


def test_several_runs_are_listed_in_one_line(tmp_path: Path) -> None:
    for name in ("b", "a", "c"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").write_text("{}")
    with pytest.raises(UserError, match=r"holds 3 runs \(a, b, c\); name one of them$"):
        load_run(tmp_path)


def test_no_run_and_links_are_refused_as_before(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "run.json").write_text("{}")
    above = tmp_path / "above"
    above.mkdir()
    with pytest.raises(UserError, match="is not a run folder"):
        load_run(above)
    (above / "link").symlink_to(tmp_path / "real")
    assert find_run(above) == above
    assert find_run(tmp_path / "nowhere") == tmp_path / "nowhere"
