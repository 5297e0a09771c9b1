"""The page of the study: `memory.json` as something to look at. It opens from disk, like that of `eidolon view`."""

from pathlib import Path

from pydantic import ValidationError

from eidolon.benchmark.report.view.document import render
from eidolon.benchmark.report.view.records import Fact
from eidolon.benchmark.store.atomic import write_atomically
from eidolon.benchmark.study.memory.findings import (
    BLIND,
    FEWEST,
    blind_finding,
    cost_finding,
    finding,
    position_finding,
    value_of,
    verdicts,
)
from eidolon.benchmark.study.memory.page_records import MemoryView, PageCondition, PagePoint, PageVariant
from eidolon.benchmark.study.memory.records import MemoryStudy, MemoryVariant
from eidolon.scorers.core.distribution import package_version
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.input_files import MAX_INPUT_BYTES, read_regular

STUDY, PAGE = "memory.json", "memory.html"
MEMORIES = {
    "*": "full attention",
    "SWA": "attention in sliding windows",
    "M2": "Mamba2",
    "GDN": "gated delta rule",
    "GKA": "gated KalmaNet",
    "BMF": "B'MOJO-F: windows and a state",
    "BM": "B'MOJO: windows, a state and a store",
}
R = "Retention is 1 where nothing is lost since the image, and 0 where answers are no better than chance."
CONDITIONS = (
    PageCondition(
        condition="filler",
        series="unnamed",
        label="after neutral filler (primary outcome)",
        sentence=f"Text without content stands between the image and the question. {R}",
    ),
    PageCondition(
        condition="words",
        series="unnamed",
        label="after the words of the filler in random order",
        sentence=f"No word of the text can be predicted, so that it may take the place of the image in a store. {R}",
    ),
    PageCondition(
        condition="own",
        series="unnamed",
        label="after the model's own description",
        sentence=f"The model has described the image, and is asked about objects that it did not name. {R}",
    ),
    PageCondition(
        condition="other",
        series="unnamed",
        label="after the description of another image",
        sentence=f"The text is about another image, and so competes with the one that is asked about. {R}",
    ),
    PageCondition(
        condition="before",
        series="unnamed",
        label="control: filler before the image",
        sentence="The same filler stands before the image, so nothing can be forgotten. A fall here means that "
        "the model cannot answer at this length.",
    ),
    PageCondition(
        condition="filler",
        series="text",
        label="control: a fact stated in text",
        sentence="The question is about a fact that was told in words. A fall only for the image is about the image.",
    ),
)  # fmt: skip


def read_study(file: Path) -> MemoryStudy:
    """Return the study in a `memory.json`.

    Raises:
        UserError: the file cannot be read, or is not a study.
    """
    try:
        return MemoryStudy.model_validate_json(read_regular(file, MAX_INPUT_BYTES))
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error.strerror or error})") from None
    except ValidationError as error:
        problem = error.errors()[0]
        field = ".".join(map(str, problem["loc"]))
        raise UserError(f"{file}: is not a memory study: {field}: {problem['msg']}") from None


def write_page(study: MemoryStudy, page: Path) -> None:
    """Write the page of a study.

    Raises:
        UserError: the place cannot be written.
    """
    view = make_view(study)
    try:
        page.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(page, render(view, view.title))
    except OSError as error:
        raise UserError(f"--out {page}: cannot be written ({error.strerror})") from error


def make_view(study: MemoryStudy) -> MemoryView:
    """Return the data of the page."""
    trained = max((v.trained_tokens or 0 for v in study.variants), default=0)
    models = sum(len(v.checkpoints) for v in study.variants if v.filled_by is None)
    kinds = sum(v.filled_by is None for v in study.variants)
    settings = study.settings
    return MemoryView(
        eidolon=package_version(),
        title="Which memory forgets less?",
        sentence=f"{models} small models of {kinds} variants answered questions about {settings.limit} drawn "
        f"scenes after up to {max(settings.lengths, default=0)} tokens of text, and described "
        f"{settings.descriptions:,}. They differ only in how their layers remember.",
        findings=tuple(_findings(study)),
        lengths=settings.lengths,
        trained_tokens=trained or None,
        fewest=FEWEST,
        conditions=tuple(one for one in CONDITIONS if _measured(study, one)),
        variants=tuple(_variant(one) for one in study.variants),
        comparisons=study.comparisons,
        registered=study.registered,
        machine=study.machine,
        provenance=(
            Fact(label="signature", value=study.signature),
            Fact(label="resamples", value=str(study.resamples)),
            Fact(label="software", value=", ".join(f"{name} {v}" for name, v in study.versions.items())),
            Fact(label="speeds", value=study.machine),
            Fact(label="prompt", value=settings.prompt),
        ),
    )


def _findings(study: MemoryStudy) -> list[str]:
    shown = [one for one in study.variants if one.filled_by is None]
    found = [f"{finding(study, shown, 'retention', '{best} keeps most of the image, {worst} least')}."]
    found += verdicts(study)
    described = [one for one in shown if one.texts]
    if described:
        found.append(f"{position_finding(described)}.")
    if any(one.size for one in shown):
        found.append(f"{cost_finding([one for one in shown if one.size])}.")
    blind = blind_finding(study)
    return [*found, blind] if blind else found


def _measured(study: MemoryStudy, wanted: PageCondition) -> bool:
    return any(
        (point.condition, point.series) == (wanted.condition, wanted.series)
        and value_of(point, "accuracy").value is not None
        for variant in study.variants
        for point in variant.retention
    )


def _variant(one: MemoryVariant) -> PageVariant:
    layout = list(one.memory["layout"])
    kinds = list(dict.fromkeys(layout))
    words = ", ".join(MEMORIES.get(kind, kind) for kind in kinds)
    own = next((text for text in one.texts if text.text == "own"), None)
    return PageVariant(
        name=one.variant,
        layout="-".join(layout),
        memory=words,
        main=one.filled_by is None and one.seeing != BLIND and one.not_reported is None,
        seeing=one.seeing,
        over=one.intervals_over,
        filled_by=one.filled_by,
        seeds=one.checkpoints,
        yes_no_accuracy=one.yes_no_accuracy,
        scores=one.scores,
        points=tuple(
            PagePoint(
                condition=p.condition,
                series=p.series,
                n=p.n,
                images=p.images,
                retention=p.retention,
                accuracy=p.accuracy,
                reason=p.reason,
            )
            for p in one.retention
        ),
        hallucination=one.hallucination,
        position_effect=one.position_effect,
        decay=None if own is None else own.decay_per_100_tokens,
        reach=None if one.reach is None else one.reach.tokens,
        size=one.size,
    )
