"""Keeps the page of `eidolon run --watch` fresh.

The page is written by the thread that works, after a batch. The time between two pages is so long that reading,
judging and writing take at most `SHARE` of the time of the run.
"""

import logging
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from urllib.parse import quote

from eidolon.benchmark.report.live.look import EXAMPLES, PICTURES, Look, Reading
from eidolon.benchmark.report.live.records import LiveRun, LiveView, RunState, StageView, Status
from eidolon.benchmark.report.view.document import render
from eidolon.benchmark.report.view.summary import numbers
from eidolon.benchmark.run.planning import Plan
from eidolon.benchmark.store.atomic import write_atomically
from eidolon.benchmark.store.files import REPORT
from eidolon.benchmark.store.record import utc_now
from eidolon.benchmark.tasks.protocol import Producer, Run
from eidolon.benchmark.terminal.log import without_secrets
from eidolon.benchmark.terminal.progress import Meter, observed_by, print_line
from eidolon.benchmark.terminal.safe_text import one_line
from eidolon.scorers.core.distribution import package_version
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.scores import Scores

PAGE = "watch.html"
EVERY_S = 2.0
"""The shortest time between two pages, and the time between two loads of the page."""
SHARE = 0.01
"""The largest share of the run's time that the page takes."""
PATIENCE_S = 60.0
"""Seconds without news after which the page says that the process may be gone. A run with slow batches has more."""
SLOWER = 5
"""The same, in longest times between two batches."""
ERROR = 2000
"""Characters of an error that the page shows."""

_log = logging.getLogger(__name__)


class Watch:
    """The page of one command. It hears of the progress, and of the runs that begin and end."""

    def __init__(self, plan: Plan, clock: Callable[[], float] = time.monotonic) -> None:
        self.page = plan.out / PAGE
        self._plan, self._clock = plan, clock
        self._reading = Reading.of(plan.questions)
        self._runs = [LiveRun(name=run.name, state="waiting", total=len(run.keys)) for run, _ in plan.runs]
        self._number = -1
        self._look: Look | None = None
        self._stage: StageView | None = None
        self._started = utc_now()
        self._heard, self._slowest = clock(), 0.0
        self._due = 0.0
        self._broken = False

    def begin(self, run: Run, producer: Producer) -> None:
        """A run begins: its model is loaded next, unless all responses are there."""
        # Only the latest run shows examples, so that the page of many models stays small.
        self._runs = [one.model_copy(update={"examples": ()}) for one in self._runs]
        self._number = next(i for i, (one, _) in enumerate(self._plan.runs) if one.path == run.path)
        self._look = Look(run.path, self._reading, producer, self._clock)
        self._stage = StageView(label=f"{run.name}: loading the model")
        self._set("running")
        self._write("running")

    def end(self, run: Run, scores: Scores) -> None:
        """A run has ended, with these scores."""
        self._look_around(EXAMPLES)
        report = quote((run.path / REPORT).relative_to(self.page.parent).as_posix())
        self._runs[self._number] = self._runs[self._number].model_copy(
            update={"state": "finished", "numbers": numbers(scores)[0], "report": report}
        )
        self._look = self._stage = None
        self._write("running")

    def progressed(self, meter: Meter) -> None:
        """Note what a stage has done, and write the page if it is time."""
        self._stage = StageView(
            label=meter.label,
            done=meter.done,
            total=meter.total,
            speed=tuple(meter.rates()),
            left=meter.left(),
        )
        self._hear()

    def occupied(self, label: str) -> None:
        """Note that something begins that has no batches."""
        self._stage = StageView(label=label)
        self._hear()

    def close(self, status: Status, error: str | None = None) -> None:
        """Write the last page."""
        self._look_around(EXAMPLES)
        self._write(status, error)

    def _hear(self) -> None:
        now = self._clock()
        self._slowest, self._heard = max(self._slowest, now - self._heard), now
        if now < self._due:
            return
        self._look_around()
        self._write("running")
        after = self._clock()
        self._due = after + max(EVERY_S, (after - now) / SHARE)

    def _look_around(self, pictures: int = PICTURES) -> None:
        if self._look is None:
            return
        self._look.look(pictures)
        self._set("running")

    def _set(self, state: RunState) -> None:
        look = self._look
        assert look is not None
        self._runs[self._number] = self._runs[self._number].model_copy(
            update={
                "state": state,
                "counts": look.count,
                "reasons": tuple(look.reasons),
                "judging": look.judging,
                "examples": tuple(look.examples),
            }
        )

    def _write(self, status: Status, error: str | None = None) -> None:
        """Write the page. If the disk refuses it, the run continues without one."""
        if self._broken:
            return
        view = LiveView(
            eidolon=package_version(),
            title=self._title(),
            command=without_secrets(shlex.join(["eidolon", *sys.argv[1:]])),
            status=status,
            error=None if error is None else without_secrets(error)[:ERROR],
            started=self._started,
            written=utc_now(),
            every=EVERY_S,
            patience=max(PATIENCE_S, SLOWER * self._slowest),
            stage=self._stage,
            runs=tuple(self._runs),
        )
        try:
            self.page.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self.page, render(view, view.title, program="live"), durable=False)
        except OSError as problem:
            self._broken = True
            _log.warning(
                "page not written", extra={"fields": {"page": str(self.page), "error": str(problem)}}
            )

    def _title(self) -> str:
        first, _ = self._plan.runs[0]
        settings = first.config.run_settings()
        return f"{settings.task} on {settings.dataset}"


@contextmanager
def watching(plan: Plan) -> Iterator[Watch]:
    """Keep the page of a command fresh while the block runs. The last page says how it ended."""
    watch = Watch(plan)
    print_line(f"status page: {one_line(watch.page.absolute().as_uri())}")
    with observed_by(watch):
        try:
            yield watch
        except (KeyboardInterrupt, SystemExit):
            _close(watch, "interrupted")
            raise
        except UserError as error:
            _close(watch, "failed", str(error))
            raise
        except BaseException as error:
            _close(watch, "failed", f"{type(error).__name__}: {error}")
            raise
    watch.close("finished")


def _close(watch: Watch, status: Status, error: str | None = None) -> None:
    """Write the last page after an error, which another one must not replace."""
    with suppress(Exception):
        watch.close(status, error)
