"""The file of a page: its policy, its escapes, its bundle, and where `eidolon view` writes it."""

import base64
import hashlib
import json
import re
from pathlib import Path

import pytest
from PIL import Image

from eidolon.benchmark.report.view import document
from eidolon.benchmark.report.view import page as pages
from eidolon.benchmark.report.view.pictures import MOST_BYTES, FolderPictures, encode
from eidolon.benchmark.report.view.positions import odds_sentence
from eidolon.benchmark.report.view.records import View
from eidolon.benchmark.store.record import SampleRow
from eidolon.scorers.forgetting.fits import Fit
from tests.benchmark.conftest import OBJECTS, RESPONSES, Cli, write_lines

ROOT = Path(__file__).parents[4]
FRONTEND = ROOT / "frontend"


@pytest.fixture
def run(cli: Cli, tmp_path: Path) -> Path:
    responses, objects = (
        write_lines(tmp_path / "r.jsonl", RESPONSES),
        write_lines(tmp_path / "o.jsonl", OBJECTS),
    )
    assert cli("score", "--responses", responses, "--objects", objects, "--out", tmp_path / "run").code == 0
    return tmp_path / "run"


def data_of(page: Path) -> View:
    (found,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page.read_text())
    return View.model_validate_json(found)


def test_the_page_lies_in_the_run_folder_and_spoils_no_check(cli: Cli, run: Path) -> None:
    result = cli("view", run)
    assert (result.code, result.out) == (0, f"written: {run / 'view' / 'index.html'}\n")
    view = data_of(run / "view" / "index.html")
    assert [detail.response.response for detail in view.runs[0].details] == [
        row["response"] for row in RESPONSES
    ]
    assert cli("check", run).code == 0


def test_many_samples_go_to_a_folder_beside_the_page(
    cli: Cli, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "MOST_INSIDE", 2)
    monkeypatch.setattr(pages, "PAGE_SIZE", 2)
    out = run.parent / "deep" / "page.html"
    assert cli("view", run, "--out", out).code == 0
    (found,) = data_of(out).runs
    assert found.details == ()
    assert found.pages == ("page-data/run-0-page-0.js", "page-data/run-0-page-1.js")
    call = (out.parent / found.pages[1]).read_text()
    number, index, text = json.loads("[" + call.removeprefix("eidolonPage(").removesuffix(")\n") + "]")
    assert (number, index) == (0, 1)
    assert [one["response"]["response"] for one in json.loads(text)] == [RESPONSES[2]["response"]]
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', out.read_text())
    assert policy is not None
    assert "strict-dynamic" in policy[1]


def test_an_unfinished_run_has_a_page_that_says_what_is_missing(cli: Cli, run: Path) -> None:
    (run / "scores.json").unlink()
    assert cli("view", run).code == 0
    (found,) = data_of(run / "view" / "index.html").runs
    assert found.numbers == ()
    assert "no scores yet" in " ".join(found.warnings)
    assert len(found.details) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{run}", "{run}"], "is given twice"),
        (["{run}", "--images", "{run}/none"], "--images {run}/none: cannot be read"),
        (["{run}/none"], "{run}/none: no such folder"),
        (["{run}", "--out", "{run}/run.json/page.html"], "cannot be written"),
    ],
)
def test_mistakes_are_named(cli: Cli, run: Path, arguments: list[str], message: str) -> None:
    result = cli("view", *(argument.format(run=run) for argument in arguments))
    assert result.code == 2
    assert message.format(run=run) in result.err


def test_the_policy_names_the_hashes_of_what_stands_in_the_page(cli: Cli, run: Path) -> None:
    cli("view", run)
    text = (run / "view" / "index.html").read_text(encoding="utf-8")
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    rules = dict(rule.split(" ", 1) for rule in policy.replace("&#x27;", "'").split("; "))
    assert rules["default-src"] == "'none'"
    for tag, rule in (("script", "script-src"), ("style", "style-src")):
        (content,) = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert rules[rule] == f"'sha256-{digest}'"
    assert rules["img-src"] == "data:"
    assert not re.search("unsafe|http|\\*", policy)


@pytest.mark.parametrize(
    "text", ["</script><b>", "<!--", "&amp;", "\u2028", "\ud800", 'a"b\\', "é \U0001f3dd"]
)
def test_escapes_read_back_as_the_same_text(text: str) -> None:
    found = document.escaped({"text": text})
    assert not set("<>&\u2028") & set(found)
    assert json.loads(found) == {"text": text}
    found.encode()


def test_the_bundle_was_made_from_these_sources() -> None:
    """`make frontend` records the hashes. `make browser` also makes the bundle again and compares."""
    recorded = json.loads(document.asset("bundle.json"))
    for name, wanted in recorded["made"].items():
        assert hashlib.sha256((document.ASSETS / name).read_bytes()).hexdigest() == wanted, name
    files = [FRONTEND / name for name in ("build.mjs", "package.json", "package-lock.json", "tsconfig.json")]
    files += (FRONTEND / "src").iterdir()
    here = {
        path.relative_to(FRONTEND).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files
    }
    assert recorded["sources"] == here, "run make frontend"
    inside = json.loads((FRONTEND / "package.json").read_text())["dependencies"]
    for package, version in inside.items():
        assert f"{package} {version} (" in document.asset("THIRD_PARTY_LICENCES")


def test_a_picture_is_small_whatever_it_shows() -> None:
    noise = Image.effect_noise((1200, 900), 120).convert("RGB")
    content = encode(noise)
    assert len(content) <= MOST_BYTES
    plain = encode(Image.new("RGB", (1200, 900), "red"))
    import io

    assert max(Image.open(io.BytesIO(plain)).size) == 320


@pytest.mark.parametrize("name", ["7.png", "COCO_val2014_000000000007.jpg"])
def test_pictures_are_found_by_image_id(tmp_path: Path, name: str) -> None:
    Image.new("RGB", (4, 4), "blue").save(tmp_path / name)
    here = SampleRow(sample_id="x", image_id=7, objects=())
    none = SampleRow(sample_id="x", image_id=8, objects=())
    other = SampleRow(sample_id="x", image_id=7, objects=(), image_sha256="0" * 64)
    source = FolderPictures(tmp_path, [here, none])
    assert source.picture(here) is not None
    assert source.picture(none) is None
    assert source.picture(other) is None


@pytest.mark.parametrize(
    ("ratio", "interval", "wanted"),
    [
        (3.0, (1.5, 6.0), "3.00 times as high (95 % interval 1.50 to 6.00)"),
        (3.0, (1.5, 6.0), "rises with position"),
        (0.5, (0.3, 0.8), "falls with position"),
        (1.2, (0.7, 2.0), "the interval holds 1, so no effect of position is shown (a ratio of 2.50"),
    ],
)
def test_the_odds_ratio_is_said_in_words(ratio: float, interval: tuple[float, float], wanted: str) -> None:
    fit = Fit(label="late minus early", odds_ratio=ratio, ci=interval, minimum_detectable=2.5)
    assert wanted in odds_sentence(fit)
    assert "There is no late-minus-early odds ratio: too few" in odds_sentence(
        Fit(label="late minus early", reason="too few")
    )
