"""Responses from a file, checked: judged and scored like descriptions, with the truth that the folder keeps."""

from collections.abc import Sequence

from eidolon.benchmark.store.batch_file import Key
from eidolon.benchmark.store.files import RESPONSES, SAMPLES
from eidolon.benchmark.store.record import SampleRow
from eidolon.benchmark.tasks.checking.checks import NamedDataset
from eidolon.benchmark.tasks.checking.problems import DifferenceError
from eidolon.benchmark.tasks.checking.run import CheckedRun
from eidolon.benchmark.tasks.describe.checks import JudgedChecks, Origin
from eidolon.benchmark.tasks.score_files.source_texts import (
    IMPORT_BATCH,
    common_prompt,
    looks,
    references_text,
    truth_text,
    unknown_of,
)
from eidolon.scorers.core.input_files import excerpt
from eidolon.scorers.core.signature import hashed
from eidolon.scorers.core.types import Response


class ResponsesChecks(JudgedChecks):
    """A file may hold several responses to a sample; those that there are were asked for."""

    batch_size = IMPORT_BATCH

    def keys(self, run: CheckedRun) -> list[Key]:
        """Return (sample id, generation) of every response."""
        return [(r.sample_id, r.generation) for r in run.lines(RESPONSES, Response)]

    def origin(self, run: CheckedRun, responses: Sequence[Response]) -> Origin:
        """Return the truth and the prompt of the run's signature; files do not say how they were decoded."""
        return Origin(run.settings.inputs.truth, common_prompt(responses), None)

    def truth(self, run: CheckedRun, given: NamedDataset | None) -> str:
        """Compare the truth in `samples.jsonl` with the hash of what it was read from."""
        rows = run.lines(SAMPLES, SampleRow)
        responses = run.lines(RESPONSES, Response)
        inputs = run.settings.inputs
        known = {row.image_id: frozenset(row.objects) for row in rows}
        references = {row.image_id: row.references for row in rows if row.references}
        truth = {response.image_id: known[response.image_id] for response in responses}
        recorded = inputs.truth or ""
        found = hashed(recorded.rpartition("#")[0], truth_text(truth) + references_text(references))
        if found != recorded:
            raise DifferenceError(
                f"{SAMPLES} has the hash {found}, run.json: config.inputs.truth is {excerpt(recorded)}"
            )
        told = {"areas": inputs.areas, "sources": inputs.sources, "unknown": inputs.unknown}
        here = looks(
            {row.image_id: row.areas for row in rows},
            {row.image_id: row.sources for row in rows},
            {row.image_id: unknown_of(row.unsure, row.unasked, row.labelled) for row in rows},
        )
        for part, value in told.items():
            if here.get(part) != value:
                raise DifferenceError(
                    f"{SAMPLES} has {part} with the hash {here.get(part)}, run.json: config.inputs.{part} is "
                    f"{excerpt(value)}"
                )
        return f"{SAMPLES} has the hash of {excerpt(recorded)}; whether that is true takes the file"
