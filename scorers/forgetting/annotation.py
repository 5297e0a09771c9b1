"""How much of the rise with position incomplete annotation can explain.

Small and background objects are named late and often have no box. Each such mention counts as hallucinated. Three
analyses bound the effect, each under its own assumption:

- `strata.py`: the rise among categories that annotators rarely miss.
- `captions.py`: what reference captions, a second source, tell about missing boxes.
- `tipping.py`: the share of the late hallucinations that would have to be true objects for the rise to vanish.

`Captions.dependence` connects the last two: it is the odds ratio w between the sources at which the estimate from the
captions reaches the tipping point. Without a third source, no data can tell what w is. Objects that neither source has
are also missing from the count of objects still unnamed.
"""

import re
from collections.abc import Sequence

from eidolon.scorers.core.metric import JudgedSample
from eidolon.scorers.core.resampling import RESAMPLES
from eidolon.scorers.core.types import Record
from eidolon.scorers.forgetting.captions import Captions, compare_captions, fit_late_early
from eidolon.scorers.forgetting.events import Events, read_events
from eidolon.scorers.forgetting.fits import Fit
from eidolon.scorers.forgetting.late_early import LABEL
from eidolon.scorers.forgetting.strata import CategoryStratum, fit_strata, make_strata
from eidolon.scorers.forgetting.tipping import Tipping, tipping_points

_COMPLETE = re.compile(r"scenes-\d+-\d+")
"""Ids of images whose ground truth is complete by construction: those of Scenes."""


class AnnotationBounds(Record):
    """What incomplete annotation can and cannot explain."""

    strata: tuple[CategoryStratum, ...]
    tipping: tuple[Tipping, ...]
    captions: Captions | None = None
    """Null if captions added nothing to the ground truth."""


def annotation_bounds(
    samples: Sequence[JudgedSample],
    *,
    events: Events | None = None,
    late_early: Fit | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> AnnotationBounds | None:
    """Return the bounds. None if the ground truth is complete by construction.

    `events` are those of the samples and `late_early` is the fit of all of them, if the caller has them already. If
    that fit is not possible, nothing else is fitted.
    """
    if all(_COMPLETE.fullmatch(str(sample.response.image_id)) for sample in samples):
        return None
    events = read_events(samples) if events is None else events
    late_early = fit_late_early(LABEL, events) if late_early is None else late_early
    strata = make_strata(samples)
    tipping = tipping_points(samples, events=events, seed=seed) if late_early.reason is None else ()
    known = [sample for sample in samples if sample.sources is not None]
    return AnnotationBounds(
        strata=fit_strata(samples, events, strata, late_early.reason),
        tipping=tipping,
        captions=compare_captions(known, strata, tipping, seed=seed, resamples=resamples) if known else None,
    )
