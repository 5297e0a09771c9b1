"""Forced orders of models with a known law, from their words to the findings; and models that cannot continue."""

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from random import Random
from typing import Any

import jsonschema
import pytest
from PIL import Image

from eidolon.benchmark.drawing.style import COLUMN, SCREEN, style
from eidolon.benchmark.json_schemas import schemas as own_schemas
from eidolon.benchmark.store.folder import RunFolder
from eidolon.benchmark.store.record import SampleRow
from eidolon.benchmark.tasks.forget.continued_turns import TOKENS, read_turn
from eidolon.benchmark.tasks.forget.forced_orders.detail import with_orders
from eidolon.benchmark.tasks.forget.forced_orders.plot import draw_orders, orders_figure
from eidolon.benchmark.tasks.forget.forced_orders.stage import OrderSettings, force_orders
from eidolon.benchmark.tasks.forget.measurement import Measurement
from eidolon.models.base.contrast import make_contrast
from eidolon.models.base.model import Decoding, Request
from eidolon.scorers.core.types import Response
from eidolon.scorers.forgetting.forced_orders import ForcedTurn
from eidolon.scorers.json_schemas import schemas
from eidolon.scorers.judges.lexicon import LexiconJudge
from tests.benchmark.conftest import read_lines
from tests.benchmark.drawing_boxes import faults
from tests.benchmark.tasks.forget.retention.test_design import Words

THINGS = ("bed", "bus", "car", "cat", "cup", "dog", "fork", "oven", "tv", "zebra", "kite", "bench")
SIZES = (0.01, 0.02, 0.03, 0.2, 0.3, 0.4)
IMAGES = 40


def rows() -> list[SampleRow]:
    found = []
    for i in range(IMAGES):
        names = Random(i).sample(THINGS, len(SIZES))
        areas = dict(zip(names, SIZES, strict=True))
        found.append(SampleRow(sample_id=f"s{i}", image_id=i, objects=tuple(sorted(names)), areas=areas))
    return found


Law = Callable[[int, float], float]


class Talker(Words):
    """Names the largest object that is left. Its law gives the chance that it names an absent one instead."""

    def __init__(self, law: Law) -> None:
        super().__init__()
        self.law, self.asked = law, 0
        self.areas = {row.sample_id: row.areas for row in rows()}
        self.seen: list[Request] = []

    def continue_replies(
        self, requests: Sequence[Request], given: Sequence[Sequence[int]]
    ) -> Iterable[Response]:
        for request, tokens in reversed(list(zip(requests, given, strict=True))):  # the order does not matter
            self.seen.append(request)
            text = self._go_on(request, self.decode_reply(tokens))
            yield Response(
                sample_id=request.sample_id,
                image_id=request.image_id,
                generation=request.generation,
                response=text,
                finish_reason="stop",
            )

    def _go_on(self, request: Request, text: str) -> str:
        areas = self.areas[request.sample_id]
        dice = Random(f"{request.sample_id} {request.generation}")
        for _ in range(3):
            unnamed = [name for name in THINGS if f" {name}" not in text]
            left = sorted((name for name in unnamed if name in areas), key=areas.__getitem__)
            wrong = not left or dice.random() < self.law(len(text.split()), areas[left[-1]])
            name = dice.choice([name for name in unnamed if name not in areas]) if wrong else left[-1]
            text += f" There is a {name} here."
        return text


class Source:
    def __init__(self, model: Any) -> None:
        self.model, self.loads = model, 0

    def scoring_model(self) -> Any:
        self.loads += 1
        return self.model

    def picture(self, sample_id: str) -> Image.Image:
        if sample_id == "s3":
            raise OSError("a broken file")
        return Image.new("RGB", (4, 4))


def settings(**fields: Any) -> OrderSettings:
    values: dict[str, Any] = {
        "prompt": "Describe this image.",
        "decoding": Decoding(512, 0.6, 1.0, 11),
        "judge": LexiconJudge(),
        "batch_size": 32,
        "resamples": 300,
    }
    return OrderSettings(**(values | fields))


def measurement(path: Path, source: Any) -> Measurement:
    folder = RunFolder(path, None)  # type: ignore[arg-type]
    return Measurement(folder, "talker", rows(), [], [], "signature", source)


@pytest.mark.parametrize(
    ("law", "verdict"),
    [
        (lambda words, size: 0.1 if words < 50 else 0.5, "lateness, not what is left"),
        (lambda words, size: 0.1 if size > 0.1 else 0.5, "what is left, not lateness"),
    ],
    ids=["position", "difficulty"],
)
def test_the_law_is_recovered(tmp_path: Path, law: Law, verdict: str) -> None:
    model = Talker(law)
    source = Source(model)
    detail = force_orders(settings(), measurement(tmp_path, source))
    assert detail.found.verdict == verdict
    assert (detail.found.images, detail.found.incomplete) == (IMAGES - 1, 0)  # without the broken picture
    for request in model.seen:
        assert request.prompt == "Describe this image."
        assert request.decoding.max_new_tokens == TOKENS
        assert request.decoding.temperature == 0.6
    seeds = {(r.sample_id, r.decoding.seed) for r in model.seen}
    assert len(seeds) == len({seed for _, seed in seeds}) == IMAGES - 1
    jsonschema.validate(json.loads(detail.to_json()), own_schemas()["orders"])
    lines = read_lines(tmp_path / "orders.jsonl")
    form = jsonschema.Draft202012Validator(schemas()["continued"])
    for line in lines:
        form.validate(line)
        assert line["response"].startswith(line["given"])
    again = [ForcedTurn.model_validate(line) for line in lines]
    objects = {row.sample_id: row.objects for row in rows()}
    assert [read_turn(line, LexiconJudge(), objects[line.sample_id]) for line in again[::9]] == again[::9]
    assert draw_orders(detail, "talker").startswith(b"\x89PNG")
    for sheet in (SCREEN, COLUMN):
        with style(sheet):
            assert faults(orders_figure(detail, "talker", sheet)) == []
    # Nothing is asked again once both files are complete.
    asked = len(model.seen)
    assert force_orders(settings(), measurement(tmp_path, source)) == detail
    assert (source.loads, len(model.seen)) == (1, asked)


def test_it_resumes_after_the_last_whole_batch(tmp_path: Path) -> None:
    law: Law = lambda words, size: 0.3  # noqa: E731
    wanted = force_orders(settings(), measurement(tmp_path, Source(Talker(law))))
    whole = (tmp_path / "orders.jsonl").read_bytes()
    lines = whole.splitlines(keepends=True)
    (tmp_path / "orders.jsonl").write_bytes(b"".join(lines[:70]) + lines[70][:33])
    (tmp_path / "orders.json").unlink()
    model = Talker(law)
    assert force_orders(settings(), measurement(tmp_path, Source(model))) == wanted
    assert (tmp_path / "orders.jsonl").read_bytes() == whole
    assert len(model.seen) == len(lines) - 64


def test_a_turn_that_failed_is_unscored_with_its_reason(tmp_path: Path) -> None:
    class Failing(Talker):
        def _go_on(self, request: Request, text: str) -> str:
            if (request.sample_id, request.generation) == ("s5", 2):
                return "Something else altogether."
            return super()._go_on(request, text)

    model = Failing(lambda words, size: 0.2)
    detail = force_orders(settings(), measurement(tmp_path, Source(model)))
    assert (detail.found.images, detail.found.incomplete) == (IMAGES - 2, 1)
    unscored = [line for line in read_lines(tmp_path / "orders.jsonl") if line["unscored"]]
    assert [(line["sample_id"], line["unscored"]) for line in unscored] == [
        ("s5", "the turn does not begin as it was begun")
    ]


class Overloaded(Talker):
    """A talker that fails transiently at some of the turns."""

    def __init__(self, law: Law, failing: set[tuple[str, int]]) -> None:
        super().__init__(law)
        self.failing = failing

    def continue_replies(
        self, requests: Sequence[Request], given: Sequence[Sequence[int]]
    ) -> Iterable[Response]:
        for answer in super().continue_replies(requests, given):
            if (answer.sample_id, answer.generation) in self.failing:
                changes = {
                    "response": None,
                    "finish_reason": "error",
                    "error": "no memory",
                    "transient": True,
                }
                yield answer.model_copy(update=changes)
            else:
                yield answer


def test_a_transient_failure_is_asked_again_by_the_next_session(tmp_path: Path) -> None:
    law: Law = lambda words, size: 0.3  # noqa: E731

    def run(path: Path, model: Talker) -> Any:
        path.mkdir(exist_ok=True)
        return force_orders(settings(), measurement(path, Source(model)))

    wanted = run(tmp_path / "whole", Talker(law))
    failing = {("s5", 2), ("s6", 0), ("s7", 2)}
    path = tmp_path / "out"
    detail = run(path, Overloaded(law, failing))
    assert detail.found.incomplete == 3
    lost = [line for line in read_lines(path / "orders.jsonl") if "transient" in line]
    assert {(line["sample_id"], line["generation"]) for line in lost} == failing
    assert {(line["unscored"], line["transient"]) for line in lost} == {("no memory", True)}

    # The next session asks for these turns only. A turn that fails again stays as it is.
    model = Overloaded(law, {("s5", 2)})
    before = read_lines(path / "orders.jsonl")
    assert run(path, model).found.incomplete == 1
    assert {(request.sample_id, request.generation) for request in model.seen} == failing
    after = read_lines(path / "orders.jsonl")
    changed = [(a["sample_id"], a["generation"]) for a, b in zip(before, after, strict=True) if a != b]
    assert sorted(changed) == [("s6", 0), ("s7", 2)]

    assert run(path, Talker(law)) == wanted
    for name in ("orders.jsonl", "orders.json"):
        assert (path / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_model_that_cannot_continue_gets_a_reason(tmp_path: Path, scores: Any) -> None:
    detail = force_orders(settings(), measurement(tmp_path, Source(Words())))
    assert detail.found.reason == "the model cannot continue a given text"
    assert not (tmp_path / "orders.jsonl").exists()
    steered = settings(decoding=Decoding(contrast=make_contrast("m3id", {})))
    other = tmp_path / "other"
    other.mkdir()
    refused = force_orders(steered, measurement(other, Source(Talker(lambda words, size: 0))))
    assert refused.found.reason is not None
    assert refused.found.reason.startswith("not with --decoding m3id")
    found = with_orders(scores, refused.found).metrics["forgetting"]["order_lateness"]
    assert (found.value, found.ci, found.n, found.reason) == (None, None, 0, refused.found.reason)


@pytest.fixture
def scores() -> Any:
    from eidolon.scorers.metrics.scoring import score

    return score([], [], signature="s")
