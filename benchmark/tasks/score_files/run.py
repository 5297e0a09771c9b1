"""A run over answers that exist already: its files, then its scores, in a run folder of its own."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from eidolon.benchmark.report.page import render_report
from eidolon.benchmark.store.atomic import write_atomically, write_once
from eidolon.benchmark.store.files import REPORT, SCORES
from eidolon.benchmark.store.folder import open_run
from eidolon.benchmark.store.record import SCHEMA, RunRecord, SampleRow, new_session, provenance
from eidolon.scorers.core.scores import Scores
from eidolon.scorers.core.types import Judgement, Response

ANSWERS = "answers.jsonl"
FREE_FORM = "free_form.jsonl"
WORDS = "words.jsonl"


@dataclass(frozen=True, slots=True)
class AnswerRequest:
    """What the command line says to all of these metrics."""

    out: Path
    seed: int
    resamples: int


@dataclass(frozen=True, slots=True)
class Shown:
    """The responses that the report shows, with what is true and what was judged of each."""

    samples: Sequence[SampleRow] = ()
    responses: Sequence[Response] = ()
    judgements: Sequence[Judgement] = ()


@dataclass(frozen=True, slots=True)
class AnswerRun:
    """A run whose inputs have been read and checked. What is called later can fail only by a bug."""

    path: Path
    config: dict[str, Any]
    """Everything that decides the result, JSON-ready."""
    sample_ids: Sequence[str]
    files: Mapping[str, Callable[[], str]]
    """The text of each file beside `scores.json`, by name."""
    scores: Callable[[], Scores]
    main: str
    """What the main column of the table is called where there are variants."""
    shown: Callable[[], Shown] = Shown
    """For the report; nothing where answers were scored and no response was judged."""


def execute(run: AnswerRun) -> Scores:
    """Write what the folder lacks, and the scores."""
    record = RunRecord(
        schema=SCHEMA,
        name=run.path.resolve().name,
        config=run.config,
        batches={"size": max(1, len(run.sample_ids)), "count": min(1, len(run.sample_ids))},
        sample_ids=list(run.sample_ids),
        provenance=provenance(),
        sessions=[new_session()],
    )
    with open_run(run.path, record) as folder:
        for name, text in run.files.items():
            write_once(folder.path / name, text)
        scores = run.scores()
        shown = run.shown()
        report = render_report(
            record.name, scores, shown.samples, shown.responses, shown.judgements, lambda _: None
        )
        write_atomically(folder.path / REPORT, report)
        write_atomically(folder.path / SCORES, scores.to_json())
    return scores


def lines(records: Iterable[BaseModel]) -> str:
    """Return the text of a JSONL file."""
    return "".join(record.model_dump_json() + "\n" for record in records)
