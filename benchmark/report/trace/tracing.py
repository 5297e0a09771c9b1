"""Checks the flags of `eidolon trace` and makes the trace."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from eidolon.benchmark.data.categories import judged_objects
from eidolon.benchmark.data.prompts import find_prompt
from eidolon.benchmark.settings.fields import MAX_COUNT, MAX_SEED
from eidolon.models.backends.registry import ModelReference, backend_traits, load_model, resolve
from eidolon.models.base.contrast import Without
from eidolon.models.base.model import Decoding, Request, request_seed
from eidolon.scorers.core.errors import UserError, did_you_mean
from eidolon.scorers.core.input_files import excerpt
from eidolon.scorers.judges.lexicon import LexiconJudge

if TYPE_CHECKING:
    from PIL import Image

    from eidolon.benchmark.report.trace.records import Trace

MAX_CHARACTERS = 20_000
"""The longest text that is traced: each of its tokens is a row of the table and the page."""
FORMS: tuple[Without, ...] = get_args(Without)
_SCENE = re.compile(r"(\d{1,18}):(\d{1,18})")


@dataclass(frozen=True, slots=True)
class TraceSettings:
    """The flags of the command."""

    model: str
    options: Mapping[str, str]
    image: Path | None
    scene: str | None
    prompt: str
    text: str | None
    objects: tuple[str, ...] | None
    without: str
    max_new_tokens: int
    temperature: float
    seed: int


def run_trace(settings: TraceSettings, out: Path | None) -> "tuple[Trace, Image.Image]":
    """Return the trace and its image. Raises UserError, before a model is loaded, for a wrong flag."""
    without = _check(settings, out)
    reference = resolve(settings.model)
    check_traceable(reference)
    judge = LexiconJudge()
    objects: tuple[str, ...] | None = settings.objects
    if settings.scene is not None:
        image, objects = _draw(settings.scene)
        name = f"scene {settings.scene}"
    else:
        assert settings.image is not None
        image, name = _read(settings.image), settings.image.name
        if objects is not None:
            objects = judged_objects(objects, judge, "--objects")
    prompt = find_prompt(settings.prompt)
    decoding = Decoding(
        settings.max_new_tokens, settings.temperature, 1.0, request_seed(settings.seed, name, 0)
    )
    request = Request(name, name, image, prompt.text, decoding=decoding)

    from eidolon.benchmark.report.trace.trace import trace

    model = load_model(reference, settings.options)
    found = trace(
        model, settings.model, request, judge,
        text=settings.text, objects=objects, without=without, image=name, seed=settings.seed,
    )  # fmt: skip
    return found, image


def check_traceable(reference: ModelReference) -> None:
    """Raise a UserError for a backend whose models give no probabilities of tokens."""
    if not backend_traits(reference).white_box:
        raise UserError(
            f"--model {reference.text}: backend {reference.backend!r} does not give the probabilities of tokens with "
            "and without the image; give a transformers/… model"
        )


def _check(settings: TraceSettings, out: Path | None) -> Without:
    if (settings.image is None) == (settings.scene is None):
        problem = "--image: name the image" if settings.image is None else "--scene: --image is given too"
        raise UserError(f"{problem}; give either --image FILE or --scene SEED:INDEX")
    if settings.scene is not None and settings.objects is not None:
        raise UserError("--objects: the objects of a scene are known; leave it out")
    if settings.max_new_tokens < 1:
        raise UserError(f"--max-new-tokens {settings.max_new_tokens}: must be at least 1")
    if not 0 <= settings.temperature < inf:
        raise UserError(f"--temperature {settings.temperature:g}: must be 0 or above")
    if settings.seed < 0:
        raise UserError(f"--seed {settings.seed}: must be at least 0")
    for flag, value, most in (
        ("--max-new-tokens", settings.max_new_tokens, MAX_COUNT),
        ("--seed", settings.seed, MAX_SEED - 1),
    ):
        if value > most:
            raise UserError(f"{flag} {excerpt(value)}: must be at most {most}")
    if settings.text is not None and len(settings.text) > MAX_CHARACTERS:
        raise UserError(
            f"--text: has {len(settings.text)} characters; at most {MAX_CHARACTERS} are traced, token by token"
        )
    if settings.text is not None and not settings.text.strip():
        raise UserError("--text: is empty; give a text, or leave it out to trace the model's answer")
    if out is not None and out.exists() and not out.is_dir():
        raise UserError(f"--out {out}: is not a folder")
    if settings.without not in FORMS:
        if settings.without == "shuffled":
            raise UserError("--without shuffled: needs other images; give neutral, zeroed or dropped")
        raise UserError(f"--without {settings.without}: unknown form{did_you_mean(settings.without, FORMS)}")
    return next(form for form in FORMS if form == settings.without)


def _draw(scene: str) -> "tuple[Image.Image, tuple[str, ...]]":
    from eidolon.benchmark.scenes.scene import Dials, make_scene, render

    match = _SCENE.fullmatch(scene)
    if match is None:
        raise UserError(f"--scene {scene}: must be SEED:INDEX, two whole numbers, for example 0:7")
    drawn = make_scene(int(match[1]), int(match[2]), Dials())
    return render(drawn), drawn.objects


def _read(path: Path) -> "Image.Image":
    from eidolon.benchmark.data import images

    try:
        return images.read(str(path))
    except Exception as error:  # Pillow raises almost anything for a broken file
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        if isinstance(error, FileNotFoundError):
            raise UserError(f"--image {path}: no such file") from None
        raise UserError(f"--image {path}: cannot be read: {' '.join(reason.split())[:200]}") from error
