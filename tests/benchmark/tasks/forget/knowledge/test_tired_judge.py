"""`eidolon run --task forget` with a judge whose false alarms grow along a response, on a model that forgets nothing.

The judge is a plug-in with a known rate. The run measures that rate by moving sentences, and its fit holds it.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from eidolon.benchmark.store.loaded import load_run
from eidolon.benchmark.tasks.forget.knowledge.stage import detail_of
from eidolon.scorers.core import registry
from eidolon.scorers.core.metric import JudgedSample
from eidolon.scorers.forgetting.knowledge import KnowledgeSummary
from eidolon.scorers.forgetting.knowledge_records import ProbedImage
from tests.benchmark.conftest import Cli, read_lines, write_lines
from tests.benchmark.tasks.forget.constructed import picture, rows

IMAGES = 110
PER_100_WORDS = 0.4
JUDGE = f'''
from random import Random

from eidolon.scorers.judges.lexicon import LexiconJudge


class Tired(LexiconJudge):
    """Reads what is there, and beside it something that is not, ever more often in late words."""

    name = "tired"

    def _mentions(self, response, text):
        found = []
        for one in super()._mentions(response, text):
            found.append(one)
            dice = Random(f"{{one.category}} {{text[: one.start]}}")
            if dice.random() < {PER_100_WORDS} * one.word / 100:
                found.append(one.model_copy(update={{"category": dice.choice(self.vocabulary)}}))
        return tuple(found)
'''
MODEL = '''
import re

import numpy as np

from eidolon.models.base.model import Odds
from tests.benchmark.tasks.forget.constructed import ABOUT, SURE, THINGS, TRUE, Fader, strengths


class Keeper(Fader):
    """Forgets nothing. It is about as sure of all that is there, and what it names first stands at the third word."""

    def __init__(self):
        super().__init__(1.0)

    def see(self, image):
        seen = 0.4 * strengths(image)
        red, green, _ = image.getpixel((0, 0))
        seen[np.random.default_rng(256 * red + green).permutation(len(THINGS))[:TRUE]] += 4 - 0.4 * SURE
        return seen

    def describe(self):
        return {"backend": "test"}

    def generate(self, requests):
        there_is = r"There is \\1, quite close to the middle, where all is calm and plain and wide."
        texts = [self._go_on(one, "", 0, 5) for one in requests]
        return [re.sub(r"Quite close to the middle there is (an? \\w+)\\.", there_is, text) for text in texts]

    def interview(self, interviews):
        return [[self._odds(self.see(one.request.image), q) for q in one.questions] for one in interviews]

    def _odds(self, seen, question):
        about = [ABOUT[question]] if question in ABOUT else [k for k, n in enumerate(THINGS) if n[:-2] in question]
        margin = seen[about[0]] if about else 0.0
        return Odds(margin - np.logaddexp(0, margin), -np.logaddexp(0, margin))
'''


@pytest.fixture
def tired(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The judge `tired` is installed."""
    info = tmp_path / "site" / "tired-1.0.dist-info"
    info.mkdir(parents=True)
    (info.parent / "tired_judge.py").write_text(JUDGE)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tired\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[eidolon.judges]\ntired = tired_judge:Tired\n")
    monkeypatch.syspath_prepend(info.parent)
    vars(registry.judges).pop("_plugins", None)
    yield
    vars(registry.judges).pop("_plugins", None)
    sys.modules.pop("tired_judge", None)


@pytest.mark.usefixtures("tired")
def test_a_run_measures_its_judge_and_the_fit_holds_it(cli: Cli, tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    truth = rows(IMAGES)
    for i in range(IMAGES):
        picture(i).save(pictures / f"{i}.png")
    write_lines(
        pictures / "objects.jsonl",
        [
            {
                "sample_id": row.sample_id,
                "image_id": row.image_id,
                "image": f"{row.image_id}.png",
                "objects": row.objects,
            }
            for row in truth
        ],
    )
    (tmp_path / "model.py").write_text(MODEL)
    result = cli(
        "run", "--task", "forget", "--model", f"python/{tmp_path}/model.py:Keeper", "--dataset", f"folder/{pictures}",
        "--judge", "tired", "--temperature", "1", "--lengths", "16", "--skip", "cloze,interventions,attention",
        "--resamples", "20", "--no-cache", "--out", tmp_path / "out",
    )  # fmt: skip
    assert result.code == 0, result.err
    (run,) = (path.parent for path in (tmp_path / "out").rglob("knowledge.json"))
    detail = json.loads((run / "knowledge.json").read_text())
    held = detail["found"]
    assert held["false_alarms_per_100_words"] == pytest.approx(
        PER_100_WORDS, abs=3 * held["false_alarms_standard_error"]
    )
    ignored = ignoring_the_judge(run)
    assert ignored.verdict == "judge not held"
    assert ignored.position_given_knowledge.ci is not None
    assert ignored.position_given_knowledge.ci[0] > 1, "the judge alone makes it so"
    assert held["false_alarms_in_place"] < 0.2, "it reads them beside what is there"
    assert held["verdict"] == "no change shown"
    assert (
        0.05
        < held["position_given_knowledge"]["value"]
        < 0.65 * (ignored.position_given_knowledge.value or 0)
    )
    assert held["knowledge"]["ci"][0] > 0.7
    scores = json.loads((run / "scores.json").read_text())["metrics"]["forgetting"]
    assert scores["position_given_knowledge"] == held["position_given_knowledge"]
    assert "no effect of position is shown" in " ".join(result.out.split())


def ignoring_the_judge(run: Path) -> KnowledgeSummary:
    """Return the same fit with the judge not tested."""
    truth = {row.sample_id: frozenset(row.objects) for row in rows(IMAGES)}
    first = {
        response.sample_id: JudgedSample(response, judgement, truth[response.sample_id])
        for response, judgement in load_run(run).judged()
    }
    lines = [ProbedImage.model_validate(line) for line in read_lines(run / "knowledge.jsonl")]
    return detail_of(lines, first, "", seed=0, place=None).found
