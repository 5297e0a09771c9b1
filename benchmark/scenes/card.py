"""The model card of a checkpoint trained on Scenes."""

import platform
from pathlib import Path

import jinja2

from eidolon.benchmark.scenes.evaluation import Evaluation
from eidolon.benchmark.scenes.training import Recipe
from eidolon.models.training_loop import TrainingReport

TEMPLATE = Path(__file__).with_name("card.md.jinja")


def write_card(
    folder: Path, recipe: Recipe, report: TrainingReport, evaluation: Evaluation, device: str = ""
) -> None:
    """Write `README.md`, `recipe.json` and `evaluation.json` into a checkpoint's folder."""
    import torch
    import transformers

    from eidolon.benchmark.scenes.dialogue import Mixture
    from eidolon.benchmark.scenes.evaluation import MAX_NEW_TOKENS
    from eidolon.benchmark.scenes.world import VOCABULARY

    mixtures = [recipe.mixtures.get(phase.name, Mixture()) for phase in recipe.training.phases]
    template = jinja2.Template(
        TEMPLATE.read_text(), keep_trailing_newline=True, undefined=jinja2.StrictUndefined
    )
    card = template.render(
        recipe=recipe,
        report=report,
        evaluation=evaluation,
        device=device,
        categories=len(VOCABULARY),
        longest=max(mixture.max_words for mixture in mixtures),
        max_new_tokens=MAX_NEW_TOKENS,
        torch=torch.__version__,
        transformers=transformers.__version__,
    )
    (folder / "README.md").write_text(card)
    (folder / "recipe.json").write_text(recipe.model_dump_json(indent=2) + "\n")
    (folder / "evaluation.json").write_text(evaluation.model_dump_json(indent=2) + "\n")


def describe_machine() -> str:
    """Return what trained: the GPU's name, or the processor's architecture and its threads."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"{torch.get_num_threads()} CPU thread(s), {platform.machine()}"
