"""Responses with people's word flags, checked: the judge reads them again, and the words are scored again."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from eidolon.benchmark.settings.thresholds import share_threshold
from eidolon.benchmark.store.files import JUDGEMENTS, RESPONSES
from eidolon.benchmark.tasks.checking.checks import Options, Recomputed, TaskFile
from eidolon.benchmark.tasks.checking.lines import check_order, check_row
from eidolon.benchmark.tasks.checking.problems import DifferenceError, UncheckableError
from eidolon.benchmark.tasks.checking.run import CheckedRun
from eidolon.benchmark.tasks.describe.rejudging import compare_judgements, judge_again, make_again
from eidolon.benchmark.tasks.plugins import has_closed_vocabulary
from eidolon.benchmark.tasks.reading_types import FamilyReading
from eidolon.benchmark.tasks.rows import WORDS, WordRow
from eidolon.benchmark.tasks.score_files.checks.answers import AnswersChecks, Counted
from eidolon.benchmark.tasks.score_files.source_texts import common_prompt
from eidolon.scorers.core.distribution import UNKNOWN
from eidolon.scorers.core.input_files import excerpt
from eidolon.scorers.core.judge import OpenJudge
from eidolon.scorers.core.types import Judgement, Response
from eidolon.scorers.metrics.detection import CONFUSION, judged_words, word_spans
from eidolon.scorers.metrics.flag_position import MarkedResponse, with_positions
from eidolon.scorers.metrics.scoring import named_counts
from eidolon.scorers.statistics.bootstrap import column_sums

FILES = (
    TaskFile(RESPONSES, Response),
    TaskFile(JUDGEMENTS, Judgement, required=False),
    TaskFile(WORDS, WordRow),
)


class DetectionChecks(AnswersChecks):
    """The objects are not in the folder: verdicts are taken as they are."""

    family = "detection"

    def verdicts_follow(self, run: CheckedRun) -> bool | None:
        """Return false, or None if the judge is not installed here."""
        return None if has_closed_vocabulary(run.settings.chosen.judge) is None else False

    def judge(self, run: CheckedRun, options: Options | None) -> str:
        """Judge the responses again, and compare the mentions without their verdicts."""
        judge = make_again(run, options)
        responses = run.lines(RESPONSES, Response)
        there = run.lines(JUDGEMENTS, Judgement)
        if isinstance(judge, OpenJudge):
            raise UncheckableError("verdicts stand on references, which the folder does not hold")
        here = judge_again(run, judge, responses)
        compare_judgements(here, [_without_verdicts(judgement) for judgement in there])
        return f"{judge.signature()} finds the same in all {len(here)} responses; verdicts take the objects"

    def answers(self, run: CheckedRun) -> str:
        """Score the words again from the judgements."""
        rows = run.lines(WORDS, WordRow)
        if not run.has(JUDGEMENTS):
            raise UncheckableError(
                "the words were compared with the references, which the folder does not hold"
            )
        responses = {r.sample_id: r for r in run.lines(RESPONSES, Response)}
        judgements = {j.sample_id: j for j in run.lines(JUDGEMENTS, Judgement) if j.unscored is None}
        check_order([row.sample_id for row in rows], [*judgements], WORDS)
        for row in rows:
            spans = word_spans(row.words, responses[row.sample_id].response or " ".join(row.words))
            if len(row.human) != len(row.words):
                raise DifferenceError(
                    f"{WORDS}: sample {excerpt(row.sample_id)} has {len(row.human)} flags on {len(spans)} words"
                )
            scores = judged_words(judgements[row.sample_id], spans)
            check_row(row, row.model_copy(update={"scores": scores}), WORDS)
        return f"the words of {len(rows)} responses scored again"

    def rescore(self, run: CheckedRun, options: Options | None) -> Recomputed:
        """Compute the family again, and where people's marks are."""
        found = super().rescore(run, options)
        rows = run.lines(WORDS, WordRow)
        marked = [MarkedResponse(row.image_id, row.words, row.human) for row in rows]
        family = with_positions(
            found.scores.metrics[self.family], marked, run.settings.seed, run.settings.resamples
        )
        scores = found.scores.model_copy(update={"metrics": {self.family: family}})
        return replace(found, scores=scores)

    def counts(self, reading: FamilyReading, samples: Sequence[Any]) -> dict[str, int | float]:
        """Return the confusion of responses; the other columns are made for the scores that occur."""
        sums = column_sums(reading.metric(samples).statistics(samples))
        return named_counts(CONFUSION, sums[: len(CONFUSION)])

    def signature_parts(self, run: CheckedRun, counted: Counted) -> Mapping[str, str]:
        """Return prompt, judge, threshold and the number of responses."""
        limit = share_threshold(run.settings.of_files)
        prompt = common_prompt(run.lines(RESPONSES, Response))
        parts = {
            "n": str(counted.responses),
            "policy": f"detection(threshold={'above0' if limit is None else f'{limit:g}'})",
            "prompt": UNKNOWN if prompt is None else prompt,
        }
        if run.settings.inputs.judge:
            parts["judge"] = run.settings.inputs.judge
        return parts


def _without_verdicts(judgement: Judgement) -> Judgement:
    mentions = tuple(mention.model_copy(update={"verdict": None}) for mention in judgement.mentions)
    return judgement.model_copy(update={"mentions": mentions})
