"""`eidolon compare`: is the difference between two runs more than chance?"""

from pathlib import Path
from typing import Annotated

import typer

from eidolon.benchmark.cli.common import CONDITION_FAILED, make_console, with_examples
from eidolon.benchmark.cli.options import Allow, MinShared, split_names
from eidolon.benchmark.settings.fields import MIN_SHARED


@with_examples(
    "eidolon compare results/runs/demo/scenes-base results/runs/demo/scenes-small",
)
def compare(
    a: Annotated[Path, typer.Argument(metavar="A", help="A run folder, or a folder with one run.")],
    b: Annotated[Path, typer.Argument(metavar="B", help="Another, over the same samples.")],
    metric: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME,…",
            help="Metrics or single quantities (objects.f05), separated by commas. Default: all that both have.",
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Also write the comparison to this JSON file.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON in place of a table.")] = False,
    allow: Allow = None,
    seed: Annotated[int, typer.Option(help="Seed of the resamples.")] = 0,
    resamples: Annotated[
        int, typer.Option(help="Resamples of the bootstrap and of the test; 0 for neither.")
    ] = 10_000,
    min_shared: MinShared = MIN_SHARED,
    fail_if_worse: Annotated[
        list[str] | None,
        typer.Option(
            metavar="METRIC[:MARGIN]",
            help="Exit code 4 if B is significantly worse than A in this quantity, or, with a margin, if its value "
            "is worse by more. Repeatable.",
        ),
    ] = None,
) -> int:
    """Compare two runs sample by sample: paired intervals, tests, and the smallest detectable effect."""

    from eidolon.benchmark.report.compare_table import show
    from eidolon.benchmark.verify import compare as comparing
    from eidolon.benchmark.verify.gates import judge_worse
    from eidolon.scorers.core.errors import UserError
    from eidolon.scorers.core.resampling import MAX_RESAMPLES

    for flag, value in (("--seed", seed), ("--resamples", resamples)):
        if value < 0:
            raise UserError(f"{flag} {value}: must be at least 0")
    if resamples > MAX_RESAMPLES:
        raise UserError(f"--resamples {resamples}: must be at most {MAX_RESAMPLES}")
    wanted = comparing.CompareOptions(split_names(metric), split_names(allow), seed, resamples, min_shared)
    comparison = comparing.compare(a, b, wanted)
    verdicts = judge_worse(split_names(fail_if_worse), comparison)
    if out is not None:
        comparing.write(comparison, out)
    if json:
        typer.echo(comparison.to_json(), nl=False)
    else:
        show(comparison, make_console())
    for verdict in verdicts:
        typer.echo(f"required: {verdict}", err=json or not verdict.met)
    return 0 if all(verdict.met for verdict in verdicts) else CONDITION_FAILED
