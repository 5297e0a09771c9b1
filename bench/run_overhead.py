"""Times the loop of `eidolon run` against a bare loop of the same model over the same Scenes, in turn in one process.

    OMP_NUM_THREADS=1 python bench/run_overhead.py [--scenes 200] [--pairs 15] [--json FILE]

Both decode greedily, in batches of the same pictures, and their texts are compared. The loop of `eidolon run` is
`Generation.produce`: pictures drawn, requests made, answers checked, batches written to the disk. What comes before
(plan, loading) and after (judging, scores, plots, report) is outside of it. The ratio is that of CPU seconds of all
threads; its interval is that of the median of the pairs, by their ranks. Start and end of a first run,
with its imports, are listed beside.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

from scipy.stats import quantile_test

MODEL, BATCH, TOKENS, GOAL = "scenes-small", 16, 512, 1.03


def bare_loop(scenes: int) -> Callable[[], list[str]]:
    """Return a function that describes the scenes with transformers alone, with everything loaded."""
    import torch
    from transformers import AutoModelForImageTextToText, AutoProcessor

    from eidolon.benchmark.data.datasets import load_dataset
    from eidolon.models.base.shipped import shipped_models

    torch.set_num_threads(1)
    path = str(shipped_models()[MODEL])
    processor = AutoProcessor.from_pretrained(path)
    processor.tokenizer.padding_side = "left"
    model = AutoModelForImageTextToText.from_pretrained(path).eval()
    source = load_dataset("scenes", limit=scenes, seed=0, options={})
    content = [{"type": "image"}, {"type": "text", "text": "Describe this image in detail."}]
    prompt = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)

    def describe() -> list[str]:
        texts: list[str] = []
        for start in range(0, scenes, BATCH):
            images = [[source.image(sample)] for sample in source.samples[start : start + BATCH]]
            inputs = processor(text=[prompt] * len(images), images=images, padding=True, return_tensors="pt")
            with torch.inference_mode():
                found = model.generate(**inputs, max_new_tokens=TOKENS, do_sample=False)
            texts += processor.batch_decode(
                found[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True
            )
        return [text.strip() for text in texts]

    return describe


def eidolon_run(scenes: int) -> tuple[float, float, float, list[str]]:
    """Return the CPU seconds of start, loop and end of `eidolon run` in this process, and its texts."""
    from eidolon.benchmark.cli import invoke
    from eidolon.benchmark.engine.generation import Generation

    produce, clock = Generation.produce, [time.process_time()]

    def timed(self: Any, folder: Any, responses: Any) -> None:
        clock.append(time.process_time())
        produce(self, folder, responses)
        clock.append(time.process_time())

    with tempfile.TemporaryDirectory() as out, redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        Generation.produce = timed  # type: ignore[method-assign]
        try:
            code = invoke(
                ["run", "--model", MODEL, "--limit", str(scenes), "--batch-size", str(BATCH),
                 "--max-new-tokens", str(TOKENS), "--temperature", "0", "--no-cache", "--out", out]
            )  # fmt: skip
        finally:
            Generation.produce = produce  # type: ignore[method-assign]
        if code:
            raise RuntimeError(f"eidolon run ended with {code}")
        (file,) = Path(out).glob("*/responses.jsonl")
        texts = [json.loads(line)["response"].strip() for line in file.open()]
    begun, started, looped = clock
    return started - begun, looped - started, time.process_time() - looped, texts


def main() -> None:
    """Print the medians and the ratio."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scenes", type=int, default=200)
    parser.add_argument("--pairs", type=int, default=15)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    begun = time.process_time()
    start, _, end, first = eidolon_run(given.scenes)
    start += begun
    describe = bare_loop(given.scenes)
    same = describe() == first
    rows = []
    for _ in range(given.pairs):
        at = time.process_time()
        same = describe() == first and same
        plain = time.process_time() - at
        _, ours, _, texts = eidolon_run(given.scenes)
        same = texts == first and same
        rows.append({"loop": plain, "run": ours, "ratio": ours / plain})
        print({name: round(value, 3) for name, value in rows[-1].items()}, flush=True)
    middle = {name: round(statistics.median(row[name] for row in rows), 3) for name in rows[0]}
    low, high = quantile_test([row["ratio"] for row in rows]).confidence_interval(0.95)
    found: list[dict[str, Any]] = [
        {
            "name": "loop of eidolon run / bare loop",
            "measured": middle["ratio"], "goal": GOAL, "met": same and middle["ratio"] <= GOAL,
            "interval": [round(low, 3), round(high, 3)],
            **middle, "same": same, "scenes": given.scenes, "pairs": given.pairs, "rows": rows,
        },
        {"name": "start of eidolon run, CPU s", "measured": round(start, 2)},
        {"name": f"end of eidolon run, {given.scenes} scenes, CPU s", "measured": round(end, 2)},
    ]  # fmt: skip
    for one in found:
        print(f"{one['name']:48} {one['measured']:.3f}")
    print(f"interval of the median ratio: {low:.3f} to {high:.3f}; same texts: {'yes' if same else 'NO'}")
    if given.json is not None:
        given.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
