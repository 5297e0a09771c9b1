"""The records of `memory.json`, the results of the study."""

from typing import Any, Literal

from pydantic import ConfigDict, Field

from eidolon.benchmark.study.memory.measurements import BenchSettings
from eidolon.models.memory.layout import Selection
from eidolon.scorers.core.estimate import Estimate
from eidolon.scorers.core.types import Record
from eidolon.scorers.retention.measure import RetentionAtLength
from eidolon.scorers.retention.records import Condition

SCHEMA: Literal["eidolon/memory/1"] = "eidolon/memory/1"

Over = Literal["seeds and images", "images"]
Seeing = Literal["trained", "did not learn to see", "not compared"]
Outcome = Literal[
    "a keeps more",
    "b keeps more",
    "not significant",
    "not measured",
    "too few seeds",
    "not tested",
    "not comparable",
    "not reported",
]
"""`not comparable`: one of the two did not learn to see. `not reported`: a store of one of them is not filled by
surprise, because its predictor predicts too little. `too few seeds`: a registered comparison has fewer than five.
`not tested`: a comparison that was not registered."""


class CheckpointScores(Record):
    """The results of one trained model alone."""

    model_config = ConfigDict(allow_inf_nan=False)

    seed: int
    sha256: str
    """SHA-256 of weights and configuration."""
    yes_no_accuracy: float | None
    f05: float | None
    retention: dict[int, float | None]
    """By n, retention of unnamed objects after n tokens of filler; null if 2·accuracy - 1 at n = 0 is at most 0.2.
    Empty if it is not reported."""


class VariantSize(Record):
    """The size of the models of a variant, and the cost of their memory."""

    model_config = ConfigDict(allow_inf_nan=False)

    parameters: int
    text_parameters: int
    """Parameters without the vision encoder and without predictors of the innovation."""
    parameters_to_attention: float | None
    """Text parameters as a multiple of those of full attention."""
    parameters_match: bool | None
    """Whether the text parameters are within 3 % of those of full attention."""
    bytes_at: dict[int, int]
    """By n, the bytes of memory for one sequence after n tokens."""
    attention_tokens_of_same_bytes: dict[int, float]
    """By n, the number of tokens after which full attention has the same number of bytes."""
    bytes_per_token: float
    """Growth of the memory per token, between the two largest n."""
    tokens_per_second: dict[int, float]
    """By n, the decoding speed of one sequence after n tokens."""
    speed_to_attention: dict[int, float]
    """By n, the speed as a multiple of that of full attention in the same process. Empty without full attention."""


class TextBlock(Record):
    """Measures of the tokens of a text from `start` up to, not including, `end`. Log-probabilities are in nats per
    token."""

    start: int
    end: int | None
    tokens: int
    nats: Estimate
    """Mean negative log-probability. Its exponential is the perplexity."""
    nats_blind: Estimate
    """Mean negative log-probability without the image."""
    pdm: Estimate
    """Mean Hellinger distance between the distributions of the next token with and without the image."""
    names: int
    """Number of tokens that name an object of the image for the first time in the text. The next fields are about these
    tokens only."""
    name_nats: Estimate
    name_nats_blind: Estimate
    name_pdm: Estimate


class TextMeasures(Record):
    """Measures of one kind of text."""

    text: Literal["own", "usual", "long"]
    """`own`: the models' descriptions. `usual`: references of 40 to 100 words, by the settings. `long`: of 300 to
    400."""
    texts: int
    whole: TextBlock
    blocks: tuple[TextBlock, ...]
    decay_per_100_tokens: Estimate
    """Share of the dependence on the image that is lost per 100 tokens."""
    reason: str | None = None
    """The reason why the decay is unknown."""


class PositionBin(Record):
    """First mentions of objects in descriptions that have from `start` up to, not including, `end` words before
    them."""

    start: int
    end: int | None
    mentions: int
    hallucinated: Estimate
    """Share of hallucinated ones."""


class PositionEffect(Record):
    """Odds ratio of hallucination per 100 words, all else fixed (`docs/explanation/late-early-odds-ratio.md`)."""

    model_config = ConfigDict(allow_inf_nan=False)

    odds_ratio: Estimate
    """The geometric mean over seeds. The interval includes the error of the fits and the variance of seeds."""
    by_seed: dict[int, float | None]
    reason: str | None = None


class RetentionPoint(RetentionAtLength):
    """Accuracy and retention of a series after n tokens."""

    beyond_training: bool | None
    """Whether n is longer than all training texts; null if their length is unknown."""


class ReachCheck(Record):
    """Accuracy after more tokens than windows can reach."""

    condition: Condition
    n: int
    accuracy: Estimate
    at_chance: bool
    """Whether the interval contains 0.5."""


class Reach(Record):
    """The largest distance at which the input can affect the output: L·(W-1) tokens with L layers of windows only."""

    tokens: int
    checks: tuple[ReachCheck, ...]


class MemoryVariant(Record):
    """The results of one kind of memory, pooled over its models."""

    model_config = ConfigDict(allow_inf_nan=False)

    variant: str
    memory: dict[str, Any]
    """Layout and sizes of the memories."""
    filled_by: Selection | None
    """The rule that fills the stores in the measurement, if it is not that of the training. If only
    some models of a variant were measured with other rules, a second row has these models with the rule of the
    training."""
    intervals_over: Over
    checkpoints: tuple[CheckpointScores, ...]
    trained_tokens: int | None
    """Tokens of the longest training text."""
    size: VariantSize | None
    """Null if the models are those of another variant with another rule."""
    seeing: Seeing
    predictor_r_squared: tuple[tuple[float, ...] | None, ...] = ()
    """By seed, R² of the predictor of each layer with a store, over long references. Null where it was not measured.
    Empty without a store that surprise fills."""
    not_reported: str | None = None
    """The reason why results that depend on the store are not reported: all except the answers right after the
    image."""
    yes_no_accuracy: Estimate
    """Accuracy directly after the image, n = 0."""
    yes_rate: Estimate
    scores: dict[str, Estimate]
    """Scores of descriptions: `precision`, `recall` and `f05` of objects, `chair_i`, `chair_s`, `words`, and
    `truncated`, the share that reached the limit of tokens."""
    position_effect: PositionEffect | None
    hallucination: tuple[PositionBin, ...]
    texts: tuple[TextMeasures, ...]
    retention: tuple[RetentionPoint, ...]
    reach: Reach | None


class RetentionComparison(Record):
    """Retention of variant `a` minus that of `b`, on the same images. After filler, the questions are the same too."""

    model_config = ConfigDict(allow_inf_nan=False)

    a: str
    b: str
    condition: Condition
    n: int
    registered: bool
    """Whether it was written down before training. Holm's correction is over these comparisons."""
    images: int
    difference: Estimate
    """Registered comparisons that are tested have the difference of the mean retention of the models, with an interval
    over seeds by Welch's t. All others have the difference of the pooled retention, with an interval over seeds and
    images."""
    by_margin: Estimate
    """The difference of the pooled retention by log-probability margin."""
    of_both_right: Estimate
    """The difference over the questions that most models of both variants answer right at n = 0."""
    accuracy_at_0: tuple[float, float] | None
    matched: bool | None
    """Whether the two accuracies are within 2 points. Otherwise the comparison of retention is not fair."""
    p: float | None
    """Two-sided p of the method that makes the interval."""
    p_holm: float | None = None
    outcome: Outcome
    reason: str | None = None


class MemoryStudy(Record):
    """The content of `memory.json`."""

    model_config = ConfigDict(allow_inf_nan=False)

    schema_: Literal["eidolon/memory/1"] = Field(alias="schema")
    signature: str
    settings: BenchSettings
    resamples: int
    versions: dict[str, str]
    machine: str
    """The machine of the speeds."""
    variants: tuple[MemoryVariant, ...]
    comparisons: tuple[RetentionComparison, ...]
    registered: int
    """Number of comparisons that were written down before training. With missing variants, `comparisons` has fewer."""

    def to_json(self) -> str:
        """Return the text of the file."""
        return self.model_dump_json(by_alias=True, indent=1) + "\n"
