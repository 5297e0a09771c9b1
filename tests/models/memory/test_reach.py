"""How far back a model can see: with windows only, at most L (W - 1) tokens; with the others further."""

import pytest
import torch
from torch import Tensor

from eidolon.models.memory.configuration import MemoryTextConfig
from eidolon.models.memory.modeling import MemoryForCausalLM

WINDOW, LENGTH = 4, 30


def build(layout: str, **sizes: object) -> MemoryForCausalLM:
    """Return a model with large weights, so that each layer passes information on."""
    torch.manual_seed(0)
    given = {"window": WINDOW, "store": 2, "num_attention_heads": 2, "head_dim": 8, "chunk": 8, **sizes}
    config = MemoryTextConfig(vocab_size=40, hidden_size=16, intermediate_size=24, layout=layout, **given)  # type: ignore[arg-type]
    model = MemoryForCausalLM(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, 0.3)
    return model.eval()


def influence(model: MemoryForCausalLM) -> Tensor:
    """Return the norm of the gradient of the last token's logits by each token, (LENGTH,)."""
    embeddings = torch.randn(1, LENGTH, 16, generator=torch.Generator().manual_seed(1)).requires_grad_()
    logits = model(inputs_embeds=embeddings, use_cache=False).logits
    (logits[0, -1] * torch.randn(40, generator=torch.Generator().manual_seed(2))).sum().backward()
    assert embeddings.grad is not None
    return embeddings.grad[0].norm(dim=-1)


@pytest.mark.parametrize("layers", [1, 2, 4])
def test_windows_reach_as_far_as_their_sum(layers: int) -> None:
    model = build("-".join(["SWA"] * layers))
    reach = layers * (WINDOW - 1)
    owed = influence(model)
    assert (owed[: LENGTH - 1 - reach] == 0).all(), "not rounding: nothing"
    assert (owed[LENGTH - 1 - reach :] > 0).all()
    ids = torch.randint(0, 40, (1, LENGTH), generator=torch.Generator().manual_seed(3))
    before = model(ids).logits[0, -1]
    beyond, last = ids.clone(), ids.clone()
    beyond[0, : LENGTH - 1 - reach] = (ids[0, : LENGTH - 1 - reach] + 7) % 40
    last[0, LENGTH - 1 - reach] = (ids[0, LENGTH - 1 - reach] + 7) % 40
    assert torch.equal(model(beyond).logits[0, -1], before)
    assert not torch.equal(model(last).logits[0, -1], before)


@pytest.mark.parametrize("layout", ["*", "GDN", "M2", "GKA", "SWA-*", "GDN-SWA", "BM-SWA"])
def test_others_see_the_first_token(layout: str) -> None:
    assert influence(build(layout))[0] > 0


@pytest.mark.parametrize("fading", ["GDN", "M2", "GKA"])
@pytest.mark.parametrize("symbol", ["BMF", "BM"])
def test_a_window_with_fading_states_sees_the_first_token(symbol: str, fading: str) -> None:
    assert influence(build(symbol, fading=fading))[0] > 0


def test_a_stored_token_is_seen_as_it_was() -> None:
    """With constant fading states, the gradient of a block's output shows which tokens are read."""
    model = build("BM")
    block = model.model.layers[0].memory
    for weight in block.predictor.parameters():
        weight.data.zero_()
    x = torch.randn(1, LENGTH, 16, generator=torch.Generator().manual_seed(1))
    x[0, 3] *= 20  # very surprising
    keys: list[Tensor] = []
    handle = block.key_value.register_forward_hook(lambda _m, _i, out: keys.append(out) or out.retain_grad())
    block(x).output[0, -1].sum().backward()
    handle.remove()
    tokens, faded = (grad.norm(dim=-1)[0] > 0 for key in keys if (grad := key.grad) is not None)
    assert len(keys) == 2
    assert tokens.nonzero()[:, 0].tolist()[-WINDOW:] == list(range(LENGTH - WINDOW, LENGTH))
    assert bool(tokens[3])
    assert int(tokens.sum()) == WINDOW + 2
    assert faded.nonzero()[:, 0].tolist() == list(range(LENGTH - 2 * WINDOW, LENGTH - WINDOW))
