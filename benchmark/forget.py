"""The task `forget`: what is measured of a model's memory of the picture beside the descriptions it wrote.

The descriptions are judged and scored as in `describe`, with the metric `forgetting` among the others. Then the model
is put into texts of a set length and asked what it still knows: the retention probe. Its own descriptions are read with
the picture and without: visual prompt dependency. Last, its turn is begun with the small objects, or the large ones,
and it goes on: forced orders.
"""

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from eidolon.benchmark.log import timed
from eidolon.benchmark.orders.detail import with_orders
from eidolon.benchmark.orders.stage import OrderSettings, force_orders
from eidolon.benchmark.retention.design import Namer
from eidolon.benchmark.retention.detail import with_retention
from eidolon.benchmark.retention.stage import Interviewer, RetentionSettings, probe_retention
from eidolon.benchmark.run_folder import PDM, RunFolder, SampleRow, write_atomically
from eidolon.models.base import Request
from eidolon.scorers.errors import UserError
from eidolon.scorers.forgetting.dependency import PdmTable
from eidolon.scorers.metric import JudgedSample
from eidolon.scorers.scores import Scores
from eidolon.scorers.types import Judge, Response

PLOT, PDM_PLOT, ORDERS_PLOT = "retention.png", "pdm.png", "orders.png"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Forget:
    """What is measured, and who reads which objects a text names."""

    retention: RetentionSettings
    orders: OrderSettings
    namers: tuple[Judge, ...]
    """Readings of text; what one of them finds is named."""

    def namer(self) -> Namer:
        """Return what finds all categories that a text names."""

        def name(text: str) -> Collection[str]:
            response = Response(sample_id="text", image_id="text", response=text)
            return {
                m.category for judge in self.namers for one in judge.judge([response]) for m in one.mentions
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
    interviewer: Interviewer,
) -> tuple[Scores, list[bytes]]:
    """Measure what the folder lacks; return the scores with it and the plots, which lie in the folder too."""
    from eidolon.benchmark.retention.plot import draw_retention

    detail = probe_retention(
        forget.retention, folder, name, rows, responses, scores.signature, interviewer, forget.namer
    )
    plot = draw_retention(detail, name)
    write_atomically(folder.path / PLOT, plot)
    table = _measure_pdm(forget, folder, rows, responses, interviewer)
    orders = force_orders(forget.orders, folder, name, rows, judged, scores.signature, interviewer)
    interviewer.release()
    scores = with_orders(with_retention(scores, detail.points), orders.found)
    plots = [plot]
    if table is not None:
        from eidolon.benchmark.pdm_plot import draw_pdm

        plots.append(draw_pdm(table, name))
        write_atomically(folder.path / PDM_PLOT, plots[-1])
    if orders.found.contrasts:
        from eidolon.benchmark.orders.plot import draw_orders

        plots.append(draw_orders(orders, name))
        write_atomically(folder.path / ORDERS_PLOT, plots[-1])
    return scores, plots


def _measure_pdm(
    forget: Forget,
    folder: RunFolder,
    rows: Sequence[SampleRow],
    responses: Sequence[Response],
    interviewer: Interviewer,
) -> PdmTable | None:
    """Return visual prompt dependency along the first response to each sample, None where it cannot be had."""
    path = folder.path / PDM
    if path.exists():
        return PdmTable.model_validate_json(path.read_bytes())
    from eidolon.benchmark.pdm import measure_pdm, require_probabilities

    model: Any = interviewer.interviewee()
    first = {response.sample_id: response for response in reversed(responses)}
    requests, texts, objects = [], [], []
    for row in rows:
        response = first[row.sample_id]
        if response.response is None:  # its picture may be what failed
            continue
        picture = interviewer.picture(row.sample_id)
        assert picture is not None
        requests.append(Request(row.sample_id, row.image_id, picture, forget.retention.prompt))
        texts.append(response.response)
        objects.append(row.objects)
    try:
        require_probabilities(model)
        with timed("dependency measured", responses=len(texts)):
            table = measure_pdm(
                model,
                requests,
                texts,
                objects=objects,
                seed=forget.retention.seed,
                resamples=forget.retention.resamples,
            )
    except UserError as error:  # the probe stands without it
        _log.warning("no visual prompt dependency", extra={"fields": {"reason": str(error)}})
        return None
    write_atomically(path, table.to_json())
    return table
