"""`eidolon memory bench`: measures checkpoints and writes the table and the plots of the study."""

import json
from collections.abc import Mapping, Sequence
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from eidolon.benchmark.store.atomic import write_atomically
from eidolon.benchmark.study.folders import make_folders
from eidolon.benchmark.study.memory.analysis import analyse
from eidolon.benchmark.study.memory.archive import measured_versions, rules_in, untrained_text_model
from eidolon.benchmark.study.memory.checkpoints import find_checkpoints
from eidolon.benchmark.study.memory.comparisons import PRIMARY, PRIMARY_LENGTHS
from eidolon.benchmark.study.memory.cost import Cost, CostFile, attention_length, measure_cost
from eidolon.benchmark.study.memory.measure import measure_checkpoint
from eidolon.benchmark.study.memory.measurements import BenchSettings, CheckpointMeasurements
from eidolon.benchmark.study.memory.page import PAGE, STUDY, write_page
from eidolon.benchmark.study.memory.plots import PLOTS
from eidolon.benchmark.study.memory.pools import Pool, make_pools
from eidolon.benchmark.study.memory.records import SCHEMA, MemoryStudy, VariantSize
from eidolon.benchmark.study.memory.trained import TrainedCheckpoint
from eidolon.models.memory.layout import Selection
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.signature import HASH_DIGITS, Signature

if TYPE_CHECKING:
    from eidolon.models.memory.modeling import MemoryTextModel

CHECKPOINTS = "checkpoints"
"""The folder of the measurements."""
COST = "cost.json"
"""The file of the speeds, so that a repeated table is the same."""
MATCH = 0.03
"""Largest relative difference of the parameters of matching variants."""
OTHER_RULES: tuple[Selection, ...] = ("random", "recent")
"""Other rules for the stores of a trained model, which show whether the rule matters."""


def run_bench(
    given: Sequence[str], out: Path, settings: BenchSettings, *, resamples: int, other_stores: bool = True
) -> MemoryStudy:
    """Measure what is missing, write `memory.json` and the plots into `out`, and return the study.

    Args:
        given: Names or folders of checkpoints; see `find_checkpoints`.
        out: Folder of the study.
        settings: The settings of the measurements.
        resamples: Bootstrap resamples of the intervals.
        other_stores: Whether to fill the stores of trained models by other rules too.

    Raises:
        UserError: a checkpoint that cannot be found or read, scenes that a model was trained on, or an `out` that
            cannot be written.
    """
    trained = find_checkpoints(given)
    seen = next((one for one in trained if one.data_seed == settings.seed), None)
    if seen is not None:
        raise UserError(
            f"--seed {settings.seed}: {seen.name} was trained on scenes of this seed; give another one"
        )
    make_folders(out / CHECKPOINTS)
    _silence_transformers()
    console = Console(stderr=True)
    measured: list[tuple[CheckpointMeasurements, Selection | None]] = []
    for one in trained:
        for rule in (None, *(other_rules(one) if other_stores else ())):
            found = measure_checkpoint(
                one,
                settings,
                out / CHECKPOINTS,
                selection=rule,
                say=lambda text: console.print(text, style="dim"),
            )
            measured.append((found, rule))
    pools = make_pools(measured, settings.limit)
    sizes = _sizes([pool for pool in pools if pool.selection is None], out)
    variants, comparisons = analyse(pools, sizes, settings, resamples)
    study = MemoryStudy(
        schema=SCHEMA,
        signature=_signature(settings, trained, resamples),
        settings=settings,
        resamples=resamples,
        versions=measured_versions(trained),
        machine=_machine(),
        variants=variants,
        comparisons=comparisons,
        registered=len(PRIMARY) * len(PRIMARY_LENGTHS),
    )
    write_atomically(out / STUDY, study.to_json())
    for name, draw in PLOTS.items():
        png = draw(study)
        if png is not None:
            write_atomically(out / name, png)
    write_page(study, out / PAGE)
    return study


def other_rules(trained: TrainedCheckpoint) -> tuple[Selection, ...]:
    """Return the rules to fill the stores of a model by, beside the one of its training.

    None unless it has stores that were filled by innovation in training. Of an archive, those it was measured with.
    """
    if "BM" not in trained.memory.layout or trained.memory.selection != "innovation":
        return ()
    return OTHER_RULES if trained.archive is None else rules_in(trained, OTHER_RULES)


def _signature(settings: BenchSettings, trained: Sequence[TrainedCheckpoint], resamples: int) -> str:
    dials = settings.dials
    models = ",".join(f"{one.name}#{one.digest[:HASH_DIGITS]}" for one in trained)
    return Signature(
        dataset=f"scenes(objects={dials.min_objects}-{dials.max_objects},size={dials.image_size},"
        f"seed={settings.seed})",
        prompt=settings.prompt,
        decoding=f"sample(t={settings.temperature},max={settings.max_new_tokens},seed={settings.seed})",
        judge="lexicon(reading=careful)",
        policy=f"memory-bench({models},descriptions={settings.descriptions})",
        n=settings.limit,
        resamples=resamples,
        seed=settings.seed,
    ).line()


def _sizes(pools: Sequence[Pool], out: Path) -> dict[str, VariantSize]:
    """Return the sizes of each variant. Speeds are stored with the checkpoints and the machine of their measurement."""
    names = {pool.label: pool.measured[0].trained.digest for pool in pools}
    path = out / COST
    file = CostFile.read(path, names, _machine())
    if file is None:
        file = CostFile(
            machine=_machine(),
            digests=names,
            costs=measure_cost({pool.label: _text_model(pool) for pool in pools}),
        )
        write_atomically(path, file.model_dump_json(indent=1) + "\n")
    attention = next((pool for pool in pools if set(pool.memory.layout) == {"*"}), None)
    return {pool.label: _size(pool, file.costs, attention) for pool in pools}


def _size(pool: Pool, costs: Mapping[str, Cost], attention: Pool | None) -> VariantSize:
    cost, about = costs[pool.label], pool.measured[0].about
    share = None
    if attention is not None:
        share = about.text_parameters / attention.measured[0].about.text_parameters
    before, last = sorted(cost.bytes_at)[-2:]
    yardstick = pool if attention is None else attention
    width = _width(yardstick.measured[0].trained.folder)
    return VariantSize(
        parameters=about.parameters,
        text_parameters=about.text_parameters,
        parameters_to_attention=share,
        parameters_match=None if share is None else abs(share - 1) <= MATCH,
        bytes_at=cost.bytes_at,
        attention_tokens_of_same_bytes={
            n: attention_length(size, yardstick.memory, width, cost.dtype)
            for n, size in cost.bytes_at.items()
        },
        bytes_per_token=(cost.bytes_at[last] - cost.bytes_at[before]) / (last - before),
        tokens_per_second={n: 1000 / ms for n, ms in cost.ms_per_token.items()},
        speed_to_attention={}
        if attention is None
        else {n: costs[attention.label].ms_per_token[n] / ms for n, ms in cost.ms_per_token.items()},
    )


def _text_model(pool: Pool) -> "MemoryTextModel":
    from eidolon.models.backends.transformers import TransformersModel

    trained = pool.measured[0].trained
    if trained.archive is not None:
        return untrained_text_model(trained)
    model: Any = TransformersModel(str(trained.folder)).model
    return model.model.text_model.eval()  # type: ignore[no-any-return]


def _width(folder: Traversable) -> int:
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return int(config["text_config"]["hidden_size"])


def _machine() -> str:
    from eidolon.benchmark.study.machine import describe_machine

    return describe_machine()


def _silence_transformers() -> None:
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
