"""Files of small models: what is written is read again, and what does not fit is refused in one line."""

import numpy as np
import pytest

from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.model_files import StoredTensor, parse_model_file, read_tensors
from eidolon.scorers.core.types import Record


def test_a_tensor_is_read_as_it_was_written() -> None:
    values = np.array([[0.1, -2.5, 3e-7], [1.0, 1 / 3, 1e30]])
    for kind in ("<f4", "<f8"):
        stored = StoredTensor.model_validate_json(StoredTensor.of(values, kind).model_dump_json())
        np.testing.assert_array_equal(stored.array(), values.astype(kind))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"shape": (4,)}, "tensor a: cannot reshape"),
        ({"data": "?"}, "tensor a: "),
        ({"data": StoredTensor.of(np.array([np.nan] * 3)).data}, "tensor a: a number is not finite"),
    ],
)
def test_a_tensor_that_does_not_fit(change: dict[str, object], expected: str) -> None:
    stored = StoredTensor.of(np.ones(3)).model_copy(update=change)
    with pytest.raises(UserError, match=r"^f\.json: not a model: ") as refused:
        read_tensors({"a": stored}, ["a"], "f.json: not a model")
    assert expected in str(refused.value)


def test_a_tensor_that_is_missing() -> None:
    with pytest.raises(UserError, match=r"^f\.json: not a model: lacks the tensor b$"):
        read_tensors({"a": StoredTensor.of(np.ones(3))}, ["a", "b"], "f.json: not a model")


def test_a_file_of_something_else() -> None:
    class Model(Record):
        depth: int

    assert parse_model_file(b'{"depth": 2}', Model, "").depth == 2
    with pytest.raises(UserError, match=r'^f\.json: not a model: "depth": '):
        parse_model_file(b'{"depth": "deep"}', Model, "f.json: not a model")
