"""Judges of an open vocabulary through the command line: score, run, detection, and what is refused."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eidolon.benchmark.json_schemas import read as read_schema
from eidolon.benchmark.tasks.score_files import responses_file as existing
from eidolon.scorers.core.judge import Evidence, Judge
from eidolon.scorers.core.language_model import Reply
from eidolon.scorers.core.metric import FloatArray
from eidolon.scorers.core.types import Response
from eidolon.scorers.json_schemas import path as schema_path
from eidolon.scorers.judges.extract import ExtractJudge
from eidolon.scorers.judges.matching import NameMatcher, decide
from eidolon.scorers.judges.nouns import NounsJudge
from eidolon.scorers.judges.words import WordsJudge
from eidolon.scorers.metrics.detection import (
    Detection,
    WordScores,
    judged_words,
    unreferenced_words,
    word_spans,
)
from eidolon.scorers.statistics.bootstrap import cluster_totals, percentiles, resample
from eidolon.scorers.text.lexicon import load_lexicon
from tests.benchmark.conftest import Cli, read_lines, write_lines

REFERENCES = ["A puppy and a sofa.", "A brown dog near some trees."]


class Model:
    """A language model that lists what it is told to list, and says yes to dogs only."""

    name = "fake"

    def __init__(self, reply: str = '{"objects": ["dog", "lamp"]}') -> None:
        self.extraction = reply

    def signature(self) -> str:
        return "fake"

    def reply(
        self, prompts: Sequence[str], *, max_new_tokens: int, schema: Mapping[str, Any] | None = None
    ) -> list[Reply]:
        if schema is not None:
            return [Reply(self.extraction) for _ in prompts]
        return [Reply("yes" if '"dog"' in prompt else "No.") for prompt in prompts]


class Lengths:
    """Two words are the more alike the nearer their lengths."""

    def signature(self) -> str:
        return "embeddings=lengths"

    def embed(self, texts: Sequence[str]) -> FloatArray:
        angles = np.array([len(text) / 10 for text in texts])
        return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def inputs(folder: Path, references: Sequence[str] | None = REFERENCES) -> list[Any]:
    row: dict[str, Any] = {"image_id": 1, "response": "A dog and a dog on a couch with a lamp."}
    if references is not None:
        row["references"] = list(references)
    return [
        "score", "--responses", write_lines(folder / "responses.jsonl", [row]),
        "--objects", write_lines(folder / "objects.jsonl", [{"image_id": 1, "objects": ["dog", "kite"]}]),
        "--out", folder / "out",
    ]  # fmt: skip


def with_judge(monkeypatch: pytest.MonkeyPatch, judge: Judge) -> None:
    monkeypatch.setattr(existing, "make_judge", lambda *_: judge)


def scores(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "out" / "scores.json").read_text())
    return found


def values(folder: Path, family: str) -> dict[str, float | None]:
    return {name: entry["value"] for name, entry in scores(folder)["metrics"][family].items()}


def test_free_nouns_and_captions(cli: Cli, tmp_path: Path) -> None:
    result = cli(*inputs(tmp_path), "--judge", "nouns")
    assert result.code == 0, result.err
    (row,) = read_lines(tmp_path / "out" / "samples.jsonl")
    # A puppy is the dog, a sofa the lexicon's couch; trees are a noun of their own.
    assert row == {
        "sample_id": "1",
        "image_id": 1,
        "objects": ["couch", "dog", "kite", "tree"],
        "image_sha256": None,
    }
    (judgement,) = read_lines(tmp_path / "out" / "judgements.jsonl")
    assert [(m["text"], m["category"], m["verdict"], m["similarity"]) for m in judgement["mentions"]] == [
        ("dog", "dog", "grounded", 1.0),
        ("dog", "dog", "grounded", 1.0),
        ("couch", "couch", "grounded", 1.0),
        ("lamp", "lamp", "hallucinated", 0.0),
    ]
    assert "match" not in judgement["mentions"][3]
    assert values(tmp_path, "chair") == {"chair_i": 1 / 4, "chair_s": 1.0, "recall": 2 / 4, "words": 11.0}
    assert values(tmp_path, "objects")["precision"] == pytest.approx(2 / 3)
    assert "per_category" not in scores(tmp_path)["metrics"]["objects"]
    assert (
        "judge=nouns(reader=textblob/2,match=names/2+coco80,concreteness=all)"
        in scores(tmp_path)["signature"]
    )
    before = (tmp_path / "out" / "scores.json").read_bytes()
    assert cli(*inputs(tmp_path), "--judge", "nouns").code == 0
    assert (tmp_path / "out" / "scores.json").read_bytes() == before


def test_extraction(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_judge(monkeypatch, ExtractJudge([Model()]))
    assert cli(*inputs(tmp_path), "--judge", "extract").code == 0
    assert values(tmp_path, "chair")["chair_i"] == 1 / 2


def test_extraction_that_fails_is_unscored(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_judge(monkeypatch, ExtractJudge([Model("I see a dog.")]))
    result = cli(*inputs(tmp_path), "--judge", "extract")
    assert result.code == 3
    assert scores(tmp_path)["n"]["unscored"] == 1
    assert scores(tmp_path)["metrics"]["chair"]["chair_i"]["value"] is None
    (judgement,) = read_lines(tmp_path / "out" / "judgements.jsonl")
    assert judgement["unscored"] == "fake: not {\"objects\": [strings]}: 'I see a dog.'"


def test_openchair(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_judge(monkeypatch, NounsJudge(match="lm", models=[Model()]))
    result = cli(*inputs(tmp_path), "--judge", "nouns", "--metric", "openchair")
    assert result.code == 0, result.err
    assert values(tmp_path, "openchair") == {"score": 2 / 3, "unsure": 0.0}
    (row,) = read_lines(tmp_path / "out" / "samples.jsonl")
    assert row["references"] == REFERENCES
    assert row["objects"] == ["dog", "kite"]
    assert scores(tmp_path)["counts"]["openchair"] == {"yes": 1, "no": 2, "unsure": 0}


def test_aloha(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    judge = NounsJudge()
    judge.matcher = NameMatcher(load_lexicon("coco80"), Lengths(), 0.99)
    with_judge(monkeypatch, judge)
    result = cli(*inputs(tmp_path), "--judge", "nouns", "--metric", "aloha,objects")
    assert result.code == 0, result.err
    # The lamp is paired with the kite or the tree, which are as long, and found there.
    assert values(tmp_path, "aloha") == {"score": 1.0, "mean": 1.0, "compat_score": 1.0, "compat_mean": 1.0}
    assert values(tmp_path, "objects")["precision"] == 1.0
    (judgement,) = read_lines(tmp_path / "out" / "judgements.jsonl")
    lamp = judgement["mentions"][3]
    assert (lamp["text"], lamp["category"], lamp["match"]) == ("lamp", "kite", "kite")


def test_references_alone_are_truth(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without --objects, what the references name is there: a dog, a couch and a tree, and no kite."""
    judge = NounsJudge()
    judge.matcher = NameMatcher(load_lexicon("coco80"), Lengths(), 0.99)
    with_judge(monkeypatch, judge)
    arguments = inputs(tmp_path)
    del arguments[arguments.index("--objects") : arguments.index("--objects") + 2]
    result = cli(*arguments, "--judge", "nouns", "--metric", "aloha")
    assert result.code == 0, result.err
    (row,) = read_lines(tmp_path / "out" / "samples.jsonl")
    assert row["objects"] == ["couch", "dog", "tree"]
    assert values(tmp_path, "aloha")["mean"] == 1.0  # the lamp is paired with the tree, which is as long
    assert "dataset=responses#" in scores(tmp_path)["signature"]
    assert cli("check", tmp_path / "out").code == 0

    with_judge(monkeypatch, NounsJudge(match="lm", models=[Model()]))
    asked = [*arguments[:-1], tmp_path / "asked", "--judge", "nouns", "--metric", "openchair"]
    assert cli(*asked).code == 0
    (row,) = read_lines(tmp_path / "asked" / "samples.jsonl")
    assert (row["objects"], row["references"]) == ([], REFERENCES)


def test_other_metrics_and_lines_without_references_need_objects(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = inputs(tmp_path)
    del arguments[arguments.index("--objects") : arguments.index("--objects") + 2]
    result = cli(*arguments, "--judge", "nouns", "--metric", "chair")
    assert result.code == 2
    assert "--objects: is missing; to score responses, give --responses and --objects" in result.err
    with_judge(monkeypatch, NounsJudge(match="lm", models=[Model()]))
    bare = inputs(tmp_path, references=None)
    del bare[bare.index("--objects") : bare.index("--objects") + 2]
    result = cli(*bare, "--judge", "nouns", "--metric", "openchair")
    assert result.code == 2
    assert "references" in result.err
    assert not (tmp_path / "out").exists()


def test_files_keep_their_schemas(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import jsonschema

    with_judge(monkeypatch, NounsJudge(match="lm", models=[Model()]))
    assert cli(*inputs(tmp_path), "--judge", "nouns", "--metric", "openchair").code == 0
    for row in read_lines(tmp_path / "out" / "samples.jsonl"):
        jsonschema.validate(row, read_schema("samples"))
    schema = json.loads(schema_path("judgements").read_text())
    assert cli(*inputs(tmp_path)[:-1], tmp_path / "names", "--metric", "openchair").code == 0
    for row in read_lines(tmp_path / "names" / "judgements.jsonl"):
        jsonschema.validate(row, schema)


def test_a_run_on_scenes(cli: Cli, tmp_path: Path, picture_folder: Path, replay_file: Path) -> None:
    arguments = ["run", "--model", f"replay/{replay_file}", "--dataset", f"folder/{picture_folder}"]
    result = cli(*arguments, "--judge", "nouns", "--out", tmp_path / "runs")
    assert result.code == 0, result.err
    (folder,) = [path.parent for path in (tmp_path / "runs").rglob("scores.json")]
    judgement = read_lines(folder / "judgements.jsonl")[0]
    assert [(m["category"], m["verdict"]) for m in judgement["mentions"]] == [
        ("dog", "grounded"),
        ("cat", "hallucinated"),
        ("lawn", "hallucinated"),
    ]
    result = cli(*arguments, "--judge", "nouns", "--metric", "aloha", "--out", tmp_path / "no")
    assert result.code == 2
    assert "--metric aloha: needs similarities" in result.err
    result = cli(*arguments, "--judge", "words", "--metric", "chair", "--out", tmp_path / "no")
    assert result.code == 2
    assert "judge words takes its verdicts from reference captions" in result.err
    assert not (tmp_path / "no").exists()


def test_a_run_needs_a_dataset_with_references(
    cli: Cli, tmp_path: Path, picture_folder: Path, replay_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:

    from eidolon.benchmark.tasks.describe import task as describing

    monkeypatch.setattr(describing, "make_judge", lambda *_: NounsJudge(match="lm", models=[Model()]))
    arguments = ["run", "--model", f"replay/{replay_file}", "--dataset", f"folder/{picture_folder}"]
    result = cli(*arguments, "--judge", "nouns", "--metric", "openchair", "--out", tmp_path / "runs")
    assert result.code == 2
    assert (
        "which asks a language model about captions: needs reference captions, which --dataset folder/"
        in result.err
    )

    # As soon as every sample has some they are handed on, and are in the run folder.
    rows = read_lines(picture_folder / "objects.jsonl")
    write_lines(
        picture_folder / "objects.jsonl", [row | {"references": ["A dog on a lawn."]} for row in rows]
    )
    result = cli(*arguments, "--judge", "nouns", "--metric", "openchair", "--out", tmp_path / "runs")
    assert result.code == 0, result.err
    (samples,) = (tmp_path / "runs").glob("*/samples.jsonl")
    assert {tuple(row["references"]) for row in read_lines(samples)} == {("A dog on a lawn.",)}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--metric", "aloha"], "--metric aloha: needs similarities; give --judge nouns"),
        (["--judge", "nouns", "--metric", "aloha"], "with -J embeddings=MODEL"),
        (["--metric", "openchair"], "--metric openchair: asks a language model about the references; give"),
        (["--judge", "nouns", "--metric", "openchair"], "with -J match=lm and -J models="),
        (
            ["--judge", "words"],
            "--metric chair: judge words takes its verdicts from reference captions, not from the true objects; give",
        ),
        (
            ["--judge", "nouns", "-J", "pipeline=en_core_web_sm_x"],
            "python -m spacy download en_core_web_sm_x",
        ),
    ],
)
def test_what_does_not_fit(cli: Cli, tmp_path: Path, arguments: list[str], message: str) -> None:
    result = cli(*inputs(tmp_path), *arguments)
    assert result.code == 2
    assert message in result.err
    assert result.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_metrics_of_objects_do_not_fit_a_judge_that_asks(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_judge(monkeypatch, NounsJudge(match="lm", models=[Model()]))
    result = cli(*inputs(tmp_path), "--judge", "nouns")
    assert result.code == 2
    assert (
        "--metric chair: judge nouns takes its verdicts from a language model, not from the true objects; give"
        in result.err
    )


@pytest.mark.parametrize(
    ("metric", "judge"),
    [("openchair", NounsJudge(match="lm", models=[Model()])), ("aloha", NounsJudge())],
)
def test_references_are_missed(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, metric: str, judge: NounsJudge
) -> None:
    if metric == "aloha":
        judge.matcher = NameMatcher(load_lexicon("coco80"), Lengths())
    with_judge(monkeypatch, judge)
    result = cli(*inputs(tmp_path, references=None), "--judge", "nouns", "--metric", metric)
    assert result.code == 2
    assert "responses.jsonl:1: image 1 has no reference captions" in result.err
    assert "give --captions or 'references' in the line" in result.err


def flagged(folder: Path, **fields: Any) -> list[Any]:
    words = ["Two", "dogs", "on", "a", "bench."]
    row = {"image_id": 1, "words": words, "human_hallucinated": [True, False, False, False, False]} | fields
    return [
        "score", "--metric", "detection", "--responses", write_lines(folder / "flagged.jsonl", [row]),
        "--out", folder / "out",
    ]  # fmt: skip


def test_detection_by_words(cli: Cli, tmp_path: Path) -> None:
    arguments = flagged(tmp_path, references=["Three dogs.", "A dog."])
    result = cli(*arguments, "--judge", "words")
    assert result.code == 0, result.err
    (judgement,) = read_lines(tmp_path / "out" / "judgements.jsonl")
    assert [(m["category"], m["weight"], m["similarity"], m["verdict"]) for m in judgement["mentions"]] == [
        ("two", 0.75, 0.0, "hallucinated"),
        ("dogs", 0.25, 1.0, "grounded"),
        ("bench", 0.25, 0.0, "hallucinated"),
    ]
    assert values(tmp_path, "detection")["word_precision"] == 1.0
    assert "judge=words(tagger=textblob,match=references/2+coco80" in scores(tmp_path)["signature"]


def test_detection_by_words_needs_references(cli: Cli, tmp_path: Path) -> None:
    objects = write_lines(tmp_path / "objects.jsonl", [{"image_id": 1, "objects": ["dog"]}])
    result = cli(*flagged(tmp_path), "--judge", "words", "--objects", objects)
    assert result.code == 2
    assert "nothing says what is in image 1; give --captions or 'references' in the line" in result.err


def average_precisions(samples: Sequence[WordScores]) -> tuple[Detection, FloatArray]:
    metric = Detection(samples)
    return metric, metric.statistics(samples)


def test_words_beat_word_overlap_on_hat(reference_data: Path) -> None:
    """The figures of docs/evidence/word-judge.md: average precision of responses on each half and on all samples.

    The halves are the lines 1, 3, 5, … and 2, 4, 6, …; what was chosen was chosen on the first.
    """
    rows = [json.loads(line) for line in (reference_data / "hat" / "hat.jsonl").read_text().splitlines()]
    judge = WordsJudge()
    responses = [
        Response(sample_id=r["sample_id"], image_id=r["image_id"], response=r["caption"]) for r in rows
    ]
    evidence = [Evidence(frozenset(), tuple(row["references"])) for row in rows]
    ours, plain = [], []
    for row, judgement in zip(rows, decide(judge, judge.judge(responses), evidence), strict=True):
        human = tuple(row["human_hallucinated"])
        spans = word_spans(row["words"], row["caption"])
        ours.append(WordScores(row["sample_id"], row["image_id"], human, judged_words(judgement, spans)))
        scored = unreferenced_words(row["words"], row["references"])
        plain.append(WordScores(row["sample_id"], row["image_id"], human, scored))

    def compare(chosen: slice) -> tuple[float, float, float, float]:
        images = [row["image_id"] for row in rows[chosen]]
        found, drawn = [], []
        for samples in (ours[chosen], plain[chosen]):
            metric, statistics = average_precisions(samples)
            found.append(metric.compute(statistics.sum(axis=0))["response_average_precision"])
            totals = cluster_totals(statistics, images)
            drawn.append(resample(totals, metric.compute, resamples=10_000)["response_average_precision"])
        low, high = percentiles(drawn[0] - drawn[1])
        return float(found[0]), float(found[1]), float(low), float(high)

    expected = [
        (slice(0, None, 2), (0.6567, 0.5384, -0.0009, 0.2335)),
        (slice(1, None, 2), (0.6756, 0.5832, -0.0121, 0.2012)),
        (slice(None), (0.6592, 0.5441, 0.0316, 0.1978)),
    ]
    for chosen, figures in expected:
        assert compare(chosen) == pytest.approx(figures, abs=5e-4)

    # The threshold with the best F1 on the first half (in steps of 0.005), on the second.
    def f1(chosen: slice, threshold: float) -> float:
        metric = Detection(ours[chosen], threshold)
        return float(metric.compute(metric.statistics(ours[chosen]).sum(axis=0))["response_f1"])

    best = max((step / 200 for step in range(1, 20)), key=lambda threshold: f1(slice(0, None, 2), threshold))
    assert best == 0.015
    assert f1(slice(0, None, 2), best) == pytest.approx(0.6173, abs=5e-4)
    assert f1(slice(1, None, 2), best) == pytest.approx(0.6216, abs=5e-4)
