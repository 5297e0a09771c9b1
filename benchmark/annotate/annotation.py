"""One command of `eidolon annotate`: check, look at what is new, decide, write."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eidolon.benchmark.annotate.annotator import USUAL_CUTS, Annotator, Looked
from eidolon.benchmark.annotate.decision import Facts, Rule, decide_all, scores_by_image
from eidolon.benchmark.annotate.kinds import Chosen, choose
from eidolon.benchmark.annotate.labelled import Labelled, read_labelled
from eidolon.benchmark.annotate.part_file import PartFile
from eidolon.benchmark.annotate.pictures import Picture, find_pictures, read_all
from eidolon.benchmark.data.annotation_file import (
    SCHEMA,
    AnnotatedImage,
    AnnotationHeader,
    read_annotations,
)
from eidolon.benchmark.engine.cache_keys import canonical
from eidolon.benchmark.settings.annotate import AnnotateSettings
from eidolon.benchmark.settings.config import deciding
from eidolon.benchmark.store.atomic import write_atomically
from eidolon.benchmark.terminal.progress import PATIENCE_S, meter
from eidolon.scorers.core.distribution import package_version
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.input_files import decode_text, excerpt, read_bytes

SCORING = {
    "annotator": "--with",
    "annotator_options": "-M",
    "names": "--names",
    "templates": "--template",
    "batch_size": "--batch-size",
}
"""The settings that decide the scores, with their flags."""


@dataclass(frozen=True, slots=True)
class AnnotationResult:
    """What a command wrote."""

    header: AnnotationHeader
    rows: Sequence[AnnotatedImage]
    looked_at: int
    """Images that the annotator looked at; the scores of the others were there."""


def annotate(images: Path, settings: AnnotateSettings, out: Path) -> AnnotationResult:
    """Look for names in images and write the file of objects.

    The same command again does nothing new. With more images or another labelled part, only new images are looked at.
    A file of another command is kept.

    Raises:
        UserError: a setting, an image, the labelled part, or what is at `out` is wrong.
    """
    chosen = choose(settings)
    if not out.parent.is_dir():
        raise UserError(f"--out {out}: cannot be written (no such folder)")
    earlier = _read_earlier(out)
    folder, pictures = find_pictures(images, out)
    labelled = None if settings.labelled is None else read_labelled(settings.labelled, pictures, chosen.names)
    annotator = chosen.make()
    key = key_of(chosen, annotator)
    if earlier is not None:
        check_same_command(out, *earlier, chosen, annotator.names, key, pictures)
    try:
        with PartFile(out, key) as part:
            known = part.known
            if earlier is not None and earlier[0].key == key:
                known = {**scores_by_image(earlier[1]), **known}
            looked = _look(annotator, pictures, known, part, settings.batch_size)
            done = _write(chosen, annotator, folder, pictures, known, labelled, key, out)
            part.remove()
    except OSError as error:
        raise UserError(f"--out {out}: cannot be written ({error.strerror or error})") from error
    return AnnotationResult(done[0], done[1], looked)


def key_of(chosen: Chosen, annotator: Annotator) -> str:
    """Return a hash of all that decides the scores of an image."""
    material = {
        "annotator": chosen.kind,
        "names": [*annotator.names],
        "identity": annotator.identity,
        "batch": chosen.settings.batch_size,
        "eidolon": package_version(),
    }
    return hashlib.sha256(canonical(material).encode()).hexdigest()


def facts_of(pictures: Sequence[Picture], known: dict[str, Looked], labelled: Labelled | None) -> list[Facts]:
    """Return what is known of each image."""
    objects = labelled.objects if labelled is not None else {}
    return [
        Facts(one.image_id, one.name, one.sha256, known[one.sha256], objects.get(one.image_id))
        for one in pictures
    ]


def rule_of(settings: AnnotateSettings) -> Rule:
    """Return how probabilities become present and absent."""
    fixed = (settings.thresholds[0], settings.thresholds[1]) if settings.thresholds else None
    kind = str(settings.annotator).partition("/")[0]
    return Rule(settings.sure, fixed, USUAL_CUTS[kind], settings.seed)


def _look(
    annotator: Annotator, pictures: Sequence[Picture], known: dict[str, Looked], part: PartFile, size: int
) -> int:
    """Have the images looked at whose scores are missing, in whole batches; return how many."""
    count = 0
    have = sum(one.sha256 in known for one in pictures)
    with meter("annotate", len(pictures), have, PATIENCE_S) as progress:
        for start in range(0, len(pictures), size):
            batch = pictures[start : start + size]
            if all(one.sha256 in known for one in batch):
                continue
            found = annotator.look(read_all(batch))
            fresh = {one.sha256: looked for one, looked in zip(batch, found, strict=True)}
            part.append(fresh)
            new = sum(one.sha256 not in known for one in batch)
            known |= fresh
            count += len(batch)
            progress.advance(new, 0, 0)
    return count


def _write(
    chosen: Chosen,
    annotator: Annotator,
    folder: str,
    pictures: Sequence[Picture],
    known: dict[str, Looked],
    labelled: Labelled | None,
    key: str,
    out: Path,
) -> tuple[AnnotationHeader, list[AnnotatedImage]]:
    settings = chosen.settings
    decided = decide_all(
        facts_of(pictures, known, labelled),
        annotator.names,
        rule_of(settings),
        labelled.file if labelled else "",
        labelled.sha256 if labelled else "",
    )
    identity: dict[str, Any] = {**annotator.identity}
    header = AnnotationHeader(
        schema=SCHEMA,
        annotator=str(settings.annotator),
        names=annotator.names,
        settings=deciding(settings),
        identity=identity,
        key=key,
        seed=settings.seed,
        folder=folder,
        cut=decided.cut,
        calibration=decided.calibration,
        labelled=decided.labelled,
        images=len(pictures),
        eidolon=package_version(),
    )
    write_atomically(out, text_of(header, decided.rows))
    return header, decided.rows


def text_of(header: AnnotationHeader, rows: Sequence[AnnotatedImage]) -> Iterator[str]:
    """Yield the lines of the file."""
    yield header.model_dump_json() + "\n"
    for row in rows:
        yield row.model_dump_json() + "\n"


def check_same_command(
    out: Path,
    header: AnnotationHeader,
    rows: Sequence[AnnotatedImage],
    chosen: Chosen,
    names: Sequence[str],
    key: str,
    pictures: Sequence[Picture],
) -> None:
    """Check that what is at `out` was written by this command, or by one with the same scores of the same images.

    A gallery may have grown since, and there may be another version of a program: then all is looked at again.

    Raises:
        UserError: another command wrote it; the message names the first difference.
    """
    wanted = deciding(chosen.settings)
    before, now = ({name: settings.get(name) for name in SCORING} for settings in (header.settings, wanted))
    if chosen.settings.names is not None:
        before["names"], now["names"] = [*header.names], [*names]
    name = next((name for name in before if before[name] != now[name]), None)
    if header.key != key and name is not None:
        told = f"{SCORING[name]} {excerpt(before[name])}, and not {excerpt(now[name])}"
    elif rows and not {row.image for row in rows} & {picture.name for picture in pictures}:
        told = f"other images, as {excerpt(rows[0].image)}"
    else:
        return
    raise UserError(
        f"--out {out}: holds the annotations of another command: {told}; name another --out, or remove the file"
    )


def _read_earlier(out: Path) -> tuple[AnnotationHeader, list[AnnotatedImage]] | None:
    """Return what an earlier command wrote, None if there is nothing.

    Raises:
        UserError: there is something else.
    """
    if not out.exists():
        return None
    try:
        return read_annotations(decode_text(read_bytes(out), out), out)
    except UserError as error:
        raise UserError(
            f"--out {out}: there is another file, which is kept; name a new one ({error})"
        ) from error
