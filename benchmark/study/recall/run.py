"""`eidolon memory mqar`: trains the models of the recall study one by one and measures their recall.

The folder has `mqar.json` and `mqar.png` about all runs in it. `runs/CELL/` has the state of a training, its
`result.json`. Finished runs are not repeated.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from pydantic import ValidationError
from rich.console import Console

from eidolon.benchmark.engine.launch import is_follower
from eidolon.benchmark.store.atomic import write_atomically
from eidolon.benchmark.study.folders import make_folders
from eidolon.benchmark.study.recall.detail import (
    MqarDetail,
    TrainedRecallModel,
    make_detail,
    measure_kind,
)
from eidolon.benchmark.study.recall.plot import draw_mqar
from eidolon.benchmark.study.recall.recipe import (
    COMPARED_STORE,
    SEEDS,
    RecallCell,
    RecallRecipe,
    check_recipe,
    study_cells,
)
from eidolon.models.memory.layout import Selection, parse_layout_option
from eidolon.scorers.core.errors import UserError, did_you_mean
from eidolon.scorers.core.types import Record

RUNS, RESULT = "runs", "result.json"


class RunResult(Record):
    """The content of `result.json`."""

    recipe: RecallRecipe
    model: TrainedRecallModel


def run_mqar(
    out: Path,
    layouts: Sequence[str] | None = None,
    stores: Sequence[int] | None = None,
    selections: Sequence[str] | None = None,
    seeds: Sequence[int] | None = None,
    *,
    steps: int | None = None,
    sequences: int | None = None,
    recipe: RecallRecipe | None = None,
) -> MqarDetail:
    """Run the whole study, or the chosen cells, and write the results of all runs in the folder.

    Args:
        out: Folder of the study.
        layouts, stores, selections, seeds: The chosen cells; see `choose_cells`.
        steps: Training steps; None for those of the recipe.
        sequences: Test sequences of each kind; None for those of the recipe.
        recipe: Another recipe than that of the study.

    Raises:
        UserError: an invalid layout or selection, a folder that cannot be written, or runs of another recipe in it.
    """
    changed = {"steps": steps, "test_sequences": sequences}
    recipe = (recipe or RecallRecipe()).model_copy(
        update={name: value for name, value in changed.items() if value is not None}
    )
    cells = choose_cells(layouts, stores, selections, seeds)
    runs = out / RUNS
    make_folders(runs)
    finished(runs, recipe)  # raises for runs of another recipe before hours of training
    console = Console(stderr=True, quiet=is_follower())
    for number, cell in enumerate(cells, 1):
        if not (runs / cell.slug / RESULT).exists():
            console.print(f"{number} of {len(cells)}: {cell.label}, seed {cell.seed}", highlight=False)
            run_cell(recipe, cell, runs / cell.slug)
    done = finished(runs, recipe)
    detail = make_detail(recipe, done)
    if not is_follower():
        write_atomically(out / "mqar.json", detail.to_json())
        write_atomically(out / "mqar.png", draw_mqar(detail))
    console.print(f"{out / 'mqar.json'}: {len(done)} models")
    return detail


def choose_cells(
    layouts: Sequence[str] | None,
    stores: Sequence[int] | None,
    selections: Sequence[str] | None,
    seeds: Sequence[int] | None,
) -> list[RecallCell]:
    """Return the cells that the command line selects, seed by seed; without any choice all of the study.

    Raises:
        UserError: an unknown layout or selection, or a store or selection for layouts without a store.
    """
    seeds = tuple(dict.fromkeys(seeds or SEEDS))
    if not (layouts or stores or selections):
        return study_cells(seeds)
    known = get_args(Selection)
    for selection in selections or ():
        if selection not in known:
            raise UserError(f"--selection {selection!r}: unknown{did_you_mean(selection, known)}")
    chosen: list[RecallCell] = []
    parsed = [parse_layout_option("--layout", layout) for layout in layouts or ("BM",)]
    if (stores or selections) and not any("BM" in layout for layout in parsed):
        flag = "--store" if stores else "--selection"
        raise UserError(f"{flag}: no layout has a store; name one with BM")
    for seed in seeds:
        for layout in parsed:
            if "BM" not in layout:
                chosen.append(RecallCell(layout=layout, seed=seed))
                continue
            for store in stores or (COMPARED_STORE,):
                for selection in selections or ("innovation",):
                    fields = {"layout": layout, "store": store, "selection": selection, "seed": seed}
                    chosen.append(RecallCell.model_validate(fields))
    return list(dict.fromkeys(chosen))


def run_cell(recipe: RecallRecipe, cell: RecallCell, folder: Path) -> None:
    """Train one model and write its results. A training that was stopped is resumed."""
    from eidolon.benchmark.study.recall.model import find_right, make_model, make_test, train_model
    from eidolon.models.memory.innovation import predictors_r_squared, rounded_r_squared
    from eidolon.models.training.loop import DivergedError

    model = make_model(recipe, recipe.memory(cell), cell.seed)
    tests = [
        (filler, pairs, make_test(recipe.task, pairs, filler, recipe.test_sequences))
        for filler, pairs in recipe.kinds
    ]
    state_bytes = model.state_bytes(max(test.tokens.shape[1] for *_, test in tests))

    def keep(**results: object) -> None:
        trained = TrainedRecallModel.model_validate({**dict(cell), "state_bytes": state_bytes, **results})
        result = RunResult(recipe=recipe, model=trained)
        write_atomically(folder / RESULT, result.model_dump_json(indent=1) + "\n")

    try:
        report = train_model(model, recipe, recipe.training(cell.seed), folder)
    except DivergedError as error:
        keep(parameters=error.parameters, loss=None, kinds=(), diverged=str(error))
        return
    if not report.is_main_process:
        return
    kinds = []

    def measure() -> None:
        for filler, pairs, test in tests:
            kinds.append(measure_kind(filler, pairs, find_right(model, test), test, recipe.window))

    r_squared = predictors_r_squared(model, measure)
    keep(
        parameters=report.parameters,
        loss=round(report.loss, 4),
        predictor_r_squared=rounded_r_squared(r_squared),
        kinds=tuple(kinds),
    )


def finished(runs: Path, recipe: RecallRecipe) -> list[TrainedRecallModel]:
    """Return the finished runs of a folder, in the order of the study.

    Raises:
        UserError: a run of another recipe, or one with unreadable files.
    """
    found: list[TrainedRecallModel] = []
    for path in sorted(runs.glob(f"*/{RESULT}")):
        try:
            result = RunResult.model_validate_json(path.read_bytes())
        except (ValidationError, OSError) as error:
            raise UserError(f"{path.parent}: cannot be read; remove it ({type(error).__name__})") from error
        check_recipe(path, result.recipe, recipe)
        found.append(result.model)
    order = {cell.label: place for place, cell in enumerate(study_cells((0,)))}
    return sorted(found, key=lambda one: (order.get(one.cell.label, len(order)), one.cell.label, one.seed))
