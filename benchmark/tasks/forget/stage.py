"""The three measurements of `forget` beside the descriptions: the retention probe, visual prompt dependency and forced
orders. Each completes its files in the run folder."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from eidolon.benchmark.store.atomic import write_atomically
from eidolon.benchmark.store.folder import RunFolder
from eidolon.benchmark.store.record import SampleRow
from eidolon.benchmark.tasks.forget.dependency.stage import measure_dependency
from eidolon.benchmark.tasks.forget.dependency.stage import quantities as pdm_quantities
from eidolon.benchmark.tasks.forget.forced_orders.detail import with_orders
from eidolon.benchmark.tasks.forget.forced_orders.stage import OrderSettings, force_orders
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
PLOT, PDM_PLOT, ORDERS_PLOT, KNOWLEDGE_PLOT = "retention.png", "pdm.png", "orders.png", "knowledge.png"


@dataclass(frozen=True, slots=True)
class Forget:
    """The settings of the measurements, and the judges that find the objects that a text names."""

    retention: RetentionSettings
    orders: OrderSettings
    knowledge: KnowledgeSettings | None
    """None leaves the probe of knowledge out."""
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
    knowledge = None if forget.knowledge is None else probe_knowledge(forget.knowledge, measurement)
    source.release()
    plots = [retention_plot]
    if knowledge is not None:
        from eidolon.benchmark.tasks.forget.knowledge.plot import draw_knowledge, why_no_knowledge

        scores = with_quantities(scores, FAMILY, knowledge_quantities(knowledge.found))
        if why_no_knowledge(knowledge) is None:
            plots.append(draw_knowledge(knowledge, name))
            write_atomically(folder.path / KNOWLEDGE_PLOT, plots[-1])
    if table.responses:
        plots.append(draw_pdm(table, name))
        write_atomically(folder.path / PDM_PLOT, plots[-1])
    if orders.found.contrasts:
        from eidolon.benchmark.tasks.forget.forced_orders.plot import draw_orders

        plots.append(draw_orders(orders, name))
        write_atomically(folder.path / ORDERS_PLOT, plots[-1])
    scores = with_forgetting(scores, detail.points, detail.trained_tokens, table)
    return with_orders(scores, orders.found), plots


def with_forgetting(
    scores: Scores, points: Sequence[RetentionAtLength], trained_tokens: int | None, table: PdmTable
) -> Scores:
    """Return the scores with the retention and the dependency added to the family `forgetting`."""
    found = retention_quantities(points, trained_tokens) | pdm_quantities(table)
    return with_quantities(scores, FAMILY, found)
