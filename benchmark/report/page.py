"""`report.html`: a run on one page that opens from disk, with its pictures inside."""

import base64
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from eidolon.benchmark.report import calibration_table
from eidolon.benchmark.tasks.protocol import SHOWN_SAMPLES, Producer, Shown
from eidolon.benchmark.terminal.safe_text import one_line, safe_text
from eidolon.scorers.core.estimate import Estimate
from eidolon.scorers.core.scores import Family, Scores
from eidolon.scorers.core.types import Judgement, Response

if TYPE_CHECKING:
    from PIL import Image

    from eidolon.benchmark.tasks.rows import QuestionRow

TEMPLATE = Path(__file__).with_name("report.html.jinja")
CATEGORIES = 12
LENGTH = 10_000
"""Characters of a response that are shown."""
THUMBNAIL = 320
"""Longest side of a picture, pixels."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a response; the category is set where it is a mention."""

    text: str
    verdict: str | None = None
    category: str | None = None
    risk: float | None = None
    """The probability that it is wrong, from text alone, where no truth decides."""


def render_report(name: str, shown: Shown, producer: Producer) -> str:
    """Return the page of a run; without responses the scores alone.

    Text from models and files is escaped: nothing in it can run or hide.
    """
    import jinja2

    scores, responses, judgements = shown.scores, shown.responses, shown.judgements
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    truth = {row.sample_id: row.objects for row in shown.samples}
    asked = {question.question_id: question for question in shown.questions}

    def badness(judgement: Judgement) -> int:
        question = asked.get(judgement.sample_id)
        if question is None or judgement.unscored is not None:
            return _hallucinations(judgement)
        return int(bool(judgement.mentions) != (question.label == "yes"))

    order = sorted(range(len(responses)), key=lambda i: -badness(judgements[i]))[:SHOWN_SAMPLES]
    risks = _risks(shown, order)
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        name=one_line(name),
        scores=scores,
        warnings=[one_line(warning) for warning in shown.warnings],
        metrics=list(_metrics(scores.metrics)),
        variants=[
            {"label": one_line(variant.label), "metrics": list(_metrics(variant.metrics))}
            for variant in scores.variants
        ],
        categories=_categories(scores),
        notes=[one_line(f"{note.kind}: {note.text()}") for note in shown.notes],
        plots=[base64.b64encode(plot).decode() for plot in shown.plots],
        calibration=[] if scores.calibration is None else calibration_table.tables(scores.calibration),
        total=len(responses) if shown.total is None else shown.total,
        first="that are wrong" if shown.questions else "that hallucinate most",
        shaded=bool(risks),
        samples=[
            {
                "id": one_line(responses[i].sample_id),
                "question": _question(asked.get(responses[i].sample_id)),
                "pieces": list(split(responses[i], judgements[i], risks.get(i))),
                "unscored": one_line(judgements[i].unscored or ""),
                "unplaced": [
                    Piece(one_line(m.category), m.verdict)
                    for m in judgements[i].mentions
                    if not m.end and m.verdict != "ignored"
                ],
                "objects": truth[responses[i].sample_id],
                # A sample may have failed because its image is unreadable.
                "picture": _encode(producer.picture(responses[i].sample_id))
                if responses[i].error is None
                else None,
            }
            for i in order
        ],
    )


def split(
    response: Response, judgement: Judgement, risks: Sequence[float | None] | None = None
) -> Iterator[Piece]:
    """Yield the response in pieces, each a mention or the text between two; of a very long one the beginning.

    `risks` has one for each mention that no truth decides.
    """
    whole = response.response or ""
    source, position = whole[:LENGTH], 0
    known = risks or [None] * len(judgement.mentions)
    for mention, risk in sorted(zip(judgement.mentions, known, strict=True), key=lambda pair: pair[0].start):
        # Of two mentions in one span the first shows; one without a span stands below the text.
        if mention.start < position or mention.start == mention.end or mention.end > len(source):
            continue
        yield Piece(safe_text(source[position : mention.start]))
        yield Piece(safe_text(source[mention.start : mention.end]), mention.verdict, mention.category, risk)
        position = mention.end
    yield Piece(safe_text(source[position:]))
    if len(whole) > LENGTH:
        yield Piece(f" … ({len(whole) - LENGTH:,} more characters)")


def _risks(shown: Shown, places: Sequence[int]) -> dict[int, tuple[float | None, ...]]:
    """Return the risks of the mentions that no truth decides, by place; none if the run has no metric `risk`."""
    if "risk" not in shown.scores.metrics:
        return {}
    from eidolon.scorers.risk.model_file import load_risk_model
    from eidolon.scorers.risk.shading import open_risks

    model = load_risk_model()
    found = {i: open_risks(model, shown.responses[i], shown.judgements[i]) for i in places}
    return {i: risks for i, risks in found.items() if risks is not None}


def _question(row: "QuestionRow | None") -> str:
    return "" if row is None else f"{one_line(row.text)} In truth: {row.label}."


def _hallucinations(judgement: Judgement) -> int:
    return sum(mention.verdict == "hallucinated" for mention in judgement.mentions)


def _metrics(metrics: Mapping[str, Family]) -> Iterator[dict[str, str]]:
    for family, values in metrics.items():
        for name, value in (values.__pydantic_extra__ or {}).items():
            better = {True: "higher is better", False: "lower is better", None: ""}[value.higher_is_better]
            yield {
                "name": f"{family}.{name}",
                "value": "-" if value.value is None else f"{value.value:.3f}",
                "interval": _interval(value),
                "better": better,
            }


def _interval(value: Estimate) -> str:
    if value.ci is None:
        return value.reason or ""
    return f"{value.ci[0]:.3f} to {value.ci[1]:.3f}"


def _categories(scores: Scores) -> list[dict[str, str | int | float]]:
    family = scores.metrics.get("objects")
    if family is None or family.per_category is None:
        return []
    rows = [
        {"name": name, **found.counts} for name, found in family.per_category.items() if found.counts["fp"]
    ]
    return sorted(rows, key=lambda row: (-float(row["fp"]), row["name"]))[:CATEGORIES]


def _encode(image: "Image.Image | None") -> str | None:
    if image is None:
        return None
    small = image.copy()
    small.thumbnail((THUMBNAIL, THUMBNAIL))
    jpeg = io.BytesIO()
    small.save(jpeg, format="JPEG", quality=85)
    return base64.b64encode(jpeg.getvalue()).decode()
