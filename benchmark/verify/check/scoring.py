"""Scores computed again from a folder's files, by the code that computes them in a run, and compared."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eidolon.benchmark.data.prompts import Prompt
from eidolon.benchmark.settings.fields import ALL, MAIN_POLICY
from eidolon.benchmark.store.files import JUDGEMENTS, ORDERS_LINES, RESPONSES, RUN, SAMPLES, SCORES
from eidolon.benchmark.store.record import SampleRow
from eidolon.benchmark.tasks.describe.work import POLICY, JudgedWork
from eidolon.benchmark.tasks.forget.forced_orders.detail import FAMILY, REPORTED, with_orders
from eidolon.benchmark.tasks.forget.forced_orders.stage import first_of_each, truths
from eidolon.benchmark.tasks.forget.stage import with_forgetting
from eidolon.benchmark.tasks.plugins import make_metrics
from eidolon.benchmark.tasks.probe.task import ProbeWork
from eidolon.benchmark.tasks.score_files.inputs import share_threshold
from eidolon.benchmark.tasks.score_files.responses_file import common_prompt
from eidolon.benchmark.verify.check.consistency import expected_keys
from eidolon.benchmark.verify.check.findings import DifferenceError, UncheckableError
from eidolon.benchmark.verify.check.folder import CheckedFolder, is_hash
from eidolon.benchmark.verify.check.forgetting import measured_again
from eidolon.benchmark.verify.check.json_diff import walk
from eidolon.benchmark.verify.check.judging import make_again, probe_of, recorded_judge
from eidolon.benchmark.verify.load_run import FamilyReading, read_families
from eidolon.models.base.contrast import make_contrast
from eidolon.models.base.model import Decoding
from eidolon.scorers.core.distribution import UNKNOWN
from eidolon.scorers.core.input_files import excerpt
from eidolon.scorers.core.judge import Judge, describe_judge
from eidolon.scorers.core.metric import JudgedSample
from eidolon.scorers.core.scores import Family, Scores, Variant
from eidolon.scorers.core.signature import HASH_DIGITS, PARTS, Signature
from eidolon.scorers.core.types import Judgement, Response
from eidolon.scorers.forgetting.forced_orders import ForcedTurn, OrdersSummary, measure_orders, no_orders
from eidolon.scorers.metrics.detection import CONFUSION
from eidolon.scorers.metrics.pope import Pope
from eidolon.scorers.metrics.scoring import assemble, category_values, named_counts, values_of
from eidolon.scorers.metrics.throne import Throne, cell_counts
from eidolon.scorers.statistics.bootstrap import column_sums

TOTALS, VALUES, INTERVALS, COUNTS, VARIANTS = "totals", "scores", "intervals", "counts", "variants"
PARTS_OF_SCORES = (TOTALS, VALUES, INTERVALS, COUNTS, VARIANTS)
"""The checks into which a difference between two scores files falls."""


@dataclass(frozen=True, slots=True)
class Recomputed:
    """Scores made again here, and what of them could not be."""

    scores: Scores
    unknown: Mapping[str, str]
    """By check, why it is unknown here."""
    rebuilt: Mapping[str, str]
    """The parts of the signature that follow from the files and the configuration."""


def recompute(folder: CheckedFolder, options: Mapping[str, str] | None) -> Recomputed:
    """Compute the scores again. UserErrors and UncheckableError say what is missing."""
    if folder.kind in ("describe", "probe"):
        return _rescore(folder, options)
    return _reassemble(folder)


def differences(here: Recomputed, there: Scores) -> dict[str, list[str]]:
    """Return what differs between scores computed here and those of a folder, in words, by check."""
    found: dict[str, list[str]] = {name: [] for name in PARTS_OF_SCORES}
    mine = here.scores.model_dump(mode="json", by_alias=True)
    theirs = there.model_dump(mode="json", by_alias=True)
    for place, new, old in walk(mine, theirs):
        check = _check_of(place)
        if check is not None and check not in here.unknown:
            found[check].append(
                f"{'.'.join(place)} is {excerpt(old)} there and {excerpt(new)} from the files"
            )
    return found


def recorded_signature(folder: CheckedFolder) -> Signature:
    """Return the signature in `run.json`.

    Raises:
        UncheckableError: there is none.
    """
    if folder.record.signature is None:
        raise UncheckableError(f"{RUN} has no signature")
    return folder.record.signature


def check_signature(here: Recomputed, folder: CheckedFolder) -> str:
    """The signature is the same in both files, and follows from the configuration and the files."""
    signature, line = recorded_signature(folder), folder.scores().signature
    if line != signature.line():
        raise DifferenceError(
            f"{SCORES} has the signature {excerpt(line, 150)}, {RUN} {excerpt(signature.line(), 150)}"
        )
    if settings := signature.judge_settings:
        named = describe_judge(folder.settings.chosen.judge, settings)
        if named != signature.judge:
            raise DifferenceError(
                f"judge is {excerpt(signature.judge, 120)} there and {excerpt(named, 120)} from its settings"
            )
    parts = signature.parts()
    for part in PARTS:
        if part in here.rebuilt and parts[part] != here.rebuilt[part]:
            raise DifferenceError(
                f"{part} is {excerpt(parts[part], 120)} there and {excerpt(here.rebuilt[part], 120)} here"
            )
    left = [part for part in PARTS if part not in here.rebuilt]
    return f"rebuilt{', except ' + ', '.join(left) + ', which take the input files' if left else ''}"


def _rescore(folder: CheckedFolder, options: Mapping[str, str] | None) -> Recomputed:
    work = work_again(folder, options)
    responses, judgements = folder.lines(RESPONSES, Response), folder.lines(JUDGEMENTS, Judgement)
    scores = work.score(responses, judgements)
    if folder.forgets and isinstance(work, JudgedWork):
        again = measured_again(folder)
        scores = with_forgetting(scores, again.retention.points, again.retention.trained_tokens, again.table)
        scores = with_orders(scores, _orders(folder, work, work.judged(responses, judgements)))
    return Recomputed(scores, {}, work.signature.parts() | {"eidolon": version_that_scored(folder)})


def work_again(folder: CheckedFolder, options: Mapping[str, str] | None) -> JudgedWork | ProbeWork:
    """Return the work of a folder of descriptions or of a probe, from its files, as far as scoring takes it.

    Its judge is only recorded where it cannot be made again. UserErrors and UncheckableError say what is missing.
    """
    settings = folder.settings
    responses = folder.lines(RESPONSES, Response)
    judgements = folder.lines(JUDGEMENTS, Judgement)
    keys = tuple(expected_keys(folder))
    if [(r.sample_id, r.generation) for r in responses] != [*keys] or len(judgements) != len(keys):
        raise UncheckableError("there is not one response and one judgement to each sample")
    judge: Judge
    try:
        judge = make_again(folder, options)
    except UncheckableError:
        judge = recorded_judge(folder)
    samples = tuple(folder.lines(SAMPLES, SampleRow))
    name = folder.record.name
    if folder.kind == "probe":
        probe = probe_of(folder)
        signature = _signature(folder, responses, judge, probe.policy(), len(keys))
        return ProbeWork(name, samples, keys, probe, signature, settings.seed, settings.resamples)
    return JudgedWork(
        name=name,
        samples=samples,
        keys=keys,
        judged_by=judge,
        metrics=make_metrics(settings.metrics, judge),
        signature=_signature(folder, responses, judge, POLICY, len(keys)),
        seed=settings.seed,
        resamples=settings.resamples,
    )


def _signature(
    folder: CheckedFolder, responses: Sequence[Response], judge: Judge, policy: str, n: int
) -> Signature:
    settings = folder.settings
    dataset, prompt, decoding = settings.inputs.truth, common_prompt(responses), None
    if settings.run is not None and (asked := settings.inputs.prompt) is not None:
        run = settings.run
        dataset = _dataset(folder)
        prompt = Prompt(asked.name, asked.text).signature()
        contrast = make_contrast(run.decoding, run.decoding_options)
        decoding = Decoding(run.max_new_tokens, run.temperature, run.top_p, run.seed, contrast).signature()
    return Signature(
        dataset=dataset,
        prompt=prompt,
        decoding=decoding,
        judge=judge.signature(),
        policy=policy,
        n=n,
        resamples=settings.resamples,
        seed=settings.seed,
    )


def _orders(folder: CheckedFolder, work: JudgedWork, judged: Sequence[JudgedSample]) -> OrdersSummary:
    """Return what forced orders say, from their turns; without any, the reason is the one that is told."""
    if not folder.has(ORDERS_LINES):
        there = folder.scores().metrics.get(FAMILY)
        told = {} if there is None else there.quantities()
        reasons = [told[name].reason for name in REPORTED if name in told]
        return no_orders(next(filter(None, reasons), f"{ORDERS_LINES} is not there"))
    return measure_orders(
        folder.lines(ORDERS_LINES, ForcedTurn),
        truths(work.samples),
        first_of_each(judged),
        seed=work.seed,
        resamples=work.resamples,
    )


def _dataset(folder: CheckedFolder) -> str:
    from eidolon.scorers.core.signature import hashed

    settings = folder.settings
    assert settings.run is not None
    digest = settings.inputs.dataset
    if not is_hash(digest):
        raise DifferenceError("run.json: config.inputs.dataset is not a SHA-256")
    return hashed(settings.run.dataset, digest or "")


def _reassemble(folder: CheckedFolder) -> Recomputed:
    """Compute the one family of answers that were scored from files."""
    settings, there = folder.settings, folder.scores()
    again = read_families(folder.loaded)
    family = folder.kind
    if family not in again.families:
        raise UncheckableError(again.unread.get(family, f"{family} is not among the scores"))
    reading = again.families[family]
    samples = [scored.sample for scored in reading.scored.values()]
    images = [scored.image_id for scored in reading.scored.values()]
    seed, resamples = settings.seed, settings.resamples
    responses = len(folder.lines(JUDGEMENTS if family == "throne" else RESPONSES, _record(family)))
    scores = assemble(
        {family: _family(reading, seed, resamples)},
        images,
        signature=there.signature,
        counts={family: _counts(folder, reading, samples)},
        unscored=responses - len(samples),
        requested=there.n.requested,
        calibration=there.calibration,
        variants=_variants(folder, reading),
        over="items" if folder.kind == "amber" and "questions" not in settings.inputs.files else "images",
        seed=seed,
        resamples=resamples,
    )
    unknown = {}
    if family != "pope" and there.variants:
        unknown[VARIANTS] = "they take the input files; score them here and compare"
    return Recomputed(scores, unknown, _known_parts(folder, len(images), responses))


def _record(family: str) -> type[Any]:
    return Judgement if family == "throne" else Response


def _family(reading: FamilyReading, seed: int, resamples: int) -> Family:
    samples = [scored.sample for scored in reading.scored.values()]
    images = [scored.image_id for scored in reading.scored.values()]
    metric = reading.metric(samples)
    statistics = metric.statistics(samples)
    values: dict[str, Any] = values_of(metric, statistics, images, seed=seed, resamples=resamples)
    split = reading.categories
    if split is None:
        return Family(**values)
    per_category = category_values(
        split.metric, split.statistics(samples), images, split.vocabulary, seed=seed, resamples=resamples
    )
    return Family(per_category=per_category, **values)


def _counts(folder: CheckedFolder, reading: FamilyReading, samples: list[Any]) -> dict[str, int | float]:
    metric = reading.metric(samples)
    if isinstance(metric, Throne):
        return cell_counts(metric.cells(samples))
    sums = column_sums(metric.statistics(samples))
    if folder.kind == "detection":
        return named_counts(CONFUSION, sums[: len(CONFUSION)])
    return named_counts(metric.columns, sums)


def _variants(folder: CheckedFolder, reading: FamilyReading) -> tuple[Variant, ...]:
    """Compute POPE's policies again; the variants of others are taken as they are."""
    there = folder.scores().variants
    if folder.kind != "pope":
        return there
    seed, resamples = folder.settings.seed, folder.settings.resamples
    found = []
    for variant in there:
        policy = str(variant.settings.get("policy"))
        read = FamilyReading(reading.scored, lambda _, name=policy: Pope(name))  # type: ignore[misc]
        found.append(variant.model_copy(update={"metrics": {"pope": _family(read, seed, resamples)}}))
    return tuple(found)


def _known_parts(folder: CheckedFolder, scored: int, responses: int) -> dict[str, str]:
    """Return the parts of the signature of answers from files that their run's configuration gives."""
    config = folder.settings
    settings = config.score
    assert settings is not None
    there = recorded_signature(folder)
    files = config.inputs.files
    parts = {
        "decoding": UNKNOWN,
        "n": str(responses if folder.kind == "detection" else scored),
        "resamples": str(config.resamples),
        "seed": str(config.seed),
        "eidolon": version_that_scored(folder),
    }
    source = files.get("questions" if folder.kind == "pope" else "annotations")
    if source is not None and folder.kind != "detection":
        dataset, ending = there.dataset or UNKNOWN, f"#{source[:HASH_DIGITS]}"
        parts["dataset"] = dataset if dataset.endswith(ending) else f"…{ending}"
    if folder.kind == "pope":
        main = MAIN_POLICY if settings.policy == ALL else settings.policy
        parts |= {"prompt": "questions", "judge": "yes-no", "policy": f"pope(policy={main})"}
    elif folder.kind == "detection":
        limit = share_threshold(settings)
        parts["policy"] = f"detection(threshold={'above0' if limit is None else f'{limit:g}'})"
        prompt = common_prompt(folder.lines(RESPONSES, Response))
        parts["prompt"] = UNKNOWN if prompt is None else prompt
        if config.inputs.judge:
            parts["judge"] = config.inputs.judge
    else:
        parts["prompt"] = UNKNOWN
    if folder.kind == "throne":
        thresholds, voters = config.inputs.task.get("thresholds"), config.inputs.task.get("voters")
        if isinstance(thresholds, list) and thresholds:
            parts["policy"] = f"throne(mode={settings.mode},threshold={thresholds[0]}of{voters})"
    return parts


def version_that_scored(folder: CheckedFolder) -> str:
    """Return the version of Eidolon that the last session ran."""
    last = folder.record.sessions[-1].provenance if folder.record.sessions else None
    return (last or folder.record.provenance).packages.get("eidolon", UNKNOWN)


def _check_of(place: tuple[str, ...]) -> str | None:
    """Return which check a field of `scores.json` belongs to."""
    first = place[0]
    if first in ("signature", "schema"):
        return None
    if first == "n":
        return TOTALS
    if first == VARIANTS:
        return VARIANTS
    if first == "intervals" or "ci" in place[2:] or place[-1] == "undefined_resamples":
        return INTERVALS
    return VALUES if first == "metrics" and "counts" not in place[2:] else COUNTS
