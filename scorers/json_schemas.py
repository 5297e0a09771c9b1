"""The JSON Schemas that ship with the package, one for each file of the run folder.

`python -m eidolon.scorers.json_schemas` writes them again after a change to the records. A test compares them.
"""

import json
from pathlib import Path
from typing import Any

from eidolon.scorers.core.scores import json_schema
from eidolon.scorers.core.types import Judgement, Response
from eidolon.scorers.forgetting.detail import ForgettingDetail
from eidolon.scorers.forgetting.forced_orders import ForcedTurn
from eidolon.scorers.forgetting.records import Dependence
from eidolon.scorers.retention.records import AnsweredContext

DIRECTORY = Path(__file__).parent / "schemas"
DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schemas() -> dict[str, dict[str, Any]]:
    """Return the schemas by name. Those of `continued`, `dependence`, `held`, `responses` and `judgements` describe
    one line."""
    return {
        "continued": {"$schema": DIALECT, **ForcedTurn.model_json_schema()},
        "forgetting": {"$schema": DIALECT, **ForgettingDetail.model_json_schema(by_alias=True)},
        "judgements": {"$schema": DIALECT, **Judgement.model_json_schema()},
        "dependence": {"$schema": DIALECT, **Dependence.model_json_schema()},
        "held": {"$schema": DIALECT, **AnsweredContext.model_json_schema()},
        "responses": {"$schema": DIALECT, **Response.model_json_schema()},
        "scores": {"$schema": DIALECT, **json_schema()},
    }


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
