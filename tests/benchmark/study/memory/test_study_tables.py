"""The tables of docs/evidence/memory-study.md and memory-by-bytes.md have the numbers of results/memory/memory.json."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[4]
PAGES = [ROOT / "docs" / "evidence" / f"memory-{name}.md" for name in ("study", "by-bytes")]
NAMES = {
    "attention": "`*`", "gdn": "`GDN`", "bm": "`BM`", "m2": "`M2`", "gka": "`GKA`", "bmf": "`BMF`", "swa": "`SWA`",
    "hybrid": "`GDN-GDN-GDN-*`",
}  # fmt: skip
TEXTS = {
    "filler": "filler",
    "words": "random words",
    "other": "another's description",
    "own": "own description",
    "before": "filler *before* the picture",
}
BY_BYTES = {
    "bm": "`BM` (five seeds)",
    "gdn-bytes": "`GDN`, heads of 140",
    "m2-bytes": "`M2`, heads of 140",
    "swa-bytes": "`SWA`, window 330",
}


@cache
def study() -> dict[str, dict[str, Any]]:
    told = json.loads((ROOT / "results" / "memory" / "memory.json").read_text())
    return {one["variant"]: one for one in told["variants"]}


@cache
def rows() -> list[list[str]]:
    """The cells of all table rows of the pages. An empty first cell is that of the row above in the same table."""
    found: list[list[str]] = []
    above = ""
    for line in (line for page in PAGES for line in page.read_text().splitlines()):
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        above = (cells[0] or above) if line.startswith("|") else ""
        if above:
            found.append([above, *cells[1:]])
    return found


def number(estimate: dict[str, Any], digits: int = 2) -> str:
    if estimate["value"] is None:
        return "\N{EN DASH}"
    text = f"{estimate['value']:.{digits}f}"
    if estimate["ci"]:
        text += f" [{estimate['ci'][0]:.{digits}f}, {estimate['ci'][1]:.{digits}f}]"
    return text.replace("-", "\N{MINUS SIGN}")


def kept(variant: str, condition: str, n: int, series: str = "unnamed") -> str:
    for point in study()[variant]["retention"]:
        if (point["condition"], point["series"], point["n"]) == (condition, series, n):
            return number(point["retention"])
    return "\N{EN DASH}"


def one_row(*heads: str) -> list[str]:
    (found,) = [row[len(heads) :] for row in rows() if tuple(row[: len(heads)]) == heads]
    return found


@pytest.mark.parametrize("variant", NAMES)
def test_scores(variant: str) -> None:
    found = study()[variant]
    sizes = found["size"]["bytes_at"]
    nats = {text["text"]: number(text["whole"]["nats"])[:4] for text in found["texts"]}
    (row,) = [
        row[1:] for row in rows() if row[0] == f"{NAMES[variant]} ({len(found['checkpoints'])})" and len(row) == 7
    ]  # fmt: skip
    assert row == [
        number(found["yes_no_accuracy"]),
        number(found["scores"]["recall"]),
        number(found["scores"]["chair_i"]),
        number(found["position_effect"]["odds_ratio"], 1),
        f"{nats['usual']} / {nats['long']}",
        f"{sizes['512'] / 1024:,.0f} / {sizes['8192'] / 1024:,.0f}",
    ]


@pytest.mark.parametrize(
    ("variant", "condition"),
    [
        *((variant, condition) for variant in ("attention", "gdn", "bm") for condition in TEXTS),
        *((variant, "filler") for variant in ("m2", "gka", "hybrid", "bmf")),
        ("bmf", "before"),
    ],
)
def test_retention(variant: str, condition: str) -> None:
    name = "hybrid" if variant == "hybrid" else NAMES[variant]
    assert one_row(name, TEXTS[condition]) == [kept(variant, condition, n) for n in (64, 128, 256, 512)]


@pytest.mark.parametrize("variant", BY_BYTES)
def test_matched_by_bytes(variant: str) -> None:
    found = study()[variant]
    assert one_row(BY_BYTES[variant]) == [
        number(found["yes_no_accuracy"]),
        number(found["scores"]["recall"]),
        number(found["scores"]["chair_i"]),
        kept(variant, "filler", 256),
        kept(variant, "filler", 512),
        f"{found['size']['bytes_at']['512'] / 1024:,.0f}",
    ]


@pytest.mark.parametrize("condition", ["words", "own", "before", "other"])
def test_other_texts_matched_by_bytes(condition: str) -> None:
    assert one_row(TEXTS[condition]) == [kept("gdn-bytes", condition, n) for n in (64, 128, 256, 512)]


def test_named_objects_matched_by_bytes() -> None:
    row = one_row("another's description, named")
    assert row == [kept("gdn-bytes", "other", n, "named") for n in (64, 128, 256, 512)]
