"""`eidolon check`: is somebody's run folder what it says it is?"""

from pathlib import Path
from typing import Annotated

import typer

from eidolon.benchmark.cli.common import make_console, with_examples

DIFFERS = 3


@with_examples(
    "eidolon check results/runs/demo/scenes-base",
    "eidolon check results/runs/mine --dataset coco -D annotations=instances.json -D images=val2017",
)
def check(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN...", help="Run folders, folders with one run each, or files of eidolon annotate."
        ),
    ],
    dataset: Annotated[
        str | None,
        typer.Option(help="Your copy of the dataset of the runs: its objects and images are compared."),
    ] = None,
    dataset_option: Annotated[
        list[str] | None,
        typer.Option("-D", metavar="KEY=VALUE", help="An option of the dataset; repeatable."),
    ] = None,
    judge_option: Annotated[
        list[str] | None,
        typer.Option("-J", metavar="KEY=VALUE", help="An option of the runs' judge; repeatable."),
    ] = None,
    rejudge: Annotated[
        bool,
        typer.Option(
            "--rejudge",
            help="Make judges that ask language models, plug-ins and annotators, and let them judge again.",
        ),
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON in place of a table.")] = False,
) -> int:
    """Verify run folders before they enter a leaderboard: files, ids, totals, judgements, scores, signature, truth.

    Exit code 0: nothing differs; 3: something does; 2: no run folder.
    """
    from eidolon.benchmark.tasks.checking.checks import NamedDataset
    from eidolon.benchmark.verify.check.run import CheckOptions, check_runs
    from eidolon.models.base.options import parse_options
    from eidolon.scorers.core.errors import UserError

    options = parse_options(dataset_option or [], "-D")
    if options and dataset is None:
        raise UserError(f"-D {next(iter(options))}: is of --dataset, which is not given")
    judge_options = parse_options(judge_option or [], "-J") or ({} if rejudge else None)
    how = CheckOptions(judge_options, None if dataset is None else NamedDataset(dataset, options))
    report = check_runs(runs, how)
    if json:
        typer.echo(report.to_json(), nl=False)
    else:
        from eidolon.benchmark.verify.check.table import show

        show(report, make_console())
    return 0 if report.fine else DIFFERS
