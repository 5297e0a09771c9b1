"""M3ID and contrastive decoding: the formula by hand, and generation against a twin without caches or batches."""

import json
import math
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from eidolon.benchmark.scenes.scene import Dials, make_scene, render
from eidolon.models.backends.transformers import TransformersModel
from eidolon.models.base.contrast import M3ID, ContrastDecoding, Contrastive, make_contrast
from eidolon.models.base.model import Decoding, Request, request_seed
from eidolon.models.base.shipped import shipped_models
from eidolon.models.generation.m3id import ContrastProcessor, contrast_scores
from eidolon.models.generation.token_reader import TokenReader
from eidolon.scorers.core.errors import UserError
from tests.models.tiny_vl import TinyQwen35, save_llava

PROMPTS = ("Describe this image in detail.", "Is there a cup in the image?", "What is in the image?")


@pytest.fixture(scope="module")
def model() -> TransformersModel:
    return TransformersModel(str(shipped_models()["scenes-small"]))


@pytest.fixture(scope="module")
def llava(tmp_path_factory: pytest.TempPathFactory) -> TransformersModel:
    folder = tmp_path_factory.mktemp("llava")
    save_llava(folder)
    return TransformersModel(str(folder))


def m3id(**options: Any) -> M3ID:
    """Return M3ID; `rate` is λ."""
    return M3ID(**{"lambda" if key == "rate" else key: value for key, value in options.items()})


def requests(n: int, contrast: ContrastDecoding | None, tokens: int = 30, **decoding: Any) -> list[Request]:
    return [
        Request(
            str(i),
            i,
            render(make_scene(77, i, Dials())),
            PROMPTS[i % 3],
            decoding=Decoding(
                max_new_tokens=tokens, contrast=contrast, seed=request_seed(3, str(i), 0), **decoding
            ),
        )
        for i in range(n)
    ]


def answers(model: TransformersModel, asked: list[Request], batch: int) -> list[str]:
    found = [r for start in range(0, len(asked), batch) for r in model.generate(asked[start : start + batch])]
    return [r.response or "" for r in found]


# The formula


def by_hand(seen: list[float], blind: list[float], contrast: ContrastDecoding, t: int) -> list[float]:
    """Return the probabilities of the next token, in Python's floats."""

    def log_softmax(logits: list[float]) -> list[float]:
        top = max(logits)
        total = math.log(sum(math.exp(x - top) for x in logits)) + top
        return [x - total for x in logits]

    conditioned, unconditioned = log_softmax(seen), log_softmax(blind)
    if isinstance(contrast, M3ID):
        factor = math.exp(contrast.rate * t) - 1
        if contrast.cap is not None and factor > contrast.cap:
            factor = contrast.cap
        if contrast.gate and max(conditioned) >= math.log(contrast.alpha):
            factor = 0.0
        cut = None if contrast.gate else contrast.cut
    else:
        assert isinstance(contrast, Contrastive)
        factor, cut = contrast.constant, contrast.cut
    combined = [c + factor * (c - u) for c, u in zip(conditioned, unconditioned, strict=True)]
    if cut:
        floor = cut * math.exp(max(conditioned))
        combined = [
            x if math.exp(c) >= floor else -math.inf for x, c in zip(combined, conditioned, strict=True)
        ]
    top = max(combined)
    weights = [math.exp(x - top) for x in combined]
    return [w / sum(weights) for w in weights]


LOGITS = st.lists(st.floats(-8, 8, width=32), min_size=5, max_size=5)
CONTRASTS = st.one_of(
    st.builds(
        lambda rate, gate, alpha, cap: m3id(rate=rate, gate=gate, alpha=alpha, cap=cap),
        st.sampled_from([0.0, 0.005, 0.02, 0.3]),
        st.booleans(),
        st.sampled_from([0.1, 0.3, 0.8, 1.0]),
        st.sampled_from([None, 0.0, 0.5, 5.0]),
    ),
    st.builds(lambda w, cut: Contrastive(weight=w, cut=cut), st.sampled_from([0.0, 0.5, 2.0]),
              st.sampled_from([0.0, 0.1, 1.0])),
)  # fmt: skip


@given(LOGITS, LOGITS, CONTRASTS, st.integers(0, 60))
def test_the_formula(seen: list[float], blind: list[float], contrast: ContrastDecoding, t: int) -> None:
    ranked = sorted(seen)[::-1]
    if contrast.plausible:  # a token at the threshold may fall on either side
        edge = ranked[0] + math.log(contrast.plausible)
        if any(abs(x - edge) < 1e-4 for x in ranked[contrast.plausible == 1 :]):
            return
    confidence = 1 / sum(math.exp(x - ranked[0]) for x in ranked)
    if abs(confidence - contrast.confident) < 1e-4:
        return
    scores = contrast_scores(
        torch.tensor([seen], dtype=torch.float64), torch.tensor([blind], dtype=torch.float64), contrast, t
    )
    np.testing.assert_allclose(scores.softmax(dim=-1)[0], by_hand(seen, blind, contrast, t), atol=1e-9)


def test_worked_example() -> None:
    """Probabilities 0.2, 0.2, 0.6 with the image and 0.5, 0.25, 0.25 without; w(t = ln 2 / λ) = 1.

    l̂ = 2·l_c - l_u: weights 0.04/0.5, 0.04/0.25, 0.36/0.25 = 0.08, 0.16, 1.44, of 1.68.
    """
    seen = torch.tensor([[0.2, 0.2, 0.6]], dtype=torch.float64).log()
    blind = torch.tensor([[0.5, 0.25, 0.25]], dtype=torch.float64).log()
    contrast = m3id(rate=math.log(2) / 10, alpha=0.7, cap=None)
    probable = contrast_scores(seen, blind, contrast, 10).softmax(dim=-1)[0]
    np.testing.assert_allclose(probable, np.array([0.08, 0.16, 1.44]) / 1.68, atol=1e-12)
    shut = m3id(rate=contrast.rate, alpha=0.5, cap=None)
    assert torch.equal(contrast_scores(seen, blind, shut, 10), seen)
    cut = m3id(rate=math.log(2) / 10, gate=False, cut=0.4, cap=None)
    probable = contrast_scores(seen, blind, cut, 10).softmax(dim=-1)[0]
    np.testing.assert_allclose(probable, [0, 0, 1], atol=1e-12)


def test_weights_of_the_paper_and_the_cap() -> None:
    """With λ = 0.02: 0 at t = 0, then 1.7, 6.4 and 53.6."""
    free, capped = m3id(cap=None), M3ID()
    assert [round(free.weight(t), 1) for t in (0, 50, 100, 200)] == [0, 1.7, 6.4, 53.6]
    assert [round(capped.weight(t), 1) for t in (0, 50, 100, 200)] == [0, 1.7, 5, 5]
    assert M3ID().alpha == 0.3
    assert math.isfinite(m3id(rate=100, cap=None).weight(10_000))


@given(LOGITS, LOGITS)
def test_at_the_first_token_nothing_changes(seen: list[float], blind: list[float]) -> None:
    scores = torch.tensor([seen])
    assert torch.equal(contrast_scores(scores, torch.tensor([blind]), M3ID(alpha=1.0), 0), scores)


def test_the_gate_opens_row_by_row() -> None:
    seen = torch.tensor([[0.9, 0.05, 0.05], [0.25, 0.5, 0.25], [0.28, 0.36, 0.36]]).log()
    blind = torch.tensor([[0.1, 0.6, 0.3]]).log().expand(3, -1)
    scores = contrast_scores(seen, blind, m3id(alpha=0.4), 50)
    assert torch.equal(scores[:2], seen[:2])
    assert not torch.equal(scores[2], seen[2])


def test_a_huge_weight_gives_finite_scores() -> None:
    seen = torch.randn((4, 100), generator=torch.Generator().manual_seed(0))
    scores = contrast_scores(seen, seen.flip(0), m3id(rate=10, cap=None, gate=False, cut=0), 10_000)
    assert scores.isfinite().all()
    assert scores.softmax(dim=-1).isfinite().all()


def test_the_processor_counts_steps_and_reads_the_new_tokens() -> None:
    """A branch with known logits gets each new token once, and none before the first."""
    read: list[Any] = []

    class Known(TokenReader):
        def __init__(self) -> None:
            pass

        def read_prompt(self) -> torch.Tensor:
            read.append("prompt")
            return torch.tensor([[[0.0, 1.0]]])

        def read(self, tokens: torch.Tensor) -> torch.Tensor:
            read.append(tokens.tolist())
            return torch.tensor([[[1.0, 0.0]]])

    process = ContrastProcessor(Known(), m3id(rate=math.log(2), alpha=1, cap=None))
    seen, ids = torch.tensor([[3.0, 1.0]]), torch.tensor([[7, 8]])
    margins = []
    for token in (4, 5, 6):
        scores = process(ids, seen)
        margins.append(float(scores[0, 0] - scores[0, 1]))
        ids = torch.cat([ids, torch.tensor([[token]])], dim=1)
    assert read == ["prompt", [[4]], [[5]]]
    # Weights 0, 1, 3; margins 2 with the image and -1, 1, 1 without.
    assert margins == pytest.approx([2, 2 + 1 * (2 - 1), 2 + 3 * (2 - 1)])


# Generation


def twin(model: TransformersModel, request: Request) -> list[int]:
    """Generate one request's tokens, with both branches read from the start for each, in float64 after the logits."""
    decoding, contrast = request.decoding, request.decoding.contrast
    assert contrast is not None
    network = model.model
    seen = dict(model.prepare([request]))
    blind = dict(model.prepare([request], images=contrast.without != "dropped"))
    connector = network.get_submodule(
        "model.connector" if hasattr(network.model, "connector") else "model.multi_modal_projector"
    )
    stream = np.random.Generator(np.random.PCG64(decoding.seed))
    written: list[int] = []

    def last(inputs: dict[str, Any], zeroed: bool = False) -> list[float]:
        ids = torch.cat([inputs["input_ids"], torch.tensor([written], dtype=torch.long)], dim=1)
        handle = connector.register_forward_hook(lambda *a: torch.zeros_like(a[2])) if zeroed else None
        given = {k: v for k, v in inputs.items() if k.startswith("pixel")}
        with torch.inference_mode():
            logits = network(
                input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False, **given
            ).logits
        if handle:
            handle.remove()
        values: list[float] = logits[0, -1].double().tolist()
        return values

    while len(written) < decoding.max_new_tokens:
        probable = by_hand(last(seen), last(blind, contrast.without == "zeroed"), contrast, len(written))
        if decoding.temperature == 0:
            token = int(np.argmax(probable))
        else:
            heated = np.array(probable) ** (1 / decoding.temperature)
            heated /= heated.sum()
            order = np.argsort(-heated, kind="stable")
            before = np.concatenate([[0], np.cumsum(heated[order])[:-1]])
            heated[order[before >= decoding.top_p]] = 0
            token = int(np.searchsorted(np.cumsum(heated), stream.random() * heated.sum(), side="right"))
        if token in model._ids["eos_token_id"]:
            break
        written.append(token)
    return written


def text_of(model: TransformersModel, tokens: list[int]) -> str:
    text: str = model.processor.tokenizer.decode(tokens, skip_special_tokens=True)
    return text.strip()


SETTINGS: list[tuple[ContrastDecoding, dict[str, float]]] = [
    (m3id(rate=0.1, alpha=0.8), {}),
    (m3id(rate=0.1, alpha=1.0, without="zeroed"), {}),
    (m3id(rate=0.1, gate=False), {"temperature": 0.6}),
    (m3id(rate=0.1, alpha=0.8, cap=0.5), {"temperature": 1.0, "top_p": 0.9}),
    (Contrastive(weight=1.0), {}),
    (Contrastive(weight=0.5, cut=0.3, without="zeroed"), {"temperature": 1.0, "top_p": 0.9}),
]


@pytest.mark.parametrize(("contrast", "decoding"), SETTINGS)
def test_the_same_tokens_as_without_cache_and_batch(
    model: TransformersModel, contrast: ContrastDecoding, decoding: dict[str, float]
) -> None:
    """Prompts of different lengths, so padded; some answers end long before others."""
    asked = requests(6, contrast, **decoding)
    expected = [text_of(model, twin(model, request)) for request in asked]
    found = answers(model, asked, 6)
    assert found == expected
    assert found != answers(model, requests(6, None, **decoding), 6), "else the test says nothing"


def test_on_another_architecture(llava: TransformersModel) -> None:
    for contrast in (Contrastive(weight=2.0, cut=0), m3id(rate=0.3, alpha=1.0, without="zeroed")):
        llava.check_decoding(Decoding(contrast=contrast))
        asked = requests(4, contrast, 12)
        expected = [text_of(llava, twin(llava, request)) for request in asked]
        assert answers(llava, asked, 4) == expected
        assert expected != answers(llava, requests(4, None, 12), 4)


def test_two_branches_of_a_hybrid_do_not_share_state() -> None:
    """With recurrent layers, and positions stored in the model: the cached branch against one read from the start."""
    tiny, twin_branch = TinyQwen35(), TinyQwen35()
    asked = requests(2, None)
    seen, blind = tiny.prepare(asked), tiny.prepare(asked, images=False)
    branch, network = TokenReader(tiny.model, blind), tiny.model
    ids = blind["input_ids"]
    read = {}

    def watch(input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        new = input_ids[:, seen["input_ids"].shape[1] :]
        got = branch.read(new[:, -1:]) if new.shape[1] else branch.read_prompt()
        whole = torch.cat([ids, new], dim=1)
        mask = torch.cat([blind["attention_mask"], torch.ones_like(new)], dim=1)
        fresh = TokenReader(twin_branch.model, {"input_ids": whole, "attention_mask": mask}).read_prompt()
        read[new.shape[1]] = float((got - fresh).abs().max())
        return scores

    plain = network.generate(**seen, max_new_tokens=8, do_sample=False, eos_token_id=None)
    watched = network.generate(
        **seen, max_new_tokens=8, do_sample=False, eos_token_id=None, logits_processor=[watch]
    )
    assert torch.equal(plain, watched), "the first branch does not notice the second"
    assert sorted(read) == list(range(8))
    assert max(read.values()) < 1e-3


@pytest.mark.parametrize("decoding", [{}, {"temperature": 0.8, "top_p": 0.9}])
def test_without_a_weight_it_is_plain_decoding(model: TransformersModel, decoding: dict[str, float]) -> None:
    plain = answers(model, requests(6, None, **decoding), 6)
    for contrast in (m3id(rate=0), m3id(cap=0, alpha=1), Contrastive(weight=0, cut=0)):
        assert answers(model, requests(6, contrast, **decoding), 6) == plain


def test_the_first_token_is_that_of_plain_decoding(model: TransformersModel) -> None:
    contrast = m3id(rate=5, alpha=1)
    one = {"tokens": 1, "temperature": 1.0}
    assert answers(model, requests(9, contrast, **one), 9) == answers(model, requests(9, None, **one), 9)


def test_a_response_does_not_depend_on_its_batch(model: TransformersModel) -> None:
    """Answers to the questions end at once: rows that have ended must not disturb the others."""
    asked = requests(16, m3id(rate=0.05, alpha=1), 60, temperature=0.8)
    alone, together = answers(model, asked, 1), answers(model, asked, 8)
    assert sum(a == b for a, b in zip(alone, together, strict=True)) >= 15
    assert min(map(len, alone)) < 8 < 60 < max(map(len, alone))
    backwards = answers(model, asked[::-1], 8)[::-1]
    assert sum(a == b for a, b in zip(backwards, together, strict=True)) >= 15


def test_the_second_branch_reads_one_token_a_step(model: TransformersModel) -> None:
    """It takes no further pass after its prompt, and none after the end."""
    widths: list[int] = []
    decoder = model.model.get_decoder()
    handle = decoder.register_forward_pre_hook(
        lambda _, __, named: widths.append(named["inputs_embeds"].shape[1]), with_kwargs=True
    )
    try:
        (response,) = model.generate(requests(1, m3id(alpha=1), 400))
    finally:
        handle.remove()
    steps = response.completion_tokens or 0
    assert response.finish_reason == "stop"
    assert sorted(widths)[: steps - 1] == [1] * (steps - 1)
    assert len(widths) == steps + 1, "both prompts, then both branches in one pass"


@pytest.mark.parametrize(("contrast", "decoding"), SETTINGS)
def test_joined_branches_say_what_two_readers_say(
    model: TransformersModel,
    contrast: ContrastDecoding,
    decoding: dict[str, float],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Tokens, their log-probabilities, and how the answers end."""
    asked = requests(6, contrast, **decoding)
    read: list[bool] = []
    join = TokenReader.join

    def watched(self: TokenReader, other: TokenReader) -> TokenReader | None:
        both = join(self, other)
        read.append(both is not None)
        return both

    monkeypatch.setattr(TokenReader, "join", watched)
    monkeypatch.setattr(model, "options", model.options.model_copy(update={"logprobs": True}))
    joined = [*model.generate(asked)]
    assert read == [True]
    monkeypatch.setattr(model, "_joins", False)
    apart = [*model.generate(asked)]
    assert read == [True]
    for a, b in zip(joined, apart, strict=True):
        assert a.token_logprobs == pytest.approx(b.token_logprobs, abs=1e-3)
        assert a.model_copy(update={"token_logprobs": None}) == b.model_copy(update={"token_logprobs": None})
    assert len({a.finish_reason for a in joined} | {len(a.response or "") for a in joined}) > 2


def test_a_hybrid_is_read_by_two_readers() -> None:
    tiny = TinyQwen35()
    asked = requests(2, None)
    readers = [TokenReader(tiny.model, tiny.prepare(asked, images=images)) for images in (True, False)]
    for reader in readers:
        reader.read_prompt()
    assert readers[0].join(readers[1]) is None


def test_settings_stand_in_the_signature() -> None:
    assert M3ID().signature() == "m3id(without=dropped,lambda=0.02,gate=true,alpha=0.3,cap=5.0)"
    assert m3id(gate=False, cap=None).signature() == (
        "m3id(without=dropped,lambda=0.02,gate=false,cut=0.1,cap=none)"
    )
    assert Decoding(max_new_tokens=9, contrast=Contrastive()).signature() == (
        "greedy(max=9)+contrastive(without=dropped,weight=1.0,cut=0.1)"
    )
    assert Decoding(max_new_tokens=9).signature() == "greedy(max=9)"


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("m3id", {"lamda": "1"}, "--decoding-option lamda=1: .*did you mean 'lambda'"),
        ("m3id", {"lambda": "-1"}, "--decoding-option lambda=-1"),
        ("m3id", {"alpha": "0"}, "--decoding-option alpha=0"),
        ("m3id", {"cap": "nan"}, "--decoding-option cap=nan"),
        ("m3id", {"cut": "0.1"}, "cut=0.1: works with gate=false only"),
        ("m3id", {"gate": "false", "alpha": "0.3"}, "alpha=0.3: works with gate=true only"),
        ("m3id", {"without": "shuffled"}, "--decoding-option without=shuffled"),
        ("contrastive", {"lambda": "0.1"}, "--decoding-option lambda=0.1"),
        ("plain", {"lambda": "0.1"}, "plain decoding has no options"),
    ],
)
def test_wrong_options_are_the_users(name: str, options: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        make_contrast(name, options)


def test_settings_are_plain_data() -> None:
    """What is made of a decoding as data, a key for example, tells all decodings apart."""
    kinds = (None, M3ID(), m3id(gate=False), m3id(rate=0.1), Contrastive(), Contrastive(weight=0.5))
    texts = {json.dumps(asdict(Decoding(contrast=contrast))) for contrast in kinds}
    assert len(texts) == len(kinds)


def test_options_are_read_from_text() -> None:
    options = {"lambda": "0.1", "gate": "false", "cap": "none", "cut": "0.2", "without": "neutral"}
    assert make_contrast("m3id", options) == m3id(rate=0.1, gate=False, cap=None, cut=0.2, without="neutral")
    assert make_contrast("plain", {}) is None


def test_a_model_that_generates_by_itself_is_refused(llava: TransformersModel) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(llava.model), "generate", lambda *_, **__: None)
        with pytest.raises(UserError, match=r"--decoding m3id: LlavaFor.*its own generate method"):
            llava.check_decoding(Decoding(contrast=M3ID()))


def test_a_batch_shares_its_contrast(model: TransformersModel) -> None:
    first, second = requests(2, M3ID())
    mixed = [first, replace(second, decoding=replace(second.decoding, contrast=None))]
    with pytest.raises(ValueError, match="share one decoding"):
        list(model.generate(mixed))
