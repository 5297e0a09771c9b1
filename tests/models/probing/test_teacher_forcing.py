"""Teacher forcing against a naive twin: every position from the start, alone, without padding or cache."""

from collections.abc import Sequence
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from eidolon.benchmark.scenes.scene import Dials, make_scene, render
from eidolon.models.backends.transformers import TransformersModel
from eidolon.models.base.model import Decoding, Request
from eidolon.models.base.shipped import shipped_models
from eidolon.models.generation.token_log import token_log
from eidolon.models.probing.teacher_forcing import Chunk, prompt_cache, recurrent_states, teacher_force
from eidolon.scorers.core.errors import UserError
from tests.models.hybrid import HybridModel, picture

PROMPTS = ("Describe this image in detail.", "Is there a cup in the image?", "What is in the image?")


@pytest.fixture(scope="module")
def model() -> TransformersModel:
    return TransformersModel(str(shipped_models()["scenes-small"]))


@pytest.fixture(scope="module")
def hybrid() -> HybridModel:
    return HybridModel("hybrid")


def scenes(n: int, **decoding: int) -> list[Request]:
    """Requests with prompts of different lengths, so that a batch is padded."""
    return [
        Request(str(i), i, render(make_scene(77, i, Dials())), PROMPTS[i % 3], decoding=Decoding(**decoding))
        for i in range(n)
    ]


def noise_pictures(n: int, **decoding: int) -> list[Request]:
    return [Request(str(i), i, picture(i), PROMPTS[i % 3], decoding=Decoding(**decoding)) for i in range(n)]


def naive(model: TransformersModel, request: Request, tokens: Sequence[int]) -> torch.Tensor:
    """(tokens, vocabulary) log-probabilities: for each position the whole text before it is read again."""
    rows = []
    for position in range(len(tokens)):
        inputs = dict(model.prepare([request]))
        written = torch.tensor([list(tokens[:position])], dtype=torch.int64)
        for name, filler in (("input_ids", written), ("attention_mask", 1), ("mm_token_type_ids", 0)):
            if name in inputs:
                more = written if name == "input_ids" else torch.full_like(written, filler)  # type: ignore[arg-type]
                inputs[name] = torch.cat([inputs[name], more.to(inputs[name].dtype)], dim=1)
        with torch.no_grad():
            logits = model.model(**inputs, use_cache=False).logits[0, -1].double()
        rows.append(logits - logits.exp().sum().log())
    return torch.stack(rows) if rows else torch.zeros(0, 1)


def gathered(chunks: Sequence[Chunk]) -> torch.Tensor:
    return torch.cat([chunk.log_probabilities() for chunk in chunks], dim=1)


@pytest.mark.parametrize("kind", ["model", "hybrid"])
def test_it_equals_the_naive_twin(kind: str, request: pytest.FixtureRequest) -> None:
    """Texts of different lengths after prompts of different lengths: log-probabilities, alternatives, all logits."""
    model: TransformersModel = request.getfixturevalue(kind)
    asked = scenes(4) if kind == "model" else noise_pictures(4)
    generator = torch.Generator().manual_seed(1)
    texts = [torch.randint(10, 290, (length,), generator=generator).tolist() for length in (9, 0, 4, 14)]
    chunks = list(teacher_force(model, asked, texts, width=5))
    assert [chunk.start for chunk in chunks] == [0, 5, 10]
    # A hybrid adds up in another order when it reads a text at once.
    tolerance = 1e-5 if kind == "model" else 1e-4
    for row, (one, tokens) in enumerate(zip(asked, texts, strict=True)):
        expected = naive(model, one, tokens)
        for chunk in chunks:
            for column in range(chunk.tokens.shape[1]):
                position = chunk.start + column
                assert bool(chunk.mask[row, column]) == (position < len(tokens))
                if position >= len(tokens):
                    assert chunk.log_probabilities()[row, column] == 0
                    continue
                assert int(chunk.tokens[row, column]) == tokens[position]
                found = chunk.log_probabilities()[row, column]
                assert float(found) == pytest.approx(
                    float(expected[position, tokens[position]]), abs=tolerance
                )
                whole = chunk.logits[row, column].double().log_softmax(-1)
                assert float((whole - expected[position]).abs().max()) < 10 * tolerance
                ids, values = (found[row, column] for found in chunk.top(3))
                best = expected[position].topk(3)
                assert values.tolist() == pytest.approx(best.values.tolist(), abs=10 * tolerance)
                if float(best.values.diff().abs().min()) > 1e-3:
                    assert ids.tolist() == best.indices.tolist()


@pytest.mark.parametrize("kind", ["model", "hybrid"])
def test_a_models_own_answer_has_the_likeliest_tokens(kind: str, request: pytest.FixtureRequest) -> None:
    """Each token of a greedy answer, its end included, is the likeliest one."""
    model: TransformersModel = request.getfixturevalue(kind)
    asked = (scenes if kind == "model" else noise_pictures)(6, max_new_tokens=24)
    with token_log() as tokens:
        ended = [r.finish_reason == "stop" for r in model.generate(asked)]
    texts = [
        [*tokens[r.sample_id, 0], *(model.end_ids[:1] if end else ())]
        for r, end in zip(asked, ended, strict=True)
    ]
    assert kind == "hybrid" or any(ended)
    for chunk in teacher_force(model, asked, texts):
        assert bool((chunk.top(1)[0][..., 0] == chunk.tokens)[chunk.mask].all())


@settings(max_examples=20)
@given(
    st.lists(st.lists(st.integers(10, 290), max_size=12), min_size=1, max_size=4).filter(any),
    st.integers(1, 13),
)
def test_chunks_and_neighbours_change_nothing(
    model: TransformersModel, texts: list[list[int]], width: int
) -> None:
    asked = scenes(len(texts))
    together = gathered(list(teacher_force(model, asked, texts, width=width)))
    for row, tokens in enumerate(texts):
        if not tokens:
            continue
        alone = gathered(list(teacher_force(model, asked[row : row + 1], [tokens])))[0]
        assert together[row, : len(tokens)].tolist() == pytest.approx(alone.tolist(), abs=1e-4)


def test_two_branches_may_be_read_side_by_side(hybrid: HybridModel) -> None:
    """Also with a model that stores image positions in itself."""
    one, other = noise_pictures(2), noise_pictures(5)[3:]
    texts = [[20, 30, 40, 50, 60, 70], [21, 31, 41]]
    expected = [gathered(list(teacher_force(hybrid, asked, texts, width=2))) for asked in (one, other)]
    pairs = zip(
        teacher_force(hybrid, one, texts, width=2), teacher_force(hybrid, other, texts, width=2), strict=True
    )
    found = [gathered(chunks) for chunks in zip(*pairs, strict=True)]
    assert all(torch.equal(a, b) for a, b in zip(expected, found, strict=True))
    assert not torch.allclose(expected[0], expected[1])


def test_the_prompt_is_read_once_and_chunks_on_demand(model: TransformersModel) -> None:
    reads: list[int] = []
    vision = model.model.model.vision_model.register_forward_hook(lambda *_: reads.append(0))
    text = model.model.model.text_model.register_forward_hook(
        lambda _, __, out: reads.append(out.last_hidden_state.shape[1])
    )
    try:
        asked = scenes(2)
        width = model.prepare(asked)["input_ids"].shape[1]
        chunks = teacher_force(model, asked, [[40] * 20, [41] * 7], width=6)
        assert next(chunks).logits.shape[:2] == (2, 6)
        assert reads == [0, width, 5]
        assert [chunk.logits.shape[1] for chunk in chunks] == [6, 6, 2]
        assert reads == [0, width, 5, 1, 5, 1, 5, 1, 1]
    finally:
        vision.remove()
        text.remove()


def test_without_texts_nothing_is_read(model: TransformersModel) -> None:
    assert list(teacher_force(model, scenes(2), [[], []])) == []


def test_the_states_of_a_hybrid_are_found(model: TransformersModel, hybrid: HybridModel) -> None:
    assert recurrent_states(prompt_cache(model, scenes(1))) == []
    states = recurrent_states(prompt_cache(hybrid, noise_pictures(1)))
    assert len(states) == 3
    assert all(state.dtype == torch.float32 and float(state.abs().max()) > 0 for state in states)


def test_models_that_cannot_be_forced_are_refused() -> None:
    from transformers import Blip2ForConditionalGeneration, T5Config, T5ForConditionalGeneration

    tiny = T5ForConditionalGeneration(
        T5Config(vocab_size=16, d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2)
    )
    for model, message in (
        (tiny, "encoder-decoder"),
        (Blip2ForConditionalGeneration.__new__(Blip2ForConditionalGeneration), "its own generate method"),
    ):
        if message != "encoder-decoder":
            torch.nn.Module.__init__(model)
            model.config = SimpleNamespace(is_encoder_decoder=False)
        with pytest.raises(UserError, match=message):
            teacher_force(SimpleNamespace(model=model, name="m"), [], [])  # type: ignore[arg-type]


def test_wrong_calls(model: TransformersModel) -> None:
    with pytest.raises(ValueError, match="1 continuations of 2 prompts"):
        next(teacher_force(model, scenes(2), [[1]]))
    with pytest.raises(ValueError, match="width=0"):
        next(teacher_force(model, scenes(1), [[1]], width=0))
