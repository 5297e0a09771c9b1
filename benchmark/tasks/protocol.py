"""What a task is: the one interface behind which `describe`, `probe`, `forget` and the scoring of files stand.

    settings ─ plan ─→ Questions ─ rows ─→ files ─ produce ─→ responses ─ judge ─→ judgements ─ score ─→ scores ─ report

A package adds a task with the entry-point group `eidolon.tasks`; `docs` has an example in one file.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, runtime_checkable

from pydantic import JsonValue

from eidolon.benchmark.data.coco_licences import Attribution
from eidolon.benchmark.data.prompts import Prompt
from eidolon.benchmark.data.samples import Sample, SampleSource
from eidolon.benchmark.engine.generation import PromptedSample
from eidolon.benchmark.engine.mapping import BatchMapper
from eidolon.benchmark.settings.config import ConfigRecord
from eidolon.benchmark.settings.load import Given
from eidolon.benchmark.settings.run import RunSettings
from eidolon.benchmark.settings.score import ScoreSettings
from eidolon.benchmark.store.batch_file import BatchFile, Key
from eidolon.benchmark.store.diagnosis import Diagnosis
from eidolon.benchmark.store.folder import RunFolder
from eidolon.benchmark.store.json_lines import to_lines
from eidolon.benchmark.store.record import SampleRow
from eidolon.benchmark.tasks.checking.checks import TaskChecks, TaskFile
from eidolon.benchmark.tasks.rows import AskedRow, BenchmarkRow, QuestionRow
from eidolon.models.backends.registry import ModelReference
from eidolon.models.base.model import Decoding
from eidolon.scorers.core.judge import Judge
from eidolon.scorers.core.metric import Quantity
from eidolon.scorers.core.notes import InputNote
from eidolon.scorers.core.scores import Scores
from eidolon.scorers.core.signature import Signature
from eidolon.scorers.core.types import Judgement, Response
from eidolon.scorers.text.answer import RAW, TextRules

if TYPE_CHECKING:
    from PIL import Image
    from rich.console import Console


Text = Callable[[], str | Iterator[str]]
"""Makes the text of a file when it is needed, whole or in parts."""
SHOWN_SAMPLES = 24
"""Responses that the report page shows: those that hallucinate most."""


class Producer(Protocol):
    """The source of responses: a model, or a file."""

    def prepare(self) -> None:
        """Do whatever can fail by the user's mistake; called before a new folder is made."""
        ...

    def find_batch_size(self, keys: Sequence[Key]) -> int | None:
        """Return how many of these responses a batch should have, None where it matters little. Once prepared."""
        ...

    def produce(self, folder: RunFolder, responses: BatchFile[Response]) -> None:
        """Append the batches that are missing."""
        ...

    def picture(self, sample_id: str) -> "Image.Image | None":
        """Return the image that a sample's response describes, where there is one, for the report."""
        ...


@dataclass(frozen=True, slots=True)
class Results:
    """What the stages of one run have given so far."""

    responses: Sequence[Response]
    judgements: Sequence[Judgement]
    scores: Scores


@dataclass(frozen=True, slots=True)
class Shown:
    """What the report page of a run shows."""

    scores: Scores
    samples: Sequence[SampleRow] = ()
    responses: Sequence[Response] = ()
    judgements: Sequence[Judgement] = ()
    questions: Sequence[QuestionRow] = ()
    """What the responses answer, where they are answers."""
    plots: Sequence[bytes] = ()
    """PNG files."""
    notes: Sequence[InputNote] = ()
    """What was assumed about the files that were read, and what is odd in them."""
    warnings: Sequence[str] = ()
    """Why the scores mean little."""
    total: int | None = None
    """Number of responses of the run, where `responses` are only those that the page shows."""


class Work(Protocol):
    """What a task does in one run folder. The pipeline calls the methods in this order.

    Each stage does what its file lacks and nothing if the file is whole, so that the same calls begin, resume and
    repeat a run.
    """

    def rows(self) -> Mapping[str, Text]:
        """Return the files that are known before anything is asked, by name: samples, questions, read answers."""
        ...

    def produce(self, folder: RunFolder, producer: Producer) -> Sequence[Response]:
        """Bring `responses.jsonl` to its end and return it; nothing where the run has no responses."""
        ...

    def judge(self, folder: RunFolder, responses: Sequence[Response]) -> Sequence[Judgement]:
        """Bring `judgements.jsonl` to its end and return it; nothing where the run has none."""
        ...

    def score(self, responses: Sequence[Response], judgements: Sequence[Judgement]) -> Scores:
        """Compute the scores."""
        ...

    def report(self, folder: RunFolder, results: Results, producer: Producer) -> Shown:
        """Measure and write the files beside the scores; return what the page shows, with the final scores."""
        ...


@dataclass(frozen=True, slots=True)
class Run:
    """One run folder to be made, checked to the point where only the model can still fail."""

    path: Path
    name: str
    config: ConfigRecord
    """Everything that decides the result: two runs with equal configs are the same run."""
    signature: Signature
    sample_ids: Sequence[str]
    keys: Sequence[Key]
    """(sample id, generation) of every response, in order."""
    batch_size: int
    """Batch size of a new run. A resumed run keeps its own."""
    work: Work
    finds_batch_size: bool = False
    """Whether `batch_size` is only what to do where the producer has nothing better."""
    warnings: tuple[str, ...] = ()
    """Why the scores mean little; such a run has no headline."""
    hints: tuple[str, ...] = ()
    """What was left out, and how to get it, each in a line."""
    doctor: Diagnosis | None = None
    """What was found of the model before the run, where that was asked for."""
    sized_by: tuple[Key, ...] = ()
    """The responses that a batch size must fit, where they are more than this run's: those of all shards."""
    attribution: tuple[Attribution, ...] = ()
    """Sources and licences of the images, for `attribution.csv`."""


@dataclass(frozen=True, slots=True)
class ModelRun:
    """What the work on one model's responses needs to know of its run."""

    name: str
    signature: Signature
    samples: tuple[SampleRow, ...]
    keys: tuple[Key, ...]
    reference: ModelReference
    decoding: Decoding
    settings: RunSettings


@dataclass(frozen=True, slots=True)
class Questions:
    """What every model of a command is asked about a dataset, and what becomes of the responses."""

    prompt: Prompt
    asked: Mapping[str, PromptedSample]
    """By sample id of the run, in order."""
    samples: tuple[SampleRow, ...]
    judge: Judge
    policy: str
    """What is done with unscored responses and how answers are read, for the signature."""
    work: Callable[[ModelRun], Work]
    metrics: tuple[str, ...] = ()
    """Families, for the run's record and the dry run."""
    rules: TextRules = RAW
    """From a response to the text that is judged."""
    measures: str | None = None
    """Versions of fitted measures, for the signature."""
    generations: int = 1
    inputs: Mapping[str, JsonValue] = field(default_factory=dict)
    """What decides the result beside the settings."""
    inputs_of_model: Callable[[ModelReference], Mapping[str, JsonValue]] = lambda reference: {}
    """The same, where it depends on the model."""
    interviews: bool = False
    """Whether the model is asked in the middle of a text too."""
    summary: Mapping[str, Any] = field(default_factory=dict)
    """What `--dry-run` prints beside the counts that all tasks have."""
    asked_by_all: Mapping[str, PromptedSample] | None = None
    """What all shards ask, where these are the questions of one."""


class ModelTask(Protocol):
    """A task of `eidolon run`: models are asked about the samples of a dataset."""

    name: ClassVar[str]
    verb: ClassVar[Literal["run"]]
    fields: ClassVar[tuple[str, ...]]
    """The settings that this task takes and not every task takes."""
    defaults: ClassVar[Mapping[str, Any]]
    """Defaults of settings where the task has others."""

    def plan(self, given: Given[RunSettings]) -> Callable[[SampleSource], Questions]:
        """Check what can be checked without the dataset; return what makes the questions of a dataset.

        Raises:
            UserError: a setting is wrong.
        """
        ...


class FileTask(Protocol):
    """A task of `eidolon score`: responses or answers that exist already are read and scored."""

    name: ClassVar[str]
    verb: ClassVar[Literal["score"]]
    fields: ClassVar[tuple[str, ...]]
    """The settings that this task takes and not every task takes."""
    needs: ClassVar[tuple[str, ...]]
    """Those of them that it cannot do without."""

    def plan(self, given: Given[ScoreSettings], out: Path) -> tuple[Run, Producer]:
        """Read and check all inputs. Writes nothing.

        Raises:
            UserError: a setting or a file is wrong.
        """
        ...


class Remaining(Protocol):
    """What a task asks beside responses, as far as it is still to do; of several runs it adds up."""

    def __add__(self, other: Any) -> "Remaining": ...

    def any(self) -> bool:
        """Tell whether anything is left."""
        ...

    def describe(self) -> Mapping[str, str]:
        """Return what `--dry-run` prints, by name."""
        ...


@runtime_checkable
class EstimatedWork(Protocol):
    """Work that asks a model for more than responses."""

    def remaining(self, run: Run) -> Remaining:
        """Return the most that is left to do; the responses decide how much it is. Reads only."""
        ...


@runtime_checkable
class DistributedWork(Protocol):
    """Work whose responses can be judged elsewhere."""

    def by(self, mapper: BatchMapper) -> Work:
        """Return the same work with the responses judged by the mapper's processes."""
        ...


@runtime_checkable
class DeclaringWork(Protocol):
    """Work that knows before it begins which quantities its scores will have."""

    def quantities(self) -> Mapping[str, Sequence[Quantity]]:
        """Return the quantities by metric family."""
        ...


@runtime_checkable
class TabulatedTask(Protocol):
    """A task with tables of its own for the terminal."""

    def show(self, runs: "Sequence[tuple[Run, Scores]]", console: "Console") -> None:
        """Print the tables of finished runs."""
        ...


@dataclass(frozen=True, slots=True)
class JoinedShards:
    """What the files of several shards of a run hold together, in order."""

    name: str
    config: ConfigRecord
    signature: Signature
    samples: tuple[SampleRow, ...]
    keys: tuple[Key, ...]
    questions: tuple[QuestionRow, ...] = ()
    asked: tuple[AskedRow, ...] = ()
    """The questions of a published benchmark, …"""
    read: tuple[BenchmarkRow, ...] = ()
    """… and what was read in the answers that are scored."""


@runtime_checkable
class ShardedTask(Protocol):
    """A task that can be done in shards: its questions may be fewer, and its work asks the model nothing else."""

    def joined(self, shards: JoinedShards) -> Work:
        """Return the work on the samples of all shards, from their files alone.

        Raises:
            UserError: the judge or a metric cannot be made here.
        """
        ...


@runtime_checkable
class CheckedTask(Protocol):
    """A task whose runs `eidolon check` computes again."""

    run_files: tuple[TaskFile, ...]
    """The files of a finished run, other than `run.json` and `scores.json`."""

    def checks(self) -> TaskChecks:
        """Return what this task knows of its runs."""
        ...


def sample_text(samples: Sequence[SampleRow]) -> Text:
    """Return what makes the text of `samples.jsonl`."""
    return lambda: to_lines(samples)


def known_of(sample: Sample) -> dict[str, Any]:
    """Return what a row says of the objects that the judge reports: their areas, and their sources."""
    objects, sources = sample.objects, sample.sources
    return {
        "areas": {name: area for name, area in sample.areas.items() if name in objects},
        "annotated": sources and tuple(name for name in objects if name in sources.annotated),
        "captioned": sources and tuple(name for name in objects if name in sources.captioned),
    }
