"""The graph network of learned probes against loops and numbers worked by hand, and what training learns."""

import math

import numpy as np
import pytest
import torch

from eidolon.models.probes.graph import ANNOTATED, HALLUCINATED, MENTIONED, THEME, GraphImage, build_graph
from eidolon.models.probes.network import Edges, ProbeModule
from eidolon.models.probes.training import ProbeRecipe, info_nce, ranking_loss, train_probes
from eidolon.scorers.probes.model_file import ProbeModel, load_probe_model, write_probe_file

KINDS = {"cup": "kitchen", "fork": "kitchen", "bus": "vehicle", "car": "vehicle"}


def image(objects: str, invented: str = "", mentioned: str = "") -> GraphImage:
    return GraphImage(
        frozenset(objects.split()), frozenset(mentioned.split()), dict.fromkeys(invented.split(), 1)
    )


IMAGES = (
    image("cup cat", "fork", "cup"),
    image("cup", "fork dog"),
    image("bus", "car", "bus"),
    image("bus dog", "car"),
    image("car"),
)


def test_edges_are_typed_and_go_both_ways() -> None:
    graph = build_graph(IMAGES, KINDS, themes=2, seed=0)
    assert graph.vocabulary == ("bus", "car", "cat", "cup", "dog", "fork")
    edges = {*zip(graph.head.tolist(), graph.tail.tolist(), graph.relation.tolist(), strict=True)}
    assert len(edges) == len(graph.head)
    assert edges == {(tail, head, relation ^ 1) for head, tail, relation in edges}
    first = graph.first_image
    of_first = {(tail, relation // 2) for head, tail, relation in edges if head == first}
    assert {pair for pair in of_first if pair[1] != THEME} == {
        (3, ANNOTATED),
        (2, ANNOTATED),
        (3, MENTIONED),
        (5, HALLUCINATED),
    }
    assert sum(kind == THEME for _, kind in of_first) == 1
    assert (np.diff(graph.relation) >= 0).all()


def test_embedding_is_that_of_loops() -> None:
    torch.manual_seed(0)
    graph = build_graph(IMAGES, KINDS, themes=2, seed=0)
    module = ProbeModule(graph, 4, 2, 0.5).eval()
    with torch.no_grad():
        found = module(torch.from_numpy(graph.present).float(), Edges.of(graph)).numpy()
    tensors = {name: value.detach().double().numpy() for name, value in module.state_dict().items()}
    base = [*tensors["node"]]
    for row in graph.present:
        mean = sum(tensors["node"][i] for i in np.flatnonzero(row)) / row.sum()
        base.append(tensors["image"] + mean)
    edges = [*zip(graph.head.tolist(), graph.tail.tolist(), graph.relation.tolist(), strict=True)]
    layers = [base]
    for layer in range(2):
        after = []
        for node in range(graph.nodes):
            raised, near = [], []
            for head, tail, r in edges:
                if head == node:
                    w, e = tensors["relation_map"][r], tensors["relation"][r]
                    raised.append(math.exp((w @ base[tail]) @ np.tanh(w @ base[head] + e)))
                    near.append(layers[-1][tail])
            mean = sum(a * t for a, t in zip(raised, near, strict=True)) / sum(raised)
            own = layers[-1][node]
            made = np.zeros(4)
            for name, x in (("sums", own + mean), ("products", own * mean)):
                y = tensors[f"{name}.{layer}.weight"] @ x + tensors[f"{name}.{layer}.bias"]
                made += [v if v > 0 else 0.2 * v for v in y]
            after.append(made / math.sqrt(sum(v * v for v in made)))
        layers.append(after)
    np.testing.assert_allclose(found, np.array(layers), atol=1e-5)


def test_transr_by_hand() -> None:
    graph = build_graph(IMAGES, KINDS, themes=2, seed=0)
    module = ProbeModule(graph, 2, 1, 0.0)
    with torch.no_grad():
        module.relation_map[4] = torch.tensor([[1.0, 2.0], [0.0, 1.0]])
        module.relation[4] = torch.tensor([0.5, -1.0])
    base = torch.tensor([[1.0, 0.0], [0.0, 3.0]])
    edge = Edges(torch.tensor([0]), torch.tensor([1]), torch.tensor([4]))
    # W h = (1, 0), W t = (6, 3): (1 + 0.5 - 6, 0 - 1 - 3) = (-4.5, -4).
    assert module.distance(base, edge).item() == pytest.approx(4.5**2 + 4**2)


def test_losses_by_hand() -> None:
    scores = torch.tensor([[1.0, 0.0, 2.0]])
    # The first is present. The second was invented twice, the third once.
    found = ranking_loss(scores, torch.tensor([[1.0, 0, 0]]), torch.tensor([[0.0, 2, 1]]))
    total = math.log(math.exp(0) + math.exp(2))
    assert found.item() == pytest.approx((2 * total + (total - 2)) / 3)
    one, other = torch.tensor([[1.0, 0.0], [0.0, 2.0]]), torch.tensor([[3.0, 0.0], [0.0, 1.0]])
    assert info_nce(one, other, 0.5).item() == pytest.approx(-2 + math.log(math.exp(2) + 1))
    assert info_nce(one, other.flip(0), 0.5).item() == pytest.approx(math.log(math.exp(2) + 1))


def test_new_image_in_numpy_is_that_of_torch() -> None:
    torch.manual_seed(1)
    graph = build_graph(IMAGES, KINDS, themes=2, seed=0)
    module = ProbeModule(graph, 4, 2, 0.5)
    network = module.in_numpy(graph)
    row, new = [0, 4], graph.nodes
    theme = int(((graph.theme_centres - np.isin(np.arange(6), row) / np.sqrt(2)) ** 2).sum(axis=1).argmin())
    # The new image learns from its neighbours, and none of them from it.
    extra = [(new, 0, 2 * ANNOTATED), (new, 4, 2 * ANNOTATED), (new, graph.first_theme + theme, 2 * THEME)]
    edges = sorted(
        [*zip(graph.head.tolist(), graph.tail.tolist(), graph.relation.tolist(), strict=True), *extra],
        key=lambda edge: edge[2],
    )
    present = torch.from_numpy(np.concatenate([graph.present, [np.isin(np.arange(6), row)]])).float()
    with torch.no_grad():
        embedded = module(present, Edges(*(torch.tensor(column) for column in zip(*edges, strict=True))))
        expected = module.scores(embedded, torch.tensor([new]))[0].numpy()
    np.testing.assert_allclose(network.scores(row), expected, atol=1e-5)


def test_training_learns_what_is_invented_beside_what(tmp_path) -> None:
    recipe = ProbeRecipe(steps=40, width=8, themes=2)
    vocabulary, network = train_probes(IMAGES * 4, KINDS, recipe)
    model = ProbeModel("", vocabulary, network)
    assert next(name for name in model.ranking(["cup"]) if name != "cup") == "fork"
    assert next(name for name in model.ranking(["bus"]) if name != "bus") == "car"
    again = train_probes(IMAGES * 4, KINDS, recipe)[1]
    np.testing.assert_array_equal(again.objects, network.objects)
    path = tmp_path / "probes.json"
    path.write_text(write_probe_file(vocabulary, network, images=20, inventions=20, contrast=True, seed=0))
    read = load_probe_model(path)
    np.testing.assert_allclose(read.network.scores([3]), network.scores([3]), atol=1e-5)
    assert read.unknown({"cup", "gnu"}) == ("gnu",)


@pytest.mark.parametrize(
    ("images", "expected"),
    [([image("cup")], "1 categories"), ([image("cup cat"), image("bus")], "nothing to learn")],
)
def test_too_little(images: list[GraphImage], expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        train_probes(images, KINDS)
