"""`eidolon check`: honest runs pass, and whatever is changed in one is found, hashes or not."""

import json
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eidolon.benchmark.cli import invoke
from eidolon.benchmark.store import loaded
from eidolon.benchmark.store.atomic import file_hashes
from eidolon.benchmark.tasks.checking.problems import DifferenceError, UncheckableError
from eidolon.benchmark.tasks.describe import checks as describe_checks
from eidolon.benchmark.tasks.describe import tallied
from eidolon.benchmark.verify.check import folder as folders
from eidolon.benchmark.verify.check.findings import Report
from eidolon.benchmark.verify.check.run import FOREIGN, CheckOptions, check_runs
from eidolon.benchmark.verify.check.scoring import differences
from eidolon.scorers.core.errors import UserError
from tests.benchmark.conftest import OBJECTS, RESPONSES, Cli, read_lines, write_lines
from tests.benchmark.tasks.score_files.test_answers import amber_files, coco, judge_files, pope_files

SAID = [
    "There is a dog and a cat beside a red car.",
    "A person with an umbrella, and a bench. There is no cup.",
    "I can see a bird, a pizza and two clocks.",
    "",
]


def run_scenes(root: Path, *arguments: str) -> Path:
    """Run four scenes against recorded responses; the run's folder."""
    root.mkdir()
    replay = root / "said.jsonl"
    rows: list[dict[str, Any]] = [
        {"sample_id": f"scenes-0-{i}", "response": text} for i, text in enumerate(SAID)
    ]
    if "probe" in arguments:
        splits = [
            (i, split, n)
            for i in range(4)
            for split in ("random", "popular", "adversarial")
            for n in range(1, 7)
        ]
        rows = [
            {"sample_id": f"scenes-0-{i}:{s}:{n}", "response": ("Yes.", "no")[n % 2]} for i, s, n in splits
        ]
    write_lines(replay, rows)
    out = root / "out"
    code = invoke(
        [
            "run",
            "--model",
            f"replay/{replay}",
            "--limit",
            "4",
            "--resamples",
            "20",
            "--out",
            str(out),
            *arguments,
        ]
    )
    assert code == 0
    (folder,) = (path.parent for path in out.glob("*/run.json"))
    return folder


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of descriptions; tests only read it."""
    return run_scenes(tmp_path_factory.mktemp("runs") / "describe")


@pytest.fixture(scope="module")
def probed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of questions under all policies; tests only read it."""
    return run_scenes(tmp_path_factory.mktemp("runs") / "probe", "--task", "probe", "--policy", "all")


def verdicts(report: Report) -> dict[str, str]:
    (run,) = report.runs
    return {finding.check: finding.verdict for finding in run.checks}


def found(path: Path) -> dict[str, str]:
    """The details of the checks that differ."""
    (run,) = check_runs([path], CheckOptions()).runs
    assert run.verdict == ("differs" if any(f.verdict == "differs" for f in run.checks) else "ok")
    return {finding.check: finding.detail for finding in run.checks if finding.verdict == "differs"}


def copy(run: Path, to: Path) -> Path:
    shutil.copytree(run, to)
    return to


def edit_json(path: Path, change: Callable[[Any], None]) -> None:
    document = json.loads(path.read_text(encoding="utf-8"))
    change(document)
    path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def edit_line(path: Path, number: int, change: Callable[[Any], None]) -> None:
    rows = read_lines(path)
    change(rows[number])
    write_lines(path, rows)


def hide(run: Path) -> None:
    """Write matching hashes, as a forger would."""
    edit_json(run / "run.json", lambda record: record.update(files=file_hashes(run)))


def test_honest_runs_pass(cli: Cli, described: Path, probed: Path) -> None:
    result = cli("check", described, probed)
    assert result.code == 0, result.out
    assert "18 ok" in result.out
    assert verdicts(check_runs([described], CheckOptions())) == {
        **dict.fromkeys(
            ("files", "schema", "hashes", "samples", "responses", "judgements", "judge", "totals", "scores",
             "intervals", "counts", "variants", "signature", "curves", "comparability", "truth", "versions"), "ok"
        ),
        "answers": "not checkable",
    }  # fmt: skip
    assert set(verdicts(check_runs([probed], CheckOptions())).values()) == {"ok"}


def test_json(cli: Cli, described: Path) -> None:
    import jsonschema

    from eidolon.benchmark.json_schemas import read

    result = cli("check", "--json", described)
    document = json.loads(result.out)
    jsonschema.validate(document, read("check"))
    assert document["schema"] == "eidolon/check/1"
    assert document["runs"][0]["verdict"] == "ok"


# Tampering


def set_(path: str, value: Any) -> Callable[[Any], None]:
    """Set a field, named with dots."""

    def change(document: Any) -> None:
        *places, last = path.split(".")
        for place in places:
            document = document[int(place) if isinstance(document, list) else place]
        document[int(last) if isinstance(document, list) else last] = value

    return change


def in_json(name: str, path: str, value: Any) -> Callable[[Path], None]:
    return lambda run: edit_json(run / name, set_(path, value))


def in_line(name: str, number: int, path: str, value: Any) -> Callable[[Path], None]:
    return lambda run: edit_line(run / name, number, set_(path, value))


def drop_line(name: str) -> Callable[[Path], None]:
    return lambda run: write_lines_of(run / name, lambda rows: rows[:1] + rows[2:])


def double_line(name: str) -> Callable[[Path], None]:
    return lambda run: write_lines_of(run / name, lambda rows: rows[:2] + rows[1:])


def swap_lines(name: str) -> Callable[[Path], None]:
    return lambda run: write_lines_of(run / name, lambda rows: [rows[1], rows[0], *rows[2:]])


def write_lines_of(path: Path, change: Callable[[list[Any]], list[Any]]) -> None:
    write_lines(path, change(read_lines(path)))


def in_signature(old: str, new: str) -> Callable[[Path], None]:
    def change(run: Path) -> None:
        text = (run / "scores.json").read_text()
        assert old in text
        (run / "scores.json").write_text(text.replace(old, new, 1))

    return change


def in_both_signatures(part: str, old: str, new: str) -> Callable[[Path], None]:
    """Change a part in `run.json` and in the line of `scores.json`."""

    def change(run: Path) -> None:
        record = json.loads((run / RUN).read_text())
        assert old in record["signature"][part]
        record["signature"][part] = record["signature"][part].replace(old, new)
        (run / RUN).write_text(json.dumps(record))
        in_signature(old, new)(run)

    return change


VALUE, BOUND = "metrics.objects.f05.value", "metrics.objects.f05.ci.1"
S, R, J, Q, A, SC, RUN = (
    "samples.jsonl", "responses.jsonl", "judgements.jsonl", "questions.jsonl", "answers.jsonl", "scores.json",
    "run.json",
)  # fmt: skip

DESCRIBED: dict[str, tuple[str, Callable[[Path], None]]] = {
    "a response": ("judge", in_line(R, 0, "response", "There is a dog beside a red car and a cat.")),
    "a response by a word": ("judgements", in_line(R, 0, "response", "There is a dog, a cat and one red car.")),
    "the end of a response": ("judge", in_line(R, 1, "response", SAID[1] + " A cow.")),
    "an error for a response": ("judgements", lambda run: edit_line(
        run / R, 0, lambda row: row.update(response=None, error="lost", finish_reason="error"))),
    "an image id of a response": ("responses", in_line(R, 0, "image_id", "scenes-0-1")),
    "a prompt of a response": ("responses", in_line(R, 0, "prompt", "Look well.")),
    "a mention": ("judge", lambda run: edit_line(run / J, 0, lambda row: row["mentions"].pop())),
    "a mention's category": ("judge", in_line(J, 0, "mentions.0.category", "bear")),
    "a verdict": ("judgements", lambda run: edit_line(run / J, 0, lambda row: [
        mention.update(verdict="grounded") for mention in row["mentions"]])),
    "a span": ("judgements", in_line(J, 0, "mentions.0.start", 3)),
    "what is unscored": ("judge", in_line(J, 2, "unscored", "too long")),
    "a score": ("scores", in_json(SC, VALUE, 0.99)),
    "a score by a little": ("scores", lambda run: edit_json(run / SC, lambda d: d["metrics"]["objects"]["f05"].update(
        value=d["metrics"]["objects"]["f05"]["value"] + 1e-6))),
    "a score of a category": ("scores", in_json(SC, "metrics.objects.per_category.dog.precision.value", 0.123)),
    "an interval": ("intervals", in_json(SC, BOUND, 0.999)),
    "how intervals were made": ("intervals", in_json(SC, "intervals.resamples", 10_000)),
    "a count": ("counts", lambda run: edit_json(run / SC, lambda d: d["counts"]["objects"].update(
        {next(iter(d["counts"]["objects"])): 77}))),
    "the kinds of responses": ("counts", in_json(SC, "responses.empty", 0)),
    "a total": ("totals", in_json(SC, "n.unscored", 2)),
    "a metric more": ("scores", lambda run: edit_json(run / SC, lambda d: d["metrics"].update(
        mine={"best": d["metrics"]["objects"]["f05"]}))),
    "a metric less": ("scores", lambda run: edit_json(run / SC, lambda d: d["metrics"].pop("chair"))),
    "a variant": ("variants", lambda run: edit_json(run / SC, lambda d: d["variants"].append(
        {"label": "best", "settings": {}, "metrics": {}}))),
    "a curve": ("curves", in_json("forgetting.json", "curves.0.points.0.mentions", 99)),
    "no curves": ("curves", lambda run: (run / "forgetting.json").unlink()),
    "the signature's dataset": ("signature", in_signature("dataset=scenes#", "dataset=coco#")),
    "the signature's n": ("signature", in_signature("|n=4|", "|n=400|")),
    "the signature's prompt": ("signature", in_signature("prompt=describe#", "prompt=brief#")),
    "the signature's decoding": ("signature", in_signature("sample(t=0.6", "sample(t=0.2")),
    "the signature's judge": ("signature", in_signature("reading=careful", "reading=original")),
    "the signature's version": ("signature", in_signature("|eidolon=", "|eidolon=9")),
    "the recorded dataset": ("signature", in_both_signatures("dataset", "scenes#", "coco#")),
    "the recorded decoding": ("signature", in_both_signatures("decoding", "t=0.6", "t=0.2")),
    "the recorded judge": ("signature", in_both_signatures("judge", "reading=careful", "reading=original")),
    "the judge's settings": ("signature", in_json(RUN, "signature.judge_settings.reading", "original")),
    "the config's seed": ("signature", in_json(RUN, "config.settings.seed", 1)),
    "the config's temperature": ("signature", in_json(RUN, "config.settings.temperature", 0.2)),
    "the config's resamples": ("intervals", in_json(RUN, "config.settings.resamples", 21)),
    "the config's prompt": ("responses", in_json(RUN, "config.inputs.prompt.text", "Look.")),
    "the config's prompt hash": ("comparability", in_json(RUN, "config.inputs.prompt.hash", "0123456789ab")),
    "the config's dataset hash": ("truth", in_json(RUN, "config.inputs.dataset", "a" * 64)),
    "the config's judge": ("signature", in_json(
        RUN, "config.inputs.judge", "lexicon(reading=original,vocabulary=coco80)")),
    "the dials": ("truth", in_json(RUN, "config.settings.dataset_options", {"max_objects": "4"})),
    "the objects of an image": ("truth", in_line(S, 0, "objects", ["dog"])),
    "the picture of a sample": ("truth", in_line(S, 0, "image_sha256", "b" * 64)),
    "a response left out": ("responses", drop_line(R)),
    "a response doubled": ("responses", double_line(R)),
    "two responses swapped": ("responses", swap_lines(R)),
    "a judgement left out": ("judgements", drop_line(J)),
    "a judgement doubled": ("judgements", double_line(J)),
    "a sample left out": ("samples", drop_line(S)),
    "a sample doubled": ("samples", double_line(S)),
    "a sample id in the record": ("samples", in_json(RUN, "sample_ids.0", "scenes-0-9")),
    "the batches": ("samples", in_json(RUN, "batches.count", 9)),
    "the status": ("hashes", in_json(RUN, "status", "error")),
    "a torn line": ("schema", lambda run: (run / J).write_bytes((run / J).read_bytes()[:-2])),
    "an unknown field": ("schema", in_line(R, 0, "note", "x")),
    "a file gone": ("files", lambda run: (run / J).unlink()),
    "no scores": ("files", lambda run: (run / SC).unlink()),
}  # fmt: skip

PROBED: dict[str, tuple[str, Callable[[Path], None]]] = {
    "an answer": ("answers", in_line(R, 0, "response", "Yes, there is.")),
    "what was read": ("answers", in_line(A, 0, "parsed.original", "yes")),
    "a label": ("answers", in_line(Q, 0, "label", "no")),
    "a question": ("responses", in_line(Q, 0, "text", "Is there a moon in the image?")),
    "questions left out": ("samples", drop_line(Q)),
    "a score": ("scores", in_json(SC, "metrics.pope.accuracy.value", 1.0)),
    "an interval": ("intervals", in_json(SC, "metrics.pope.accuracy.ci.0", 0.11)),
    "a variant's score": ("variants", in_json(SC, "variants.0.metrics.pope.accuracy.value", 1.0)),
    "the recorded policy": ("signature", in_both_signatures("policy", "policy=original", "policy=strict")),
    "the policy": ("signature", in_signature("policy=original", "policy=strict")),
    "the questions' hash": ("truth", in_json(RUN, "config.inputs.task.questions", "a" * 64)),
    "the objects of an image": ("truth", in_line(S, 0, "objects", ["dog"])),
}


@pytest.mark.parametrize("what", [*DESCRIBED])
def test_a_change_in_a_run_of_descriptions_is_found(described: Path, tmp_path: Path, what: str) -> None:
    _tamper(described, tmp_path, *DESCRIBED[what])


@pytest.mark.parametrize("what", [*PROBED])
def test_a_change_in_a_run_of_questions_is_found(probed: Path, tmp_path: Path, what: str) -> None:
    _tamper(probed, tmp_path, *PROBED[what])


def _tamper(run: Path, tmp_path: Path, check: str, change: Callable[[Path], None]) -> None:
    """Change a run; it is found by the hashes, and once these are made to fit by the check of that name."""
    changed = copy(run, tmp_path / "run")
    before = file_hashes(changed)
    change(changed)
    if file_hashes(changed) != before:
        with pytest.raises(DifferenceError):
            folders.CheckedFolder(changed).check_hashes()
        hide(changed)
    differing = found(changed)
    assert check in differing
    assert check == "hashes" or "hashes" not in differing


def test_one_letter_of_a_response_is_found_by_the_hash(described: Path, tmp_path: Path) -> None:
    """No judge minds it, no score shows it."""
    changed = copy(described, tmp_path / "run")
    edit_line(changed / R, 0, set_("response", SAID[0].replace("There is", "There iz")))
    assert [*found(changed)] == ["hashes"]


def test_a_run_of_an_earlier_version_has_no_hashes(described: Path, tmp_path: Path) -> None:
    changed = copy(described, tmp_path / "run")
    edit_json(changed / RUN, lambda record: record.pop("files"))
    assert verdicts(check_runs([changed], CheckOptions()))["hashes"] == "not checkable"
    assert found(changed) == {}


def test_a_task_that_is_not_installed(described: Path, tmp_path: Path) -> None:
    """Its files, samples and responses are checked; what takes the task is not checkable."""
    run = copy(described, tmp_path / "run")
    edit_json(run / RUN, set_("config.task", "somebody's"))
    report = verdicts(check_runs([run], CheckOptions()))
    assert "differs" not in report.values()
    assert {report[name] for name in ("files", "schema", "hashes", "samples", "responses")} == {"ok"}
    assert report["scores"] == "not checkable"
    changed = copy(run, tmp_path / "changed")
    in_line(R, 0, "prompt", "Look well.")(changed)
    hide(changed)
    assert "responses" in found(changed)


def test_other_versions_are_named(described: Path, tmp_path: Path) -> None:
    changed = copy(described, tmp_path / "run")
    edit_json(
        changed / RUN, lambda record: record["provenance"]["packages"].update(pillow="1.0", torch="0.1")
    )
    (run,) = check_runs([changed], CheckOptions()).runs
    details = {finding.check: finding for finding in run.checks}
    assert details["versions"].verdict == "not checkable"
    assert "torch 0.1 (here" in details["versions"].detail
    assert "drawn again" in details["truth"].detail
    assert "take Pillow 1.0" in details["truth"].detail


def test_the_walk_over_scores_sees_every_leaf(described: Path, tmp_path: Path) -> None:
    """Change each leaf of `scores.json` in turn: none is passed over."""
    run = copy(described, tmp_path / "run")
    folder = folders.CheckedFolder(run)
    here = folder.checks.rescore(folder.run, None)
    text = (run / SC).read_text()
    paths = [path for path in _leaves(json.loads(text)) if path[0] not in ("schema", "signature")]
    assert len(paths) > 500
    for path in paths[:: max(1, len(paths) // 150)]:
        document = json.loads(text)
        _change(document, path)
        (run / SC).write_text(json.dumps(document))
        try:
            there = folders.CheckedFolder(run).run.scores()
        except UncheckableError:
            continue  # of another type: the schema finds it
        assert any(differences(here, there).values()), path


def _leaves(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(value, dict):
        return [leaf for key, inner in value.items() for leaf in _leaves(inner, (*at, key))]
    if isinstance(value, list):
        return [leaf for i, inner in enumerate(value) for leaf in _leaves(inner, (*at, i))]
    return [at]


def _change(document: Any, path: tuple[Any, ...]) -> None:
    for place in path[:-1]:
        document = document[place]
    old = document[path[-1]]
    if isinstance(old, bool) or old is None:
        document[path[-1]] = not old
    else:
        document[path[-1]] = old + (1 if isinstance(old, int | float) else "x")


# Runs of `eidolon score`


def test_scored_responses(cli: Cli, inputs: list[str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert cli("score", *inputs, "--out", out, "--resamples", 50).code == 0
    assert found(out) == {}
    report = verdicts(check_runs([out], CheckOptions()))
    assert report["judge"] == report["truth"] == report["signature"] == report["intervals"] == "ok"
    assert report["comparability"] == "not checkable"  # the origin of the responses is unknown
    edit_line(out / S, 0, set_("objects", ["dog", "cat"]))
    hide(out)
    assert {"judgements", "scores", "truth"} <= found(out).keys()


def test_files_on_the_disk_have_the_findings_of_those_in_memory(
    cli: Cli, inputs: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scored = tmp_path / "scored"
    options = ["--metric", "chair,objects", "--resamples", 50]
    assert cli("score", *inputs, "--out", scored, *options).code == 0
    changes = {
        "nothing": lambda run: None,
        "a score": in_json(SC, "metrics.chair.chair_i.value", 0.99),
        "a response": drop_line(R),
        "a judgement more": double_line(J),
        "an order": swap_lines(R),
        "a field": in_line(J, 1, "note", "x"),
        "an image": in_line(J, 1, "image_id", "elsewhere"),
    }
    for what, change in changes.items():
        run = copy(scored, tmp_path / what)
        change(run)
        hide(run)
        with monkeypatch.context() as patch:
            patch.setattr(tallied, "can_tally", lambda _: False)
            kept = check_runs([run], CheckOptions()).to_json()
        with monkeypatch.context() as patch:
            patch.setattr(loaded, "IN_MEMORY", -1)
            patch.setattr(tallied, "JUDGE_BATCH", 2)
            patch.setattr(describe_checks, "JUDGE_BATCH", 2)
            assert check_runs([run], CheckOptions()).to_json() == kept, what
        assert ("differs" in kept) == (what != "nothing")


@pytest.mark.parametrize("options", [["reading=original"], ["categories=dog,cat", "reading=careful"]])
def test_the_lexicon_is_made_from_its_signature(
    cli: Cli, inputs: list[str], tmp_path: Path, options: list[str]
) -> None:
    out = tmp_path / "out"
    arguments = [word for option in options for word in ("-J", option)]
    assert cli("score", *inputs, "--out", out, *arguments).code == 0
    assert verdicts(check_runs([out], CheckOptions()))["judge"] == "ok"
    assert found(out) == {}


def test_a_vocabulary_of_the_users_takes_its_file(cli: Cli, inputs: list[str], tmp_path: Path) -> None:
    from eidolon.scorers.text.lexicon import load_lexicon

    own = load_lexicon("coco80").model_copy(update={"name": "mine"})
    (tmp_path / "mine.json").write_text(own.model_dump_json())
    out, option = tmp_path / "out", f"lexicon={tmp_path}/mine.json"
    assert cli("score", *inputs, "--out", out, "-J", option).code == 0
    assert verdicts(check_runs([out], CheckOptions()))["judge"] == "not checkable"
    assert verdicts(check_runs([out], CheckOptions({"lexicon": f"{tmp_path}/mine.json"})))["judge"] == "ok"
    assert cli("check", out, "-J", option).code == 0
    assert found(out) == {}  # the scores are computed from the judgements, whatever judge made them


@pytest.mark.parametrize("judge", ["nouns", "words"])
def test_other_judges_by_rules(cli: Cli, inputs: list[str], tmp_path: Path, judge: str) -> None:
    out = tmp_path / "out"
    if judge == "words":
        rows = [row | {"references": ["A dog on the grass."]} for row in RESPONSES]
        write_lines(tmp_path / "responses.jsonl", rows)
        inputs = [*inputs, "--metric", "detection"]
        rows = [
            row
            | {"words": row["response"].split(), "human_hallucinated": [False] * len(row["response"].split())}
            for row in rows
        ]
        write_lines(tmp_path / "responses.jsonl", rows)
    assert cli("score", *inputs, "--judge", judge, "--out", out).code == 0
    assert found(out) == {}
    assert verdicts(check_runs([out], CheckOptions()))["judge"] == (
        "ok" if judge == "nouns" else "not checkable"
    )


def test_a_judge_that_asks_models(
    cli: Cli, inputs: list[str], tmp_path: Path, tiny_judges: dict[str, Path]
) -> None:
    """Its models are not loaded on a folder's word; scores and agreement come from the votes that are there."""
    models = "models=" + ",".join(f"transformers/{path}" for path in tiny_judges.values())
    out = tmp_path / "out"
    options = ["-J", models, "-J", "categories=dog,cat,pizza,fork"]
    assert cli("score", *inputs, "--judge", "qa", *options, "--out", out, "--resamples", 20).code == 0
    assert found(out) == {}
    report = verdicts(check_runs([out], CheckOptions()))
    assert report["judge"] == "not checkable"
    assert {report[name] for name in ("scores", "intervals", "counts", "variants", "signature")} == {"ok"}
    again = json.loads(cli("check", "--json", out, *options).out)["runs"][0]
    assert {c["check"]: c["verdict"] for c in again["checks"]}["judge"] == "ok"
    for change, check in (
        (in_json(SC, "calibration.fleiss_kappa", 0.9), "counts"),
        (in_json(SC, "variants.0.metrics.throne.image_f05.value", 0.99), "variants"),
        (lambda run: edit_line(run / J, 0, _flip_a_vote), "counts"),
    ):
        changed = copy(out, tmp_path / f"changed-{check}-{id(change)}")
        change(changed)
        hide(changed)
        assert check in found(changed)


def _flip_a_vote(row: dict[str, Any]) -> None:
    votes = next(iter(row["votes"].values()))
    voter = next(iter(votes))
    votes[voter] = 1 - votes[voter]


def test_throne(cli: Cli, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = ["score", "--metric", "throne", "--answers", *judge_files(tmp_path)]
    arguments += ["--annotations", coco(tmp_path / "coco.json"), "--threshold", "9,5", "--out", out]
    assert cli(*arguments, "--resamples", 50).code == 0
    assert found(out) == {}
    report = verdicts(check_runs([out], CheckOptions()))
    assert report["scores"] == report["intervals"] == report["counts"] == report["signature"] == "ok"
    assert report["variants"] == report["responses"] == "not checkable"
    for change, check in (
        (in_line(J, 0, "mentions.0.votes.a/1", 0), "scores"),
        (in_line(J, 0, "mentions.0.verdict", "hallucinated"), "judgements"),
        (in_json(SC, "metrics.throne.classwise_f05.ci.0", 0.77), "intervals"),
    ):
        changed = copy(out, tmp_path / f"changed-{check}")
        change(changed)
        hide(changed)
        assert check in found(changed)


def test_pope(cli: Cli, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert cli(*pope_files(tmp_path), "--policy", "all", "--out", out).code == 0
    assert found(out) == {}
    report = verdicts(check_runs([out], CheckOptions()))
    assert report["variants"] == report["answers"] == report["signature"] == "ok"
    for change, check in (
        (in_line(R, 0, "response", "Not at all"), "answers"),
        (in_json(SC, "variants.1.metrics.pope.accuracy.value", 0.77), "variants"),
        (in_json(SC, "metrics.pope.f1.ci.0", 0.77), "intervals"),
        (drop_line(A), "answers"),
    ):
        changed = copy(out, tmp_path / f"changed-{check}-{id(change)}")
        change(changed)
        hide(changed)
        assert check in found(changed)


def test_amber(cli: Cli, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert cli(*amber_files(tmp_path), "--out", out).code == 0
    assert found(out) == {}
    changed = copy(out, tmp_path / "changed")
    edit_line(
        changed / A,
        0,
        lambda row: row["parsed"].update(compat={"yes": "no"}.get(row["parsed"]["compat"], "yes")),
    )
    hide(changed)
    assert {"answers", "scores"} <= found(changed).keys()


def test_detection(cli: Cli, tmp_path: Path) -> None:
    split = [(row, row["response"].split()) for row in RESPONSES]
    rows = [
        row | {"words": words, "human_hallucinated": [i % 3 == 0 for i in range(len(words))]}
        for row, words in split
    ]
    responses, objects = write_lines(tmp_path / "r.jsonl", rows), write_lines(tmp_path / "o.jsonl", OBJECTS)
    out = tmp_path / "out"
    arguments = [
        "score",
        "--metric",
        "detection",
        "--responses",
        responses,
        "--objects",
        objects,
        "--out",
        out,
    ]
    assert cli(*arguments, "--resamples", 50).code == 0
    assert found(out) == {}
    report = verdicts(check_runs([out], CheckOptions()))
    assert report["judge"] == report["answers"] == report["scores"] == report["intervals"] == "ok"
    changed = copy(out, tmp_path / "changed")
    edit_line(changed / "words.jsonl", 0, lambda row: row["scores"].__setitem__(0, 0.5))
    hide(changed)
    assert "answers" in found(changed)


def test_a_dataset_of_the_users(cli: Cli, picture_folder: Path, replay_file: Path, tmp_path: Path) -> None:
    dataset, out = f"folder/{picture_folder}", tmp_path / "out"
    assert cli("run", "--model", f"replay/{replay_file}", "--dataset", dataset, "--out", out).code == 0
    (run,) = out.glob("*/run.json")
    assert verdicts(check_runs([run.parent], CheckOptions()))["truth"] == "ok"
    assert "by" not in found(run.parent)
    assert cli("check", run.parent, "--dataset", dataset).code == 0
    (picture_folder / "3.png").write_bytes((picture_folder / "4.png").read_bytes())
    changed = cli("check", run.parent, "--dataset", dataset, "--json")
    assert changed.code == 3
    assert "another picture" in changed.out
    assert cli("check", run.parent, "-D", "a=b").code == 2


# Hostile folders: a line, and no traceback


def hostile(run: Path, name: str) -> None:
    """Make a folder of the kind that somebody might send."""
    target = run.parent / "outside"
    target.write_text("secret\n")
    match name:
        case "link out of the folder":
            (run / R).unlink()
            (run / R).symlink_to(target)
        case "a folder for a file":
            (run / R).unlink()
            (run / R).mkdir()
        case "a pipe":
            (run / J).unlink()
            os.mkfifo(run / J)
        case "a huge line":
            (run / R).write_bytes(b'{"sample_id": "' + b"a" * (loaded.MAX_LINE + 10) + b'"}\n')
        case "a number that is not finite":
            (run / SC).write_text((run / SC).read_text().replace('"value": 0', '"value": NaN, "n": 0', 1))
        case "an infinite bound":
            edit_json(run / SC, set_(BOUND, float("inf")))
        case "another encoding":
            (run / R).write_bytes((run / R).read_text().encode("utf-16"))
        case "a byte order mark":
            (run / SC).write_bytes(b"\xef\xbb\xbf" + (run / SC).read_bytes())
        case "deep nesting":
            (run / J).write_text("[" * 100_000 + "\n")
        case "a number without end":
            edit_json(run / SC, set_("n.samples", 10**4000))
        case "a lone surrogate":
            (run / R).write_text((run / R).read_text().replace("There is", "\\ud800", 1))
        case "markup":
            edit_line(run / J, 0, set_("unscored", "[red]</td><script>\x1b[2J\u202e[/red]"))
        case "a judge to download":
            edit_json(run / RUN, set_("config.settings.judge", "qa"))
            edit_json(run / RUN, set_("config.settings.judge_options", {"models": "transformers/evil/m"}))
            edit_json(run / RUN, set_("config.inputs.judge", "qa(models=transformers/evil/m)"))
        case "a pipeline to load":
            edit_json(run / RUN, set_("config.settings.judge", "nouns"))
            edit_json(run / RUN, set_("config.settings.judge_options", {"pipeline": "evil"}))
            edit_json(run / RUN, set_("config.inputs.judge", "nouns(pipeline=evil)"))
        case "a vocabulary to open":
            signature = "lexicon(reading=careful,vocabulary=../../outside.json)"
            edit_json(run / RUN, set_("config.settings.judge_options", {"lexicon": "../../outside.json"}))
            edit_json(run / RUN, set_("config.inputs.judge", signature))
        case "a metric that is none":
            edit_json(run / RUN, set_("config.settings.metrics", ["os:system"]))
        case "a dataset to open":
            edit_json(run / RUN, set_("config.settings.dataset", "folder//etc"))
        case "scenes without end":
            edit_json(run / RUN, set_("config.settings.dataset_options", {"image_size": "100000000"}))
        case "a scene far away":
            edit_line(run / S, 0, set_("image_id", "scenes-0-" + "9" * 400))
        case "resamples without end":
            edit_json(run / RUN, set_("config.settings.resamples", 10**12))
        case "a seed below nothing":
            edit_json(run / RUN, set_("config.settings.seed", -1))
        case "batches of nothing":
            edit_json(run / RUN, set_("batches", {"size": 0}))
        case "generations without end":
            edit_json(run / RUN, set_("config.settings.generations", 10**9))
        case "a signature that is none":
            edit_json(run / SC, set_("signature", "best of all"))
        case "no responses":
            (run / R).write_text("")
        case "empty files":
            for file in (S, R, J, SC):
                (run / file).write_text("")


HOSTILE = [
    line.strip()[6:-2]
    for line in Path(__file__).read_text().splitlines()
    if line.strip().startswith('case "')
]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_folder_is_found_out(
    cli: Cli, described: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name == "a huge line":
        monkeypatch.setattr(loaded, "MAX_LINE", 1 << 12)
    run = copy(described, tmp_path / "run")
    hostile(run, name)
    result = cli("check", run)
    assert result.code == 3, result.out
    assert "Traceback" not in result.out + result.err
    assert "secret" not in result.out
    assert "\x1b[2J" not in result.out
    assert "\u202e" not in result.out


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (None, "holds no run.json"),
        (b"", "not valid JSON"),
        (b"\xff\xfe{", "not UTF-8"),
        (b"[" * 10**6, "not valid JSON"),
        (b"{}", "not a run record"),
        (b'{"schema": "eidolon/run/2"}', "not a run record"),
        (b'{"schema": "eidolon/run/2", "config": {"verb": ["run"]}}', "not a run record"),
        (b'{"schema": "eidolon/run/1", "config": {"verb": ["run"]}}', "not a run record"),
    ],
    ids=str,
)
def test_what_is_no_run_is_said_in_one_line(
    cli: Cli, tmp_path: Path, content: bytes | None, what: str
) -> None:
    if content is not None:
        (tmp_path / "run.json").write_bytes(content)
    result = cli("check", tmp_path)
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert what in result.err
    assert "Traceback" not in result.err


def test_a_record_that_is_a_link_or_not_finite_is_no_run(cli: Cli, described: Path, tmp_path: Path) -> None:
    run = copy(described, tmp_path / "run")
    (run / RUN).unlink()
    (run / RUN).symlink_to(described / RUN)
    assert "is a link" in cli("check", run).err
    (run / RUN).unlink()
    record = json.loads((described / RUN).read_text())
    record["config"]["settings"]["temperature"] = float("nan")
    (run / RUN).write_text(json.dumps(record))
    result = cli("check", run)
    assert (result.code, "not finite" in result.err) == (2, True)
    assert cli("check", tmp_path / "nowhere").code == 2
    assert cli("check", described / RUN).code == 2


@pytest.mark.parametrize("name", [R, J, S, SC, RUN])
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_damage_ends_in_a_traceback(
    described: Path, tmp_path_factory: pytest.TempPathFactory, name: str, data: st.DataObject
) -> None:
    """Put any JSON value into any place of any file."""
    run = copy(described, tmp_path_factory.mktemp("damage") / "run")
    text = (run / name).read_text(encoding="utf-8")
    document = [json.loads(line) for line in text.splitlines()] if name.endswith("l") else json.loads(text)
    path = data.draw(st.sampled_from(_leaves(document)))
    depth = data.draw(st.integers(1, len(path)))
    value = data.draw(
        st.sampled_from(
            [None, True, -1, 0, 1e308, 10**30, "", "x", [], {}, [[1]], {"a": 1}, "\x00", "9" * 400]
        )
    )
    place = document
    for step in path[: depth - 1]:
        place = place[step]
    place[path[depth - 1]] = value
    if name.endswith("l"):
        write_lines(run / name, document)
    else:
        (run / name).write_text(json.dumps(document))
    with suppress(UserError):
        report = check_runs([run], CheckOptions())
        assert Report.model_validate_json(report.to_json()) == report


def test_what_is_a_finding_does_not_hide_every_bug() -> None:
    assert not issubclass(AssertionError, FOREIGN)
    assert not issubclass(KeyboardInterrupt, FOREIGN)
