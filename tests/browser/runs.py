"""Run folders for the tests of pages: real runs over scenes, of texts that the tests write."""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from eidolon.benchmark.cli import invoke
from eidolon.benchmark.report.view.collect import CollectedRun, collect
from eidolon.benchmark.report.view.pictures import NoPictures
from eidolon.benchmark.report.view.samples import ViewedSample, shown_samples
from eidolon.benchmark.scenes.scene import Dials, make_scene
from eidolon.benchmark.store.loaded import load_run
from eidolon.benchmark.store.record import SampleRow
from eidolon.scorers.core.types import Judgement, Mention, Response

SAMPLES = 24
WRONG = ("zebra", "giraffe", "toaster")


def scene_texts(count: int) -> Iterator[dict[str, str]]:
    """Yield responses that name the objects of each scene but the last, and now and then one that is not there."""
    for index in range(count):
        scene = make_scene(0, index, Dials())
        named = list(scene.objects[:-1])
        if index % 3 == 1:
            named.append(WRONG[index // 3 % len(WRONG)])
        text = " ".join(f"Here is a {name}, drawn in plain colours." for name in named)
        if index == 2:
            text = f"\N{DESERT ISLAND}\N{VARIATION SELECTOR-16} First of all, {text}"
        yield {"sample_id": f"scenes-0-{index}", "image_id": f"scenes-0-{index}", "response": text}


def scene_run(folder: Path, count: int = SAMPLES, *options: str) -> Path:
    """Return a finished run over scenes. The response to the last one is missing, so that it is unscored."""
    file = folder / "texts.jsonl"
    rows = list(scene_texts(count))[:-1]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    out = folder / "out"
    code = invoke(["run", "--model", f"replay/{file}", "--limit", str(count), "--out", str(out),
                   "--max-unscored", "1", "--resamples", "50", *options])  # fmt: skip
    assert code == 0
    (run,) = (path.parent for path in out.glob("*/run.json"))
    return run


def probe_run(folder: Path, count: int = 6) -> Path:
    """Return a finished probe over scenes, whose every fifth answer is neither yes nor no."""
    asked = folder / "asked"
    file = folder / "answers.jsonl"
    file.write_text(json.dumps({"sample_id": "none", "image_id": "none", "response": "yes"}) + "\n")
    command = ["run", "--task", "probe", "--limit", str(count), "--max-unscored", "1", "--resamples", "50"]
    invoke([*command, "--model", f"replay/{file}", "--out", str(asked)])
    (questions,) = asked.glob("*/questions.jsonl")
    rows = [json.loads(line) for line in questions.read_text().splitlines()]
    answers = [
        {
            "sample_id": row["question_id"],
            "image_id": row["image"],
            "response": "I would say so."
            if index % 5 == 0
            else "No"
            if index % 7 == 0
            else row["label"].title(),
        }
        for index, row in enumerate(rows)
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in answers))
    assert invoke([*command, "--model", f"replay/{file}", "--out", str(folder / "out")]) == 0
    (run,) = (path.parent for path in (folder / "out").glob("*/run.json"))
    return run


def change_lines(path: Path, change: Callable[[int, dict[str, Any]], None]) -> None:
    """Change the records of a JSONL file in place."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    for index, row in enumerate(rows):
        change(index, row)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def many_samples(run: Path, count: int) -> CollectedRun:
    """Return a run of `count` samples with the head of a real one and texts of usual length, without pictures."""
    loaded = load_run(run)
    collected = collect(loaded, images=None, pictures=False)
    categories = sorted({name for one in shown_samples(loaded) for name in one.names()})
    return CollectedRun(
        collected.head,
        count,
        collected.policy,
        lambda: (_made(index, categories) for index in range(count)),
        NoPictures(),
    )


def _made(index: int, categories: Sequence[str]) -> ViewedSample:
    name, other = (categories[(index + shift) % len(categories)] for shift in (0, 7))
    text = f"Sample number {index} has a {name} and a {other}. " + "It is a calm place with soft light. " * 10
    start = text.index(name)
    mentions = [
        Mention(category=name, text=name, start=start, end=start + len(name), word=5, verdict="grounded"),
        Mention(category=other, text="", start=0, end=0, word=0,
                verdict="hallucinated" if index % 2 else "grounded"),
    ]  # fmt: skip
    objects = (name,) if index % 2 else tuple(sorted({name, other}))
    key = f"made-{index}"
    return ViewedSample(
        response=Response(sample_id=key, image_id=key, response=text),
        judgement=Judgement(sample_id=key, image_id=key, mentions=tuple(mentions)),
        sample=SampleRow(sample_id=key, image_id=key, objects=objects),
        question=None,
        answer=None,
    )
