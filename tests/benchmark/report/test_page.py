import re
from html.parser import HTMLParser

from PIL import Image

from eidolon.benchmark.report.page import render_report, split
from eidolon.benchmark.store.record import SampleRow
from eidolon.benchmark.tasks.protocol import Shown
from eidolon.benchmark.tasks.score_files.work import FileProducer
from eidolon.scorers.core.metric import JudgedSample
from eidolon.scorers.core.scores import Scores
from eidolon.scorers.core.types import Judgement, Mention, Response
from eidolon.scorers.metrics.chair import Chair
from eidolon.scorers.metrics.objects import Objects
from eidolon.scorers.metrics.scoring import score

HOSTILE = '<script>alert(1)</script> a cup & a dog\x1b[31m "quoted" \u202e'
OBJECTS = ("cup",)


def mention(category: str, verdict: str) -> Mention:
    start = HOSTILE.index(category)
    return Mention.model_validate(
        {
            "category": category,
            "text": category,
            "start": start,
            "end": start + 3,
            "word": 1,
            "verdict": verdict,
        }
    )


def page(name: str = "mine") -> str:
    responses = [
        Response(sample_id="a", image_id="a", response=HOSTILE),
        Response(sample_id="b", image_id="b", response=None, error="the image cannot be read: <b>"),
    ]
    judgements = [
        Judgement(
            sample_id="a", image_id="a", mentions=(mention("cup", "grounded"), mention("dog", "hallucinated"))
        ),
        Judgement(sample_id="b", image_id="b", unscored="the image cannot be read: <b>"),
    ]
    rows = [SampleRow(sample_id=i, image_id=i, objects=OBJECTS) for i in "ab"]
    scores: Scores = score(
        [JudgedSample(responses[0], judgements[0], frozenset(OBJECTS))],
        [Chair(), Objects()],
        signature="dataset=x|judge=y",
        unscored=1,
        requested=2,
        vocabulary=("cup", "dog"),
    )
    return render_report(name, Shown(scores, rows, responses, judgements), RedPictures())


class RedPictures(FileProducer):
    """A producer with a picture of every sample."""

    def picture(self, sample_id: str) -> Image.Image:  # type: ignore[override]
        return Image.new("RGB", (900, 300), "red")


def test_counts_what_is_no_description() -> None:
    german = "Ein Hund und eine Katze sitzen auf dem Sofa und schauen aus dem Fenster."
    responses = [Response(sample_id="a", image_id="a", response=german)]
    judgements = [Judgement(sample_id="a", image_id="a", unscored="not English")]
    scores = score([], [Chair()], signature="x=y", unscored=1, responses=responses)
    rows = [SampleRow(sample_id="a", image_id="a", objects=())]
    html = render_report("mine", Shown(scores, rows, responses, judgements), FileProducer())
    assert "0 empty, 0 refusals, 1 not in English, 0 cut off" in " ".join(html.split())


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_text_from_models_is_shown_not_run() -> None:
    html = page("<i>name</i>")
    parser = Tags()
    parser.feed(html)
    assert not [tag for tag, _ in parser.tags if tag in ("script", "b", "i")]
    assert "&lt;script&gt;" in html
    assert "\x1b" not in html
    assert "\u202e" not in html


def test_mentions_are_marked_with_their_verdict() -> None:
    html = page()
    assert '<mark class="hallucinated" title="dog">dog</mark>' in html
    assert '<mark class="grounded" title="cup">cup</mark>' in html


def test_nothing_is_fetched_and_only_readable_pictures_are_inside() -> None:
    html = page()
    assert not re.search(r'(?:src|href)="(?!data:)', html)
    assert html.count("data:image/jpeg;base64,") == 1, "the failed sample has no picture"
    assert "unscored: the image cannot be read" in html


def test_numbers_are_those_of_the_scores() -> None:
    html = page()
    assert re.search(r"chair\.chair_i</td><td>0\.500</td>", html)
    assert re.search(r"<td>dog</td><td>1</td><td>0</td><td>0</td>", html), (
        "the hallucinated category is listed"
    )
    assert "1 of 2 responses scored, 1 unscored" in html


def test_pieces_make_up_the_response() -> None:
    text = "a cup and a dog"
    judged = Judgement(
        sample_id="a",
        image_id="a",
        mentions=(
            Mention(category="cup", text="cup", start=2, end=5, word=1),
            Mention(category="cup", text="up", start=3, end=5, word=1),
            Mention(category="dog", text="dog", start=12, end=15, word=4),
        ),
    )
    pieces = list(split(Response(sample_id="a", image_id="a", response=text), judged))
    assert "".join(piece.text for piece in pieces) == text
    assert [piece.category for piece in pieces if piece.category] == ["cup", "dog"]
