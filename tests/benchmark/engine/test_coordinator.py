"""Several processes answer like one. Here each is a thread, and the store between them is in memory."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch.distributed import HashStore

from eidolon.benchmark.engine import coordinator
from eidolon.benchmark.engine.coordinator import (
    Follower,
    Keys,
    Leader,
    Mailbox,
    ProcessError,
    SingleProcess,
    add_usages,
)
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.types import Response


@dataclass
class Echo:
    """Answers with the sample's name, counts its calls, and fails on demand."""

    fail: Callable[[str], None] = lambda what: None
    answered: list[Keys] = field(default_factory=list)
    loads: int = 0
    released: int = 0
    slow: float = 0

    def load(self) -> None:
        self.fail("load")
        self.loads += 1

    def answer(self, keys: Keys) -> list[Response]:
        self.fail("answer")
        time.sleep(self.slow)
        self.answered.append(keys)
        return [
            Response(sample_id=s, image_id=len(s), response=f"{s} at {g}", generation=g, token_ends=(1, 2))
            for s, g in keys
        ]

    def usage(self) -> dict[str, int | float] | None:
        return {"requests": sum(map(len, self.answered))}

    def keep(self) -> dict[str, int] | None:
        return {"hits": 0, "misses": sum(map(len, self.answered))}

    def release(self) -> None:
        self.released += 1


def serve(
    mail: Mailbox, rank: int, size: int, workers: Sequence[Echo], plan: str = "plan", lost_after: float = 30
) -> threading.Thread:
    """Start a follower in a thread. Like a process, it reports its errors."""

    def follow() -> None:
        follower = Follower(mail, rank, size, lost_after)
        try:
            follower.serve(plan, workers)
        except Exception as error:
            follower.report(error)

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    return thread


def beat(mail: Mailbox, size: int) -> threading.Event:
    """Send heartbeats for all processes until the event is set."""
    done = threading.Event()

    def live() -> None:
        while not done.wait(0.02):
            for rank in range(size):
                mail.beat(rank)

    threading.Thread(target=live, daemon=True).start()
    return done


batches_of_runs = st.lists(
    st.lists(st.lists(st.tuples(st.text(max_size=3), st.integers(0, 2)), min_size=1, max_size=3), max_size=9),
    min_size=1,
    max_size=3,
)


@given(batches_of_runs, st.integers(2, 4))
def test_the_answers_of_several_are_those_of_one(runs: list[list[Keys]], size: int) -> None:
    alone = [[*SingleProcess().answers(Echo(), batches)] for batches in runs]

    mail = Mailbox(HashStore())
    workers = [[Echo() for _ in runs] for _ in range(size)]
    threads = [serve(mail, rank, size, workers[rank]) for rank in range(1, size)]
    lead = Leader(mail, size)
    lead.gather("plan", workers[0])
    for number, batches in enumerate(runs):
        lead.prepare(workers[0][number])
        assert [*lead.answers(workers[0][number], batches)] == alone[number]
        assert lead.usage(workers[0][number]) == {"requests": sum(map(len, batches))}
        assert lead.keep(workers[0][number]) == {"hits": 0, "misses": sum(map(len, batches))}
    lead.dismiss()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    for number, batches in enumerate(runs):
        for rank in range(size):
            assert [[*keys] for keys in workers[rank][number].answered] == [*batches[rank::size]]
            assert (workers[rank][number].loads, workers[rank][number].released) == (1, 1)


def test_a_process_does_not_run_far_ahead_of_the_leader() -> None:
    mail = Mailbox(HashStore())
    ahead, leads = Echo(), Echo()
    serve(mail, 1, 2, [ahead])
    lead = Leader(mail, 2)
    lead.gather("plan", [leads])
    answers = lead.answers(leads, [[(str(n), 0)] for n in range(20)])
    next(answers)
    time.sleep(0.5)
    assert len(ahead.answered) == coordinator.AHEAD
    assert len([*answers]) == 19
    assert len(ahead.answered) == 10


def test_messages_of_any_length_arrive_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coordinator, "PART", 7)
    mail = Mailbox(HashStore())
    for text in ("", "a", "äöü" * 50, "x" * 7, "y" * 14):
        assert not mail.has("key")
        mail.post("key", text)
        assert mail.has("key")
        assert mail.take("key") == text


def failing(where: str, error: Exception) -> Echo:
    def fail(what: str) -> None:
        if what == where:
            raise error

    return Echo(fail)


@pytest.mark.parametrize("where", ["load", "answer"])
def test_a_users_mistake_in_another_process_is_raised_by_the_leader(where: str) -> None:
    mail = Mailbox(HashStore())
    serve(mail, 1, 3, [failing(where, UserError("the mistake"))])
    serve(mail, 2, 3, [failing(where, UserError("the mistake"))])
    lead, worker = Leader(mail, 3), Echo()
    lead.gather("plan", [worker])
    with pytest.raises(UserError, match=r"^the mistake$"):
        _answer_all(lead, worker)


def test_a_bug_in_another_process_comes_with_its_traceback_and_rank() -> None:
    mail = Mailbox(HashStore())
    serve(mail, 1, 2, [failing("answer", ZeroDivisionError("no luck"))])
    lead, worker = Leader(mail, 2), Echo()
    lead.gather("plan", [worker])
    with pytest.raises(ProcessError, match="in process 1 of 2: no luck") as caught:
        _answer_all(lead, worker)
    assert str(caught.value.__cause__).count("ZeroDivisionError: no luck") == 1
    assert "in fail" in str(caught.value.__cause__)


def _answer_all(lead: Leader, worker: Echo) -> None:
    lead.prepare(worker)
    for _ in lead.answers(worker, [[("a", 0)], [("b", 0)], [("c", 0)]]):
        pass


def test_processes_with_other_plans_are_refused() -> None:
    mail = Mailbox(HashStore())
    serve(mail, 1, 2, [Echo()], plan="another")
    with pytest.raises(UserError, match="process 1 of 2: plans another run than process 0"):
        Leader(mail, 2).gather("plan", [Echo()])


def test_a_process_that_gives_no_sign_of_life_is_lost() -> None:
    mail = Mailbox(HashStore())
    with pytest.raises(UserError, match="process 1 of 2: gave no sign of life for 0 s"):
        Leader(mail, 2, lost_after=0.1).gather("plan", [Echo()])
    follower = Follower(mail, 1, 2, lost_after=0.1)
    with pytest.raises(UserError, match="process 0 of 2: gave no sign of life"):
        follower.serve("plan", [Echo()])


def test_a_slow_process_is_not_lost() -> None:
    mail = Mailbox(HashStore())
    done = beat(mail, 2)
    try:
        serve(mail, 1, 2, [Echo(slow=0.6)], lost_after=0.2)
        lead, worker = Leader(mail, 2, lost_after=0.2), Echo()
        lead.gather("plan", [worker])
        assert len([*lead.answers(worker, [[("a", 0)], [("b", 0)]])]) == 2
        lead.dismiss()
    finally:
        done.set()


def test_usages_are_added_up_by_name() -> None:
    assert add_usages({"a": 1, "b": 0.5}, None, {"b": 1, "c": 2}) == {"a": 1, "b": 1.5, "c": 2}
    assert add_usages({"a": 1}) == {"a": 1}
    assert add_usages(None, None) is None
