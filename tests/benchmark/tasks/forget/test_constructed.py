"""A model that is made to forget is called forgetting; one that names easy things first and forgets nothing is not."""

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from eidolon.benchmark.drawing.style import COLUMN, SCREEN, style
from eidolon.benchmark.store.folder import RunFolder
from eidolon.benchmark.tasks.forget.cloze.plot import cloze_figure, draw_cloze
from eidolon.benchmark.tasks.forget.cloze.stage import ClozeSettings, score_cloze
from eidolon.benchmark.tasks.forget.interventions.plot import draw_interventions, interventions_figure
from eidolon.benchmark.tasks.forget.interventions.stage import InterventionSettings, intervene
from eidolon.benchmark.tasks.forget.knowledge.stage import KnowledgeSettings, probe_knowledge
from eidolon.benchmark.tasks.forget.measurement import Measurement
from eidolon.models.base.model import Decoding, Request, request_seed
from eidolon.scorers.core.metric import JudgedSample
from eidolon.scorers.core.types import Response
from eidolon.scorers.core.verdict import with_verdicts
from eidolon.scorers.judges.judged_text import judge_texts
from eidolon.scorers.judges.lexicon import LexiconJudge
from tests.benchmark.drawing_boxes import faults
from tests.benchmark.tasks.forget.constructed import THINGS, Fader, picture, rows

IMAGES = 110


class Source:
    def __init__(self, model: Any) -> None:
        self.model = model

    def scoring_model(self) -> Any:
        return self.model

    def picture(self, sample_id: str) -> Image.Image:
        return picture(int(sample_id[1:]))


def measurement(path: Path, model: Fader) -> Measurement:
    samples = rows(IMAGES)
    responses = []
    for row in samples:
        decoding = Decoding(temperature=1.0, seed=request_seed(0, row.sample_id, 0))
        request = Request(row.sample_id, row.image_id, picture(int(row.sample_id[1:])), "", decoding=decoding)
        responses.append(
            Response(sample_id=row.sample_id, image_id=row.image_id, response=model.describe(request))
        )
    judgements = judge_texts(LexiconJudge(), responses)
    judged = [
        JudgedSample(response, with_verdicts(judgement, row.objects), frozenset(row.objects))
        for row, response, judgement in zip(samples, responses, judgements, strict=True)
    ]
    folder = RunFolder(path, None)  # type: ignore[arg-type]
    return Measurement(folder, "fader", samples, responses, judged, "line", Source(model))


def named(text: str) -> frozenset[str]:
    return frozenset(text.replace(".", "").split()) & frozenset(THINGS)


@pytest.mark.parametrize("forgets", [True, False])
def test_only_the_model_that_forgets_is_called_so(tmp_path: Path, forgets: bool) -> None:
    made = measurement(tmp_path, Fader(0.99 if forgets else 1.0))
    known = probe_knowledge(KnowledgeSettings(batch_size=50, seed=0, judge=LexiconJudge()), made).found
    assert known.plain.ci is not None
    assert known.plain.ci[0] > 1  # both rise: the easy things come first
    assert known.verdict == ("rises" if forgets else "no change shown")
    settings = ClozeSettings("Describe this image.", (16, 48), 50, 0, 300)
    cloze = score_cloze(settings, made, lambda: named)
    assert cloze.found.verdict == ("falls" if forgets else "no change shown")
    at = {point.n: point.kept.value for point in cloze.found.points}
    for point in cloze.found.points:
        assert at[point.n] == pytest.approx(0.99**point.tokens if forgets else 1, abs=0.02)
    interventions = InterventionSettings(
        "Describe this image.", Decoding(temperature=1.0), LexiconJudge(), 200, 300
    )
    changed = intervene(interventions, made)
    assert changed.found.unscored == 0
    assert changed.found.verdict == ("a second look helps more later" if forgets else "no change shown")
    reminder = changed.found.effect("reminder", 64)
    assert reminder is not None
    assert reminder.rate.value is not None
    if not forgets:
        assert reminder.rate.value == 0  # the same stream of random numbers, and nothing to restore
        assert reminder.rate.ci is not None
        assert reminder.rate.ci[0] < 0 < reminder.rate.ci[1]
    for name in ("picture", "blank"):
        effect = changed.found.effect(name, 16)  # type: ignore[arg-type]
        assert effect is not None
        assert effect.recall.ci is not None
        assert effect.recall.ci[0] > 0.1
    for sheet in (SCREEN, COLUMN):
        with style(sheet):
            assert faults(cloze_figure(cloze, "fader", sheet)) == []
            assert faults(interventions_figure(changed, "fader", sheet)) == []
    assert draw_cloze(cloze, "fader").startswith(b"\x89PNG")
    assert draw_interventions(changed, "fader").startswith(b"\x89PNG")
    # Nothing is asked again once the files are complete.
    silent = Measurement(made.folder, "fader", made.rows, made.responses, made.judged, "line", Source(None))
    assert score_cloze(settings, silent, lambda: named) == cloze
    assert intervene(interventions, silent) == changed
