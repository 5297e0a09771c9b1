"""The scores of the batches so far, beside the file that they are for. A killed command continues from them."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from eidolon.benchmark.annotate.annotator import Looked
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.input_files import read_regular

SUFFIX = ".part"


class PartFile:
    """Scores by the hash of an image's file. A line is a whole batch; a torn last line is written again."""

    def __init__(self, out: Path, key: str) -> None:
        """Read what an earlier command left for `out`.

        Raises:
            UserError: that command looked for other names, or with another annotator.
        """
        self.path = out.with_name(out.name + SUFFIX)
        self._key = key
        self.known: dict[str, Looked] = {}
        whole = 0
        if self.path.exists():
            for line in read_regular(self.path).splitlines(keepends=True):
                batch = self._batch(line)
                if batch is None:
                    break
                self.known |= batch
                whole += len(line)
        self._stream = self.path.open("ab")
        self._stream.truncate(whole)

    def __enter__(self) -> "PartFile":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()

    def append(self, batch: Mapping[str, Looked]) -> None:
        """Write the scores of a batch to the disk."""
        images = {sha256: [one.scores, one.boxes] for sha256, one in batch.items()}
        self._stream.write((json.dumps({"key": self._key, "images": images}) + "\n").encode())
        self._stream.flush()
        os.fsync(self._stream.fileno())

    def _batch(self, line: bytes) -> dict[str, Looked] | None:
        """Return the scores on a line, None for a torn one."""
        if not line.endswith(b"\n"):
            return None
        try:
            found = json.loads(line)
        except ValueError:
            return None
        if found.get("key") != self._key:
            raise UserError(
                f"{self.path}: holds scores of another command; give its options, name another --out, or remove it"
            )
        return {
            sha256: Looked(scores, {name: [_box(box) for box in boxes] for name, boxes in of_names.items()})
            for sha256, (scores, of_names) in found["images"].items()
        }

    def remove(self) -> None:
        """Delete the file: its scores are in the one it was for."""
        self._stream.close()
        self.path.unlink(missing_ok=True)


def _box(values: Sequence[float]) -> tuple[float, float, float, float, float]:
    x0, y0, x1, y1, score = values
    return x0, y0, x1, y1, score
