"""Single metrics: texts and the truth in, numbers with intervals out."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from eidolon.benchmark.data.categories import judged_objects
from eidolon.benchmark.tasks.describe.work import POLICY
from eidolon.benchmark.tasks.plugins import check_fit, make_judge, make_metrics
from eidolon.benchmark.tasks.score_files.source_texts import truth_text
from eidolon.scorers.core.edits import as_judged
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.estimate import Estimate
from eidolon.scorers.core.judge import Evidence
from eidolon.scorers.core.metric import JudgedSample
from eidolon.scorers.core.resampling import RESAMPLES
from eidolon.scorers.core.scores import Family, Scores
from eidolon.scorers.core.signature import Signature, hashed
from eidolon.scorers.core.types import ImageId, Response
from eidolon.scorers.judges.judged_text import judge_texts, text_rules
from eidolon.scorers.judges.matching import decide
from eidolon.scorers.metrics import scoring
from eidolon.scorers.metrics.pope import AnsweredQuestion, Pope
from eidolon.scorers.statistics.bootstrap import column_sums

Label: TypeAlias = bool | Literal["yes", "no"]

_LABELS: dict[Label, bool] = {True: True, False: False, "yes": True, "no": False}


@dataclass(frozen=True, slots=True)
class Result(Mapping[str, Estimate]):
    """The numbers of one metric by name, each with its 95 % interval.

    `result["chair_i"].value` is a fraction, `result["chair_i"].ci` its interval (low, high). Either is None where it is
    undefined, and then `reason` says why.
    """

    family: str
    """The metric's name in `scores.json`."""
    scores: Scores
    """Everything that was computed: counts, numbers by category, other settings of the metric."""

    @property
    def signature(self) -> str:
        """How the numbers were computed, in one line."""
        return self.scores.signature

    def __getitem__(self, quantity: str) -> Estimate:
        return self.scores.metrics[self.family][quantity]

    def __iter__(self) -> Iterator[str]:
        return iter(self.scores.metrics[self.family].quantities())

    def __len__(self) -> int:
        return len(self.scores.metrics[self.family].quantities())

    def __str__(self) -> str:
        lines = [f"{name} = {value}" for name, value in self.items()]
        return "\n".join([*lines, self.signature])


class DescriptionMetric:
    """A metric of free-form descriptions, and the judge that reads them.

    Raises:
        UserError: no metric or judge has this name, the judge does not take an option, or the metric needs another
            judge.
    """

    def __init__(
        self,
        name: str,
        *,
        judge: str = "lexicon",
        seed: int = 0,
        resamples: int = RESAMPLES,
        **judge_options: str,
    ) -> None:
        """Take the names of the metric and the judge, the seed and number of bootstrap resamples (0 for no
        intervals), and options of the judge, as `reading="original"`."""
        self.judge = make_judge(judge, judge_options)
        (self._metric,) = make_metrics([name], self.judge)
        check_fit(self.judge, [self._metric])
        self.seed, self.resamples = seed, resamples

    def score(
        self,
        texts: Sequence[str],
        objects: Sequence[Iterable[str]],
        *,
        references: Sequence[Sequence[str]] | None = None,
        image_ids: Sequence[ImageId] | None = None,
    ) -> Result:
        """Return the metric's numbers over all texts.

        `objects` are the objects in the image of each text. `references` are captions of each image, for judges that
        read them. `image_ids` says which texts are about one image, so that the intervals treat them as one; by
        default every text has an image of its own.

        Raises:
            UserError: the sequences differ in length, an object is no category of the judge, or one image has
                different objects.
        """
        _check_lengths(texts=texts, objects=objects, references=references, image_ids=image_ids)
        images = range(len(texts)) if image_ids is None else image_ids
        responses = [
            Response(sample_id=str(i), image_id=image, response=text)
            for i, (image, text) in enumerate(zip(images, texts, strict=True))
        ]
        truth: dict[ImageId, frozenset[str]] = {}
        for i, (image, names) in enumerate(zip(images, objects, strict=True)):
            found = frozenset(judged_objects([*names], self.judge, f"objects[{i}]"))
            if truth.setdefault(image, found) != found:
                raise UserError(f"objects[{i}]: image {image!r} has other objects before; give it the same")
        evidence = [
            Evidence(truth[image], () if references is None else tuple(references[i]))
            for i, image in enumerate(images)
        ]
        judgements = decide(self.judge, judge_texts(self.judge, responses), evidence)
        judged = [
            JudgedSample(*as_judged(response, judgement), truth[response.image_id])
            for response, judgement in zip(responses, judgements, strict=True)
            if judgement.unscored is None
        ]
        scores = scoring.score(
            judged,
            [self._metric],
            signature=Signature(
                dataset=hashed("objects", truth_text(truth)),
                judge=self.judge.signature(),
                text=text_rules(self.judge).signature(),
                policy=POLICY,
                n=len(texts),
                resamples=self.resamples,
                seed=self.seed,
            ).line(),
            unscored=len(texts) - len(judged),
            vocabulary=self.judge.vocabulary or None,
            responses=[as_judged(*pair)[0] for pair in zip(responses, judgements, strict=True)],
            edits=[judgement.edits for judgement in judgements],
            seed=self.seed,
            resamples=self.resamples,
        )
        return Result(self._metric.family, scores)

    def compute(
        self, *, predictions: Sequence[str], references: Sequence[Iterable[str]]
    ) -> dict[str, float | None]:
        """Return the values alone, called as metrics of Hugging Face `evaluate` are: texts and their true objects."""
        return {name: value.value for name, value in self.score(predictions, references).items()}


class CHAIR(DescriptionMetric):
    """CHAIR_i, CHAIR_s, recall and length of descriptions (Rohrbach et al., EMNLP 2018).

    `CHAIR(reading="original")` reads as the CHAIR program does, the default more carefully.
    """

    def __init__(
        self, *, judge: str = "lexicon", seed: int = 0, resamples: int = RESAMPLES, **judge_options: str
    ) -> None:
        super().__init__("chair", judge=judge, seed=seed, resamples=resamples, **judge_options)


class ObjectMetric(DescriptionMetric):
    """Precision, recall, F1 and F0.5 of the categories that descriptions name."""

    def __init__(
        self, *, judge: str = "lexicon", seed: int = 0, resamples: int = RESAMPLES, **judge_options: str
    ) -> None:
        super().__init__("objects", judge=judge, seed=seed, resamples=resamples, **judge_options)


def metric(
    name: str,
    *,
    judge: str = "lexicon",
    seed: int = 0,
    resamples: int = RESAMPLES,
    **judge_options: str,
) -> DescriptionMetric:
    """Return a metric of descriptions by its name, for example one of a plug-in.

    Raises:
        UserError: as `DescriptionMetric` does.
    """
    return DescriptionMetric(name, judge=judge, seed=seed, resamples=resamples, **judge_options)


class POPE:
    """Accuracy, precision, recall, F1 and the yes rate of answers to yes/no questions (Li et al., EMNLP 2023).

    `policy` says how an answer is read: `original` as POPE's program does, `exact`, `lenient` or `strict`.

    Raises:
        UserError: no policy has this name.
    """

    def __init__(self, policy: str = "original", *, seed: int = 0, resamples: int = RESAMPLES) -> None:
        self._metric = Pope(policy)
        self.policy, self.seed, self.resamples = policy, seed, resamples

    def score(
        self,
        answers: Sequence[str],
        labels: Sequence[Label],
        *,
        image_ids: Sequence[ImageId] | None = None,
    ) -> Result:
        """Return the metric's numbers over all answers. A label is true, or `"yes"`, where yes is right.

        `image_ids` says which questions are about one image, so that the intervals treat them as one; by default
        every question has an image of its own.

        Raises:
            UserError: the sequences differ in length, or a label is neither a boolean nor yes or no.
        """
        _check_lengths(answers=answers, labels=labels, image_ids=image_ids)
        images: Sequence[ImageId] = range(len(answers)) if image_ids is None else image_ids
        truth = [_read_label(label, i) for i, label in enumerate(labels)]
        questions = [
            AnsweredQuestion(str(i), image, yes, answer)
            for i, (image, yes, answer) in enumerate(zip(images, truth, answers, strict=True))
        ]
        statistics = self._metric.statistics(questions)
        values = scoring.values_of(self._metric, statistics, images, seed=self.seed, resamples=self.resamples)
        scores = scoring.assemble(
            {"pope": Family(per_category=None, **values)},
            images,
            signature=Signature(
                dataset=hashed("labels", str(truth)),
                judge="yes-no",
                policy=f"pope(policy={self.policy})",
                n=len(questions),
                resamples=self.resamples,
                seed=self.seed,
            ).line(),
            counts={"pope": scoring.named_counts(self._metric.columns, column_sums(statistics))},
            seed=self.seed,
            resamples=self.resamples,
        )
        return Result("pope", scores)

    def compute(self, *, predictions: Sequence[str], references: Sequence[Label]) -> dict[str, float | None]:
        """Return the values alone, called as metrics of Hugging Face `evaluate` are: answers and their labels."""
        return {name: value.value for name, value in self.score(predictions, references).items()}


def _check_lengths(**sequences: Sequence[object] | None) -> None:
    """Raise a UserError where two of the sequences differ in length, or one is a single text."""
    (first, wanted), *others = ((name, given) for name, given in sequences.items() if given is not None)
    for name, given in ((first, wanted), *others):
        if isinstance(given, str):
            raise UserError(f"{name}: must be a list, found the text {given!r}; write [{given!r}]")
        if len(given) != len(wanted):
            raise UserError(f"{name}: {len(given)} where there are {len(wanted)} {first}; give one for each")


def _read_label(label: Label, place: int) -> bool:
    if label not in _LABELS:
        raise UserError(f"labels[{place}]: must be True, False, 'yes' or 'no', found {label!r}")
    return _LABELS[label]
