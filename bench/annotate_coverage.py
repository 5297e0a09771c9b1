"""Annotating Scenes: precision and recall against the truth by construction, and coverage of corrected rates.

    python bench/annotate_coverage.py [--with aligner|noisy] [--scenes 300] [--labelled 50] [--times 200] \\
        [--sure 0.95] [--out FILE]

`noisy` is an artificial annotator: the truth, plus or minus 1.5, with normal noise. The descriptions are drawn: each
names every object of its scene with probability 0.8, and of the other categories one in two images names one more.
"""

import argparse
import json
import random
from collections.abc import Sequence
from pathlib import Path

from annotate_resampling import DescribedImage, covered, draw_again, mean_width, true_value

from eidolon.benchmark.annotate.annotator import USUAL_CUTS, Looked, rounded
from eidolon.benchmark.annotate.decision import Facts, Rule, decide_all
from eidolon.benchmark.annotate.kinds import choose
from eidolon.benchmark.data.annotation_file import AnnotatedImage
from eidolon.benchmark.scenes.scene import Dials, Scene, make_scene, render
from eidolon.benchmark.scenes.world import VOCABULARY
from eidolon.benchmark.settings.annotate import AnnotateSettings
from eidolon.benchmark.tasks.plugins import make_judge
from eidolon.scorers.core.types import Response
from eidolon.scorers.metrics.chair import Chair

SEED = 77
"""Seed of the scenes; the aligner was trained on others."""
SIZES = ((0.0, 0.01), (0.01, 0.04), (0.04, 1.0))
"""Shares of the image that the largest box of an object covers."""
QUANTITY = "chair_i"


def look(scenes: Sequence[Scene], annotator: str) -> list[Looked]:
    """Return what the annotator says of each scene."""
    if annotator == "noisy":
        draw = random.Random(SEED)
        return [
            Looked({n: rounded(draw.gauss(1.5 if n in scene.objects else -1.5, 1.0)) for n in VOCABULARY})
            for scene in scenes
        ]
    made = choose(AnnotateSettings(annotator=annotator, names=",".join(VOCABULARY))).make()
    return [one for k in range(0, len(scenes), 32) for one in made.look([*map(render, scenes[k : k + 32])])]


def describe(scene: Scene, number: int) -> Response:
    """Return a drawn description."""
    draw = random.Random(f"{SEED}:{number}")
    named = [name for name in scene.objects if draw.random() < 0.8]
    if draw.random() < 0.5:
        named.append(draw.choice([name for name in VOCABULARY if name not in scene.objects]))
    draw.shuffle(named)
    text = " ".join(f"There is a {name}." for name in named) or "An empty room."
    return Response(sample_id=str(number), image_id=str(number), response=text)


def quality(
    scenes: Sequence[Scene], rows: Sequence[AnnotatedImage]
) -> dict[str, dict[str, float | int | None]]:
    """Return precision and recall of present cells by category and by size, unsure ones left out."""
    sizes = [{name: area_of(scene, name) for name in scene.objects} for scene in scenes]
    found: dict[str, dict[str, float | int | None]] = {}
    for name in ("all", *VOCABULARY):
        names = {*VOCABULARY} if name == "all" else {name}
        found[name] = rates(scenes, rows, [{*names}] * len(scenes))
    for low, high in SIZES:
        asked = [{n for n, size in of.items() if low <= size < high} for of in sizes]
        one = rates(scenes, rows, asked)
        found[f"size {low:g} to {high:g}"] = {"recall": one["recall"], "cells": one["cells"]}
    return found


def rates(
    scenes: Sequence[Scene], rows: Sequence[AnnotatedImage], asked: Sequence[set[str]]
) -> dict[str, float | int | None]:
    """Return precision and recall on the asked cells."""
    hits = said = true = unsure = 0
    for scene, row, names in zip(scenes, rows, asked, strict=True):
        objects, open_ = {*row.objects} & names, {*row.unsure} & names
        there = ({*scene.objects} & names) - open_
        hits, said, true = hits + len(objects & there), said + len(objects), true + len(there)
        unsure += len(open_)
    return {
        "precision": round(hits / said, 3) if said else None,
        "recall": round(hits / true, 3) if true else None,
        "cells": true,
        "unsure": unsure,
    }


def area_of(scene: Scene, name: str) -> float:
    """Return the share of the image that the largest box of an object covers."""
    return next(thing.area for thing in scene.things if thing.category == name)


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--with", dest="annotator", default="aligner")
    parser.add_argument("--scenes", type=int, default=300)
    parser.add_argument("--labelled", type=int, default=50)
    parser.add_argument("--times", type=int, default=200)
    parser.add_argument("--sure", type=float, default=AnnotateSettings().sure)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    scenes = [make_scene(SEED, k, Dials()) for k in range(given.scenes)]
    looked = look(scenes, given.annotator)
    judge = make_judge("lexicon", {})
    responses = [describe(scene, k) for k, scene in enumerate(scenes)]
    images = [
        DescribedImage(one, scene.objects, response, judgement)
        for one, scene, response, judgement in zip(
            looked, scenes, responses, judge.judge(responses), strict=True
        )
    ]
    rule = Rule(given.sure, None, USUAL_CUTS["aligner"], 0)
    metric = Chair()
    value = true_value(images, metric, QUANTITY)
    drawn = draw_again(images, VOCABULARY, metric, QUANTITY, rule, labelled=given.labelled, times=given.times)
    by = {name: [getattr(one, name) for one in drawn] for name in ("powered", "alone", "naive")}
    facts = [
        Facts(str(k), "", "", one.looked, one.truth if k < given.labelled else None)
        for k, one in enumerate(images)
    ]
    decided = decide_all(facts, VOCABULARY, rule)
    there = given.labelled
    found = {
        "annotator": given.annotator,
        "scenes": given.scenes,
        "labelled": given.labelled,
        "sure": given.sure,
        "times": given.times,
        "true": round(value, 4),
        "coverage": {name: covered(of, value) for name, of in by.items()},
        "mean_width": {name: round(mean_width(of), 4) for name, of in by.items()},
        "mean": {name: round(sum(one.value or 0.0 for one in of) / len(of), 4) for name, of in by.items()},
        "narrower": sum(
            p.ci is not None and a.ci is not None and p.ci[1] - p.ci[0] < a.ci[1] - a.ci[0]
            for p, a in zip(by["powered"], by["alone"], strict=True)
        )
        / len(drawn),
        "cut": decided.cut.model_dump(),
        "quality": quality(scenes[there:], decided.rows[there:]),
    }
    text = json.dumps(found, indent=1)
    print(text)
    if given.out is not None:
        given.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
