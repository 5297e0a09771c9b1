"""All checks of a run folder, in order, and what they come to."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from eidolon.benchmark.data.prompts import Prompt
from eidolon.benchmark.store.loaded import find_run
from eidolon.benchmark.store.record import provenance
from eidolon.benchmark.verify.check.consistency import (
    check_answers,
    check_judgements,
    check_responses,
    check_samples,
)
from eidolon.benchmark.verify.check.details import check_curves
from eidolon.benchmark.verify.check.findings import (
    SCHEMA,
    DifferenceError,
    Finding,
    Report,
    RunFindings,
    UncheckableError,
)
from eidolon.benchmark.verify.check.folder import CheckedFolder, is_hash
from eidolon.benchmark.verify.check.forgetting import check_forgetting
from eidolon.benchmark.verify.check.ground_truth import NamedDataset, check_truth
from eidolon.benchmark.verify.check.judging import check_judge
from eidolon.benchmark.verify.check.scoring import (
    PARTS_OF_SCORES,
    Recomputed,
    check_signature,
    differences,
    recompute,
    recorded_signature,
)
from eidolon.scorers.core.distribution import UNKNOWN
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.input_files import excerpt

FOREIGN = (
    ValueError,
    KeyError,
    IndexError,
    TypeError,
    AttributeError,
    ArithmeticError,
    RecursionError,
    OSError,
)
"""What code of ours may raise over files that other programs wrote: here that is a finding, and no bug."""
COMPARED = ("dataset", "prompt", "decoding", "judge", "policy")
"""The parts of a signature that are needed to tell whether two rows of a leaderboard may be compared."""


@dataclass(frozen=True, slots=True)
class CheckOptions:
    """What the user lets a check do."""

    judge_options: Mapping[str, str] | None = None
    """Options of the run's judge; None: what the folder says, as far as it names nothing to load."""
    dataset: NamedDataset | None = None


def check_runs(paths: Sequence[Path], how: CheckOptions) -> Report:
    """Check all folders; one that is no run folder at all is a UserError, before anything is looked at."""
    folders = [CheckedFolder(find_run(path)) for path in paths]
    return Report(schema=SCHEMA, runs=tuple(_check(folder, how) for folder in folders))


def _check(folder: CheckedFolder, how: CheckOptions) -> RunFindings:
    findings = [
        _look("files", folder.check_files),
        _look("schema", folder.check_schema),
        _look("hashes", folder.check_hashes),
        _look("samples", lambda: check_samples(folder)),
        _look("responses", lambda: check_responses(folder)),
        _look("judgements", lambda: check_judgements(folder)),
        _look("judge", lambda: check_judge(folder, how.judge_options)),
        _look("answers", lambda: check_answers(folder)),
        *([_look("forgetting", lambda: check_forgetting(folder))] if folder.forgets else []),
        *_scores(folder, how),
        _look("curves", lambda: check_curves(folder, how.judge_options)),
        _look("comparability", lambda: _check_comparability(folder)),
        _look("truth", lambda: check_truth(folder, how.dataset)),
        _look("versions", lambda: _check_versions(folder)),
    ]
    differs = any(finding.verdict == "differs" for finding in findings)
    return RunFindings(
        run=str(folder.path),
        name=folder.record.name,
        verdict="differs" if differs else "ok",
        checks=tuple(findings),
    )


def _look(check: str, act: Callable[[], str]) -> Finding:
    try:
        return Finding.make(check, "ok", act())
    except UncheckableError as reason:
        return Finding.make(check, "not checkable", str(reason))
    except (DifferenceError, UserError) as problem:
        return Finding.make(check, "differs", str(problem))
    except FOREIGN as error:
        said = f"its files do not fit together: {type(error).__name__}: {error}"
        return Finding.make(check, "differs", said)


def _scores(folder: CheckedFolder, how: CheckOptions) -> list[Finding]:
    """Compute the scores again once, for all checks that stand on them."""
    found: list[tuple[Recomputed, dict[str, list[str]]]] = []

    def compute() -> str:
        there = folder.scores()
        here = recompute(folder, how.judge_options)
        found.append((here, differences(here, there)))
        return ""

    checks = (*PARTS_OF_SCORES, "signature")
    failed = _look("scores", compute)
    if not found:
        return [
            Finding.make(check, failed.verdict if check == failed.check else "not checkable", failed.detail)
            for check in checks
        ]
    here, differing = found[0]
    return [_look(check, lambda check=check: _told(check, here, folder, differing)) for check in checks]  # type: ignore[misc]


def _told(check: str, here: Recomputed, folder: CheckedFolder, differing: Mapping[str, Sequence[str]]) -> str:
    if check == "signature":
        return check_signature(here, folder)
    if check in here.unknown:
        raise UncheckableError(here.unknown[check])
    if found := differing[check]:
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        raise DifferenceError(found[0] + more)
    n = here.scores.n
    return {
        "totals": f"{n.requested} asked for, {n.samples} there, {n.scored} scored, {n.unscored} unscored",
        "scores": f"{sum(len(f.quantities()) for f in here.scores.metrics.values())} values computed again",
        "intervals": f"{folder.settings.resamples} resamples drawn again with seed {folder.settings.seed}",
        "counts": "the integers behind them, and the kinds of responses",
        "variants": f"{len(here.scores.variants)} computed again",
    }[check]


def _check_comparability(folder: CheckedFolder) -> str:
    """The signature names everything that two rows of a leaderboard must share."""
    parts = recorded_signature(folder).parts()
    settings = folder.settings
    if (prompt := settings.inputs.prompt) is not None:
        expected = Prompt(prompt.name, prompt.text).signature().partition("#")[2]
        if prompt.hash != expected:
            raise DifferenceError(f"the prompt's hash is {excerpt(prompt.hash)} there and {expected} here")
    if settings.run is not None and not is_hash(settings.inputs.dataset):
        raise DifferenceError("run.json: config.inputs.dataset is not a SHA-256")
    if lacking := [part for part in COMPARED if parts[part] == UNKNOWN]:
        raise UncheckableError(f"unknown: the signature does not say {', '.join(lacking)}")
    return f"{', '.join(COMPARED)} are all named"


def _check_versions(folder: CheckedFolder) -> str:
    """Everything that ran has the version that is here."""
    here, there = provenance(), folder.record.provenance
    named = {"python": (there.python, here.python)} | {
        name: (there.packages.get(name, "none"), here.packages.get(name, "none"))
        for name in dict.fromkeys([*there.packages, *here.packages])
    }
    other = [f"{name} {old} (here {new})" for name, (old, new) in named.items() if old != new]
    if other:
        raise UncheckableError(f"made with {', '.join(other)}")
    return "the same as here"
