"""Times `eidolon run` against a bare loop of the same model over the same Scenes: the loop itself, start and end apart.

    OMP_NUM_THREADS=1 python bench/run_overhead.py [--scenes 64] [--pairs 5] [--json FILE]

Both decode greedily, in batches of the same pictures, and their texts are compared. The loop of `eidolon run` is
`Generation.produce`: pictures drawn, requests made, answers checked, batches written to the disk. What comes before
(imports, plan, loading) and after (judging, scores, plots, report) is the start and the end, which are listed beside.
Each way is a process of its own; CPU seconds of all its threads are counted.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

MODEL, BATCH, TOKENS, GOAL = "scenes-small", 16, 512, 1.03
LOOP = """
import json, sys, time
import torch
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
begun, texts = time.process_time(), []
for start in range(0, n, batch):
    images = [[source.image(sample)] for sample in source.samples[start : start + batch]]
    inputs = processor(text=[prompt] * len(images), images=images, padding=True, return_tensors="pt")
    with torch.inference_mode():
        found = model.generate(**inputs, max_new_tokens=tokens, do_sample=False)
    texts += processor.batch_decode(found[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
print(json.dumps([begun, time.process_time() - begun, 0.0, [text.strip() for text in texts]]))
"""
RUN = """
import json, sys, time
from pathlib import Path
from eidolon.benchmark.cli import invoke
from eidolon.benchmark.engine.generation import Generation
produce, clock = Generation.produce, []
def timed(self, folder, responses):
    clock.append(time.process_time())
    produce(self, folder, responses)
    clock.append(time.process_time())
Generation.produce = timed
model, n, batch, tokens, out = sys.argv[1:]
printed, sys.stdout = sys.stdout, sys.stderr
assert invoke(["run", "--model", model, "--limit", n, "--batch-size", batch, "--max-new-tokens", tokens,
               "--temperature", "0", "--no-cache", "--out", out]) == 0
(file,) = Path(out).glob("*/responses.jsonl")
texts = [json.loads(line)["response"].strip() for line in file.open()]
print(json.dumps([clock[0], clock[1] - clock[0], time.process_time() - clock[1], texts]), file=printed)
"""


def times(program: str, *arguments: str) -> tuple[float, float, float, list[str]]:
    """Return the CPU seconds of start, loop and end of a program, and its texts."""
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    start, loop, end, texts = json.loads(done.stdout.splitlines()[-1])
    return start, loop, end, texts


def main() -> None:
    """Print the medians and the ratio."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scenes", type=int, default=64)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    rows, same = [], True
    for _ in range(given.pairs):
        asked = (MODEL, str(given.scenes), str(BATCH), str(TOKENS))
        plain = times(LOOP, *asked)
        with tempfile.TemporaryDirectory() as out:
            ours = times(RUN, *asked, out)
        same = same and plain[3] == ours[3]
        row = {"loop": plain[1], "run": ours[1], "loop_start": plain[0], "start": ours[0], "end": ours[2]}
        row["ratio"] = row["run"] / row["loop"]
        print({name: round(value, 3) for name, value in row.items()}, flush=True)
        rows.append(row)
    middle = {name: round(statistics.median(row[name] for row in rows), 3) for name in rows[0]}
    found: list[dict[str, Any]] = [
        {
            "name": "eidolon run / bare loop, start and end aside",
            "measured": middle["ratio"], "goal": GOAL, "met": same and middle["ratio"] <= GOAL,
            **middle, "same": same, "scenes": given.scenes, "pairs": given.pairs, "rows": rows,
        },
        {"name": "start of eidolon run, CPU s", "measured": middle["start"]},
        {"name": "start of the bare loop, CPU s", "measured": middle["loop_start"]},
        {"name": f"end of eidolon run, {given.scenes} scenes, CPU s", "measured": middle["end"]},
    ]  # fmt: skip
    for one in found:
        print(f"{one['name']:48} {one['measured']:.3f}")
    print(f"same texts: {'yes' if same else 'NO'}")
    if given.json is not None:
        given.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
