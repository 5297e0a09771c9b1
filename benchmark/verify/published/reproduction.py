"""Scores published CHAIR files again, and says by how much the values and the objects differ.

A file is the output of a CHAIR program: JSON with `sentences` (a caption, the true objects of its image, the objects
that the program found) and `overall_metrics`. The truth is the file's own.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eidolon.benchmark.verify.published.sources import SOURCES, Source, source_of
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.input_files import decode_text, read_bytes
from eidolon.scorers.judges.lexicon import LexiconJudge

SUFFIXES = (".json", ".jsonl")
UNKNOWN = Source("unknown", "not in the table of sources", "unknown", "original", ())
TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True)
class Reproduced:
    """One file, scored again. The values are fractions."""

    file: str
    source: Source
    reading: str
    captions: int
    differing: int
    """Captions whose objects, in order, are not those of the file."""
    here: tuple[float, float]
    """CHAIR_s and CHAIR_i."""
    printed: tuple[float, float]
    reported: tuple[float, float] | None
    """The values that the repository reports elsewhere, in percent."""

    @property
    def equal(self) -> bool:
        """Whether all objects and both values are those of the file, and the reported digits too."""
        same = all(abs(a - b) < TOLERANCE for a, b in zip(self.here, self.printed, strict=True))
        return same and not self.differing and self._reported_equal()

    def _reported_equal(self) -> bool:
        if self.reported is None:
            return True
        digits = (1, 2)
        found = (round(100 * value, n) for value, n in zip(self.here, digits, strict=True))
        return all(abs(a - b) < TOLERANCE for a, b in zip(found, self.reported, strict=True))

    @property
    def verdict(self) -> str:
        """`equal`, or by how much it differs, in points of percent."""
        if self.equal:
            return "equal"
        s, i = (100 * (a - b) for a, b in zip(self.here, self.printed, strict=True))
        return f"CHAIR_s {s:+.2f}, CHAIR_i {i:+.2f}; {self.differing} of {self.captions} captions differ"


def reproduce(folder: Path) -> list[Reproduced]:
    """Return all result files below a folder, scored again, by path.

    A file of an unknown source is read in the way that comes closest to its values.

    Raises:
        UserError: the folder holds no result file, or one is broken.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: is not a folder; give the one with the published files")
    judges = {name: LexiconJudge(name) for name in ("original", "wordnet")}
    found = []
    for path in sorted(p for p in folder.rglob("*") if p.suffix in SUFFIXES and p.is_file()):
        content = _result_file(path)
        if content is None:
            continue
        source = source_of(path.name) or UNKNOWN
        readings = [source.reading] if source is not UNKNOWN else [*judges]
        tries = [_score(path.relative_to(folder), source, name, judges[name], content) for name in readings]
        found.append(min(tries, key=lambda one: (not one.equal, one.differing)))
    if not found:
        known = ", ".join(pattern for source in SOURCES for pattern in source.files)
        raise UserError(f"{folder}: holds no file of a CHAIR program with printed values (such as {known})")
    return found


def _result_file(path: Path) -> dict[str, Any] | None:
    """Return the content of a result file, None for any other JSON."""
    content_bytes = read_bytes(path)
    if b"overall_metrics" not in content_bytes:
        return None
    try:
        content = json.loads(decode_text(content_bytes, path))
    except ValueError as error:
        raise UserError(f"{path}: is no JSON ({error}); copy the file again") from error
    if not isinstance(content, dict) or "sentences" not in content:
        return None
    return content


def _score(
    file: Path, source: Source, reading: str, judge: LexiconJudge, content: dict[str, Any]
) -> Reproduced:
    differing = wrong = words = wrong_captions = 0
    try:
        printed = (float(content["overall_metrics"]["CHAIRs"]), float(content["overall_metrics"]["CHAIRi"]))
        for sentence in content["sentences"]:
            named = [one.category for one in judge.reading.read(sentence["caption"])]
            here = sum(category not in sentence["mscoco_gt_words"] for category in named)
            differing += named != sentence["mscoco_generated_words"]
            wrong, words, wrong_captions = wrong + here, words + len(named), wrong_captions + (here > 0)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{file}: is no whole file of a CHAIR program: {type(error).__name__}: {error}"
        ) from error
    captions = len(content["sentences"])
    values = (wrong_captions / captions if captions else 0.0, wrong / words if words else 0.0)
    reported = source.printed.get(file.name)
    return Reproduced(str(file), source, reading, captions, differing, values, printed, reported)


def to_markdown(found: Sequence[Reproduced]) -> str:
    """Return the page of a reproduction: a summary by source, then the files that differ or are reported elsewhere."""
    return "\n".join(_lines(found)) + "\n"


def _lines(found: Sequence[Reproduced]) -> Iterator[str]:
    equal = sum(one.equal for one in found)
    yield "# Published numbers, scored again"
    yield ""
    yield (
        f"{equal} of {len(found)} published result files give their printed values and objects, caption by caption. "
        "`eidolon reproduce FOLDER --out FILE` made this page."
    )
    yield ""
    yield "| source | licence | reading | files equal | captions that differ |"
    yield "|---|---|---|---:|---:|"
    for source in dict.fromkeys((*(one.source.name for one in found),)):
        of_one = [one for one in found if one.source.name == source]
        first = of_one[0]
        yield (
            f"| {source}: {first.source.where} | {first.source.licence} | "
            f"`{'`, `'.join(sorted({one.reading for one in of_one}))}` | "
            f"{sum(one.equal for one in of_one)} of {len(of_one)} | "
            f"{sum(one.differing for one in of_one)} of {sum(one.captions for one in of_one)} |"
        )
    yield ""
    yield "Files that differ, and files whose values a repository also reports elsewhere:"
    yield ""
    yield "| file | CHAIR_s / CHAIR_i printed | here | |"
    yield "|---|---|---|---|"
    for one in found:
        if one.equal and one.reported is None:
            continue
        printed, here = (f"{100 * s:.1f} / {100 * i:.2f}" for s, i in (one.printed, one.here))
        yield f"| `{one.file}` | {printed} | {here} | {one.verdict} |"
