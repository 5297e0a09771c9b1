"""The JSON Schemas that ship with the package, one for each file of the run folder.

`python -m eidolon.scorers.json_schemas` writes them again after a change to the records. A test compares them.
"""

import ast
import inspect
import json
import textwrap
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core.core_schema import ModelSchema

from eidolon.scorers.core.scores import Scores
from eidolon.scorers.core.types import Judgement, Response
from eidolon.scorers.forgetting.attention import AttentionLine
from eidolon.scorers.forgetting.cloze import ClozeContext
from eidolon.scorers.forgetting.detail import ForgettingDetail
from eidolon.scorers.forgetting.forced_orders import ForcedTurn
from eidolon.scorers.forgetting.interventions import InterventionTurn
from eidolon.scorers.forgetting.knowledge_records import ProbedImage
from eidolon.scorers.forgetting.records import Dependence
from eidolon.scorers.forgetting.rivals.table import Rivals
from eidolon.scorers.retention.records import AnsweredContext

DIRECTORY = Path(__file__).parent / "schemas"
DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schemas() -> dict[str, dict[str, Any]]:
    """Return the schemas by name. Those of `attended`, `changed`, `completed`, `continued`, `dependence`, `held`,
    `probed`, `responses` and `judgements` describe one line."""
    return {
        "attended": schema_of(AttentionLine),
        "changed": schema_of(InterventionTurn),
        "completed": schema_of(ClozeContext),
        "continued": schema_of(ForcedTurn),
        "forgetting": schema_of(ForgettingDetail),
        "judgements": schema_of(Judgement),
        "dependence": schema_of(Dependence),
        "held": schema_of(AnsweredContext),
        "probed": schema_of(ProbedImage),
        "responses": schema_of(Response),
        "rivals": schema_of(Rivals),
        "scores": schema_of(Scores),
    }


def schema_of(record: type[BaseModel]) -> dict[str, Any]:
    """Return the schema of a file or a line, with the docstrings of its fields as their descriptions."""
    return {
        "$schema": DIALECT,
        **record.model_json_schema(by_alias=True, schema_generator=_Described),
    }


class _Described(GenerateJsonSchema):
    """Reads the docstrings only when the files are written: pydantic's own option reads them at every import."""

    def model_schema(self, schema: ModelSchema) -> JsonSchemaValue:
        found = super().model_schema(schema)
        record: type[BaseModel] = schema["cls"]
        described = {
            name: text for base in reversed(record.__mro__) for name, text in _docstrings(base).items()
        }
        for name, field in record.model_fields.items():
            about = found.get("properties", {}).get(field.alias or name)
            if about is not None and name in described:
                about.setdefault("description", described[name])
        return found


def _docstrings(record: type) -> dict[str, str]:
    """Return the text below each field of a class, by the field's name."""
    if not issubclass(record, BaseModel) or record is BaseModel:
        return {}
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(record))).body
    assert isinstance(body, ast.ClassDef)
    found = {}
    for field, below in zip(body.body, body.body[1:], strict=False):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(below, ast.Expr)
            and isinstance(below.value, ast.Constant)
            and isinstance(below.value.value, str)
        ):
            found[field.target.id] = " ".join(below.value.value.split())
    return found


def text(schema: dict[str, Any]) -> str:
    """Return the text of a schema file."""
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def path(name: str) -> Path:
    """Return the path of the schema with this name in the package."""
    return DIRECTORY / f"{name}.schema.json"


def main() -> None:
    """Write all schema files."""
    DIRECTORY.mkdir(exist_ok=True)
    for name, schema in schemas().items():
        path(name).write_text(text(schema), encoding="utf-8")


if __name__ == "__main__":
    main()
