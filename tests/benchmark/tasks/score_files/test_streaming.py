"""Responses that are scored as a stream, in one process and in several, compared with all of them in memory."""

import json
import random
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from eidolon.benchmark.report.page import render_report
from eidolon.benchmark.run.pipeline import execute
from eidolon.benchmark.run.score_plan import load_score_settings, make_score_plan
from eidolon.benchmark.store.line_log import LineLog
from eidolon.benchmark.tasks.describe.work import JudgedWork
from eidolon.benchmark.tasks.score_files import batches, source_texts, streamed_work
from eidolon.benchmark.tasks.score_files.streamed_work import StreamedWork
from eidolon.benchmark.tasks.score_files.work import FileProducer
from eidolon.benchmark.tasks.score_files.workers import in_order
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.input_files import read_bytes
from eidolon.scorers.core.record_stream import StreamedRecords, open_records
from eidolon.scorers.core.records import read_records
from eidolon.scorers.core.response_lines import WANTED, read_responses
from eidolon.scorers.core.types import Judgement
from tests.benchmark.conftest import Cli, read_lines, write_lines

FILES = ("samples.jsonl", "responses.jsonl", "judgements.jsonl", "scores.json", "report.html")
THINGS = ("dog", "cat", "car", "pizza", "chair", "bicycle", "person", "horse")


def lines(count: int) -> list[dict[str, Any]]:
    """Responses of several kinds: some failed, some refuse, some are in German, some are the second to a sample."""
    rng = random.Random(4)
    rows = []
    for i in range(count):
        row: dict[str, Any] = {"image_id": i % 17 if i % 5 else f"extra {i % 3}", "sample_id": f"s{i // 2}"}
        row |= {"generation": i % 2, "image_id": (i // 2) % 17, "prompt": "Describe."}
        named = ", a ".join(rng.sample(THINGS, rng.randint(1, 5)))
        texts = [f"There is a {named}.", f"**A {named}** in a park.", "I'm sorry, I can't see it.", ""]
        row["response"] = (
            texts[i % 4] if i % 11 else "Auf dem Bild ist ein Hund zu sehen, der auf der Wiese liegt."
        )
        if i % 13 == 0:
            row |= {"response": None, "error": "the server was down"}
        rows.append(row)
    return rows


@pytest.fixture
def inputs(tmp_path: Path) -> dict[str, Any]:
    rng = random.Random(5)
    responses = write_lines(tmp_path / "responses.jsonl", lines(600))
    truth = [{"image_id": i, "objects": rng.sample(THINGS, rng.randint(0, 3))} for i in range(17)]
    return {
        "responses": responses,
        "objects": write_lines(tmp_path / "objects.jsonl", truth),
        "resamples": 30,
    }


def scored(out: Path, **settings: Any) -> dict[str, bytes]:
    """Score as a stream."""
    plan = make_score_plan(load_score_settings(None, settings), out)
    execute(plan.run, plan.producer, render_report)
    return {name: (out / name).read_bytes() for name in FILES}


def naive(out: Path, **settings: Any) -> dict[str, bytes]:
    """Score with everything in memory, in this process."""
    plan = make_score_plan(load_score_settings(None, settings), out)
    work = plan.run.work
    assert isinstance(work, StreamedWork)
    found = read_responses(read_bytes(settings["responses"]), settings["responses"]).lines
    rows = {row.sample_id: row for row in work.samples.rows()}
    images = {row.sample_id: row.image_id for row in rows.values()}
    responses = [
        one.response.model_copy(update={"image_id": images[one.response.sample_id]}) for one in found
    ]
    kept = JudgedWork(
        name=work.name,
        samples=tuple(rows.values()),
        keys=tuple(work.samples.keys),
        judged_by=work.judged_by,
        metrics=work.metrics,
        signature=work.signature,
        seed=work.seed,
        resamples=work.resamples,
        rules=work.rules,
    )
    execute(replace(plan.run, work=kept), FileProducer(responses), render_report)
    return {name: (out / name).read_bytes() for name in FILES}


@pytest.mark.parametrize(
    ("metrics", "processes"),
    [
        (["chair"], 1),
        (["objects"], 2),
        (["chair", "objects"], 1),
        (["chair", "objects"], 3),
        (["objects", "forgetting"], 1),
    ],
)
def test_equals_everything_in_memory(
    tmp_path: Path, inputs: dict[str, Any], metrics: list[str], processes: int
) -> None:
    wanted = naive(tmp_path / "run", metrics=metrics, **inputs)
    (tmp_path / "run").rename(tmp_path / "before")
    found = scored(tmp_path / "run", metrics=metrics, processes=processes, **inputs)
    assert found == wanted
    counts = json.loads(found["scores.json"])
    assert counts["n"]["unscored"] > 0
    assert counts["responses"]["refusals"] > 0


def test_captions_join_the_truth_part_by_part(
    tmp_path: Path, inputs: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = lines(80)
    for i, row in enumerate(rows):
        row["references"] = [f"A {THINGS[i % 8]} stands there.", f"The {THINGS[i % 3]} of number {i}."] * (
            i % 2
        )
    inputs["responses"] = write_lines(tmp_path / "with.jsonl", rows)
    wanted = scored(tmp_path / "run", **inputs, metrics=["objects"])
    (tmp_path / "run").rename(tmp_path / "before")
    monkeypatch.setattr("eidolon.benchmark.tasks.score_files.captions.AT_ONCE", 3)
    assert scored(tmp_path / "run", **inputs, metrics=["objects"]) == wanted
    assert any(row["captioned"] for row in read_lines(tmp_path / "run" / "samples.jsonl"))


@pytest.mark.parametrize(("stage", "processes"), [("import", 1), ("judge", 1), ("judge", 2), ("count", 1)])
def test_a_run_that_was_stopped_ends_with_the_same_bytes(
    tmp_path: Path, inputs: dict[str, Any], monkeypatch: pytest.MonkeyPatch, stage: str, processes: int
) -> None:
    wanted = scored(tmp_path / "run", **inputs, metrics=["chair"])
    (tmp_path / "run").rename(tmp_path / "before")
    append = LineLog.append

    def stop(log: LineLog[Any], content: bytes) -> None:
        if log.done == 1 and stage in log.path.name.replace("responses", "import").replace(
            "judgements", "judge"
        ):
            raise KeyboardInterrupt
        append(log, content)

    with monkeypatch.context() as patch:
        patch.setattr(LineLog, "append", stop)
        if stage == "count":
            patch.setattr(StreamedWork, "score", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            scored(tmp_path / "run", **inputs, metrics=["chair"], processes=processes)
    assert not (tmp_path / "run" / "scores.json").exists()
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "cancelled"
    if stage == "judge":
        with (tmp_path / "run" / "judgements.jsonl").open("a") as torn:
            torn.write('{"sample_id"')
    assert scored(tmp_path / "run", **inputs, metrics=["chair"]) == wanted


def test_a_bad_line_at_the_end_leaves_no_folder(cli: Cli, tmp_path: Path, inputs: dict[str, Any]) -> None:
    with inputs["responses"].open("a") as file:
        file.write('{"image_id": 1, "response": 7}\n')
    for processes in (1, 2):
        out = tmp_path / "out"
        result = cli(
            "score", "--responses", inputs["responses"], "--objects", inputs["objects"], "--out", out,
            "--processes", processes,
        )  # fmt: skip
        assert result.code == 2
        assert f"{inputs['responses']}:601: field 'response' must be a string" in result.err
        assert not out.exists()


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"image_id": 1, "response": "a"}] * 2, r":2: sample id \"1\" is already on line 1; several"),
        (
            [{"image_id": 1, "sample_id": "x", "response": "a", "generation": g} for g in (0, 1, 1)],
            r":3: sample id \"x\" is already on line 2",
        ),
        (
            [{"image_id": i, "sample_id": "x", "response": "a", "generation": i} for i in (1, 2)],
            ":2: sample id 'x' named another image before",
        ),
        ([{"image_id": 1, "response": "a"}, {"image_id": 99, "response": "a"}], ":2: image 99 is not in"),
    ],
)
def test_mistakes_are_named_with_their_line(
    tmp_path: Path, inputs: dict[str, Any], rows: list[Any], message: str
) -> None:
    inputs["responses"] = write_lines(tmp_path / "wrong.jsonl", rows)
    with pytest.raises(UserError) as error:
        scored(tmp_path / "out", **inputs)
    assert message.replace("\\", "") in str(error.value)


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path, inputs: dict[str, Any]) -> None:
    plan = make_score_plan(load_score_settings(None, inputs), tmp_path / "out")
    with inputs["responses"].open("a") as file:
        file.write("\n")
    with pytest.raises(UserError, match="was changed while it was read"):
        execute(plan.run, plan.producer, render_report)
    assert not (tmp_path / "out" / "scores.json").exists()


@pytest.mark.parametrize(
    ("text", "streamed"),
    [
        ('{"image_id": 1, "response": "a"}\n\n{"image_id": 2, "response": "b"}\n', True),
        ('\ufeff{"image_id": 1, "response": "a"}\r\n{"image_id": 2, "response": "b"}', True),
        (
            '{"image_id": 1, "response": "a"} {"image_id": 2, "response": "b"}\n{"image_id": 3, "response": "c"}',
            True,
        ),
        ('\u00a0\n{"image_id": 1, "response": "ä"},\n \u00a0\n{"image_id": 2, "response": "\u2028"}\n', True),
        ('[{"image_id": 1, "response": "a"},\n{"image_id": 2, "response": "b"}]', False),
        ('{"image_id": 1,\n"response": "a"}\n{"image_id": 2, "response": "b"}', False),
        ('{"1": "a", "2": "b"}', False),
        ("image_id,response\n1,a\n2,b\n", False),
    ],
)
def test_streams_have_the_records_of_the_whole_text(tmp_path: Path, text: str, streamed: bool) -> None:
    path = tmp_path / "file"
    path.write_bytes(text.encode())
    found = open_records(path, WANTED).records
    whole = read_records(text.encode(), path, WANTED)
    assert isinstance(found, StreamedRecords) == streamed
    assert [*found.rows] == whole.rows
    assert (found.format, found.key) == (whole.format, whole.key)


@pytest.mark.parametrize(
    "content",
    [
        b'{"image_id": 1}\n{"image_id": \xff}\n',
        b'{"image_id": 1}\n{"image_id": 2}\n{"image_id": "\xc3',
        b'{"image_id": 1}\n{"image_id": 2\n',
        b'{"image_id": 1}\n[1]\n',
        b'{"image_id": 1}\n{} 7\n',
    ],
)
def test_mistakes_in_a_stream_are_those_of_the_whole_text(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file.jsonl"
    path.write_bytes(content)
    with pytest.raises(UserError) as whole:
        read_records(content, path, WANTED)
    with pytest.raises(UserError) as stream:
        [*open_records(path, WANTED).records.rows]
    assert str(stream.value) == str(whole.value)


def test_the_truth_has_the_hash_of_the_sorted_text() -> None:
    truth = {name: frozenset({"dog", name[:1]}) for name in ("b", "a", "aa", "a,", 'a"', "ä")}
    numbers = {i: frozenset({"cat"}) for i in (1, 12, 123, 2)}
    both = {**truth, **numbers}
    references = {1: ("A cat.",)}
    text = source_texts.truth_text(both) + source_texts.references_text(references)
    wanted = source_texts.hashed("name", text)
    assert source_texts.truth_hash("name", both.items(), references) == wanted
    rows = [json.dumps([key, sorted(value)]) for key, value in both.items()]
    assert [*source_texts.in_sorted_order(rows, most=3)] == sorted(rows)


def _double(number: int) -> int:
    if number == 5:
        raise ValueError("five")
    return 2 * number


def _make_double() -> Any:
    return _double


@pytest.mark.parametrize("processes", [1, 2])
def test_results_and_errors_come_in_order_and_items_are_made_when_needed(processes: int) -> None:
    made: list[int] = []

    def items() -> Iterator[int]:
        for i in range(100):
            made.append(i)
            yield i

    results = in_order(items(), _double, _make_double, processes)
    assert [next(results) for _ in range(5)] == [0, 2, 4, 6, 8]
    assert len(made) <= 5 + 2 * processes + 1
    with pytest.raises(ValueError, match="five"):
        next(results)


def test_memory_does_not_grow_with_the_texts(
    tmp_path: Path, inputs: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten times as long texts, the same peak within a few batches: no text is kept."""
    monkeypatch.setattr(streamed_work, "JUDGE_BATCH", 32)
    monkeypatch.setattr("eidolon.benchmark.tasks.score_files.responses_file.IMPORT_BATCH", 32)
    decide = batches.decide

    def without_mentions(judge: Any, judgements: Any, evidence: Any) -> list[Judgement]:
        return decide(judge, [j.model_copy(update={"mentions": ()}) for j in judgements], evidence)

    monkeypatch.setattr(batches, "decide", without_mentions)
    monkeypatch.setattr(
        batches,
        "judge_texts",
        lambda judge, responses, rules: [
            Judgement(sample_id=r.sample_id, image_id=r.image_id, generation=r.generation) for r in responses
        ],
    )
    peaks = {}
    for length in (1_000, 10_000):
        rows = [
            {"image_id": i % 17, "sample_id": i, "response": f"{i} " + "x" * length} for i in range(2_000)
        ]
        inputs["responses"] = write_lines(tmp_path / f"{length}.jsonl", rows)
        del rows
        tracemalloc.start()
        plan = make_score_plan(
            load_score_settings(None, {**inputs, "metrics": ["chair"]}), tmp_path / str(length)
        )
        execute(plan.run, plan.producer, render_report)
        peaks[length] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peaks[10_000] - peaks[1_000] < 2_000 * 9_000 / 4
