"""MMHal-Bench in its published layout, with a dozen questions made here: scoring, a judge, wrong input and `check`."""

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.language_model import Reply
from eidolon.scorers.judges.rating import PROMPT
from eidolon.scorers.judges.rating_probes import PROBES
from eidolon.scorers.metrics.benchmarks.mmhal import TYPES
from eidolon.scorers.text.rating import rating_by_letters, rating_by_words
from tests.benchmark.conftest import Cli, read_lines, write_lines

QUESTIONS = (
    # contents, question, true answer, answer of the model, reply of the judge
    (["Mug"], "What colour is the mug?", "It is green.", "The mug is green.", "Right. Rating: 4"),
    (["Wall"], "Who leans at the wall?", "Nobody does.", "A boy.", "There is no boy.\n- Rating: 1, …"),
    (["Vase"], "Which vase is taller?", "The left one.", "The left vase.", "RATING: 5"),
    (["Duck"], "How many ducks are there?", "Two.", "There are three ducks.", "**Rating**: 2"),
    (["Rope"], "Where is the rope?", "On the hook.", "On the hook.", "Rating: 6 or Rating: 5"),
    (["Road"], "What is the weather like?", "Foggy.", "It is foggy.", "The best is rating: 6"),
    (["Barn"], "Describe the picture.", "A barn at dusk.", "A red barn with cows.", "rating: 0"),
    (["Cart"], "What does the cart say?", "It says 12.", "It says 12.", "I would not rate it."),
    (["Lamp"], "What colour is the lamp?", "White.", "It is white.", "Rating: 3"),
    (["Sofa"], "What lies on the sofa?", "Nothing.", "Two cats.", "Rating: 2"),
    (["Door"], "Which door is open?", "The right one.", "The right one.", "Rating: 5 … Rating: 5"),
    (["Ship"], "How many ships?", "One.", "One ship.", "Rating: 10"),
)
COMPAT = (4, 1, 5, None, None, 6, 0, None, 3, 2, 5, 1)
FIXED = (4, 1, 5, 2, None, 6, 0, None, 3, 2, 5, None)


def rows(answered: bool = True) -> list[dict[str, Any]]:
    return [
        {
            "question_type": TYPES[number % 8],
            "question_topic": "indoor",
            "image_id": f"{number:04x}",
            "image_src": f"https://example.org/{number}/picture_{number}_o.jpg",
            "image_content": contents,
            "question": question,
            "gt_answer": truth,
            "model_answer": answer if answered else "",
        }
        for number, (contents, question, truth, answer, _) in enumerate(QUESTIONS)
    ]


def completions(replies: Sequence[str]) -> list[dict[str, Any]]:
    return [
        {"id": f"c{i}", "choices": [{"index": 0, "message": {"role": "assistant", "content": reply}}]}
        for i, reply in enumerate(replies)
    ]


def dump(path: Path, value: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


def files(folder: Path) -> tuple[Path, Path]:
    """Return the file of answers and that of the judge's replies."""
    replies = [reply for *_, reply in QUESTIONS]
    return dump(folder / "answers.json", rows()), dump(folder / "evaluation.json", completions(replies))


def values(folder: Path) -> dict[str, Any]:
    metrics = json.loads((folder / "scores.json").read_text(encoding="utf-8"))["metrics"]
    return {name: entry["value"] for name, entry in metrics["mmhal"].items()}


def score(cli: Cli, out: Path, *arguments: object) -> dict[str, Any]:
    result = cli("score", "--metric", "mmhal", "--out", out, "--resamples", 100, *arguments)
    assert result.code == 0, result.err
    checked = cli("check", out)
    assert checked.code == 0, checked.out
    return values(out)


def test_an_evaluation_file_is_scored_by_hand(cli: Cli, tmp_path: Path) -> None:
    answers, evaluation = files(tmp_path)
    given = ("--answers", answers, "--evaluation", evaluation)
    found = score(cli, tmp_path / "compat", *given)
    # Ratings 4 1 5 0 0 6 0 0 3 2 5 1, where the three replies without exactly one are 0; "Rating: 10" is read as 1.
    assert found == pytest.approx(
        {
            "score": 27 / 12,
            "hallucination_rate": 7 / 12,
            "attribute_score": (4 + 3) / 2,
            "adversarial_score": (1 + 2) / 2,
            "comparison_score": 5.0,
            "counting_score": (0 + 1) / 2,
            "relation_score": 0.0,
            "environment_score": 6.0,
            "holistic_score": 0.0,
            "other_score": 0.0,
            "unparsed": 3 / 12,
        }
    )
    rows_read = read_lines(tmp_path / "compat" / "benchmark_answers.jsonl")
    assert [row["read"] for row in rows_read] == [None if r is None else str(r) for r in COMPAT]
    fixed = score(cli, tmp_path / "fixed", *given, "--mode", "fixed")
    rows_read = read_lines(tmp_path / "fixed" / "benchmark_answers.jsonl")
    assert [row["read"] for row in rows_read] == [None if r is None else str(r) for r in FIXED]
    assert fixed["score"] == pytest.approx(28 / 9)
    assert fixed["hallucination_rate"] == pytest.approx(4 / 9)
    assert (fixed["other_score"], fixed["unparsed"]) == (None, 3 / 12)
    scores = json.loads((tmp_path / "compat" / "scores.json").read_text())
    assert "judge=file(evaluation#" in scores["signature"]
    low, high = scores["metrics"]["mmhal"]["score"]["ci"]
    assert low < 27 / 12 < high


def printed(replies: Sequence[str]) -> tuple[str, str, list[float]]:
    """What the released program prints, written again from what it does, one reply after the other."""
    ratings = []
    for reply in replies:
        there = [s for s in range(7) if reply.lower().count(f"rating: {s}") > 0]
        ratings.append(there[0] if len(there) == 1 else 0)
    bad = [rating < 3 for rating in ratings]
    by_type = [[r for i, r in enumerate(ratings) if i % 8 == t] for t in range(8)]
    return (
        f"{sum(ratings) / len(ratings):.2f}",
        f"{sum(bad) / len(bad):.2f}",
        [round(sum(of) / len(of), 2) for of in by_type],
    )


def test_a_whole_file_gives_the_digits_that_the_released_program_prints(cli: Cli, tmp_path: Path) -> None:
    draw = random.Random(3)
    pieces = ("Rating: {}", "rating: {}, informative", "Rating {}", "I say rating: {}. Rating: 4", "none")
    replies = [draw.choice(pieces).format(draw.randrange(7)) for _ in range(96)]
    answers = dump(tmp_path / "a.json", (rows() * 8)[:96])
    found = score(
        cli, tmp_path / "out", "--answers", answers,
        "--evaluation", dump(tmp_path / "e.json", completions(replies)),
    )  # fmt: skip
    # The twelve questions are repeated, so that their types do not follow the published order; here they decide.
    by_type = {name: [] for name in TYPES}
    for i, reply in enumerate(replies):
        by_type[TYPES[i % 12 % 8]].append(rating_by_letters(reply) or 0)
    mean, rate, _ = printed(replies)
    assert f"{found['score']:.2f}" == mean
    assert f"{found['hallucination_rate']:.2f}" == rate
    for name, ratings in by_type.items():
        assert found[f"{name}_score"] == pytest.approx(sum(ratings) / len(ratings))

    published = [row | {"question_type": TYPES[i % 8]} for i, row in enumerate((rows() * 8)[:96])]
    ordered = score(
        cli, tmp_path / "ordered", "--answers", dump(tmp_path / "p.json", published),
        "--evaluation", tmp_path / "e.json",
    )  # fmt: skip
    assert [round(ordered[f"{name}_score"], 2) for name in TYPES] == printed(replies)[2]


@pytest.mark.parametrize(
    ("reply", "letters", "words"),
    [
        ("Rating: 3", 3, 3),
        ("It is fine.\nrating: 0, not informative", 0, 0),
        ("**Rating:** 4", None, 4),
        ("Rating = 6.", None, 6),
        ("Rating: 2. So the rating: 2", 2, 2),
        ("Rating: 2 or rating: 3", None, None),
        ("Rating: 10", 1, None),
        ("Rating: 5/6", 5, 5),
        ("Rating: 4.5", 4, None),
        ("the rating is 5", None, None),
        ("overrating: 5", 5, None),
        ("", None, None),
    ],
)
def test_how_a_reply_is_read(reply: str, letters: int | None, words: int | None) -> None:
    assert (rating_by_letters(reply), rating_by_words(reply)) == (letters, words)


class Scripted:
    """A judge that rates an answer by what the fixture says, and the built-in answers rightly or all alike."""

    def __init__(self, replies: dict[str, str], fit: bool = True) -> None:
        self.name, self.replies, self.fit, self.asked = "scripted", replies, fit, 0

    def signature(self) -> str:
        return "scripted"

    def reply(self, prompts: Sequence[str], *, max_new_tokens: int, schema: object = None) -> list[Reply]:
        self.asked += len(prompts)
        return [self._one(prompt) for prompt in prompts]

    def _one(self, prompt: str) -> Reply:
        probes = {f"Answer to check: {probe.answer}\n": probe for probe in PROBES}
        for line, probe in probes.items():
            if line in prompt and f"Question: {probe.question}\n" in prompt:
                return Reply(f"Rating: {1 if probe.hallucinates and self.fit else 5}")
        for answer, reply in self.replies.items():
            if f"Answer to check: {answer}\n" in prompt:
                return Reply(None, reply) if reply.startswith("error") else Reply(reply)
        raise AssertionError(prompt)


Make = Callable[..., Scripted]


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Make:
    def make(replies: dict[str, str] | None = None, *, fit: bool = True) -> Scripted:
        given = {answer: reply for *_, answer, reply in QUESTIONS} | (replies or {})
        judge = Scripted(given, fit)
        monkeypatch.setattr(
            "eidolon.models.backends.text_models.language_models", lambda names, options, taken: (judge,)
        )
        return judge

    return make


def test_a_language_model_rates_the_answers(cli: Cli, tmp_path: Path, scripted: Make) -> None:
    judge = scripted()
    answers, _ = files(tmp_path)
    command = ("--answers", answers, "-J", "models=any")
    found = score(cli, tmp_path / "out", *command)
    assert found["score"] == pytest.approx(
        28 / 9
    )  # whole words are read where the user does not name the mode
    assert found["unparsed"] == pytest.approx(3 / 12)
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    assert "25% of the judge's replies hold no single rating" in record["warnings"][0]
    assert (
        "judge=rating(model=scripted,wording=1)"
        in json.loads((tmp_path / "out" / "scores.json").read_text())["signature"]
    )
    asked = judge.asked
    assert asked == len(PROBES) + len(QUESTIONS)
    assert score(cli, tmp_path / "out", *command) == found
    assert judge.asked == asked  # the replies are in the folder


def test_a_model_that_answers_with_noise_has_no_headline(
    cli: Cli, tmp_path: Path, tiny_judges: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eidolon.scorers.judges.rating.MAX_NEW_TOKENS", 16)
    answers, _ = files(tmp_path)
    name = next(iter(tiny_judges.values()))
    found = score(cli, tmp_path / "out", "--answers", answers, "-J", f"models=transformers/{name}")
    assert (found["score"], found["hallucination_rate"], found["unparsed"]) == (None, None, 1.0)
    unfit, unrated = json.loads((tmp_path / "out" / "run.json").read_text())["warnings"]
    assert "is unfit" in unfit
    assert "100% of the judge's replies hold no single rating" in unrated


def test_a_judge_that_fails_leaves_the_answer_unscored(cli: Cli, tmp_path: Path, scripted: Make) -> None:
    scripted({"Two cats.": "error: no connection"})
    answers, _ = files(tmp_path)
    result = cli(
        "score", "--metric", "mmhal", "--answers", answers, "-J", "models=any", "--out", tmp_path / "out",
        "--resamples", 0,
    )  # fmt: skip
    assert result.code == 3, result.err
    scores = json.loads((tmp_path / "out" / "scores.json").read_text())
    assert scores["n"] == {"requested": 12, "samples": 12, "scored": 11, "unscored": 1}
    assert values(tmp_path / "out")["score"] == pytest.approx(26 / 8)
    unscored = [row["unscored"] for row in read_lines(tmp_path / "out" / "judgements.jsonl")]
    assert unscored[9] == "scripted: error: no connection"
    assert cli("check", tmp_path / "out").code == 0


def test_a_judge_that_cannot_tell_is_unfit(cli: Cli, tmp_path: Path, scripted: Make) -> None:
    scripted(fit=False)
    answers, _ = files(tmp_path)
    score(cli, tmp_path / "out", "--answers", answers, "-J", "models=any")
    (unfit, _) = json.loads((tmp_path / "out" / "run.json").read_text())["warnings"]
    assert "judge scripted is unfit" in unfit
    assert "balanced accuracy of 0.50" in unfit
    shown = cli("leaderboard", tmp_path / "out")
    assert shown.code == 0, shown.err
    assert "judge scripted is unfit" in " ".join(shown.out.split())
    assert "3.11" not in shown.out  # the score, 28/9, is withheld


def test_answers_may_be_beside_the_questions(cli: Cli, tmp_path: Path) -> None:
    answers, evaluation = files(tmp_path)
    whole = score(cli, tmp_path / "one", "--answers", answers, "--evaluation", evaluation)
    lines = write_lines(
        tmp_path / "responses.jsonl",
        [{"sample_id": str(i), "response": row["model_answer"]} for i, row in reversed([*enumerate(rows())])],
    )
    apart = score(
        cli, tmp_path / "two", "--questions", dump(tmp_path / "response_template.json", rows(False)),
        "--answers", lines, "--evaluation", evaluation,
    )  # fmt: skip
    assert apart == whole


MODEL = """
class Model:
    '''Answers with the fixture's text, and fails to answer about the lamp.'''

    def generate(self, requests):
        import json, pathlib
        said = json.loads((pathlib.Path(__file__).parent / "said.json").read_text())
        for request in requests:
            assert request.decoding.temperature == 0 and request.decoding.max_new_tokens == 512
            yield said[request.prompt]
"""


def benchmark(folder: Path) -> Path:
    """Return the benchmark's folder, with the model and what it says beside it."""
    data = folder / "MMHal-Bench"
    dump(data / "response_template.json", rows(False))
    (data / "images").mkdir()
    for number in range(len(QUESTIONS)):
        Image.new("RGB", (8, 8), (20 * number, 60, 90)).save(data / "images" / f"picture_{number}_o.jpg")
    (folder / "model.py").write_text(MODEL)
    dump(folder / "said.json", {question: answer for _, question, _, answer, _ in QUESTIONS})
    return data


def test_a_model_answers_and_the_judge_rates(cli: Cli, tmp_path: Path, scripted: Make) -> None:
    judge = scripted()
    data = benchmark(tmp_path)
    command = (
        "run", "--dataset", f"mmhal/{data}", "--model", f"python/{tmp_path}/model.py:Model",
        "-J", "models=any", "--out", tmp_path / "out", "--resamples", 100,
    )  # fmt: skip
    result = cli(*command)
    assert result.code == 0, result.err
    (run,) = [path.parent for path in (tmp_path / "out").glob("*/run.json")]
    found = values(run)
    assert found["score"] == pytest.approx(28 / 9)
    assert "policy=mmhal(fixed)" in json.loads((run / "scores.json").read_text())["signature"]
    checked = cli("check", run, "--dataset", f"mmhal/{data}")
    assert checked.code == 0, checked.out
    asked = judge.asked
    assert cli(*command).code == 0
    assert judge.asked == asked

    answers, _ = files(tmp_path)
    assert score(cli, tmp_path / "scored", "--answers", answers, "-J", "models=any") == found


def test_merged_shards_are_the_run(cli: Cli, tmp_path: Path, scripted: Make) -> None:
    judge = scripted({"The mug is green.": "Hard to say.", "Two cats.": "error: no connection"})
    data = benchmark(tmp_path)
    command = (
        "run", "--dataset", f"mmhal/{data}", "--model", f"python/{tmp_path}/model.py:Model", "-J", "models=any",
        "--resamples", 100, "--batch-size", 4, "--max-unscored", 1, "--out",
    )  # fmt: skip
    assert cli(*command, tmp_path / "out").code == 0
    for number in (1, 2):
        found = cli(*command, tmp_path / "cut", "--shard", f"{number}/2")
        assert found.code == 0, found.err
    asked = judge.asked
    merged = cli("merge", tmp_path / "cut", "--max-unscored", 1)
    assert merged.code == 0, merged.err
    assert judge.asked == asked
    (whole,) = [path.parent for path in (tmp_path / "out").glob("*/run.json")]
    told = [
        json.loads((path / "run.json").read_text())["warnings"]
        for path in (whole, tmp_path / "cut" / whole.name)
    ]
    assert told[0] == told[1]  # and not what the replies about one shard alone would say
    assert "of the judge's replies hold no single rating" in told[0][0]
    for file in ("scores.json", "judgements.jsonl", "benchmark_answers.jsonl"):
        assert (tmp_path / "cut" / whole.name / file).read_bytes() == (whole / file).read_bytes(), file


def test_a_changed_rating_is_found(cli: Cli, tmp_path: Path) -> None:
    answers, evaluation = files(tmp_path)
    score(cli, tmp_path / "out", "--answers", answers, "--evaluation", evaluation)
    changed = read_lines(tmp_path / "out" / "benchmark_answers.jsonl")
    changed[1]["read"] = "6"
    write_lines(tmp_path / "out" / "benchmark_answers.jsonl", changed)
    checked = cli("check", tmp_path / "out")
    assert checked.code != 0
    assert "benchmark_answers.jsonl" in checked.out


@pytest.mark.parametrize(
    ("evaluation", "message"),
    [
        ("{}", "must be a list of chat completions"),
        ("[{}]", "holds 1 chat completions for 12 answers"),
        ("[", "is not valid JSON"),
        (json.dumps([{}] * 12), "item 0: 'choices' is missing"),
        (json.dumps([{"choices": []}] * 12), "item 0: 'choices[0]' is missing"),
        (json.dumps([{"choices": [{"message": {}}]}] * 12), "item 0: 'choices[0].message.content' is missing"),
        (
            json.dumps([{"choices": [{"message": {"content": None}}]}] * 12),
            "item 0: 'choices[0].message.content' must be a string",
        ),
    ],
)  # fmt: skip
def test_a_wrong_evaluation_is_said(cli: Cli, tmp_path: Path, evaluation: str, message: str) -> None:
    answers, path = files(tmp_path)
    path.write_text(evaluation)
    result = cli(
        "score", "--metric", "mmhal", "--answers", answers, "--evaluation", path, "--out", tmp_path / "out"
    )
    assert result.code == 2
    assert message in " ".join(result.err.split())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"question_type": "colour"}, "item 3: field 'question_type' must be one of attribute, adversarial"),
        ({"image_content": "Mug"}, "item 3: 'image_content' must be a list of strings"),
        ({"gt_answer": 4}, "item 3: field 'gt_answer' must be a string"),
        ({"model_answer": None}, "item 3: field 'model_answer'"),
    ],
)
def test_wrong_rows_are_said(cli: Cli, tmp_path: Path, change: dict[str, Any], message: str) -> None:
    given = rows()
    given[3] |= change
    answers = dump(tmp_path / "a.json", given)
    _, evaluation = files(tmp_path / "more")
    result = cli(
        "score", "--metric", "mmhal", "--answers", answers, "--evaluation", evaluation,
        "--out", tmp_path / "out",
    )  # fmt: skip
    assert result.code == 2
    assert message in " ".join(result.err.split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "a language model rates the answers; name it, as -J models="),
        (["--evaluation", "{}/evaluation.json", "-J", "models=a"], "leave one of the two out"),
        (["-J", "models=transformers/{}/none"], "-J models=transformers/"),
        (["--evaluation", "{}/evaluation.json", "--judge", "qa"], "--judge: is for"),
    ],
)
def test_mistakes_of_the_command_are_said(
    cli: Cli, tmp_path: Path, arguments: list[str], message: str
) -> None:
    answers, _ = files(tmp_path)
    given = [part.format(tmp_path) for part in arguments]
    result = cli("score", "--metric", "mmhal", "--answers", answers, "--out", tmp_path / "out", *given)
    assert result.code == 2
    assert message in " ".join(result.err.split())


def test_the_template_is_no_file_of_answers(cli: Cli, tmp_path: Path) -> None:
    _, evaluation = files(tmp_path)
    template = dump(tmp_path / "template.json", rows(False))
    result = cli(
        "score", "--metric", "mmhal", "--answers", template, "--evaluation", evaluation,
        "--out", tmp_path / "out",
    )  # fmt: skip
    assert result.code == 2
    assert "all 12 answers are empty; is it the template?" in " ".join(result.err.split())


def test_a_run_needs_a_judge_and_a_rule_takes_none(cli: Cli, tmp_path: Path) -> None:
    data = benchmark(tmp_path)
    model = f"python/{tmp_path}/model.py:Model"
    out = tmp_path / "out"
    lacking = cli("run", "--dataset", f"mmhal/{data}", "--model", model, "--out", out)
    assert lacking.code == 2
    assert "a language model rates the answers" in " ".join(lacking.err.split())
    needless = cli("run", "--dataset", "repope/x.json", "--model", model, "--out", out, "-J", "models=a")
    assert needless.code == 2
    assert "-J models=a: the answers to repope are read by a rule" in " ".join(needless.err.split())
    assert not out.exists()


def test_the_prompt_shows_what_the_judge_may_know() -> None:
    assert all(f"{{{name}}}" in PROMPT for name in ("contents", "question", "truth", "answer"))
    assert "rating: " not in PROMPT.lower()  # a copied prompt holds no rating
    assert sum(probe.hallucinates for probe in PROBES) * 2 == len(PROBES)


def test_one_model_rates() -> None:
    from eidolon.scorers.judges.rating import RatingJudge

    with pytest.raises(UserError, match="one language model rates the answers, found 2"):
        RatingJudge((Scripted({}), Scripted({})), {})
