"""`ScoreSettings`: all settings of `eidolon score`."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from eidolon.benchmark.settings.fields import (
    AS_LIST,
    MAIN_POLICY,
    MAX_COUNT,
    MAX_SEED,
    Flag,
    Options,
    Processes,
    Text,
)
from eidolon.benchmark.settings.judged import JudgedSettings, MetricNames


class ScoreSettings(JudgedSettings):
    """All settings of `eidolon score` with their defaults; also the fields of a `--config` file.

    The content of the files decides the result. `run.json` holds its hashes beside the settings.
    """

    responses: Annotated[Path | None, Flag("Data", decides=False)] = None
    """Responses with image_id and/or sample_id, and response: JSON lines, JSON, CSV or TSV."""
    objects: Annotated[Path | None, Flag("Data", decides=False)] = None
    """Ground truth with image_id and objects, or a COCO instances JSON."""
    captions: Annotated[Path | None, Flag("Data", decides=False)] = None
    """COCO captions JSON, or captions with image_id, whose objects join the ground truth (CHAIR)."""
    names: Annotated[Path | None, Flag("Data", decides=False)] = None
    """JSON or CSV from the names in the ground truth to the judge's categories."""
    images: Annotated[Path | None, Flag("Data", metavar="FOLDER", decides=False)] = None
    """Folder of the images, shown in the report."""
    fields: Annotated[Options, Flag("Data", "--field", metavar="OURS=THEIRS")] = Field({})
    """The file's name for a field, as response=caption. Repeatable."""
    limit: Annotated[int | None, Field(ge=1, le=MAX_COUNT), Flag("Data", default="all")] = None
    """Largest number of responses, from the first."""
    answers: Annotated[tuple[Path, ...], Flag("Data", metavar="FILE [FILE]…", decides=False)] = ()
    """Answers to score, for metrics that read answers; for throne one file for each judge."""
    annotations: Annotated[Path | None, Flag("Data", decides=False)] = None
    """throne: COCO instances JSON. amber: annotations.json. comprecap: anno.json. capture: references."""
    questions: Annotated[Path | None, Flag("Data", decides=False)] = None
    """pope and the published benchmarks: the questions. amber: the queries, for the image of each."""
    evaluation: Annotated[Path | None, Flag("Data", decides=False)] = None
    """mmhal: the replies of the judge, as the released program saves them."""
    relations: Annotated[Path | None, Flag("Data", decides=False)] = None
    """amber: relation.json."""
    safe_words: Annotated[Path | None, Flag("Data", decides=False)] = None
    """amber: words that are never wrong, one a line."""
    metrics: MetricNames = ()
    """Metrics, separated by commas; or one that reads answers (see eidolon list metrics)."""
    mode: Annotated[str, Flag("Judge")] = "compat"
    """throne, amber and the published benchmarks: compat (as published) or fixed."""
    matching: Annotated[str, Flag("Judge")] = "lexicon"
    """amber: lexicon or vectors."""
    policy: Annotated[str, Flag("Judge")] = MAIN_POLICY
    """pope: original, exact, lenient, strict, evalscope, all side by side; tokens-2, tokens-8."""
    thresholds: Annotated[
        tuple[Text, ...], AS_LIST, Flag("Judge", "--threshold", metavar="N,…", default="throne: all votes")
    ] = ()
    """throne: votes that make a category present, the main one first. detection: score that flags a response."""
    seed: Annotated[int, Field(ge=0, lt=MAX_SEED), Flag("Advanced")] = 0
    """Seed of the bootstrap."""
    processes: Annotated[Processes, Flag("Advanced", metavar="N|auto", default="auto", decides=False)] = 1
    """Processes that judge responses; auto takes one for each core where there are many responses."""
