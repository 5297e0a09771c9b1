"""The model card of a checkpoint trained on Scenes."""

import platform
from pathlib import Path

import jinja2

from eidolon.benchmark.scenes.evaluation import Evaluation
from eidolon.benchmark.scenes.training import Recipe
from eidolon.models.training import TrainingReport

_TEMPLATE = jinja2.Template(
    """\
---
library_name: transformers
pipeline_tag: image-text-to-text
license: apache-2.0
---

# {{ recipe.name }}

A vision-language model of {{ "{:,}".format(report.parameters) }} parameters in the Idefics3 architecture, trained from
scratch on Scenes, Eidolon's drawn dataset. It is made to be measured, not to be used: it describes drawn scenes of
{{ categories }} kinds of objects, and it errs. It knows nothing of photographs.

```python
from transformers import AutoModelForImageTextToText, AutoProcessor

processor = AutoProcessor.from_pretrained("models/checkpoints/{{ recipe.name }}")
model = AutoModelForImageTextToText.from_pretrained("models/checkpoints/{{ recipe.name }}")
```

## Training

| | |
|---|---|
| command | `OMP_NUM_THREADS=1 eidolon train {{ recipe.name }} --out FOLDER` |
| weights seed | {{ recipe.training.seed }} |
| scenes seed | {{ recipe.data_seed }} (evaluation: {{ evaluation.seed }}) |
| steps | {{ report.steps }}{% for phase in recipe.training.phases %}; {{ phase.steps }} `{{ phase.name }}` of {{ phase.batch_size }} samples{% endfor %} |
| time | {{ "%.0f" | format(report.seconds / 60) }} minutes{% if device %} on {{ device }}{% endif %} |
| last language loss | {{ "%.3f" | format(report.loss) }} nats a token |
| torch, transformers | {{ torch }}, {{ transformers }} |

First the picture side alone learns to tell what is drawn in each cell of the picture, then the whole model learns
dialogues: short ones, then descriptions of up to {{ longest }} words, with questions right after the picture, after
the description, after filler, and after a description of another picture. The recipe, every number of it, is in
`recipe.json`.

## Held-out results

{{ evaluation.scenes }} scenes of seed {{ evaluation.seed }}, greedy decoding, judged by the careful lexicon; 95 % bootstrap intervals over scenes.

| | |
|---|---|
| object recall | {{ evaluation.recall }} |
| CHAIR_i | {{ evaluation.chair_i }} |
| CHAIR_s | {{ evaluation.chair_s }} |
| words a description | {{ "%.1f" | format(evaluation.words.value) }} |
| descriptions cut off at {{ max_new_tokens }} tokens | {{ evaluation.truncated }} |
| yes/no accuracy (present and absent balanced) | {{ evaluation.yes_no_accuracy }} |
| answers yes | {{ "%.3f" | format(evaluation.yes_rate) }} |
| CHAIR_i rises with shuffled pictures by (paired) | {{ evaluation.chair_i_rise_shuffled }} |
| recall falls with shuffled pictures by (paired) | {{ evaluation.recall_drop_shuffled }} |
""",
    keep_trailing_newline=True,
    undefined=jinja2.StrictUndefined,
)


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
    card = _TEMPLATE.render(
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
