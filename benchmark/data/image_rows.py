"""Collects the rows of a dataset with images in a folder, and checks each row as it is added."""

from collections.abc import Mapping
from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING, Any

from eidolon.benchmark.data.samples import Box
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.input_files import clean, excerpt, read_image_id
from eidolon.scorers.core.types import ImageId

if TYPE_CHECKING:
    import datasets


class ImageRows:
    """Collects samples. Only the paths of the images are kept."""

    def __init__(self) -> None:
        self._columns: dict[str, list[Any]] = {
            name: []
            for name in (
                "sample_id",
                "image_id",
                "image",
                "objects",
                "references",
                "areas",
                "boxes",
                "unsure",
                "labelled",
                "attribution",
            )
        }
        self._annotator: tuple[str, tuple[str, ...]] | None = None

    def __len__(self) -> int:
        return len(self._columns["image"])

    def files(self) -> list[str]:
        """Return the paths of the images."""
        return self._columns["image"]

    def add(
        self,
        place: str,
        image_id: ImageId,
        image: Path,
        objects: list[str],
        *,
        sample_id: ImageId | None = None,
        references: list[str] | tuple[str, ...] = (),
        areas: Mapping[str, float] | None = None,
        boxes: Mapping[str, list[Box]] | None = None,
        unsure: list[str] | tuple[str, ...] = (),
        labelled: list[str] | None = None,
        attribution: Mapping[str, str] | None = None,
    ) -> None:
        """Add a sample.

        Args:
            place: File and line, or record, of the sample, for messages.
            image_id: It has the type of all earlier ones.
            image: Path of the image file.
            objects: Categories that are in the image.
            sample_id: Default: the `image_id`.
            references: Captions that people wrote for the image.
            areas: By category, the share of the image that its largest instance covers.
            boxes: By category, where its instances are.
            unsure: Categories that the annotator left open; see `annotated_by`.
            labelled: The true categories, where people labelled the image for the annotator.
            attribution: Source and licence of the image; for all images or none.

        Raises:
            UserError: `image_id` does not fit into the column of the earlier ones.
        """
        first = (self._columns["image_id"] or [image_id])[0]
        check_image_id(image_id, first, place)
        row = {
            "sample_id": str(image_id if sample_id is None else sample_id),
            "image_id": image_id,
            "image": str(image),
            "objects": objects,
            "references": list(references),
            "areas": [areas.get(name) for name in objects] if areas else [],
            "boxes": [boxes.get(name, []) for name in objects] if boxes else [],
            "unsure": list(unsure),
            "labelled": labelled,
            "attribution": None if attribution is None else dict(attribution),
        }
        for name, value in row.items():
            self._columns[name].append(value)

    def annotated_by(self, truth: str, names: tuple[str, ...]) -> None:
        """Say that an annotator made the truth, `clip/NAME (unverified)`, and which names it looked for."""
        self._annotator = truth, names

    def dataset(self) -> "datasets.Dataset":
        """Return the samples as a dataset with the columns of `DatasetLoader`."""
        import datasets

        columns = dict(self._columns)

        texts = datasets.List(datasets.Value("string"))
        features = datasets.Features(
            {
                "sample_id": datasets.Value("string"),
                "image_id": datasets.Value(id_type(self._columns["image_id"])),
                "image": datasets.Image(decode=False),
                "objects": texts,
                "references": texts,
                "areas": datasets.List(datasets.Value("float64")),
                "boxes": datasets.List(datasets.List(datasets.List(datasets.Value("float64")))),
            }
        )
        if not any(columns["attribution"]):
            del columns["attribution"]
        else:
            names_of = columns["attribution"][0]
            features["attribution"] = {name: datasets.Value("string") for name in names_of}
        if self._annotator is None:
            del columns["unsure"], columns["labelled"]
        else:
            truth, names = self._annotator
            columns |= {"annotator": [truth] * len(self), "looked_for": [list(names)] * len(self)}
            features |= {"unsure": texts, "labelled": texts, "looked_for": texts}
            features["annotator"] = datasets.Value("string")
        return datasets.Dataset.from_dict(columns, features=datasets.Features(features))


def check_image_id(image_id: ImageId, first: ImageId, place: str) -> None:
    """Raise a UserError for an id of another type than the first one, or one of more than 64 bits."""
    if isinstance(image_id, int) and not -(2**63) <= image_id < 2**63:
        raise UserError(f"{place}: 'image_id' does not fit into 64 bits: {image_id}")
    if type(image_id) is not type(first):
        raise UserError(f"{place}: 'image_id' is {excerpt(image_id)}: some are numbers and some are strings")


def id_type(image_ids: list[ImageId]) -> str:
    """Return the `datasets` type of a column of ids: `int64` or `string`."""
    return "int64" if isinstance((image_ids or [0])[0], int) else "string"


def image_path(folder: Path, name: object, place: str, field: str = "image") -> Path:
    """Return the path of an image file of a dataset, without checking that it exists.

    Raises:
        UserError: the name is no string, or leads out of the folder.
    """
    if not isinstance(name, str) or not name:
        raise UserError(f"{place}: {field!r} must be a file name, found {excerpt(name)}")
    path, windows = folder / name, PureWindowsPath(name)
    # A name that leads out of the folder on Windows is refused everywhere: a dataset is valid on all systems or none.
    outside = windows.drive or windows.root or ("\\" in name and ".." in windows.parts)
    if "\0" in name or name != clean(name) or outside or not lies_in(path, folder):
        raise UserError(f"{place}: {field!r} must be inside the folder, found {excerpt(name)}")
    return path


def lies_in(path: Path, folder: Path) -> bool:
    """Whether a path is inside a folder, with all links resolved."""
    try:
        return path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError, ValueError):  # circular links, a NUL byte
        return False


def read_strings(value: object, field: str, place: str) -> list[str]:
    """Return a field that must be a list of strings, else raise UserError."""
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise UserError(f"{place}: {field!r} must be a list of strings, found {excerpt(value)}")
    return [clean(text) for text in value]


def read_sample_id(value: object, place: str) -> ImageId | None:
    """Return a sample id; None for null. Raises UserError for anything but a string or a whole number."""
    return None if value is None else read_image_id(value, place, "sample_id")
