"""The JSON Schemas of the files that `eidolon.benchmark` writes; `eidolon.scorers` has those of its own.

`python -m eidolon.benchmark.json_schemas` writes them again after a change to the models; a test compares.
"""

import json
from pathlib import Path
from typing import Any

from eidolon.benchmark.data.annotation_file import AnnotatedImage, AnnotationHeader
from eidolon.benchmark.report.board.records import BoardView
from eidolon.benchmark.report.leaderboard import Leaderboard
from eidolon.benchmark.report.trace.records import Trace
from eidolon.benchmark.report.view.records import View
from eidolon.benchmark.store.diagnosis import Diagnosis
from eidolon.benchmark.store.record import RunRecord, SampleRow
from eidolon.benchmark.study.memory.records import MemoryStudy
from eidolon.benchmark.study.recall.detail import MqarDetail
from eidolon.benchmark.study.recall.sweep_records import RecallSweep
from eidolon.benchmark.study.search.detail import SearchDetail
from eidolon.benchmark.tasks.forget.attention.detail import AttentionDetail
from eidolon.benchmark.tasks.forget.cloze.detail import ClozeDetail
from eidolon.benchmark.tasks.forget.forced_orders.detail import OrdersDetail
from eidolon.benchmark.tasks.forget.interventions.detail import InterventionsDetail
from eidolon.benchmark.tasks.forget.knowledge.detail import KnowledgeDetail
from eidolon.benchmark.tasks.forget.retention.detail import RetentionDetail
from eidolon.benchmark.tasks.rows import (
    AnswerRow,
    AskedRow,
    BenchmarkRow,
    CaptionRow,
    FreeFormRow,
    QuestionRow,
    WordRow,
)
from eidolon.benchmark.verify.check.findings import Report
from eidolon.benchmark.verify.compare import Comparison
from eidolon.scorers.forgetting.dependency import PdmTable
from eidolon.scorers.json_schemas import schema_of, text

DIRECTORY = Path(__file__).parent / "schemas"


def schemas() -> dict[str, dict[str, Any]]:
    """Return the schemas by name. Those of `annotated`, `answers`, `benchmark_answers`, `benchmark_questions`,
    `caption_scores`, `free_form`, `questions`, `samples` and `words` describe one line."""
    return {
        "annotated": schema_of(AnnotatedImage),
        "annotation": schema_of(AnnotationHeader),
        "answers": schema_of(AnswerRow),
        "benchmark_answers": schema_of(BenchmarkRow),
        "benchmark_questions": schema_of(AskedRow),
        "attention": schema_of(AttentionDetail),
        "caption_scores": schema_of(CaptionRow),
        "check": schema_of(Report),
        "cloze": schema_of(ClozeDetail),
        "comparison": schema_of(Comparison),
        "doctor": schema_of(Diagnosis),
        "free_form": schema_of(FreeFormRow),
        "interventions": schema_of(InterventionsDetail),
        "knowledge": schema_of(KnowledgeDetail),
        "leaderboard": schema_of(Leaderboard),
        "memory": schema_of(MemoryStudy),
        "mqar": schema_of(MqarDetail),
        "orders": schema_of(OrdersDetail),
        "pdm": schema_of(PdmTable),
        "questions": schema_of(QuestionRow),
        "recall": schema_of(RecallSweep),
        "retention": schema_of(RetentionDetail),
        "run": schema_of(RunRecord),
        "samples": schema_of(SampleRow),
        "search": schema_of(SearchDetail),
        "trace": schema_of(Trace),
        "view": schema_of(View),
        "view_leaderboard": schema_of(BoardView),
        "words": schema_of(WordRow),
    }


def read(name: str) -> dict[str, Any]:
    """Return a schema as it ships."""
    schema: dict[str, Any] = json.loads(path(name).read_text(encoding="utf-8"))
    return schema


def path(name: str) -> Path:
    """Return where the schema of that name lies in the package."""
    return DIRECTORY / f"{name}.schema.json"


def main() -> None:
    """Write all schema files."""
    DIRECTORY.mkdir(exist_ok=True)
    for name, schema in schemas().items():
        path(name).write_text(text(schema), encoding="utf-8")


if __name__ == "__main__":
    main()
