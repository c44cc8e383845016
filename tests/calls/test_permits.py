"""Permits: taken, settled once, from any thread, by a block, or by being dropped."""

import copy
import gc
import pickle
import threading
from collections.abc import Callable
from typing import Any

import pytest

from breaker import Breaker, BreakerOpenError, Permit, Policy, State
from breaker.events import CallFailed
from breaker.sources import MemorySource
from breaker.testing import ManualClock
from support.drive import NAME, Boom, HangUp, Make, Put, drive_to, rejected, succeed, trip
from support.reading import counts, of_type, transitions

VERDICTS = ["success", "failure", "ignore"]
COUNT = {"success": "successes", "failure": "failures", "ignore": "ignored"}
THREE_PROBES = Policy(5, 3, 60)


@pytest.fixture
def half_open(make_breaker: Make, clock: ManualClock) -> Breaker:
    """A breaker that probes, with its totals at five failures and one ignored call."""
    return drive_to(make_breaker(THREE_PROBES), clock, State.HALF_OPEN)


@pytest.mark.parametrize("verdict", VERDICTS)
def test_a_permit_settles_as_what_is_reported(make_breaker: Make, verdict: str) -> None:
    # S37
    breaker = make_breaker()
    permit = breaker.acquire()
    assert isinstance(permit, Permit)
    getattr(permit, verdict)()
    assert counts(breaker) == {COUNT[verdict]: 1}


@pytest.mark.parametrize("second", [*VERDICTS, "enter", "drop"])
@pytest.mark.parametrize("first", VERDICTS)
def test_a_permit_settles_once(make_breaker: Make, first: str, second: str) -> None:
    # S37
    breaker = make_breaker(Policy(2))
    permit = breaker.acquire()
    getattr(permit, first)()
    before = breaker.snapshot()
    if second == "enter":
        with pytest.raises(Boom), permit:
            raise Boom
    elif second != "drop":
        getattr(permit, second)()
    del permit
    assert breaker.snapshot() == before
    assert counts(breaker) == {COUNT[first]: 1}


@pytest.mark.parametrize("first", VERDICTS)
def test_a_second_report_of_a_probe_frees_no_second_slot(half_open: Breaker, first: str) -> None:
    # S37
    probe = half_open.acquire()
    getattr(probe, first)()
    holder = None if first == "failure" else half_open.acquire()
    before = half_open.snapshot()
    for verdict in VERDICTS:
        getattr(probe, verdict)()
    assert half_open.snapshot() == before
    assert before.half_open_in_flight == (holder is not None)
    assert rejected(half_open).reason == ("open" if holder is None else "half_open")


def test_a_verdict_is_not_classified_again(make_breaker: Make, events: list[Any]) -> None:
    # S46
    breaker = make_breaker(Policy(9), ignore_on=Boom, success_on=LookupError)
    for error in (Boom("a"), LookupError("b"), KeyboardInterrupt("c"), None):
        breaker.acquire().failure(error)
    assert counts(breaker) == {"failures": 4}
    texts = ["Boom: a", "LookupError: b", "KeyboardInterrupt: c", "failure reported"]
    assert of_type(events, CallFailed) == [CallFailed(NAME, text) for text in texts]


def test_the_exception_of_a_verdict_may_be_named(make_breaker: Make) -> None:
    # S46
    breaker = make_breaker(Policy(1))
    breaker.acquire().failure(exc=Boom("named"))
    assert rejected(breaker).last_error == "Boom: named"


# The context manager


def test_a_block_that_ends_is_a_success(make_breaker: Make) -> None:
    # S38
    breaker = make_breaker()
    with breaker.acquire() as permit:
        assert isinstance(permit, Permit)
        assert counts(breaker) == {}
    assert counts(breaker) == {"successes": 1}


@pytest.mark.parametrize(
    ("error", "count"),
    [(Boom(), "failures"), (KeyError(), "ignored"), (IndexError(), "successes"), (HangUp(), "ignored")],
)
def test_a_block_settles_by_the_exception_that_leaves_it(make_breaker: Make, error: BaseException, count: str) -> None:
    # S38
    breaker = make_breaker(ignore_on=KeyError, success_on=LookupError)
    with pytest.raises(type(error)) as caught, breaker.acquire():
        raise error
    assert caught.value is error
    assert counts(breaker) == {count: 1}


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(), GeneratorExit()])
def test_an_interrupt_in_a_block_frees_the_slot(half_open: Breaker, error: BaseException) -> None:
    # S38, S40
    with pytest.raises(type(error)), half_open.acquire():
        raise error
    assert half_open.snapshot().half_open_in_flight == 0
    assert counts(half_open)["ignored"] == 2
    succeed(half_open)


@pytest.mark.parametrize("leaves", [None, Boom("leaves")])
@pytest.mark.parametrize("verdict", VERDICTS)
def test_a_verdict_inside_the_block_wins(make_breaker: Make, verdict: str, leaves: Boom | None) -> None:
    # S37
    breaker = make_breaker()

    def block() -> None:
        with breaker.acquire() as permit:
            getattr(permit, verdict)()
            if leaves is not None:
                raise leaves

    if leaves is None:
        block()
    else:
        with pytest.raises(Boom):
            block()
    assert counts(breaker) == {COUNT[verdict]: 1}


def test_a_rejected_acquire_never_enters_the_block(make_breaker: Make) -> None:
    # S37
    breaker = make_breaker(Policy(1))
    trip(breaker)
    entered = []
    with pytest.raises(BreakerOpenError), breaker.acquire():
        entered.append(True)
    assert entered == []
    assert counts(breaker) == {"failures": 1, "rejected": 1}


def test_return_and_break_out_of_a_block_are_successes(make_breaker: Make) -> None:
    # S38
    breaker = make_breaker()

    def leave() -> str:
        for _ in range(3):
            with breaker.acquire():
                break
        with breaker.acquire():
            return "value"

    assert leave() == "value"
    assert counts(breaker) == {"successes": 2}


def test_a_permit_taken_before_and_entered_later(half_open: Breaker) -> None:
    # S38
    permit = half_open.acquire()
    assert half_open.snapshot().half_open_in_flight == 1
    with permit:
        assert half_open.snapshot().half_open_in_flight == 1
    assert (half_open.snapshot().half_open_in_flight, half_open.snapshot().half_open_successes) == (0, 1)


def test_a_settled_permit_may_be_entered_and_changes_nothing(make_breaker: Make) -> None:
    # S37, S38
    breaker = make_breaker(Policy(1))
    permit = breaker.acquire()
    permit.ignore()
    with permit:
        pass
    with pytest.raises(Boom), permit:
        raise Boom
    assert (breaker.state, counts(breaker)) == (State.CLOSED, {"ignored": 1})


def test_blocks_of_one_breaker_nest(make_breaker: Make) -> None:
    breaker = make_breaker()
    with breaker.acquire():
        with breaker.acquire(), pytest.raises(Boom), breaker.acquire():
            raise Boom
        assert breaker.snapshot().consecutive_failures == 0
    assert counts(breaker) == {"successes": 2, "failures": 1}


# Dropped


def test_a_dropped_permit_is_ignored_and_its_slot_comes_back(half_open: Breaker) -> None:
    # S39
    permits = [half_open.acquire()]
    rejected(half_open)
    permits.clear()
    assert half_open.snapshot().half_open_in_flight == 0
    assert counts(half_open)["ignored"] == 2
    assert half_open.state is State.HALF_OPEN
    succeed(half_open)


def test_a_permit_lost_in_a_reference_cycle_comes_back_with_the_collector(half_open: Breaker) -> None:
    # S39
    cycle: list[Any] = [half_open.acquire()]
    cycle.append(cycle)
    del cycle
    assert half_open.snapshot().half_open_in_flight == 1
    gc.collect()
    assert half_open.snapshot().half_open_in_flight == 0


def test_a_permit_that_outlives_its_variable_in_a_frame_comes_back(half_open: Breaker) -> None:
    # S39: abandoned by an exception before any verdict
    def forget() -> None:
        permit = half_open.acquire()
        assert permit
        raise Boom

    with pytest.raises(Boom) as caught:
        forget()
    assert half_open.snapshot().half_open_in_flight == 1
    del caught
    gc.collect()
    assert half_open.snapshot().half_open_in_flight == 0


def test_permits_in_many_cycles_all_come_back(make_breaker: Make) -> None:
    # S39: whatever the collector clears first; and each permit of the same memory anew
    breaker = make_breaker()
    for _ in range(3):
        for _ in range(100):
            before: list[Any] = [breaker.acquire()]
            after: list[Any] = []
            after += [before, breaker.acquire(), after]
            before.append(after)
        del before, after
        gc.collect()
    assert counts(breaker) == {"ignored": 600}


def test_a_permit_dropped_while_an_error_passes_does_not_disturb_it(
    provider_of: Callable[..., Any], clock: ManualClock, source: MemorySource, put: Put, events: list[Any]
) -> None:
    # S39: its end closes the breaker and runs the listeners, all while the interpreter holds an exception
    breaker = drive_to(provider_of(THREE_PROBES, policy_source=source).get_breaker(NAME), clock, State.HALF_OPEN)
    succeed(breaker)
    held = [breaker.acquire()]
    put(successThreshold=1)
    assert breaker.state is State.HALF_OPEN
    with pytest.raises(TypeError, match="len"):
        len(held.pop(), "one too many")  # type: ignore[call-arg, arg-type]
    assert breaker.state is State.CLOSED
    assert transitions(events)[-1] == (State.HALF_OPEN, State.CLOSED, "policy")


def test_a_permit_keeps_its_breaker_alive(provider_of: Callable[..., Any]) -> None:
    provider = provider_of(Policy(1))
    permit = provider.get_breaker(NAME).acquire()
    provider.close()
    permit.failure(Boom("still here"))
    assert rejected(provider.get_breaker(NAME)).last_error == "Boom: still here"


def test_a_rejection_takes_no_slot_to_drop(half_open: Breaker) -> None:
    probe = half_open.acquire()
    for _ in range(100):
        with pytest.raises(BreakerOpenError):
            half_open.acquire()
    gc.collect()
    assert half_open.snapshot().half_open_in_flight == 1
    probe.success()
    assert "late" not in counts(half_open)


# Other threads


@pytest.mark.parametrize("verdict", [*VERDICTS, "drop"])
def test_a_permit_may_be_settled_by_another_thread(half_open: Breaker, verdict: str) -> None:
    # S37
    box = [half_open.acquire()]
    before = counts(half_open)

    def finish() -> None:
        permit = box.pop()
        if verdict != "drop":
            getattr(permit, verdict)()

    thread = threading.Thread(target=finish)
    thread.start()
    thread.join()
    name = COUNT.get(verdict, "ignored")
    assert counts(half_open) == {**before, name: before.get(name, 0) + 1}
    assert half_open.snapshot().half_open_in_flight == 0


def test_a_permit_that_many_threads_settle_counts_once(make_breaker: Make) -> None:
    # S37
    breaker = make_breaker(Policy(1000))
    for _ in range(200):
        permit = breaker.acquire()
        barrier = threading.Barrier(3)

        def finish(verdict: str, permit: Permit = permit, barrier: threading.Barrier = barrier) -> None:
            barrier.wait()
            getattr(permit, verdict)()

        threads = [threading.Thread(target=finish, args=(verdict,)) for verdict in VERDICTS]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sum(counts(breaker).values()) == 200


def test_a_permit_cannot_be_copied(make_breaker: Make) -> None:
    # S154: a copy would settle a second time
    permit = make_breaker().acquire()
    for attempt in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError):
            attempt(permit)
    permit.success()


def test_a_permit_cannot_be_made_by_hand(make_breaker: Make) -> None:
    # it would be a slot that nobody gave
    breaker = make_breaker()
    for arguments in ((), (breaker,)):
        with pytest.raises(TypeError):
            Permit(*arguments)
    assert counts(breaker) == {}


def test_a_failure_is_reported_with_an_exception_or_nothing(make_breaker: Make) -> None:
    # S46
    breaker = make_breaker(Policy())
    permit = breaker.acquire()
    with pytest.raises(TypeError, match=r"failure\(\) takes the exception or nothing, got str"):
        permit.failure("it broke")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert counts(breaker) == {}
    permit.failure(Boom())
    assert counts(breaker) == {"failures": 1}
