"""Measures one checkpoint. Each measurement is a file of lines, and is not repeated once it is complete.

The name of the folder contains a hash of all that affects the results: weights, settings and versions.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from eidolon.benchmark.scenes.scene import Scene, render
from eidolon.benchmark.scenes.text import ask_presence, describe
from eidolon.benchmark.store.atomic import write_atomically
from eidolon.benchmark.store.batch_file import BatchFile
from eidolon.benchmark.store.files import RESPONSES
from eidolon.benchmark.store.record import SampleRow
from eidolon.benchmark.study.memory.archive import read_archived
from eidolon.benchmark.study.memory.measurements import (
    ABOUT,
    BLOCKS,
    QUESTIONS,
    READINGS_FILE,
    TEXTS,
    BenchSettings,
    CheckpointMeasurements,
    CheckpointSummary,
    TextReading,
    folder_name,
    read_measurements,
    rows_of,
    scenes_of,
)
from eidolon.benchmark.study.memory.trained import TrainedCheckpoint
from eidolon.benchmark.study.training.predictors import SCENES, long_reference, predictors_on_references
from eidolon.benchmark.tasks.forget.dependency.series import Spelled, judge_text, series_of, spell
from eidolon.benchmark.tasks.forget.retention.design import make_design
from eidolon.benchmark.tasks.forget.retention.stage import RetentionSettings, ask, trained_tokens
from eidolon.models.base.model import Decoding, Failure, Interview, Request, request_seed
from eidolon.models.memory.layout import Selection
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.types import Response
from eidolon.scorers.forgetting.fading import ROUNDING, fade_moments
from eidolon.scorers.judges.lexicon import NAMING_READINGS, LexiconJudge
from eidolon.scorers.retention.records import CONDITIONS, AnsweredContext, Condition, YesNoAnswer

if TYPE_CHECKING:
    from eidolon.models.backends.transformers import TransformersModel
    from eidolon.models.probing.dependency import PromptDependency

BATCH = 32
"""Descriptions or interviews in a batch."""


def measure_checkpoint(
    trained: TrainedCheckpoint,
    settings: BenchSettings,
    out: Path,
    *,
    selection: Selection | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> CheckpointMeasurements:
    """Return all measurements of a checkpoint, after making those that its folder below `out` lacks.

    With `selection`, the stores are filled by that rule instead, and only the questions directly after the image and
    after filler are asked.

    Raises:
        UserError: `selection` is given and the checkpoint has no store; or there is an archive without these
            measurements.
        RuntimeError: the model fails.
    """
    if trained.archive is not None:
        return read_archived(trained, settings, selection)
    folder = out / folder_name(trained, settings, selection)
    done = read_measurements(folder, trained)
    if done is not None:
        return done
    folder.mkdir(parents=True, exist_ok=True)
    from eidolon.models.backends.transformers import TransformersModel
    from eidolon.models.memory.stores import select_by

    say(f"{folder.name}: measuring")
    model = TransformersModel(str(trained.folder))
    if selection is not None and not select_by(model.model, selection):
        raise UserError(f"{trained.folder}: has no store that {selection!r} could fill")
    bench = _Bench(model, settings, folder)
    bench.ask_at_once()
    if selection is None:
        responses = bench.describe()
        bench.probe(responses, say=say)
        bench.read(responses)
    else:
        bench.probe([_no_response(row) for row in bench.rows], conditions=("filler",), say=say)
    write_atomically(folder / ABOUT, bench.about(trained, selection).model_dump_json(indent=2) + "\n")
    found = read_measurements(folder, trained)
    assert found is not None
    return found


class _Bench:
    """Measures a loaded model on the scenes."""

    def __init__(self, model: "TransformersModel", settings: BenchSettings, folder: Path) -> None:
        self.model, self.settings, self.folder = model, settings, folder
        self.scenes = scenes_of(settings, settings.limit)
        self.rows = rows_of(self.scenes)
        self.images = [render(scene) for scene in self.scenes]
        self.judge = LexiconJudge("careful")

    def request(self, index: int, prompt: str) -> Request:
        row = self.rows[index]
        return Request(row.sample_id, row.image_id, self.images[index], prompt, is_question=True)

    def failed(self, what: str, reason: str) -> RuntimeError:
        """Return the exception for a failed request. Images and prompts are ours, so a failure is no answer of the
        model."""
        return RuntimeError(f"{self.folder.name}: {what}: {reason}")

    def ask_at_once(self) -> None:
        """Ask about present and absent objects, equally often, directly after the image."""
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
                    YesNoAnswer(
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
        """Sample descriptions of every scene, as in a run. Return those of the scenes with questions."""
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
        conditions: Sequence[Condition] | None = None,
        say: Callable[[str], None],
    ) -> None:
        """Run the retention probe: ask questions after texts of given lengths, in some or all conditions."""
        judges = [LexiconJudge(reading) for reading in NAMING_READINGS]

        def name(text: str) -> Collection[str]:
            response = Response(sample_id="text", image_id="text", response=text)
            return {m.category for judge in judges for one in judge.judge([response]) for m in one.mentions}

        settings = RetentionSettings(
            prompt=self.settings.prompt,
            lengths=self.settings.lengths,
            batch_size=BATCH,
            seed=self.settings.seed,
        )
        long = TEXTS.index("long")
        design = make_design(
            self.rows,
            responses,
            self.model,
            name,
            lengths=settings.lengths,
            seed=settings.seed,
            conditions=conditions or CONDITIONS,
            others={row.sample_id: self._text(i, long, ()) for i, row in enumerate(self.rows)},
        )
        images = {
            row.sample_id: lambda image=image: image
            for row, image in zip(self.rows, self.images, strict=True)
        }
        held = ask(settings, self.folder, self.folder.name, design, self.model, images)
        if failed := next((one.error for one in held if one.error), None):
            raise self.failed("cannot be interviewed", failed)

    def read(self, responses: Sequence[Response]) -> None:
        """Read the model's own description and two references of each scene, with and without the image."""
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
                form="dropped",
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
                return long_reference(scene, self.settings.long_words)
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

    def about(self, trained: TrainedCheckpoint, selection: Selection | None) -> CheckpointSummary:
        from eidolon.models.memory.innovation import is_matched

        network = self.model.model
        settings = RetentionSettings(prompt="", trained_words=trained.trained_words)
        return CheckpointSummary(
            variant=trained.variant,
            seed=trained.seed,
            selection=selection,
            digest=trained.digest,
            trained_tokens=trained_tokens(settings, self.model),
            parameters=sum(p.numel() for p in network.parameters()),
            text_parameters=sum(
                p.numel() for name, p in network.model.text_model.named_parameters() if is_matched(name)
            ),
            predictor_r_squared=predictors_on_references(
                self.model, self.scenes[:SCENES], prompt=self.settings.prompt, words=self.settings.long_words
            )
            if "BM" in trained.memory.layout
            else None,
        )


def _no_response(row: SampleRow) -> Response:
    return Response(sample_id=row.sample_id, image_id=row.image_id, response=None, error="not generated")
