"""Writes the tables of docs/evidence/judges.md: the shipped judges alone and together, and the readings of the lexicon.

    python bench/compare_judges.py [--scenes 300] [--seed 20261]

Every judge answers the same questions about held-out Scenes text: `eidolon.benchmark.study.training.judge_evaluation`
makes them. For a judge alone, each of its answers counts, in every question format. For all judges together, either all
votes must be yes (unanimous, THRONE's default) or more than half of them.
"""

import argparse
from collections.abc import Sequence

import numpy as np

from eidolon.benchmark.study.training.judge_evaluation import (
    TRAPS,
    TextQuestion,
    ask_lexicon,
    ask_model,
    description_questions,
    measure,
    passage_questions,
)
from eidolon.models.backends.text_models import language_models
from eidolon.scorers.core.language_model import LanguageModel


def main() -> None:
    """Print a table for each set of questions, in Markdown."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scenes", type=int, default=300)
    parser.add_argument("--seed", type=int, default=20261)
    arguments = parser.parse_args()
    n, seed = arguments.scenes, arguments.seed
    judges = language_models(None, {})
    _table("Descriptions of 40 to 250 words", description_questions(n, seed), judges)
    for split, heading in (
        ("train", "wordings seen in training"),
        ("test", "wordings not seen in training"),
    ):
        _table(f"Denied or imagined objects, {heading}", passage_questions(n, seed, TRAPS, split), judges)
    for split, heading in (("train", "words seen in training"), ("test", "words not seen in training")):
        questions = passage_questions(n, seed, ("look-alike",), split)
        _table(f"Words that look like names, {heading}", questions, judges)


def _table(title: str, questions: Sequence[TextQuestion], judges: Sequence[LanguageModel]) -> None:
    print(f"\n### {title}\n\n{len(questions)} questions, half of them on what the text claims.\n")
    print("| reader | recall | specificity | precision | balanced accuracy |\n|---|---|---|---|---|")
    votes = {judge.name: ask_model(judge, questions) for judge in judges}
    every = np.concatenate(list(votes.values()))
    rows = {
        **votes,
        f"all {len(every)} votes yes": every.all(axis=0, keepdims=True),
        "more than half of the votes yes": every.mean(axis=0, keepdims=True) > 0.5,
        "lexicon, reading `careful`": ask_lexicon("careful", questions),
        "lexicon, reading `original`": ask_lexicon("original", questions),
    }
    for name, answers in rows.items():
        accuracy = measure(answers, questions)
        cells = (accuracy.recall, accuracy.specificity, accuracy.precision, accuracy.balanced_accuracy)
        print(f"| {name} | {' | '.join(map(str, cells))} |")


if __name__ == "__main__":
    main()
