"""Another policy while the window holds calls: what stays, what goes, and that nothing opens by it."""

import threading
import time
from typing import Any

import pytest

from breaker import Breaker, Policy, State, Window
from breaker.events import StateChanged
from breaker.sources import MemorySource
from breaker.testing import ManualClock
from support.drive import NAME, Providers, fail, succeed
from support.reading import of_type

DEFAULT = Policy(None, failure_rate_threshold=1.0, window=Window(calls=20), minimum_calls=10)


@pytest.fixture
def breaker(provider_of: Providers, source: MemorySource, events: list[Any]) -> Breaker:
    return provider_of(DEFAULT, policy_source=source).get_breaker(NAME)


def seen(breaker: Breaker) -> tuple[int, int]:
    snapshot = breaker.snapshot()
    return snapshot.window_calls, snapshot.window_failures


@pytest.mark.parametrize("fields", [{"failureRateThreshold": 0.2}, {"minimumCalls": 5}], ids=str)
def test_lowered_below_the_rate_of_now_the_next_failure_opens(
    breaker: Breaker, source: MemorySource, fields: dict[str, Any], events: list[Any]
) -> None:
    # S212
    source.put(NAME, {"failureRateThreshold": 0.5, "minimumCalls": 20})
    succeed(breaker, 3)
    fail(breaker, 6)
    source.put(NAME, {"failureRateThreshold": 0.5} | fields)
    succeed(breaker)
    assert breaker.state is State.CLOSED
    fail(breaker)
    assert of_type(events, StateChanged)[-1].reason == "failure_rate"


def test_raised_the_next_failure_is_judged_by_it(breaker: Breaker, source: MemorySource) -> None:
    # S212
    source.put(NAME, {"failureRateThreshold": 0.5})
    succeed(breaker, 5)
    fail(breaker, 4)
    source.put(NAME, {"failureRateThreshold": 0.6})
    fail(breaker)
    assert breaker.state is State.CLOSED


def test_a_smaller_window_keeps_the_youngest_and_a_larger_one_brings_nothing_back(
    breaker: Breaker, source: MemorySource
) -> None:
    # S213
    fail(breaker, 4)
    succeed(breaker, 4)
    fail(breaker, 1)
    succeed(breaker, 3)
    source.put(NAME, {"window": {"calls": 10}})
    assert seen(breaker) == (10, 3)
    source.put(NAME, {"window": {"calls": 30}})
    assert seen(breaker) == (10, 3)
    succeed(breaker, 25)
    assert seen(breaker) == (30, 1)
    succeed(breaker, 5)
    assert seen(breaker) == (30, 0)


def test_a_shorter_time_keeps_what_is_younger(breaker: Breaker, source: MemorySource, clock: ManualClock) -> None:
    # S213: each call is as old as the beginning of its slice
    source.put(NAME, {"window": {"time": "60s"}})
    fail(breaker)
    clock.advance(30)
    fail(breaker)
    clock.advance(4)
    source.put(NAME, {"window": {"time": "20s"}})
    assert seen(breaker) == (1, 1)
    clock.advance(15)
    assert seen(breaker) == (1, 1)
    clock.advance(1)
    assert seen(breaker) == (0, 0)


@pytest.mark.parametrize(
    "between",
    [{"window": {"time": "60s"}}, {"failureRateThreshold": None, "failureThreshold": 50}],
    ids=["another kind", "no rate"],
)
def test_the_window_begins_empty(breaker: Breaker, source: MemorySource, between: dict[str, Any]) -> None:
    # S215
    fail(breaker, 5)
    source.put(NAME, between)
    assert seen(breaker) == (0, 0)
    fail(breaker, 2)
    source.delete(NAME)
    assert seen(breaker) == (0, 0)
    fail(breaker, 2)
    assert seen(breaker) == (2, 2)


def test_an_equal_window_keeps_everything(breaker: Breaker, source: MemorySource) -> None:
    # S110, S116
    fail(breaker, 5)
    source.put(NAME, {"successThreshold": 7, "window": {"calls": 20}})
    assert seen(breaker) == (5, 5)


def test_a_policy_without_a_rate_counts_nothing(breaker: Breaker, source: MemorySource) -> None:
    # S215, S219
    source.put(NAME, {"failureRateThreshold": None, "failureThreshold": 3})
    fail(breaker, 2)
    snapshot = breaker.snapshot()
    assert (snapshot.window_calls, snapshot.failure_rate, snapshot.slow_call_rate) == (0, None, None)
    fail(breaker)
    assert breaker.state is State.OPEN


@pytest.mark.parametrize(
    "slow",
    [
        [{}],
        [{"slowCallRateThreshold": 1.0, "slowCallDuration": "300ms"}],
        [{}] + [{"slowCallRateThreshold": 1.0, "slowCallDuration": lasts} for lasts in ("20ms", "1h", "300ms")],
    ],
    ids=["failures", "slow calls", "slow calls by turns"],
)
def test_windows_that_change_kind_and_size_under_threads_lose_nothing(
    provider_of: Providers, source: MemorySource, slow: list[dict[str, Any]]
) -> None:
    # S110, S213, S214: totals are exact, the last window holds what came since, and nobody stays in flight
    breaker = provider_of(DEFAULT, policy_source=source, clock=None).get_breaker(NAME)
    windows = [{"calls": 10_000}, {"time": "1h"}, {"calls": 100}, {"time": "10s"}, {"calls": 1_000_000}]
    stop = threading.Event()

    def call() -> None:
        for turn in range(4000):
            fail(breaker) if turn % 100 == 99 else breaker.do(int)

    def change() -> None:
        while not stop.is_set():
            for window, rule in zip(windows * len(slow), slow * len(windows), strict=True):
                source.put(NAME, {"window": window, "minimumCalls": 100, **rule})

    changer = threading.Thread(target=change)
    callers = [threading.Thread(target=call) for _ in range(4)]
    for thread in (changer, *callers):
        thread.start()
    for thread in callers:
        thread.join()
    stop.set()
    changer.join()
    snapshot = breaker.snapshot()
    assert (snapshot.successes, snapshot.failures) == (15_840, 160)
    before = snapshot.window_calls
    succeed(breaker, 10)
    assert breaker.snapshot().window_calls == before + 10
    time.sleep(0.4 if slow[-1] else 0)
    assert breaker.snapshot().slow_calls_in_flight == 0
