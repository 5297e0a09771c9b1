"""Measures whether the memory of a run stays constant over many large images.

    python bench/measure_memory.py [SAMPLES] [--batch-size N]

Writes SAMPLES JPEGs of 640x480 pixels and a COCO JSON into a temporary folder. A trivial model reads all pixels of each
image in a run. Prints the memory of this process before and after the run, its peak, and the difference between the
peak and the memory before the first image.
"""

import argparse
import json
import random
import resource
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from eidolon.benchmark.report.page import render_report
from eidolon.benchmark.run.pipeline import execute
from eidolon.benchmark.run.planning import load_run_settings, make_plan

SIZE = (640, 480)
PATTERNS = 16
"""Number of different images. All files differ, by the bytes after the image."""
MODEL = """
class Looks:
    def generate(self, requests):
        for request in requests:
            level = sum(request.image.resize((1, 1)).getpixel((0, 0)))
            yield f"A dog and a cat beside a car, with a brightness of {level}."
"""


def write_dataset(folder: Path, samples: int) -> dict[str, str]:
    """Write the images and their annotations. Return the options of the dataset."""
    source = np.random.default_rng(0)
    random.seed(0)
    for pattern in range(PATTERNS):
        blocks = source.integers(0, 256, (SIZE[1] // 8, SIZE[0] // 8, 3), dtype=np.uint8)
        noise = source.integers(0, 24, (SIZE[1], SIZE[0], 3), dtype=np.uint8)
        pixels = np.minimum(blocks.repeat(8, 0).repeat(8, 1) // 2 + 64 + noise, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"pattern{pattern}.jpg", quality=92)
    contents = [(folder / f"pattern{pattern}.jpg").read_bytes() for pattern in range(PATTERNS)]
    images = []
    for number in range(samples):
        name = f"{number:012d}.jpg"
        (folder / name).write_bytes(contents[number % PATTERNS] + number.to_bytes(8, "big"))
        images.append({"id": number, "file_name": name})
    categories = [{"id": 1, "name": "dog"}, {"id": 2, "name": "cat"}]
    annotations = [
        {"image_id": number, "category_id": kind}
        for number in range(samples)
        for kind in (1, 2)
        if random.random() < 0.6
    ]
    file = folder / "instances.json"
    file.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    (folder / "looks.py").write_text(MODEL)
    print(f"{samples} images, {sum(map(len, contents)) / PATTERNS / 1e3:.0f} kB each as JPEG")
    return {"annotations": str(file), "images": str(folder)}


def now_mb() -> float:
    """Return the resident memory of this process in MB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1e3
    raise RuntimeError("/proc/self/status has no VmRSS")


def peak_mb() -> float:
    """Return the peak of the resident memory in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("samples", nargs="?", type=int, default=5000)
    parser.add_argument("--batch-size", type=int, default=16)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        options = write_dataset(folder, arguments.samples)
        flags = {
            "dataset": "coco",
            "models": [{"name": f"python/{folder / 'looks.py'}:Looks"}],
            "batch_size": arguments.batch_size,
            "resamples": 100,
        }

        def run(out: str, **more: object) -> None:
            plan = make_plan(load_run_settings(None, flags | more), folder / out)
            print(f"{out}: planned and hashed, {now_mb():.0f} MB now")
            for one, generation in plan.runs:
                execute(one, generation, render_report)

        # First a few samples, so that libraries, lexicon and model are loaded before the measurement.
        run("few", limit=PATTERNS, dataset_options=options)
        before = now_mb()
        print(f"before: {before:.0f} MB now, {peak_mb():.0f} MB peak")
        run("all", dataset_options=options)
        print(
            f"after: {now_mb():.0f} MB now, {peak_mb():.0f} MB peak, {peak_mb() - before:.0f} MB above before"
        )


if __name__ == "__main__":
    main()
