"""From judged samples to `scores.json`: values, reasons, bytes, schemas, and the documented example."""

import json
import re
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from pydantic import ValidationError

from eidolon.scorers import json_schemas
from eidolon.scorers.core.estimate import Estimate
from eidolon.scorers.core.metric import FloatArray, JudgedSample, Quantity, ratio
from eidolon.scorers.core.scores import Scores, Variant
from eidolon.scorers.core.signature import Signature
from eidolon.scorers.core.types import Judgement, Mention, Response
from eidolon.scorers.core.verdict import with_verdicts
from eidolon.scorers.metrics.chair import Chair
from eidolon.scorers.metrics.objects import Objects
from eidolon.scorers.metrics.scoring import score, score_family
from eidolon.scorers.text.response_kinds import count_kinds

VOCABULARY = ("car", "cat", "cup", "dog")
METRICS_PAGE = Path(__file__).parents[3] / "docs" / "reference" / "metrics" / "objects.md"


def sample(image, text, named, objects, *, generation=0, finish_reason="stop"):
    judgement = Judgement(
        sample_id=str(image),
        image_id=image,
        generation=generation,
        mentions=tuple(Mention(category=c, text=c, start=0, end=len(c), word=0) for c in named),
    )
    response = Response(
        sample_id=str(image),
        image_id=image,
        response=text,
        generation=generation,
        finish_reason=finish_reason,
    )
    return JudgedSample(response, with_verdicts(judgement, objects), frozenset(objects))


EXAMPLE = [
    sample(1, "A dog and a cat. The cat sleeps.", ["dog", "cat", "cat"], ["dog", "car"]),
    sample(2, "Two cups.", ["cup"], ["cup"]),
    sample(3, "Nice!", [], ["dog"], finish_reason="length"),
]


def scored(samples=EXAMPLE, **settings):
    given = {
        "signature": Signature(n=len(samples)).line(),
        "vocabulary": VOCABULARY,
        "resamples": 200,
        **settings,
    }
    return score(samples, [Chair(), Objects()], **given)


def test_the_documented_example():
    scores = scored()
    rows = re.findall(
        r"^\| `(\w+)\.(\w+)` \| ([-+/*(). 0-9]+) \| ([0-9.]+) \|$", METRICS_PAGE.read_text(), re.M
    )
    assert len(rows) == 8
    for family, name, arithmetic, value in rows:
        assert scores.metrics[family][name].value == pytest.approx(eval(arithmetic), rel=1e-15)
        assert round(scores.metrics[family][name].value, 4) == float(value)
    for text, words in re.findall(r'^\| "(.+?)" \| (\d+) \|', METRICS_PAGE.read_text(), re.M):
        assert len(text.split()) == int(words)
        assert text in [s.response.response for s in EXAMPLE]


def test_counts_are_the_integers_behind_the_ratios():
    scores = scored()
    assert scores.counts == {
        "chair": {
            "responses": 3,
            "words": 11,
            "mentions": 4,
            "hallucinated_mentions": 2,
            "hallucinated_responses": 1,
            "recalled_objects": 2,
            "true_objects": 4,
            "responses_without_mentions": 1,
            "responses_without_objects": 0,
        },
        "objects": {"tp": 2, "fp": 1, "fn": 2},
    }
    assert scores.responses.model_dump() == {"empty": 0, "refusals": 0, "non_english": 0, "truncated": 1}
    per_category = scores.metrics["objects"].per_category
    assert {c: tuple(s.counts.values()) for c, s in per_category.items()} == {
        "car": (0, 0, 1),
        "cat": (0, 1, 0),
        "cup": (1, 0, 0),
        "dog": (1, 0, 1),
    }
    assert per_category["dog"]["f05"].value == 1.25 / (1.25 + 0.25)
    assert per_category["car"]["precision"].reason == "undefined: nothing is named"


def test_the_file_is_plain_json_in_a_fixed_order():
    document = json.loads(scored(unscored=2, requested=7).to_json())
    assert list(document) == [
        "schema", "signature", "n", "metrics", "counts", "responses", "intervals", "variants",
    ]  # fmt: skip
    assert document["n"] == {"requested": 7, "samples": 5, "scored": 3, "unscored": 2}
    assert list(document["metrics"]["objects"]) == ["precision", "recall", "f1", "f05", "per_category"]
    assert list(document["metrics"]["chair"]["words"]) == ["value", "ci", "n", "higher_is_better"]
    low, high = document["metrics"]["chair"]["words"]["ci"]
    assert low < 11 / 3 < high
    assert document["intervals"]["method"] == "percentile bootstrap over images, B=200, seed=0"


def test_bytes_survive_reading_shuffling_and_renewed_scoring():
    samples = [
        sample(i, "w " * (i % 5), ["dog"] * (i % 3) + ["cat"] * (i % 2), ["dog", "cup"]) for i in range(40)
    ]
    text = scored(samples).to_json()
    assert Scores.from_json(text).to_json() == text
    assert scored(samples[::-1]).to_json() == text
    assert scored(samples, seed=1).to_json() != text


def test_undefined_is_null_with_a_reason():
    silent = scored([sample(i, "Nice!", [], ["dog"]) for i in range(3)])
    assert silent.metrics["chair"]["chair_i"] == Estimate(
        value=None,
        ci=None,
        n=3,
        higher_is_better=False,
        reason="undefined: no response names an object",
    )
    assert silent.metrics["objects"]["f05"].value == 0
    for family in scored([]).metrics.values():
        dump = family.model_dump(exclude={"per_category"})
        assert {(v["value"], v["ci"], v["reason"]) for v in dump.values()} == {
            (None, None, "no scored responses")
        }


@pytest.mark.parametrize(
    ("samples", "resamples", "reason"),
    [
        (EXAMPLE[:1], 200, "no interval: it takes at least two images"),
        (EXAMPLE, 0, "no interval: no resamples were asked for"),
        (EXAMPLE[1:], 200, "more than 5%"),
    ],
)
def test_a_missing_interval_has_a_reason(samples, resamples, reason):
    value = scored(samples, resamples=resamples).metrics["chair"]["chair_i"]
    assert value.value is not None
    assert value.ci is None
    assert reason in value.reason


def test_generations_of_an_image_are_one_cluster():
    twice = [sample(1, "dog", ["dog"], ["dog"], generation=g) for g in range(2)]
    assert scored(twice).intervals.clusters == 1
    with pytest.raises(ValueError, match=r"response \('1', 0\) occurs twice"):
        scored([twice[0], twice[0]])
    with pytest.raises(ValueError, match="metric family 'chair' occurs twice"):
        score(EXAMPLE, [Chair(), Chair()], signature="")


def test_a_metric_of_fractions_keeps_its_sums():
    class Halves:
        family = "halves"
        quantities = (Quantity("mean", None, (0, 1), "mean"),)
        columns = ("sum", "n")

        def statistics(self, samples: list[JudgedSample]) -> FloatArray:
            return np.array([[i / 2, 1] for i in range(len(samples))])

        def compute(self, totals: FloatArray) -> dict[str, FloatArray]:
            return {"mean": ratio(totals[..., 0], totals[..., 1])}

    scores = score(EXAMPLE, [Halves()], signature="", vocabulary=VOCABULARY, resamples=100)
    assert scores.counts == {"halves": {"sum": 1.5, "n": 3}}
    assert scores.metrics["halves"].per_category is None
    assert scores.metrics["halves"]["mean"].value == 0.5


def test_each_metric_reads_the_samples_once():
    class Counting(Chair):
        calls = 0

        def statistics(self, samples):
            Counting.calls += 1
            return super().statistics(samples)

    scored_by(Counting())
    assert Counting.calls == 1


def scored_by(metric):
    return score(EXAMPLE, [metric], signature=Signature().line())


def test_nan_cannot_be_written():
    with pytest.raises(ValidationError, match="finite"):
        Estimate(value=float("nan"), ci=None, n=1, higher_is_better=None)


@pytest.mark.parametrize("name", sorted(json_schemas.schemas()))
def test_schema_files_are_up_to_date(name):
    schema = json_schemas.schemas()[name]
    jsonschema.Draft202012Validator.check_schema(schema)
    assert json_schemas.path(name).read_text(encoding="utf-8") == json_schemas.text(schema), (
        "run: python -m eidolon.scorers.json_schemas"
    )


def test_real_output_is_valid_and_wrong_output_is_not():
    schemas = {n: jsonschema.Draft202012Validator(s) for n, s in json_schemas.schemas().items()}
    variant = Variant(label="half", settings={"k": 5}, metrics={"chair": score_family(EXAMPLE[:1], Chair())})
    document = json.loads(scored(variants=[variant]).to_json())
    schemas["scores"].validate(document)
    schemas["responses"].validate(json.loads(EXAMPLE[0].response.model_dump_json()))
    schemas["judgements"].validate(json.loads(EXAMPLE[0].judgement.model_dump_json()))
    for wrong in (
        {**document, "schema": "eidolon/scores/2"},
        {**document, "time": 1},
        {**document, "metrics": {"chair": {"chair_i": 0.5}}},
        {key: value for key, value in document.items() if key != "n"},
    ):
        assert not schemas["scores"].is_valid(wrong)


def test_kinds_are_counted_as_the_judge_sorts_them():
    texts = {
        "": "stop",
        " \n": "stop",
        "I'm sorry, but I cannot help with that.": "stop",
        "Das Bild zeigt einen Hund und eine Katze auf dem Sofa.": "stop",
        "A dog on a sofa and a": "length",
        "I cannot identify the brand, but there is a red car.": "stop",
    }
    responses = [
        Response(sample_id=str(i), image_id=i, response=text, finish_reason=finish)
        for i, (text, finish) in enumerate(texts.items())
    ]
    assert count_kinds(responses) == {"empty": 2, "refusals": 1, "non_english": 1, "truncated": 1}
