"""Whether two runs may be compared: what must be the same in both, and in what they differ."""

from collections.abc import Collection, Sequence
from typing import Literal

from eidolon.benchmark.settings.config import model_of, settings_of
from eidolon.benchmark.tasks.reading_types import Key
from eidolon.benchmark.tasks.readings import FamiliesRead, main_policy
from eidolon.scorers.core.distribution import UNKNOWN
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.input_files import excerpt
from eidolon.scorers.core.judge import describe_judge
from eidolon.scorers.core.types import Record

ALLOWED = ("judge", "reading", "vocabulary", "prompt", "dataset", "policy")
"""What must be the same in both runs unless `--allow` names it. `judge` includes `reading` and `vocabulary`."""
JUDGED_BY = ("reading", "vocabulary")
"""Settings of a judge that `--allow` takes by their own names."""
JUDGE_IS_COMPARED = ("detection",)
"""Families that measure the judge. A comparison of two judges is what they are for."""


class SettingDifference(Record):
    """A setting in which the runs differ."""

    part: str
    a: str
    b: str
    allowed_by: Literal["nature", "flag"]
    """`nature`: comparisons are about it (model, decoding). `flag`: `--allow` names it."""


def check_alike(
    a: FamiliesRead, b: FamiliesRead, keys: Sequence[Key], families: Sequence[str], allow: Collection[str]
) -> list[SettingDifference]:
    """Return the differences between the runs' settings.

    Raises:
        UserError: the runs differ in something that is not allowed; the message names it and the flag.
    """
    found = [*_differing_settings(a, b), *_differing_truth(a, b, keys, families)]
    refused, differs = [], []
    for part, here, there in found:
        covered = part in allow or (part in JUDGED_BY and "judge" in allow)
        nature = part not in ALLOWED or (
            part in ("judge", *JUDGED_BY) and all(family in JUDGE_IS_COMPARED for family in families)
        )
        if not covered and not nature:
            refused.append((part, here, there))
        differs.append(
            SettingDifference(part=part, a=here, b=there, allowed_by="nature" if nature else "flag")
        )
    if refused:
        parts = "; ".join(f"{part} ({here} / {there})" for part, here, there in refused)
        named = dict.fromkeys(part for part, _, _ in refused)
        names = ",".join(part for part in named if part not in JUDGED_BY or "judge" not in named)
        raise UserError(
            f"{a.path} and {b.path}: differ in {parts}; compare runs that were scored alike, or give --allow {names}"
        )
    return differs


def _differing_settings(a: FamiliesRead, b: FamiliesRead) -> list[tuple[str, str, str]]:
    """Return (part, in A, in B) of the model and of the signature's parts."""
    found = []
    models = _model_name(a), _model_name(b)
    if models[0] != models[1]:
        found.append(("model", *models))
    judges = _judge_parts(a), _judge_parts(b)
    for part in dict.fromkeys([*judges[0], *judges[1]]):
        here, there = (settings.get(part, "none") for settings in judges)
        if here != there:
            found.append((part, here, there))
    parts = _parts(a), _parts(b)
    found += [(part, here, parts[1][part]) for part, here in parts[0].items() if here != parts[1][part]]
    return found


def _differing_truth(
    a: FamiliesRead, b: FamiliesRead, keys: Sequence[Key], families: Sequence[str]
) -> list[tuple[str, str, str]]:
    """Return the first shared sample with another truth, question or picture.

    The dataset's hash covers all samples. So runs over different parts of one dataset differ in it, and only the
    shared samples decide.
    """
    for family in families:
        for key in keys:
            here, there = (run.families[family].scored[key] for run in (a, b))
            if here.truth != there.truth:
                where = f"sample {excerpt(key[0])}: "
                return [("dataset", where + _cut(here.truth), _cut(there.truth))]
            for name in here.evidence.keys() & there.evidence.keys():
                if here.evidence[name] != there.evidence[name]:
                    return [("dataset", f"sample {excerpt(key[0])}: {name} of A", f"{name} of B")]
    return []


def _cut(text: str, width: int = 80) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _judge_parts(run: FamiliesRead) -> dict[str, str]:
    """Return the judge without the settings of `JUDGED_BY`, and each of these by its name."""
    settings = run.signature.judge_settings
    if not settings:
        return {"judge": run.signature.judge or UNKNOWN}
    rest = {name: value for name, value in settings.items() if name not in JUDGED_BY}
    judge = describe_judge(settings_of(run.record.config).judge, rest)
    return {"judge": judge, **{name: settings[name] for name in JUDGED_BY if name in settings}}


def _parts(run: FamiliesRead) -> dict[str, str]:
    """Return the signature's parts that are compared.

    A probe's policy includes which questions it asked. They are left out here: the shared ones are compared.
    """
    parts = run.signature.parts()
    if "questions" in run.record.config.inputs.task:
        parts["policy"] = f"pope(policy={main_policy(run.run)})"
    return {name: parts[name] for name in ("prompt", "policy", "decoding", "eidolon")}


def _model_name(run: FamiliesRead) -> str:
    model = model_of(run.record.config)
    if model is None:
        return UNKNOWN
    inner = ",".join(f"{key}={value}" for key, value in sorted(model.options.items()))
    return model.name + (f"({inner})" if inner else "")
