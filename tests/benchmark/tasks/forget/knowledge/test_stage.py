"""The probe of knowledge: its questions, its files, and what `eidolon` makes of them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jsonschema
from PIL import Image

from eidolon.benchmark.drawing.style import COLUMN, SCREEN, style
from eidolon.benchmark.json_schemas import schemas as own_schemas
from eidolon.benchmark.store.folder import RunFolder
from eidolon.benchmark.store.record import SampleRow
from eidolon.benchmark.tasks.forget.knowledge.design import make_candidates, most_questions, questions_about
from eidolon.benchmark.tasks.forget.knowledge.plot import draw_knowledge, knowledge_figure
from eidolon.benchmark.tasks.forget.knowledge.stage import KnowledgeSettings, probe_knowledge
from eidolon.benchmark.tasks.forget.measurement import Measurement
from eidolon.models.base.model import Failure, Interview, Odds
from eidolon.scorers.forgetting.knowledge_simulation import KnowledgeWorld, simulate_knowledge
from eidolon.scorers.json_schemas import schemas
from tests.benchmark.conftest import Cli, read_lines, write_lines
from tests.benchmark.drawing_boxes import faults
from tests.benchmark.tasks.forget.retention.test_design import Words

THINGS = ("bed", "bus", "car", "cat", "cup", "dog", "skis", "oven")
ROWS = [SampleRow(sample_id=f"s{i}", image_id=i, objects=THINGS[i % 5 : i % 5 + 2]) for i in range(10)] + [
    SampleRow(sample_id="empty", image_id=99, objects=())
]


class Knower(Words):
    """A model that is sure of what is in a picture, and fails at some."""

    def __init__(self, failing: dict[str, Failure] | None = None) -> None:
        super().__init__()
        self.failing, self.seen = failing or {}, []

    def interview(self, interviews: Sequence[Interview]) -> Any:
        self.seen += interviews
        truth = {row.sample_id: row.objects for row in ROWS}
        return [
            self.failing.get(one.request.sample_id)
            or [
                Odds(-0.1, -3)
                if any(name[:-1] in q for name in truth[one.request.sample_id])
                else Odds(-3, -0.1)
                for q in one.questions
            ]
            for one in interviews
        ]


class Source:
    def __init__(self, model: Any) -> None:
        self.model = model

    def scoring_model(self) -> Any:
        return self.model

    def picture(self, sample_id: str) -> Image.Image:
        if sample_id == "s3":
            raise OSError("a broken file")
        return Image.new("RGB", (4, 4))


def probe(path: Path, model: Any) -> Any:
    path.mkdir(exist_ok=True)
    folder = RunFolder(path, None)  # type: ignore[arg-type]
    return probe_knowledge(
        KnowledgeSettings(batch_size=4, seed=1),
        Measurement(folder, "knower", ROWS, [], [], "line", Source(model)),
    )


def test_every_true_object_is_asked_about_in_four_wordings() -> None:
    assert questions_about("oven") == (
        "Is there an oven in the image?",
        "Are there any ovens in the image?",
        "Can you see an oven in this picture?",
        "Do you see any ovens?",
    )
    assert questions_about("skis")[:2] == ("Are there skis in the image?", "Are there any skis in the image?")
    candidates = make_candidates(ROWS, 0)
    assert [*candidates] == [f"s{i}" for i in range(10)]
    for row in ROWS[:-1]:
        one = candidates[row.sample_id]
        assert {name for name, truth in one.objects if truth} == set(row.objects)
        assert {name for name, truth in one.objects if not truth} <= {*THINGS} - {*row.objects}
        assert len(one.questions()) == 4 * len(one.objects)
    assert most_questions(ROWS) == sum(len(one.questions()) for one in candidates.values())


def test_files_resume_and_failures_have_a_reason(tmp_path: Path) -> None:
    wanted = probe(tmp_path / "whole", Knower())
    assert wanted.found.verdict == "not measured"
    assert wanted.failed == 1
    lines = read_lines(tmp_path / "whole/knowledge.jsonl")
    assert [line["sample_id"] for line in lines if "error" in line] == ["s3"]
    for line in lines:
        jsonschema.validate(line, schemas()["probed"])
    jsonschema.validate(
        json.loads((tmp_path / "whole/knowledge.json").read_text()), own_schemas()["knowledge"]
    )
    failing = Knower({"s5": Failure("no memory", transient=True), "s6": Failure("too long")})
    assert probe(tmp_path / "out", failing).failed == 3
    model = Knower()
    assert probe(tmp_path / "out", model).failed == 2  # only the transient failure is asked again
    assert [one.request.sample_id for one in model.seen] == ["s5"]
    for one in failing.seen:
        assert (one.request.prompt, one.given) == ("", ())
    model = Knower()
    content = (tmp_path / "whole/knowledge.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "whole/knowledge.jsonl").write_bytes(b"".join(content[:5]))
    assert probe(tmp_path / "whole", model) == wanted
    assert len(model.seen) == 6
    assert probe(tmp_path / "whole", None) == wanted


def test_the_plot_fits_its_frame(tmp_path: Path) -> None:
    from eidolon.scorers.forgetting.knowledge import measure_knowledge

    detail = probe(tmp_path / "out", Knower())
    found = measure_knowledge(*simulate_knowledge(KnowledgeWorld(), 60, seed=1))
    detail = detail.model_copy(update={"found": found})
    assert draw_knowledge(detail, "knower").startswith(b"\x89PNG")
    for sheet in (SCREEN, COLUMN):
        with style(sheet):
            assert faults(knowledge_figure(detail, "knower", sheet)) == []


FORGET = [
    "run", "--task", "forget", "--model", "scenes-small", "--limit", 4, "--lengths", "8", "--batch-size", 4,
    "--resamples", 20, "--max-new-tokens", 40, "--no-cache",
]  # fmt: skip


def test_a_run_asks_and_a_check_computes_it_again(cli: Cli, tmp_path: Path) -> None:
    dry = cli(*FORGET, "--out", tmp_path, "--dry-run")
    assert "questions before the description" in " ".join(dry.out.split())
    result = cli(*FORGET, "--out", tmp_path)
    assert result.code == 0
    assert "scenes-small: position given knowledge was not measured" in " ".join(result.out.split())
    run = tmp_path / "scenes-small"
    forgetting = json.loads((run / "scores.json").read_text())["metrics"]["forgetting"]
    assert "it takes 20 of either kind" in forgetting["position_given_knowledge"]["reason"]
    lines = read_lines(run / "knowledge.jsonl")
    assert len(lines) == 4
    said = [one for line in lines for one in line["objects"]]
    assert sum(sum(one["log_odds"]) > 0 for one in said if one["truth"]) > 6
    for name in ("cloze", "interventions", "attention"):
        detail = json.loads((run / f"{name}.json").read_text())
        jsonschema.validate(detail, own_schemas()[name])
    assert len(read_lines(run / "attention.jsonl")) == 4
    for line in read_lines(run / "attention.jsonl"):
        jsonschema.validate(line, schemas()["attended"])
        assert all(0 < mass < 1 for mass in line["mass"])
    for line in read_lines(run / "cloze.jsonl"):
        jsonschema.validate(line, schemas()["completed"])
    for line in read_lines(run / "interventions.jsonl"):
        jsonschema.validate(line, schemas()["changed"])
        assert line["unscored"] is None
    assert "4 images with names to score" in forgetting["cloze_change_per_100_tokens"]["reason"]
    checked = cli("check", run)
    assert checked.code == 0, checked.out
    lines[2]["objects"] = lines[2]["objects"][:-1]
    write_lines(run / "knowledge.jsonl", lines)
    assert "knowledge.jsonl:3: other objects were to be asked about" in " ".join(
        cli("check", run).out.split()
    )


def test_it_can_be_left_out(cli: Cli, tmp_path: Path) -> None:
    result = cli(*FORGET, "--skip", "knowledge,cloze,interventions,attention", "--out", tmp_path)
    assert result.code == 0, result.out
    run = tmp_path / "scenes-small"
    for name in ("knowledge", "cloze", "interventions", "attention"):
        assert not list(run.glob(f"{name}*"))
    assert "position_given_knowledge" not in (run / "scores.json").read_text()
    assert cli("check", run).code == 0
