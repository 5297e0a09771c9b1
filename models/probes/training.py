"""Training of learned probes.

Each step asks about a batch of images whose edges from responses are taken out of the graph, as a new image has none.
The loss is the sum of three:

    ranking   log loss of each invented object among all that are absent (BPR with all negatives at once)
    TransR    edges that hold are nearer than the same edges with another neighbour
    contrast  InfoNCE between two views of the graph with dropped nodes and edges (SGL; Wu et al., SIGIR 2021)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from eidolon.models.probes.graph import MENTIONED, GraphImage, ProbeGraph, build_graph
from eidolon.models.probes.network import Edges, ProbeModule
from eidolon.scorers.probes.network import ProbeNetwork


@dataclass(frozen=True, slots=True)
class ProbeRecipe:
    """Settings of the training."""

    seed: int = 0
    steps: int = 150
    batch: int = 256
    rate: float = 0.01
    decay: float = 1e-4
    width: int = 24
    layers: int = 2
    dropout: float = 0.1
    themes: int = 12
    contrast: float = 0.1
    """Weight of the contrastive loss; 0 leaves it out."""
    transr: float = 0.1
    """Weight of the TransR loss."""
    dropped_nodes: float = 0.05
    dropped_edges: float = 0.1
    temperature: float = 0.2
    transr_edges: int = 1024


def train_probes(
    images: Sequence[GraphImage], supercategories: Mapping[str, str], recipe: ProbeRecipe = ProbeRecipe()
) -> tuple[tuple[str, ...], ProbeNetwork]:
    """Return the vocabulary and the trained network. The same images, recipe and machine give the same network.

    Raises:
        ValueError: there are fewer than two objects, or no image has an invented one.
    """
    graph = build_graph(images, supercategories, themes=recipe.themes, seed=recipe.seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        module = ProbeModule(graph, recipe.width, recipe.layers, recipe.dropout)
        _train(module, graph, recipe)
    return graph.vocabulary, module.in_numpy(graph)


def _train(module: ProbeModule, graph: ProbeGraph, recipe: ProbeRecipe) -> None:
    edges, present = Edges.of(graph), torch.from_numpy(graph.present).float()
    invented = torch.from_numpy(graph.invented).float()
    asked = torch.from_numpy(np.flatnonzero(graph.invented.any(axis=1)))
    optimizer = torch.optim.AdamW(module.parameters(), lr=recipe.rate, weight_decay=recipe.decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, recipe.steps)
    module.train()
    for _ in range(recipe.steps):
        batch = asked[torch.randperm(len(asked))[: recipe.batch]]
        seen = edges.keep(~_said_of(batch, graph, edges))
        embedded = module(present, seen)
        nodes = batch + graph.first_image
        loss = ranking_loss(module.scores(embedded, nodes), present[batch], invented[batch])
        if recipe.transr:
            loss = loss + recipe.transr * _transr_loss(module, embedded[0], seen, recipe)
        if recipe.contrast:
            first, second = (module(present, _dropped(seen, graph, recipe)) for _ in range(2))
            for chosen in (nodes, torch.arange(len(graph.vocabulary))):
                apart = info_nce(_flat(first, chosen), _flat(second, chosen), recipe.temperature)
                loss = loss + recipe.contrast * apart
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()


def _said_of(batch: Tensor, graph: ProbeGraph, edges: Edges) -> Tensor:
    """Return the mask (e,) of edges that responses about these images made, in both directions."""
    chosen = torch.zeros(graph.nodes, dtype=torch.bool)
    chosen[batch + graph.first_image] = True
    return (edges.relation >= 2 * MENTIONED) & (chosen[edges.head] | chosen[edges.tail])


def ranking_loss(scores: Tensor, present: Tensor, invented: Tensor) -> Tensor:
    """Return the mean log loss of inventions among the absent objects; all are (n, v)."""
    logits = scores.masked_fill((present > 0) & (invented == 0), -torch.inf).log_softmax(dim=1)
    hit = invented > 0
    return -(logits[hit] * invented[hit]).sum() / invented.sum()


def _transr_loss(module: ProbeModule, base: Tensor, edges: Edges, recipe: ProbeRecipe) -> Tensor:
    chosen = torch.randint(len(edges.head), (recipe.transr_edges,))
    held = edges.keep(chosen)
    other = edges.tail[torch.randint(len(edges.tail), (recipe.transr_edges,))]
    apart = module.distance(base, Edges(held.head, other, held.relation)) - module.distance(base, held)
    return nn.functional.softplus(-apart).mean()


def _dropped(edges: Edges, graph: ProbeGraph, recipe: ProbeRecipe) -> Edges:
    nodes = torch.rand(graph.nodes) >= recipe.dropped_nodes
    kept = torch.rand(len(edges.head)) >= recipe.dropped_edges
    return edges.keep(kept & nodes[edges.head] & nodes[edges.tail])


def info_nce(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """Return the mean log loss of finding each row (n, d) of one view among those of the other, by cosine."""
    first, second = (nn.functional.normalize(one, dim=1) for one in (first, second))
    return nn.functional.cross_entropy(first @ second.T / temperature, torch.arange(len(first)))


def _flat(embedded: Tensor, nodes: Tensor) -> Tensor:
    return embedded[:, nodes].transpose(0, 1).flatten(1)
