"""`eidolon annotate`: truth for images without annotations."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from eidolon.benchmark.cli.common import make_console, print_written, with_examples
from eidolon.benchmark.cli.options import flags_of, with_settings
from eidolon.benchmark.settings.annotate import AnnotateSettings

if TYPE_CHECKING:
    from eidolon.benchmark.annotate.annotation import AnnotationResult as Done


@with_examples(
    "eidolon annotate photos --names cup,dog,chair --with clip/openai/clip-vit-base-patch32 --out photos/objects.jsonl",
    "eidolon annotate photos --names names.txt --with detector/google/owlv2-base-patch16 --labelled seen.jsonl "
    "--out photos/objects.jsonl",
    "eidolon annotate photos --with gallery/brands -M encoder=clip/PATH --out photos/objects.jsonl",
)
@with_settings(AnnotateSettings)
def annotate(
    images: Annotated[Path, typer.Argument(metavar="IMAGES", help="Folder of images, or one image.")],
    *,
    out: Annotated[
        Path,
        typer.Option(
            metavar="FILE",
            help="File of objects. IMAGES/objects.jsonl makes the folder a dataset.",
            rich_help_panel="Output",
        ),
    ],
    **options: Any,
) -> None:
    """Look for names in images, and write a file of objects for eidolon score and run.

    Each name is present, absent or unsure. The same command again resumes.
    """
    from eidolon.benchmark.annotate.annotation import annotate as annotate_images
    from eidolon.benchmark.settings.load import load_settings

    settings = load_settings(AnnotateSettings, None, flags_of(AnnotateSettings, options)).settings
    done = annotate_images(images, settings, out)
    for line in _summary(done):
        typer.echo(line)
    if done.header.labelled is None:
        typer.echo(
            "warning: no labelled part: the cut is not checked, and scores by this file are marked as unverified; "
            "label some images and give them by --labelled",
            err=True,
        )
    print_written(make_console(), out)


def _summary(done: "Done") -> list[str]:
    """Return what was found, the cut and the quality, a line each."""
    header, cells = done.header, len(done.rows) * len(done.header.names)
    present = sum(len(row.objects) for row in done.rows)
    unsure = sum(len(row.unsure) for row in done.rows)
    high = "none" if header.cut.high is None else f"{header.cut.high:g}"
    lines = [
        f"{len(done.rows)} images, {len(header.names)} names: {present} cells present, {unsure} unsure, "
        f"{cells - present - unsure} absent; {done.looked_at} images looked at",
        f"cut: absent below {header.cut.low:g}, present from {high} ({header.cut.rule})",
    ]
    if (part := header.labelled) is not None:
        precision = "undefined" if part.precision is None else f"{part.precision:.3f}"
        recall = "undefined" if part.recall is None else f"{part.recall:.3f}"
        lines.append(
            f"{part.images} labelled images, out of fold: precision {precision}, recall {recall}, unsure "
            f"{part.unsure:.3f}"
        )
    return lines
