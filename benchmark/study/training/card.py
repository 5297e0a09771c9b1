"""Writes the model cards of checkpoints that were trained on Scenes."""

from pathlib import Path
from typing import Any

import jinja2

from eidolon.benchmark.scenes.aligner_training import AlignerRecipe
from eidolon.benchmark.scenes.dialogue_training import DialogueRecipe, Recipe
from eidolon.benchmark.scenes.judge_training import JudgeRecipe
from eidolon.benchmark.scenes.memory_training import MemoryRecipe
from eidolon.benchmark.scenes.sign_training import SignRecipe
from eidolon.benchmark.study.training.aligner_evaluation import AlignerEvaluation
from eidolon.benchmark.study.training.evaluation import Evaluation
from eidolon.benchmark.study.training.judge_evaluation import JudgeEvaluation
from eidolon.benchmark.study.training.sign_evaluation import SignEvaluation
from eidolon.models.memory.layout import layout_text
from eidolon.models.training.loop import TrainingReport


def write_card(
    folder: Path, recipe: Recipe, report: TrainingReport, evaluation: Evaluation, device: str = ""
) -> None:
    """Write `README.md`, `recipe.json` and `evaluation.json` into a model's folder."""
    from eidolon.benchmark.scenes.dialogue import Mixture
    from eidolon.benchmark.scenes.world import VOCABULARY
    from eidolon.benchmark.study.training.evaluation import MAX_NEW_TOKENS

    mixtures = [recipe.mixtures.get(phase.name, Mixture()) for phase in recipe.training.phases]
    _write(
        folder,
        "model_card.md.jinja",
        recipe,
        evaluation,
        report=report,
        device=device,
        categories=len(VOCABULARY),
        longest=max(mixture.max_words for mixture in mixtures),
        max_new_tokens=MAX_NEW_TOKENS,
    )


def write_memory_card(
    folder: Path,
    recipe: MemoryRecipe,
    report: TrainingReport,
    evaluation: Evaluation,
    device: str = "",
    r_squared: tuple[float, ...] | None = None,
) -> None:
    """Write the same files for a model of the memory family. `r_squared` is of its predictors, by layer."""
    from eidolon.benchmark.study.training.evaluation import MAX_NEW_TOKENS

    _write(
        folder,
        "memory_card.md.jinja",
        recipe,
        evaluation,
        report=report,
        device=device,
        layout=layout_text(recipe.architecture.memory.layout),
        longest=max(mixture.max_words for mixture in recipe.mixtures.values()),
        r_squared=r_squared,
        max_new_tokens=MAX_NEW_TOKENS,
    )


def write_eye_card(folder: Path, recipe: Recipe, report: TrainingReport, device: str = "") -> None:
    """Write `README.md` and `recipe.json` for a vision encoder that was trained alone."""
    _write(folder, "eye_card.md.jinja", recipe, None, report=report, device=device)


def write_judge_card(
    folder: Path, recipe: JudgeRecipe, report: TrainingReport, evaluation: JudgeEvaluation, device: str = ""
) -> None:
    """Write `README.md`, `recipe.json` and `evaluation.json` into the folder of a judge."""
    _write(folder, "judge_card.md.jinja", recipe, evaluation, report=report, device=device)


def write_aligner_card(
    folder: Path,
    recipe: AlignerRecipe,
    report: TrainingReport,
    evaluation: AlignerEvaluation,
    device: str = "",
) -> None:
    """Write `README.md`, `recipe.json` and `evaluation.json` into the folder of an aligner."""
    _write(folder, "aligner_card.md.jinja", recipe, evaluation, report=report, device=device)


def write_signs_card(
    folder: Path, recipe: SignRecipe, report: TrainingReport, evaluation: SignEvaluation, device: str = ""
) -> None:
    """Write the same files for a model of signs."""
    _write(folder, "signs_card.md.jinja", recipe, evaluation, report=report, device=device)


def _write(
    folder: Path,
    template: str,
    recipe: DialogueRecipe | JudgeRecipe | AlignerRecipe | SignRecipe,
    evaluation: Evaluation | JudgeEvaluation | AlignerEvaluation | SignEvaluation | None,
    **values: Any,
) -> None:
    import torch
    import transformers

    text = Path(__file__).with_name(template).read_text()
    card = jinja2.Template(text, keep_trailing_newline=True, undefined=jinja2.StrictUndefined).render(
        recipe=recipe,
        evaluation=evaluation,
        torch=torch.__version__,
        transformers=transformers.__version__,
        **values,
    )
    (folder / "README.md").write_text(card)
    (folder / "recipe.json").write_text(recipe.model_dump_json(indent=2) + "\n")
    if evaluation is not None:
        (folder / "evaluation.json").write_text(evaluation.model_dump_json(indent=2) + "\n")
