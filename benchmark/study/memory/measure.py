"""What is measured of one checkpoint, each measurement a file of lines that is not made again once it is there.

The folder's name holds a hash of all that decides what comes out: the weights, the settings, the versions.
"""

import hashlib
import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from pydantic import ConfigDict, Field, model_validator

from eidolon.benchmark.scenes.dialogue import DESCRIBE_PROMPTS
from eidolon.benchmark.scenes.memory_training import CROWDED
from eidolon.benchmark.scenes.scene import Dials, Scene, make_scene, render
from eidolon.benchmark.scenes.text import ask_presence, describe
from eidolon.benchmark.store.atomic import write_atomically
from eidolon.benchmark.store.batch_file import BatchFile
from eidolon.benchmark.store.files import RESPONSES, RETENTION_LINES
from eidolon.benchmark.store.record import SampleRow
from eidolon.benchmark.study.memory.checkpoints import Trained
from eidolon.benchmark.tasks.forget.dependency.series import Spelled, judge_text, series_of, spell
from eidolon.benchmark.tasks.forget.retention.design import ProbeDesign, make_design
from eidolon.benchmark.tasks.forget.retention.stage import RetentionSettings, ask, trained_tokens
from eidolon.models.base.defaults import DEFAULT_TEMPERATURE
from eidolon.models.base.model import Decoding, Failure, Interview, Request, request_seed
from eidolon.models.memory.layout import Selection
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.types import Record, Response
from eidolon.scorers.forgetting.dependency import ROUNDING, fade_moments
from eidolon.scorers.judges.lexicon import READINGS, LexiconJudge
from eidolon.scorers.retention.records import Answer, AnsweredContext

if TYPE_CHECKING:
    from eidolon.models.backends.transformers import TransformersModel
    from eidolon.models.probing.dependency import PromptDependency

QUESTIONS, READINGS_FILE, ABOUT = "questions.jsonl", "readings.jsonl", "measured.json"
BATCH = 32
"""Descriptions written, and interviews held, at once."""
BLOCKS = (0, 16, 32, 64, 128, 192, 256, 384)
"""Where blocks of positions begin, in tokens of a text; the last is open."""
TEXTS = ("own", "usual", "long")
"""Texts that are read with the picture and without: the model's own, and references, as long as in training and
longer."""
COLUMNS = ("tokens", "nats", "nats_blind", "pdm", "names", "name_nats", "name_nats_blind", "name_pdm")
"""Sums over the tokens of a block; `names` are the first tokens that name an object of the picture."""


class BenchSettings(Record):
    """What is asked of every checkpoint; all of it is part of the signature."""

    limit: int = Field(128, ge=2)
    """Held-out scenes that are asked about."""
    descriptions: int = Field(1024, ge=2)
    """Held-out scenes that are described, those that are asked about first among them: descriptions cost little, and
    what is hallucinated in them is rare."""
    seed: int = 0
    """Of the scenes, of what is asked about them, and of sampling."""
    dials: Dials = CROWDED
    lengths: tuple[int, ...] = (16, 32, 64, 128, 256, 512)
    """Tokens of text between picture and question, beside none."""
    questions: int = Field(2, ge=1)
    """Present objects asked about right after the picture, and as many absent ones, of each scene."""
    prompt: str = DESCRIBE_PROMPTS[0]
    max_new_tokens: int = 256
    temperature: float = DEFAULT_TEMPERATURE
    usual_words: tuple[int, int] = (40, 100)
    """Bounds of the references that are as long as in training, …"""
    long_words: tuple[int, int] = (300, 400)
    """… and of those up to four times as long."""

    @model_validator(mode="after")
    def _describe_what_is_asked_about(self) -> Self:
        if self.descriptions < self.limit:
            raise ValueError(
                f"descriptions {self.descriptions}: fewer than the {self.limit} scenes asked about"
            )
        return self


class TextReading(Record):
    """A line of `readings.jsonl`: what a model made of one text about a scene, in sums."""

    model_config = ConfigDict(allow_inf_nan=False)

    sample_id: str
    generation: int
    """The place of the text among `TEXTS`."""
    image_id: int
    blocks: tuple[tuple[float, ...], ...] = ()
    """By block of `BLOCKS`, sums named by `COLUMNS`."""
    moments: tuple[float, ...] = ()
    """Of log PDM over position: `eidolon.scorers.forgetting.dependency.fade_moments`."""
    rounding: int = 0
    """Tokens that are the same with the picture and without, up to rounding; `moments` lack them."""
    missing: str | None = None
    """Why nothing was read."""


class About(Record):
    """`measured.json`: written last, so that it says that all is there."""

    variant: str
    seed: int
    selection: Selection | None
    digest: str
    trained_tokens: int | None
    parameters: int
    text_parameters: int
    """Without the picture side, which all share."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Everything that was measured of one checkpoint."""

    trained: Trained
    about: About
    responses: tuple[Response, ...]
    questions: tuple[AnsweredContext, ...]
    held: tuple[AnsweredContext, ...]
    readings: tuple[TextReading, ...]


def scenes_of(settings: BenchSettings, count: int) -> list[Scene]:
    """Return the first held-out scenes."""
    return [make_scene(settings.seed, index, settings.dials) for index in range(count)]


def rows_of(scenes: Sequence[Scene]) -> list[SampleRow]:
    """Return the scenes' truth; `image_id` is the place among them."""
    return [
        SampleRow(
            sample_id=f"scenes-{scene.seed}-{scene.index}",
            image_id=scene.index,
            objects=scene.objects,
            areas={thing.category: thing.area for thing in scene.things},
        )
        for scene in scenes
    ]


def measure_checkpoint(
    trained: Trained,
    settings: BenchSettings,
    out: Path,
    *,
    selection: Selection | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Measured:
    """Measure what the checkpoint's folder below `out` lacks, and return all of it.

    With `selection`, its stores are filled by that rule instead, and only what shows it is measured: questions right
    after the picture and after filler.
    """
    folder = out / _folder_name(trained, settings, selection)
    done = _read(folder, trained)
    if done is not None:
        return done
    folder.mkdir(parents=True, exist_ok=True)
    from eidolon.models.backends.transformers import TransformersModel
    from eidolon.models.memory.stores import select_by

    say(f"{folder.name}: measuring")
    model = TransformersModel(str(trained.folder))
    if selection is not None and not select_by(model.model, selection):
        raise UserError(f"{trained.folder}: has no store that could be filled by {selection!r}")
    bench = _Bench(model, settings, folder)
    bench.ask_at_once()
    if selection is None:
        responses = bench.describe()
        bench.probe(responses, say=say)
        bench.read(responses)
    else:
        bench.probe([_no_response(row) for row in bench.rows], conditions=("filler",), say=say)
    write_atomically(folder / ABOUT, bench.about(trained, selection).model_dump_json(indent=2) + "\n")
    found = _read(folder, trained)
    assert found is not None
    return found


class _Bench:
    """A loaded model before the scenes."""

    def __init__(self, model: "TransformersModel", settings: BenchSettings, folder: Path) -> None:
        self.model, self.settings, self.folder = model, settings, folder
        self.scenes = scenes_of(settings, settings.limit)
        self.rows = rows_of(self.scenes)
        self.pictures = [render(scene) for scene in self.scenes]
        self.judge = LexiconJudge("careful")

    def request(self, index: int, prompt: str) -> Request:
        row = self.rows[index]
        return Request(row.sample_id, row.image_id, self.pictures[index], prompt, is_question=True)

    def failed(self, what: str, reason: str) -> RuntimeError:
        """Return the exception for what failed: pictures and prompts are ours, so that it is no answer of a model's."""
        return RuntimeError(f"{self.folder.name}: {what}: {reason}")

    def ask_at_once(self) -> None:
        """Ask about present and absent objects right after the picture, as often about the one as the other."""
        keys = [(row.sample_id, 0) for row in self.rows]
        file = BatchFile(self.folder / QUESTIONS, AnsweredContext, keys, BATCH)
        for batch in file.batches:
            places = range(len(keys))[file.span(batch)]
            asked = [self._questions(self.scenes[i]) for i in places]
            odds = self.model.interview(
                [
                    Interview(self.request(i, ""), (), tuple(question.text for question in questions))
                    for i, questions in zip(places, asked, strict=True)
                ]
            )
            lines = []
            for i, questions, found in zip(places, asked, odds, strict=True):
                if isinstance(found, Failure):
                    raise self.failed("cannot be asked about a scene", found.reason)
                answers = tuple(
                    Answer(
                        kind="object",
                        about=question.category,
                        truth=question.answer == "Yes",
                        log_yes=one.yes,
                        log_no=one.no,
                    )
                    for question, one in zip(questions, found, strict=True)
                )
                row = self.rows[i]
                lines.append(
                    AnsweredContext(
                        sample_id=row.sample_id, generation=0, image_id=row.image_id, answers=answers
                    )
                )
            file.append(lines)

    def _questions(self, scene: Scene) -> list[Any]:
        rng = scene.rng("bench questions")
        return [
            ask_presence(scene, rng, present)
            for _ in range(self.settings.questions)
            for present in (True, False)
        ]

    def describe(self) -> list[Response]:
        """Let the model describe every scene, sampled as a run samples; return those of the scenes asked about."""
        settings = self.settings
        scenes = scenes_of(settings, settings.descriptions)
        rows = rows_of(scenes)
        file = BatchFile(self.folder / RESPONSES, Response, [(row.sample_id, 0) for row in rows], BATCH)
        decoding = Decoding(settings.max_new_tokens, settings.temperature)
        for batch in file.batches:
            piece = file.span(batch)
            requests = [
                Request(
                    row.sample_id,
                    row.image_id,
                    render(scene),
                    settings.prompt,
                    decoding=replace(decoding, seed=request_seed(settings.seed, row.sample_id, 0)),
                    is_question=True,
                )
                for row, scene in zip(rows[piece], scenes[piece], strict=True)
            ]
            answers = {response.sample_id: response for response in self.model.generate(requests)}
            if failed := next((one.error for one in answers.values() if one.error), None):
                raise self.failed("cannot describe a scene", failed)
            file.append([answers[request.sample_id] for request in requests])
        return file.records[: settings.limit]

    def probe(
        self,
        responses: Sequence[Response],
        *,
        conditions: Collection[str] | None = None,
        say: Callable[[str], None],
    ) -> None:
        """Ask after texts of set lengths: the retention probe, of some conditions or of all."""
        judges = [LexiconJudge(reading) for reading in READINGS]

        def name(text: str) -> Collection[str]:
            response = Response(sample_id="text", image_id="text", response=text)
            return {m.category for judge in judges for one in judge.judge([response]) for m in one.mentions}

        settings = RetentionSettings(
            prompt=self.settings.prompt,
            lengths=self.settings.lengths,
            batch_size=BATCH,
            seed=self.settings.seed,
        )
        design = make_design(
            self.rows, responses, self.model, name, lengths=settings.lengths, seed=settings.seed
        )
        if conditions is not None:
            kept = tuple(c for c in design.contexts if c.condition is None or c.condition in conditions)
            design = ProbeDesign(kept, design.missing)
        pictures = {
            row.sample_id: lambda picture=picture: picture
            for row, picture in zip(self.rows, self.pictures, strict=True)
        }
        held = ask(settings, self.folder, self.folder.name, design, self.model, pictures)
        if failed := next((one.error for one in held if one.error), None):
            raise self.failed("cannot be interviewed", failed)

    def read(self, responses: Sequence[Response]) -> None:
        """Read the model's own descriptions and two references of each scene, with the picture and without."""
        from eidolon.models.probing.dependency import EMPTY, read_dependency
        from eidolon.models.probing.teacher_forcing import leading_space

        keys = [(row.sample_id, number) for row in self.rows for number in range(len(TEXTS))]
        file = BatchFile(self.folder / READINGS_FILE, TextReading, keys, BATCH * len(TEXTS))
        lead = leading_space(self.model, self.request(0, self.settings.prompt)) if file.batches else ""
        for batch in file.batches:
            places = [divmod(i, len(TEXTS)) for i in range(len(keys))[file.span(batch)]]
            texts = [self._text(index, number, responses) for index, number in places]
            spelled = [spell(self.model, text, lead) if text.strip() else None for text in texts]
            readings = read_dependency(
                self.model,
                [self.request(index, self.settings.prompt) for index, _ in places],
                [() if one is None else one.tokens for one in spelled],
                batch=BATCH,
            )
            lines = []
            for (index, number), one, reading in zip(places, spelled, readings, strict=True):
                summary: dict[str, Any] = {"missing": "the text is empty"}
                if one is not None and reading != EMPTY:
                    summary = self._summary(index, one, reading)
                row = self.rows[index]
                lines.append(
                    TextReading(sample_id=row.sample_id, generation=number, image_id=index, **summary)
                )
            file.append(lines)

    def _text(self, index: int, number: int, responses: Sequence[Response]) -> str:
        scene = self.scenes[index]
        match TEXTS[number]:
            case "usual":
                return describe(scene, scene.rng("bench reference"), self.settings.usual_words)
            case "long":
                return describe(scene, scene.rng("bench long reference"), self.settings.long_words)
            case _:
                return responses[index].response or ""

    def _summary(self, index: int, spelled: Spelled, reading: "PromptDependency") -> dict[str, Any]:
        request, objects = self.request(index, self.settings.prompt), self.rows[index].objects
        mentions = judge_text(self.judge, request, spelled, objects).mentions
        series = series_of(request, spelled, reading, mentions)
        naming = np.zeros(len(reading.tokens))
        seen: set[str] = set()
        for mention in sorted(mentions, key=lambda mention: mention.start):
            if mention.token is not None and mention.category not in seen and mention.verdict == "grounded":
                naming[mention.token] = 1
            seen.add(mention.category)
        each = np.stack(
            [np.ones(len(naming)), -np.array(reading.seen), -np.array(reading.blind), series.hellinger]
        )
        columns = np.concatenate([each, each * naming])
        starts = np.searchsorted(BLOCKS, np.arange(len(naming)), side="right") - 1
        blocks = [columns[:, starts == block].sum(axis=1) for block in range(len(BLOCKS))]
        kept = series.difference > ROUNDING
        return {
            "blocks": tuple(tuple(map(float, block)) for block in blocks),
            "moments": tuple(map(float, fade_moments(series, kept))),
            "rounding": int((~kept).sum()),
        }

    def about(self, trained: Trained, selection: Selection | None) -> About:
        network = self.model.model
        settings = RetentionSettings(prompt="", trained_words=trained.trained_words)
        return About(
            variant=trained.variant,
            seed=trained.seed,
            selection=selection,
            digest=trained.digest,
            trained_tokens=trained_tokens(settings, self.model),
            parameters=sum(p.numel() for p in network.parameters()),
            text_parameters=sum(p.numel() for p in network.model.text_model.parameters()),
        )


def _no_response(row: SampleRow) -> Response:
    return Response(sample_id=row.sample_id, image_id=row.image_id, response=None, error="not asked for")


def versions() -> dict[str, str]:
    """Return the versions of what computes."""
    from importlib.metadata import version

    from eidolon.scorers.core.distribution import package_version

    return {
        "eidolon": package_version(),
        **{name: version(name) for name in ("torch", "transformers", "numpy")},
    }


def _device() -> dict[str, Any]:
    """Return where models are loaded, and in which precision: what one measured is not what another did."""
    from eidolon.models.base.devices import choose_device, choose_dtype, device_identity

    device = choose_device("auto", "--device")
    about = device_identity(device)
    return {
        "kind": about["device"],
        "gpu": about.get("gpu"),
        "dtype": str(choose_dtype("auto", device)),
    }


def _folder_name(trained: Trained, settings: BenchSettings, selection: Selection | None) -> str:
    decides = {
        "settings": settings.model_dump(mode="json"),
        "digest": trained.digest,
        "trained_words": trained.trained_words,
        "selection": selection,
        "blocks": BLOCKS,
        "versions": versions(),
        "device": _device(),
    }
    text = json.dumps(decides, sort_keys=True)
    rule = f"-{selection}" if selection else ""
    safe = "".join(c if c.isalnum() or c in "-_.=" else "_" for c in trained.name.replace("*", "A"))
    return f"{safe}{rule}-{hashlib.sha256(text.encode()).hexdigest()[:10]}"


def _read(folder: Path, trained: Trained) -> Measured | None:
    """Return what is there, None where something is still to be measured."""
    if not (folder / ABOUT).is_file():
        return None

    def lines(name: str, record: Any) -> tuple[Any, ...]:
        path = folder / name
        if not path.exists():
            return ()
        return tuple(record.model_validate_json(line) for line in path.read_bytes().splitlines())

    return Measured(
        trained,
        About.model_validate_json((folder / ABOUT).read_bytes()),
        lines(RESPONSES, Response),
        lines(QUESTIONS, AnsweredContext),
        lines(RETENTION_LINES, AnsweredContext),
        lines(READINGS_FILE, TextReading),
    )
