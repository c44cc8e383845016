"""The CLOSED state: the streak of failures and the rule that trips it."""

from typing import Any

import pytest

from breaker import BreakerOpenError, Mode, Policy, State
from breaker.events import BreakerCreated
from breaker.testing import ManualClock
from support.drive import NAME, Boom, Make, drive_to, fail, ignored, raiser, rejected, succeed
from support.reading import counts, transitions


def streak(breaker: Any) -> int:
    seen: int = breaker.snapshot().consecutive_failures
    return seen


def test_a_fresh_breaker_is_closed_and_has_counted_nothing(make_breaker: Make, events: list[Any]) -> None:
    # S10, S88
    breaker = make_breaker(Policy())
    snapshot = breaker.snapshot()
    assert (breaker.name, breaker.state, breaker.mode) == (NAME, State.CLOSED, Mode.AUTO)
    assert counts(breaker) == {}
    assert (snapshot.consecutive_failures, snapshot.half_open_successes) == (0, 0)
    assert (snapshot.half_open_in_flight, snapshot.retry_after, breaker.retry_after) == (0, 0, 0)
    assert events == [BreakerCreated(NAME, Policy())]


def test_the_default_policy_is_five_failures_two_successes_sixty_seconds(make_breaker: Make) -> None:
    # S123
    for policy in (Policy(), make_breaker().policy):
        assert (policy.failure_threshold, policy.success_threshold) == (5, 2)
        assert (policy.open_state_timeout, policy.half_open_max_calls) == (60, 1)
        assert (policy.probe_timeout, policy.mode) == (None, Mode.AUTO)


def test_five_of_six_failures_then_a_success_then_six_more_open(make_breaker: Make) -> None:
    # S12, S13, S14
    breaker = make_breaker(Policy(6, 1, 60))
    fail(breaker, 5)
    assert (breaker.state, streak(breaker)) == (State.CLOSED, 5)
    succeed(breaker)
    assert (breaker.state, streak(breaker)) == (State.CLOSED, 0)
    fail(breaker)
    assert streak(breaker) == 1
    fail(breaker, 4)
    assert (breaker.state, streak(breaker)) == (State.CLOSED, 5)
    fail(breaker)
    assert (breaker.state, streak(breaker)) == (State.OPEN, 0)
    assert breaker.snapshot().half_open_successes == breaker.snapshot().half_open_in_flight == 0


def test_a_success_between_failures_starts_the_streak_again(make_breaker: Make) -> None:
    # S13, S14
    breaker = make_breaker(Policy(3))
    fail(breaker)
    succeed(breaker)
    fail(breaker, 2)
    assert (breaker.state, streak(breaker)) == (State.CLOSED, 2)
    fail(breaker)
    assert breaker.state is State.OPEN


def test_a_threshold_of_one_opens_at_the_first_failure(make_breaker: Make) -> None:
    # S13
    breaker = make_breaker(Policy(1))
    succeed(breaker, 10)
    fail(breaker)
    assert breaker.state is State.OPEN


@pytest.mark.parametrize("threshold", [1, 2, 3, 5, 17, 1000])
def test_exactly_the_threshold_of_failures_opens(make_breaker: Make, threshold: int) -> None:
    # S13
    breaker = make_breaker(Policy(threshold))
    fail(breaker, threshold - 1)
    assert (breaker.state, streak(breaker)) == (State.CLOSED, threshold - 1)
    fail(breaker)
    assert (breaker.state, streak(breaker)) == (State.OPEN, 0)


def test_a_long_streak_counts_in_full_after_a_success(make_breaker: Make, clock: ManualClock) -> None:
    # S13, S14
    breaker = make_breaker(Policy(1000, 1))
    drive_to(breaker, clock, State.HALF_OPEN)
    succeed(breaker)
    fail(breaker, 100)
    succeed(breaker)
    fail(breaker, 999)
    assert (breaker.state, streak(breaker)) == (State.CLOSED, 999)
    fail(breaker)
    assert breaker.state is State.OPEN


def test_failure_success_failure_is_no_streak_of_two(make_breaker: Make) -> None:
    # S13, S14
    breaker = make_breaker(Policy(2), failure_on=Boom)
    fail(breaker)
    succeed(breaker)
    fail(breaker)
    assert (breaker.state, streak(breaker)) == (State.CLOSED, 1)


def test_no_interval_clears_the_streak(make_breaker: Make, clock: ManualClock) -> None:
    # S14: failures that come once a day are still in a row
    breaker = make_breaker(Policy(3))
    for _ in range(2):
        fail(breaker)
        clock.advance(86_400)
        assert breaker.state is State.CLOSED
    fail(breaker)
    assert breaker.state is State.OPEN


def test_an_ignored_call_neither_adds_nor_clears(make_breaker: Make) -> None:
    # S14
    breaker = make_breaker(Policy(3))
    fail(breaker, 2)
    ignored(breaker)
    assert (breaker.state, streak(breaker)) == (State.CLOSED, 2)
    fail(breaker)
    assert breaker.state is State.OPEN
    assert counts(breaker) == {"failures": 3, "ignored": 1}


def test_ignored_calls_alone_never_open(make_breaker: Make) -> None:
    # S14
    breaker = make_breaker(Policy(1))
    ignored(breaker, 100)
    assert (breaker.state, counts(breaker)) == (State.CLOSED, {"ignored": 100})


def test_the_tripping_call_gets_its_own_error_and_the_next_is_rejected(make_breaker: Make) -> None:
    # S15
    breaker = make_breaker(Policy(2))
    fail(breaker)
    tripping = Boom("the last straw")
    with pytest.raises(Boom) as caught:
        breaker.do(raiser(tripping))
    assert caught.value is tripping
    assert caught.value.__cause__ is caught.value.__context__ is None
    assert breaker.state is State.OPEN
    assert rejected(breaker).last_error == "Boom: the last straw"


def test_a_thousand_successes_tell_nobody(make_breaker: Make, events: list[Any]) -> None:
    # S14, S20, S87
    breaker = make_breaker(Policy())
    del events[:]
    succeed(breaker, 1000)
    assert events == []
    assert counts(breaker) == {"successes": 1000}


def test_a_retry_loop_around_stops_hitting_the_dependency(make_breaker: Make) -> None:
    # S2, S15: seven attempts, three of which run
    breaker = make_breaker(Policy(3))
    ran: list[int] = []

    def dependency(attempt: int) -> None:
        ran.append(attempt)
        raise Boom

    errors: list[Exception] = []
    for attempt in range(7):
        try:
            breaker.do(dependency, attempt)
        except Exception as error:  # this is what a retry does
            errors.append(error)
    assert ran == [0, 1, 2]
    assert [type(error) for error in errors] == [Boom] * 3 + [BreakerOpenError] * 4
    assert counts(breaker) == {"failures": 3, "rejected": 4}


def test_after_closing_the_streak_starts_at_nothing(make_breaker: Make, clock: ManualClock, events: list[Any]) -> None:
    # S3, S12, S13: eleven calls, nine of which run
    breaker = make_breaker(Policy(4, 1, 60))
    fail(breaker, 4)
    rejected(breaker)
    clock.advance(60)
    succeed(breaker)
    fail(breaker, 3)
    assert (breaker.state, streak(breaker)) == (State.CLOSED, 3)
    fail(breaker)
    assert breaker.state is State.OPEN
    rejected(breaker)
    assert counts(breaker) == {"successes": 1, "failures": 8, "rejected": 2}
    assert [to for _, to, _ in transitions(events)] == [
        State.OPEN,
        State.HALF_OPEN,
        State.CLOSED,
        State.OPEN,
    ]


def test_breakers_of_one_provider_do_not_share_a_streak(provider_of: Any) -> None:
    # S10
    provider = provider_of(Policy(2))
    first, second = provider.get_breaker("db:main"), provider.get_breaker("db:replica")
    fail(first)
    fail(second)
    assert (first.state, second.state) == (State.CLOSED, State.CLOSED)
    fail(first)
    assert (first.state, second.state) == (State.OPEN, State.CLOSED)
    succeed(second)


def test_a_call_in_flight_is_in_no_count_until_it_ends(make_breaker: Make) -> None:
    # S1
    breaker = make_breaker(Policy(1))
    permits = [breaker.acquire() for _ in range(3)]
    assert counts(breaker) == {}
    assert breaker.snapshot().half_open_in_flight == 0
    permits[0].success()
    permits[1].ignore()
    permits[2].failure()
    assert counts(breaker) == {"successes": 1, "failures": 1, "ignored": 1}
    assert breaker.state is State.OPEN
