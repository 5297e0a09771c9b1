"""How a run changes over the length of a text: hallucination, dependence on the picture, retention, forced orders."""

from collections.abc import Iterator

from eidolon.benchmark.report.view.records import Chart, Effect, Line, Position
from eidolon.benchmark.store.files import ORDERS, PDM, RETENTION
from eidolon.benchmark.store.loaded import LoadedRun
from eidolon.benchmark.tasks.forget.dependency.plot import LEAST_TOKENS, NAMES
from eidolon.benchmark.tasks.forget.forced_orders.detail import OrdersDetail
from eidolon.benchmark.tasks.forget.retention.detail import RetentionDetail
from eidolon.benchmark.tasks.forget.retention.plot import LEAST_IMAGES, LINES
from eidolon.scorers.core.estimate import Estimate
from eidolon.scorers.forgetting.dependency import PdmCurve, PdmTable
from eidolon.scorers.forgetting.detail import ForgettingDetail
from eidolon.scorers.forgetting.fits import Fit
from eidolon.scorers.forgetting.rivals.held import PLAIN
from eidolon.scorers.forgetting.rivals.table import Rivals
from eidolon.scorers.forgetting.subsets import ALL, FIRST

FORGETTING = "forgetting.json"
RIVALS = "rivals.json"
LEAST_MENTIONS = 10
"""Points with fewer mentions are not drawn: their rates jump."""
RATE = "the odds that a newly named object is not in the picture"
READ_PDM = (
    "PDM-H is how far the prediction of a token changes when the picture is taken away: 0 means not at all, 1 "
    "completely. A line that falls says that later words depend less on the picture."
)
READ_RETENTION = (
    "Retention is how much of the model's knowledge about the picture is left after n tokens of text: 1 means that "
    "nothing is lost, 0 that its answers are no better than chance."
)
NOT_HELD = (
    "How easy the objects are to see is not held, so this does not say that the model forgets the picture: naming easy "
    "objects first looks the same."
)
EFFECTS = {
    "difficulty": "Objects that are hard to see are left, instead of easy ones, at the same place in the text.",
    "lateness": "The same objects are left, but later in the text.",
}


def position(run: LoadedRun) -> Position:
    """Return the rate of hallucination by words, and the late-minus-early odds ratio in words.

    Raises:
        RunFileError: the run's file of them cannot be read.
    """
    rivals, verdict = _rivals(run)
    if not run.has(FORGETTING):
        reason = "This run has no forgetting.json: the metric forgetting was not computed."
        return Position(reason=reason, rivals=rivals, verdict=verdict)
    detail = run.document(FORGETTING, ForgettingDetail)
    curves = {
        line.label: line.points for line in detail.curves if line.unit == "words" and line.label != ALL.label
    }
    return Position(
        reason=None if curves else "No response names an object, so there is no rate of hallucination.",
        curves=curves,
        first=FIRST.label if FIRST.label in curves else None,
        least=LEAST_MENTIONS,
        late_early=detail.late_early.model_copy(update={"label": "late-minus-early odds ratio"}),
        sentence=odds_sentence(detail.late_early),
        sensitivity=detail.sensitivity,
        rivals=rivals,
        verdict=verdict,
    )


def _rivals(run: LoadedRun) -> tuple[tuple[Fit, ...], str]:
    """Return the rivals as odds ratios, the plain one first, and what they allow to say."""
    if not run.has(RIVALS):
        return (), ""
    found = run.document(RIVALS, Rivals)
    rows = [(PLAIN.label, found.plain), *((one.held, one.effect) for one in found.rivals)]
    fits = tuple(
        Fit(label=label, odds_ratio=one.odds_ratio, ci=one.ci, reason=one.reason) for label, one in rows
    )
    return fits, found.sentence


def odds_sentence(fit: Fit) -> str:
    """Return what a late-minus-early odds ratio says, in one sentence, or why there is none."""
    if fit.odds_ratio is None or fit.ci is None:
        return f"There is no late-minus-early odds ratio: {fit.reason}."
    low, high = fit.ci
    interval = f"95 % interval {low:.2f} to {high:.2f}"
    size = f"100 words later, {RATE} are {fit.odds_ratio:.2f} times as high ({interval})"
    held = "at the same number of objects still unnamed and in responses of the same length"
    if low > 1:
        return f"{size}, {held}: hallucination rises with position. {NOT_HELD}"
    if high < 1:
        return f"{size}, {held}: hallucination falls with position. {NOT_HELD}"
    smallest = (
        ""
        if fit.minimum_detectable is None
        else f" (a ratio of {fit.minimum_detectable:.2f} would have shown)"
    )
    return f"{size}, {held}: the interval holds 1, so no effect of position is shown{smallest}."


def charts(run: LoadedRun) -> tuple[Chart, ...]:
    """Return the charts of what else was measured over the length of a text.

    Raises:
        RunFileError: a file of them cannot be read.
    """
    return tuple(_charts(run))


def _charts(run: LoadedRun) -> Iterator[Chart]:
    if run.has(PDM):
        yield _dependence(run.document(PDM, PdmTable))
    if run.has(RETENTION):
        yield _retention(run.document(RETENTION, RetentionDetail))


def _dependence(table: PdmTable) -> Chart:
    fade = table.fade
    notes = []
    if fade.decay_per_100 is not None:
        interval = (
            "" if fade.decay_per_100_ci is None else " ({:.0%} to {:.0%})".format(*fade.decay_per_100_ci)
        )
        notes.append(
            f"Fitted over all tokens, dependence falls by {fade.decay_per_100:.0%}{interval} per 100 tokens."
        )
    lines = tuple(_pdm_line(curve) for curve in table.curves if not curve.survivors)
    return Chart(
        title="Dependence on the picture (PDM-H)",
        sentence=READ_PDM,
        x="token of the response",
        y="mean PDM-H",
        logarithmic=False,
        lines=tuple(line for line in lines if line.points),
        notes=tuple(notes),
        reason=None if table.tokens else "No token was measured.",
    )


def _pdm_line(curve: PdmCurve) -> Line:
    return Line(
        label=NAMES[curve.label],
        points=tuple(
            (p.start if p.end is None else (p.start + p.end) / 2, p.value, *_bounds(p), p.tokens)
            for p in curve.points
            if p.value is not None and p.tokens >= LEAST_TOKENS
        ),
    )


def _retention(detail: RetentionDetail) -> Chart:
    lines = []
    for (condition, series), (label, _, _) in LINES.items():
        points = tuple(
            (float(p.n), p.retention.value, *_bounds(p.retention), p.images)
            for p in detail.points
            if (p.condition, p.series) == (condition, series)
            and p.images >= LEAST_IMAGES
            and p.retention.value is not None
        )
        if points:
            lines.append(Line(label=label, points=points))
    found = [f for f in detail.findings if f.verdict not in ("no fall seen", "not measured")]
    notes = [f"{f.condition}, {f.n} tokens: {f.verdict} ({f.reason})." for f in found]
    if not notes:
        notes.append("No condition shows a fall that the controls do not explain.")
    if detail.trained_tokens is not None and detail.extrapolated(max(detail.lengths, default=0)):
        notes.append(f"Texts longer than {detail.trained_tokens} tokens are longer than any training text.")
    return Chart(
        title="Retention of the picture",
        sentence=READ_RETENTION,
        x="tokens of text",
        y="retention R(n) / R(0)",
        logarithmic=True,
        lines=tuple(lines),
        notes=tuple(notes),
        reason=None if lines else "No length has enough images to compute a retention; see retention.json.",
    )


def effects(run: LoadedRun) -> tuple[Effect, ...]:
    """Return the contrasts of forced orders.

    Raises:
        RunFileError: the file of them cannot be read.
    """
    if not run.has(ORDERS):
        return ()
    detail = run.document(ORDERS, OrdersDetail)
    return tuple(
        Effect(
            label=contrast.name,
            estimate=contrast.rate if contrast.reason is None else Estimate.undefined(contrast.reason),
            sentence=EFFECTS[contrast.name],
        )
        for contrast in detail.found.contrasts
        if contrast.name in EFFECTS
    )


def _bounds(estimate: Estimate) -> tuple[float | None, float | None]:
    return (None, None) if estimate.ci is None else estimate.ci
