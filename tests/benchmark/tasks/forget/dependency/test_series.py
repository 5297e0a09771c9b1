"""From responses to a table of visual prompt dependency."""

import json
from collections.abc import Collection, Sequence
from itertools import zip_longest
from typing import Any

import pytest
from jsonschema import validate

from eidolon.benchmark import json_schemas
from eidolon.benchmark.drawing.style import COLUMN, SCREEN, style
from eidolon.benchmark.scenes.scene import Dials, make_scene, render
from eidolon.benchmark.tasks.forget.dependency.plot import dependence_figure, draw_pdm, pdm_panels
from eidolon.benchmark.tasks.forget.dependency.series import (
    ReadingSettings,
    TextToRead,
    from_tokens,
    measure_pdm,
    spell,
)
from eidolon.models.backends.transformers import TransformersModel
from eidolon.models.base.model import Decoding, Request
from eidolon.models.base.shipped import shipped_models
from eidolon.models.generation.image_ablation import FORMS, Form
from eidolon.models.generation.token_log import token_log
from eidolon.models.probing.dependency import read_dependency
from eidolon.models.probing.teacher_forcing import leading_space
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.forgetting.dependency import PdmTable
from tests.benchmark.drawing_boxes import faults

SCENES = [make_scene(79, i, Dials()) for i in range(4)]
OBJECTS = [scene.objects for scene in SCENES]


@pytest.fixture(scope="module")
def model() -> TransformersModel:
    return TransformersModel(str(shipped_models()["scenes-small"]))


@pytest.fixture(scope="module")
def requests() -> list[Request]:
    decoding = Decoding(max_new_tokens=48)
    return [
        Request(str(i), i, render(scene), "Describe this image in detail.", decoding=decoding)
        for i, scene in enumerate(SCENES)
    ]


@pytest.fixture(scope="module")
def written(model: TransformersModel, requests: list[Request]) -> tuple[list[str], list[tuple[int, ...]]]:
    with token_log() as tokens:
        responses = {r.sample_id: r.response or "" for r in model.generate(requests)}
    return [responses[r.sample_id] for r in requests], [tokens[r.sample_id, 0] for r in requests]


def measure(
    model: Any,
    requests: list[Request],
    texts: Sequence[str | None],
    *,
    tokens: Sequence[Sequence[int] | None] = (),
    objects: Sequence[Collection[str] | None] = (),
    form: Form = "shuffled",
    **more: int,
) -> PdmTable:
    known = zip_longest(requests, texts, tokens, objects)
    return measure_pdm(model, [TextToRead(*given) for given in known], ReadingSettings(form=form), **more)


def test_a_response_is_spelled_as_it_was_generated(
    model: TransformersModel, requests: Any, written: Any
) -> None:
    lead = leading_space(model, requests[0])
    for text, tokens in zip(*written, strict=True):
        spelled = spell(model, text, lead)
        assert spelled.tokens == tokens
        assert spelled == from_tokens(model, tokens)
        assert (spelled.text, spelled.ends[-1]) == (text, len(text))


def test_the_table_is_computed_from_the_readings(
    model: TransformersModel, requests: Any, written: Any
) -> None:
    texts, tokens = written
    table = measure(model, requests, texts, objects=OBJECTS, survival=20, resamples=20)
    readings = read_dependency(model, requests, tokens, form="shuffled", beside="neutral")
    everything = [h for reading in readings for h in reading.hellinger]
    means = {mean.label: mean for mean in table.means}
    assert means["all"].value == pytest.approx(sum(everything) / len(everything), abs=1e-6)
    assert table.tokens == means["all"].tokens == len(everything) == sum(table.kinds.values())
    # The lexicon reads object names where they begin, once each.
    named = means["object, grounded"].tokens + means["object, hallucinated"].tokens
    assert 0 < table.kinds["object"] == means["object"].tokens == named
    assert (table.without, table.beside) == ("shuffled", "neutral")
    beside = [h for reading in readings for h in reading.beside]
    assert table.means_beside[0].value == pytest.approx(sum(beside) / len(beside), abs=1e-6)
    assert table.settings["judge"] == "lexicon(reading=careful-2,vocabulary=coco80)"
    assert table.fade.rate is not None
    again = measure(model, requests, texts, tokens=tokens, objects=OBJECTS, survival=20, resamples=20)
    assert again == table
    validate(json.loads(table.to_json()), json_schemas.read("pdm"))
    assert PdmTable.model_validate(json.loads(table.to_json())) == table


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_recorded(model: TransformersModel, requests: Any, written: Any, form: Form) -> None:
    table = measure(model, requests, written[0], form=form, resamples=0)
    assert table.without == form
    assert table.fade.rate is not None
    assert table.settings["fade"] == "two-forms-2"
    assert 0.01 < (table.means[0].value or 0) < 0.9


def test_responses_without_text_are_left_out(model: TransformersModel, requests: Any, written: Any) -> None:
    texts = [written[0][0], None, "  ", ""]
    table = measure(model, requests, texts, form="zeroed", resamples=0)
    assert (table.responses, table.settings["left_out"]) == (1, 3)
    assert table.tokens == len(written[1][0])
    nothing = measure(model, requests, [None] * 4)
    assert (nothing.responses, nothing.fade.rate) == (0, None)


def test_special_tokens_in_a_text_are_text(model: TransformersModel, requests: Any) -> None:
    spelled = spell(model, "a <image> and <end_of_utterance> here")
    assert spelled.text == "a <image> and <end_of_utterance> here"
    assert not {model.model.config.image_token_id, *model.end_ids} & {*spelled.tokens}
    assert measure(model, requests[:1], [spelled.text], form="zeroed", resamples=0).tokens == len(
        spelled.tokens
    )


def test_a_model_without_probabilities_is_refused(requests: Any) -> None:
    class Closed:
        name = "closed"

    with pytest.raises(UserError, match="model 'closed': does not give the probabilities"):
        measure(Closed(), requests, ["a cup"] * 4)  # type: ignore[arg-type]


def test_the_plot_is_the_same_bytes_again(model: TransformersModel, requests: Any, written: Any) -> None:
    table = measure(model, requests, written[0], objects=OBJECTS, survival=20, resamples=50)
    png = draw_pdm(table, "scenes $x_1$ \x1b[31m")
    assert png.startswith(b"\x89PNG")
    assert png == draw_pdm(table, "scenes $x_1$ \x1b[31m")
    assert draw_pdm(measure(model, requests, [None] * 4), "nothing").startswith(b"\x89PNG")
    for sheet, draw in ((SCREEN, pdm_panels), (COLUMN, dependence_figure)):
        with style(sheet):
            assert faults(draw(table, "scenes $x_1$", sheet)) == []


def test_a_text_that_the_tokenizer_cannot_write_does_not_affect_others(
    model: TransformersModel, requests: Any, written: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode = model.tokenizer.encode
    monkeypatch.setattr(model.tokenizer, "encode", lambda text, **kw: encode(text.replace("ß", ""), **kw))
    with pytest.raises(UserError, match="its probabilities are unknown"):
        spell(model, "a ß")
    table = measure(model, requests[:2], ["a ß", written[0][1]], form="zeroed", resamples=0)
    assert (table.responses, table.settings["left_out"]) == (1, 1)
