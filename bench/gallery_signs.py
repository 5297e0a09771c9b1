"""A gallery of names on the signs of Scenes: what `eidolon annotate --with gallery/…` finds without a labelled part.

    OMP_NUM_THREADS=1 python bench/gallery_signs.py [--scenes 200] [--checkpoint FOLDER] [--json FILE]

The gallery has three crops of each name of the test part. No such name was in training. The scenes have one to three
signs of these names, and as many other scenes have signs of the names of validation, which are not in the gallery.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from eidolon.benchmark.annotate.annotator import USUAL_CUTS
from eidolon.benchmark.annotate.by_gallery import Gallery, GalleryAnnotator
from eidolon.benchmark.scenes.sign_dataset import SignDials, SignScene, make_sign_scene, render_signs
from eidolon.benchmark.scenes.sign_drawing import crop
from eidolon.benchmark.scenes.sign_names import KINDS, names_of
from eidolon.models.aligner.sign_reader import SHIPPED_SIGNS, SignReader, load_sign_reader
from eidolon.scorers.core.metric import FloatArray

SEED = 6
"""The regions were chosen on scenes of another seed."""
CROPS = 3


def gallery_of(reader: SignReader) -> Gallery:
    """Return the gallery of the test names."""
    names = [name.name for name in names_of("test")]
    crops = [
        crop(name, np.random.default_rng([SEED, i, k])) for i, name in enumerate(names) for k in range(CROPS)
    ]
    owners = tuple(i for i in range(len(names)) for _ in range(CROPS))
    return Gallery(tuple(names), reader.embed_images(crops), owners, "")


def probabilities(annotator: GalleryAnnotator, scenes: Sequence[SignScene]) -> FloatArray:
    """Return the probability of each name in each scene, (scenes, names)."""
    looked = [one for scene in scenes for one in annotator.look([render_signs(scene)])]
    scores = np.array([[one.scores[name] for name in annotator.names] for one in looked])
    return np.asarray(1 / (1 + np.exp(-scores)), dtype=float)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scenes", type=int, default=200)
    parser.add_argument("--checkpoint", type=Path, default=SHIPPED_SIGNS)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    reader = load_sign_reader(given.checkpoint)
    annotator = GalleryAnnotator(reader, {}, gallery_of(reader))
    scenes = [make_sign_scene(SEED, i, SignDials()) for i in range(given.scenes)]
    strangers = [make_sign_scene(SEED, i, SignDials(part="validation")) for i in range(given.scenes)]
    low, high = USUAL_CUTS["gallery"]
    found, others = probabilities(annotator, scenes), probabilities(annotator, strangers)
    borne = [{sign.name.name for sign in scene.signs} for scene in scenes]
    there = np.array([[name in names for name in annotator.names] for names in borne])
    kinds = np.array([name.kind for name in names_of("test")])
    present, unsure = found >= high, (found >= low) & (found < high)
    result = {
        "scenes": given.scenes,
        "signs": int(there.sum()),
        "precision": round(float(there[present].mean()), 4),
        "recall": round(float(present[there].mean()), 4),
        "unsure": round(float(unsure[there].mean()), 4),
        "recall by kind": {
            kind: round(float(present[:, kinds == kind][there[:, kinds == kind]].mean()), 4) for kind in KINDS
        },
        "unknown signs": sum(len(scene.signs) for scene in strangers),
        "scenes with unknown signs and a name": int((others >= high).any(axis=1).sum()),
        "scenes with unknown signs and an unsure name": int((others >= low).any(axis=1).sum()),
    }
    text = json.dumps(result, indent=1)
    print(text)
    if given.json is not None:
        given.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
