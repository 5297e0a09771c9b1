"""The knowledge-graph attention network (KGAT; Wang et al., KDD 2019, arXiv 1905.07854) over the graph of probes.

`scorers.probes.network` says what it computes for an image. Here all nodes of a graph are embedded at once.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from eidolon.models.probes.graph import ANNOTATED, RELATIONS, THEME, ProbeGraph
from eidolon.scorers.core.metric import FloatArray
from eidolon.scorers.probes.network import SLOPE, ProbeNetwork


@dataclass(frozen=True, slots=True)
class Edges:
    """Edges of a graph, sorted by relation: (e,) each."""

    head: Tensor
    tail: Tensor
    relation: Tensor

    @classmethod
    def of(cls, graph: ProbeGraph) -> "Edges":
        """Return all edges of a graph."""
        return cls(
            torch.from_numpy(graph.head), torch.from_numpy(graph.tail), torch.from_numpy(graph.relation)
        )

    def keep(self, kept: Tensor) -> "Edges":
        """Return the edges where the mask (e,) is true."""
        return Edges(self.head[kept], self.tail[kept], self.relation[kept])


class ProbeModule(nn.Module):
    """The network to train. Images have no embedding of their own: that of an image is made from its objects'."""

    def __init__(self, graph: ProbeGraph, width: int, layers: int, dropout: float) -> None:
        super().__init__()
        relations = 2 * len(RELATIONS)
        self.objects = len(graph.vocabulary)
        self.node = nn.Parameter(0.1 * torch.randn(graph.first_image, width))
        self.image = nn.Parameter(0.1 * torch.randn(width))
        self.relation_map = nn.Parameter(
            torch.eye(width).repeat(relations, 1, 1) + 0.1 * torch.randn(relations, width, width)
        )
        self.relation = nn.Parameter(0.1 * torch.randn(relations, width))
        self.sums = nn.ModuleList(nn.Linear(width, width) for _ in range(layers))
        self.products = nn.ModuleList(nn.Linear(width, width) for _ in range(layers))
        self.bias = nn.Parameter(torch.zeros(self.objects))
        self.dropout = nn.Dropout(dropout)

    def base(self, present: Tensor) -> Tensor:
        """Return the embeddings (nodes, d) before any layer; `present` is (images, v), 1 where an object is there."""
        share = present / present.sum(dim=1, keepdim=True).clamp(min=1)
        return torch.cat([self.node, self.image + share @ self.node[: self.objects]])

    def attention(self, base: Tensor, edges: Edges) -> Tensor:
        """Return the share (e,) of each neighbour; those of a node sum to 1."""
        logits = self._by_relation(base, edges)
        most = torch.full((len(base),), -torch.inf).scatter_reduce(0, edges.head, logits, "amax")
        raised = (logits - most.detach()[edges.head]).exp()
        total = torch.zeros(len(base)).index_add(0, edges.head, raised)
        return raised / total[edges.head]

    def _by_relation(self, base: Tensor, edges: Edges) -> Tensor:
        """Return (W_r t)ᵀ tanh(W_r h + e_r) of each edge."""
        found = []
        counts = torch.bincount(edges.relation, minlength=len(self.relation)).tolist()
        parts = zip(torch.split(edges.head, counts), torch.split(edges.tail, counts), strict=True)
        for (head, tail), matrix, vector in zip(parts, self.relation_map, self.relation, strict=True):
            mapped = base @ matrix.T
            found.append((mapped[tail] * torch.tanh(mapped[head] + vector)).sum(dim=1))
        return torch.cat(found)

    def forward(self, present: Tensor, edges: Edges) -> Tensor:
        """Return the embeddings of all nodes before and after each layer, (layers + 1, nodes, d)."""
        base = self.base(present)
        shares = self.attention(base, edges)
        found = [base]
        for added, shared in zip(self.sums, self.products, strict=True):
            own = found[-1]
            near = torch.zeros_like(own).index_add(0, edges.head, shares[:, None] * own[edges.tail])
            mixed = nn.functional.leaky_relu(added(own + near), SLOPE) + nn.functional.leaky_relu(
                shared(own * near), SLOPE
            )
            found.append(nn.functional.normalize(self.dropout(mixed), dim=1))
        return torch.stack(found)

    def scores(self, embedded: Tensor, images: Tensor) -> Tensor:
        """Return the score (n, v) of each object for the nodes of n images."""
        return torch.einsum("lnd,lvd->nv", embedded[:, images], embedded[:, : self.objects]) + self.bias

    def distance(self, base: Tensor, edges: Edges) -> Tensor:
        """Return TransR's ‖W_r h + e_r - W_r t‖² of each edge (Lin et al., AAAI 2015): small where it holds."""
        maps = self.relation_map[edges.relation]
        apart = torch.einsum("eij,ej->ei", maps, base[edges.head] - base[edges.tail])
        return (apart + self.relation[edges.relation]).square().sum(dim=1)

    @torch.no_grad()
    def in_numpy(self, graph: ProbeGraph) -> ProbeNetwork:
        """Return what ranks objects for new images, from the embeddings over the whole graph."""
        self.eval()
        present = torch.from_numpy(graph.present).float()
        embedded = self(present, Edges.of(graph))
        own = [2 * ANNOTATED, 2 * THEME]

        def array(tensor: Tensor) -> FloatArray:
            return np.asarray(tensor.double().numpy())

        return ProbeNetwork(
            objects=array(embedded[:, : self.objects]),
            themes=array(embedded[:, graph.first_theme : graph.first_image]),
            theme_centres=graph.theme_centres,
            image=array(self.image),
            relation_maps=array(self.relation_map[own]),
            relations=array(self.relation[own]),
            sum_weight=array(torch.stack([one.get_parameter("weight") for one in self.sums])),
            sum_bias=array(torch.stack([one.get_parameter("bias") for one in self.sums])),
            product_weight=array(torch.stack([one.get_parameter("weight") for one in self.products])),
            product_bias=array(torch.stack([one.get_parameter("bias") for one in self.products])),
            bias=array(self.bias),
        )
