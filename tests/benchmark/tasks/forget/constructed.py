"""A tiny model with a known law: it holds a picture as one number for each object, which may fade with every token.

It names what is left by a softmax of these numbers, answers questions by them, and can be shown the picture again.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from PIL import Image

from eidolon.benchmark.store.record import SampleRow
from eidolon.benchmark.tasks.forget.knowledge.design import questions_about
from eidolon.models.base.model import Interview, Odds, Request, ScoredRequest
from eidolon.scorers.core.types import Response
from tests.benchmark.tasks.forget.retention.test_design import Words

THINGS = (
    "airplane", "apple", "banana", "bear", "bed", "bench", "bicycle", "bird", "boat", "book", "bottle",
    "bowl", "broccoli", "bus", "cake", "car", "carrot", "cat", "chair", "clock", "couch", "cow", "cup",
    "dog", "donut", "elephant", "fork", "giraffe", "horse", "kite", "knife", "laptop", "microwave",
    "orange", "oven", "pizza", "sheep", "spoon", "toaster", "train", "truck", "umbrella", "vase",
    "zebra",
)  # fmt: skip
ABOUT = {question: k for k, name in enumerate(THINGS) for question in questions_about(name)}
TRUE = 7
"""True objects of each picture."""
SURE = 5.0
"""Mean number of a true object."""


def strengths(picture: Image.Image) -> np.ndarray:
    """Return how strongly the model sees each thing in a picture, (things,): nothing in a grey one."""
    red, green, _ = picture.getpixel((0, 0))  # type: ignore[misc]
    if (red, green) == (128, 128):
        return np.zeros(len(THINGS))
    rng = np.random.default_rng(256 * red + green)
    order = rng.permutation(len(THINGS))
    seen = 1.2 * rng.standard_normal(len(THINGS))
    seen[order[:TRUE]] = SURE + 1.5 * rng.standard_normal(TRUE)
    return np.asarray(seen)


def picture(index: int) -> Image.Image:
    return Image.new("RGB", (4, 4), (index // 256, index % 256, 0))


def rows(count: int) -> list[SampleRow]:
    found = []
    for i in range(count):
        rng = np.random.default_rng(i)
        names = [THINGS[k] for k in rng.permutation(len(THINGS))[:TRUE]]
        found.append(SampleRow(sample_id=f"s{i}", image_id=i, objects=tuple(sorted(names))))
    return found


class Fader(Words):
    """The model. What it holds of the picture is multiplied by `keeps` with every token."""

    def __init__(self, keeps: float) -> None:
        super().__init__()
        self.keeps = keeps

    def see(self, image: Image.Image) -> np.ndarray:
        """Return how strongly it sees each thing in a picture, (things,)."""
        return strengths(image)

    def encode_within(self, text: str) -> tuple[int, ...]:
        return self.encode_reply(text)

    def interview(self, interviews: Sequence[Interview]) -> list[list[Odds]]:
        found = []
        for one in interviews:
            seen, rng = self.see(one.request.image), np.random.default_rng(int(one.request.sample_id[1:]))
            margins = [seen[ABOUT[question]] + 0.3 * rng.standard_normal() for question in one.questions]
            found.append([Odds(m - np.logaddexp(0, m), -np.logaddexp(0, m)) for m in margins])
        return found

    def score_completions(self, asked: Sequence[ScoredRequest]) -> list[list[float]]:
        found = []
        for one in asked:
            held = self.see(one.request.image) * self.keeps ** len(one.given)
            log_z = np.log(np.exp(held).sum())
            names = [self.decode_reply(text).split()[-1] for text in one.texts]
            found.append([float(held[THINGS.index(name)] - log_z) for name in names])
        return found

    def describe(self, request: Request) -> str:
        return self._go_on(request, "", 0, 10)

    def continue_replies(
        self, requests: Sequence[Request], given: Sequence[Sequence[int]]
    ) -> Iterable[Response]:
        return self._continue(requests, given, again=False)

    def continue_reshown(
        self, requests: Sequence[Request], given: Sequence[Sequence[int]]
    ) -> Iterable[Response]:
        return self._continue(requests, given, again=True)

    def _continue(
        self, requests: Sequence[Request], given: Sequence[Sequence[int]], *, again: bool
    ) -> Iterable[Response]:
        for request, tokens in zip(requests, given, strict=True):
            text = self._go_on(request, self.decode_reply(tokens), len(tokens) if again else 0, 5)
            yield Response(
                sample_id=request.sample_id,
                image_id=request.image_id,
                generation=request.generation,
                response=text,
                finish_reason="stop",
            )

    def _go_on(self, request: Request, text: str, seen_at: int, more: int) -> str:
        """Return the text with more sentences. The picture was last seen before word `seen_at`."""
        seen = self.see(request.image)
        dice: Any = np.random.default_rng(request.decoding.seed)
        for _ in range(more):
            words = text.split()
            named = {word.strip(",.") for word in words}
            left = np.array([name not in named for name in THINGS])
            held = seen * self.keeps ** (len(words) - seen_at)
            weights = np.exp(held) * left
            uniform = dice.random()
            k = int(np.searchsorted(weights.cumsum() / weights.sum(), uniform, side="right"))
            article = "an" if THINGS[k][0] in "aeiou" else "a"
            text = f"{text} Quite close to the middle there is {article} {THINGS[k]}.".strip()
        return text
