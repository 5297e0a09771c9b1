"""`eidolon plot`: which figures there are, that their texts do not overlap, hostile names, and mistakes."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image

from eidolon.benchmark.cli import invoke
from eidolon.benchmark.drawing.style import COLUMN, PAGE, SCREEN, SHEETS, style
from eidolon.benchmark.report.plots.records import PlottedRun, named
from eidolon.benchmark.report.plots.write import JOINT, SINGLE, _suited, _suited_jointly
from eidolon.benchmark.store.loaded import load_run
from eidolon.benchmark.tasks.describe.forgetting_plot import forgetting_figure
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.forgetting.detail import ForgettingDetail
from tests.benchmark.conftest import Cli, write_lines
from tests.benchmark.drawing_boxes import faults

HOSTILE = (
    r"$\frac{a_b}{c}$ and $x^2",
    "_hidden",
    "<script>alert('x')</script>&amp;",
    "猫と犬 \N{DOG FACE} עברית",
    "a" * 90,
    "tab\tand \x1b[31mred",
    "100 % of \\alpha {braces} ~",
)
WORDS = ("dog", "cat", "bench", "umbrella", "pizza", "fork", "dining table", "baseball glove")


def texts(count: int, shift: int) -> list[dict[str, object]]:
    """Responses that name some objects that are there and, ever more along the text, some that are not."""
    rows = []
    for image in range(count):
        said = [WORDS[(image + step) % len(WORDS)] for step in range(4 + (image + shift) % 3)]
        response = " ".join(
            f"In this quiet picture of a long day we see a {name} right there." for name in said
        )
        rows.append({"image_id": image, "response": response})
    return rows


def truth(count: int) -> list[dict[str, object]]:
    return [{"image_id": i, "objects": sorted({WORDS[(i + step) % len(WORDS)] for step in (0, 1, 2, 6)})}
            for i in range(count)]  # fmt: skip


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two runs over the same 40 images."""
    folder = tmp_path_factory.mktemp("described")
    objects = write_lines(folder / "objects.jsonl", truth(40))
    for name, shift in (("a", 0), ("b", 1)):
        responses = write_lines(folder / f"{name}.jsonl", texts(40, shift))
        code = invoke(
            ["score", "--responses", str(responses), "--objects", str(objects), "--out", str(folder / name),
             "--metric", "chair,objects,forgetting", "--resamples", "100"]
        )  # fmt: skip
        assert code == 0
    return folder / "a", folder / "b"


@pytest.fixture(scope="module")
def probed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A probe run with every policy, whose model always says yes."""
    folder = tmp_path_factory.mktemp("probed")
    (folder / "mine.py").write_text(
        "class Yes:\n    def generate(self, requests):\n        return ['Yes, there is.' for r in requests]\n"
    )
    code = invoke(
        ["run", "--task", "probe", "--policy", "all", "--limit", "6", "--resamples", "50",
         "--model", f"python/{folder / 'mine.py'}:Yes", "--out", str(folder / "out"), "--max-unscored", "1"]
    )  # fmt: skip
    assert code == 0
    (run,) = (path.parent for path in (folder / "out").glob("*/run.json"))
    return run


def hostile(run: Path, folder: Path, name: str) -> Path:
    """Return a copy of a run with a hostile name and hostile categories."""
    copy = folder / f"copy-{abs(hash(name))}"
    copy.mkdir()
    for file in run.iterdir():
        if file.suffix in (".json", ".jsonl"):
            (copy / file.name).write_bytes(file.read_bytes())
    record = json.loads((copy / "run.json").read_text())
    (copy / "run.json").write_text(json.dumps(record | {"name": name}))
    rows = [json.loads(line) for line in (copy / "samples.jsonl").read_text().splitlines()]
    write_lines(copy / "samples.jsonl", [row | {"objects": [*row["objects"], *HOSTILE]} for row in rows])
    return copy


def check(runs: Sequence[Path], width: str) -> None:
    """Draw every figure that suits the runs and look for texts that overlap or are cut off."""
    sheet = SHEETS[width]
    plotted = named([load_run(run) for run in runs])
    drawings = {(one.name, name): SINGLE[name](one) for one in plotted for name in _suited(one)}
    if len(plotted) > 1:
        drawings |= {("joint", name): JOINT[name](plotted) for name in _suited_jointly(plotted)}
    for of, draw in drawings.items():
        with style(sheet):
            assert faults(draw(sheet)) == [], of


def test_every_figure_in_every_format(cli: Cli, described: tuple[Path, Path], tmp_path: Path) -> None:
    result = cli("plot", described[0], "--out", tmp_path / "figures")
    assert result.code == 0, result.err
    names = {path.name for path in (tmp_path / "figures").iterdir()}
    assert names == {f"{n}.{f}" for n in ("numbers", "position", "categories") for f in ("pdf", "svg", "png")}
    assert (tmp_path / "figures" / "numbers.pdf").read_bytes().startswith(b"%PDF")
    svg = (tmp_path / "figures" / "numbers.svg").read_text()
    assert "objects: recall" in svg, "text stays text"
    assert "of the objects it names are not in the picture" in svg


def test_widths(cli: Cli, described: tuple[Path, Path], tmp_path: Path) -> None:
    for width, sheet in (("column", COLUMN), ("page", PAGE)):
        out = tmp_path / width
        assert cli("plot", described[0], "--out", out, "--width", width, "--figure", "numbers").code == 0
        with Image.open(out / "numbers.png") as picture:
            assert picture.width == pytest.approx(sheet.inches * 300, abs=1)


@pytest.mark.parametrize("width", ["column", "page"])
def test_texts_do_not_overlap(described: tuple[Path, Path], probed: Path, width: str) -> None:
    check(described, width)
    check([probed], width)


def test_the_plot_of_a_run_folder(described: tuple[Path, Path]) -> None:
    detail = load_run(described[0]).document("forgetting.json", ForgettingDetail)
    with style(SCREEN):
        assert faults(forgetting_figure(detail, HOSTILE[0], SCREEN)) == []


def test_the_test_of_overlaps_can_fail() -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure()
    FigureCanvasAgg(figure)
    (
        figure.text(0.5, 0.5, "one text"),
        figure.text(0.52, 0.5, "another"),
        figure.text(0.98, 0.9, "cut off here"),
    )
    assert len(faults(figure)) == 2


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names(described: tuple[Path, Path], tmp_path: Path, name: str) -> None:
    copy = hostile(described[0], tmp_path, name)
    check([copy], "column")
    assert invoke(["plot", str(copy), "--out", str(tmp_path / "out"), "--figure", "categories"]) == 0
    svg = (tmp_path / "out" / "categories.svg").read_text()
    assert "<script>" not in svg.replace("&lt;script&gt;", "")
    assert "\x1b" not in svg


def test_two_hostile_runs(described: tuple[Path, Path], tmp_path: Path) -> None:
    plotted = named([load_run(hostile(described[i], tmp_path, HOSTILE[i])) for i in (0, 1)])
    for sheet in SHEETS.values():
        with style(sheet):
            assert faults(JOINT["metrics"](plotted)(sheet)) == []


def test_the_same_bytes_in_another_process(described: tuple[Path, Path], tmp_path: Path) -> None:
    for number in (1, 2):
        subprocess.run(
            [sys.executable, "-m", "eidolon.benchmark", "plot", described[0], "--out", tmp_path / str(number)],
            check=True, env={**os.environ, "PYTHONHASHSEED": str(number)}, capture_output=True,
        )  # fmt: skip
    files = sorted(path.name for path in (tmp_path / "1").iterdir())
    assert len(files) == 9
    for name in files:
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes(), name


def test_several_runs(cli: Cli, described: tuple[Path, Path], probed: Path, tmp_path: Path) -> None:
    result = cli("plot", *described, "--out", tmp_path / "two", "--format", "svg")
    assert result.code == 0, result.err
    assert {path.name for path in (tmp_path / "two").glob("*.svg")} == {"metrics.svg", "differences.svg"}
    assert (tmp_path / "two" / "a" / "position.svg").is_file()
    title = (tmp_path / "two" / "differences.svg").read_text()
    assert "significant" in title or "is better in" in title
    result = cli("plot", described[0], probed, "--out", tmp_path / "unlike", "--format", "svg")
    assert result.code == 0
    assert "not drawn: metrics: the runs have no quantity in common" in result.err
    assert "not drawn: differences: " in result.err


def test_probe_answers(cli: Cli, probed: Path, tmp_path: Path) -> None:
    assert cli("plot", probed, "--out", tmp_path, "--format", "svg").code == 0
    svg = (tmp_path / "answers.svg").read_text()
    assert "adversarial, strict" in svg
    assert "are yes" in svg


def test_what_cannot_be_drawn_says_why(cli: Cli, inputs: list[str], tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert cli("score", *inputs, "--out", run, "--metric", "chair,objects").code == 0
    result = cli("plot", run, "--out", tmp_path / "out", "--format", "png")
    assert result.code == 0
    assert result.err == (
        "not drawn: position: the run has no forgetting.json; --metric forgetting computes it\n"
    )
    result = cli("plot", run, "--out", tmp_path / "none", "--figure", "retention,position")
    assert result.code == 2
    assert result.err.count("\n") == 1
    assert "no figure can be drawn: position: the run has no forgetting.json" in result.err
    assert not (tmp_path / "none").exists()


def test_a_run_that_is_not_finished(cli: Cli, described: tuple[Path, Path], tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "run.json").write_bytes((described[0] / "run.json").read_bytes())
    result = cli("plot", copy, "--out", tmp_path / "out")
    assert result.code == 2
    assert "is not a finished run" in result.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--width", "poster"], "--width poster: must be column or page"),
        (["--figure", "number"], "--figure number: there is none of this name; did you mean 'numbers'?"),
        (["--format", "gif"], "--format gif: there is none of this name"),
        (["--figure", "differences"], "differences takes several runs"),
    ],
)
def test_wrong_options(
    cli: Cli, described: tuple[Path, Path], tmp_path: Path, arguments: list[str], message: str
) -> None:
    result = cli("plot", described[0], "--out", tmp_path / "out", *arguments)
    assert result.code == 2
    assert message in result.err
    assert result.err.count("\n") == 1


def test_wrong_places(cli: Cli, described: tuple[Path, Path], tmp_path: Path) -> None:
    result = cli("plot", described[0], "--out", described[0])
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert "is a run folder, whose files it could replace" in result.err
    assert cli("plot", described[0], described[0]).code == 2
    assert cli("plot", tmp_path / "nowhere").code == 2
    (tmp_path / "file").write_text("")
    result = cli("plot", described[0], "--out", tmp_path / "file", "--figure", "numbers")
    assert result.code == 2
    assert "cannot be written" in result.err


def test_runs_of_the_same_name(described: tuple[Path, Path], tmp_path: Path) -> None:
    runs = [load_run(hostile(described[0], tmp_path, name)) for name in ("same",)] + [load_run(described[0])]
    for run in runs:
        run.record.name = "same"
    names: list[PlottedRun] = named(runs)
    assert len({one.name for one in names}) == 2
    assert len({one.folder for one in names}) == 2
    with pytest.raises(UserError):
        JOINT["differences"]([names[0]])
