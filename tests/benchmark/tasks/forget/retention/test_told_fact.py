"""A model that keeps what it is told and forgets its picture: the control of the told fact works in a real run."""

import json
from pathlib import Path

from tests.benchmark.conftest import Cli, write_lines
from tests.benchmark.tasks.forget.constructed import picture, rows

IMAGES = 30
MODEL = '''
import numpy as np

from eidolon.models.base.model import Odds
from tests.benchmark.tasks.forget.constructed import THINGS, Fader


class Teller(Fader):
    """Answers about a fact by the text of its prompt, and about the picture by what is left of it."""

    def __init__(self):
        super().__init__(0.9)

    def describe(self):
        return {"backend": "test"}

    def generate(self, requests):
        return [self._go_on(one, "", 0, 5) for one in requests]

    def interview(self, interviews):
        return [[self._odds(one, question) for question in one.questions] for one in interviews]

    def _odds(self, interview, question):
        asked = question.removeprefix("Is ").removesuffix("?").rsplit(" ", 1)
        about = [k for k, name in enumerate(THINGS) if f" {name} " in question]
        if asked[0] in ("the code word", "the painter", "the day"):
            margin = 4.0 if f"{asked[0]} is {asked[1]}." in interview.request.prompt else -4.0
        elif about:
            between = 0 if interview.before_image else len(interview.given)
            held = self.see(interview.request.image) * self.keeps**between
            margin = float(held[about[0]]) - 2.5
        else:
            margin = -1.0
        return Odds(margin - np.logaddexp(0, margin), -np.logaddexp(0, margin))
'''


def test_a_told_fact_is_kept_where_the_picture_is_forgotten(cli: Cli, tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    lines = []
    for row in rows(IMAGES):
        picture(int(row.image_id)).save(pictures / f"{row.image_id}.png")
        lines.append(
            {
                "sample_id": row.sample_id,
                "image_id": row.image_id,
                "image": f"{row.image_id}.png",
                "objects": row.objects,
            }
        )
    write_lines(pictures / "objects.jsonl", lines)
    (tmp_path / "model.py").write_text(MODEL)
    result = cli(
        "run", "--task", "forget", "--model", f"python/{tmp_path}/model.py:Teller", "--dataset", f"folder/{pictures}",
        "--lengths", "2,30", "--skip", "knowledge,cloze,interventions,attention", "--resamples", "100", "--no-cache",
        "--out", tmp_path / "out",
    )  # fmt: skip
    assert result.code == 0, result.err
    (file,) = (tmp_path / "out").rglob("retention.json")
    detail = json.loads(file.read_text())
    at = {(one["series"], one["n"]): one for one in detail["points"] if one["condition"] == "filler"}
    for n in (2, 30):
        told = at["text", n]
        assert told["accuracy"]["value"] == told["accuracy_at_0"]["value"] == 1
        assert told["retention"]["value"] == 1
    assert at["unnamed", 2]["accuracy"]["value"] > 0.8
    assert at["unnamed", 30]["accuracy"]["value"] < 0.6
    findings = {one["n"]: one for one in detail["findings"] if one["condition"] == "filler"}
    assert findings[30]["verdict"] == "forgot the image"
    assert findings[30]["image_minus_text"]["ci"][1] < 0
