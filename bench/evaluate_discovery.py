"""Discovery of hidden categories on the real runs, beside baselines. Prints Markdown tables.

    EIDOLON_REFERENCE_DATA=… python bench/evaluate_discovery.py [--encoder FOLDER] [--open-set-only]

Twenty of COCO's 80 categories are hidden, five times. All nouns that name a hidden category are clustered. NounMentions
count. Baselines: the same clustering without the projection, and one cluster for each noun. Known or unknown: mentions
of further names of seen categories, held out, against those of hidden ones, by three classifiers: of the cosine with
the nearest known noun (the baseline), of nouns, and of mentions in context. scikit-learn is needed.
"""

import argparse

import numpy as np
from reference_runs import load_texts
from scipy import stats
from sklearn.metrics import adjusted_rand_score, f1_score, normalized_mutual_info_score, roc_auc_score

from eidolon.scorers.discovery.clusters import cut, learn_grouping, pairwise_f1
from eidolon.scorers.discovery.contexts import NounVectors, read_nouns
from eidolon.scorers.discovery.open_set import Evidence, NounMentions, fit_open_set
from eidolon.scorers.discovery.proposal import in_wordnet, known_categories
from eidolon.scorers.discovery.supercategories import SUPERCATEGORY
from eidolon.scorers.judges.embeddings import SentenceEmbedder
from eidolon.scorers.judges.noun_readers import TaggedNouns
from eidolon.scorers.text.lexicon import load_lexicon

DRAWS, HIDDEN = 5, 20
EVIDENCE: tuple[Evidence, ...] = ("cosine", "nouns", "mentions")
COLUMNS = ("AUROC, mentions", "AUROC, nouns", "known found", "unknown found", "F1 of unknown")
"""The last three are of mentions, cut at 0.5."""


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


def open_set(found: NounVectors, seed: int) -> dict[str, list[float]]:
    """Return `COLUMNS` for each kind of evidence, for one draw of hidden categories."""
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
    known = NounMentions.of(found, [i for i in seen if i not in held])
    proxies = NounMentions.of(
        found, [i for i, noun in enumerate(found.nouns) if noun not in covered and in_wordnet(noun)]
    )
    asked = NounMentions.of(found, [*sorted(held), *unknown])
    of_noun = np.repeat([1, 0], [len(held), len(unknown)])
    truth = of_noun[asked.noun]
    rows = {}
    for evidence in EVIDENCE:
        model = fit_open_set(known, proxies, evidence)
        p = model.of_mentions(asked)
        rows[evidence] = [
            roc_auc_score(truth, p),
            roc_auc_score(of_noun, model.of_nouns(asked)),
            float((p[truth == 1] >= 0.5).mean()),
            float((p[truth == 0] < 0.5).mean()),
            f1_score(truth == 0, p < 0.5),
        ]
    return rows


def print_open_set(draws: list[dict[str, list[float]]]) -> None:
    """Print means and ranges of the draws, and differences from the cosine with their t interval."""
    print(f"\n| known or unknown | {' | '.join(COLUMNS)} |\n|---|{'---|' * len(COLUMNS)}")
    values = {evidence: np.array([draw[evidence] for draw in draws]) for evidence in EVIDENCE}
    for evidence, rows in values.items():
        cells = zip(rows.mean(0), rows.min(0), rows.max(0), strict=True)
        print(f"| {evidence} | " + " | ".join(f"{v:.3f} ({a:.3f} to {b:.3f})" for v, a, b in cells) + " |")
    for evidence in EVIDENCE[1:]:
        change = values[evidence] - values["cosine"]
        half = stats.t.ppf(0.975, len(draws) - 1) * stats.sem(change, axis=0)
        cells = zip(change.mean(0), change.mean(0) - half, change.mean(0) + half, strict=True)
        print(
            f"| {evidence} - cosine | "
            + " | ".join(f"{v:+.3f} [{a:+.3f}, {b:+.3f}]" for v, a, b in cells)
            + " |"
        )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--encoder", help="a sentence-transformers model")
    parser.add_argument(
        "--first-draw", type=int, default=0, help="seed of the first draw; 100 chose the features"
    )
    parser.add_argument("--open-set-only", action="store_true", help="known or unknown alone")
    given = parser.parse_args()
    embedder = SentenceEmbedder(given.encoder, "--encoder ") if given.encoder else None
    lexicon = load_lexicon("coco80")
    # Phrases of hidden categories must not help: no phrase of the vocabulary is known to the reader.
    bare = lexicon.model_copy(update={"categories": (), "careful": type(lexicon.careful)()})
    found = read_nouns(load_texts(), TaggedNouns(bare), embedder=embedder)
    print(f"{len(found.nouns)} nouns, {len(known_categories(found.nouns, lexicon))} of known categories")
    first = given.first_draw
    draws = range(first, first + DRAWS)
    print_open_set([open_set(found, seed) for seed in draws])
    if given.open_set_only:
        return
    for above in (False, True):
        found_draws = [one_draw(found, above, seed) for seed in draws]
        for which, over in ((0, "mentions"), (1, "nouns")):
            print(f"\n{'supercategories' if above else 'categories'}, over {over}\n")
            print("| method | NMI | ARI | pairwise F1 |\n|---|---|---|---|")
            for name in found_draws[0][which]:
                rows = np.array([draw[which][name] for draw in found_draws])
                cells = [
                    f"{mean:.3f} ({low:.3f} to {high:.3f})"
                    for mean, low, high in zip(rows.mean(0), rows.min(0), rows.max(0), strict=True)
                ]
                print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
