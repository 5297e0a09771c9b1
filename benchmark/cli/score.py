"""`eidolon score`: what exists already, judged and scored: responses, or answers of one of four kinds."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from eidolon.benchmark.cli.common import make_console, report_unscored, split_names
from eidolon.scorers.core.errors import UserError

if TYPE_CHECKING:
    from eidolon.benchmark.tasks.score_files.responses_file import ScoreRequest
    from eidolon.benchmark.tasks.score_files.run import AnswerRun

JUDGED = ("--responses", "--objects", "--captions", "--judge", "-J", "--field", "--limit")
TAKES: dict[str, tuple[str, ...]] = {
    "throne": ("--answers", "--annotations", "--threshold", "--mode", "--responses", "--field"),
    "pope": ("--questions", "--answers", "--policy", "--field"),
    "amber": (
        "--annotations",
        "--relations",
        "--answers",
        "--mode",
        "--matching",
        "--safe-words",
        "--questions",
    ),
    "detection": (*JUDGED, "--threshold"),
}
"""The flags of each metric that stands alone, beside those of all; other metrics take `JUDGED`."""
NEEDS = {
    "throne": ("--answers", "--annotations"),
    "pope": ("--questions", "--answers"),
    "amber": ("--annotations", "--relations", "--answers"),
    "detection": ("--responses",),
}
JUDGED_NEEDS = ("--responses", "--objects")


@dataclass(frozen=True, slots=True)
class _Given:
    """The flags that only some metrics take, with what was said to each."""

    values: dict[str, object]

    def check(self, alone: str | None) -> None:
        """Refuse flags that the metric does not take, and miss those that it needs."""
        takes, needs = (JUDGED, JUDGED_NEEDS) if alone is None else (TAKES[alone], NEEDS[alone])
        what = f"--metric {alone}" if alone else "metrics of judged responses"
        for flag, value in self.values.items():
            if value and flag not in takes:
                others = [name for name, flags in TAKES.items() if flag in flags]
                raise UserError(f"{flag}: is not for {what}, but for --metric {', '.join(others) or 'chair'}")
        for flag in needs:
            if not self.values[flag]:
                raise UserError(f"{flag}: is missing; {what} needs {' and '.join(needs)}")


def score(
    out: Annotated[Path, typer.Option(help="The run folder to write.")],
    more_answers: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[FILE]...", help="Further files of --answers.", hidden=True),
    ] = None,
    responses: Annotated[
        Path | None, typer.Option(help='JSONL, {"image_id" and/or "sample_id", "response"} a line.')
    ] = None,
    objects: Annotated[
        Path | None, typer.Option(help='JSONL, {"image_id", "objects"} a line, or a COCO instances JSON.')
    ] = None,
    captions: Annotated[
        Path | None, typer.Option(help="COCO captions JSON, whose objects join the truth, as CHAIR wants.")
    ] = None,
    judge: Annotated[
        str | None, typer.Option(help="Who reads the responses.", show_default="lexicon")
    ] = None,
    judge_option: Annotated[
        list[str] | None,
        typer.Option(
            "-J", metavar="KEY=VALUE", help="An option of the judge, as reading=original; repeatable."
        ),
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(
            help="Metrics, separated by commas; or one of throne, pope, amber, detection. "
            "Default: chair,objects,forgetting. With --judge qa: throne,objects."
        ),
    ] = None,
    answers: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE [FILE]...", help="Answers to score; for throne one file a judge."),
    ] = None,
    annotations: Annotated[
        Path | None, typer.Option(help="throne: COCO instances JSON; amber: annotations.json.")
    ] = None,
    questions: Annotated[
        Path | None, typer.Option(help="pope: the questions; amber: the queries, for the image of each.")
    ] = None,
    relations: Annotated[Path | None, typer.Option(help="amber: relation.json.")] = None,
    safe_words: Annotated[
        Path | None, typer.Option(help="amber: words that are never wrong, one a line.")
    ] = None,
    mode: Annotated[
        str | None,
        typer.Option(help="throne, amber: compat (as published) or fixed.", show_default="compat"),
    ] = None,
    matching: Annotated[
        str | None, typer.Option(help="amber: lexicon or vectors.", show_default="lexicon")
    ] = None,
    policy: Annotated[
        str | None,
        typer.Option(
            help="pope: original, exact, lenient, strict or all side by side.", show_default="original"
        ),
    ] = None,
    threshold: Annotated[
        list[str] | None,
        typer.Option(
            help="throne: votes that make a category present, the main one first, as 9,8,5; "
            "detection: score that flags a response."
        ),
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
    """Score what exists already. The same command again resumes, or confirms what is there."""

    from eidolon.scorers.statistics.bootstrap import MAX_RESAMPLES

    for flag, value, least in (("--limit", limit, 1), ("--seed", seed, 0), ("--resamples", resamples, 0)):
        if value is not None and value < least:
            raise UserError(f"{flag} {value}: must be at least {least}")
    if resamples > MAX_RESAMPLES:
        raise UserError(f"--resamples {resamples}: must be at most {MAX_RESAMPLES}")
    if not 0 <= max_unscored <= 1:
        raise UserError(f"--max-unscored {max_unscored:g}: must be between 0 and 1")
    if more_answers and not answers:
        raise UserError(f"unexpected argument {str(more_answers[0])!r}; only --answers takes several files")
    files = (*(answers or ()), *(more_answers or ()))
    given = _Given(
        {
            "--responses": responses,
            "--objects": objects,
            "--captions": captions,
            "--judge": judge,
            "-J": judge_option,
            "--answers": files,
            "--annotations": annotations,
            "--questions": questions,
            "--relations": relations,
            "--safe-words": safe_words,
            "--mode": mode,
            "--matching": matching,
            "--policy": policy,
            "--threshold": threshold,
            "--field": field,
            "--limit": limit,
        }
    )
    names = split_names(metric)
    alone = _alone(names, judged=responses is not None and not files)
    given.check(alone)

    from eidolon.models.base.options import parse_options

    fields = parse_options(field or [], "--field")
    judge_options = parse_options(judge_option or [], "-J")
    if alone is None:
        from eidolon.benchmark.tasks.score_files.responses_file import ScoreRequest

        assert responses is not None
        assert objects is not None
        return _score_judged(
            ScoreRequest(
                responses=responses,
                objects=objects,
                out=out,
                captions=captions,
                fields=fields,
                judge=judge or "lexicon",
                judge_options=judge_options,
                metrics=names,
                limit=limit,
                seed=seed,
                resamples=resamples,
            ),
            max_unscored,
        )

    from eidolon.benchmark.tasks.score_files.run import AnswerRequest

    request = AnswerRequest(out, seed, resamples)
    thresholds = split_names(threshold)
    if alone == "throne":
        from eidolon.benchmark.tasks.score_files import throne

        assert annotations is not None
        run = throne.prepare(
            request,
            files,
            annotations,
            mode=mode or "compat",
            thresholds=_whole_numbers(thresholds),
            responses=responses,
            fields=fields,
        )
    elif alone == "pope":
        from eidolon.benchmark.tasks.score_files import pope

        assert questions is not None
        run = pope.prepare(request, questions, _one(files), policy=policy or pope.MAIN, fields=fields)
    elif alone == "amber":
        from eidolon.benchmark.tasks.score_files import amber

        assert annotations is not None
        assert relations is not None
        run = amber.prepare(
            request,
            annotations,
            relations,
            _one(files),
            mode=mode or "compat",
            matching=matching or "lexicon",
            safe_words=safe_words,
            questions=questions,
        )
    else:
        from eidolon.benchmark.tasks.score_files import detection

        assert responses is not None
        asked = detection.DetectionRequest(
            responses=responses,
            objects=objects,
            captions=captions,
            fields=fields,
            judge=judge or "lexicon",
            judge_options=judge_options,
            threshold=_share(thresholds),
            limit=limit,
        )
        run = detection.prepare(request, asked)
    return _score_answers(run, max_unscored)


def _score_judged(request: "ScoreRequest", max_unscored: float) -> int:
    from eidolon.benchmark.report import calibration_table, leaderboard
    from eidolon.benchmark.run.pipeline import execute
    from eidolon.benchmark.tasks.score_files.responses_file import prepare

    run, existing = prepare(request)
    scores = execute(run, existing)
    console = make_console()
    leaderboard.show(leaderboard.collect([request.out], relative_to=request.out.parent), console)
    if scores.calibration is not None:
        calibration_table.show(scores.calibration, run.name, console)
    console.print(f"written: {request.out}", markup=False, emoji=False, highlight=False, soft_wrap=True)
    return report_unscored({str(request.out): scores.n.unscored / scores.n.requested}, max_unscored)


def _score_answers(run: "AnswerRun", max_unscored: float) -> int:
    from eidolon.benchmark.report import calibration_table
    from eidolon.benchmark.tasks.score_files import table
    from eidolon.benchmark.tasks.score_files.run import execute

    scores = execute(run)
    console = make_console()
    table.show(scores, run.path.resolve().name, run.main, console)
    if scores.calibration is not None:
        calibration_table.show(scores.calibration, run.path.resolve().name, console)
    console.print(f"written: {run.path}", markup=False, emoji=False, highlight=False, soft_wrap=True)
    if scores.n.samples < scores.n.requested:
        typer.echo(
            f"warning: {run.path}: {scores.n.samples} answers to {scores.n.requested} items of the same kinds",
            err=True,
        )
    return report_unscored({str(run.path): scores.n.unscored / max(1, scores.n.samples)}, max_unscored)


def _alone(names: Sequence[str], *, judged: bool) -> str | None:
    """Return the metric that stands alone, None where none of them is named.

    `throne` does on files of answers; where responses are `judged` it is one metric among others.
    """
    from eidolon.benchmark.run.plugins import ANSWER_METRICS

    standing = [name for name in names if name in ANSWER_METRICS and not (judged and name == "throne")]
    if standing and len(names) > 1:
        raise UserError(
            f"--metric {','.join(names)}: {standing[0]} stands alone; score it into a folder of its own"
        )
    return standing[0] if standing else None


def _one(files: Sequence[Path]) -> Path:
    if len(files) != 1:
        raise UserError(f"--answers {' '.join(map(str, files))}: must be one file; only throne takes several")
    return files[0]


def _whole_numbers(texts: Sequence[str]) -> tuple[int, ...]:
    for text in texts:
        if not text.isascii() or not text.isdigit():
            raise UserError(f"--threshold {text}: must be a whole number of votes for --metric throne")
    return tuple(map(int, texts))


def _share(texts: Sequence[str]) -> float | None:
    if len(texts) > 1:
        raise UserError(f"--threshold {','.join(texts)}: must be one number for --metric detection")
    try:
        return float(texts[0]) if texts else None
    except ValueError:
        raise UserError(f"--threshold {texts[0]}: must be a number for --metric detection") from None
