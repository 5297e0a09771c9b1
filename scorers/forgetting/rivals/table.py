"""`rivals.json`: the rivals side by side, and the sentence that may be said."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from pydantic import ConfigDict, Field

from eidolon.scorers.core.judge import Judge
from eidolon.scorers.core.metric import JudgedSample
from eidolon.scorers.core.types import Record
from eidolon.scorers.forgetting.events import read_events
from eidolon.scorers.forgetting.judge_position import JudgePosition, judge_position
from eidolon.scorers.forgetting.rivals.effect import HeldEffect
from eidolon.scorers.forgetting.rivals.held import HELD, JUDGE, PLAIN, Material, RivalName, fit_rival
from eidolon.scorers.forgetting.rivals.judge_errors import FalseAlarms
from eidolon.scorers.forgetting.rivals.naming import read_named
from eidolon.scorers.forgetting.rivals.salience import SalienceMatch, match_salience

SCHEMA: Literal["eidolon/rivals/1"] = "eidolon/rivals/1"
SENTENCES = 400
"""Sentences in the test of the judge. With 60 of them, no difference at all still allows much."""
CATEGORIES = 80
"""Smallest vocabulary of the world of fixed salience: that of COCO."""

Explains: TypeAlias = Literal["cannot", "could", "unknown"]


class Rival(Record):
    """A rival explanation of the late-minus-early odds ratio."""

    model_config = ConfigDict(allow_inf_nan=False)

    name: RivalName
    held: str
    """What its fit holds beside what the plain fit holds."""
    effect: HeldEffect
    explains: Explains
    """`cannot`: with it held, the interval is still on the same side of 1. `could`: it holds 1 or is on the other side.
    `unknown`: it has no fit, or there is no change to explain."""


class Rivals(Record):
    """The content of `rivals.json`."""

    schema_: Literal["eidolon/rivals/1"] = Field(alias="schema")
    signature: str
    sentence: str
    """What may be said."""
    plain: HeldEffect
    """The late-minus-early odds ratio, salience not held."""
    rivals: tuple[Rival, ...]
    salience: SalienceMatch | None = None
    """Worlds in which nothing is forgotten and salience is fixed. Null without a plain fit."""
    salience_explains: Explains = "unknown"
    judge_position: JudgePosition | None = None

    def to_json(self) -> str:
        """Return the file's text."""
        return self.model_dump_json(by_alias=True, indent=2) + "\n"


@dataclass(frozen=True, slots=True)
class FittedRivals:
    """The fits that need no judge. They are those of `scores.json`."""

    material: Material
    effects: Mapping[str, HeldEffect]
    """By rival, the plain one among them."""


def fit_rivals(samples: Sequence[JudgedSample], *, seed: int = 0) -> FittedRivals:
    """Return the fits of all rivals except the judge."""
    material = Material(read_events(samples), read_named(samples), None, seed)
    wanted = (PLAIN, *(held for held in HELD if held.name != JUDGE))
    return FittedRivals(material, {held.name: fit_rival(held, material) for held in wanted})


def compare_rivals(
    samples: Sequence[JudgedSample],
    *,
    signature: str,
    judge: Judge | None = None,
    seed: int = 0,
    fitted: FittedRivals | None = None,
) -> Rivals:
    """Return the rivals. With a judge, it is tested whether it reads a sentence alike wherever it stands.

    `fitted` are the fits of these samples, if the caller has them already.
    """
    fitted = fit_rivals(samples, seed=seed) if fitted is None else fitted
    place = None if judge is None else judge_position(judge, samples, seed=seed, sentences=SENTENCES)
    alarms = None
    if place is not None and place.added_per_100_words is not None:
        alarms = FalseAlarms(place.added_per_100_words, place.added_standard_error or 0.0)
    material, plain = replace(fitted.material, alarms=alarms), fitted.effects[PLAIN.name]
    rivals = []
    for held in HELD:
        found = fitted.effects.get(held.name) or fit_rival(held, material)
        rivals.append(Rival(name=held.name, held=held.label, effect=found, explains=explains(plain, found)))
    match: SalienceMatch | None = None
    salience: Explains = "unknown"
    if plain.log_odds_ratio is not None:
        vocabulary = max(CATEGORIES, material.named.there.shape[1])
        match = match_salience(
            material.events, plain.log_odds_ratio, categories=vocabulary, seed=material.seed
        )
        salience = _of_salience(plain, match)
    return Rivals(
        schema=SCHEMA,
        signature=signature,
        sentence=verdict(plain, rivals, match, salience),
        plain=plain,
        rivals=tuple(rivals),
        salience=match,
        salience_explains=salience,
        judge_position=place,
    )


def explains(plain: HeldEffect, found: HeldEffect) -> Explains:
    """Return whether a rival could explain the plain ratio, which its own fit holds fixed."""
    if plain.ci is None or found.ci is None or plain.ci[0] <= 1 <= plain.ci[1]:
        return "unknown"
    same = found.ci[0] > 1 if plain.ci[0] > 1 else found.ci[1] < 1
    return "cannot" if same else "could"


def _of_salience(plain: HeldEffect, match: SalienceMatch) -> Explains:
    """Return whether a world of fixed salience has a ratio within or beyond the interval of the run."""
    if plain.ci is None or not match.spreads or plain.ci[0] <= 1:
        return "unknown"
    return "could" if max(one.odds_ratio for one in match.spreads) >= plain.ci[0] else "cannot"


def verdict(
    plain: HeldEffect, rivals: Sequence[Rival], match: SalienceMatch | None, salience: Explains
) -> str:
    """Return what a run shows, in words."""
    if plain.odds_ratio is None or plain.ci is None:
        return f"There is no late-minus-early odds ratio: {plain.reason}."
    low, high = plain.ci
    size = (
        f"100 words later the odds that a newly named object is not in the picture are {plain.odds_ratio:.3g} times "
        f"as high [{low:.3g}, {high:.3g}], salience not held."
    )
    if low <= 1 <= high:
        return (
            f"{size} The interval holds 1: no change with position is shown, so there is nothing to explain."
        )
    names = {held.name: held.explanation for held in HELD}
    parts = [size]
    if cannot := [names[one.name] for one in rivals if one.explains == "cannot"]:
        parts.append(f"Cannot explain it alone: {', '.join(cannot)}.")
    if could := [names[one.name] for one in rivals if one.explains == "could"]:
        parts.append(f"Could explain it: {', '.join(could)}.")
    if match is not None and match.closest is not None and salience != "unknown":
        about = "Salience could explain it" if salience == "could" else "The tried worlds of salience do not"
        parts.append(
            f"{about}: a world that forgets nothing and names easy objects first gives "
            f"{match.closest.odds_ratio:.3g}."
        )
    parts.append("Responses alone do not show that the model forgets the picture.")
    return " ".join(parts)
