"""The work on answers that exist already: their files are known, and the scores follow from them."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from eidolon.benchmark.data import images
from eidolon.benchmark.settings.config import ConfigRecord, Inputs, deciding
from eidolon.benchmark.settings.score import ScoreSettings
from eidolon.benchmark.store.batch_file import BatchFile, Key
from eidolon.benchmark.store.folder import RunFolder
from eidolon.benchmark.tasks.protocol import Producer, Results, Run, Shown, Text
from eidolon.scorers.core.scores import Scores
from eidolon.scorers.core.signature import Signature
from eidolon.scorers.core.types import Judgement, Response

if TYPE_CHECKING:
    from PIL import Image
    from rich.console import Console

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AnswersWork:
    """Answers whose inputs have been read and checked. What is called later can fail only by a bug."""

    files: Mapping[str, Text]
    """The text of each file beside `scores.json`, by name."""
    compute: Callable[[], Scores]
    main: str
    """What the main column of the table is called where there are variants."""
    shown: Callable[[Scores], Shown] = Shown
    """For the report; the scores alone where answers were scored and no response was judged."""

    def rows(self) -> Mapping[str, Text]:
        """Return the text of all files."""
        return self.files

    def produce(self, folder: RunFolder, producer: Producer) -> Sequence[Response]:
        """Return nothing: the files hold what was answered."""
        return ()

    def judge(self, folder: RunFolder, responses: Sequence[Response]) -> Sequence[Judgement]:
        """Return nothing: the files hold what was judged."""
        return ()

    def score(self, responses: Sequence[Response], judgements: Sequence[Judgement]) -> Scores:
        """Compute the scores."""
        return self.compute()

    def report(self, folder: RunFolder, results: Results, producer: Producer) -> Shown:
        """Return what the page shows."""
        return self.shown(results.scores)


class AnswersTask:
    """Base of the tasks that score answers: their tables have a row for each quantity."""

    def show(self, runs: "Sequence[tuple[Run, Scores]]", console: "Console") -> None:
        """Print the quantities of the runs, the main reading and each variant beside each other."""
        from eidolon.benchmark.tasks.score_files import table

        for run, scores in runs:
            assert isinstance(run.work, AnswersWork)
            table.show(scores, run.name, run.work.main, console)


@dataclass(frozen=True, slots=True)
class FileProducer:
    """The producer of a run whose responses were read from a file."""

    responses: Sequence[Response] = ()
    pictures: Mapping[str, Path] = field(default_factory=dict)
    """The file of each sample's image, by sample id, where it is known."""

    def prepare(self) -> None:
        """Do nothing: the file has been read."""

    def find_batch_size(self, keys: Sequence[Key]) -> None:
        """Leave it as it is."""

    def produce(self, folder: RunFolder, responses: BatchFile[Response]) -> None:
        """Write the responses that are not there yet."""
        for batch in responses.batches:
            responses.append(self.responses[responses.span(batch)])

    def picture(self, sample_id: str) -> "Image.Image | None":
        """Return a sample's image, None where no file of it is known or the file cannot be read."""
        return picture_of(self.pictures.get(sample_id))


def picture_of(path: Path | None) -> "Image.Image | None":
    """Return the image in a file; None without a file, and where it cannot be read."""
    if path is None:
        return None
    try:
        return images.read(str(path))
    except Exception as error:  # Pillow raises almost anything for a broken file
        _log.warning("image cannot be shown", extra={"fields": {"file": path.name, "error": str(error)}})
        return None


def answers_run(
    task: str,
    settings: ScoreSettings,
    out: Path,
    *,
    inputs: Inputs,
    signature: Signature,
    sample_ids: Sequence[str],
    work: AnswersWork,
) -> tuple[Run, Producer]:
    """Return the run over answers that were read, all of them in one batch."""
    run = Run(
        path=out,
        name=settings.label or out.resolve().name,
        config=ConfigRecord(verb="score", task=task, settings=deciding(settings), inputs=inputs),
        signature=signature,
        sample_ids=tuple(sample_ids),
        keys=tuple((sample_id, 0) for sample_id in sample_ids),
        batch_size=max(1, len(sample_ids)),
        work=work,
    )
    return run, FileProducer()
