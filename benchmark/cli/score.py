"""`eidolon score`: responses that exist already, judged and scored."""

from pathlib import Path
from typing import Annotated

import typer

from eidolon.benchmark.cli.common import make_console, report_unscored, split_names


def score(
    responses: Annotated[
        Path, typer.Option(help='JSONL, {"image_id" and/or "sample_id", "response"} a line.')
    ],
    objects: Annotated[
        Path, typer.Option(help='JSONL, {"image_id", "objects"} a line, or a COCO instances JSON.')
    ],
    out: Annotated[Path, typer.Option(help="The run folder to write.")],
    captions: Annotated[
        Path | None, typer.Option(help="COCO captions JSON, whose objects join the truth, as CHAIR wants.")
    ] = None,
    judge: Annotated[str, typer.Option(help="Who reads the responses.")] = "lexicon",
    judge_option: Annotated[
        list[str] | None,
        typer.Option(
            "-J", metavar="KEY=VALUE", help="An option of the judge, as reading=original; repeatable."
        ),
    ] = None,
    metric: Annotated[
        list[str] | None, typer.Option(help="Metrics, separated by commas. Default: chair,objects.")
    ] = None,
    field: Annotated[
        list[str] | None,
        typer.Option(
            metavar="OURS=THEIRS", help="The file's name for a field, as response=caption; repeatable."
        ),
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Only the first so many responses.")] = None,
    seed: Annotated[int, typer.Option(help="Of the bootstrap.")] = 0,
    resamples: Annotated[int, typer.Option(help="Of the bootstrap; 0 for no intervals.")] = 2000,
    max_unscored: Annotated[
        float, typer.Option(help="Share of unscored responses that is still fine.")
    ] = 0.05,
) -> int:
    """Score responses that exist already. The same command again resumes, or confirms what is there."""

    from eidolon.benchmark import leaderboard
    from eidolon.benchmark.existing import ScoreRequest, prepare
    from eidolon.benchmark.pipeline import execute
    from eidolon.models.options import parse_options
    from eidolon.scorers.bootstrap import MAX_RESAMPLES
    from eidolon.scorers.errors import UserError

    for flag, value, least in (("--limit", limit, 1), ("--seed", seed, 0), ("--resamples", resamples, 0)):
        if value is not None and value < least:
            raise UserError(f"{flag} {value}: must be at least {least}")
    if resamples > MAX_RESAMPLES:
        raise UserError(f"--resamples {resamples}: must be at most {MAX_RESAMPLES}")
    if not 0 <= max_unscored <= 1:
        raise UserError(f"--max-unscored {max_unscored:g}: must be between 0 and 1")
    run, existing = prepare(
        ScoreRequest(
            responses=responses,
            objects=objects,
            out=out,
            captions=captions,
            fields=parse_options(field or [], "--field"),
            judge=judge,
            judge_options=parse_options(judge_option or [], "-J"),
            metrics=split_names(metric),
            limit=limit,
            seed=seed,
            resamples=resamples,
        )
    )
    scores = execute(run, existing)
    console = make_console()
    leaderboard.show(leaderboard.collect([out], relative_to=out.parent), console)
    console.print(f"written: {out}", markup=False, highlight=False, soft_wrap=True)
    return report_unscored({str(out): scores.n.unscored / scores.n.requested}, max_unscored)
