"""Write one reference page for each file format, from the JSON Schemas that the package ships."""

import json
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

from page_parts import code, escape, paragraphs, table, write_folder

FOLDER = "reference/files"
PACKAGES = ("eidolon.benchmark", "eidolon.scorers")


def schemas() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the name and the content of every schema, sorted by name."""
    found = {
        file.name.removesuffix(".schema.json"): json.loads(file.read_text(encoding="utf-8"))
        for package in PACKAGES
        for file in (files(package) / "schemas").iterdir()
        if file.name.endswith(".schema.json")
    }
    yield from sorted(found.items())


def page(name: str, schema: dict[str, Any]) -> str:
    """Return the page of one format: a table of fields for the file itself and one for each record inside it."""
    lines = [
        f"# {schema['title']}: `{name}`",
        "",
        *paragraphs(schema.get("description", "")),
        *_fields(schema),
    ]
    for record, definition in sorted(schema.get("$defs", {}).items()):
        lines += [f"## {record}", "", *paragraphs(definition.get("description", "")), *_fields(definition)]
    return "\n".join(lines).rstrip() + "\n"


def _fields(schema: dict[str, Any]) -> list[str]:
    required = schema.get("required", ())
    rows = [
        [
            code(field),
            escape(kind(about)),
            "required" if field in required else _default(about),
            escape(about.get("description", "")),
        ]
        for field, about in schema.get("properties", {}).items()
    ]
    others = schema.get("additionalProperties")
    if isinstance(others, dict):
        rows.append(["any other name", escape(kind(others)), "", escape(others.get("description", ""))])
    if rows:
        return table(["field", "type", "default", "what it is"], rows)
    return [code(json.dumps(schema["enum"])), ""] if "enum" in schema else []


def _default(about: dict[str, Any]) -> str:
    return code(json.dumps(about["default"], ensure_ascii=False)) if "default" in about else ""


def kind(schema: dict[str, Any]) -> str:
    """Return a schema's type in words, such as `list of Mention, or null`."""
    if "$ref" in schema:
        return schema["$ref"].rpartition("/")[2]
    if "const" in schema:
        return f"`{json.dumps(schema['const'])}`"
    if "enum" in schema:
        return " or ".join(f"`{json.dumps(value)}`" for value in schema["enum"])
    for union in ("anyOf", "oneOf"):
        if union in schema:
            return ", or ".join(dict.fromkeys(kind(part) for part in schema[union]))
    match schema.get("type"):
        case "array" if "prefixItems" in schema:
            return f"list of {', '.join(kind(part) for part in schema['prefixItems'])}"
        case "array":
            return f"list of {kind(schema.get('items', {}))}"
        case "object" if isinstance(schema.get("additionalProperties"), dict):
            return f"object of {kind(schema['additionalProperties'])}"
        case str(name):
            return name
    return "any"


def pages() -> dict[str, str]:
    """Return the page of every format and an index of them, by file name."""
    found, rows = {}, []
    for name, schema in schemas():
        found[f"{name}.md"] = page(name, schema)
        rows.append([f"[`{name}`]({name}.md)", escape(schema.get("description", "").split("\n\n")[0])])
    lines = [
        "# File formats",
        "",
        "Every file that Eidolon writes, field by field. The JSON Schemas ship in the packages, as "
        "`eidolon/benchmark/schemas/NAME.schema.json` and `eidolon/scorers/schemas/NAME.schema.json`.",
        "",
        *table(["schema", "what it describes"], rows),
        *["```{toctree}", ":hidden:", "", *found, "```", ""],
    ]
    return {**found, "index.md": "\n".join(lines)}


def setup(app: Any) -> dict[str, bool]:
    """Write the pages before Sphinx looks for them."""
    app.connect("builder-inited", lambda app: write_folder(Path(app.srcdir) / FOLDER, pages()))
    return {"parallel_read_safe": True}
