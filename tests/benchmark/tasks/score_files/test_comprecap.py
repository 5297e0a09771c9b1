"""CompreCap: cases worked by hand, its released program's quirks, its layout, a language model, and wrong input."""

import base64
import json
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from eidolon.scorers.core.language_model import Reply
from eidolon.scorers.judges.graph_coverage import AnnotatedObject, GraphCoverage, pixel_coverage
from eidolon.scorers.judges.matching import NameMatcher
from eidolon.scorers.judges.noun_readers import TaggedNouns
from eidolon.scorers.judges.phrase_raters import Asked, ModelRatings, SharedWords
from eidolon.scorers.text.lexicon import load_lexicon
from tests.benchmark.conftest import Cli, Result, read_lines, write_lines


def mask(*pixels: int) -> str:
    return base64.b64encode(zlib.compress(bytes(pixels))).decode()


SCENE = (
    AnnotatedObject("dog", "a brown dog", (), mask(1, 1, 0, 0, 0)),
    AnnotatedObject("bench", "a long wooden bench", ("The bench is behind the dog.",), mask(0, 1, 1, 0, 0)),
    AnnotatedObject("kite", "a red kite", ("The kite is above the bench.", "The kite is above the dog.")),
)
CAPTION = "A brown dog lies on the grass. It is sunny.\nBehind the dog is a bench"
ABOUT_DOG = "A brown dog lies on the grass. Behind the dog is a bench"


def cover(*, compat: bool) -> Any:
    lexicon = load_lexicon("coco80")
    return GraphCoverage(TaggedNouns(lexicon), NameMatcher(lexicon), compat=compat).cover(CAPTION, SCENE)


def test_objects_and_their_sentences() -> None:
    found = cover(compat=False)
    assert found.objects == {"dog": 1, "bench": 1, "kite": 0}
    assert found.attributes == (
        Asked("a brown dog", ABOUT_DOG),
        Asked("a long wooden bench", "Behind the dog is a bench"),
        Asked("a red kite", ""),
    )
    assert found.relations == (
        Asked("The bench is behind the dog.", ABOUT_DOG),
        Asked("The kite is above the bench.", "Behind the dog is a bench"),
        Asked("The kite is above the dog.", ABOUT_DOG),
    )


def test_compat_moves_the_sentences_of_relations() -> None:
    # The dog has no relation, so that every later relation gets the sentences of the one before it.
    found = cover(compat=True)
    assert [asked.text for asked in found.relations] == ["", ABOUT_DOG, "Behind the dog is a bench"]


def test_shared_words() -> None:
    found = SharedWords().rate(
        [
            Asked("a brown dog", "A brown dog lies there"),
            Asked("a long wooden bench", "Behind the dog is a bench"),
            Asked("a puppy", "Two dogs"),
            Asked("a red kite", ""),
        ],
        relations=False,
    )
    assert found == [5, pytest.approx(5 / 3), 5, 0]


def test_pixels_by_hand() -> None:
    masks = [mask(1, 1, 0, 0, 0), mask(0, 1, 1, 0, 0), mask(0, 0, 0, 255, 0)]
    # 1, 1 + 3/5 cut to 1, 3/5 and 0 of four annotated pixels
    assert pixel_coverage(masks, [5, 3, 0]) == pytest.approx((1 + 1 + 0.6 + 0) / 4)
    assert pixel_coverage(masks, [5, -1, None]) == pytest.approx((1 + 0.8 + 0 + 0) / 4)
    assert pixel_coverage([], []) is None


def test_pixels_equal_the_naive_loop() -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        areas = rng.integers(0, 2, (3, 6))
        ratings = [float(value) for value in rng.integers(0, 6, 3)]
        seen = [0.0] * 6
        for area, rating in zip(areas, ratings, strict=True):
            seen = [min(1.0, old + int(there) * rating / 5) for old, there in zip(seen, area, strict=True)]
        total = sum(bool(column.any()) for column in areas.T)
        found = pixel_coverage([mask(*map(int, area)) for area in areas], ratings)
        assert found == pytest.approx(sum(seen) / total if total else None)


class Scripted:
    """A language model with set replies."""

    name = "scripted"

    def __init__(self, *replies: Reply) -> None:
        self._replies, self.prompts = replies, [""]

    def signature(self) -> str:
        return "scripted"

    def reply(
        self, prompts: Sequence[str], *, max_new_tokens: int, schema: Mapping[str, Any] | None = None
    ) -> list[Reply]:
        self.prompts = [*prompts]
        return [*self._replies]


def test_a_language_model_rates() -> None:
    replies = (Reply("I give it 4 of 5."), Reply("none"), Reply("45"), Reply(None, "no connection"))
    asked = [Asked(f"phrase {i}", "" if i == 1 else "a text") for i in range(5)]
    model = Scripted(*replies)
    assert ModelRatings(model).rate(asked, relations=False) == [4, 0, -1, 45, None]
    assert len(model.prompts) == 4
    assert "phrase 0" in model.prompts[0]
    assert ModelRatings(model, compat=False).rate(asked, relations=True) == [4, 0, None, None, None]


def scene(number: int) -> dict[str, Any]:
    """A row in the layout of anno.json."""
    return {
        "image": f"{number:012d}.jpg",
        "info": [
            {
                "category": "dog",
                "short_description": "a brown dog",
                "extend_description": "a brown dog with a collar",
                "relation": ["The dog is on the bench."],
                "mask_out": mask(1, 1, 0, 0),
            },
            {
                "category": "bench",
                "short_description": "a wooden bench",
                "extend_description": "a wooden bench with a back",
                "relation": [f"The bench is below dog number {number}."],
                "mask_out": mask(0, 0, 1, 0),
            },
        ],
    }


def comprecap(folder: Path) -> tuple[Path, Path]:
    """Twelve annotated images, and a caption of each."""
    annotations, captions = folder / "anno.json", folder / "captions.json"
    rows = [scene(i) for i in range(12)]
    annotations.write_text(json.dumps(rows), encoding="utf-8")
    said = {
        row["image"]: "A brown dog is on the wooden bench." if i % 3 else "An old clock."
        for i, row in enumerate(rows)
    }
    captions.write_text(json.dumps(said), encoding="utf-8")
    return annotations, captions


def scored(cli: Cli, annotations: Path, answers: Path, folder: Path, *more: str) -> Result:
    """The result of `eidolon score`, with the run in `folder/out`."""
    files = ("--annotations", annotations, "--answers", answers, "--out", folder / "out")
    return cli("score", "--metric", "comprecap", *files, *more)


def values(folder: Path) -> dict[str, float | None]:
    metrics = json.loads((folder / "scores.json").read_text(encoding="utf-8"))["metrics"]["comprecap"]
    return {name: entry["value"] for name, entry in metrics.items() if name != "per_category"}


def test_the_published_layout(cli: Cli, tmp_path: Path) -> None:
    annotations, captions = comprecap(tmp_path)
    out = tmp_path / "out"
    arguments = ("score", "--metric", "comprecap", "--annotations", annotations, "--answers", captions)
    result = cli(*arguments, "--mode", "fixed", "--out", out)
    assert result.code == 0, result.err
    rows = [row["values"] for row in read_lines(out / "caption_scores.jsonl")]
    assert rows[0] == {
        "object_coverage": 0,
        "pixel_coverage": 0,
        "attribute_score": 0,
        "relation_score": 0,
        "unread": 0,
    }
    # dog and on and bench; then dog and bench of bench, below, dog, number, 1
    relations = (5 + 5 * 2 / 5) / 2
    assert rows[1] == pytest.approx(
        {
            "object_coverage": 1,
            "pixel_coverage": 1,
            "attribute_score": 5,
            "relation_score": relations,
            "unread": 0,
        }
    )
    found = values(out)
    assert found["unified"] == pytest.approx((0.25 + 0.35 + 0.4 * relations / 5) * 8 / 12)
    entry = json.loads((out / "scores.json").read_text(encoding="utf-8"))["metrics"]["comprecap"]["unified"]
    assert entry["ci"][0] < entry["value"] < entry["ci"][1]
    checked = cli("check", out)
    assert checked.code == 0, checked.out


def test_ratings_of_the_released_program(cli: Cli, tmp_path: Path) -> None:
    annotations, answers = comprecap(tmp_path)
    rows = json.loads(annotations.read_text(encoding="utf-8"))
    given = {
        row["image"]: {
            "object": {"dog": 0.9, "bench": 0.5},
            "attribute": {"a brown dog": 4.0, "a wooden bench": 3.0},
            "relation": {
                "The dog is on the bench.": 5.0,
                row["info"][1]["relation"][0]: -1.0 if i else 2.0,
            },
        }
        for i, row in enumerate(rows[:2])
    }
    answers.write_text(json.dumps([{"object coverage": "70.00"}, given]), encoding="utf-8")
    result = scored(cli, annotations, answers, tmp_path)
    assert result.code == 0, result.err
    relation = ((5 + 2) / 2 + (5 - 1) / 2) / 2
    # In the released program's own terms: 0.25 of percent, and ratings times 20.
    unified = (0.25 * 70 + 0.35 * 3.5 * 20 + 0.4 * relation * 20) / 100
    assert values(tmp_path / "out") == pytest.approx(
        {
            "unified": unified,
            "object_coverage": 0.7,
            "pixel_coverage": (2 * 4 / 5 + 3 / 5) / 3,
            "attribute_score": 3.5,
            "relation_score": relation,
            "unread": 1 / 8,
        }
    )
    checked = cli("check", tmp_path / "out")
    assert checked.code == 0, checked.out


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("relation", 3, "info 1: field 'relation' must be a list of strings, found 3"),
        ("mask_out", "no mask!", "field 'mask_out': a mask is no base64 of zlib bytes"),
        ("mask_out", mask(1, 1), "field 'mask_out': its masks cover 2 and 4 pixels"),
        ("category", None, "info 1: field 'category' must be a string, found null"),
        ("info", [], "field 'info' must be a list of objects, found []"),
        ("description=long", None, "-J description=long: must be short or extended"),
    ],
)
def test_wrong_annotations(cli: Cli, tmp_path: Path, field: str, value: object, said: str) -> None:
    annotations, captions = comprecap(tmp_path)
    row = scene(0)
    if field == "info":
        row["info"] = value
    elif "=" not in field:
        row["info"][0][field] = value
    write_lines(annotations, [row])
    more = ("-J", field) if "=" in field else ()
    result = scored(cli, annotations, captions, tmp_path, *more)
    assert result.code == 2
    assert said in result.err
    assert result.err.strip().count("\n") == 0


def test_a_missing_rating(cli: Cli, tmp_path: Path) -> None:
    annotations, answers = comprecap(tmp_path)
    given = {scene(0)["image"]: {"object": {"dog": 1.0, "bench": 1.0}, "attribute": {}, "relation": {}}}
    answers.write_text(json.dumps([{}, given]), encoding="utf-8")
    result = scored(cli, annotations, answers, tmp_path)
    assert result.code == 2
    assert 'has no rating of the attribute "a brown dog"' in result.err


def test_the_responses_of_a_run(cli: Cli, tmp_path: Path) -> None:
    """Images by number, and a request that failed."""
    annotations, answers = comprecap(tmp_path)
    lines = [
        {"sample_id": str(i), "image_id": i, "response": "A brown dog is on the wooden bench."}
        for i in range(12)
    ]
    lines[3] |= {"response": None, "error": "no connection"}
    write_lines(answers, lines)
    arguments = ("score", "--metric", "comprecap", "--annotations", annotations, "--answers", answers)
    result = cli(*arguments, "--out", tmp_path / "out")
    assert result.code == 3  # one of twelve is above the share of --max-unscored
    assert values(tmp_path / "out")["object_coverage"] == 1
    rows = read_lines(tmp_path / "out" / "caption_scores.jsonl")
    assert [row["unscored"] for row in rows].count("no connection") == 1
    scores = json.loads((tmp_path / "out" / "scores.json").read_text(encoding="utf-8"))
    assert (scores["n"]["scored"], scores["n"]["unscored"]) == (11, 1)
    checked = cli("check", tmp_path / "out")
    assert checked.code == 0, checked.out


def test_a_model_that_gives_no_number(cli: Cli, tmp_path: Path) -> None:
    """A shipped judge answers yes or no: no reply is a rating, so that the scores have no ratings."""
    annotations, captions = comprecap(tmp_path)
    write_lines(annotations, [scene(1)])
    captions.write_text(
        json.dumps({scene(1)["image"]: "A brown dog is on the wooden bench."}), encoding="utf-8"
    )
    arguments = ("score", "--metric", "comprecap", "--annotations", annotations, "--answers", captions)
    result = cli(*arguments, "--mode", "fixed", "-J", "models=judge-small", "--out", tmp_path / "out")
    assert result.code == 0, result.err
    found = values(tmp_path / "out")
    assert (found["unread"], found["attribute_score"], found["unified"]) == (1, None, None)
    wrong = cli(*arguments, "-J", "models=judge-small,judge-base", "--out", tmp_path / "more")
    assert wrong.code == 2
    assert "asks one language model, found 2" in wrong.err


class Plane:
    """Vectors in a plane, by the angle of a word."""

    ANGLES: ClassVar = {"dog": 0, "puppy": 20, "wolf": 60, "bench": 90, "seat": 100}

    def signature(self) -> str:
        return "plane"

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        angles = np.radians([self.ANGLES[text] for text in texts])
        return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def test_objects_and_nouns_are_each_others_most_similar() -> None:
    lexicon = load_lexicon("coco80")
    coverage = GraphCoverage(TaggedNouns(lexicon), NameMatcher(lexicon), Plane())
    # The puppy is nearest to the dog, and the seat to the bench; the wolf is nearest to the bench but not its nearest.
    scene = [AnnotatedObject("dog", "a dog"), AnnotatedObject("bench", "a bench")]
    found = coverage.cover("A puppy and a wolf. There is a seat.", scene)
    assert found.objects == pytest.approx({"dog": np.cos(np.pi / 9), "bench": np.cos(np.pi / 18)}, abs=1e-6)
    assert [asked.text for asked in found.attributes] == ["A puppy and a wolf", "There is a seat"]
    assert coverage.cover("It is there.", scene).objects == {"dog": 0, "bench": 0}
