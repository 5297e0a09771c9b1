"""What the measurements of a run of `forget` share: their inputs, and how they find what an earlier session did."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar, runtime_checkable

from pydantic import BaseModel, ValidationError

from eidolon.benchmark.store.folder import RunFolder
from eidolon.benchmark.store.record import SampleRow
from eidolon.models.base.model import ScoringModel
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.metric import JudgedSample
from eidolon.scorers.core.types import Response
from eidolon.scorers.forgetting.forced_orders import ImageTruth

if TYPE_CHECKING:
    from PIL import Image

DocumentT = TypeVar("DocumentT", bound=BaseModel)


@runtime_checkable
class ModelSource(Protocol):
    """The model that is measured, and the pictures it sees."""

    def scoring_model(self) -> ScoringModel:
        """Return the model. It is loaded at the first call."""
        ...

    def picture(self, sample_id: str) -> "Image.Image | None":
        """Return a sample's picture. An unreadable one raises whatever its decoder raises."""
        ...

    def usage(self) -> dict[str, int | float] | None:
        """Return what the model has used so far, by name; None if it does not count."""
        ...

    def release(self) -> None:
        """Drop the model, so that its memory is free."""
        ...


@dataclass(frozen=True, slots=True)
class Measurement:
    """The inputs of one measurement of a run."""

    folder: RunFolder
    name: str
    """The run's name, for progress and messages."""
    rows: Sequence[SampleRow]
    responses: Sequence[Response]
    judged: Sequence[JudgedSample]
    signature: str
    """The signature of the run's scores. A document with another one is measured again."""
    source: ModelSource
    count_usage: Callable[[], None] = lambda: None
    """Adds what the model has used to the run's record. Called after every batch."""


def read_document(path: Path, form: type[DocumentT]) -> DocumentT | None:
    """Return the document of an earlier session, None if there is none.

    Raises:
        UserError: the file is not such a document.
    """
    if not path.exists():
        return None
    try:
        return form.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise UserError(
            f"{path}: is not a file this run wrote ({error.errors()[0]['msg']}); delete it to measure again"
        ) from error


def truths(rows: Sequence[SampleRow]) -> dict[str, ImageTruth]:
    """Return the true objects of each sample, with the share of the picture that each covers."""
    return {row.sample_id: ImageTruth(frozenset(row.objects), row.areas) for row in rows}


def first_of_each(judged: Sequence[JudgedSample]) -> dict[str, JudgedSample]:
    """Return the first judged response to each sample, by sample id."""
    return {sample.response.sample_id: sample for sample in reversed(judged)}


def is_readable(source: ModelSource, sample_id: str) -> bool:
    """Return whether the picture of a sample can be decoded."""
    try:
        return source.picture(sample_id) is not None
    except Exception:  # a decoder may raise anything; the response to this sample records the error
        return False
