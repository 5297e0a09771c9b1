"""Scores of judged responses that are read batch by batch, for folders that do not fit into memory."""

from collections.abc import Sequence

import numpy as np

from eidolon.benchmark.tasks.describe.work import JUDGE_BATCH, JudgedWork
from eidolon.scorers.core.edits import as_judged
from eidolon.scorers.core.judge import VotingJudge
from eidolon.scorers.core.metric import JudgedSample
from eidolon.scorers.core.scores import Scores
from eidolon.scorers.core.types import ImageId, Judgement, Response
from eidolon.scorers.metrics.tally import Tally, can_tally, tally_batch


def score_in_batches(
    work: JudgedWork, responses: Sequence[Response], judgements: Sequence[Judgement]
) -> Scores:
    """Return `work.score`, byte for byte. There is one response and one judgement to each key of the work.

    Only the counts of a batch are kept, unless a metric, the agreement of votes, or a labelled part needs all samples
    at once.
    """
    labelled = any(row.labelled is not None for row in work.samples)
    if labelled or isinstance(work.judged_by, VotingJudge) or not all(map(can_tally, work.metrics)):
        return work.score(responses, judgements)
    rows = {row.sample_id: (row, frozenset(row.objects)) for row in work.samples}
    vocabulary = work.judged_by.vocabulary or None
    tally = Tally(work.metrics, vocabulary)
    position: dict[ImageId, int] = {}
    images = np.zeros(len(responses), dtype=np.int32)
    for start in range(0, len(responses), JUDGE_BATCH):
        found = judgements[start : start + JUDGE_BATCH]
        part = zip(responses[start : start + JUDGE_BATCH], found, strict=True)
        seen = [as_judged(response, judgement) for response, judgement in part]
        samples = []
        for index, (response, judgement) in enumerate(seen, start):
            images[index] = position.setdefault(response.image_id, len(position))
            if judgement.unscored is None:
                row, objects = rows[response.sample_id]
                samples.append(
                    JudgedSample(response, judgement, objects, row.areas, row.sources, row.depicted)
                )
        tally.add(tally_batch([response for response, _ in seen], found, samples, work.metrics, vocabulary))
    return tally.scores(
        images,
        [*position],
        signature=work.signature.line(),
        seed=work.seed,
        resamples=work.resamples,
    )
