"""CAPTURE: the released program's numbers on graphs worked by hand, the layout of DetailCaps, and wrong input."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eidolon.benchmark.data.caption_layouts import read_graphs
from eidolon.scorers.core.metric import FloatArray
from eidolon.scorers.judges.caption_graphs import CaptionParser, Graph
from eidolon.scorers.judges.graph_matching import GraphMatcher
from eidolon.scorers.judges.noun_readers import TaggedNouns
from eidolon.scorers.judges.synonyms import LexiconSynonyms, Synonyms
from eidolon.scorers.text.lexicon import load_lexicon
from tests.benchmark.conftest import Cli, read_lines, write_lines

E = 1e-6


class Table:
    """Synonyms in groups."""

    def __init__(self, *groups: str) -> None:
        self._groups = [set(group.split(",")) for group in groups]

    def signature(self) -> str:
        return "table"

    def common(self, one: str, other: str) -> bool:
        return any(one in group and other in group for group in self._groups)


class Axes:
    """Vectors by the first letter of a text; texts with one first letter are alike by half, others not at all."""

    def signature(self) -> str:
        return "axes"

    def embed(self, texts: Sequence[str]) -> FloatArray:
        rows = np.zeros((len(texts), 26 + 1000))
        for row, text in zip(rows, texts, strict=True):
            row[ord(text[0]) - ord("a")] = 1
            row[26 + sum(map(ord, text)) % 1000] = 1
        return rows


def graph(objects: str, attributes: dict[str, str], *relations: str) -> Graph:
    return Graph(
        tuple(objects.split(",")),
        {name: tuple(values.split(",")) for name, values in attributes.items()},
        tuple((a, b, c) for a, b, c in (one.split("/") for one in relations)),
    )


SAID = graph("mug,desk,bird", {"mug": "red,tall"}, "mug/on/desk", "bird/near/desk")
TRUE = graph("cup,desk,lamp,blackbird", {"cup": "red", "lamp": "bright"}, "cup/on/desk")


def by_hand() -> dict[str, float]:
    """The released program's sums: 1e-6 in each denominator, and letters inside letters ("bird" in "blackbird")."""
    found = {
        # desk is equal, mug means cup, blackbird holds bird; lamp is left
        "object": (3 / (3 + E), 3 / (4 + E)),
        # red is equal; tall and bright are left
        "attribute": (1 / (2 + E), 1 / (2 + E)),
        # mug on desk means cup on desk
        "relation": (1 / (2 + E), 1 / (1 + E)),
    }
    values = {}
    for kind, (p, r) in found.items():
        values |= {f"{kind}_precision": p, f"{kind}_recall": r, f"{kind}_f1": 2 * p * r / (p + r + E)}
    f1 = [values[f"{kind}_f1"] for kind in ("object", "attribute", "relation")]
    return values | {"capture": (0.5 * f1[0] + 0.5 * f1[1] + 0.2 * f1[2]) / 1.2}


def test_graphs_by_hand() -> None:
    assert GraphMatcher(Table("cup,mug")).compare(SAID, TRUE) == pytest.approx(by_hand(), abs=1e-15)
    fixed = GraphMatcher(Table("cup,mug"), compat=False).compare(SAID, TRUE)
    assert fixed["object_precision"] == 2 / 3  # bird is no word of blackbird
    assert fixed["capture"] == pytest.approx((5 * 4 / 7 + 5 / 2 + 2 * 2 / 3) / 12)


def test_what_is_left_counts_with_its_largest_cosine() -> None:
    said, true = graph("ball,bat,kite", {}), graph("bell,sun", {})
    found = GraphMatcher(Table(), Axes()).compare(said, true)
    # ball and bat are each half like bell; kite and sun are like nothing.
    assert found["object_precision"] == pytest.approx((0.5 + 0.5) / 3, abs=1e-6)
    assert found["object_recall"] == pytest.approx(0.5 / 2, abs=1e-6)


def test_a_kind_that_no_graph_has() -> None:
    said, true = graph("cup", {}), graph("cup", {})
    assert GraphMatcher(Table()).compare(said, true)["capture"] == pytest.approx(5 / 12, abs=1e-5)
    fixed = GraphMatcher(Table(), compat=False).compare(said, true)
    assert fixed["capture"] == 1
    assert np.isnan(fixed["relation_f1"])


def naive_pairs(ours: Sequence[str], theirs: Sequence[str], synonyms: Synonyms) -> int:
    """The released program's loops, written plainly."""
    used_ours, used_theirs, count = set(), set(), 0
    for synonyms_too in (False, True):
        for i, one in enumerate(ours):
            for j, other in enumerate(theirs):
                same = (
                    one in other or other in one or synonyms.common(one, other)
                    if synonyms_too
                    else one == other
                )
                if i not in used_ours and j not in used_theirs and same:
                    used_ours.add(i)
                    used_theirs.add(j)
                    count += 1
                    break
    return count


def test_pairs_equal_the_naive_loops() -> None:
    rng, synonyms = np.random.default_rng(0), Table("a,b,c", "d,ef", "g,h")
    letters = np.array(["a", "b", "c", "d", "ef", "f", "g", "h", "xa", "y"])
    for _ in range(200):
        ours, theirs = (list(rng.choice(letters, rng.integers(1, 7), replace=False)) for _ in range(2))
        found = GraphMatcher(synonyms).compare(Graph(tuple(ours), {}, ()), Graph(tuple(theirs), {}, ()))
        assert found["object_precision"] == naive_pairs(ours, theirs, synonyms) / (len(ours) + E)


def test_graphs_of_a_caption() -> None:
    lexicon = load_lexicon("coco80")
    (found,) = CaptionParser(TaggedNouns(lexicon)).parse(
        ["A small brown dog sits on a red sofa in front of a window. The curtains are green."]
    )
    assert found.objects == ("dog", "sofa", "window", "curtain")
    assert found.attributes == {"dog": ("brown", "small"), "sofa": ("red",), "curtain": ("green",)}
    assert found.relations == (("dog", "sits on", "sofa"), ("sofa", "in front of", "window"))
    assert LexiconSynonyms(lexicon).common("sofa", "couch")
    assert not LexiconSynonyms(lexicon).common("sofa", "dog")


def parsed(graph: Graph) -> list[Any]:
    return [[*graph.objects], {k: [*v] for k, v in graph.attributes.items()}, [[*r] for r in graph.relations]]


def values(folder: Path) -> dict[str, float | None]:
    metrics = json.loads((folder / "scores.json").read_text(encoding="utf-8"))["metrics"]["capture"]
    return {name: entry["value"] for name, entry in metrics.items() if name != "per_category"}


def test_graphs_from_a_file(cli: Cli, tmp_path: Path) -> None:
    rows = [
        {"sample_key": 7, "cand_parsed": parsed(SAID), "gt_parsed": [parsed(TRUE), parsed(SAID)]},
        {"sample_key": 9, "cand_parsed": parsed(TRUE), "gt_parsed": [parsed(TRUE)]},
    ]
    path = write_lines(tmp_path / "graphs.jsonl", rows)
    result = cli("score", "--metric", "capture", "--answers", path, "--out", tmp_path / "out")
    assert result.code == 0, result.err
    # "mug" and "cup" are two names of COCO's cup, so that the case by hand holds; twins score 1.
    lexicon = LexiconSynonyms(load_lexicon("coco80"))
    assert lexicon.common("mug", "cup")
    first = by_hand()["capture"]
    assert values(tmp_path / "out")["capture"] == pytest.approx((((first + 1) / 2) + 1) / 2, abs=1e-5)
    checked = cli("check", tmp_path / "out")
    assert checked.code == 0, checked.out
    assert read_graphs(path.read_bytes(), path) is not None


PLACES = ("kitchen", "street", "garden", "harbour", "office", "park")


def detailcaps(folder: Path) -> tuple[Path, Path]:
    """Twelve rows as on the Hub, without their pictures, and a caption of each."""
    rows = [
        {
            "source": "own",
            "image": f"own/{i:03d}.jpg",
            "GT_Caption_GPT4O": f"A red bus waits in front of a tall tree in a {PLACES[i % 6]}.",
            "GT_Caption_GPT4V": f"A red bus next to a tree. The {PLACES[i % 6]} is quiet.",
            "GT_Caption_Gemini15Pro": "A bus and a large tree.",
        }
        for i in range(12)
    ]
    said = {
        f"own/{i:03d}.jpg": "A red bus in front of a tree."
        if i % 2
        else "A white dog sleeps on a wooden bench."
        for i in range(12)
    }
    path = folder / "captions.json"
    path.write_text(json.dumps(said), encoding="utf-8")
    return write_lines(folder / "detailcaps.jsonl", rows), path


def test_the_published_layout(cli: Cli, tmp_path: Path) -> None:
    references, captions = detailcaps(tmp_path)
    out = tmp_path / "out"
    arguments = ("score", "--metric", "capture", "--annotations", references, "--answers", captions)
    result = cli(*arguments, "--out", out)
    assert result.code == 0, result.err
    rows = read_lines(out / "caption_scores.jsonl")
    good = [row["values"]["capture"] for row in rows[1::2]]
    bad = [row["values"]["capture"] for row in rows[::2]]
    assert min(good) > 0.4 > 0.01 > max(bad)
    scores = json.loads((out / "scores.json").read_text(encoding="utf-8"))
    found = scores["metrics"]["capture"]["capture"]
    assert found["value"] == pytest.approx(np.mean(good + bad))
    assert found["ci"][0] < found["value"] < found["ci"][1]
    assert "synonyms=coco80" in scores["signature"]
    checked = cli("check", out)
    assert checked.code == 0, checked.out


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"references": None}, "needs --annotations FILE"),
        ({"captions": {"own/000.jpg": "A bus."}}, '"own/001.jpg" has no caption (11 of 12 have none)'),
        ({"captions": {"own/999.jpg": "A bus."}}, '"own/999.jpg" is none of the 12 images'),
        ({"option": "wordnet=."}, "holds no index.noun"),
        ({"option": "wordnets=."}, "has no option 'wordnets'; did you mean 'wordnet'"),
        ({"graphs": [["cup"], {}]}, "must be [objects, {object: attributes}, relations]"),
        ({"graphs": [["cup"], {}, [["cup", "on"]]]}, "lists of subject, relation and object"),
    ],
)
def test_wrong_input(cli: Cli, tmp_path: Path, change: dict[str, Any], said: str) -> None:
    references, captions = detailcaps(tmp_path)
    arguments: list[object] = [
        "score",
        "--metric",
        "capture",
        "--answers",
        captions,
        "--out",
        tmp_path / "out",
    ]
    if "captions" in change:
        captions.write_text(json.dumps(change["captions"]), encoding="utf-8")
    if "graphs" in change:
        write_lines(
            captions, [{"sample_key": "a", "cand_parsed": change["graphs"], "gt_parsed": [change["graphs"]]}]
        )
    elif "references" not in change:
        arguments += ["--annotations", references]
    if "option" in change:
        arguments += ["-J", change["option"]]
    result = cli(*arguments)
    assert result.code == 2
    assert said in result.err
    assert result.err.strip().count("\n") == 0
