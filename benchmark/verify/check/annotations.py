"""Whether a file that `eidolon annotate` wrote is what it says it is: its images, its scores, its decisions."""

from collections.abc import Callable, Sequence
from pathlib import Path

from pydantic import ValidationError

from eidolon.benchmark.annotate.annotation import key_of, rule_of
from eidolon.benchmark.annotate.annotator import DIGITS
from eidolon.benchmark.annotate.decision import Facts, decide_all, looked_of
from eidolon.benchmark.annotate.kinds import KINDS, choose
from eidolon.benchmark.annotate.pictures import read_picture
from eidolon.benchmark.data.annotation_file import AnnotatedImage, AnnotationHeader, read_annotations
from eidolon.benchmark.settings.annotate import AnnotateSettings
from eidolon.benchmark.tasks.checking.problems import DifferenceError, UncheckableError
from eidolon.benchmark.verify.check.findings import Finding, RunFindings
from eidolon.models.base.checkpoint_files import file_sha256
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.input_files import decode_text, excerpt, read_bytes

TOLERANCE = 2e-4
"""Largest difference of two scores: another batch, or another machine, rounds elsewhere."""


def check_annotations(path: Path, *, look_again: bool) -> RunFindings:
    """Check a file of objects with a header.

    With `look_again` the annotator looks at all images again.

    Raises:
        UserError: it is no such file.
    """
    header, rows = read_annotations(decode_text(read_bytes(path), path), path)
    findings = [
        _look("images", lambda: _check_images(path, header, rows)),
        _look("decisions", lambda: _check_decisions(header, rows)),
        _look("scores", lambda: _check_scores(path, header, rows, look_again)),
    ]
    differs = any(finding.verdict == "differs" for finding in findings)
    return RunFindings(
        run=str(path),
        name=header.annotator,
        verdict="differs" if differs else "ok",
        checks=tuple(findings),
    )


def _look(check: str, act: Callable[[], str]) -> Finding:
    try:
        return Finding.make(check, "ok", act())
    except DifferenceError as error:
        return Finding.make(check, "differs", str(error))
    except (UncheckableError, UserError) as error:
        return Finding.make(check, "not checkable", str(error))


def _check_images(path: Path, header: AnnotationHeader, rows: Sequence[AnnotatedImage]) -> str:
    """Compare the images with their hashes."""
    if len(rows) != header.images:
        raise DifferenceError(f"the header says {header.images} images, there are {len(rows)} lines")
    missing = 0
    for row in rows:
        file = path.parent / header.folder / row.image
        if not file.is_file():
            missing += 1
        elif file_sha256(file) != row.image_sha256:
            raise DifferenceError(f"{row.image}: the image is another one")
    if missing:
        raise UncheckableError(f"{missing} of {len(rows)} images are not there")
    return f"{len(rows)} images have the recorded hashes"


def _settings(header: AnnotationHeader) -> AnnotateSettings:
    """Return the settings that the header holds."""
    try:
        return AnnotateSettings.model_validate(header.settings)
    except ValidationError as error:
        problem = error.errors()[0]
        field = ".".join(map(str, problem["loc"]))
        raise UncheckableError(
            f"its settings are not those of this version: {field}: {problem['msg']}"
        ) from error


def _check_lines(header: AnnotationHeader, rows: Sequence[AnnotatedImage]) -> None:
    """Check that every line has what the header says."""
    kind = header.annotator.partition("/")[0]
    if kind not in KINDS:
        raise UncheckableError(f"the annotator {excerpt(kind)} is not known here")
    for number, row in enumerate(rows, 2):
        for field, found in (("scores", row.scores), ("probabilities", row.probabilities)):
            if found.keys() != set(header.names):
                raise DifferenceError(f"line {number}: {field} are not those of the names in the header")
    if sum(row.labelled is not None for row in rows) == 1:
        raise DifferenceError("one image is labelled, and a labelled part has two or more")


def _check_decisions(header: AnnotationHeader, rows: Sequence[AnnotatedImage]) -> str:
    """Make cut, calibration and lines from the scores and labels again."""
    settings = _settings(header)
    _check_lines(header, rows)
    facts = [
        Facts(str(row.image_id), row.image, row.image_sha256, looked_of(row), row.labelled) for row in rows
    ]
    file, sha256 = (header.labelled.file, header.labelled.sha256) if header.labelled else ("", "")
    again = decide_all(facts, header.names, rule_of(settings), file, sha256)
    for name, mine, theirs in (
        ("cut", again.cut, header.cut),
        ("calibration", again.calibration, header.calibration),
        ("labelled", again.labelled, header.labelled),
    ):
        if mine != theirs:
            raise DifferenceError(f"{name} is {excerpt(str(theirs))} there and {excerpt(str(mine))} here")
    for number, (mine_row, row) in enumerate(zip(again.rows, rows, strict=True), 2):
        for field in type(row).model_fields:
            here, there = getattr(mine_row, field), getattr(row, field)
            if field != "image_id" and here != there:
                raise DifferenceError(
                    f"line {number}: {field} is {excerpt(there)} there and {excerpt(here)} from its scores"
                )
    return f"cut and {len(rows)} lines follow from the scores" + (" and the labels" if file else "")


def _check_scores(
    path: Path, header: AnnotationHeader, rows: Sequence[AnnotatedImage], look_again: bool
) -> str:
    """Let the annotator look at the images again."""
    if not look_again:
        raise UncheckableError("the annotator looks at the images again with --rejudge")
    settings = _settings(header)
    _check_lines(header, rows)
    chosen = choose(settings)
    if set(chosen.names) != set(header.names):
        raise UncheckableError("the names are other ones today than in the header")
    annotator = chosen.make()
    other = "" if key_of(chosen, annotator) == header.key else "; made with other files, versions or device"
    size = settings.batch_size
    largest = 0.0
    for start in range(0, len(rows), size):
        batch = rows[start : start + size]
        images = [read_picture(path.parent / header.folder / row.image) for row in batch]
        for row, looked in zip(batch, annotator.look(images), strict=True):
            for name in header.names:
                apart = abs(row.scores[name] - looked.scores[name])
                largest = max(largest, apart)
                if apart > TOLERANCE:
                    raise DifferenceError(
                        f"{row.image}: the score of {name!r} is {row.scores[name]} there and "
                        f"{round(looked.scores[name], DIGITS)} here{other}"
                    )
    return f"scores of {len(rows)} images as there, apart by {largest:.1g} at most{other}"
