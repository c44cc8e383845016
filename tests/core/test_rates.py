"""The failure rate: what enters the window, when it is judged, by calls and by time."""

import threading
from typing import Any

import pytest

from breaker import Breaker, BreakerOpenError, Mode, Policy, State, Window
from breaker.events import StateChanged, WouldHaveOpened
from breaker.sources import MemorySource
from breaker.testing import ManualClock
from support.drive import NAME, Boom, Make, Providers, cool, fail, ignored, rejected, succeed
from support.reading import of_type

LAST_20 = Window(calls=20)


def rate(threshold: float = 0.5, window: Window = LAST_20, minimum: int = 10, **fields: Any) -> Policy:
    """Opens by this rate alone."""
    given: dict[str, Any] = {"failure_threshold": None, "failure_rate_threshold": threshold, "window": window}
    given |= {"minimum_calls": minimum, "success_threshold": 1, "open_state_timeout": 5, **fields}
    return Policy(**given)


def seen(breaker: Breaker) -> tuple[int, int]:
    snapshot = breaker.snapshot()
    return snapshot.window_calls, snapshot.window_failures


def test_half_of_the_calls_fail(make_breaker: Make, events: list[Any]) -> None:
    # S204, S205, S219: the tenth call completes the minimum
    breaker = make_breaker(rate())
    succeed(breaker, 5)
    fail(breaker, 4)
    assert (breaker.state, breaker.snapshot().failure_rate) == (State.CLOSED, None)
    error = fail(breaker)
    assert breaker.state is State.OPEN
    (opened,) = of_type(events, StateChanged)
    assert (opened.reason, opened.failure_rate, opened.slow_call_rate) == ("failure_rate", 0.5, None)
    assert (opened.window_calls, opened.consecutive_failures) == (10, 5)
    assert opened.last_error == f"Boom: {error}"
    assert rejected(breaker).last_error == f"Boom: {error}"


def test_a_success_that_completes_the_minimum_does_not_open(make_breaker: Make) -> None:
    # S204
    breaker = make_breaker(rate(0.5))
    fail(breaker, 9)
    succeed(breaker, 1)
    assert (breaker.state, breaker.snapshot().failure_rate) == (State.CLOSED, 0.9)
    succeed(breaker, 8)
    assert breaker.state is State.CLOSED
    fail(breaker)
    assert breaker.state is State.OPEN


def test_a_success_after_old_successes_have_aged_out_does_not_open(make_breaker: Make, clock: ManualClock) -> None:
    # S202, S204
    breaker = make_breaker(rate(0.5, Window(time=10), 5))
    succeed(breaker, 6)
    clock.advance(5)
    fail(breaker, 5)
    clock.advance(6)
    succeed(breaker)
    assert (breaker.state, seen(breaker)) == (State.CLOSED, (6, 5))
    fail(breaker)
    assert breaker.state is State.OPEN


@pytest.mark.parametrize(("threshold", "calls"), [(0.07, 100), (0.29, 100), (0.1, 30), (1 / 3, 3), (0.58, 100)])
def test_a_rate_is_reached_by_division(make_breaker: Make, threshold: float, calls: int) -> None:
    # S205: 0.07 * 100 is more than 7 in floating point, 7 / 100 is 0.07
    failures = round(threshold * calls)
    breaker = make_breaker(rate(threshold, Window(calls=calls), calls))
    succeed(breaker, calls - failures)
    fail(breaker, failures - 1)
    assert breaker.state is State.CLOSED
    fail(breaker)
    assert breaker.state is State.OPEN


def test_only_the_last_calls_count(make_breaker: Make) -> None:
    # S200, S201
    breaker = make_breaker(rate(0.5, Window(calls=10)))
    fail(breaker, 4)
    succeed(breaker, 6)
    for failures in (3, 2, 1, 0):
        succeed(breaker)
        assert seen(breaker) == (10, failures)
    fail(breaker, 4)
    assert breaker.state is State.CLOSED
    fail(breaker)
    assert breaker.state is State.OPEN


def test_a_call_counts_for_the_time_of_the_window(make_breaker: Make, clock: ManualClock) -> None:
    # S202: for at least 0.95 of it, and less than all
    breaker = make_breaker(rate(1.0, Window(time=20)))
    clock.advance(0.5)
    fail(breaker)
    clock.advance(19.0)
    assert seen(breaker) == (1, 1)
    clock.advance(0.499)
    assert seen(breaker) == (1, 1)
    clock.advance(0.001)
    assert seen(breaker) == (0, 0)


def test_what_is_ignored_late_or_a_probe_does_not_enter(make_breaker: Make, clock: ManualClock) -> None:
    # S203, S211
    breaker = make_breaker(rate(0.5, minimum=2))
    ignored(breaker, 3)
    assert seen(breaker) == (0, 0)
    late = breaker.acquire()
    fail(breaker, 2)
    assert (breaker.state, seen(breaker)) == (State.OPEN, (0, 0))
    late.failure()
    cool(breaker, clock)
    succeed(breaker)
    assert (breaker.state, seen(breaker)) == (State.CLOSED, (0, 0))
    succeed(breaker)
    assert seen(breaker) == (1, 0)


def test_what_ends_while_nothing_is_judged_does_not_enter(make_breaker: Make) -> None:
    # S203: nor is it taken over later
    breaker = make_breaker(rate())
    succeed(breaker, 3)
    breaker.disable()
    succeed(breaker, 4)
    fail(breaker, 4)
    assert seen(breaker) == (3, 0)
    breaker.clear_override()
    assert seen(breaker) == (3, 0)
    fail(breaker)
    assert seen(breaker) == (4, 1)


def test_reset_empties_the_window(make_breaker: Make) -> None:
    # S211
    breaker = make_breaker(rate())
    fail(breaker, 9)
    breaker.reset()
    assert seen(breaker) == (0, 0)
    fail(breaker, 9)
    assert breaker.state is State.CLOSED


def test_the_streak_is_named_before_the_rate(make_breaker: Make, events: list[Any]) -> None:
    # S205
    breaker = make_breaker(rate(0.5, minimum=3, failure_threshold=3))
    fail(breaker, 3)
    (opened,) = of_type(events, StateChanged)
    assert (opened.reason, opened.failure_rate, opened.window_calls) == ("tripped", None, 0)


def test_a_streak_goes_on_while_it_is_no_rule(provider_of: Providers, source: MemorySource) -> None:
    # S212, S218
    breaker = provider_of(Policy(), policy_source=source).get_breaker(NAME)
    source.put(NAME, {"failureThreshold": None, "failureRateThreshold": 1.0})
    fail(breaker, 8)
    assert (breaker.snapshot().consecutive_failures, breaker.state) == (8, State.CLOSED)
    source.put(NAME, {"failureThreshold": 9})
    assert breaker.state is State.CLOSED
    fail(breaker)
    assert breaker.state is State.OPEN


def test_shadow_tells_once_which_rule_held(make_breaker: Make, events: list[Any]) -> None:
    # S216
    breaker = make_breaker(rate(0.5, Window(calls=10), mode=Mode.SHADOW))
    fail(breaker, 12)
    (told,) = of_type(events, WouldHaveOpened)
    assert (told.reason, told.failure_rate, told.window_calls, told.consecutive_failures) == ("failure_rate", 1, 10, 10)
    succeed(breaker, 5)
    fail(breaker)
    assert len(of_type(events, WouldHaveOpened)) == 1, "the rate still holds"
    succeed(breaker, 10)
    fail(breaker, 5)
    assert len(of_type(events, WouldHaveOpened)) == 2


def test_reading_judges_nothing(make_breaker: Make, clock: ManualClock, events: list[Any]) -> None:
    # S160, S219
    breaker = make_breaker(rate(0.5, Window(time=10), 1))
    breaker.override(Mode.DISABLED)
    fail(breaker, 5)
    breaker.clear_override()
    before = len(events)
    for _ in range(30):
        clock.advance(0.7)
        breaker.snapshot()
    assert (breaker.state, len(events)) == (State.CLOSED, before)


@pytest.mark.parametrize(
    "window",
    [Window(calls=10**6), Window(calls=5000), Window(calls=64), Window(time=3600), Window(time=86400)],
    ids=repr,
)
def test_no_call_of_many_threads_is_missing(provider_of: Providers, window: Window) -> None:
    # S200: with the system's clock
    policy = Policy(None, failure_rate_threshold=1.0, window=window, minimum_calls=64)
    breaker = provider_of(policy, clock=None).get_breaker(NAME)

    def work(number: int) -> None:
        for turn in range(2000):
            if turn % 10 == number:
                with pytest.raises(Boom):
                    breaker.do(fails)
            else:
                breaker.do(int)

    def fails() -> None:
        raise Boom

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    snapshot = breaker.snapshot()
    assert (snapshot.successes, snapshot.failures) == (7200, 800)
    held = window.calls is None or window.calls >= 8000
    assert snapshot.window_calls == (8000 if held else window.calls)
    assert snapshot.window_failures == 800 or not held


def test_exactly_one_opening_at_exactly_the_failure_that_reaches_the_rate(
    provider_of: Providers, events: list[Any]
) -> None:
    # S205, with threads
    for _ in range(20):
        events.clear()
        breaker = provider_of(rate(0.5, Window(calls=1000), 100), clock=None).get_breaker(NAME)
        succeed(breaker, 50)
        permits = [breaker.acquire() for _ in range(80)]
        threads = [threading.Thread(target=permit.failure) for permit in permits]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        (opened,) = of_type(events, StateChanged)
        assert (opened.failure_rate, opened.window_calls) == (0.5, 100)
        assert breaker.snapshot().late == 30
        with pytest.raises(BreakerOpenError):
            breaker.do(int)
