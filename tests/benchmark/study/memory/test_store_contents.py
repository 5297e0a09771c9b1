"""The table of what stores hold."""

from pathlib import Path

from bench.store_contents import CONTENTS, Contents, table

ROOT = Path(__file__).parents[4]


def contents(model: str, by_layer: tuple[float, ...]) -> Contents:
    return Contents(model=model, scenes=2, tokens=256, text="filler", by_layer=by_layer, random_store=2.7)


def test_several_models_have_their_mean_and_their_spread() -> None:
    rows = table([contents("a", (1.0, 0.02)), contents("b", (4.0, 0.0))])
    assert rows[0] == "| after 256 tokens of | layer 1 | layer 2 | a random store |"
    assert rows[2] == "| filler | 2.5 (1.0\N{EN DASH}4.0) | 0.0 | 2.7 |"


def test_the_page_has_the_table_of_the_committed_results() -> None:
    found = CONTENTS.validate_json((ROOT / "results/memory/store-contents.json").read_bytes())
    assert len({one.model for one in found}) == 5
    page = (ROOT / "docs/evidence/memory-stores.md").read_text(encoding="utf-8").splitlines()
    rows = table(found)
    start = page.index(rows[0])
    assert page[start : start + len(rows)] == rows
