"""Writes the tables of docs/evidence/dependence.md: the visual prompt dependency of the shipped models, in every form.

    python bench/measure_pdm.py [--samples 60] [--seed 21] [--out DIR]

Responses to Scenes are sampled as in a default run. All forms are measured on the same responses.
"""

import argparse
import time
from pathlib import Path

from PIL import Image

from eidolon.benchmark.data.prompts import PRESETS
from eidolon.benchmark.scenes.scene import Dials, make_scene, render
from eidolon.benchmark.tasks.forget.dependency.plot import draw_pdm
from eidolon.benchmark.tasks.forget.dependency.series import ReadingSettings, TextToRead, measure_pdm
from eidolon.models.backends.transformers import TransformersModel
from eidolon.models.base.defaults import DEFAULT_TEMPERATURE
from eidolon.models.base.model import Decoding, Request, request_seed
from eidolon.models.base.shipped import shipped_models
from eidolon.models.generation.image_ablation import FORMS
from eidolon.models.generation.token_log import token_log
from eidolon.scorers.core.estimate import Estimate
from eidolon.scorers.forgetting.fading import Fade

BATCH = 16


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--samples", type=int, default=60)
    parser.add_argument("--seed", type=int, default=21)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    scenes = [make_scene(arguments.seed, index, Dials()) for index in range(arguments.samples)]
    objects = [scene.objects for scene in scenes]
    for name, checkpoint in shipped_models().items():
        model = TransformersModel(str(checkpoint))
        requests = [_request(index, render(scene)) for index, scene in enumerate(scenes)]
        with token_log() as noted:
            responses = {
                response.sample_id: response.response
                for start in range(0, len(requests), BATCH)
                for response in model.generate(requests[start : start + BATCH])
            }
        texts = [
            TextToRead(request, responses[request.sample_id], noted[request.sample_id, 0], truth)
            for request, truth in zip(requests, objects, strict=True)
        ]
        for form in FORMS:
            began = time.perf_counter()
            table = measure_pdm(model, texts, ReadingSettings(form=form))
            took = time.perf_counter() - began
            print(f"\n{name}, {form}: {table.responses} responses, {table.tokens} tokens, {took:.1f} s")
            for mean in table.means:
                print(f"  PDM {mean.label}: {_interval(mean)}, {mean.tokens} tokens")
            for early in table.fixed_sets:
                print(f"  change to token {early.length}, {early.label}: {_interval(early.change)}")
            for fit in (table.fade, *table.sensitivity):
                print(f"  fading, {fit.label}: {_fade(fit)}")
            if arguments.out is not None:
                arguments.out.mkdir(parents=True, exist_ok=True)
                (arguments.out / f"{name}-{form}.json").write_text(table.to_json(), encoding="utf-8")
                (arguments.out / f"{name}-{form}.png").write_bytes(draw_pdm(table, name))


def _request(index: int, image: Image.Image) -> Request:
    sample = str(index)
    decoding = Decoding(temperature=DEFAULT_TEMPERATURE, seed=request_seed(0, sample, 0))
    return Request(sample, sample, image, PRESETS["describe"], decoding=decoding)


def _interval(found: Estimate) -> str:
    if found.value is None:
        return "none"
    return f"{found.value:.3f} {_bounds(found.ci)}"


def _bounds(ci: tuple[float, float] | None) -> str:
    return "" if ci is None else f"[{ci[0]:.3f}, {ci[1]:.3f}]"


def _fade(fit: Fade) -> str:
    if fit.rate is None or fit.decay_per_100 is None:
        return f"none ({fit.reason})"
    half = "" if fit.half_life is None else f", half-life {fit.half_life:.0f} tokens"
    bend = f"{fit.curvature or 0:.2f} {_bounds(fit.curvature_ci)}"
    return (
        f"{fit.decay_per_100:.3f} {_bounds(fit.decay_per_100_ci)} per 100 tokens: {fit.finding}{half}, "
        f"R² {fit.r2 or 0:.3f}, curvature {bend}"
    )


if __name__ == "__main__":
    main()
