"""`eidolon memory search`: a whole search, continued, exported and refused."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from jsonschema import validate

from eidolon.benchmark import json_schemas
from eidolon.benchmark.cli import invoke
from eidolon.benchmark.study.search.candidates import CandidatePool, make_candidate
from eidolon.benchmark.study.search.detail import SearchDetail, read_rules
from eidolon.benchmark.study.search.exporting import Answering, compare, export_model
from eidolon.benchmark.study.search.run import export_found, run_search
from eidolon.scorers.core.errors import UserError
from tests.benchmark.study.search.tiny import RECIPE, point

ROOT = Path(__file__).parents[4]


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SearchDetail]:
    out = tmp_path_factory.mktemp("search")
    return out, run_search(out, RECIPE)


def test_the_file_says_what_was_found(searched: tuple[Path, SearchDetail]) -> None:
    out, detail = searched
    stored = json.loads((out / "search.json").read_text())
    validate(stored, json_schemas.read("search"))
    assert SearchDetail.model_validate_json((out / "search.json").read_bytes()) == detail
    assert (out / "search.png").read_bytes().startswith(b"\x89PNG")
    assert [row.method for row in detail.methods] == [
        "multi-shot", "multi-shot with rules", "single-shot", "zero-shot", "rules",
    ]  # fmt: skip
    front = {one.architecture for one in detail.front}
    reported = [(one, one.validation) for one in detail.candidates if one.recall is not None]
    for one, recall in reported:
        beaten = any(
            other_recall >= recall
            and other.ms <= one.ms
            and other.bytes <= one.bytes
            and (other_recall, other.ms, other.bytes) != (recall, one.ms, one.bytes)
            for other, other_recall in reported
        )
        assert (one.architecture in front) is not beaten
    assert front <= {one.architecture for one, _ in reported}
    assert detail.reference.architecture == point("*-*", 32)
    assert len(detail.estimator.checked) == RECIPE.unseen
    shot = next(row for row in detail.methods if row.method == "single-shot")
    assert shot.trainings == (2 * 4 + 4) / 4, "the supernet's steps count"


def test_a_search_that_was_stopped_ends_alike(searched: tuple[Path, SearchDetail], tmp_path: Path) -> None:
    """The measured times and some candidates of the first search are left, and no supernet."""
    out, detail = searched
    again = tmp_path / "again"
    shutil.copytree(out, again)
    shutil.rmtree(again / "supernet")
    (again / "scores.json").unlink()
    for folder in sorted((again / "candidates").iterdir())[::2]:
        shutil.rmtree(folder)
    assert run_search(again, RECIPE) == detail


def test_rules_of_another_search(searched: tuple[Path, SearchDetail], tmp_path: Path) -> None:
    out, detail = searched
    assert detail.rules_from is None
    assert read_rules(out / "search.json") == detail.rules_found
    other = tmp_path / "other"
    shutil.copytree(out, other)
    assert run_search(other, RECIPE, out / "search.json").rules_from == str(out / "search.json")
    with pytest.raises(UserError, match=r"--rules .*missing\.json: No such file"):
        read_rules(tmp_path / "missing.json")
    (tmp_path / "wrong.json").write_text("{}")
    with pytest.raises(UserError, match=r"--rules .*wrong\.json: is not the search\.json"):
        read_rules(tmp_path / "wrong.json")


def test_the_found_layout_is_exported(searched: tuple[Path, SearchDetail], tmp_path: Path) -> None:
    out, detail = searched
    line = export_found(out, detail, tmp_path / "found.pt2")
    assert (tmp_path / "found.pt2").exists()
    assert "operations; its answers differ" in line
    nothing = detail.model_copy(
        update={"methods": tuple(row.model_copy(update={"found": None}) for row in detail.methods)}
    )
    with pytest.raises(UserError, match="no method found an architecture"):
        export_found(out, nothing, tmp_path / "nothing.pt2")


@pytest.mark.parametrize("layout", ["*-*", "SWA-M2", "GKA-GDN", "BMF-BM"])
def test_every_memory_exports(layout: str, tmp_path: Path) -> None:
    exported = export_model(make_candidate(RECIPE, point(layout)), RECIPE, tmp_path / "program.pt2")
    assert exported.operations > 50
    assert exported.difference < 1e-5


def test_a_difference_is_seen() -> None:
    model = Answering(make_candidate(RECIPE, point("GDN-*")))
    other = Answering(make_candidate(RECIPE.model_copy(update={"seed": 1}), point("GDN-*")))
    inputs = [(torch.tensor([[0, 7, 0, 7]]), torch.tensor([[2]]))]
    assert compare(model, model, inputs) == 0
    assert compare(other, model, inputs) > 0.01


def test_the_trained_model_is_read_from_the_folder(searched: tuple[Path, SearchDetail]) -> None:
    from eidolon.benchmark.study.recall.model import TESTING, VALIDATION
    from eidolon.benchmark.study.search.candidates import measure_model

    out, detail = searched
    model = CandidatePool(RECIPE, out / "candidates").trained_model(
        (one := next(one for one in detail.candidates if one.recall is not None)).architecture
    )
    assert measure_model(model, RECIPE, TESTING) == one.recall
    assert measure_model(model, RECIPE, VALIDATION) == one.validation


def test_a_launcher_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    with pytest.raises(UserError, match=r"^memory search: .*; leave the launcher out$"):
        run_search(tmp_path / "out", RECIPE)
    assert not any(tmp_path.iterdir())


def test_the_command_refuses_half_filled_vectors(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert invoke(["memory", "search", "--width", "33", "--out", str(tmp_path / "out")]) == 2
    assert "--width 33: must be a multiple of" in capsys.readouterr().err


def test_the_command_refuses_a_file_that_it_cannot_write_before_the_search(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    for file, why in ((tmp_path, "it is a folder"), (tmp_path / "no/found.pt2", "no such folder")):
        assert invoke(["memory", "search", "--export", str(file), "--out", str(out)]) == 2
        assert f"--export {file}: cannot be written ({why})" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize("name", ["search", "search-limited", "search-rules"])
def test_the_committed_search_reads(name: str) -> None:
    stored = json.loads((ROOT / f"results/memory/{name}.json").read_text())
    validate(stored, json_schemas.read("search"))
    detail = SearchDetail.model_validate(stored)
    assert detail.estimator.error is not None
    assert detail.estimator.error <= 0.1


def test_the_page_has_the_committed_fronts_tables_and_refusals() -> None:
    page = (ROOT / "docs/evidence/layout-search.md").read_text(encoding="utf-8")
    rows = {tuple(cell.strip() for cell in line.strip("|").split("|")) for line in page.splitlines()}
    for name in ("search", "search-limited"):
        detail = SearchDetail.model_validate_json((ROOT / f"results/memory/{name}.json").read_bytes())
        for row in detail.methods:
            assert any(
                cells[0] == row.method and cells[-1] == f"{row.trainings:.1f}" and (
                    cells[1] == "none" if row.found is None or row.ms is None else
                    cells[1:4] == (f"`{row.found.label}`", f"{row.recall:.3f}", f"{row.ms:.2f}")
                )
                for cells in rows
            ), (name, row.method)  # fmt: skip
        for one in detail.candidates:
            assert one.not_reported is None or f"`{one.architecture.label}`" in page
    front = SearchDetail.model_validate_json((ROOT / "results/memory/search.json").read_bytes()).front
    shown = page.split("## The front")[1].split("## ")[0]
    assert [line.split("|")[1:-1] for line in shown.splitlines() if line.startswith("| `")] == [
        [f" `{one.architecture.label}` ", f" {one.recall:.3f} ", f" {one.ms:.2f} ", f" {one.bytes:,.0f} ",
         f" {one.parameters:,} "]
        for one in front
    ]  # fmt: skip
