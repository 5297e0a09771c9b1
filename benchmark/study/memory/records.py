"""`memory.json`: the study's table, computed from checkpoints."""

from typing import Any, Literal

from pydantic import ConfigDict, Field

from eidolon.benchmark.study.memory.measure import BenchSettings
from eidolon.models.memory.layout import Selection
from eidolon.scorers.core.estimate import Estimate
from eidolon.scorers.core.types import Record
from eidolon.scorers.retention.measure import Point
from eidolon.scorers.retention.records import Condition

SCHEMA: Literal["eidolon/memory/1"] = "eidolon/memory/1"

Over = Literal["seeds and images", "images"]
Seeing = Literal["trained", "did not learn to see", "not compared"]
Outcome = Literal["a keeps more", "b keeps more", "not significant", "not measured"]


class Checkpoint(Record):
    """One trained model, and what it came to by itself."""

    model_config = ConfigDict(allow_inf_nan=False)

    seed: int
    sha256: str
    """Of its weights and configuration."""
    yes_no_accuracy: float | None
    f05: float | None
    retention: dict[int, float | None]
    """Of objects that are not named, after n tokens of filler; null where 2·accuracy - 1 at n = 0 is below 0.2."""


class Size(Record):
    """What the model and its memory take."""

    model_config = ConfigDict(allow_inf_nan=False)

    parameters: int
    text_parameters: int
    """Without the picture side."""
    parameters_to_attention: float | None
    """Text parameters, as a share of full attention's."""
    parameters_match: bool | None
    """Within 3 % of full attention's."""
    bytes_at: dict[int, int]
    """Of memory a sequence, once n tokens have been read."""
    attention_tokens_of_same_bytes: dict[int, float]
    """After how many tokens full attention would hold as many bytes as this does after n."""
    bytes_per_token: float
    """By which the memory grows with a token, between the two greatest lengths."""
    tokens_per_second: dict[int, float]
    """Of decoding one sequence, once n tokens have been read."""
    speed_to_attention: dict[int, float]
    """The same as a multiple of full attention's in the same process; empty where it is not among the variants."""


class Block(Record):
    """The tokens of a text from `start` up to, not including, `end`; log-probabilities in nats a token."""

    start: int
    end: int | None
    tokens: int
    nats: Estimate
    """Mean negative log-probability; its exponential is the perplexity."""
    nats_blind: Estimate
    """The same without the picture."""
    pdm: Estimate
    """Mean Hellinger distance between what is expected with the picture and without."""
    names: int
    """Tokens that name an object of the picture for the first time in the text, and the same of these alone:"""
    name_nats: Estimate
    name_nats_blind: Estimate
    name_pdm: Estimate


class Text(Record):
    """What the models made of one kind of text."""

    text: Literal["own", "usual", "long"]
    """The models' own descriptions, references as long as in training, and references up to four times as long."""
    texts: int
    whole: Block
    blocks: tuple[Block, ...]
    decay_per_100_tokens: Estimate
    """Share of the dependence on the picture that is gone after 100 tokens."""
    reason: str | None = None
    """Why there is no decay."""


class Bin(Record):
    """First mentions of objects in descriptions, with `start` up to, not including, `end` words before them."""

    start: int
    end: int | None
    mentions: int
    hallucinated: Estimate
    """The share of them that is not in the picture."""


class PositionEffect(Record):
    """Odds ratio of hallucination per 100 words, all else fixed (`docs/explanation/adjusted-odds-ratio.md`)."""

    model_config = ConfigDict(allow_inf_nan=False)

    odds_ratio: Estimate
    """The geometric mean over seeds; the interval holds the error of a fit, and how far seeds differ."""
    by_seed: dict[int, float | None]
    reason: str | None = None


class RetentionPoint(Point):
    """What a series came to after n tokens."""

    beyond_training: bool | None
    """Whether no training text was as long; null where nobody says how long they were."""


class ReachCheck(Record):
    """Accuracy after more text than windows can bridge."""

    condition: Condition
    n: int
    accuracy: Estimate
    at_chance: bool
    """Whether the interval holds 0.5."""


class Reach(Record):
    """How far back anything can change what comes out: L·(W-1) tokens with L layers of windows alone."""

    tokens: int
    checks: tuple[ReachCheck, ...]


class Variant(Record):
    """One kind of memory: its models, pooled."""

    model_config = ConfigDict(allow_inf_nan=False)

    variant: str
    memory: dict[str, Any]
    """Layout and sizes."""
    filled_by: Selection | None
    """The rule that fills the stores in the measurement, where it is not the one of the training."""
    intervals_over: Over
    checkpoints: tuple[Checkpoint, ...]
    trained_tokens: int | None
    """Of the longest text of the training."""
    size: Size | None
    """Null where the models are another variant's, measured otherwise."""
    seeing: Seeing
    yes_no_accuracy: Estimate
    """Right after the picture, n = 0."""
    yes_rate: Estimate
    scores: dict[str, Estimate]
    """Of descriptions: objects' precision, recall and F0.5, CHAIR_i, CHAIR_s, words, and `truncated`, the share that
    did not end."""
    position_effect: PositionEffect | None
    hallucination: tuple[Bin, ...]
    texts: tuple[Text, ...]
    retention: tuple[RetentionPoint, ...]
    reach: Reach | None


class Comparison(Record):
    """Retention of variant `a` minus that of `b`, asked about the same pictures; after filler, the same questions."""

    model_config = ConfigDict(allow_inf_nan=False)

    a: str
    b: str
    condition: Condition
    n: int
    registered: bool
    """Among the comparisons that were written down before training; Holm's correction is over these."""
    images: int
    difference: Estimate
    by_margin: Estimate
    """The same by log-probability margin."""
    of_both_right: Estimate
    """The same over the questions that most models of either variant answer rightly at n = 0."""
    accuracy_at_0: tuple[float, float] | None
    matched: bool | None
    """Whether these two are within 2 points of each other: retention of unlike R(0) is no fair comparison."""
    p: float | None
    """Two-sided, by the bootstrap that makes the interval."""
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
    """What computed, of which the speeds are."""
    variants: tuple[Variant, ...]
    comparisons: tuple[Comparison, ...]
    registered: int
    """Comparisons that were written down before training; those of `comparisons` may be fewer, for lack of variants."""

    def to_json(self) -> str:
        """Return the file's text."""
        return self.model_dump_json(by_alias=True, indent=1) + "\n"
