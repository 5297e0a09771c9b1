import json
from pathlib import Path

import pytest

from eidolon.benchmark.report.page import render_report
from eidolon.benchmark.store.record import SampleRow
from eidolon.benchmark.tasks.protocol import Shown
from eidolon.benchmark.tasks.score_files.work import FileProducer
from eidolon.scorers.core.metric import JudgedSample
from eidolon.scorers.core.types import Response
from eidolon.scorers.core.verdict import with_verdicts
from eidolon.scorers.judges.judged_text import judge_texts
from eidolon.scorers.judges.lexicon import LexiconJudge
from eidolon.scorers.metrics.chair import Chair
from eidolon.scorers.metrics.scoring import score
from eidolon.scorers.risk.metric import Risk
from eidolon.scorers.risk.model_file import load_risk_model
from eidolon.scorers.risk.shading import mention_risks
from tests.benchmark.conftest import Cli, Result, read_lines, write_lines

TEXTS = (
    "A dog sleeps on a couch. There is a cup on the table and a cat at the window.",
    "A bus waits at the corner. Two people stand beside it, one with a backpack.",
    "The sky is clear.",
)
TRUTH = (["dog", "couch"], ["bus", "person"], [])


@pytest.fixture
def responses(tmp_path: Path) -> Path:
    return write_lines(
        tmp_path / "responses.jsonl", [{"image_id": i, "response": text} for i, text in enumerate(TEXTS)]
    )


@pytest.fixture
def judged(cli: Cli, tmp_path: Path, responses: Path) -> Path:
    objects = write_lines(
        tmp_path / "objects.jsonl", [{"image_id": i, "objects": names} for i, names in enumerate(TRUTH)]
    )
    out = tmp_path / "judged"
    result = cli("score", "--responses", responses, "--objects", objects, "--metric", "risk", "--out", out)
    assert result.code == 0, result.err
    return out


def refused(result: Result, *expected: str) -> None:
    assert result.code == 2
    (line,) = result.err.splitlines()
    assert all(text in line for text in expected), line


def test_risk_of_a_file(cli: Cli, tmp_path: Path, responses: Path) -> None:
    out = tmp_path / "risk.jsonl"
    result = cli("risk", responses, "--out", out)
    assert result.code == 0, result.err
    assert "3 responses, 8 mentions" in result.out
    lines = read_lines(out)
    first = lines[0]["mentions"]
    assert [one["category"] for one in first] == ["dog", "couch", "cup", "dining table", "cat"]
    assert all(0 < one["risk"] < 1 for line in lines for one in line["mentions"])
    assert all(TEXTS[0][one["start"] : one["end"]] == one["text"] for one in first)
    # What comes first is seldom invented; what is added at the end often is.
    assert first[0]["risk"] < first[-1]["risk"]
    assert lines[2]["mentions"] == []


def test_history_changes_the_risk_and_can_be_kept(
    cli: Cli, tmp_path: Path, responses: Path, judged: Path
) -> None:
    def risks(name: str, *arguments: object) -> list[float]:
        out = tmp_path / name
        result = cli("risk", responses, "--out", out, *arguments)
        assert result.code == 0, result.err
        return [one["risk"] for line in read_lines(out) for one in line["mentions"]]

    kept = tmp_path / "history.json"
    plain = risks("plain.jsonl")
    once = risks("once.jsonl", "--history", judged, "--save-history", kept)
    assert once != plain
    assert risks("kept.jsonl", "--history", kept) == once
    twice = risks("twice.jsonl", "--history", judged, "--history", judged)
    assert risks("continued.jsonl", "--history", kept, "--history", judged) == twice != once


def test_metric(judged: Path) -> None:
    scores = json.loads((judged / "scores.json").read_text())
    found = scores["metrics"]["risk"]
    # The cup, the table, the cat and the backpack are not in the truth.
    assert found["wrong"]["value"] == 4 / 8
    assert scores["counts"]["risk"]["mentions"] == 8
    assert 0 < found["mean_risk"]["value"] < 1
    assert found["auroc"]["value"] > 0.5
    # All responses are in the first batch, which has no history.
    assert found["history_brier"]["value"] == found["brier"]["value"]


def test_all_right_has_no_area(cli: Cli, tmp_path: Path, responses: Path) -> None:
    names = sorted(load_risk_model().vocabulary)
    objects = write_lines(tmp_path / "all.jsonl", [{"image_id": i, "objects": names} for i in range(3)])
    out = tmp_path / "right"
    assert (
        cli("score", "--responses", responses, "--objects", objects, "--metric", "risk", "--out", out).code
        == 0
    )
    found = json.loads((out / "scores.json").read_text())["metrics"]["risk"]
    assert found["auroc"]["value"] is None
    assert "all right, or all wrong" in found["auroc"]["reason"]


def test_mistakes(cli: Cli, tmp_path: Path, responses: Path, judged: Path) -> None:
    out = tmp_path / "out.jsonl"
    refused(cli("risk", tmp_path / "none.jsonl", "--out", out), "none.jsonl")
    refused(
        cli("risk", responses, "--out", out, "--save-history", tmp_path / "h.json"), "there is no history"
    )
    refused(cli("risk", responses, "--out", out, "--model", responses), "not a risk model")
    refused(cli("risk", responses, "--out", out, "--history", responses), "neither a run folder")
    kept = tmp_path / "kept.json"
    assert cli("risk", responses, "--out", out, "--history", judged, "--save-history", kept).code == 0
    other = json.loads(kept.read_text())
    other["vocabulary"] = other["vocabulary"][1:]
    kept.write_text(json.dumps(other))
    refused(cli("risk", responses, "--out", out, "--history", kept), "another vocabulary")


def test_another_vocabulary(cli: Cli, tmp_path: Path, responses: Path) -> None:
    lexicon = {"name": "mine", "categories": [{"name": "sky", "terms": ["sky"]}]}
    vocabulary = tmp_path / "mine.json"
    vocabulary.write_text(json.dumps(lexicon))
    objects = write_lines(tmp_path / "sky.jsonl", [{"image_id": i, "objects": []} for i in range(3)])
    scored = ["score", "--responses", responses, "--objects", objects, "-J", f"lexicon={vocabulary}"]
    refused(cli(*scored, "--metric", "risk", "--out", tmp_path / "a"), "knows other categories", "'sky'")
    assert cli(*scored, "--metric", "chair", "--out", tmp_path / "b").code == 0
    refused(cli("risk", tmp_path / "b", "--out", tmp_path / "c.jsonl"), "'sky'")
    refused(cli("risk", responses, "--history", tmp_path / "b", "--out", tmp_path / "c.jsonl"), "'sky'")


def test_page_of_responses_without_truth(cli: Cli, tmp_path: Path, responses: Path, judged: Path) -> None:
    out, page = tmp_path / "risk.jsonl", tmp_path / "risk.html"
    assert cli("risk", responses, "--out", out, "--page", page).code == 0
    risks = [[one["risk"] for one in line["mentions"]] for line in read_lines(out)]
    (run,) = json.loads(page.read_text().split('id="data">')[1].split("</script>")[0])["runs"]
    assert [one["risks"] for one in run["details"]] == risks
    assert {m["verdict"] for one in run["details"] for m in one["judgement"]["mentions"]} == {None}
    # Truth in a run is not used: its page has the same mentions.
    again = tmp_path / "again.html"
    assert cli("risk", judged, "--out", out, "--page", again).code == 0
    (other,) = json.loads(again.read_text().split('id="data">')[1].split("</script>")[0])["runs"]
    assert [one["judgement"] for one in other["details"]] == [one["judgement"] for one in run["details"]]
    refused(cli("risk", responses, "--out", out, "--page", out), "--page", "another output")


def unsure_about_the_cat(run: Path) -> None:
    rows = read_lines(run / "judgements.jsonl")
    for row in rows:
        for mention in row["mentions"]:
            mention["verdict"] = "ignored" if mention["category"] == "cat" else mention["verdict"]
    write_lines(run / "judgements.jsonl", rows)


def details(cli: Cli, run: Path) -> list[dict[str, object]]:
    assert cli("view", run, "--no-open").code == 0
    text = (run / "view" / "index.html").read_text()
    (found,) = json.loads(text.split('id="data">')[1].split("</script>")[0])["runs"]
    return list(found["details"])


def test_a_page_shades_what_no_truth_decides(cli: Cli, tmp_path: Path, responses: Path, judged: Path) -> None:
    assert all("risks" not in one for one in details(cli, judged))
    unsure_about_the_cat(judged)
    first, *others = details(cli, judged)
    assert cli("risk", responses, "--out", tmp_path / "risk.jsonl").code == 0
    risks = {one["category"]: one["risk"] for one in read_lines(tmp_path / "risk.jsonl")[0]["mentions"]}
    assert first["risks"] == [None, None, None, None, risks["cat"]]
    assert all("risks" not in one for one in others)


def test_a_run_without_the_metric_shades_nothing(cli: Cli, tmp_path: Path, responses: Path) -> None:
    objects = write_lines(
        tmp_path / "o.jsonl", [{"image_id": i, "objects": names} for i, names in enumerate(TRUTH)]
    )
    out = tmp_path / "plain"
    scored = ["score", "--responses", responses, "--objects", objects, "--metric", "chair", "--out", out]
    assert cli(*scored).code == 0
    unsure_about_the_cat(out)
    assert all("risks" not in one for one in details(cli, out))


@pytest.mark.parametrize("metric", ["risk", "chair"])
def test_the_report_shades_what_no_truth_decides(metric: str) -> None:
    metrics = {"risk": Risk, "chair": Chair}
    response = Response(sample_id="a", image_id="a", response=TEXTS[0])
    (judgement,) = judge_texts(LexiconJudge(), [response])
    judgement = with_verdicts(judgement, TRUTH[0], unknown=["cat"])
    model = load_risk_model()
    scores = score(
        [JudgedSample(response, judgement, frozenset(TRUTH[0]))],
        [metrics[metric]()],
        signature="dataset=x|judge=y",
    )
    rows = [SampleRow(sample_id="a", image_id="a", objects=tuple(TRUTH[0]))]
    html = render_report("mine", Shown(scores, rows, [response], [judgement]), FileProducer())
    risk = mention_risks(model, response, judgement)[-1]
    shaded = f'style="--risk: {round(100 * risk)}%" title="cat: risk {risk:.2f}">cat</mark>'
    assert (shaded in html) == ("shaded by risk" in html) == (metric == "risk")
    assert '<mark class="hallucinated" title="cup">cup</mark>' in html


def test_no_input_is_replaced(cli: Cli, tmp_path: Path, responses: Path, judged: Path) -> None:
    before = responses.read_bytes()
    refused(cli("risk", responses, "--out", responses), "would replace an input")
    refused(cli("risk", judged, "--out", judged / "risk.jsonl"), "a file of a run")
    out = tmp_path / "risk.jsonl"
    refused(
        cli("risk", responses, "--history", judged, "--out", out, "--save-history", out), "--save-history"
    )
    assert responses.read_bytes() == before
