"""The page of a run, used as a reader uses it: with the mouse, with the keyboard, by a link."""

import json
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from eidolon.benchmark.cli import invoke
from tests.browser.conftest import Open
from tests.browser.runs import SAMPLES, change_lines, probe_run, scene_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return scene_run(tmp_path_factory.mktemp("described"))


@pytest.fixture(scope="module")
def page_file(run: Path) -> Path:
    assert invoke(["view", str(run)]) == 0
    return run / "view" / "index.html"


@pytest.fixture(scope="module")
def probe_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = probe_run(tmp_path_factory.mktemp("probed"))
    assert invoke(["view", str(found)]) == 0
    return found / "view" / "index.html"


def rows(page: Any) -> list[str]:
    return [text.split("\n")[0] for text in page.locator("[role=option]").all_inner_texts()]


def found(page: Any) -> int:
    return int(page.locator(".found:visible").inner_text().split()[0].replace(",", ""))


def test_the_top_says_what_was_measured_and_warns(page_file: Path, open_page: Open) -> None:
    page = open_page(page_file).page
    top = page.locator("header").inner_text()
    assert f"{SAMPLES} pictures" in top
    assert f"1 of {SAMPLES} responses" in page.locator(".warnings").inner_text()
    assert page.locator(".numbers li").count() == 4
    assert page.locator(".numbers svg.plot").count() == 4
    page.get_by_text("Where this comes from").click()
    assert (
        "eidolon run" in page.locator(".facts").inner_text()
        or "command" in page.locator(".facts").inner_text()
    )


def test_a_sample_has_picture_marks_and_truth(page_file: Path, open_page: Open) -> None:
    page = open_page(page_file, fragment="#sample=scenes-0-1").page
    expect(page.locator("article.sample h2")).to_have_text("scenes-0-1")
    assert page.locator(".frame img").evaluate("image => image.complete && image.naturalWidth > 0")
    wrong = page.locator("mark.hallucinated")
    assert wrong.count() == 1
    assert "wavy" in wrong.evaluate("mark => getComputedStyle(mark).textDecoration")
    assert page.locator("mark.grounded").count() >= 2
    assert "(missed)" in page.locator(".truth").inner_text()


@pytest.mark.parametrize("by", ["mouse", "focus"])
def test_a_mention_shows_what_is_known_of_it(page_file: Path, open_page: Open, by: str) -> None:
    page = open_page(page_file, fragment="#sample=scenes-0-0").page
    mark = page.locator("mark.grounded").first
    mark.hover() if by == "mouse" else mark.focus()
    card = page.locator(".card")
    assert "in the picture" in card.inner_text()
    assert "word" in card.inner_text()
    assert "The ground truth has it" in card.inner_text()
    assert page.locator(".boxes rect.outline").count() >= 1
    page.mouse.move(5, 5) if by == "mouse" else mark.blur()
    assert card.count() == 0


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_mentions_without_truth_are_shaded_by_risk(tmp_path: Path, open_page: Open, theme: str) -> None:
    text = "A dog sleeps on a couch. There is a cup on the table and a cat at the window."
    file = tmp_path / "texts.jsonl"
    file.write_text(json.dumps({"image_id": 1, "response": text}) + "\n", encoding="utf-8")
    page_file, out = tmp_path / "risk.html", tmp_path / "risk.jsonl"
    assert invoke(["risk", str(file), "--out", str(out), "--page", str(page_file)]) == 0
    risks = [one["risk"] for one in json.loads(out.read_text())["mentions"]]
    page = open_page(page_file, theme=theme).page
    marks = page.locator("mark.risk")
    assert [one.get_attribute("title") for one in marks.all()] == [f"risk {risk:.2f}" for risk in risks]
    colours = marks.evaluate_all("marks => marks.map(mark => getComputedStyle(mark).backgroundColor)")
    assert len(set(colours)) == len({round(100 * risk) for risk in risks})
    assert "shaded by risk" in page.locator(".risk-legend").inner_text()
    marks.last.hover()
    assert f"truth not known, risk {risks[-1]:.2f}" in page.locator(".card").inner_text()
    page.mouse.move(5, 5)
    # What is right is not known, so the page counts nothing that is.
    assert page.locator("[role=option]").inner_text().endswith("19 words")
    assert "missed" not in page.locator("body").inner_text()
    assert page.locator(".filters").get_by_label("Verdict").count() == 0


def test_boxes_lie_where_the_scene_has_them(page_file: Path, open_page: Open, run: Path) -> None:
    from eidolon.benchmark.scenes.scene import Dials, make_scene

    page = open_page(page_file, fragment="#sample=scenes-0-0").page
    page.keyboard.press("b")
    scene = make_scene(0, 0, Dials())
    wanted = sorted((round(x, 5), round(y, 5)) for thing in scene.things for x, y, _, _ in thing.boxes)
    drawn = page.locator(".boxes rect.outline").evaluate_all(
        "all => all.map(r => [+r.getAttribute('x'), +r.getAttribute('y')])"
    )
    assert sorted((round(x, 5), round(y, 5)) for x, y in drawn) == wanted


def test_filters_keep_what_they_say(page_file: Path, open_page: Open) -> None:
    page = open_page(page_file).page
    assert found(page) == SAMPLES
    page.get_by_label("Verdict").select_option("hallucinated")
    assert found(page) == sum(index % 3 == 1 for index in range(SAMPLES - 1))
    assert all(
        "not there" in text and not text.startswith("0")
        for text in page.locator("b.state, .count.hallucinated").all_inner_texts()
    )
    page.get_by_label("Object").select_option("zebra")
    assert 0 < found(page) < 8
    page.get_by_role("button", name="Show all", exact=True).click()
    page.get_by_label("unscored").check()
    assert rows(page) == [f"scenes-0-{SAMPLES - 1}"]
    page.get_by_role("button", name="Show all", exact=True).click()
    page.get_by_label("At most this many words").fill("30")
    few = found(page)
    page.get_by_label("At most this many words").fill("")
    page.get_by_label("At least this many words").fill("31")
    assert few + found(page) == SAMPLES
    page.get_by_role("button", name="Show all", exact=True).click()
    page.get_by_label("Position").select_option("2")
    assert 0 < found(page) < SAMPLES


def test_the_search_finds_words_and_phrases(page_file: Path, open_page: Open) -> None:
    page = open_page(page_file).page
    page.keyboard.press("/")
    page.keyboard.type("GIRAFFE plain")
    wanted = sum(index % 3 == 1 and index // 3 % 3 == 1 for index in range(SAMPLES - 1))
    expect(page.locator("[role=option]")).to_have_count(wanted)
    page.get_by_label("Search").fill('"first of all"')
    expect(page.locator("[role=option]")).to_have_count(1)
    assert rows(page) == ["scenes-0-2"]
    page.get_by_label("Search").fill('"all of first"')
    page.wait_for_selector("text=No response passes these filters")


def test_the_order_follows_the_choice(page_file: Path, open_page: Open) -> None:
    page = open_page(page_file).page
    assert rows(page)[:2] == ["scenes-0-0", "scenes-0-1"]
    page.get_by_label("Order").select_option("hallucinated")
    assert page.locator("[role=option] .count").first.inner_text() == "1 not there"
    page.get_by_label("Order").select_option("shortest")
    words = [
        int(text.split()[0]) for text in page.locator("[role=option] .count:last-child").all_inner_texts()
    ]
    assert words == sorted(words)


def test_the_keyboard_alone_is_enough(page_file: Path, open_page: Open) -> None:
    page = open_page(page_file).page
    page.keyboard.press("j")
    page.keyboard.press("j")
    expect(page.locator("article.sample h2")).to_have_text("scenes-0-2")
    page.keyboard.press("k")
    expect(page.locator("article.sample h2")).to_have_text("scenes-0-1")
    assert "sample=scenes-0-1" in page.url
    page.keyboard.press("/")
    page.keyboard.type("j")
    assert page.get_by_label("Search").input_value() == "j"
    page.get_by_label("Search").fill("")
    expect(page.locator(".found")).to_contain_text(f"{SAMPLES} responses")
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("j")
    expect(page.locator("article.sample h2")).to_have_text("scenes-0-1")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog").get_by_text("Keys and marks")).to_have_count(0)
    page.keyboard.press("k")
    expect(page.locator("article.sample h2")).to_have_text("scenes-0-0")


TWO_KEYS = """() => {
    for (const key of ["j", "j"]) document.body.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
}"""


def test_keys_that_come_before_the_page_is_rendered_again_all_count(page_file: Path, open_page: Open) -> None:
    page = open_page(page_file).page
    page.evaluate(TWO_KEYS)
    expect(page.locator("article.sample h2")).to_have_text("scenes-0-2")


def test_a_link_leads_to_its_sample_even_if_a_filter_hides_it(page_file: Path, open_page: Open) -> None:
    page = open_page(page_file, fragment=f"#sample=scenes-0-{SAMPLES - 2}").page
    expect(page.locator("article.sample h2")).to_have_text(f"scenes-0-{SAMPLES - 2}")
    chosen = page.locator("[role=option][aria-selected=true]")
    assert chosen.get_attribute("aria-posinset") == str(SAMPLES - 1)
    page.get_by_label("unscored").check()
    expect(page.locator("article.sample h2")).to_have_text(f"scenes-0-{SAMPLES - 2}")
    assert "outside the filters" in page.locator("article.sample").inner_text()


def test_copy_gives_the_records_of_the_run(page_file: Path, open_page: Open, run: Path) -> None:
    page = open_page(
        page_file, fragment="#sample=scenes-0-1", permissions=["clipboard-read", "clipboard-write"]
    ).page
    page.get_by_role("button", name="Copy as JSON").click()
    page.wait_for_selector("text=copied")
    copied = json.loads(page.evaluate("navigator.clipboard.readText()"))
    line = json.loads((run / "judgements.jsonl").read_text().splitlines()[1])
    assert copied["judgement"]["mentions"] == line["mentions"]
    assert copied["response"]["sample_id"] == "scenes-0-1"
    assert (
        copied["sample"]["objects"]
        == json.loads((run / "samples.jsonl").read_text().splitlines()[1])["objects"]
    )


def test_marks_stand_where_the_judge_put_them_behind_an_emoji(
    page_file: Path, open_page: Open, run: Path
) -> None:
    page = open_page(page_file, fragment="#sample=scenes-0-2").page
    mentions = json.loads((run / "judgements.jsonl").read_text().splitlines()[2])["mentions"]
    assert page.locator(".response mark").all_inner_texts() == [mention["text"] for mention in mentions]


def test_the_table_of_categories_sorts_and_leads_to_samples(page_file: Path, open_page: Open) -> None:
    page = open_page(page_file, fragment="#tab=categories").page
    first = page.locator(".sortable tbody th").first
    assert first.inner_text() in ("zebra", "giraffe", "toaster")
    page.get_by_role("button", name="object").click()
    names = page.locator(".sortable tbody th").all_inner_texts()
    assert names == sorted(names)
    assert page.locator(".sortable th[aria-sort=ascending]").count() == 1
    page.get_by_role("button", name="named, not there: zebra").click()
    assert found(page) == 3
    assert page.locator("mark.hallucinated").first.inner_text() == "zebra"


def test_no_panel_is_empty(page_file: Path, open_page: Open) -> None:
    page = open_page(page_file, fragment="#tab=text").page
    assert "There is no late-minus-early odds ratio" in page.locator(".panels").inner_text()
    for panel in page.locator(".panel").all():
        assert panel.locator("svg.plot, .reason").count() or "There is no" in panel.inner_text()


def test_votes_are_shown_by_judge_and_format(run: Path, open_page: Open, tmp_path: Path) -> None:
    import shutil

    voted = Path(shutil.copytree(run, tmp_path / "voted"))

    def vote(index: int, row: dict[str, Any]) -> None:
        for mention in row["mentions"]:
            mention["votes"] = {"small/plain": 1, "small/careful": 0, "large/plain": 1, "large/careful": 1}
        if index == 3:
            row["mentions"][0]["verdict"] = "ignored"
        if index % 2:
            row["mentions"] = row["mentions"] if index == 3 else []

    change_lines(voted / "judgements.jsonl", vote)
    assert invoke(["view", str(voted)]) == 0
    page = open_page(voted / "view" / "index.html").page
    page.get_by_label("judges disagree").check()
    assert found(page) == sum(index % 2 == 0 for index in range(SAMPLES - 1)) + 1
    page.locator("mark").first.hover()
    table = page.locator(".card table").inner_text()
    assert [line.split() for line in table.splitlines()] == [
        ["votes", "plain", "careful"], ["small", "yes", "no"], ["large", "yes", "yes"]]  # fmt: skip
    page.evaluate("location.hash = 'sample=scenes-0-3'")
    page.wait_for_selector("mark.ignored")
    assert "dotted" in page.locator("mark.ignored").evaluate("mark => getComputedStyle(mark).textDecoration")


def test_a_probe_has_its_confusion_and_its_unread_answers(probe_file: Path, open_page: Open) -> None:
    page = open_page(probe_file, fragment="#tab=answers").page
    by_split = page.locator(".panel table").first
    cells = [row.locator("td").all_inner_texts() for row in by_split.locator("tbody tr").all()]
    assert len(cells) == 3
    total = sum(int(cell) for row in cells for cell in row[:5])
    page.get_by_role("tab", name="Samples").click()
    assert found(page) == total
    page.get_by_label("Verdict").select_option("unparsed")
    unread = found(page)
    assert unread == -(-total // 5)
    page.get_by_role("tab", name="Answers").click()
    listed = page.locator(".panel", has_text="not plainly yes or no").locator("li")
    assert listed.count() == unread
    listed.nth(1).get_by_role("button").click()
    assert "I would say so." in page.locator("article.sample").inner_text()
    page.get_by_label("Verdict").select_option("hallucinated")
    assert page.locator("[role=option] .count").first.inner_text() == "wrong: says yes"


def test_the_theme_follows_the_system_until_it_is_chosen(page_file: Path, open_page: Open) -> None:
    page = open_page(page_file, theme="dark").page
    background = "getComputedStyle(document.documentElement).backgroundColor"
    dark = page.evaluate(background)
    page.get_by_role("button", name="Light theme").click()
    assert page.evaluate(background) == "rgb(255, 255, 255)" != dark


@pytest.fixture(scope="module")
def compared_file(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the page of the run and of one whose texts name a toaster in every second picture."""
    folder = tmp_path_factory.mktemp("other")
    texts = folder / "other.jsonl"
    rows = [json.loads(line) for line in (run / "responses.jsonl").read_text().splitlines()]
    rows = [
        {**row, "response": row["response"] + (" There is a toaster." if index % 2 else "")}
        for index, row in enumerate(rows)
        if row["response"] is not None
    ]
    texts.write_text(
        "".join(
            json.dumps({key: row[key] for key in ("sample_id", "image_id", "response")}) + "\n"
            for row in rows
        )
    )
    command = ["run", "--model", f"replay/{texts}", "--limit", str(SAMPLES), "--out", str(folder / "out")]
    assert invoke([*command, "--max-unscored", "1", "--resamples", "50"]) == 0
    (other,) = (path.parent for path in (folder / "out").glob("*/run.json"))
    out = folder / "both.html"
    assert invoke(["view", str(run), str(other), "--out", str(out)]) == 0
    return out


def test_two_runs_are_compared(compared_file: Path, open_page: Open) -> None:
    page = open_page(compared_file, fragment="#tab=compare").page
    rows = {
        row.locator("th").inner_text(): row.locator("td").all_inner_texts()
        for row in page.locator(".panel tbody tr").all()
    }
    mine, other, difference, interval, p, finding = rows["objects.precision"]
    assert float(other) - float(mine) == pytest.approx(float(difference), abs=0.0011)
    assert float(interval.split(" to ")[1]) < 0
    assert "A is better" in finding
    assert float(p.removeprefix("< ")) < 0.05
    assert page.locator(".panel svg.plot").get_attribute("aria-label").count("objects.precision") == 1


def test_the_samples_where_two_runs_disagree_stand_side_by_side(compared_file: Path, open_page: Open) -> None:
    page = open_page(compared_file, fragment="#tab=compare").page
    wrong = [
        index for index in range(SAMPLES - 1) if index % 2 and not (index % 3 == 1 and index // 3 % 3 == 2)
    ]
    assert found(page) == len(wrong)
    page.evaluate(TWO_KEYS)
    disagreements = page.get_by_label("Samples where the runs disagree")
    expect(disagreements.locator("[aria-selected=true]")).to_have_attribute("aria-posinset", "3")
    page.get_by_label("Show").select_option("a")
    assert found(page) == 0
    page.get_by_label("Show").select_option("b")
    assert found(page) == len(wrong)
    page.keyboard.press("j")
    left, right = page.locator(".both article.sample").all()
    assert left.locator("h2").inner_text().split(", ")[-1] == right.locator("h2").inner_text().split(", ")[-1]
    assert left.locator("mark", has_text="toaster").count() == 0
    assert right.locator("mark.hallucinated", has_text="toaster").count() == 1
    right.locator("mark.hallucinated").last.hover()
    assert "The ground truth has no toaster" in page.locator(".card").inner_text()


def test_two_runs_stand_on_one_page(run: Path, probe_file: Path, open_page: Open, tmp_path: Path) -> None:
    out = tmp_path / "both.html"
    assert invoke(["view", str(run), str(probe_file.parent.parent), "--out", str(out)]) == 0
    page = open_page(out).page
    assert page.get_by_role("tab", name="Answers").count() == 0
    page.get_by_label("Run").select_option("1")
    assert page.get_by_role("tab", name="Answers").count() == 1
    page.get_by_role("tab", name="Compare").click()
    assert "cannot be compared" in page.locator("main").inner_text()
