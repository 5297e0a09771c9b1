"""A real chat model from a GGUF file as the judge `qa`: odds, their calibration, and the warning about a weak model."""

from pathlib import Path

import pytest

from eidolon.models.backends.text_models import language_models
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.language_model import AnsweringLanguageModel, LanguageModel, OddsLanguageModel
from eidolon.scorers.judges.throne_questions import prompt, question
from eidolon.scorers.judges.vote_rules import Voter


@pytest.fixture(scope="module")
def model(smollm2: Path) -> LanguageModel:
    (found,) = language_models(f"transformers/{smollm2}", {})
    return found


def asked(text: str, category: str) -> str:
    return prompt(text, question("1b", category))


def test_a_gguf_file_is_a_language_model(model: LanguageModel) -> None:
    assert model.name == "SmolLM2-135M-Instruct.Q4_1.gguf"
    assert model.signature().startswith("SmolLM2-135M-Instruct.Q4_1.gguf#")
    assert isinstance(model, AnsweringLanguageModel)
    assert model.answer_rule == "odds"
    (reply,) = model.reply([asked("A dog runs.", "dog")], max_new_tokens=2)
    assert reply.text


def test_odds_do_not_depend_on_the_other_prompts(model: LanguageModel) -> None:
    assert isinstance(model, OddsLanguageModel)
    prompts = [
        asked("A dog runs over the lawn to a red ball.", name) for name in ("dog", "cat", "cup", "car")
    ]
    together = model.yes_no(prompts)
    for one, text in zip(together, prompts, strict=True):
        (alone,) = model.yes_no([text])
        assert one.log_odds == pytest.approx(alone.log_odds, abs=1e-3)


def test_every_answer_is_a_vote_and_the_model_is_measured(model: LanguageModel) -> None:
    voter = Voter(model, "auto")
    votes = voter.votes(["1b", "1b"], [asked("A dog runs over the lawn.", name) for name in ("dog", "cup")])
    assert all(vote.readable and vote.error is None for vote in votes)
    assert 0 <= voter.accuracy["1b"] <= 1
    assert (voter.weakness() is None) == (voter.accuracy["1b"] >= 0.7)


def test_a_file_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"-J models=transformers/.*none.gguf: no such file"):
        language_models(f"transformers/{tmp_path}/none.gguf", {})


def test_a_file_that_is_no_gguf(tmp_path: Path) -> None:
    (tmp_path / "bad.gguf").write_bytes(b"GGUF nothing")
    (found,) = language_models(f"transformers/{tmp_path}/bad.gguf", {})
    with pytest.raises(UserError, match="cannot be loaded as a language model"):
        found.reply(["x"], max_new_tokens=1)
