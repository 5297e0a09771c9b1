"""The figures over the length of a text: hallucination by position, rivals, and what the task `forget` measures."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from pydantic import BaseModel

from eidolon.benchmark.report.plots.records import Drawing, NotDrawnError, PlottedRun
from eidolon.benchmark.store.files import ATTENTION, CLOZE, INTERVENTIONS, KNOWLEDGE, ORDERS, PDM, RETENTION
from eidolon.benchmark.tasks.describe.forgetting_plot import position_figure, why_no_position
from eidolon.benchmark.tasks.describe.rivals_plot import rivals_figure, why_no_rivals
from eidolon.benchmark.tasks.forget.attention.detail import AttentionDetail
from eidolon.benchmark.tasks.forget.attention.plot import attention_figure, why_no_attention
from eidolon.benchmark.tasks.forget.cloze.detail import ClozeDetail
from eidolon.benchmark.tasks.forget.cloze.plot import cloze_figure, why_no_cloze
from eidolon.benchmark.tasks.forget.dependency.plot import dependence_figure, why_no_dependence
from eidolon.benchmark.tasks.forget.forced_orders.detail import OrdersDetail
from eidolon.benchmark.tasks.forget.forced_orders.plot import orders_figure, why_no_orders
from eidolon.benchmark.tasks.forget.interventions.detail import InterventionsDetail
from eidolon.benchmark.tasks.forget.interventions.plot import interventions_figure, why_no_interventions
from eidolon.benchmark.tasks.forget.knowledge.detail import KnowledgeDetail
from eidolon.benchmark.tasks.forget.knowledge.plot import (
    knowledge_figure,
    side_by_side,
    why_no_knowledge,
)
from eidolon.benchmark.tasks.forget.retention.detail import RetentionDetail
from eidolon.benchmark.tasks.forget.retention.plot import retention_figure, why_no_retention
from eidolon.scorers.forgetting.dependency import PdmTable
from eidolon.scorers.forgetting.detail import ForgettingDetail
from eidolon.scorers.forgetting.rivals.table import Rivals

FORGETTING = "forgetting.json"
MEASURES = "run --task forget measures it"
RIVALS = "rivals.json"

DetailT = TypeVar("DetailT", bound=BaseModel)


def position(plotted: PlottedRun) -> Drawing:
    """Return the rate of hallucination by position. Raises UserError where it cannot be drawn."""
    detail = _read(plotted, FORGETTING, ForgettingDetail, "--metric forgetting computes it", why_no_position)
    return lambda sheet: position_figure(detail, plotted.name, sheet)


def rivals(plotted: PlottedRun) -> Drawing:
    """Return the odds ratio with each rival explanation held. Raises UserError where it cannot be drawn."""
    found = _read(plotted, RIVALS, Rivals, "--metric rivals computes it", why_no_rivals)
    return lambda sheet: rivals_figure(found, plotted.name, sheet)


def retention(plotted: PlottedRun) -> Drawing:
    """Return retention by length of the text. Raises UserError where it cannot be drawn."""
    detail = _read(plotted, RETENTION, RetentionDetail, MEASURES, why_no_retention)
    return lambda sheet: retention_figure(detail, plotted.name, sheet)


def dependence(plotted: PlottedRun) -> Drawing:
    """Return the dependence on the picture by position. Raises UserError where it cannot be drawn."""
    table = _read(plotted, PDM, PdmTable, MEASURES, why_no_dependence)
    return lambda sheet: dependence_figure(table, plotted.name, sheet)


def orders(plotted: PlottedRun) -> Drawing:
    """Return the effects of forced orders. Raises UserError where they cannot be drawn."""
    detail = _read(plotted, ORDERS, OrdersDetail, MEASURES, why_no_orders)
    return lambda sheet: orders_figure(detail, plotted.name, sheet)


def knowledge_held(plotted: Sequence[PlottedRun]) -> Drawing:
    """Return position with knowledge held and not held, run by run. Raises UserError if no run has it."""
    details = {
        one.name: one.run.document(KNOWLEDGE, KnowledgeDetail) for one in plotted if one.run.has(KNOWLEDGE)
    }
    if all(why_no_knowledge(detail) is not None for detail in details.values()):
        raise NotDrawnError(f"no run has {KNOWLEDGE} with an odds ratio; {MEASURES}")
    return lambda sheet: side_by_side(details, sheet)


def knowledge(plotted: PlottedRun) -> Drawing:
    """Return position given knowledge. Raises UserError where it cannot be drawn."""
    detail = _read(plotted, KNOWLEDGE, KnowledgeDetail, MEASURES, why_no_knowledge)
    return lambda sheet: knowledge_figure(detail, plotted.name, sheet)


def cloze(plotted: PlottedRun) -> Drawing:
    """Return the generative cloze. Raises UserError where it cannot be drawn."""
    detail = _read(plotted, CLOZE, ClozeDetail, MEASURES, why_no_cloze)
    return lambda sheet: cloze_figure(detail, plotted.name, sheet)


def interventions(plotted: PlottedRun) -> Drawing:
    """Return the effects of interventions. Raises UserError where they cannot be drawn."""
    detail = _read(plotted, INTERVENTIONS, InterventionsDetail, MEASURES, why_no_interventions)
    return lambda sheet: interventions_figure(detail, plotted.name, sheet)


def attention(plotted: PlottedRun) -> Drawing:
    """Return attention on the picture. Raises UserError where it cannot be drawn."""
    detail = _read(plotted, ATTENTION, AttentionDetail, MEASURES, why_no_attention)
    return lambda sheet: attention_figure(detail, plotted.name, sheet)


def _read(
    plotted: PlottedRun,
    file: str,
    record: type[DetailT],
    source: str,
    why_not: Callable[[DetailT], str | None],
) -> DetailT:
    if not plotted.run.has(file):
        raise NotDrawnError(f"the run has no {file}; {source}")
    detail = plotted.run.document(file, record)
    if reason := why_not(detail):
        raise NotDrawnError(reason)
    return detail
