"""Discovery of hidden categories on the real runs, beside baselines. Prints Markdown tables.

    EIDOLON_REFERENCE_DATA=… python bench/evaluate_discovery.py [--encoder FOLDER]

Twenty of COCO's 80 categories are hidden, five times. All nouns that name a hidden category are clustered. Mentions
count. Baselines: the same clustering without the projection, and one cluster for each noun. Known or unknown: AUROC of
further names of seen categories, held out, against nouns of hidden ones, by the open-set classifier and by the cosine
with the nearest known noun. scikit-learn is needed.
"""

import argparse

import numpy as np
from reference_runs import load_texts
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score, roc_auc_score

from eidolon.scorers.discovery.clusters import cut, learn_grouping, pairwise_f1
from eidolon.scorers.discovery.contexts import NounVectors, read_nouns
from eidolon.scorers.discovery.open_set import fit_open_set
from eidolon.scorers.discovery.proposal import in_wordnet, known_categories
from eidolon.scorers.discovery.supercategories import SUPERCATEGORY
from eidolon.scorers.judges.embeddings import SentenceEmbedder
from eidolon.scorers.judges.noun_readers import TaggedNouns
from eidolon.scorers.text.lexicon import load_lexicon

DRAWS, HIDDEN = 5, 20


def measures(truth: np.ndarray, found: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return NMI, ARI and pairwise F1 over mentions."""
    a, b = np.repeat(truth, counts), np.repeat(found, counts)
    return np.array([normalized_mutual_info_score(a, b), adjusted_rand_score(a, b), pairwise_f1(a, b)])


def one_draw(
    found: NounVectors, above: bool, seed: int
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return each method's measures over mentions and over nouns, for one draw of hidden categories."""
    lexicon = load_lexicon("coco80")
    covered = known_categories(found.nouns, lexicon)
    names = sorted(set(covered.values()))
    rng = np.random.default_rng(seed)
    hidden = set(rng.choice(names, min(HIDDEN, len(names) // 2), replace=False))
    rows = [i for i, noun in enumerate(found.nouns) if noun in covered]
    label = {i: covered[found.nouns[i]] for i in rows}
    group = {i: SUPERCATEGORY[name] if above else name for i, name in label.items()}
    kinds = sorted(set(group.values()))
    seen = [i for i in rows if label[i] not in hidden]
    asked = [i for i in rows if label[i] in hidden]
    truth = np.array([kinds.index(group[i]) for i in asked])
    counts = np.minimum(np.array([found.counts[i] for i in asked]), 2000)
    known = [kinds.index(group[i]) for i in seen]
    with_margin = learn_grouping(found.vectors[seen], known)
    plain = learn_grouping(found.vectors[seen], known, project=False)
    clusters = {
        "margin projection": with_margin.group(found.vectors[asked]),
        "plain clustering": cut(found.vectors[asked], plain.threshold),
        "one cluster for each noun": np.arange(len(asked)),
    }
    ones = np.ones(len(asked), dtype=int)
    return (
        {name: measures(truth, one, counts) for name, one in clusters.items()},
        {name: measures(truth, one, ones) for name, one in clusters.items()},
    )


def open_set(found: NounVectors, seed: int) -> dict[str, float]:
    """Return the AUROC of known against unknown nouns by each method, for one draw of hidden categories."""
    covered = known_categories(found.nouns, load_lexicon("coco80"))
    names = sorted(set(covered.values()))
    rng = np.random.default_rng(seed)
    hidden = set(rng.choice(names, min(HIDDEN, len(names) // 2), replace=False))
    unknown = [i for i, noun in enumerate(found.nouns) if covered.get(noun) in hidden]
    seen = [i for i, noun in enumerate(found.nouns) if noun in covered and covered[noun] not in hidden]
    # Held out are further names alone: a category's most frequent noun is known.
    first = {covered[found.nouns[i]]: i for i in reversed(seen)}
    further = [i for i in seen if first[covered[found.nouns[i]]] != i]
    held = set(rng.choice(further, len(seen) // 3, replace=False).tolist())
    known = [i for i in seen if i not in held]
    proxies = [i for i, noun in enumerate(found.nouns) if noun not in covered and in_wordnet(noun)]
    asked = np.array([*sorted(held), *unknown])
    outcome = np.repeat([1, 0], [len(held), len(unknown)])
    v = found.vectors
    return {
        "open-set classifier": roc_auc_score(
            outcome, fit_open_set(v[known], v[proxies]).probabilities(v[asked])
        ),
        "nearest known noun": roc_auc_score(outcome, (v[asked] @ v[known].T).max(axis=1)),
    }


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--encoder", help="a sentence-transformers model")
    given = parser.parse_args()
    embedder = SentenceEmbedder(given.encoder, "--encoder ") if given.encoder else None
    lexicon = load_lexicon("coco80")
    # Phrases of hidden categories must not help: no phrase of the vocabulary is known to the reader.
    bare = lexicon.model_copy(update={"categories": (), "careful": type(lexicon.careful)()})
    found = read_nouns(load_texts(), TaggedNouns(bare), embedder=embedder)
    print(f"{len(found.nouns)} nouns, {len(known_categories(found.nouns, lexicon))} of known categories")
    draws_known = [open_set(found, seed) for seed in range(DRAWS)]
    print("\n| known or unknown | AUROC |\n|---|---|")
    for name in draws_known[0]:
        values = [one[name] for one in draws_known]
        print(f"| {name} | {np.mean(values):.3f} ({min(values):.3f} to {max(values):.3f}) |")
    for above in (False, True):
        draws = [one_draw(found, above, seed) for seed in range(DRAWS)]
        for which, over in ((0, "mentions"), (1, "nouns")):
            print(f"\n{'supercategories' if above else 'categories'}, over {over}\n")
            print("| method | NMI | ARI | pairwise F1 |\n|---|---|---|---|")
            for name in draws[0][which]:
                rows = np.array([draw[which][name] for draw in draws])
                cells = [
                    f"{mean:.3f} ({low:.3f} to {high:.3f})"
                    for mean, low, high in zip(rows.mean(0), rows.min(0), rows.max(0), strict=True)
                ]
                print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
