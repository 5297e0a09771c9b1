"""Language models for judges: their names, and the same answers as plain transformers for each question."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from eidolon.models.backends.text_models import language_models
from eidolon.models.base.shipped import shipped_judges
from eidolon.scorers.core import distribution
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.language_model import LanguageModel
from eidolon.scorers.core.types import Response
from eidolon.scorers.judges.qa import QuestionJudge
from eidolon.scorers.judges.throne_questions import prompt, question
from tests.language_models import save_llama, texts

CATEGORIES = ("dog", "cat", "cup", "skis", "tie", "apple")
FORMATS = ("1a", "1b", "2a")


@pytest.fixture(params=["tiny-one", "tiny-two", *shipped_judges()])
def checkpoint(request: pytest.FixtureRequest, tiny_judges: dict[str, Path]) -> Path:
    return {**tiny_judges, **shipped_judges()}[request.param]


def load(path: Path, **options: str) -> LanguageModel:
    (model,) = language_models(f"transformers/{path}", options)
    return model


def published(path: Path, responses: list[str]) -> dict[str, list[str]]:
    """The published protocol with plain transformers, one question at a time."""
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(path)
    model = AutoModelForSeq2SeqLM.from_pretrained(path)
    answers: dict[str, list[str]] = {}
    for response in responses:
        answers[response] = []
        for form in FORMATS:
            for name in CATEGORIES:
                asked = "necktie" if name == "tie" else name
                article = "an" if asked[0] in "aeiou" else "a"
                if form == "2a":
                    rest = f"{asked} are" if name == "skis" else f"{article} {asked} is"
                    text = f"Does the text imply {rest} in the image?"
                else:
                    rest = f"Are there {asked}" if name == "skis" else f"Is there {article} {asked}"
                    text = f"{rest} in this image?"
                prefix = "" if form == "1b" else "Please answer yes or no. "
                whole = (
                    "Text: "
                    + response[:1024]
                    + "\n\nRead the text and answer the question.\n\n"
                    + prefix
                    + text
                )
                encoded = tokenizer(whole, return_tensors="pt")
                output = model.generate(**encoded, do_sample=False, max_length=16)
                answers[response].append(tokenizer.decode(output[0], skip_special_tokens=True))
    return answers


class Recorder:
    """Passes everything on and records the replies by prompt."""

    def __init__(self, model: LanguageModel) -> None:
        self.name, self._model = model.name, model
        self.replies: dict[str, str | None] = {}

    def signature(self) -> str:
        return self._model.signature()

    def reply(self, prompts: Any, **arguments: Any) -> Any:
        found = self._model.reply(prompts, **arguments)
        self.replies.update((p, reply.text) for p, reply in zip(prompts, found, strict=True))
        return found


def test_same_answers_as_the_published_protocol(checkpoint: Path) -> None:
    """Each string and each vote, although batches are sorted by length."""
    responses = [*texts(3, seed=5), "A dog stands on the grass. " * 50]
    expected = published(checkpoint, responses)
    recorder = Recorder(load(checkpoint, batch_size="7"))
    judge = QuestionJudge([recorder], formats=",".join(FORMATS), categories=",".join(CATEGORIES))
    rows = [Response(sample_id=str(i), image_id=i, response=text) for i, text in enumerate(responses)]
    judgements = list(judge.judge(rows))

    by_question = [[*zip((f,) * len(CATEGORIES), CATEGORIES, strict=True)] for f in FORMATS]
    cells = [cell for of_one in by_question for cell in of_one]
    strings = [answer for answers in expected.values() for answer in answers]
    assert sorted(strings) == sorted(str(text) for text in recorder.replies.values())
    assert {"yes", "no"} <= set(strings), "with a constant answer the test could not fail"
    for response, judgement in zip(responses, judgements, strict=True):
        expected_votes = {
            (f, category)
            for (f, category), answer in zip(cells, expected[response], strict=True)
            if answer.lower().strip() == "yes"
        }
        assert judgement.votes is not None
        voted = {
            (key.rpartition("/")[2], category)
            for category, votes in judgement.votes.items()
            for key, vote in votes.items()
            if vote
        }
        assert voted == expected_votes


def test_replies_keep_their_order_in_any_batch(tiny_judges: dict[str, Path]) -> None:
    prompts = [prompt(text, question("1b", name)) for text in texts(6, seed=2) for name in CATEGORIES]
    path = tiny_judges["tiny-one"]
    batched = [load(path, batch_size=str(n)).reply(prompts, max_new_tokens=15) for n in (1, 5, 100)]
    assert batched[0] == batched[1] == batched[2]
    assert len({reply.text for reply in batched[0]}) > 1
    assert load(path).reply([], max_new_tokens=15) == []


@pytest.mark.parametrize("chat", [True, False])
def test_a_causal_model_answers_after_its_prompt(chat: bool, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    path = save_llama(tmp_path, chat=chat)
    prompts = texts(9, seed=3)
    found = load(path, batch_size="4").reply(prompts, max_new_tokens=6)

    tokenizer, model = AutoTokenizer.from_pretrained(path), AutoModelForCausalLM.from_pretrained(path)
    for text, reply in zip(prompts, found, strict=True):
        asked = f"user: {text}\nassistant: " if chat else text
        encoded = tokenizer(asked, return_tensors="pt")
        output = model.generate(**encoded, do_sample=False, max_new_tokens=6)
        new = output[0, encoded["input_ids"].shape[1] :]
        assert reply.text == tokenizer.decode(new, skip_special_tokens=True)
    assert len({reply.text for reply in found}) > 3


def test_a_prompt_longer_than_the_context_is_an_error(tmp_path: Path) -> None:
    model = load(save_llama(tmp_path, chat=False))
    short, long = model.reply(["a dog", "a dog " * 200], max_new_tokens=15)
    assert short.error is None
    assert long.text is None
    assert "400 tokens" in str(long.error)


def test_names_are_unique(tmp_path: Path, tiny_judges: dict[str, Path]) -> None:
    """They are the last part of the path; equal ones are numbered."""
    copy = tmp_path / "tiny-one"
    copy.symlink_to(tiny_judges["tiny-one"], target_is_directory=True)
    given = f"transformers/{tiny_judges['tiny-one']}, transformers/{copy},openai/org/chat@http://host:1/v1"
    models = language_models(given, {})
    assert [model.name for model in models] == ["tiny-one.1", "tiny-one.2", "chat"]
    assert models[2].signature() == "org/chat@http://host:1/v1"
    first, second = (model.signature().partition("#") for model in models[:2])
    assert first[2] == second[2]
    assert len(first[2]) == 12


def test_without_names_all_shipped_judges_are_used(
    tiny_judges: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, path in tiny_judges.items():
        (tmp_path / name).symlink_to(path, target_is_directory=True)
    save_llama(tmp_path / "no-judge")
    monkeypatch.setattr("eidolon.models.base.shipped.CHECKPOINTS", tmp_path)
    assert [model.name for model in language_models(None, {})] == ["tiny-one", "tiny-two"]
    (one,) = language_models("tiny-two", {})
    assert one.signature() == load(tiny_judges["tiny-two"]).signature()
    monkeypatch.setattr("eidolon.models.base.shipped.CHECKPOINTS", tmp_path / "none")
    with pytest.raises(
        UserError, match="eidolon-checkpoints, which holds the shipped models, is not installed"
    ):
        language_models(None, {})


def test_the_signature_follows_the_weights(tiny_judges: dict[str, Path]) -> None:
    one, other = (load(path).signature() for path in tiny_judges.values())
    assert one.partition("#")[2] != other.partition("#")[2]
    path = tiny_judges["tiny-one"]
    assert load(path, dtype="bfloat16").signature() == load(path).signature() + ":bfloat16"


def test_options_go_to_the_backends_that_take_them(tiny_judges: dict[str, Path]) -> None:
    both = f"transformers/{tiny_judges['tiny-one']},openai/m@http://host:1/v1"
    assert len(language_models(both, {"batch_size": "3", "timeout": "9"})) == 2


@pytest.mark.parametrize(
    ("names", "options", "message"),
    [
        ("judge-smal", {}, "-J models=judge-smal: no shipped judge of this name"),
        ("transformers", {}, "the name of a model is missing"),
        ("transformer/x/y", {}, "did you mean 'transformers'"),
        ("transformers/", {}, "nothing follows the backend"),
        ("transformers/./nowhere", {}, "does not exist"),
        ("{tiny},{tiny}", {}, "twice"),
        ("{tiny}", {"dtype": "float8"}, "-J dtype=float8: unknown dtype"),
        ("{tiny}", {"batch_size": "0"}, "-J batch_size=0"),
        ("{tiny}", {"timeout": "9"}, "-J timeout=9: neither the judge nor its models have this option"),
        ("{tiny}", {"btach_size": "9"}, "did you mean 'batch_size'"),
        ("openai/m", {}, "write openai/MODEL@URL"),
        ("openai/@http://host", {}, "write openai/MODEL@URL"),
        ("openai/m@http://", {}, "write openai/MODEL@URL"),
        ("openai/m@http://me:secret@host", {}, "OPENAI_API_KEY"),
        ("openai/m@http://host", {"retries": "-1"}, "-J retries=-1"),
        ("openai/m@http://host", {"timeout": "nan"}, "-J timeout=nan"),
        ("openai/m@http://host", {"concurrency": "many"}, "-J concurrency=many"),
    ],
)
def test_mistakes_are_the_users(
    names: str, options: dict[str, str], message: str, tiny_judges: dict[str, Path]
) -> None:
    with pytest.raises(UserError, match=message):
        language_models(names.format(tiny=f"transformers/{tiny_judges['tiny-one']}"), options)


def test_a_folder_that_is_not_a_language_model_is_refused_before_loading(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UserError, match="names no model_type"):
        load(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "t5"}')
    with pytest.raises(UserError, match="holds no weights"):
        load(tmp_path)


def test_a_missing_package_is_said_before_anything_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distribution, "find_spec", lambda name: None)
    message = r"-J models=judge-base: needs the package \w+; pip install 'eidolon-bench\[models\]'"
    with pytest.raises(UserError, match=message):
        language_models("judge-base", {})


def test_weights_of_another_class_are_refused(tmp_path: Path) -> None:
    """Otherwise missing weights would be random, and the votes meaningless."""
    save_llama(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 3}))
    with pytest.raises(UserError, match="missing weights"):
        load(tmp_path).reply(["a dog"], max_new_tokens=2)


def test_nothing_heavy_is_imported_before_the_first_question(tiny_judges: dict[str, Path]) -> None:
    code = (
        "import sys; from eidolon.benchmark.tasks.plugins import make_judge; "
        f"judge = make_judge('qa', {{'models': 'transformers/{tiny_judges['tiny-one']}', 'dtype': 'float32'}}); "
        "print(judge.signature(), 'torch' in sys.modules, 'transformers' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("qa(models=tiny-one#")
    assert done.stdout.split()[-2:] == ["False", "False"]
