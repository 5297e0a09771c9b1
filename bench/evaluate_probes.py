"""Learned probes on the real runs: the share of inventions that they ask about, on images held out. Prints Markdown.

    EIDOLON_REFERENCE_DATA=… python bench/evaluate_probes.py [--seeds 3] [--folds 3] [--resamples 1000]

Images are held out by fold in all runs at once; what responses say of them is in no graph and in no count. The splits
of POPE take the objects of all images, as they do in a run. An invention is an object that a response names and that is
not there. Intervals are percentiles over images.
"""

import argparse
import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from reference_runs import load_runs

from eidolon.benchmark.tasks.probe.questions import choose_absent, count
from eidolon.models.probes.graph import GraphImage
from eidolon.models.probes.training import ProbeRecipe, train_probes
from eidolon.scorers.core.types import ImageId
from eidolon.scorers.discovery.supercategories import SUPERCATEGORY
from eidolon.scorers.probes.model_file import ProbeModel

ASKED = (3, 10)
Ranking = Callable[[ImageId, frozenset[str]], list[list[str]]]
"""Returns the rankings that absent objects are taken from in turn."""


def order(*parts: object) -> bytes:
    """Return a key that draws by hash."""
    return hashlib.sha256("\0".join(map(str, parts)).encode()).digest()


class Counts:
    """Co-hallucination: how often an object is invented, by what else is in the image."""

    def __init__(self, images: Sequence[GraphImage]) -> None:
        self.total: Counter[str] = Counter()
        self.present: Counter[str] = Counter()
        self.beside: dict[str, Counter[str]] = defaultdict(Counter)
        for one in images:
            self.total.update(one.invented)
            self.present.update(one.objects)
            for name in one.objects:
                self.beside[name].update(one.invented)

    def often(self, names: Sequence[str]) -> list[str]:
        """Return the names, most often invented first."""
        return sorted(names, key=lambda name: (-self.total[name], name))

    def co(self, names: Sequence[str], there: frozenset[str]) -> list[str]:
        """Return the names by their mean rate of invention beside the objects that are there."""

        def rate(name: str) -> float:
            return sum(self.beside[one][name] / (self.present[one] + 1) for one in there)

        return sorted(names, key=lambda name: (-rate(name), -self.total[name], name))


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=ProbeRecipe().steps)
    given = parser.parse_args()
    there: dict[ImageId, frozenset[str]] = {}
    named: dict[ImageId, set[str]] = defaultdict(set)
    invented: dict[ImageId, Counter[str]] = defaultdict(Counter)
    inventions: list[tuple[str, ImageId, frozenset[str]]] = []
    for run in load_runs():
        for response, judgement, objects in zip(run.responses, run.judgements, run.objects, strict=True):
            found = frozenset(mention.category for mention in judgement.mentions)
            there[response.image_id] = objects
            named[response.image_id] |= found & objects
            invented[response.image_id].update(found - objects)
            if found - objects:
                inventions.append((run.name, response.image_id, found - objects))
    images = sorted(there)
    fold = {image: int.from_bytes(order("fold", image)[:4], "big") % given.folds for image in images}
    popular = count(there[image] for image in images)
    names = popular.popular

    def drawn(image: ImageId, purpose: str, of: Sequence[str]) -> list[str]:
        return sorted(of, key=lambda name: order(purpose, image, name))

    methods: dict[str, Ranking] = {
        "random": lambda image, _: [drawn(image, "absent", names)],
        "popular": lambda image, _: [names],
        "adversarial": lambda image, objects: (
            [popular.beside_most(name) for name in drawn(image, "present", sorted(objects))] or [names]
        ),
    }
    learned: dict[tuple[int, str, int], ProbeModel] = {}
    counts: dict[int, Counts] = {}
    for number in range(given.folds):
        train = [GraphImage(there[i], frozenset(named[i]), invented[i]) for i in images if fold[i] != number]
        counts[number] = Counts(train)
        for seed in range(given.seeds):
            recipe = ProbeRecipe(seed=seed, steps=given.steps)
            for label, chosen in (
                ("learned", recipe),
                ("learned, no contrast", replace(recipe, contrast=0.0)),
            ):
                learned[number, label, seed] = ProbeModel(label, *train_probes(train, SUPERCATEGORY, chosen))
    methods["most often invented"] = lambda image, _: [counts[fold[image]].often(names)]
    methods["co-hallucination counts"] = lambda image, objects: [counts[fold[image]].co(names, objects)]
    for label in ("learned", "learned, no contrast"):
        for seed in range(given.seeds):

            def rank(
                image: ImageId, objects: frozenset[str], label: str = label, seed: int = seed
            ) -> list[list[str]]:
                model = learned[fold[image], label, seed]
                return [model.ranking(objects & set(model.vocabulary))]

            methods[f"{label}|{seed}"] = rank
    hits = {name: asked(method, images, there, inventions) for name, method in methods.items()}
    report(hits, inventions, given.seeds, given.resamples)


def asked(
    method: Ranking,
    images: Sequence[ImageId],
    there: dict[ImageId, frozenset[str]],
    inventions: Sequence[tuple[str, ImageId, frozenset[str]]],
) -> np.ndarray:
    """Return for each response with inventions how many of them are among the objects asked about, (n, ASKED)."""
    chosen = {}
    for image in {image for _, image, _ in inventions}:
        rankings = method(image, there[image])
        turns = [rankings[i % len(rankings)] for i in range(max(ASKED))]
        chosen[image] = choose_absent(turns, there[image])
    return np.array(
        [[len(found & {*chosen[image][:k]}) for k in ASKED] for _, image, found in inventions], dtype=float
    )


def report(
    hits: dict[str, np.ndarray],
    inventions: Sequence[tuple[str, ImageId, frozenset[str]]],
    seeds: int,
    resamples: int,
) -> None:
    """Print shares, differences and runs."""
    size = np.array([len(found) for _, _, found in inventions], dtype=float)
    _, at = np.unique([str(image) for _, image, _ in inventions], return_inverse=True)
    runs = np.array([run for run, _, _ in inventions])
    by_seed = {
        label: [hits.pop(f"{label}|{seed}") for seed in range(seeds)]
        for label in ("learned", "learned, no contrast")
    }
    hits |= {label: np.mean(rows, axis=0) for label, rows in by_seed.items()}
    groups = at.max() + 1
    weights = np.random.default_rng(0).multinomial(groups, np.full(groups, 1 / groups), resamples)

    def summed(values: np.ndarray) -> np.ndarray:
        return weights @ np.stack([np.bincount(at, one, groups) for one in values.T], axis=1)

    total = summed(size[:, None])
    drawn = {name: summed(rows) / total for name, rows in hits.items()}
    value = {name: rows.sum(axis=0) / size.sum() for name, rows in hits.items()}
    print(f"{len(inventions)} responses with {size.sum():.0f} inventions, {groups} images\n")
    print("| asked | " + " | ".join(f"among {k}" for k in ASKED) + " |\n|---|---|---|")
    for name in hits:
        low, high = np.percentile(drawn[name], [2.5, 97.5], axis=0)
        print(
            f"| {name} | "
            + " | ".join(
                f"{v:.3f} [{a:.3f}, {b:.3f}]" for v, a, b in zip(value[name], low, high, strict=True)
            )
            + " |"
        )
    print("\n| learned minus | " + " | ".join(f"among {k}" for k in ASKED) + " |\n|---|---|---|")
    for name in [name for name in hits if name != "learned"]:
        low, high = np.percentile(drawn["learned"] - drawn[name], [2.5, 97.5], axis=0)
        cells = zip(value["learned"] - value[name], low, high, strict=True)
        print(f"| {name} | " + " | ".join(f"{v:+.3f} [{a:+.3f}, {b:+.3f}]" for v, a, b in cells) + " |")
    print("\n| seed | " + " | ".join(f"{label}, among {k}" for label in by_seed for k in ASKED) + " |")
    print("|---|" + "---|" * 2 * len(by_seed))
    for seed in range(seeds):
        cells = [
            rows[seed].sum(axis=0)[j] / size.sum() for rows in by_seed.values() for j in range(len(ASKED))
        ]
        print(f"| {seed} | " + " | ".join(f"{v:.3f}" for v in cells) + " |")
    for j, k in enumerate(ASKED):
        print(f"\n| run, among {k} | " + " | ".join(hits) + " |\n|---|" + "---|" * len(hits))
        for run in sorted(set(runs)):
            of = runs == run
            cells = [rows[of, j].sum() / size[of].sum() for rows in hits.values()]
            print(f"| {run} | " + " | ".join(f"{v:.3f}" for v in cells) + " |")


if __name__ == "__main__":
    main()
