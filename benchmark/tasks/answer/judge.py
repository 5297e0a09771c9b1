"""The judges of answers to a published benchmark: the benchmark's rule, or a language model that rates them."""

from collections.abc import Callable, Iterable, Iterator, Mapping

from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.judge import Judge
from eidolon.scorers.core.types import Judgement, Response
from eidolon.scorers.judges.mentions import judged, why_missing
from eidolon.scorers.judges.rating import RatedQuestion, RatingJudge
from eidolon.scorers.metrics.benchmarks.question import BenchmarkQuestion

JudgeMaker = Callable[[Mapping[str, BenchmarkQuestion]], Judge]
"""Makes the judge of answers from the questions by sample id."""


class RuleJudge:
    """Tells answers from failures. What an answer says is read by the benchmark's own rule."""

    name = "rule"
    reads_raw_text = True
    vocabulary: tuple[str, ...] = ()

    def signature(self) -> str:
        """Return the name. Benchmark and mode have their own part in the signature of a score."""
        return self.name

    def judge(self, responses: Iterable[Response]) -> Iterator[Judgement]:
        """Yield one judgement for each answer, in order, without mentions; a failed one is unscored."""
        return (
            judged(response, unscored=why_missing(response) if response.response is None else None)
            for response in responses
        )


def rating_judge(what: str, options: Mapping[str, str]) -> JudgeMaker:
    """Return what makes the judge that `-J models=NAME` names; the other options are the model's. Loads no model.

    Raises:
        UserError: no model is named, or one wrongly. `what` begins the message.
    """
    if "models" not in options:
        raise UserError(
            f"{what}: a language model rates the answers; name it, as -J models=transformers/PATH or "
            "-J models=openai/MODEL@URL"
        )
    from eidolon.models.backends.text_models import language_models

    others = {key: value for key, value in options.items() if key != "models"}
    models = language_models(options["models"], others, taken=("models",))
    RatingJudge(models, {})  # the number of models is checked before the questions are read
    return lambda questions: RatingJudge(
        models,
        {number: RatedQuestion(one.text, one.truth, one.contents) for number, one in questions.items()},
    )
