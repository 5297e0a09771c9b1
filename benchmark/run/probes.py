"""Learned probes from judged runs: what `eidolon probes` reads and trains."""

from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from pathlib import Path

from eidolon.benchmark.store.loaded import load_run
from eidolon.models.probes.graph import GraphImage
from eidolon.models.probes.training import ProbeRecipe, train_probes
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.input_files import decode_text, excerpt, read_bytes
from eidolon.scorers.core.types import ImageId
from eidolon.scorers.discovery.supercategories import SUPERCATEGORY
from eidolon.scorers.probes.model_file import write_probe_file


def read_images(runs: Sequence[Path], held_out: Collection[str]) -> list[GraphImage]:
    """Return the images of judged runs, except those held out (ids as text), in the order of their ids.

    Raises:
        UserError: a run cannot be read or has no verdicts, two runs differ in an image's objects, or nothing is left.
    """
    objects: dict[ImageId, frozenset[str]] = {}
    mentioned: dict[ImageId, set[str]] = defaultdict(set)
    invented: dict[ImageId, Counter[str]] = defaultdict(Counter)
    for path in runs:
        run = load_run(path)
        pairs, samples = run.judged(), run.samples()
        verdicts = [mention.verdict for _, judgement in pairs for mention in judgement.mentions]
        if verdicts and not any(verdicts):
            raise UserError(
                f"{path}: no mention has a verdict; score the responses with --objects or a dataset"
            )
        for sample in samples:
            found = frozenset(sample.objects)
            if objects.setdefault(sample.image_id, found) != found:
                raise UserError(
                    f"{path}: image {excerpt(sample.image_id)} has other objects than in a run named before; "
                    "score both with the same truth"
                )
        for response, judgement in pairs:
            names = {mention.category: mention.verdict for mention in judgement.mentions}
            mentioned[response.image_id].update(n for n, verdict in names.items() if verdict == "grounded")
            invented[response.image_id].update(n for n, verdict in names.items() if verdict == "hallucinated")
    kept = sorted((image for image in objects if str(image) not in held_out), key=str)
    if not kept:
        raise UserError("--hold-out leaves no image; name runs with other images")
    return [GraphImage(objects[i], frozenset(mentioned[i]), invented[i]) for i in kept]


def read_held_out(path: Path) -> frozenset[str]:
    """Return the image ids of a file, one a line."""
    lines = decode_text(read_bytes(path), path).splitlines()
    return frozenset(line.strip() for line in lines if line.strip())


def probe_text(images: Sequence[GraphImage], *, seed: int, contrast: bool) -> tuple[str, int]:
    """Return the text of the file of probes learned from images, and the number of their inventions.

    Raises:
        UserError: there are fewer than two categories, or nothing was invented.
    """
    recipe = ProbeRecipe(seed=seed) if contrast else ProbeRecipe(seed=seed, contrast=0.0)
    try:
        vocabulary, network = train_probes(images, SUPERCATEGORY, recipe)
    except ValueError as error:
        raise UserError(f"{error}; name more runs, or runs on more images") from error
    inventions = sum(len(one.invented) for one in images)
    text = write_probe_file(
        vocabulary, network, images=len(images), inventions=inventions, contrast=contrast, seed=seed
    )
    return text, inventions
