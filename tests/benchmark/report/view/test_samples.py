"""The index, the table of categories and the probe's counts, beside naive ones."""

import random
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

from eidolon.benchmark.report.view.categories import CategoryCounts
from eidolon.benchmark.report.view.collect import SampleTotals
from eidolon.benchmark.report.view.index import CHUNK, IndexColumns
from eidolon.benchmark.report.view.probe import ProbeCounts
from eidolon.benchmark.report.view.records import CategoryRow, Index, ProbeView
from eidolon.benchmark.report.view.samples import ViewedSample, disagree, excerpt, shown_samples, states
from eidolon.benchmark.store.loaded import load_run
from eidolon.benchmark.store.record import SampleRow
from eidolon.benchmark.tasks.rows import AnswerRow, QuestionRow
from eidolon.scorers.core.types import Judgement, Mention, Response
from tests.benchmark.conftest import OBJECTS, RESPONSES, Cli, write_lines


def by_category(samples: Iterable[ViewedSample]) -> tuple[CategoryRow, ...]:
    counts = CategoryCounts()
    for one in samples:
        counts.add(one)
    return counts.rows()


def probe_view(samples: Iterable[ViewedSample], policy: str) -> ProbeView | None:
    counts = ProbeCounts(policy)
    for position, one in enumerate(samples):
        counts.add(position, one)
    return counts.view()


def make_index(samples: Iterable[ViewedSample]) -> tuple[tuple[str, ...], Index]:
    with IndexColumns() as columns:
        for one in samples:
            columns.add(one)
        return columns.categories, Index.model_validate_json("".join(columns.json()))


def naive_index(samples: Sequence[ViewedSample]) -> tuple[tuple[str, ...], Index]:
    """Return all categories and the index, from all samples in memory."""
    names = sorted(
        {
            name
            for one in samples
            for name in (*one.truth, *(m.category for m in one.judgement.mentions if one.judgement))
        }
    )
    texts = [one.response.response or "" for one in samples]

    def numbers(found: Iterable[set[str]]) -> list[list[int]]:
        return [sorted(names.index(name) for name in of_one) for of_one in found]

    return tuple(names), Index(
        sample_ids=[one.response.sample_id for one in samples],
        generations=[one.response.generation for one in samples],
        image_ids=[str(one.response.image_id) for one in samples],
        excerpts=[excerpt(one, text) for one, text in zip(samples, texts, strict=True)],
        words=[len(text.split()) for text in texts],
        states=["".join(states(one, text)) for one, text in zip(samples, texts, strict=True)],
        splits=[one.question.split if one.question else "" for one in samples],
        there=numbers(one.named("grounded") for one in samples),
        absent=numbers(one.named("hallucinated") for one in samples),
        missed=numbers(one.missed() for one in samples),
    )


NAMES = ("cat", "dog", "fork", "pizza")


def shown(
    key: str, there: str = "", absent: str = "", open_: str = "", truth: str = "", **fields: object
) -> ViewedSample:
    """Return a response that names one-word objects; `fields` are the response's and the judgement's."""
    verdicts = {"grounded": there, "hallucinated": absent, "ignored": open_}
    mentions = [
        Mention(category=name, text=name, start=0, end=0, word=int(fields.get("word", 0)), verdict=verdict)  # type: ignore[arg-type,call-overload]
        for verdict, names in verdicts.items()
        for name in names.split()
    ]
    return ViewedSample(
        response=Response(
            sample_id=key, image_id=key, response=str(fields.get("response", "some words here"))
        ),
        judgement=Judgement(
            sample_id=key,
            image_id=key,
            mentions=tuple(mentions),
            unscored=fields.get("unscored"),  # type: ignore[arg-type]
        ),
        sample=SampleRow(sample_id=key, image_id=key, objects=tuple(truth.split())),
        question=None,
        answer=None,
    )


MADE = [
    shown("a", there="dog", absent="cat", truth="dog fork"),
    shown("b", there="dog fork", absent="cat", truth="dog fork"),
    shown("c", there="pizza", truth="pizza dog"),
    shown("d", absent="pizza", open_="fork", truth="cat fork"),
    shown("e", there="dog", truth="dog", unscored="no text"),
]


def test_the_counts_are_those_of_the_objects_metric(cli: Cli, tmp_path: Path) -> None:
    responses, objects = (
        write_lines(tmp_path / "r.jsonl", RESPONSES),
        write_lines(tmp_path / "o.jsonl", OBJECTS),
    )
    out = tmp_path / "run"
    assert cli("score", "--responses", responses, "--objects", objects, "--out", out).code == 0
    run = load_run(out)
    rows = {row.name: row for row in by_category(shown_samples(run))}
    metric = run.scores().metrics["objects"].per_category
    assert metric is not None
    wanted = {
        name: (found.counts["tp"], found.counts["fp"], found.counts["fn"])
        for name, found in metric.items()
        if any(found.counts.values())
    }
    assert wanted
    assert {n: (row.named_there, row.named_absent, row.missed) for n, row in rows.items()} == wanted


def test_an_undecided_object_is_not_missed_and_an_unscored_response_not_counted() -> None:
    rows = {row.name: (row.named_there, row.named_absent, row.missed) for row in by_category(MADE)}
    assert rows == {"cat": (0, 2, 1), "pizza": (1, 1, 0), "dog": (2, 0, 1), "fork": (1, 0, 1)}


def test_what_stands_beside_a_hallucination() -> None:
    cat = next(row for row in by_category(MADE) if row.name == "cat")
    beside = {one.name: (one.pictures, one.share, one.elsewhere) for one in cat.beside}
    # The other pictures without a cat, of scored responses, are those of c alone.
    assert beside == {"dog": (2, 1.0, 1.0), "fork": (2, 1.0, 0.0)}
    assert cat.beside[0].name == "fork"


def test_the_index_has_a_value_of_each_sample_in_every_column() -> None:
    names, index = make_index(MADE)
    assert names == NAMES
    assert all(len(column) == len(MADE) for column in index.model_dump().values())
    assert [[names[i] for i in column] for column in index.missed] == [["fork"], [], ["dog"], ["cat"], []]
    assert [[names[i] for i in column] for column in index.absent] == [["cat"], ["cat"], [], ["pizza"], []]
    assert index.states == ["1", "1", "", "d1", "u"]
    assert index.words == [3] * 5


def test_an_index_of_many_samples_is_that_of_all_in_memory() -> None:
    rng = random.Random(0)
    vocabulary = [f"{a}{b}</script>" for a in "zyxw" for b in "abc"]

    def some() -> str:
        return " ".join(rng.sample(vocabulary, rng.randrange(4)))

    samples = [
        shown(
            f"s{i}\n\u2028", some(), some(), some(), some(), word=i % 90, response=f"A &amp; \U0001f3dd {i}"
        )
        for i in range(2 * CHUNK + 7)
    ]
    names, index = make_index(samples)
    assert (names, index) == naive_index(samples)
    with SampleTotals("original") as totals:
        for one in samples:
            totals.add(one)
        assert totals.index.categories == names


@pytest.mark.parametrize(
    ("word", "state"), [(0, "1"), (19, "1"), (20, "2"), (59, "2"), (60, "3"), (400, "3")]
)
def test_the_place_of_a_hallucination_is_early_middle_or_late(word: int, state: str) -> None:
    assert make_index([shown("a", absent="cat", word=word)])[1].states == [state]


def test_judges_disagree_where_one_votes_otherwise() -> None:
    def judged(votes: dict[str, int]) -> Judgement:
        return Judgement(sample_id="a", image_id="a", votes={"cat": votes})

    assert not disagree(None)
    assert not disagree(judged({"x/1": 1, "y/1": 1}))
    assert disagree(judged({"x/1": 1, "y/1": 0}))
    assert disagree(MADE[3].judgement)


def test_a_probe_is_counted_by_split_and_category() -> None:
    def asked(number: int, label: str, text: str, read: str | None) -> ViewedSample:
        key = str(number)
        question = {
            "question_id": key,
            "image": "i",
            "text": "Is there a dog?",
            "label": label,
            "category": "dog",
        }
        answer = {"sample_id": key, "image_id": "i", "truth": label, "parsed": {"original": read}}
        return ViewedSample(
            response=Response(sample_id=key, image_id="i", response=text),
            judgement=None,
            sample=None,
            question=QuestionRow.model_validate({**question, "split": "random"}),
            answer=AnswerRow.model_validate(answer),
            read=read,  # type: ignore[arg-type]
        )

    found = probe_view(
        [
            asked(0, "yes", "Yes.", "yes"),
            asked(1, "yes", "No", "no"),
            asked(2, "no", "Maybe", "yes"),
            asked(3, "no", "no", "no"),
            asked(4, "no", "Hm.", None),
        ],
        "original",
    )
    assert found is not None
    (row,) = found.confusion
    counts = row.model_dump(exclude={"split", "category"})
    assert (row.split, row.category) == ("random", "dog")
    assert counts == {"right_yes": 1, "wrong_no": 1, "wrong_yes": 1, "right_no": 1, "unparsed": 1}
    assert found.unparsed == (2, 4)
    assert probe_view(MADE, "original") is None


def test_answers_from_a_file_are_right_or_wrong_and_not_unscored(cli: Cli, tmp_path: Path) -> None:
    labels = ["yes", "yes", "no", "no"]
    asked, image = "Is there a dog in the image?", "COCO_val2014_000000000001.jpg"
    questions = [
        {"question_id": i, "image": image, "text": asked, "label": label} for i, label in enumerate(labels, 1)
    ]
    answers = [{"question": asked, "answer": text} for text in ("Yes", "No", "Yes", "No")]
    files = write_lines(tmp_path / "q.json", questions), write_lines(tmp_path / "a.jsonl", answers)
    out = tmp_path / "run"
    assert (
        cli("score", "--metric", "pope", "--questions", files[0], "--answers", files[1], "--out", out).code
        == 0
    )
    found = [*shown_samples(load_run(out))]
    _, index = make_index(found)
    assert ["u" in state for state in index.states] == [False] * 4
    assert list(map(len, index.there)) == [1, 0, 0, 0]
    assert list(map(len, index.absent)) == [0, 0, 1, 0]
    assert list(map(len, index.missed)) == [0, 1, 0, 0]
    counted = probe_view(found, "original")
    assert counted is not None
    (row,) = counted.confusion
    assert (row.right_yes, row.wrong_no, row.wrong_yes, row.right_no) == (1, 1, 1, 1)
