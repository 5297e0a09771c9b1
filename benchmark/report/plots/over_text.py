"""The figures over the length of a text: `position`, `retention`, `dependence` and `orders`."""

from collections.abc import Callable
from typing import TypeVar

from pydantic import BaseModel

from eidolon.benchmark.report.plots.records import Drawing, NotDrawnError, PlottedRun
from eidolon.benchmark.store.files import ORDERS, PDM, RETENTION
from eidolon.benchmark.tasks.describe.forgetting_plot import position_figure, why_no_position
from eidolon.benchmark.tasks.forget.dependency.plot import dependence_figure, why_no_dependence
from eidolon.benchmark.tasks.forget.forced_orders.detail import OrdersDetail
from eidolon.benchmark.tasks.forget.forced_orders.plot import orders_figure, why_no_orders
from eidolon.benchmark.tasks.forget.retention.detail import RetentionDetail
from eidolon.benchmark.tasks.forget.retention.plot import retention_figure, why_no_retention
from eidolon.scorers.forgetting.dependency import PdmTable
from eidolon.scorers.forgetting.detail import ForgettingDetail

FORGETTING = "forgetting.json"

DetailT = TypeVar("DetailT", bound=BaseModel)


def position(plotted: PlottedRun) -> Drawing:
    """Return the rate of hallucination by position. Raises UserError where it cannot be drawn."""
    detail = _read(plotted, FORGETTING, ForgettingDetail, "--metric forgetting computes it", why_no_position)
    return lambda sheet: position_figure(detail, plotted.name, sheet)


def retention(plotted: PlottedRun) -> Drawing:
    """Return retention by length of the text. Raises UserError where it cannot be drawn."""
    detail = _read(plotted, RETENTION, RetentionDetail, "run --task forget measures it", why_no_retention)
    return lambda sheet: retention_figure(detail, plotted.name, sheet)


def dependence(plotted: PlottedRun) -> Drawing:
    """Return the dependence on the picture by position. Raises UserError where it cannot be drawn."""
    table = _read(plotted, PDM, PdmTable, "run --task forget measures it", why_no_dependence)
    return lambda sheet: dependence_figure(table, plotted.name, sheet)


def orders(plotted: PlottedRun) -> Drawing:
    """Return the effects of forced orders. Raises UserError where they cannot be drawn."""
    detail = _read(plotted, ORDERS, OrdersDetail, "run --task forget measures it", why_no_orders)
    return lambda sheet: orders_figure(detail, plotted.name, sheet)


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
