"""Licences of the images in a COCO file, a choice among them, and the source of each image."""

import csv
import io
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from eidolon.benchmark.data.coco_format import coco_records
from eidolon.scorers.core.errors import UserError, did_you_mean
from eidolon.scorers.core.input_files import clean, excerpt
from eidolon.scorers.core.types import ImageId

CSV, MARKDOWN = "attribution.csv", "attribution.md"
ANY = "any"
"""The choice that keeps all images."""

_COMMONS = re.compile(r"creativecommons\.org/(?:licenses|publicdomain)/([a-z-]+)/", re.IGNORECASE)
_OTHERS = {"flickr.com/commons": "no-known-restrictions", "usa.gov": "us-government"}
"""The two licences of COCO that are not of Creative Commons, by a part of their address."""
_PHOTO = re.compile(r"flickr\.com/(?:[^/]+/)*(\d+)_[0-9a-f]+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Licence:
    """A licence that a COCO file lists. `code` is short: `by`, `by-sa`, `by-nc`."""

    code: str
    name: str
    url: str


@dataclass(frozen=True, slots=True)
class Attribution:
    """Source and licence of an image. A field that the file does not have is empty."""

    image_id: str
    file: str
    source_url: str
    """Where the image is; `photo_url` is its page, which names the author."""
    photo_url: str
    licence: str
    licence_url: str


def read_licences(document: Mapping[str, Any], path: Path) -> dict[int, Licence]:
    """Return the licences that a COCO file lists, by their number.

    Raises:
        UserError: the list is missing or empty, or an entry has no number.
    """
    if not document.get("licenses"):
        raise UserError(f"-D licenses: {path} lists no licences (field 'licenses'); leave the option out")
    found: dict[int, Licence] = {}
    for place, record in coco_records(document, "licenses", path):
        number, name, url = record.get("id"), record.get("name"), record.get("url")
        if isinstance(number, bool) or not isinstance(number, int):
            raise UserError(f"{place}: 'id' must be a whole number, found {excerpt(number)}")
        url = clean(url) if isinstance(url, str) else ""
        name = clean(name) if isinstance(name, str) else url
        found[number] = Licence(_code(url, name), name, url)
    return found


def choose_licences(text: str, licences: Mapping[int, Licence]) -> frozenset[int]:
    """Return the numbers of the licences that `-D licenses=by,by-sa` names, by their codes; `any` names all.

    Raises:
        UserError: the file lists no licence with this code.
    """
    wanted = [part.strip().lower() for part in text.split(",") if part.strip()]
    if wanted == [ANY]:
        return frozenset(licences)
    codes = sorted({licence.code for licence in licences.values()})
    for code in wanted or [text]:
        if code not in codes:
            hint = did_you_mean(code, [*codes, ANY])
            raise UserError(f"-D licenses={text}: the annotations list no licence {code!r}{hint}")
    return frozenset(number for number, licence in licences.items() if licence.code in wanted)


def licensed(
    images: Iterable[tuple[str, dict[str, Any]]], chosen: frozenset[int], licences: Mapping[int, Licence]
) -> list[tuple[str, dict[str, Any]]]:
    """Return the images with one of the chosen licences, with their places.

    Raises:
        UserError: an image has no licence that the file lists, or none has a chosen one.
    """
    kept, seen = [], 0
    for place, image in images:
        seen += 1
        number = image.get("license")
        if isinstance(number, bool) or not isinstance(number, int) or number not in licences:
            raise UserError(
                f"{place}: 'license' must be the id of one of the file's licences, found {excerpt(number)}"
            )
        if number in chosen:
            kept.append((place, image))
    if not kept:
        raise UserError(f"-D licenses: none of the {seen} images has one of these licences")
    return kept


def attribution_of(image: Mapping[str, Any], licences: Mapping[int, Licence]) -> Attribution:
    """Return source and licence of an image of a COCO file.

    COCO does not name authors. The page of a photo on Flickr does, and its number is in the address of the image.
    """
    licence = licences[image["license"]]
    flickr = _text(image, "flickr_url")
    photo = _PHOTO.search(flickr)
    return Attribution(
        image_id=str(image["id"]),
        file=_text(image, "file_name"),
        source_url=flickr or _text(image, "coco_url") or _text(image, "url"),
        photo_url=f"https://www.flickr.com/photo.gne?id={photo[1]}" if photo else "",
        licence=licence.name,
        licence_url=licence.url,
    )


def attributions(
    document: Mapping[str, Any], path: Path, wanted: Collection[ImageId]
) -> tuple[Attribution, ...]:
    """Return source and licence of some images of a COCO file, by their ids; of those alone that have a listed licence.

    Raises:
        UserError: a licence has no number.
    """
    if not document.get("licenses"):
        return ()
    licences = read_licences(document, path)
    return tuple(
        attribution_of(image, licences)
        for _, image in coco_records(document, "images", path)
        if image.get("id") in wanted and image.get("license") in licences
    )


def write_attribution(rows: Sequence[Attribution], page: Path) -> tuple[Path, ...]:
    """Write both files beside a page that shows the images, with its name before theirs; return their paths."""
    if not rows:
        return ()
    texts = {CSV: to_csv(rows), MARKDOWN: to_markdown(rows)}
    written = {page.with_name(f"{page.stem}-{name}"): text for name, text in texts.items()}
    for path, text in written.items():
        path.write_text(text, encoding="utf-8")
    return tuple(written)


def to_csv(rows: Sequence[Attribution]) -> str:
    """Return the text of `attribution.csv`: a line of names, then a line for each image."""
    stream = io.StringIO()
    writer = csv.DictWriter(
        stream, [field.name for field in fields(Attribution)], lineterminator="\n", quoting=csv.QUOTE_MINIMAL
    )
    writer.writeheader()
    writer.writerows(asdict(row) for row in rows)
    return stream.getvalue()


def read_csv(path: Path) -> list[Attribution]:
    """Return the rows of an `attribution.csv`; none where there is no file.

    Raises:
        UserError: the file has other columns.
    """
    if not path.exists():
        return []
    names = [field.name for field in fields(Attribution)]
    with path.open(encoding="utf-8", newline="") as stream:
        reader = csv.DictReader(stream)
        if reader.fieldnames != names:
            raise UserError(
                f"{path}: its columns must be {', '.join(names)}, found {excerpt(reader.fieldnames)}"
            )
        return [Attribution(**{name: row[name] or "" for name in names}) for row in reader]


def to_markdown(rows: Sequence[Attribution]) -> str:
    """Return the text of `attribution.md`: the images by licence, for people."""
    lines = ["# Images", "", "The page of each photo names its author."]
    for licence, url in dict.fromkeys((row.licence, row.licence_url) for row in rows):
        mine = [row for row in rows if (row.licence, row.licence_url) == (licence, url)]
        lines += ["", f"## {_escape(licence)}", "", f"<{url}>" if url else "No address is given.", ""]
        lines += [
            f"- {_escape(row.file or row.image_id)}: "
            + (
                f"<{row.photo_url or row.source_url}>"
                if row.photo_url or row.source_url
                else "source unknown"
            )
            for row in mine
        ]
    return "\n".join(lines) + "\n"


def _code(url: str, name: str) -> str:
    """Return the short name of a licence: that in its address, or else its name in lower case with hyphens."""
    if commons := _COMMONS.search(url):
        return commons[1].lower()
    for part, code in _OTHERS.items():
        if part in url.lower():
            return code
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def _text(image: Mapping[str, Any], field: str) -> str:
    value = image.get(field)
    return clean(value) if isinstance(value, str) else ""


def _escape(text: str) -> str:
    return re.sub(r"([\\`*_\[\]<>#])", r"\\\1", text)
