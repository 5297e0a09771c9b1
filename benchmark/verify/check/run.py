"""All checks of a run folder, in order, and what they come to."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from eidolon.benchmark.data.prompts import Prompt
from eidolon.benchmark.store.loaded import find_run
from eidolon.benchmark.store.record import provenance
from eidolon.benchmark.tasks.checking.checks import PARTS_OF_SCORES, NamedDataset, Options, Recomputed
from eidolon.benchmark.tasks.checking.problems import DifferenceError, UncheckableError
from eidolon.benchmark.tasks.checking.run import CheckedRun, is_hash
from eidolon.benchmark.verify.check.annotations import check_annotations
from eidolon.benchmark.verify.check.consistency import check_judgements, check_responses, check_samples
from eidolon.benchmark.verify.check.findings import SCHEMA, Finding, Report, RunFindings
from eidolon.benchmark.verify.check.folder import CheckedFolder
from eidolon.benchmark.verify.check.scoring import check_signature, differences
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

    judge_options: Options | None = None
    """Options of the run's judge; None: what the folder says, as far as it names nothing to load."""
    dataset: NamedDataset | None = None


def check_runs(paths: Sequence[Path], how: CheckOptions) -> Report:
    """Check all folders, and files of `eidolon annotate`; anything else is a UserError, before the first is checked."""
    found = [path if path.is_file() else CheckedFolder(find_run(path)) for path in paths]
    return Report(
        schema=SCHEMA,
        runs=tuple(
            check_annotations(one, look_again=how.judge_options is not None)
            if isinstance(one, Path)
            else _check(one, how)
            for one in found
        ),
    )


def _check(folder: CheckedFolder, how: CheckOptions) -> RunFindings:
    run, options = folder.run, how.judge_options
    findings = [
        _look("files", folder.check_files),
        _look("schema", folder.check_schema),
        _look("hashes", folder.check_hashes),
        _look("samples", lambda: check_samples(folder)),
        _look("responses", lambda: check_responses(folder)),
        _look("judgements", lambda: check_judgements(folder)),
        _look("judge", lambda: folder.checks.judge(run, options)),
        _look("answers", lambda: folder.checks.answers(run)),
        *(_look(name, act) for name, act in folder.known_checks.measurements(run).items()),
        *_scores(folder, options),
        _look("curves", lambda: folder.checks.curves(run, options)),
        _look("comparability", lambda: _check_comparability(run)),
        _look("truth", lambda: folder.checks.truth(run, how.dataset)),
        _look("versions", lambda: _check_versions(run)),
    ]
    differs = any(finding.verdict == "differs" for finding in findings)
    return RunFindings(
        run=str(run.path),
        name=run.record.name,
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


def _scores(folder: CheckedFolder, options: Options | None) -> list[Finding]:
    """Compute the scores again once, for all checks that stand on them."""
    found: list[tuple[Recomputed, dict[str, list[str]]]] = []

    def compute() -> str:
        there = folder.run.scores()
        here = folder.checks.rescore(folder.run, options)
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
    return [_look(check, lambda check=check: _told(check, here, folder.run, differing)) for check in checks]  # type: ignore[misc]


def _told(check: str, here: Recomputed, run: CheckedRun, differing: Mapping[str, Sequence[str]]) -> str:
    if check == "signature":
        return check_signature(here, run)
    if check in here.unknown:
        raise UncheckableError(here.unknown[check])
    if found := differing[check]:
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        raise DifferenceError(found[0] + more)
    n = here.scores.n
    return {
        "totals": f"{n.requested} asked for, {n.samples} there, {n.scored} scored, {n.unscored} unscored",
        "scores": f"{sum(len(f.quantities()) for f in here.scores.metrics.values())} values computed again",
        "intervals": f"{run.settings.resamples} resamples drawn again with seed {run.settings.seed}",
        "counts": "the integers behind them, and the kinds of responses",
        "variants": f"{len(here.scores.variants)} computed again",
    }[check]


def _check_comparability(run: CheckedRun) -> str:
    """The signature names everything that two rows of a leaderboard must share."""
    parts = run.signature.parts()
    settings = run.settings
    if (prompt := settings.inputs.prompt) is not None:
        expected = Prompt(prompt.name, prompt.text).signature().partition("#")[2]
        if prompt.hash != expected:
            raise DifferenceError(f"the prompt's hash is {excerpt(prompt.hash)} there and {expected} here")
    if settings.run is not None and not is_hash(settings.inputs.dataset):
        raise DifferenceError("run.json: config.inputs.dataset is not a SHA-256")
    if lacking := [part for part in COMPARED if parts[part] == UNKNOWN]:
        raise UncheckableError(f"unknown: the signature does not say {', '.join(lacking)}")
    return f"{', '.join(COMPARED)} are all named"


def _check_versions(run: CheckedRun) -> str:
    """Everything that ran has the version that is here."""
    here, there = provenance(), run.record.provenance
    named = {"python": (there.python, here.python)} | {
        name: (there.packages.get(name, "none"), here.packages.get(name, "none"))
        for name in dict.fromkeys([*there.packages, *here.packages])
    }
    other = [f"{name} {old} (here {new})" for name, (old, new) in named.items() if old != new]
    if other:
        raise UncheckableError(f"made with {', '.join(other)}")
    return "the same as here"
