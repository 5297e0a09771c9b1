"""What a run makes of the answers to its questions: what each was read as, and the scores by split and policy."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from eidolon.benchmark.settings.fields import ALL
from eidolon.benchmark.store.json_lines import to_lines
from eidolon.benchmark.store.record import SampleRow
from eidolon.benchmark.tasks.probe.questions import Built
from eidolon.benchmark.tasks.rows import LEARNED, LOOK_ALIKE, SPLITS, AnswerRow, Split, parsed
from eidolon.benchmark.tasks.score_files.pope import family
from eidolon.scorers.core.errors import UserError, did_you_mean
from eidolon.scorers.core.scores import Family, Scores, Variant
from eidolon.scorers.core.signature import hashed
from eidolon.scorers.core.types import Response
from eidolon.scorers.judges.yes_no import YesNoJudge
from eidolon.scorers.metrics.pope import AnsweredQuestion, Pope
from eidolon.scorers.metrics.rectified_answers import rectified_answers
from eidolon.scorers.metrics.scoring import assemble, named_counts
from eidolon.scorers.statistics.bootstrap import column_sums
from eidolon.scorers.text.yes_no import read_answer


def find_splits(name: str) -> tuple[Split, ...]:
    """Return the split of that name, or all of POPE's; an unknown one is a UserError. No file is read."""
    if name == ALL:
        return SPLITS
    kind, _, path = name.partition("=")
    if kind == LEARNED:
        if not path:
            raise UserError(f"--split {name}: name a file that eidolon probes wrote: --split {LEARNED}=FILE")
        return (LEARNED,)
    found = tuple(split for split in (*SPLITS, LOOK_ALIKE) if name == split)
    if not found:
        known = [*SPLITS, LOOK_ALIKE, f"{LEARNED}=FILE", ALL]
        raise UserError(f"--split {name}: unknown split{did_you_mean(name, known)}")
    return found


def probes_path(name: str) -> Path | None:
    """Return the file that a split names, if it is `learned=FILE`."""
    kind, _, path = name.partition("=")
    return Path(path) if kind == LEARNED and path else None


@dataclass(frozen=True, slots=True)
class Probe:
    """The questions of a run, and how their answers are read. The first policy is the main one."""

    built: Built
    splits: tuple[Split, ...]
    policies: tuple[str, ...]

    def about(self, samples: Sequence[SampleRow]) -> "Probe":
        """Return the questions that these samples are: all, or those of a shard."""
        ids = {row.sample_id for row in samples}
        rows = tuple(row for row in self.built.rows if row.question_id in ids)
        return replace(self, built=replace(self.built, rows=rows))

    def text(self) -> str:
        """Return the text of `questions.jsonl`."""
        return to_lines(self.built.rows)

    def judge(self) -> YesNoJudge:
        """Return the judge that reads under the main policy."""
        return YesNoJudge({row.question_id: row.category for row in self.built.rows}, self.policies[0])

    def policy(self) -> str:
        """Return what was asked and how it is read, as in a score's signature."""
        splits = "+".join(self.splits)
        return f"pope(policy={self.policies[0]},splits={splits},{hashed('questions', self.text())})"

    def answers(self, responses: Sequence[Response]) -> str:
        """Return the text of `answers.jsonl`: what each policy reads in each answer that there is."""
        return to_lines(
            AnswerRow(
                sample_id=row.question_id,
                image_id=row.image,
                dimension=row.split,
                truth=row.label,
                parsed={
                    name: parsed(read_answer(name, response.response, response.first_token_logprobs))
                    for name in self.policies
                },
            )
            for row, response in zip(self.built.rows, responses, strict=True)
            if response.response is not None
        )

    def score(
        self,
        responses: Sequence[Response],
        labelled: Sequence[Sequence[str] | None],
        *,
        signature: str,
        seed: int,
        resamples: int,
    ) -> Scores:
        """Score the answers to all questions together, then each split, and each policy on both.

        `labelled` has the true objects of each question's image by people, None outside of the labelled part. Where
        an annotator made the truth, the rates are corrected by them.

        All splits have the same images and the same number of questions, so that the accuracy of all together
        is the mean of the splits'.
        """
        labels = {
            row.question_id: None if names is None else row.category in names
            for row, names in zip(self.built.rows, labelled, strict=True)
        }
        answered = [
            (
                row,
                AnsweredQuestion(
                    row.question_id,
                    row.image,
                    row.label == "yes",
                    response.response,
                    response.first_token_logprobs,
                ),
            )
            for row, response in zip(self.built.rows, responses, strict=True)
            if response.response is not None
        ]
        main = Pope(self.policies[0])
        samples = [sample for _, sample in answered]

        def scored(split: Split | None, policy: str) -> dict[str, Family]:
            chosen = [sample for row, sample in answered if split in (None, row.split)]
            return {"pope": family(chosen, policy, seed=seed, resamples=resamples)}

        def corrected(split: Split | None, policy: str, settings: dict[str, Any]) -> list[Variant]:
            chosen = [sample for row, sample in answered if split in (None, row.split)]
            known = [labels[sample.question_id] for sample in chosen]
            found = rectified_answers(chosen, known, Pope(policy), seed=seed, resamples=resamples)
            return [
                Variant(
                    label=",".join([one.label, *_told(settings)]),
                    settings=settings | one.settings,
                    metrics=one.metrics,
                )
                for one in found
            ]

        return assemble(
            scored(None, main.policy),
            [sample.image_id for sample in samples],
            signature=signature,
            counts={"pope": named_counts(main.columns, column_sums(main.statistics(samples)))},
            unscored=len(responses) - len(answered),
            requested=len(self.built.rows),
            variants=[
                *corrected(None, main.policy, {}),
                *(
                    Variant(label=",".join(_told(settings)), settings=settings, metrics=scored(split, policy))
                    for split, policy, settings in self._variants()
                ),
                *(one for variant in self._variants() for one in corrected(*variant)),
            ],
            seed=seed,
            resamples=resamples,
        )

    def _variants(self) -> Iterator[tuple[Split | None, str, dict[str, Any]]]:
        """Yield split (None: all together), policy, and the settings that a variant is told by."""
        together: tuple[Split | None, ...] = (None, *self.splits) if len(self.splits) > 1 else (None,)
        for split in together:
            for policy in self.policies:
                told: dict[str, Any] = {} if split is None else {"split": split}
                if len(self.policies) > 1:
                    told["policy"] = policy
                if told:
                    yield split, policy, told


def _told(settings: dict[str, Any]) -> list[str]:
    return [f"{name}={value}" for name, value in settings.items()]
