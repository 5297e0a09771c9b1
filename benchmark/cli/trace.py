"""`eidolon trace`: one picture, one text, token by token: what the model expected with the picture and without."""

from pathlib import Path
from typing import Annotated

import typer

from eidolon.benchmark.cli.common import make_console, with_examples
from eidolon.benchmark.cli.options import split_names


@with_examples(
    "eidolon trace --model scenes-small --scene 0:2 --out results/trace",
)
def trace(
    model: Annotated[str, typer.Option(help="backend/name, or a shipped model's name.")],
    image: Annotated[Path | None, typer.Option(metavar="FILE", help="The picture.")] = None,
    scene: Annotated[
        str | None,
        typer.Option(
            metavar="SEED:INDEX", help="Draw this scene in place of --image; what is in it is known."
        ),
    ] = None,
    prompt: Annotated[str, typer.Option(help="A preset or a text: what the model is asked.")] = "describe",
    text: Annotated[
        str | None, typer.Option(help="Trace this text as the answer. Default: what the model answers.")
    ] = None,
    objects: Annotated[
        str | None, typer.Option(metavar="A,B,…", help="All that is in the picture, for verdicts.")
    ] = None,
    without: Annotated[
        str, typer.Option(help="What the branch without the picture is fed: neutral, zeroed or dropped.")
    ] = "neutral",
    max_new_tokens: Annotated[int, typer.Option(help="Longest answer.")] = 256,
    temperature: Annotated[float, typer.Option(help="0 is greedy.")] = 0.0,
    seed: Annotated[int, typer.Option(help="Of sampling.")] = 0,
    model_option: Annotated[
        list[str] | None,
        typer.Option("-M", metavar="KEY=VALUE", help="An option for the model; repeatable."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Also write trace.html, trace.png and trace.json there."),
    ] = None,
) -> None:
    """Show where a text depends on the picture, and the moment it names what is not there."""
    from eidolon.benchmark.report.trace.tracing import TraceSettings, run_trace
    from eidolon.models.base.options import parse_options

    found, picture = run_trace(
        TraceSettings(
            model=model,
            options=parse_options(model_option or [], "-M"),
            image=image,
            scene=scene,
            prompt=prompt,
            text=text,
            objects=None if objects is None else tuple(name for name in split_names([objects]) if name),
            without=without,
            max_new_tokens=max_new_tokens,
            temperature=temperature,
            seed=seed,
        ),
        out,
    )
    from eidolon.benchmark.report.trace.terminal import show

    show(found, make_console())
    if out is not None:
        from eidolon.benchmark.report.trace.page import write

        for path in write(found, picture, out):
            typer.echo(str(path))
