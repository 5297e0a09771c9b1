"""Files of small models: JSON with tensors in base64, so that reading one runs no code."""

import base64
from collections.abc import Mapping, Sequence
from typing import Literal, TypeVar

import numpy as np
from pydantic import ValidationError

from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.input_files import excerpt
from eidolon.scorers.core.metric import FloatArray
from eidolon.scorers.core.types import Record

FileT = TypeVar("FileT", bound=Record)


class StoredTensor(Record):
    """Numbers as little-endian 32-bit floats, or 64-bit ones where these decide a comparison, in base64."""

    shape: tuple[int, ...]
    kind: Literal["<f4", "<f8"] = "<f4"
    data: str

    @classmethod
    def of(cls, values: np.ndarray, kind: Literal["<f4", "<f8"] = "<f4") -> "StoredTensor":
        """Return the record of an array."""
        content = np.ascontiguousarray(values, dtype=kind).tobytes()
        return cls(shape=values.shape, kind=kind, data=base64.b64encode(content).decode())

    def array(self) -> FloatArray:
        """Return the array. Raises a ValueError if data and shape do not fit, or a number is not finite."""
        found = np.frombuffer(base64.b64decode(self.data, validate=True), self.kind).astype(float)
        if not np.isfinite(found).all():
            raise ValueError("a number is not finite")
        return found.reshape(self.shape)


def parse_model_file(content: bytes, record: type[FileT], refusal: str) -> FileT:
    """Return the record in a file. `refusal` starts the message: "FILE: not a risk model".

    Raises:
        UserError: the content is not such a record.
    """
    try:
        return record.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UserError(f"{refusal}: {excerpt(where)}: {first['msg']}") from error


def read_tensors(
    stored: Mapping[str, StoredTensor], names: Sequence[str], refusal: str
) -> dict[str, FloatArray]:
    """Return the named tensors.

    Raises:
        UserError: one is missing, or its data do not fit.
    """
    if missing := [name for name in names if name not in stored]:
        raise UserError(f"{refusal}: lacks the tensor {missing[0]}")
    found = {}
    for name in names:
        try:
            found[name] = stored[name].array()
        except ValueError as error:
            raise UserError(f"{refusal}: tensor {name}: {error}") from error
    return found
