"""Times `eidolon run` against a bare loop of the same model over the same Scenes, whole processes, start aside.

    OMP_NUM_THREADS=1 python bench/run_overhead.py [--scenes 200] [--few 16] [--pairs 5] [--json FILE]

Each way runs with many scenes and with few. The difference is what further scenes cost: drawing, reading, generating,
and for `eidolon run` also writing, judging and scoring. The start, and what a run costs once, are in both and cancel.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

MODEL, BATCH, TOKENS = "scenes-small", 16, 512
LOOP = """
import sys, torch
from eidolon.benchmark.data.datasets import load_dataset
from eidolon.models.base.shipped import shipped_models
from transformers import AutoModelForImageTextToText, AutoProcessor
torch.set_num_threads(1)
path, n, batch, tokens = str(shipped_models()[sys.argv[1]]), *map(int, sys.argv[2:5])
processor = AutoProcessor.from_pretrained(path)
processor.tokenizer.padding_side = "left"
model = AutoModelForImageTextToText.from_pretrained(path).eval()
source = load_dataset("scenes", limit=n, seed=0, options={})
chat = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Describe this image in detail."}]}]
prompt = processor.apply_chat_template(chat, add_generation_prompt=True)
for start in range(0, n, batch):
    images = [[source.image(sample)] for sample in source.samples[start : start + batch]]
    inputs = processor(text=[prompt] * len(images), images=images, padding=True, return_tensors="pt")
    with torch.inference_mode():
        found = model.generate(**inputs, max_new_tokens=tokens, do_sample=False)
    for text in processor.batch_decode(found[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True):
        print(text)
"""


def cpu(command: list[str]) -> float:
    """Return the CPU seconds of a process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def loop(scenes: int) -> float:
    """Return the CPU seconds of the bare loop."""
    return cpu([sys.executable, "-c", LOOP, MODEL, str(scenes), str(BATCH), str(TOKENS)])


def run(scenes: int) -> float:
    """Return the CPU seconds of `eidolon run`."""
    with tempfile.TemporaryDirectory() as out:
        return cpu(
            [
                str(Path(sys.executable).with_name("eidolon")), "run", "--model", MODEL, "--limit", str(scenes),
                "--batch-size", str(BATCH), "--max-new-tokens", str(TOKENS), "--no-cache", "--out", out,
            ]
        )  # fmt: skip


def main() -> None:
    """Print the medians and the ratio."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scenes", type=int, default=200)
    parser.add_argument("--few", type=int, default=16)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    rows = []
    for _ in range(given.pairs):
        row = {
            "loop": loop(given.scenes),
            "run": run(given.scenes),
            "loop_few": loop(given.few),
            "run_few": run(given.few),
        }
        row["whole"] = row["run"] / row["loop"]
        row["start_aside"] = (row["run"] - row["run_few"]) / (row["loop"] - row["loop_few"])
        print({name: round(value, 3) for name, value in row.items()}, flush=True)
        rows.append(row)
    found = {name: round(statistics.median(row[name] for row in rows), 3) for name in rows[0]}
    found |= {"scenes": given.scenes, "few": given.few, "pairs": given.pairs, "goal": 1.03}
    print(found)
    if given.json is not None:
        given.json.write_text(
            json.dumps([{"name": "eidolon run / bare loop", **found, "rows": rows}], indent=2) + "\n"
        )


if __name__ == "__main__":
    main()
