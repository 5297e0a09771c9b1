"""Names by example crops: regions that do not depend on names, the nearest prototype, and a limit of distance.

The pipeline is that of zero-shot logo recognition (Hubenthal & Kumar, WACV 2023): a new name is a new folder, without
training.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from eidolon.benchmark.annotate.annotator import CANDIDATES, Looked, rounded
from eidolon.benchmark.annotate.by_detector import placed
from eidolon.benchmark.annotate.names import check_names
from eidolon.benchmark.annotate.pictures import read_picture
from eidolon.benchmark.data.picture_files import SUFFIXES
from eidolon.models.base.checkpoint_files import file_sha256
from eidolon.models.encoders.detector import suppress
from eidolon.models.encoders.protocol import Embeddings, ImageEncoder
from eidolon.models.encoders.regions import RegionKind, cut_out, find_regions
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.input_files import user_path

if TYPE_CHECKING:
    from PIL import Image

REJECT = 0.6
"""Cosine to the nearest prototype below which a region is none of the names."""
SHARPNESS = 20.0
"""Score for each unit of cosine beyond the limit, or beyond the second nearest name."""
AT_ONCE = 64
"""Crops that are embedded together."""


@dataclass(frozen=True, slots=True)
class Gallery:
    """Names with the embeddings of their example crops."""

    names: tuple[str, ...]
    vectors: Embeddings
    """(crops, width)."""
    owners: tuple[int, ...]
    """The position of each crop's name."""
    digest: str
    """Hash of all crops and their names."""


def gallery_names(folder: Path, wanted: Sequence[str] | None = None) -> tuple[str, ...]:
    """Return the names of a gallery: those of its folders, or those of them that are `wanted`.

    Raises:
        UserError: there is no such folder, it is empty, lacks a wanted name, or a folder's name is no name.
    """
    place = user_path(str(folder))
    if not place.is_dir():
        raise UserError(f"--with gallery/{folder}: no such folder")
    found = sorted(path.name for path in place.iterdir() if path.is_dir() and not path.name.startswith("."))
    if not found:
        raise UserError(
            f"--with gallery/{folder}: is empty; make one folder a name, with example crops in it"
        )
    names = check_names([(f"--with gallery/{folder}", name) for name in found], str(folder))
    if wanted is None:
        return names
    if missing := next((name for name in wanted if name not in names), None):
        raise UserError(
            f"--names: the gallery {folder} has no folder {missing!r}; make it, with example crops in it"
        )
    return tuple(wanted)


def gallery_files(folder: Path, names: Sequence[str]) -> list[tuple[int, Path]]:
    """Return the files of example crops with the position of their name.

    Raises:
        UserError: a folder of a name holds no image.
    """
    place = user_path(str(folder))
    crops = []
    for position, name in enumerate(names):
        files = sorted(path for path in (place / name).iterdir() if path.suffix.lower() in SUFFIXES)
        if not files:
            raise UserError(f"{place / name}: holds no image; put example crops of {name!r} in it")
        crops += [(position, file) for file in files]
    return crops


def read_gallery(folder: Path, names: Sequence[str], encoder: ImageEncoder) -> Gallery:
    """Return the embedded gallery of a folder with one folder a name.

    Raises:
        UserError: a folder of a name holds no image, or one cannot be read.
    """
    files = gallery_files(folder, names)
    lines = [f"{names[position]}\0{file_sha256(file)}\n" for position, file in files]
    vectors = np.concatenate([*embed_in_parts(encoder, [read_picture(file) for _, file in files])])
    return Gallery(
        tuple(names),
        vectors,
        tuple(position for position, _ in files),
        hashlib.sha256("".join(lines).encode()).hexdigest(),
    )


def embed_in_parts(encoder: ImageEncoder, images: "Sequence[Image.Image]") -> Iterator[Embeddings]:
    """Yield the embeddings of images, some at a time."""
    for start in range(0, len(images), AT_ONCE):
        yield encoder.embed_images(images[start : start + AT_ONCE])


class GalleryAnnotator:
    """Scores a name by its best region.

    A region has cosine c to the nearest crop of the name, and c' to the nearest crop of any other name. Its score
    is `sharpness · min(c - reject, c - c')`. So a region that is far from all names is rejected, and one between two
    look-alike names is unsure.
    """

    def __init__(
        self,
        encoder: ImageEncoder,
        identity: dict[str, Any],
        gallery: Gallery,
        *,
        regions: RegionKind = "components",
        reject: float = REJECT,
    ) -> None:
        """Take the encoder with its identity, and the gallery that it embedded."""
        self.names = gallery.names
        self.identity = {**identity, "gallery": gallery.digest, "regions": regions, "reject": reject}
        self._encoder, self._gallery = encoder, gallery
        self._regions: RegionKind = regions
        self._reject = reject

    def look(self, images: "Sequence[Image.Image]") -> list[Looked]:
        """Return the scores and regions of each image."""
        boxes = [find_regions(image, self._regions) for image in images]
        crops = [cut_out(image, box) for image, found in zip(images, boxes, strict=True) for box in found]
        vectors = np.concatenate([*embed_in_parts(self._encoder, crops)])
        looked, start = [], 0
        for found in boxes:
            scores = self._scores(vectors[start : start + len(found)])
            sizes = (found[:, 2] - found[:, 0]) * (found[:, 3] - found[:, 1])
            start += len(found)
            best, where = {}, {}
            for name, column in zip(self.names, scores.T, strict=True):
                best[name] = rounded(column.max())
                there = np.flatnonzero(column > -self._reject)
                # The smaller of two nested regions with the same score is the sign itself.
                ranks = (column - sizes)[there]
                kept = there[suppress(found[there], ranks, most=CANDIDATES, nested=True)]
                if len(kept):
                    where[name] = [placed(found[i], rounded(column[i])) for i in kept]
            looked.append(Looked(best, where))
        return looked

    def _scores(self, vectors: Embeddings) -> Any:
        """Return the score of each name, shape (regions, names)."""
        to_crops = vectors @ self._gallery.vectors.T
        owners = np.array(self._gallery.owners)
        cosines = np.stack(
            [to_crops[:, owners == k].max(axis=1) for k in range(len(self.names))], axis=1
        ).astype(float)
        beyond = cosines - self._reject
        if len(self.names) > 1:
            ordered = np.sort(cosines, axis=1)
            first, second = ordered[:, -1:], ordered[:, -2:-1]
            beyond = np.minimum(beyond, cosines - np.where(cosines == first, second, first))
        return SHARPNESS * beyond
