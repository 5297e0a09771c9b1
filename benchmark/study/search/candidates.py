"""Trains candidates. Every one is kept on disk, so that no method and no later search trains it again."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import ValidationError

from eidolon.benchmark.store.atomic import write_atomically
from eidolon.benchmark.study.recall.recipe import RecallTraining
from eidolon.benchmark.study.search.recipe import SearchRecipe
from eidolon.benchmark.study.search.space import SearchedLayout
from eidolon.models.memory.innovation import refusal
from eidolon.models.memory.layout import Memory
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.types import Record

if TYPE_CHECKING:
    from eidolon.benchmark.study.recall.model import RecallModel
    from eidolon.models.training.loop import DivergedError, TrainingReport

RESULT = "result.json"


class Training(Record):
    """What a candidate's recall depends on."""

    architecture: SearchedLayout
    memory: Memory
    recall: dict[str, object]
    """The recall recipe, as JSON."""
    early: int
    seed: int


class TrainedCandidate(Record):
    """The content of a candidate's `result.json`."""

    training: Training
    parameters: int
    early: float
    """Recall of the validation sequences where a training may be stopped."""
    validation: float | None = None
    """Recall of the validation sequences after the whole training; null while it has not ended."""
    recall: float | None = None
    """Recall of the test sequences, by which nothing is chosen; null while the training has not ended."""
    predictor_r_squared: tuple[float, ...] | None = None
    """R² of the predictor of each layer with a store, over the validation sequences. Null without a store."""
    diverged: str | None = None
    """The step whose loss was no finite number; null if all were. Its recalls are then 0 and not reported."""
    seconds: float
    """Time of the training so far."""

    @property
    def refused(self) -> str | None:
        """The reason why the recall is not reported, None if it is."""
        if self.diverged is not None:
            return self.diverged
        return refusal(self.training.architecture.layout, None, self.predictor_r_squared)


class CandidatePool:
    """The candidates of a recipe, in a folder with one folder each."""

    def __init__(self, recipe: SearchRecipe, folder: Path) -> None:
        self._recipe, self._folder = recipe, folder

    def early_recall(self, point: SearchedLayout) -> float:
        """Return the recall of a candidate where its training may be stopped."""
        return self._result(point, whole=False).early

    def recall(self, point: SearchedLayout) -> float:
        """Return the recall of the validation sequences after the whole training of a candidate.

        It counts as 0 if the candidate's results are not reported.
        """
        found = self.trained(point)
        assert found.validation is not None
        return 0.0 if found.refused else found.validation

    def trained(self, point: SearchedLayout) -> TrainedCandidate:
        """Return the results of a candidate after its whole training."""
        return self._result(point, whole=True)

    def new_model(self, point: SearchedLayout) -> "RecallModel":
        """Return a candidate before its training."""
        return make_candidate(self._recipe, point)

    def trained_model(self, point: SearchedLayout) -> "RecallModel":
        """Return a candidate after its training."""
        from safetensors.torch import load_model

        self.recall(point)
        model = self.new_model(point)
        load_model(model, self._path(point) / "state" / "model.safetensors")
        return model.eval()

    def _path(self, point: SearchedLayout) -> Path:
        return self._folder / f"{point.slug}-{self._recipe.seed}"

    def _training(self, point: SearchedLayout) -> Training:
        recipe = self._recipe
        return Training(
            architecture=point,
            memory=recipe.memory(point),
            recall=recipe.recall.model_dump(mode="json"),
            early=recipe.early,
            seed=recipe.seed,
        )

    def _read(self, point: SearchedLayout) -> TrainedCandidate | None:
        path = self._path(point) / RESULT
        if not path.exists():
            return None
        try:
            found = TrainedCandidate.model_validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            raise UserError(f"{path}: cannot be read; remove its folder ({type(error).__name__})") from error
        if found.training != self._training(point):
            raise UserError(f"{path}: was made by another recipe; give the same options, or another --out")
        return found

    def _result(self, point: SearchedLayout, *, whole: bool) -> TrainedCandidate:
        found = self._read(point)
        if found is None or (whole and found.validation is None):
            found = self._train(point, found, whole=whole)
            self._keep(point, found)
        return found

    def _train(
        self, point: SearchedLayout, earlier: TrainedCandidate | None, *, whole: bool
    ) -> TrainedCandidate:
        from eidolon.benchmark.study.recall.model import TESTING, VALIDATION, make_batch
        from eidolon.models.memory.innovation import predictors_r_squared, rounded_r_squared
        from eidolon.models.training.loop import DivergedError, train_loop

        recipe, folder = self._recipe, self._path(point)
        folder.mkdir(parents=True, exist_ok=True)
        model = self.new_model(point)
        schedule = training_schedule(recipe, recipe.recall.steps)
        early = None if earlier is None else earlier.early
        report = None
        for stop in (recipe.early, None) if early is None else (None,):
            if stop is None and not whole:
                break
            try:
                report = train_loop(
                    model,
                    lambda step, rank, world: make_batch(recipe.recall, step),
                    schedule,
                    folder,
                    stop_at=stop,
                    identity=self._training(point).model_dump(mode="json"),
                )
            except DivergedError as error:
                nothing = {"validation": 0.0, "recall": 0.0, "diverged": str(error)}
                return self._made(point, error, early or 0.0).model_copy(update=nothing)
            if stop is not None:
                early = measure_model(model, recipe, VALIDATION)
                # Kept at once: a training that was killed after its end cannot measure it again.
                self._keep(point, self._made(point, report, early))
        assert early is not None
        assert report is not None
        made = self._made(point, report, early)
        if not whole:
            return made
        recalls: list[float] = []
        r_squared = predictors_r_squared(
            model, lambda: recalls.append(measure_model(model, recipe, VALIDATION))
        )
        return made.model_copy(
            update={
                "validation": recalls[0],
                "recall": measure_model(model, recipe, TESTING),
                "predictor_r_squared": rounded_r_squared(r_squared),
            }
        )

    def _made(
        self, point: SearchedLayout, report: "TrainingReport | DivergedError", early: float
    ) -> TrainedCandidate:
        return TrainedCandidate(
            training=self._training(point),
            parameters=report.parameters,
            early=early,
            seconds=round(report.seconds, 2),
        )

    def _keep(self, point: SearchedLayout, found: TrainedCandidate) -> None:
        write_atomically(self._path(point) / RESULT, found.model_dump_json(indent=1) + "\n")


def make_candidate(recipe: SearchRecipe, point: SearchedLayout) -> "RecallModel":
    """Return a candidate with random weights of the recipe's seed."""
    import torch

    from eidolon.benchmark.study.recall.model import RecallModel

    torch.manual_seed(recipe.seed)
    return RecallModel(recipe.memory(point), recipe.recall.task.vocabulary, point.width, point.width)


def training_schedule(recipe: SearchRecipe, steps: int) -> RecallTraining:
    """Return the schedule of a training of this length, which saves at its end only."""
    return RecallTraining(
        seed=recipe.seed,
        learning_rate=recipe.recall.learning_rate,
        warmup=min(50, steps // 2),
        length=steps,
        save_every=steps,
    )


def measure_model(model: "RecallModel", recipe: SearchRecipe, seed: int) -> float:
    """Return the share of right answers, all kinds of sequences alike. It sets `eval`.

    `seed` says to which sequences: `VALIDATION` or `TESTING` of `recall.model`.
    """
    from eidolon.benchmark.study.recall.model import find_right, make_test

    task, count = recipe.recall.task, recipe.recall.test_sequences
    shares = [
        find_right(model, make_test(task, pairs, filler, count, seed)).mean()
        for filler, pairs in recipe.recall.kinds
    ]
    return round(float(np.mean(shares)), 4)
