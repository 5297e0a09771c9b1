"""The graph behind learned probes: images, objects, supercategories and themes, with typed edges in both directions.

A theme is a cluster of images with alike objects (k-means). Nodes are numbered: objects, supercategories, themes, then
images.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from eidolon.scorers.core.metric import FloatArray
from eidolon.scorers.probes.network import nearest_theme, theme_row

RELATIONS: Final = ("annotated with", "of theme", "of kind", "mentioned with", "hallucinated with")
"""A relation r from image to object (or object to kind) is 2 r, its inverse 2 r + 1."""
ANNOTATED, THEME, KIND, MENTIONED, HALLUCINATED = range(len(RELATIONS))

IntArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class GraphImage:
    """What is known of an image: its objects, and what responses name."""

    objects: frozenset[str]
    mentioned: frozenset[str]
    """Objects that a response names and that are there."""
    invented: Mapping[str, int]
    """Objects that a response names and that are not there, with the number of responses."""


@dataclass(frozen=True, slots=True)
class ProbeGraph:
    """Nodes and edges. An edge goes from a node to a neighbour that it learns from."""

    vocabulary: tuple[str, ...]
    kinds: int
    themes: int
    images: int
    head: IntArray
    """Shape (e,): the nodes that learn, …"""
    tail: IntArray
    """… their neighbours, …"""
    relation: IntArray
    """… and how they are joined. Edges are sorted by relation."""
    present: NDArray[np.bool_]
    """Shape (images, v)."""
    invented: FloatArray
    """Shape (images, v): number of responses that invent an object."""
    theme_centres: FloatArray
    """Shape (themes, v)."""

    @property
    def first_theme(self) -> int:
        """The number of the first theme's node."""
        return len(self.vocabulary) + self.kinds

    @property
    def first_image(self) -> int:
        """The number of the first image's node."""
        return self.first_theme + self.themes

    @property
    def nodes(self) -> int:
        """The number of nodes."""
        return self.first_image + self.images


def build_graph(
    images: Sequence[GraphImage], supercategories: Mapping[str, str], *, themes: int, seed: int
) -> ProbeGraph:
    """Return the graph of images. There are fewer themes than asked for where the images are of fewer kinds.

    Raises:
        ValueError: there are fewer than two objects, or no image has an invented one.
    """
    names = {name for one in images for name in (*one.objects, *one.mentioned, *one.invented)}
    vocabulary = tuple(sorted(names))
    if len(vocabulary) < 2:
        raise ValueError(f"the responses and images hold {len(vocabulary)} categories: none can be ranked")
    if not any(one.invented for one in images):
        raise ValueError("no response names an object that is not there: there is nothing to learn")
    number = {name: i for i, name in enumerate(vocabulary)}
    kinds = sorted({supercategories[name] for name in vocabulary if name in supercategories})
    present = np.zeros((len(images), len(vocabulary)), dtype=bool)
    invented = np.zeros(present.shape)
    for row, one in enumerate(images):
        present[row, [number[name] for name in one.objects]] = True
        for name, count in one.invented.items():
            invented[row, number[name]] = count
    rows = np.array([theme_row(np.flatnonzero(row).tolist(), len(vocabulary)) for row in present])
    centres = _centres(rows, themes, seed)
    first_theme, first_image = len(vocabulary) + len(kinds), len(vocabulary) + len(kinds) + len(centres)
    edges: list[tuple[int, int, int]] = [
        (i, len(vocabulary) + kinds.index(supercategories[name]), KIND)
        for name, i in number.items()
        if name in supercategories
    ]
    for row, one in enumerate(images):
        node = first_image + row
        edges += [(node, number[name], ANNOTATED) for name in sorted(one.objects)]
        edges.append((node, first_theme + nearest_theme(rows[row], centres), THEME))
        edges += [(node, number[name], MENTIONED) for name in sorted(one.mentioned)]
        edges += [(node, number[name], HALLUCINATED) for name in sorted(one.invented)]
    head, tail, relation = np.array(edges, dtype=np.int64).T
    both = np.concatenate([2 * relation, 2 * relation + 1])
    order = np.argsort(both, kind="stable")
    return ProbeGraph(
        vocabulary=vocabulary,
        kinds=len(kinds),
        themes=len(centres),
        images=len(images),
        head=np.concatenate([head, tail])[order],
        tail=np.concatenate([tail, head])[order],
        relation=both[order],
        present=present,
        invented=invented,
        theme_centres=centres,
    )


def _centres(rows: FloatArray, themes: int, seed: int) -> FloatArray:
    """Return the centres of k-means clusters of images; each holds an image."""
    from scipy.cluster.vq import kmeans2

    distinct = np.unique(rows, axis=0)
    count = min(themes, len(distinct))
    start = distinct[np.random.default_rng(seed).choice(len(distinct), count, replace=False)]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "One of the clusters is empty")
        centres, at = kmeans2(rows, start, minit="matrix")
    found: FloatArray = np.asarray(centres)[np.unique(at)]
    return found
