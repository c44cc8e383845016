"""Results of calls that began in an earlier state: delivered, counted as late, without effect."""

from typing import Any

import pytest

from breaker import Policy, State
from breaker.events import CallFailed
from breaker.testing import ManualClock
from support.drive import NAME, Boom, Make, cool, drive_to, fail, raiser, rejected, succeed, trip
from support.reading import counts, of_type, standing, transitions

VERDICTS = ["success", "failure", "ignore"]


def test_the_value_of_a_late_call_is_delivered_and_is_no_probe_success(make_breaker: Make, clock: ManualClock) -> None:
    # S60
    breaker = make_breaker(Policy(2, 1, 60))
    during: list[tuple[State, int, int, int, int]] = []

    def slow() -> str:
        trip(breaker)
        cool(breaker, clock)
        probes.append(breaker.acquire())
        during.append(standing(breaker))
        return "late, but here"

    probes: list[Any] = []
    assert breaker.do(slow) == "late, but here"
    assert standing(breaker) == during[0]
    assert standing(breaker)[0] is State.HALF_OPEN
    assert breaker.snapshot().half_open_successes == 0
    assert counts(breaker) == {"failures": 2, "late": 1}
    probes[0].success()
    assert breaker.state is State.CLOSED


def test_the_error_of_a_late_call_is_delivered_and_does_not_reopen(
    make_breaker: Make, clock: ManualClock, events: list[Any]
) -> None:
    # S60: the same for a failure
    breaker = make_breaker(Policy(2, 2, 60))
    error = Boom("late")

    def slow() -> None:
        trip(breaker)
        cool(breaker, clock)
        succeed(breaker)
        raise error

    with pytest.raises(Boom) as caught:
        breaker.do(slow)
    assert caught.value is error
    assert standing(breaker)[0] is State.HALF_OPEN
    assert breaker.snapshot().half_open_successes == 1
    assert of_type(events, CallFailed)[-1] == CallFailed(NAME, "Boom: late")
    assert counts(breaker) == {"successes": 1, "failures": 2, "late": 1}


@pytest.mark.parametrize("verdict", VERDICTS)
def test_a_probe_of_the_first_visit_has_no_vote_in_the_second(
    make_breaker: Make, clock: ManualClock, verdict: str
) -> None:
    # S60
    breaker = make_breaker(Policy(1, 2, 60, half_open_max_calls=2))
    trip(breaker)
    cool(breaker, clock)
    old = breaker.acquire()
    fail(breaker)
    cool(breaker, clock)
    new = breaker.acquire()
    before = standing(breaker)
    getattr(old, verdict)()
    assert standing(breaker) == before
    assert before[3:] == (0, 1)
    assert counts(breaker) == {"failures": 2, "late": 1}
    new.success()
    assert breaker.snapshot().half_open_successes == 1


@pytest.mark.parametrize("verdict", [*VERDICTS, "drop"])
def test_the_end_of_an_old_call_makes_no_slot(make_breaker: Make, clock: ManualClock, verdict: str) -> None:
    # S61
    breaker = make_breaker(Policy(1, 1, 60))
    old = [breaker.acquire()]
    drive_to(breaker, clock, State.OPEN)
    cool(breaker, clock)
    probe = breaker.acquire()
    if verdict == "drop":
        old.clear()
    else:
        getattr(old[0], verdict)()
    assert counts(breaker) == {"failures": 1, "late": 1}
    rejected(breaker, 2)
    assert breaker.snapshot().half_open_in_flight == 1
    probe.success()
    assert breaker.state is State.CLOSED


def test_of_a_burst_of_a_hundred_failures_five_count(make_breaker: Make, events: list[Any]) -> None:
    # S60
    breaker = make_breaker(Policy(5, 1, 60))
    for permit in [breaker.acquire() for _ in range(100)]:
        permit.failure()
    assert transitions(events) == [(State.CLOSED, State.OPEN, "tripped")]
    assert counts(breaker) == {"failures": 5, "late": 95}


def test_of_a_hundred_nested_calls_the_inner_five_count(make_breaker: Make) -> None:
    # S60: through `do`: each call is in flight while the next one runs
    breaker = make_breaker(Policy(5, 1, 60))
    error = Boom()

    def nest(depth: int) -> None:
        if depth:
            breaker.do(nest, depth - 1)
        raise error

    with pytest.raises(Boom) as caught:
        breaker.do(nest, 99)
    assert caught.value is error
    assert counts(breaker) == {"failures": 5, "late": 95}


@pytest.mark.parametrize("verdict", VERDICTS)
def test_a_call_from_before_a_recovery_has_no_part_in_the_new_streak(
    make_breaker: Make, clock: ManualClock, verdict: str
) -> None:
    # S60: the state is CLOSED again, the epoch is another
    breaker = make_breaker(Policy(3, 1, 60))
    old = breaker.acquire()
    drive_to(breaker, clock, State.HALF_OPEN)
    drive_to(breaker, clock, State.CLOSED)
    fail(breaker, 2)
    getattr(old, verdict)()
    assert standing(breaker)[::2] == (State.CLOSED, 2, 0)
    assert counts(breaker)["late"] == 1
    fail(breaker)
    assert breaker.state is State.OPEN


@pytest.mark.parametrize("verdict", VERDICTS)
@pytest.mark.parametrize("state", list(State))
def test_calls_in_flight_at_a_reset_do_not_count(
    make_breaker: Make, clock: ManualClock, state: State, verdict: str
) -> None:
    # S60, S99: also in CLOSED, where the state does not change
    breaker = make_breaker(Policy(2, 2, 60, half_open_max_calls=2))
    old = [breaker.acquire()]
    drive_to(breaker, clock, state)
    if state is State.HALF_OPEN:
        old.append(breaker.acquire())
    before = counts(breaker)
    breaker.reset()
    fail(breaker)
    for permit in old:
        getattr(permit, verdict)()
    assert standing(breaker)[::2] == (State.CLOSED, 1, 0)
    assert counts(breaker) == {**before, "failures": before.get("failures", 0) + 1, "late": len(old)}


def test_a_success_in_closed_with_failures_on_record_is_late_after_a_reset(make_breaker: Make) -> None:
    # S60, S99: the success path that needs no lock must not miss the epoch
    breaker = make_breaker(Policy(3))

    def slow() -> None:
        fail(breaker, 2)
        breaker.reset()
        fail(breaker)

    breaker.do(slow)
    assert breaker.snapshot().consecutive_failures == 1
    assert counts(breaker) == {"failures": 3, "late": 1}


def test_a_success_whose_circuit_tripped_and_closed_meanwhile_is_late(make_breaker: Make, clock: ManualClock) -> None:
    # S60: state and streak look at the end as they did at the beginning; only the epoch differs
    breaker = make_breaker(Policy(1, 1, 60))

    def slow() -> None:
        drive_to(breaker, clock, State.HALF_OPEN)
        drive_to(breaker, clock, State.CLOSED)

    breaker.do(slow)
    assert counts(breaker) == {"successes": 1, "failures": 1, "ignored": 1, "late": 1}


def test_a_late_failure_is_not_the_reason_of_the_opening(make_breaker: Make) -> None:
    # S60
    breaker = make_breaker(Policy(1))
    old = breaker.acquire()
    fail(breaker, error=Boom("the reason"))
    old.failure(Boom("too late"))
    assert rejected(breaker).last_error == "Boom: the reason"


def test_late_results_of_each_state_change_are_all_late(make_breaker: Make, clock: ManualClock) -> None:
    # S60
    breaker = make_breaker(Policy(1, 1, 60))
    old = [breaker.acquire()]
    for _ in range(10):
        trip(breaker)
        cool(breaker, clock)
        succeed(breaker)
        old.append(breaker.acquire())
    old.pop().success()
    for permit in old:
        permit.failure()
    assert breaker.state is State.CLOSED
    assert counts(breaker) == {"successes": 11, "failures": 10, "late": 10}


def test_a_late_base_exception_passes_through(make_breaker: Make) -> None:
    # S60
    breaker = make_breaker(Policy(1))
    interrupt = KeyboardInterrupt()

    def slow() -> None:
        trip(breaker)
        raiser(interrupt)()

    with pytest.raises(KeyboardInterrupt) as caught:
        breaker.do(slow)
    assert caught.value is interrupt
    assert counts(breaker) == {"failures": 1, "late": 1}
