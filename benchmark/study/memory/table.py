"""Prints the study: sizes, scores and retention of the variants, and the comparisons."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text as RichText

from eidolon.benchmark.study.memory.records import MemoryStudy, MemoryVariant, RetentionComparison
from eidolon.scorers.core.estimate import Estimate
from eidolon.scorers.retention.measure import Series
from eidolon.scorers.retention.records import Condition

SHOWN = (128, 512, 2048, 8192)
"""Lengths with printed bytes. `memory.json` has more."""


def show(study: MemoryStudy, console: Console) -> None:
    """Print the study's tables."""
    console.print(_sizes(study))
    console.print(_scores(study))
    console.print(_retention(study))
    beyond = sorted({p.n for v in study.variants for p in v.retention if p.beyond_training})
    if beyond:
        console.print(f"*: longer than any training text ({', '.join(map(str, beyond))})")
    for variant in study.variants:
        for note in _notes(variant):
            console.print(note, markup=False, highlight=False)
    if any(one.registered for one in study.comparisons):
        console.print(_comparisons(study, [one for one in study.comparisons if one.registered]))
    stores = [one for one in study.comparisons if one.b.partition("[")[2] and one.condition == "filler"]
    if stores:
        console.print(_comparisons(study, stores))


def _notes(variant: MemoryVariant) -> list[str]:
    notes = []
    if variant.seeing == "did not learn to see":
        notes.append(f"{variant.variant}: did not learn to see, so its retention does not measure forgetting")
    for checkpoint, found in zip(variant.checkpoints, variant.predictor_r_squared, strict=False):
        shown = "not measured" if found is None else ", ".join(f"{value:.2f}" for value in found)
        notes.append(f"{variant.variant}, seed {checkpoint.seed}: R² of the predictors by layer: {shown}")
    if variant.not_reported is not None:
        notes.append(f"{variant.variant}: not reported: {variant.not_reported}")
    if variant.reach is not None:
        checks = [
            f"{c.condition} {c.n} {'at chance' if c.at_chance else 'NOT at chance'}"
            for c in variant.reach.checks
        ]
        notes.append(
            f"{variant.variant}: tokens more than {variant.reach.tokens} back cannot be seen"
            + (f": {', '.join(checks)}" if checks else "")
        )
    if variant.position_effect is not None and variant.position_effect.odds_ratio.value is None:
        reason = (variant.position_effect.reason or "").partition(";")[0]
        notes.append(f"{variant.variant}: no odds ratio for position: {reason}")
    return notes


def _sizes(study: MemoryStudy) -> Table:
    shown = [variant for variant in study.variants if variant.size is not None]
    lengths = [n for n in (shown[0].size.bytes_at if shown and shown[0].size else ()) if n in SHOWN]
    table = Table(
        title=f"Sizes: bytes = tokens that full attention keeps in as many bytes; speed on {study.machine}",
        title_justify="left",
    )
    for name in ("variant", "layout", "parameters"):
        table.add_column(name)
    for n in lengths:
        table.add_column(f"KiB at {n}", justify="right")
    for n in (lengths[0], lengths[-1]) if lengths else ():
        table.add_column(f"tokens/s at {n}", justify="right")
    for variant in shown:
        size = variant.size
        assert size is not None
        off = "" if size.parameters_match in (True, None) else " (!)"
        table.add_row(
            RichText(variant.variant),
            "-".join(variant.memory["layout"]),
            f"{size.text_parameters:,}{off}",
            *(
                f"{size.bytes_at[n] / 1024:.1f}\n= {size.attention_tokens_of_same_bytes[n]:.0f}"
                for n in lengths
            ),
            *(
                f"{size.tokens_per_second[n]:.0f}"
                + (f"\nx{size.speed_to_attention[n]:.2f}" if size.speed_to_attention else "")
                for n in (lengths[0], lengths[-1])
            ),
        )
    return table


def _scores(study: MemoryStudy) -> Table:
    table = Table(title="Descriptions and answers, 95 % intervals", title_justify="left")
    table.add_column("variant")
    columns = (
        "yes/no n=0",
        "recall",
        "CHAIR_i",
        "words",
        "nats/token",
        "naming",
        "OR/100 words",
        "PDM decay",
    )
    for name in columns:
        table.add_column(name, justify="right")
    for variant in study.variants:
        if not variant.scores:
            continue
        texts = {text.text: text for text in variant.texts}
        effect = variant.position_effect
        table.add_row(
            RichText(f"{variant.variant}\n{_seeds(variant)}"),
            _cell(variant.yes_no_accuracy),
            *(_cell(variant.scores[name]) for name in ("recall", "chair_i")),
            _cell(variant.scores["words"], 1),
            _cell(texts["usual"].whole.nats),
            _cell(texts["usual"].whole.name_nats),
            _cell(None if effect is None else effect.odds_ratio),
            _cell(texts["own"].decay_per_100_tokens),
        )
    return table


def _seeds(variant: MemoryVariant) -> str:
    count = len(variant.checkpoints)
    return f"({count} seeds)" if count > 1 else "(1 seed: over images)"


def _retention(study: MemoryStudy) -> Table:
    table = Table(title="Retention R(n)/R(0), unnamed objects, 95 % intervals", title_justify="left")
    table.add_column("variant")
    table.add_column("text")
    for n in study.settings.lengths:
        beyond = any(p.beyond_training for v in study.variants for p in v.retention if p.n == n)
        table.add_column(f"{n}*" if beyond else str(n), justify="right")
    rows: tuple[tuple[Condition, Series], ...] = (
        ("filler", "unnamed"),
        ("words", "unnamed"),
        ("own", "unnamed"),
        ("other", "unnamed"),
        ("before", "unnamed"),
        ("filler", "text"),
    )
    for variant in study.variants:
        found = {(p.condition, p.series, p.n): p for p in variant.retention}
        for condition, series in rows:
            points = [found.get((condition, series, n)) for n in study.settings.lengths]
            if any(points):
                label = "(stated fact, filler)" if series == "text" else condition
                cells = [_cell(None if p is None else p.retention) for p in points]
                if variant.not_reported is not None:
                    cells = ["not reported"] * len(points)
                table.add_row(RichText(variant.variant), label, *cells)
        table.add_section()
    return table


def _comparisons(study: MemoryStudy, rows: Sequence[RetentionComparison]) -> Table:
    registered = rows[0].registered
    title = (
        f"Registered comparisons ({len(rows)} of {study.registered}), Holm-corrected"
        if registered
        else "Other rules for the stores"
    )
    table = Table(title=title, title_justify="left")
    for name in ("a - b", "n", "difference of retention", "p", "p (Holm)", "R(0) equal", "outcome"):
        table.add_column(name)
    for one in rows:
        table.add_row(
            RichText(f"{one.a} - {one.b}"),
            str(one.n),
            _cell(one.difference),
            "-" if one.p is None else f"{one.p:.4f}",
            "-" if one.p_holm is None else f"{one.p_holm:.4f}",
            "-" if one.matched is None else "yes" if one.matched else "no",
            one.outcome if one.reason is None else f"{one.outcome}: {one.reason}",
        )
    return table


def _cell(number: Estimate | None, digits: int = 2) -> str:
    if number is None or number.value is None:
        return "-"
    if number.ci is None:
        return f"{number.value:.{digits}f}"
    return f"{number.value:.{digits}f}\n{number.ci[0]:.{digits}f}-{number.ci[1]:.{digits}f}"
