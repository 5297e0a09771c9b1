"""The top of a page: what was measured, the main numbers, warnings and provenance, in words."""

from collections.abc import Iterator, Sequence

from eidolon.benchmark.report.view.records import Fact, Number
from eidolon.benchmark.settings.config import settings_of
from eidolon.benchmark.settings.run import RunSettings
from eidolon.benchmark.store.files import SAMPLES
from eidolon.benchmark.store.loaded import LoadedRun
from eidolon.benchmark.store.record import SampleRow
from eidolon.scorers.core.estimate import Estimate
from eidolon.scorers.core.scores import Scores
from eidolon.scorers.core.signature import Signature

MAIN = 4
LEADING = (
    (("objects.f05",), "F0.5"),
    (("objects.recall", "chair.recall"), "recall"),
    (("chair.chair_i",), "CHAIR_i"),
    (("chair.words",), "words per response"),
    (("pope.accuracy",), "accuracy"),
    (("pope.f1",), "F1 of yes"),
    (("pope.recall",), "recall of yes"),
    (("pope.yes_rate",), "share of yes"),
    (("throne.classwise_f05",), "F0.5 by class"),
    (("throne.classwise_recall",), "recall by class"),
    (("throne.classwise_precision",), "precision by class"),
    (("throne.image_f05",), "F0.5 by image"),
)
"""The quantities that stand on top, best known first; each with the names it has in `scores.json`."""
UNBOUNDED = ("words", "odds_ratio", "decay", "half_life", "tokens", "captions", "size_order")
"""Parts of the names of quantities that are no shares."""
ASKED = {"describe": "described", "probe": "answered yes/no questions about", "forget": "described"}


def sentence(run: LoadedRun, scores: Scores | None) -> str:
    """Return what was measured, in one sentence or two."""
    record, signature = run.record, run.signature
    settings = settings_of(record.config)
    count = len(record.sample_ids) if scores is None else scores.n.requested
    dataset = (signature.dataset or "").partition("#")[0]
    images = f" of the dataset {dataset}" if dataset else ""
    if isinstance(settings, RunSettings):
        pictures = len({sample.image_id for sample in run.stream(SAMPLES, SampleRow)}) or count
        what = f"{run.name} {ASKED.get(record.config.task, 'was asked about')} {_many(pictures, 'picture')}"
        what += images + (f", {_many(count, 'answer')}" if record.config.task == "probe" else "") + "."
    else:
        what = f"{_many(count, 'response')} from a file, judged by the ground truth{f' {dataset}' if dataset else ''}."
    return what + _judge(signature)


def _judge(signature: Signature) -> str:
    if signature.judge is None:
        return ""
    settings = ", ".join(f"{name} {value}" for name, value in signature.judge_settings.items())
    name = signature.judge.partition("(")[0] if settings else signature.judge
    return f" The judge {name} read them{f' ({settings})' if settings else ''}."


def numbers(scores: Scores | None) -> tuple[tuple[Number, ...], tuple[Number, ...]]:
    """Return the main numbers, and all others."""
    if scores is None:
        return (), ()
    every = {
        f"{family}.{name}": estimate
        for family, values in scores.metrics.items()
        for name, estimate in values.quantities().items()
    }
    main: list[Number] = []
    for keys, label in LEADING:
        if (key := next((key for key in keys if key in every), None)) and len(main) < MAIN:
            main.append(_number(key, label, every[key]))
    if not main:
        main = [_number(key, key, estimate) for key, estimate in list(every.items())[:MAIN]]
    shown = {number.key for number in main}
    more = tuple(_number(key, key, found) for key, found in every.items() if key not in shown)
    return tuple(main), more


def is_share(key: str) -> bool:
    """Return whether a quantity lies between 0 and 1."""
    return not any(part in key for part in UNBOUNDED)


def warnings(run: LoadedRun, scores: Scores | None, extra: Sequence[str]) -> tuple[str, ...]:
    """Return what a reader must know before the numbers, a sentence each."""
    return (*_warnings(run, scores), *extra)


def _warnings(run: LoadedRun, scores: Scores | None) -> Iterator[str]:
    record = run.record
    yield from record.warnings
    if record.status != "success":
        yield f"The run has not ended well: its status is {record.status}. Run its command again to finish it."
    if scores is None:
        yield "There are no scores yet, so the numbers are missing."
        return
    n = scores.n
    if n.unscored:
        share = n.unscored / n.samples
        yield (
            f"{n.unscored} of {_many(n.samples, 'response')} ({share:.1%}) could not be scored. They are left out of "
            "every number, and the filter “unscored” lists them."
        )
    if n.samples < n.requested:
        yield f"Only {n.samples} of {n.requested} requested responses are there."
    kinds = scores.responses
    if kinds is not None:
        if kinds.truncated:
            cut = "stopped at the token limit, so the last sentence may be cut off"
            yield f"{_many(kinds.truncated, 'response')} {cut}."
        for count, what in (
            (kinds.empty, "empty"),
            (kinds.refusals, "a refusal"),
            (kinds.non_english, "not English"),
        ):
            if count:
                yield f"{_many(count, 'response')} {'is' if count == 1 else 'are'} {_plural(what, count)}."
    doctor = record.provenance.doctor
    if doctor is not None and doctor.failed:
        yield f"The doctor's checks found a fault in how the model runs here: {', '.join(doctor.failed)}."


def provenance(run: LoadedRun, scores: Scores | None) -> tuple[Fact, ...]:
    """Return where the numbers come from."""
    return tuple(Fact(label=label, value=value) for label, value in _facts(run, scores) if value)


def _facts(run: LoadedRun, scores: Scores | None) -> Iterator[tuple[str, str]]:
    record = run.record
    yield "signature", run.signature.line() if scores is None else scores.signature
    if record.config.inputs.prompt is not None:
        yield "prompt", record.config.inputs.prompt.text
    if record.model is not None:
        yield (
            "model",
            ", ".join(f"{name} {value}" for name, value in record.model.items() if value not in (None, {})),
        )
    doctor = record.provenance.doctor
    if record.config.verb == "run":
        if doctor is None:
            yield "doctor", "not run, so it is not known whether the model answers here as it should"
        else:
            yield "doctor", "; ".join(f"{check.name}: {check.verdict}" for check in doctor.checks)
    for number, session in enumerate(record.sessions, 1):
        name = "command" if len(record.sessions) == 1 else f"command of session {number}"
        yield name, session.command
        yield (
            f"time of {name}",
            f"{session.started} to {session.ended or 'an unknown time'}, {session.status}",
        )
    yield "software", ", ".join(f"{name} {version}" for name, version in record.provenance.packages.items())
    yield "system", f"Python {record.provenance.python}, {record.provenance.platform}"
    yield "commit", record.provenance.git_commit or ""


def _number(key: str, label: str, estimate: Estimate) -> Number:
    return Number(key=key, label=label, estimate=estimate, share=is_share(key))


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _plural(what: str, count: int) -> str:
    return "refusals" if what == "a refusal" and count != 1 else what
