"""The files that tasks keep beside the responses, and the records on their lines."""

from typing import Literal

from eidolon.scorers.core.types import ImageId, Record

ANSWERS = "answers.jsonl"
FREE_FORM = "free_form.jsonl"
WORDS = "words.jsonl"
BENCHMARK_ANSWERS = "benchmark_answers.jsonl"
BENCHMARK_QUESTIONS = "benchmark_questions.jsonl"
CAPTION_SCORES = "caption_scores.jsonl"

YesNo = Literal["yes", "no"]
Split = Literal["random", "popular", "adversarial", "look-alike", "learned"]
SPLITS: tuple[Split, ...] = ("random", "popular", "adversarial")
"""The splits of POPE, which are asked together."""
LOOK_ALIKE: Split = "look-alike"
"""Asked on request: about what signs read."""
LEARNED: Split = "learned"
"""Asked on request, as `learned=FILE`: about what models invent, by a file of `eidolon probes`."""

DESCRIPTIONS = {
    "random": "Absent objects of run --task probe, drawn for each image",
    "popular": "… that are in most images",
    "adversarial": "… that are in most images together with the object asked about just before",
    "all": "The three above, those of POPE",
    "look-alike": "Names most similar to the one asked about just before, on signs",
    "learned=FILE": "Absent objects that models are likeliest to invent, by a file of eidolon probes",
}
"""What `--split` takes."""


class QuestionRow(Record):
    """A line of `questions.jsonl`; the first four fields are those of POPE's own files."""

    question_id: str
    image: ImageId
    text: str
    label: YesNo
    category: str
    split: Split


class AnswerRow(Record):
    """A line of `answers.jsonl`: what is true, and what each policy reads in the answer; null is unread."""

    sample_id: str
    image_id: ImageId
    dimension: str | None = None
    truth: YesNo
    parsed: dict[str, YesNo | None]


class FreeFormRow(Record):
    """A line of `free_form.jsonl`: the listed nouns of a response, and the objects that they name."""

    sample_id: str
    image_id: ImageId
    nouns: tuple[str, ...]
    hallucinated: tuple[str, ...]
    covered: tuple[str, ...]
    feared: tuple[str, ...]
    """The feared objects that the response names."""
    true_objects: tuple[str, ...] | None = None
    """All that are in the image, …"""
    feared_objects: tuple[str, ...] | None = None
    """… and all that models like to add; null in folders written before these were kept."""


class WordRow(Record):
    """A line of `words.jsonl`: people's flags on the words of a response, and how wrong each was held."""

    sample_id: str
    image_id: ImageId
    words: tuple[str, ...]
    human: tuple[bool | None, ...]
    """Null where people call the word neither right nor wrong."""
    scores: tuple[float, ...]


class AskedRow(Record):
    """A line of `benchmark_questions.jsonl`: a question of a published benchmark, as a model is asked it."""

    question_id: str
    text: str


class BenchmarkRow(Record):
    """A line of `benchmark_answers.jsonl`: a question of a published benchmark, and what was read in its answer."""

    sample_id: str
    image_id: ImageId
    """What intervals resample: the image, or the set of images that are scored together."""
    truth: str
    read: str | None
    """Null where nothing could be read."""
    exact: bool
    """Whether the answer is the true one to the letter."""
    groups: dict[str, str]
    """What the benchmark splits or groups the questions by."""


class CaptionRow(Record):
    """A line of `caption_scores.jsonl`: the values of a long caption."""

    sample_id: str
    image_id: ImageId
    values: dict[str, float | None]
    """By name; null where the value is undefined for this caption."""
    unscored: str | None = None
    """Why the caption has no values: the error of its request."""


def yes_no(value: bool) -> YesNo:
    """Return the word for a truth."""
    return "yes" if value else "no"


def parsed(value: bool | None) -> YesNo | None:
    """Return the word for what was read, if anything was."""
    return None if value is None else yes_no(value)
