"""JSON lines: pydantic's own bytes when written, the file and the line in a message when read."""

import json
from pathlib import Path

import pytest

from eidolon.benchmark.store.json_lines import read_lines, to_lines
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.types import Response

RESPONSES = [
    Response(sample_id=str(i), image_id=i, response=text, token_logprobs=(-0.1, -1e-9))
    for i, text in enumerate(("a dog", 'é \u2028 \x1f "quoted" \\', ""))
]


def test_the_bytes_are_those_of_pydantic(tmp_path: Path) -> None:
    text = to_lines(RESPONSES)
    assert text == "".join(response.model_dump_json() + "\n" for response in RESPONSES)
    (tmp_path / "r.jsonl").write_text(text, encoding="utf-8")
    assert read_lines(tmp_path / "r.jsonl", Response) == RESPONSES
    assert to_lines([]) == ""


def test_other_values_are_written_by_json() -> None:
    rows = [{"a": 1, "b": "é"}, {"a": [1.5, None]}]
    assert to_lines(rows) == "".join(json.dumps(row) + "\n" for row in rows)


@pytest.mark.parametrize("line", [b"garbage\n", b'{"x": 1}\n', b"\xff\n", b"null\n", b"\n"])
def test_a_foreign_line_is_named(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "r.jsonl"
    path.write_bytes(to_lines(RESPONSES[:2]).encode() + line)
    with pytest.raises(UserError, match=r"r\.jsonl:3: is not a line this run wrote \(") as caught:
        read_lines(path, Response)
    assert "\n" not in str(caught.value)
