"""The JSON Schemas of the files that `eidolon.benchmark` writes; `eidolon.scorers` has those of its own.

`python -m eidolon.benchmark.json_schemas` writes them again after a change to the models; a test compares.
"""

import json
from pathlib import Path
from typing import Any

from eidolon.benchmark.report.leaderboard import Leaderboard
from eidolon.benchmark.report.trace.records import Trace
from eidolon.benchmark.store.diagnosis import Diagnosis
from eidolon.benchmark.store.record import RunRecord, SampleRow
from eidolon.benchmark.study.memory.records import MemoryStudy
from eidolon.benchmark.study.recall.detail import MqarDetail
from eidolon.benchmark.tasks.forget.forced_orders.detail import OrdersDetail
from eidolon.benchmark.tasks.forget.retention.detail import RetentionDetail
from eidolon.benchmark.tasks.rows import AnswerRow, FreeFormRow, QuestionRow, WordRow
from eidolon.benchmark.verify.check.findings import Report
from eidolon.benchmark.verify.compare import Comparison
from eidolon.scorers.forgetting.dependency import PdmTable
from eidolon.scorers.json_schemas import DIALECT, text

DIRECTORY = Path(__file__).parent / "schemas"


def schemas() -> dict[str, dict[str, Any]]:
    """Return the schemas by name. Those of `answers`, `free_form`, `questions`, `samples` and `words` describe
    one line."""
    return {
        "answers": {"$schema": DIALECT, **AnswerRow.model_json_schema()},
        "check": {"$schema": DIALECT, **Report.model_json_schema(by_alias=True)},
        "comparison": {"$schema": DIALECT, **Comparison.model_json_schema(by_alias=True)},
        "doctor": {"$schema": DIALECT, **Diagnosis.model_json_schema(by_alias=True)},
        "free_form": {"$schema": DIALECT, **FreeFormRow.model_json_schema()},
        "leaderboard": {"$schema": DIALECT, **Leaderboard.model_json_schema(by_alias=True)},
        "memory": {"$schema": DIALECT, **MemoryStudy.model_json_schema(by_alias=True)},
        "mqar": {"$schema": DIALECT, **MqarDetail.model_json_schema(by_alias=True)},
        "orders": {"$schema": DIALECT, **OrdersDetail.model_json_schema(by_alias=True)},
        "pdm": {"$schema": DIALECT, **PdmTable.model_json_schema(by_alias=True)},
        "questions": {"$schema": DIALECT, **QuestionRow.model_json_schema()},
        "retention": {"$schema": DIALECT, **RetentionDetail.model_json_schema(by_alias=True)},
        "run": {"$schema": DIALECT, **RunRecord.model_json_schema(by_alias=True)},
        "samples": {"$schema": DIALECT, **SampleRow.model_json_schema()},
        "trace": {"$schema": DIALECT, **Trace.model_json_schema(by_alias=True)},
        "words": {"$schema": DIALECT, **WordRow.model_json_schema()},
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
