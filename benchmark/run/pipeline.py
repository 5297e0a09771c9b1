"""A run: rows → produce → judge → score → report, each stage from the files of the one before.

    samples.jsonl ─ produce ─→ responses.jsonl ─ judge ─→ judgements.jsonl ─ score ─ report ─→ report.html, scores.json

The task does the stages (`tasks.protocol.Work`). A stage does what its file lacks, batch by batch, and nothing if the
file is whole; so the same call begins a run, resumes one that was killed, and repeats later stages whose files were
deleted. Batches are fixed by the position of their requests, and every request has a seed of its own, so that a batch
done again is the same batch. A response that failed for a reason that passes (`Response.transient`: a server was
down) counts as missing: the next session asks for it again, with the seed it had, and puts the answer in its place.
"""

import logging
from collections.abc import Callable
from dataclasses import replace

from eidolon.benchmark.data.coco_licences import CSV, MARKDOWN, to_csv, to_markdown
from eidolon.benchmark.run.late_warnings import late_warnings
from eidolon.benchmark.store.atomic import write_atomically, write_once
from eidolon.benchmark.store.files import REPORT, SCORES
from eidolon.benchmark.store.folder import check_folder, open_run
from eidolon.benchmark.store.record import SCHEMA, RunRecord, new_session, provenance
from eidolon.benchmark.tasks.protocol import Producer, Results, Run, Shown
from eidolon.benchmark.terminal.log import timed
from eidolon.benchmark.terminal.progress import busy
from eidolon.scorers.core.foreign import foreign_code
from eidolon.scorers.core.scores import Scores

_log = logging.getLogger(__name__)

Page = Callable[[str, Shown, Producer], str]
"""Renders the report page of a run from its name, what it shows, and the source of its images."""


def execute(run: Run, producer: Producer, page: Page) -> Scores:
    """Bring a run to its end, from wherever it is.

    Raises:
        UserError: before the folder exists, so that none is left behind; or later, for a model or a disk that fails.
    """
    if check_folder(run.path, run.config) is None:
        producer.prepare()
        if run.finds_batch_size:
            run = replace(
                run, batch_size=producer.find_batch_size(run.sized_by or run.keys) or run.batch_size
            )
    work = run.work
    with open_run(run.path, _record(run)) as folder:
        for name, text in work.rows().items():
            write_once(folder.path / name, text)
        if run.attribution:
            write_once(folder.path / CSV, lambda: to_csv(run.attribution))
            write_once(folder.path / MARKDOWN, lambda: to_markdown(run.attribution))
        responses = work.produce(folder, producer)
        judgements = work.judge(folder, responses)
        with (
            busy(f"{run.name}: computing the scores of {len(run.keys)} responses"),
            timed("scored", responses=len(run.keys)),
            foreign_code(),
        ):
            scores = work.score(responses, judgements)
        with busy(f"{run.name}: writing the report"):
            shown = work.report(folder, Results(responses, judgements, scores), producer)
        late = late_warnings(folder.record.judge_weaknesses, scores, responses)
        for weakness in late:
            _log.warning("%s: %s", run.name, weakness)
        folder.record.warnings = (*run.warnings, *late)
        noted = replace(shown, notes=run.config.inputs.notes, warnings=folder.record.warnings)
        write_atomically(folder.path / REPORT, page(run.name, noted, producer))
        write_atomically(folder.path / SCORES, shown.scores.to_json())
    return shown.scores


def _record(run: Run) -> RunRecord:
    return RunRecord(
        schema=SCHEMA,
        name=run.name,
        config=run.config,
        signature=run.signature,
        warnings=run.warnings,
        batches={"size": run.batch_size, "count": -(-len(run.keys) // run.batch_size)},
        sample_ids=list(run.sample_ids),
        provenance=provenance().model_copy(update={"doctor": run.doctor}),
        sessions=[new_session()],
    )
