"""The three measurements of `forget` beside the descriptions: the retention probe, visual prompt dependency and forced
orders. Each completes its files in the run folder."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from eidolon.benchmark.store.atomic import write_atomically
from eidolon.benchmark.store.folder import RunFolder
from eidolon.benchmark.store.record import SampleRow
from eidolon.benchmark.tasks.forget.attention.detail import quantities as attention_quantities
from eidolon.benchmark.tasks.forget.attention.stage import AttentionSettings, measure_looking
from eidolon.benchmark.tasks.forget.cloze.detail import quantities as cloze_quantities
from eidolon.benchmark.tasks.forget.cloze.stage import ClozeSettings, score_cloze
from eidolon.benchmark.tasks.forget.dependency.stage import measure_dependency
from eidolon.benchmark.tasks.forget.dependency.stage import quantities as pdm_quantities
from eidolon.benchmark.tasks.forget.forced_orders.detail import with_orders
from eidolon.benchmark.tasks.forget.forced_orders.stage import OrderSettings, force_orders
from eidolon.benchmark.tasks.forget.interventions.detail import quantities as intervention_quantities
from eidolon.benchmark.tasks.forget.interventions.stage import InterventionSettings, intervene
from eidolon.benchmark.tasks.forget.knowledge.detail import quantities as knowledge_quantities
from eidolon.benchmark.tasks.forget.knowledge.stage import KnowledgeSettings, probe_knowledge
from eidolon.benchmark.tasks.forget.measurement import Measurement, ModelSource
from eidolon.benchmark.tasks.forget.retention.design import Namer
from eidolon.benchmark.tasks.forget.retention.detail import quantities as retention_quantities
from eidolon.benchmark.tasks.forget.retention.stage import RetentionSettings, probe_retention
from eidolon.scorers.core.judge import Judge
from eidolon.scorers.core.metric import JudgedSample
from eidolon.scorers.core.scores import Scores, with_quantities
from eidolon.scorers.core.types import Response
from eidolon.scorers.forgetting.dependency import PdmTable
from eidolon.scorers.judges.judged_text import judge_texts
from eidolon.scorers.retention.measure import RetentionAtLength

FAMILY = "forgetting"
PLOT, PDM_PLOT, ORDERS_PLOT = "retention.png", "pdm.png", "orders.png"
KNOWLEDGE_PLOT, CLOZE_PLOT = "knowledge.png", "cloze.png"
INTERVENTIONS_PLOT, ATTENTION_PLOT = "interventions.png", "attention.png"


@dataclass(frozen=True, slots=True)
class Forget:
    """The settings of the measurements, and the judges that find the objects that a text names."""

    retention: RetentionSettings
    orders: OrderSettings
    knowledge: KnowledgeSettings | None
    """None leaves the probe of knowledge out; so for the others."""
    cloze: ClozeSettings | None
    interventions: InterventionSettings | None
    attention: AttentionSettings | None
    namers: tuple[Judge, ...]
    """Readings of text, the careful one first. A text names what any of them finds."""

    def namer(self) -> Namer:
        """Return the function that finds all categories that a text names."""

        def name(text: str) -> Collection[str]:
            response = Response(sample_id="text", image_id="text", response=text)
            return {
                m.category
                for judge in self.namers
                for one in judge_texts(judge, [response])
                for m in one.mentions
            }

        return name


def measure_forgetting(
    forget: Forget,
    folder: RunFolder,
    name: str,
    rows: Sequence[SampleRow],
    responses: Sequence[Response],
    judged: Sequence[JudgedSample],
    scores: Scores,
    source: ModelSource,
) -> tuple[Scores, list[bytes]]:
    """Complete the measurements. Return the scores with them, and the plots, which are written to the folder too."""
    from eidolon.benchmark.tasks.forget.dependency.plot import draw_pdm
    from eidolon.benchmark.tasks.forget.retention.plot import draw_retention

    retention = forget.retention
    before = dict(folder.record.usage or {})

    def count_usage() -> None:
        if (usage := source.usage()) is not None:
            folder.count_usage(before, usage)

    measurement = Measurement(
        folder, name, rows, responses, judged, scores.signature, source, count_usage=count_usage
    )
    detail = probe_retention(retention, measurement, forget.namer)
    retention_plot = draw_retention(detail, name)
    write_atomically(folder.path / PLOT, retention_plot)
    table = measure_dependency(
        measurement, retention.prompt, forget.namers[0], seed=retention.seed, resamples=retention.resamples
    )
    orders = force_orders(forget.orders, measurement)
    scores, more = _measure_more(forget, measurement, scores)
    source.release()
    plots = [retention_plot]
    if table.responses:
        plots.append(draw_pdm(table, name))
        write_atomically(folder.path / PDM_PLOT, plots[-1])
    if orders.found.contrasts:
        from eidolon.benchmark.tasks.forget.forced_orders.plot import draw_orders

        plots.append(draw_orders(orders, name))
        write_atomically(folder.path / ORDERS_PLOT, plots[-1])
    scores = with_forgetting(scores, detail.points, detail.trained_tokens, table)
    return with_orders(scores, orders.found), [*plots, *more]


def _measure_more(forget: Forget, measurement: Measurement, scores: Scores) -> tuple[Scores, list[bytes]]:
    """Complete the measurements that can be left out. Return the scores with them, and the plots."""
    from eidolon.benchmark.tasks.forget.attention.plot import draw_attention, why_no_attention
    from eidolon.benchmark.tasks.forget.cloze.plot import draw_cloze, why_no_cloze
    from eidolon.benchmark.tasks.forget.interventions.plot import draw_interventions, why_no_interventions
    from eidolon.benchmark.tasks.forget.knowledge.plot import draw_knowledge, why_no_knowledge

    path, name = measurement.folder.path, measurement.name
    plots: dict[str, bytes] = {}
    if forget.knowledge is not None:
        known = probe_knowledge(forget.knowledge, measurement)
        scores = with_quantities(scores, FAMILY, knowledge_quantities(known.found))
        if why_no_knowledge(known) is None:
            plots[KNOWLEDGE_PLOT] = draw_knowledge(known, name)
    if forget.cloze is not None:
        cloze = score_cloze(forget.cloze, measurement, forget.namer)
        scores = with_quantities(scores, FAMILY, cloze_quantities(cloze.found))
        if why_no_cloze(cloze) is None:
            plots[CLOZE_PLOT] = draw_cloze(cloze, name)
    if forget.interventions is not None:
        changed = intervene(forget.interventions, measurement)
        scores = with_quantities(scores, FAMILY, intervention_quantities(changed.found))
        if why_no_interventions(changed) is None:
            plots[INTERVENTIONS_PLOT] = draw_interventions(changed, name)
    if forget.attention is not None:
        looked = measure_looking(forget.attention, measurement)
        scores = with_quantities(scores, FAMILY, attention_quantities(looked.found))
        if why_no_attention(looked) is None:
            plots[ATTENTION_PLOT] = draw_attention(looked, name)
    for file, plot in plots.items():
        write_atomically(path / file, plot)
    return scores, [*plots.values()]


def with_forgetting(
    scores: Scores, points: Sequence[RetentionAtLength], trained_tokens: int | None, table: PdmTable
) -> Scores:
    """Return the scores with the retention and the dependency added to the family `forgetting`."""
    found = retention_quantities(points, trained_tokens) | pdm_quantities(table)
    return with_quantities(scores, FAMILY, found)
