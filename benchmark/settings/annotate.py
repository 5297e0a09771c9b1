"""`AnnotateSettings`: all settings of `eidolon annotate`."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator

from eidolon.benchmark.settings.fields import AS_LIST, MAX_COUNT, MAX_SEED, Flag, Options, Settings, Text


class AnnotateSettings(Settings):
    """What decides the objects that `eidolon annotate` finds, with the defaults."""

    annotator: Annotated[str | None, Flag("Model", "--with", metavar="KIND[/NAME]")] = None
    """What looks at the images: clip/NAME, detector/NAME, gallery/FOLDER or aligner."""
    annotator_options: Annotated[Options, Flag("Model", "-M", metavar="KEY=VALUE")] = Field({})
    """Option of the annotator, as device=cpu; gallery: encoder=clip/NAME, regions=windows. Repeatable."""
    names: Annotated[str | None, Flag("Data", metavar="FILE|NAME,…", default="gallery: its folders")] = None
    """Names to look for: a file with one a line, or names separated by commas."""
    labelled: Annotated[Path | None, Flag("Data", metavar="FILE", decides=False)] = None
    """True objects of some of the images, for thresholds and for prediction-powered rates."""
    templates: Annotated[
        tuple[Text, ...], AS_LIST, Flag("Model", "--template", metavar="TEXT", default="three sentences")
    ] = ()
    """Sentence with {} for the name; several are averaged. Repeatable."""
    sure: Annotated[float, Field(gt=0.5, lt=1), Flag("Judge")] = 0.95
    """Share of right answers on the labelled part that makes a name present or absent; the rest is unsure."""
    thresholds: Annotated[
        tuple[float, ...], AS_LIST, Flag("Judge", metavar="LOW,HIGH", default="by the labelled part")
    ] = ()
    """Probabilities below which a name is absent, and from which it is present, in place of the rule."""
    batch_size: Annotated[int, Field(ge=1, le=MAX_COUNT), Flag("Advanced")] = 16
    """Images that are looked at together."""
    seed: Annotated[int, Field(ge=0, lt=MAX_SEED), Flag("Advanced")] = 0
    """Seed of the folds of the labelled part."""

    @field_validator("templates")
    @classmethod
    def _has_place(cls, templates: tuple[str, ...]) -> tuple[str, ...]:
        for template in templates:
            if template.count("{}") != 1:
                raise ValueError("must have {} once, where the name stands")
        return templates

    @field_validator("thresholds")
    @classmethod
    def _in_order(cls, thresholds: tuple[float, ...]) -> tuple[float, ...]:
        if thresholds and (len(thresholds) != 2 or not 0 <= thresholds[0] <= thresholds[1] <= 1):
            raise ValueError("must be two probabilities, the lower one first, as 0.3,0.7")
        return thresholds
