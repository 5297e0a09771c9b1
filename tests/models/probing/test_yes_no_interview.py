"""Questions after a given text, against a naive twin: each alone, read from the start, without cache or padding."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from eidolon.benchmark.scenes.scene import Dials, make_scene, render
from eidolon.models.backends.transformers import TransformersModel
from eidolon.models.base.model import Failure, Interview, Odds, Request, ScoringModel
from eidolon.models.base.shipped import shipped_models
from eidolon.models.generation.recovery import OOM_ALONE, OOM_SPLITS, OUT_OF_MEMORY
from eidolon.models.generation.token_reader import TokenReader
from eidolon.models.probing.yes_no_interview import RowEdit, answer_ids, edit_rows, encode, run_interviews
from eidolon.scorers.core.errors import UserError
from tests.models.architecture_checks import requests
from tests.models.hybrid import HybridModel, picture
from tests.models.tiny_checkpoints import BY_NAME

TEXT = "This is a drawing of a kitchen scene. There is a red cup on the left side and a dog below it."
QUESTIONS = ("Is there a cup in the image?", "Are there any elephants in the image?", "Is the day Monday?")


@pytest.fixture(scope="module")
def model() -> TransformersModel:
    return TransformersModel(str(shipped_models()["scenes-small"]))


def request(index: int, prompt: str = "Describe the image.") -> Request:
    return Request(str(index), index, render(make_scene(77, index, Dials())), prompt)


def naive(
    model: TransformersModel, asked: Request, given: tuple[int, ...], question: str, first: str = ""
) -> tuple[float, float]:
    """Log-probabilities of yes and no after the dialogue written out by hand in the shipped models' template."""
    if given:
        before = f"User:<image> {asked.prompt}<end_of_utterance>\nAssistant:"
        after = f"<end_of_utterance>\nUser: {question}<end_of_utterance>\nAssistant:"
    else:
        before, after = f"User:{first}<image> {asked.prompt} {question}<end_of_utterance>\nAssistant:", ""
    inputs = dict(model.processor(text=[before], images=[[asked.image]], return_tensors="pt"))
    more = torch.tensor([[*given, *model.tokenizer(after)["input_ids"]]], dtype=torch.int64)
    inputs["input_ids"] = torch.cat([inputs["input_ids"], more], dim=1)
    inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    with torch.no_grad():
        logits = model.model(**inputs, use_cache=False).logits[0, -1].double()
    share = logits.exp() / logits.exp().sum()
    words = {token: model.tokenizer.decode([token]).strip().lower() for token in range(len(share))}
    sums = [sum(float(share[t]) for t, word in words.items() if word == answer) for answer in ("yes", "no")]
    return math.log(sums[0]), math.log(sums[1])


def test_the_odds_are_those_of_each_question_alone(model: TransformersModel) -> None:
    tokens = model.encode_reply(TEXT)
    interviews = [
        Interview(request(0), tokens[:5], QUESTIONS),
        Interview(request(1, "What do you see in this picture?"), tokens, QUESTIONS[:1]),
        Interview(request(2, "Remember that the day is Monday."), (), QUESTIONS),
        Interview(request(3), tokens[:17], QUESTIONS[1:]),
    ]
    found = model.interview(interviews)
    assert [len(odds) for odds in found] == [3, 1, 3, 2]
    for interview, odds in zip(interviews, found, strict=True):
        for question, one in zip(interview.questions, odds, strict=True):
            yes, no = naive(model, interview.request, interview.given, question)
            assert one.yes == pytest.approx(yes, abs=2e-4)
            assert one.no == pytest.approx(no, abs=2e-4)
            assert one.margin == pytest.approx(yes - no, abs=4e-4)


def test_the_text_may_precede_the_image(model: TransformersModel) -> None:
    text = " In general, the day seems calm and pleasant."
    prompts = ("Remember that the day is Monday.", "Remember that the painter is Anna.")
    interviews = [
        Interview(request(i, prompt), model.encode_reply(text), QUESTIONS[i:], before_image=True)
        for i, prompt in enumerate(prompts)
    ]
    for interview, odds in zip(interviews, model.interview(interviews), strict=True):
        for question, one in zip(interview.questions, odds, strict=True):
            yes, no = naive(model, interview.request, (), question, first=text)
            assert (one.yes, one.no) == pytest.approx((yes, no), abs=2e-4)


def test_interviews_that_do_not_fit_are_run_in_parts(
    model: TransformersModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = model.encode_reply(TEXT)
    interviews = [Interview(request(i), tokens[: 3 * i], QUESTIONS[: 1 + i % 3]) for i in range(6)]
    together = model.interview(interviews)
    sizes = []

    def tight(asked: TransformersModel, some: Sequence[Interview]) -> list[list[Odds]]:
        sizes.append(len(some))
        if len(some) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return run_interviews(asked, some)

    monkeypatch.setattr("eidolon.models.probing.yes_no_interview.run_interviews", tight)
    monkeypatch.setattr(model, "counts", Counter())
    found = model.interview(interviews)
    assert sizes == [6, 3, 2, 1, 3, 2, 1]
    assert model.usage() == {OOM_SPLITS: 3}
    for alone, batched in zip(found, together, strict=True):
        assert not isinstance(alone, Failure)
        assert not isinstance(batched, Failure)
        assert [one.margin for one in alone] == pytest.approx([one.margin for one in batched], abs=1e-4)


def test_an_interview_that_fails_does_not_affect_others(
    model: TransformersModel, monkeypatch: pytest.MonkeyPatch
) -> None:

    def picky(asked: TransformersModel, some: Sequence[Interview]) -> list[list[Odds]]:
        if any(len(one.given) > 20 for one in some):
            raise MemoryError
        if any(one.request.sample_id == "1" for one in some):
            raise ValueError("no such picture")
        return run_interviews(asked, some)

    monkeypatch.setattr("eidolon.models.probing.yes_no_interview.run_interviews", picky)
    monkeypatch.setattr(model, "counts", Counter())
    long = model.encode_reply(TEXT * 2)
    interviews = [
        Interview(request(i), long[:length], QUESTIONS[:1]) for i, length in ((0, 5), (1, 5), (2, 40))
    ]
    first, second, third = model.interview(interviews)
    assert not isinstance(first, Failure)
    assert len(first) == 1
    assert second == Failure("ValueError: no such picture")
    assert third == Failure(OUT_OF_MEMORY, transient=True)
    assert model.usage()[OOM_ALONE] == 1
    monkeypatch.setattr(
        "eidolon.models.probing.yes_no_interview.run_interviews",
        lambda *_: (_ for _ in ()).throw(UserError("no")),
    )
    with pytest.raises(UserError, match="no"):
        model.interview(interviews)


def test_the_image_decides(model: TransformersModel) -> None:
    tokens = model.encode_reply("In general, the day seems calm and pleasant.")
    scene = make_scene(77, 5, Dials())
    category = scene.objects[0]
    asked = Request("s", "s", render(scene), "Describe the image.")
    (here,) = model.interview([Interview(asked, tokens, (f"Is there a {category} in the image?",))])
    other = next(i for i in range(6, 60) if category not in make_scene(77, i, Dials()).objects)
    (there,) = model.interview([Interview(request(other), tokens, (f"Is there a {category} in the image?",))])
    assert here[0].margin > 0 > there[0].margin


def test_a_reply_is_tokenised_as_it_is_generated(model: TransformersModel) -> None:
    assert isinstance(model, ScoringModel)
    tokens = model.encode_reply(TEXT)
    assert model.decode_reply(tokens) == TEXT
    assert model.encode_reply("  " + TEXT) == tokens
    (response,) = model.generate([request(0)])
    assert response.response is not None
    assert response.completion_tokens is not None
    ended = response.finish_reason == "stop"
    assert len(model.encode_reply(response.response)) == response.completion_tokens - ended


def test_edited_rows_end_together() -> None:
    inputs = {
        "input_ids": torch.tensor([[0, 0, 5, 6], [1, 2, 3, 4]]),
        "attention_mask": torch.tensor([[0, 0, 1, 1], [1, 1, 1, 1]]),
        "mm_token_type_ids": torch.tensor([[0, 0, 1, 0], [1, 1, 0, 0]]),
        "pixel_values": torch.zeros(2, 3),
    }
    found = edit_rows(inputs, [RowEdit(insert=(7, 8, 9)), RowEdit(insert=(7,))], pad=0)
    assert found["input_ids"].tolist() == [[5, 6, 7, 8, 9], [1, 2, 3, 4, 7]]
    assert found["attention_mask"].tolist() == [[1] * 5, [1] * 5]
    assert found["mm_token_type_ids"].tolist() == [[1, 0, 0, 0, 0], [1, 1, 0, 0, 0]]
    assert found["pixel_values"] is inputs["pixel_values"]
    found = edit_rows(inputs, [RowEdit(insert=(7, 8), at=1), RowEdit(keep=3, at=0, insert=(9,))], pad=0)
    assert found["input_ids"].tolist() == [[5, 7, 8, 6], [9, 1, 2, 3]]
    assert found["mm_token_type_ids"].tolist() == [[1, 0, 0, 0], [0, 1, 1, 0]]


@pytest.mark.parametrize("kind", ["shipped", "hybrid"])
def test_a_branch_does_not_change_its_origin(kind: str, model: TransformersModel) -> None:
    if kind == "shipped":
        network, inputs = model.model, model.prepare([request(0), request(1)])
    else:
        hybrid = HybridModel("hybrid")
        asked = [Request(str(i), i, picture(i), "Is there a cup?") for i in range(2)]
        network, inputs = hybrid.model, hybrid.prepare(asked)
    first, second = torch.tensor([[11], [12]]), torch.tensor([[13], [14]])
    straight = TokenReader(network, inputs)
    straight.read_prompt()
    wanted = [straight.read(first), straight.read(second)]
    reader = TokenReader(network, inputs)
    reader.read_prompt()
    branch = reader.branch()
    branch.read(second)
    branch.read(second)
    for tokens, logits in zip((first, second), wanted, strict=True):
        torch.testing.assert_close(reader.read(tokens), logits)


def test_answers_start_with_whole_words_if_the_vocabulary_has_them(model: TransformersModel) -> None:
    yes, no = answer_ids(model)
    assert {model.tokenizer.decode([token]).strip() for token in yes} <= {"Yes", "yes", "YES"}
    assert {model.tokenizer.decode([token]).strip() for token in no} <= {"No", "no", "NO"}
    assert encode(model, " Yes")[0] in yes


def test_a_tokenizer_with_one_first_token_for_yes_and_no_is_refused(
    model: TransformersModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eidolon.models.probing.yes_no_interview.encode", lambda model, text: [9, len(text)])
    with pytest.raises(UserError, match="gives yes and no the same first token"):
        model.check_interview()


def whole(model: TransformersModel, interview: Interview) -> Odds:
    """Return the odds of an interview's only question; the dialogue is read at once, without a batch."""
    (question,) = interview.questions
    asked = interview.request
    if interview.before_image or not interview.given:
        asked = replace(asked, prompt=f"{asked.prompt} {question}")
    inputs = dict(model.prepare([asked]))
    own = inputs["input_ids"][0].tolist()
    if interview.before_image:
        # The test's template opens a turn with `<|im_start|>user` and a line break; the image follows.
        at = len(encode(model, "<|im_start|>user\n")) + own.count(model.tokenizer.bos_token_id)
        row = [*own[:at], *interview.given, *own[at:]]
    elif interview.given:
        turn = f"<|im_end|>\n<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n"
        row = [*own, *interview.given, *encode(model, turn)]
    else:
        at, row = 0, own
    for name in ("token_type_ids", "mm_token_type_ids"):
        if name in inputs:
            old = inputs[name][0].tolist()
            more = [0] * (len(row) - len(own))
            values = [*old[:at], *more, *old[at:]] if interview.before_image else [*old, *more]
            inputs[name] = torch.tensor([values])
    inputs["input_ids"] = torch.tensor([row])
    inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    with torch.no_grad():
        share = model.model(**inputs, use_cache=False).logits[0, -1].double().softmax(-1)
    yes, no = answer_ids(model)
    return Odds(math.log(float(share[yes].sum())), math.log(float(share[no].sum())))


@pytest.mark.parametrize("name", ["llava", "idefics3", "gemma3"])
def test_other_architectures_give_the_same_in_two_parts(name: str, tmp_path: Path) -> None:
    BY_NAME[name].make(tmp_path)
    model = TransformersModel(str(tmp_path))
    model.check_interview()
    tokens = model.encode_reply("a red cup and a dog are here now")
    interviews = [
        Interview(asked, given, QUESTIONS[:2], before)
        for asked in requests()
        for given, before in (((), False), (tokens, False), (tokens[:3], True))
    ]
    for interview, found in zip(interviews, model.interview(interviews), strict=True):
        for question, odds in zip(interview.questions, found, strict=True):
            wanted = whole(model, replace(interview, questions=(question,)))
            assert (odds.yes, odds.no) == pytest.approx((wanted.yes, wanted.no), abs=1e-4)


@pytest.mark.parametrize("name", ["paligemma", "mllama", "blip_2", "florence2"])
def test_a_model_that_cannot_be_interviewed_is_refused(name: str, tmp_path: Path) -> None:
    BY_NAME[name].make(tmp_path)
    with pytest.raises(UserError) as refused:
        TransformersModel(str(tmp_path)).check_interview()
    assert len(str(refused.value).splitlines()) == 1
