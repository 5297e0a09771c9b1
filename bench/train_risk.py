"""Train the shipped risk model on the reference runs, and write its file, recipe and card.

    EIDOLON_REFERENCE_DATA=… python bench/train_risk.py [--out scorers/risk/data]

The file holds numbers only: no text of a response, no image id. scikit-learn and PyTorch are needed.
"""

import argparse
import hashlib
import json
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

from reference_runs import load_runs

from eidolon.models.risk.training import JudgedRun, RiskRecipe, calibrate_risk, train_risk
from eidolon.scorers.judges.lexicon import LexiconJudge
from eidolon.scorers.risk.described import describe
from eidolon.scorers.risk.model_file import write_risk_file

CARD = """# risk

The risk model that ships with Eidolon: how likely a mention of a COCO category is not in the picture, from text alone.

- **Trained on** {responses} responses of {models} models ({names}), judged by `{judge}` against COCO's objects
  (annotations and reference captions). {mentions} first mentions, {share:.1%} of them wrong. The file holds no text.
- **Made by** `python bench/train_risk.py`; `recipe.json` has the settings, seed and hashes of the responses.
- **Good for** marking mentions of pictures that no one annotated, as a priority for looking. How good:
  `docs/explanation/risk.md`.
- **Not good for** other vocabularies than COCO's 80 categories, other languages than English, or as evidence that one
  mention is wrong: it never sees the picture.
- **Data**: responses from the OPERA and POPE repositories (MIT). The code is Apache-2.0.
"""


def main() -> None:
    """Train and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("scorers/risk/data"))
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    judge = LexiconJudge()
    index = {name: i for i, name in enumerate(judge.vocabulary)}
    found = load_runs()
    runs = [
        JudgedRun(
            run.model, [describe(r, j, index) for r, j in zip(run.responses, run.judgements, strict=True)]
        )
        for run in found
    ]
    recipe = RiskRecipe(seed=given.seed)
    network = train_risk(runs, len(index), recipe)
    text = write_risk_file(judge.vocabulary, network, *calibrate_risk(runs, len(index), recipe))
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "risk.json").write_text(text, encoding="utf-8")
    mentions = [wrong for run in runs for one in run.described for wrong in one.wrong]
    about = {
        "recipe": asdict(recipe),
        "judge": judge.signature(),
        "runs": {
            run.name: hashlib.sha256(
                "\n".join(one.response or "" for one in run.responses).encode()
            ).hexdigest()
            for run in found
        },
        "packages": {name: version(name) for name in ("numpy", "scikit-learn", "torch")},
        "sha256": hashlib.sha256(text.encode()).hexdigest(),
    }
    (given.out / "recipe.json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
    models = sorted({run.model for run in found})
    card = CARD.format(
        responses=f"{sum(len(run.responses) for run in found):,}",
        models=len(models),
        names=", ".join(models),
        judge=judge.signature(),
        mentions=f"{len(mentions):,}",
        share=sum(mentions) / len(mentions),
    )
    (given.out / "README.md").write_text(card, encoding="utf-8")


if __name__ == "__main__":
    main()
