"""The block against its definition, and what its output must not depend on."""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from eidolon.models.memory.block import MemoryBlock, hash_positions
from eidolon.models.memory.layout import SYMBOLS, Memory
from eidolon.models.memory.parts import joined
from eidolon.models.memory.state import BlockState
from tests.models.memory import plainly

WIDTH, HEADS, HEAD_DIM, WINDOW, STORE = 12, 2, 8, 4, 3
LENGTH = 23
ROTATED = HEAD_DIM // 2
ATTENDING = ("*", "SWA", "BMF", "BM")
OPTIONS: dict[str, dict[str, Any]] = {
    "M2": {"fading": "M2"},
    "GKA": {"fading": "GKA"},
    "recent": {"selection": "recent"},
    "random": {"selection": "random"},
    "last": {"predictor": "last"},
    "absolute": {"store_position": "absolute"},
    "plain": {"query_key_norm": False},
}
EVERY = (
    *SYMBOLS,
    "BM/M2",
    "BMF/GKA",
    "BM/recent",
    "BM/random",
    "BM/last",
    "BM/absolute",
    "BM/plain",
    "*/plain",
)
"""All kinds of memory; after the slash, an option other than the default."""


def build(kind: str, dtype: torch.dtype = torch.float64, layer: int = 0, **sizes: Any) -> MemoryBlock:
    """Return a block with large weights, so that its outputs differ clearly."""
    symbol, _, variant = kind.partition("/")
    named = OPTIONS[variant] if variant else {}
    given = {"window": WINDOW, "store": STORE, "heads": HEADS, "head_dim": HEAD_DIM, "chunk": 5}
    memory = Memory.model_validate({"layout": symbol, **given, **named, **sizes})
    torch.manual_seed(0)
    block = MemoryBlock(WIDTH, memory, memory.layout[0], layer).to(dtype)
    with torch.no_grad():
        for parameter in block.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, 0.4)
    return block


def inputs(length: int = LENGTH, batch: int = 2, dtype: torch.dtype = torch.float64, seed: int = 1) -> Tensor:
    return torch.randn(batch, length, WIDTH, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def in_pieces(
    block: MemoryBlock, x: Tensor, lengths: list[int], mask: Tensor | None = None
) -> tuple[Tensor, BlockState]:
    assert sum(lengths) == x.shape[1]
    outputs, state, start = [], None, 0
    for length in lengths:
        piece = slice(start, start + length)
        mixed = block(x[:, piece], None if mask is None else mask[:, piece], state)
        outputs.append(mixed.output)
        state, start = mixed.state, start + length
    assert state is not None
    return torch.cat(outputs, 1), state


def tensors(state: Any, name: str = "") -> Iterator[tuple[str, Tensor]]:
    if isinstance(state, Tensor):
        yield name, state
    elif is_dataclass(state):
        for field in fields(state):
            yield from tensors(getattr(state, field.name), f"{name}.{field.name}")


def assert_same_state(got: BlockState, expected: BlockState) -> None:
    """The parts of a state that are read: empty slots may have any content."""
    found, wanted = dict(tensors(got)), dict(tensors(expected))
    assert found.keys() == wanted.keys()
    for name in wanted:
        if ".window." in name or ".fading." in name or ".store." in name:
            span = name.rsplit(".", 1)[0]
            real = wanted[f"{span}.real"]
            if not name.endswith(".real"):
                found[name] = found[name] * real[:, None, :, None]
                wanted[name] = wanted[name] * real[:, None, :, None]
        elif name == ".store_positions":
            filled = wanted[".store_scores"].isfinite()
            found[name], wanted[name] = found[name] * filled, wanted[name] * filled
        torch.testing.assert_close(
            found[name], wanted[name], rtol=1e-9, atol=1e-9, msg=lambda m, name=name: f"{name}: {m}"
        )


def weights_of(predictor: nn.Module) -> list[Tensor]:
    return [parameter.detach() for parameter in predictor.parameters()]


def definition(block: MemoryBlock, x: Tensor, kind: str) -> Tensor:
    """Return the definition's output for x, (T, width)."""
    fading = None
    if block.fading is not None:
        fading = block.fading(x[None])[0][0].detach()
    scores: list[float] = []
    if block.predictor is not None and fading is not None:
        scores = {
            "BM/recent": list(map(float, range(len(x)))),
            "BM/random": hash_positions(torch.arange(len(x)), block.layer).tolist(),
        }.get(kind) or plainly.innovations(x, fading, weights_of(block.predictor))
    weights = {"query": block.query, "key_value": block.key_value, "out": block.out_proj}
    if block.query_norm is not None and block.key_norm is not None:
        weights |= {"query_norm": block.query_norm, "key_norm": block.key_norm}
    return plainly.attended(
        x,
        fading,
        {name: layer.weight.detach() for name, layer in weights.items()},
        heads=HEADS,
        rotated=ROTATED,
        base=10_000.0,
        window=len(x) if block.symbol == "*" else WINDOW,
        clipped=block.clipped,
        stored=lambda entered: plainly.largest(scores[:entered], STORE),
    )


@pytest.mark.parametrize("kind", [kind for kind in EVERY if kind.split("/")[0] in ATTENDING])
def test_is_its_definition(kind: str) -> None:
    """One softmax over the union, as loops; also at the first W positions, which have only the window."""
    block, x = build(kind), inputs(batch=1)
    expected = definition(block, x[0], kind)
    torch.testing.assert_close(block(x).output[0], expected, rtol=1e-9, atol=1e-9)
    in_float32 = build(kind, torch.float32)
    in_float32.load_state_dict(block.state_dict())
    output = in_float32(x.float()).output[0]
    torch.testing.assert_close(output.double(), expected, rtol=1e-5, atol=1e-5)


def turned_by_matrix(x: Tensor) -> Tensor:
    """Rotary positions as in Llama: x cos + rotate_half(x) sin."""
    positions = torch.arange(x.shape[2], dtype=x.dtype)
    frequencies = 10_000.0 ** (-torch.arange(0, ROTATED, 2, dtype=x.dtype) / ROTATED)
    angles = torch.cat([positions[:, None] * frequencies] * 2, -1)
    part, rest = x[..., :ROTATED], x[..., ROTATED:]
    half = torch.cat([-part[..., ROTATED // 2 :], part[..., : ROTATED // 2]], -1)
    return torch.cat([part * angles.cos() + half * angles.sin(), rest], -1)


@pytest.mark.parametrize("kind", ["*/plain", "SWA/plain"])
def test_attention_is_that_of_torch(kind: str) -> None:
    block, x = build(kind, torch.float32), inputs(60, dtype=torch.float32)
    keys, values = block.key_value(x).chunk(2, -1)
    q, k, v = (
        part.unflatten(-1, (HEADS, HEAD_DIM)).transpose(1, 2) for part in (block.query(x), keys, values)
    )
    distance = torch.arange(60)[:, None] - torch.arange(60)[None, :]
    mask = (distance >= 0) & ((distance < WINDOW) | (block.symbol == "*"))
    heard = functional.scaled_dot_product_attention(
        turned_by_matrix(q), turned_by_matrix(k), v, attn_mask=mask
    )
    expected = block.out_proj(heard.transpose(1, 2).flatten(2))
    torch.testing.assert_close(block(x).output, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", EVERY)
def test_pieces_of_any_length_equal_the_whole(kind: str) -> None:
    block, x = build(kind), inputs()
    whole = block(x)
    for lengths in ([1] * LENGTH, [1, LENGTH - 1], [LENGTH - 1, 1], [3, 1, 9, 2, 1, 7]):
        output, state = in_pieces(block, x, lengths)
        torch.testing.assert_close(output, whole.output, rtol=1e-9, atol=1e-9)
        assert_same_state(state, whole.state)


@pytest.mark.parametrize("kind", EVERY)
def test_chunks_of_any_length_are_the_same(kind: str) -> None:
    expected = build(kind)(inputs()).output
    for chunk in (1, 4, LENGTH, 64):
        torch.testing.assert_close(build(kind, chunk=chunk)(inputs()).output, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kind", EVERY)
def test_padding_and_batch_change_nothing(kind: str) -> None:
    """Padding on the left, as in generation, in a batch with longer rows and in several calls."""
    block, x = build(kind), inputs(batch=3)
    mask = torch.arange(LENGTH) >= torch.tensor([[0], [5], [LENGTH - 2]])
    x = torch.where(mask[..., None], x, 50 * inputs(batch=3, seed=3))
    together = block(x, mask)
    pieces, state = in_pieces(block, x, [2, 1, 10, 1, 9], mask)
    torch.testing.assert_close(pieces[mask], together.output[mask], rtol=1e-9, atol=1e-9)
    assert_same_state(state, together.state)
    assert together.state.seen.tolist() == mask.sum(1).tolist()
    for row in range(3):
        alone = block(x[row : row + 1, mask[row]])
        torch.testing.assert_close(alone.output[0], together.output[row, mask[row]], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kind", EVERY)
def test_padding_on_the_right_is_never_read(kind: str) -> None:
    """As in training."""
    block, x = build(kind), inputs()
    longer = torch.cat([x, 50 * inputs(6, seed=3)], 1)
    mask = torch.arange(LENGTH + 6).expand(2, -1) < LENGTH
    expected, padded = block(x), block(longer, mask)
    torch.testing.assert_close(padded.output[:, :LENGTH], expected.output, rtol=1e-9, atol=1e-9)
    if expected.prediction_loss is not None:
        torch.testing.assert_close(padded.prediction_loss, expected.prediction_loss)


@pytest.mark.parametrize("kind", EVERY)
def test_a_later_token_changes_nothing_before(kind: str) -> None:
    """Not even the stored tokens: a very surprising one replaces another only after it has entered."""
    block, x = build(kind), inputs()
    before = block(x).output
    for first in (1, 5, WINDOW + 1, LENGTH - 1):
        changed = x.clone()
        changed[:, first:] = 100 * inputs(LENGTH - first, seed=2)
        after = block(changed).output
        assert torch.equal(after[:, :first], before[:, :first])
        assert not torch.isclose(after[:, first], before[:, first]).all()


# GKA's gradient is that of the exact solution, which 30 iterations approximate: see test_kalman.
@pytest.mark.parametrize("kind", [kind for kind in EVERY if "GKA" not in kind])
def test_gradients_are_finite_differences(kind: str) -> None:
    """Gradients of the output by input and weights. The steps are too small to change the stored tokens."""
    block, x = build(kind), inputs(11, batch=1).requires_grad_()
    names = [name for name, _ in block.named_parameters()]

    def outputs(x: Tensor, *weights: Tensor) -> Tensor:
        named = dict(zip(names, weights, strict=True))
        mixed = torch.func.functional_call(block, named, (x,))
        output: Tensor = mixed.output
        return output

    weights = [parameter.detach().clone().requires_grad_() for parameter in block.parameters()]
    torch.manual_seed(0)
    assert torch.autograd.gradcheck(outputs, (x, *weights), fast_mode=True)


def test_the_gradient_of_the_predictors_loss_reaches_the_predictor_only() -> None:
    block, x = build("BM"), inputs(11).requires_grad_()
    assert block.predictor is not None
    loss = block(x).prediction_loss
    predictor = weights_of(block.predictor)
    scores = [
        plainly.innovations(row, block.fading(row[None])[0][0].detach(), predictor) for row in x.detach()
    ]
    torch.testing.assert_close(loss, torch.tensor(scores).square().mean().double() / WIDTH)
    loss.backward()
    names = [f"predictor.convolution.{name}" for name in ("weight", "bias")]
    assert [name for name, p in block.named_parameters() if p.grad is not None] == names
    assert x.grad is None

    def of(*weights: Tensor) -> Tensor:
        mixed = torch.func.functional_call(block, dict(zip(names, weights, strict=True)), (x.detach(),))
        found: Tensor = mixed.prediction_loss
        return found

    drawn = [weight.clone().requires_grad_() for weight in predictor]
    assert torch.autograd.gradcheck(of, tuple(drawn), fast_mode=True)


@pytest.mark.parametrize("kind", EVERY)
@pytest.mark.parametrize("narrow", ["autocast", "weights"])
def test_states_are_float32_with_narrow_products(kind: str, narrow: str) -> None:
    """Recurrent states and the scores of the store are float32; keys and values have the products' dtype."""
    exact = build(kind, torch.float32)
    x = inputs(dtype=torch.float32)
    expected = exact(x).output
    lengths = [12, 1, 1, 9]
    if narrow == "autocast":
        with torch.autocast("cpu", torch.bfloat16):
            output, state = in_pieces(exact, x, lengths)
    else:
        coarse = build(kind, torch.bfloat16)
        coarse.load_state_dict(exact.state_dict())
        output, state = in_pieces(coarse, x.bfloat16(), lengths)
    found = {name: tensor.dtype for name, tensor in tensors(state)}
    precise = [n for n in found if n.startswith(".recurrent.") and n != ".recurrent.convolution"]
    precise += [n for n in (".scores", ".store_scores") if n in found]
    assert all(found[name] == torch.float32 for name in precise), found
    assert output.dtype == torch.bfloat16
    assert (output.float() - expected).abs().median() < 0.1 * expected.abs().median()


def naive_store(scores: list[float], entered: int) -> list[int]:
    return plainly.largest(scores[: max(0, entered)], STORE)


@pytest.mark.parametrize("kind", ["BM", "BM/M2", "BM/recent", "BM/random"])
@pytest.mark.parametrize("step", [1, 6])
def test_the_store_holds_the_largest_of_all_that_left_the_window(kind: str, step: int) -> None:
    block, x = build(kind), inputs(30, batch=1)
    assert block.fading is not None
    assert block.predictor is not None
    scores = {
        "BM/recent": [float(i) for i in range(30)],
        "BM/random": [float(s) for s in hash_positions(torch.arange(30), block.layer)],
    }.get(kind) or plainly.innovations(x[0], block.fading(x)[0][0], weights_of(block.predictor))
    state = None
    for start in range(0, 30, step):
        state = block(x[:, start : start + step], None, state).state
        assert state.store is not None
        assert state.store_positions is not None
        assert state.store_scores is not None
        real = state.store.real[0]
        assert real.shape == (STORE,)
        entered = start + step - WINDOW
        expected = naive_store(scores, entered)
        assert state.store_positions[0, real].tolist() == expected
        torch.testing.assert_close(
            state.store_scores[0, real], torch.tensor([scores[i] for i in expected]).double()
        )
        assert (state.store_scores[0, ~real] == -torch.inf).all()


def test_a_token_is_stored_from_age_w_on() -> None:
    """The most surprising token is readable at every age: first in the window, then in the store."""
    block, x = build("BM"), inputs(30, batch=1)
    assert block.predictor is not None
    for weight in block.predictor.parameters():
        weight.data.zero_()
    x[0, 7] *= 30
    state = None
    for i in range(30):
        state = block(x[:, i : i + 1], None, state).state
        assert state.store is not None
        assert state.store_positions is not None
        stored = state.store_positions[0, state.store.real[0]].tolist()
        assert (7 in stored) == (i >= 7 + WINDOW)
        assert all(position <= i - WINDOW for position in stored)


def test_random_scores_are_a_function_of_position_and_layer() -> None:
    positions = torch.arange(5000)
    first, second = hash_positions(positions, 0), hash_positions(positions, 1)
    assert torch.equal(first, hash_positions(positions, 0))
    assert torch.equal(first[100:200], hash_positions(torch.arange(100, 200), 0))
    assert (first != second).float().mean() > 0.99
    assert len(first.unique()) > 4990
    assert int(first.min()) >= 0
    assert int(first.max()) < 2**24
    assert torch.equal(first.float().long(), first), "a float32 holds each"
    # Neither early nor late positions are preferred.
    assert abs(float(torch.corrcoef(torch.stack([positions.double(), first.double()]))[0, 1])) < 0.05
    block = build("BM/random")
    kept = [block(inputs(seed=seed)).state.store_positions for seed in (1, 2)]
    assert torch.equal(*kept), "whatever the tokens are"


def test_the_stored_tokens_depend_on_the_content_with_innovation_only() -> None:
    kept = {seed: build("BM")(inputs(30, seed=seed)).state.store_positions.tolist() for seed in (1, 2)}
    assert kept[1] != kept[2]
    recent = build("BM/recent")(inputs(30)).state.store_positions
    assert recent.tolist() == [[30 - WINDOW - 3, 30 - WINDOW - 2, 30 - WINDOW - 1]] * 2


def test_sizes_of_states_do_not_grow() -> None:
    for kind in EVERY:
        sizes = []
        for length in (60, 120):
            _, state = in_pieces(build(kind), inputs(length, batch=1), [length // 2, length // 2])
            sizes.append({name: tuple(tensor.shape) for name, tensor in tensors(state)})
        assert (sizes[0] == sizes[1]) == (not kind.startswith("*")), kind
        if kind.split("/")[0] in ("SWA", "BMF", "BM"):
            assert sizes[0][".window.keys"][2] == WINDOW


def test_a_single_source_is_read_without_a_copy() -> None:
    """Full attention has one. A copy of all keys and values costs more than attention to them."""
    one, other = torch.zeros(1, 2, 3), torch.ones(1, 2, 4)
    assert joined([one]) is one
    assert torch.equal(joined([one, other]), torch.cat([one, other], 2))
