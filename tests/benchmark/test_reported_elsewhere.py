"""What users of other harnesses report in their threads: one named test for each, with project and number."""

import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from eidolon.benchmark.engine.cache_keys import model_id, request_key
from eidolon.benchmark.engine.generation import collect
from eidolon.models.base.model import Decoding, Request, request_seed
from eidolon.models.generation.generated_text import split_reasoning
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.types import Response
from tests.benchmark.conftest import Cli, read_lines, write_lines
from tests.chat_server import Answer, ChatServer, chat_server, completion, describe, picture_of

ROOT = Path(__file__).parents[2]
REVISION = ("-M", "revision=first")


@pytest.fixture
def run(cli: Cli, picture_folder: Path, tmp_path: Path) -> Callable[..., Any]:
    """Run a server's model on the ten pictures."""

    def call(server: ChatServer, *more: object, out: str = "out") -> Any:
        return cli(
            "run", "--model", server.name, "--dataset", f"folder/{picture_folder}", "--resamples", 10,
            "--max-unscored", 1, "-M", "retries=0", "--out", tmp_path / out, *more,
        )  # fmt: skip

    return call


def rows_of(out: Path, name: str = "responses.jsonl") -> list[Any]:
    (path,) = out.glob(f"*/{name}")
    return read_lines(path)


def test_failures_are_not_cached_as_empty_answers(run: Callable[..., Any], tmp_path: Path) -> None:
    """lmms-eval #1378: an outage left empty answers in the cache, which later runs scored."""
    with chat_server(lambda *_: Answer(500)) as server:
        assert run(server, *REVISION, out="first").code == 0
        assert all(row["response"] is None and row["error"] for row in rows_of(tmp_path / "first"))
        server.behave = lambda _, body: describe(body)
        assert run(server, *REVISION, out="second").code == 0
    assert all(row["response"] for row in rows_of(tmp_path / "second"))


def test_a_cache_holds_no_key(
    run: Callable[..., Any], cache_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """lmms-eval #1378: the key was written into the cache."""
    monkeypatch.setenv("OPENAI_API_KEY", "a-secret-of-mine-0123")
    with chat_server() as server:
        assert run(server, *REVISION).code == 0
    files = [path for path in cache_folder.rglob("*") if path.is_file()]
    assert files
    assert all(b"a-secret-of-mine-0123" not in path.read_bytes() for path in files)


def test_every_request_has_its_own_sampling(run: Callable[..., Any]) -> None:
    """lmms-eval #1397, #1423, #1326: the sampling of the first request was used for the whole batch."""
    with chat_server() as server:
        assert (
            run(server, "--temperature", 0.7, "--generations", 2, "--batch-size", 16, "--seed", 3).code == 0
        )
    expected = {request_seed(3, str(sample), g) for sample in range(10) for g in range(2)}
    assert {body["seed"] for body in server.bodies} == expected
    assert len(expected) == 20
    assert {body["temperature"] for body in server.bodies} == {0.7}


def test_images_stay_with_their_questions(run: Callable[..., Any], tmp_path: Path) -> None:
    """lmms-eval #1360: pictures were paired with the questions of other samples."""

    def behave(_: int, body: dict[str, Any]) -> Answer:
        red: int = picture_of(body).getpixel((0, 0))[0]  # type: ignore[index, assignment]
        return completion(f"Picture {red // 20}. " + body["messages"][-1]["content"][1]["text"])

    with chat_server(behave) as server:
        assert run(server, "--task", "probe", "--batch-size", 5, "--pairs", 1, "--split", "random").code == 0
    rows = rows_of(tmp_path / "out")
    assert rows
    for row in rows:
        assert row["response"] == f"Picture {row['image_id']}. {row['prompt']}"


@pytest.mark.parametrize("flag", [("-M", "modle=other"), ("-M", "extra_model=x"), ("--modl", "x")])
def test_unknown_arguments_are_refused(
    flag: tuple[str, str], run: Callable[..., Any], tmp_path: Path
) -> None:
    """lmms-eval #1223: an unknown argument was ignored, so that the default model ran."""
    with chat_server() as server:
        result = run(server, *flag)
    assert result.code == 2
    assert flag[1].partition("=")[0] in result.err or flag[0] in result.err
    assert not server.bodies
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("samples", [1, 2, 3])
def test_more_processes_than_batches(samples: int, picture_folder: Path, tmp_path: Path) -> None:
    """lmms-eval #1232, #1233, #1236: a process without samples ended the run or lost results."""
    (tmp_path / "mine.py").write_text(
        "class Mine:\n    def generate(self, requests):\n        return ['A dog.' for _ in requests]\n",
        encoding="utf-8",
    )
    done = subprocess.run(
        [sys.executable, "-c", "from eidolon.benchmark.cli import main; main()", "run", "--model",
         "python/mine.py:Mine", "--dataset", f"folder/{picture_folder}", "--limit", str(samples), "--batch-size",
         "1", "--processes", "3", "--resamples", "10", "--out", "out"],
        cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert [row["response"] for row in rows_of(tmp_path / "out")] == ["A dog."] * samples


def test_max_new_tokens_arrives(run: Callable[..., Any], tmp_path: Path) -> None:
    """lmms-eval #1318: the limit on new tokens was dropped on the way to the model."""
    with chat_server() as server:
        assert run(server, "--max-new-tokens", 77).code == 0
    assert {body["max_tokens"] for body in server.bodies} == {77}
    (record,) = (tmp_path / "out").glob("*/run.json")
    assert json.loads(record.read_bytes())["config"]["settings"]["max_new_tokens"] == 77


def test_the_wheel_has_every_data_file(tmp_path: Path) -> None:
    """lmms-eval #1390: the wheel lacked the templates."""
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", tmp_path, ROOT],
        check=True, timeout=300,
    )  # fmt: skip
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        inside = {name.removeprefix("eidolon/") for name in archive.namelist()}
    tracked = subprocess.run(
        ["git", "-C", ROOT, "ls-files", "benchmark", "scorers", "models"],
        capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    data = [name for name in tracked if not name.endswith(".py") and "checkpoints" not in name]
    assert [name for name in data if ".html" in name]
    assert not [name for name in data if name not in inside]


def test_a_judge_outage_scores_nothing(cli: Cli, inputs: list[str], tmp_path: Path) -> None:
    """evalscope #1575, inspect_evals #2235: while the judge was down, samples got a score of 0."""
    with chat_server(lambda *_: Answer(503)) as server:
        result = cli(
            "score", *inputs, "--judge", "qa", "-J", f"models={server.name}", "-J", "retries=0", "--out",
            tmp_path / "out", "--max-unscored", 1, "--resamples", 10,
        )  # fmt: skip
    assert result.code == 0, result.err
    scores = json.loads((tmp_path / "out" / "scores.json").read_bytes())
    assert scores["n"]["unscored"] == 3
    headline = scores["metrics"]["objects"]["f05"]
    assert headline["value"] is None
    assert headline["reason"]


def test_a_reply_that_cannot_be_read_is_unscored(cli: Cli, inputs: list[str], tmp_path: Path) -> None:
    """openai/evals #1712: a reply of the judge that could not be parsed counted as the lowest score."""
    with chat_server(lambda *_: completion("I would rather not say.")) as server:
        result = cli(
            "score", *inputs, "--judge", "extract", "-J", f"models={server.name}", "-J", "retries=0", "--out",
            tmp_path / "out", "--max-unscored", 1, "--resamples", 10,
        )  # fmt: skip
    assert result.code == 0, result.err
    judged = read_lines(tmp_path / "out" / "judgements.jsonl")
    assert all(row["unscored"] for row in judged)


def test_scores_that_cannot_be_computed_are_not_zero(cli: Cli, inputs: list[str], tmp_path: Path) -> None:
    """evalscope #1361: every score was 0, because no answer was matched with the truth."""
    write_lines(Path(inputs[1]), [{"image_id": 900 + n, "response": "A dog."} for n in range(3)])
    result = cli("score", *inputs, "--out", tmp_path / "out", "--resamples", 10)
    assert result.code == 2
    assert "900" in result.err
    assert not (tmp_path / "out" / "scores.json").exists()


def test_reasoning_is_apart_from_the_answer(run: Callable[..., Any], tmp_path: Path) -> None:
    """lm-evaluation-harness #3700: stop sequences cut the reasoning, and what was left counted as the answer."""
    text = "<think>Is there a cat?\n\nQuestion: no.</think>A dog."
    with chat_server(lambda *_: completion(text)) as server:
        assert run(server).code == 0
    assert all("stop" not in body for body in server.bodies)
    assert {row["response"] for row in rows_of(tmp_path / "out")} == {"A dog."}
    assert split_reasoning(text).text == "A dog."


def test_the_cache_knows_the_model(run: Callable[..., Any], tmp_path: Path) -> None:
    """lm-evaluation-harness #2715, #4063: a second model got the cached answers of the first."""
    with chat_server(lambda *_: completion("A dog.")) as server:
        assert run(server, *REVISION, out="first").code == 0
        server.behave = lambda *_: completion("A cat.")
        assert run(server, "-M", "revision=second", out="second").code == 0
    assert {row["response"] for row in rows_of(tmp_path / "first")} == {"A dog."}
    assert {row["response"] for row in rows_of(tmp_path / "second")} == {"A cat."}


def test_a_cache_key_has_model_picture_prompt_and_decoding(picture_folder: Path) -> None:
    """lm-evaluation-harness #2715, #4063: parts of a request were missing from its key."""
    from PIL import Image

    pictures = [Image.open(picture_folder / f"{n}.png").convert("RGB") for n in range(2)]
    keys = {
        request_key(model_id({"weights": model}), Request("1", 1, picture, prompt, decoding=decoding))
        for model in ("a", "b")
        for picture in pictures
        for prompt in ("Look.", "Describe.")
        for decoding in (Decoding(5, 0.0, 1.0, 0), Decoding(6, 0.0, 1.0, 0), Decoding(5, 0.5, 1.0, 0))
    }
    assert len(keys) == 24


def test_ids_do_not_change_with_the_order(cli: Cli, picture_folder: Path, tmp_path: Path) -> None:
    """inspect_ai #4459: ids by position changed with shuffling, and a retry wrote answers to other samples."""
    answers = [{"image_id": n, "response": f"A dog and a cat number {n}."} for n in range(10)]
    write_lines(tmp_path / "answers.jsonl", answers)
    for seed in (1, 2):
        result = cli(
            "run", "--model", f"replay/{tmp_path / 'answers.jsonl'}", "--dataset", f"folder/{picture_folder}",
            "--pick", "random", "--limit", 6, "--seed", seed, "--resamples", 10, "--out", tmp_path / f"out{seed}",
        )  # fmt: skip
        assert result.code == 0, result.err
        for row in rows_of(tmp_path / f"out{seed}"):
            assert row["sample_id"] == str(row["image_id"])
            assert row["response"] == f"A dog and a cat number {row['image_id']}."
    request = Request("1", 1, None, "Look.", decoding=Decoding(5, 0.0, 1.0, 0))  # type: ignore[arg-type]
    with pytest.raises(UserError, match="which was not asked"):
        collect("m", [request], [Response(sample_id="2", image_id=2, response="A dog.")])


def test_a_report_of_many_long_samples_stays_small(cli: Cli, tmp_path: Path) -> None:
    """inspect_ai #4210, #4583, #2689: the viewer failed on large samples."""
    long = "A dog sits here. " * 10_000
    responses = [{"image_id": n, "response": long if n % 10 == 0 else "A dog."} for n in range(200)]
    write_lines(tmp_path / "r.jsonl", responses)
    write_lines(tmp_path / "o.jsonl", [{"image_id": n, "objects": ["dog"]} for n in range(200)])
    result = cli(
        "score", "--responses", tmp_path / "r.jsonl", "--objects", tmp_path / "o.jsonl", "--metric", "chair",
        "--resamples", 10, "--out", tmp_path / "out",
    )  # fmt: skip
    assert result.code == 0, result.err
    assert (tmp_path / "out" / "report.html").stat().st_size < 2_000_000
    assert len(result.out) < 20_000
