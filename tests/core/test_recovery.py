"""Whole outages by a manual clock: how soon a breaker closes again, and how many calls a sick dependency holds."""

import heapq
from collections.abc import Callable, Generator

import pytest

from breaker import Breaker, BreakerOpenError, Permit, Policy, State
from breaker.testing import ManualClock
from support.drive import Make, cool, cooled, fail, trip


class Load:
    """Calls that come at a fixed rate and take their time; ``ends`` is how each one ends."""

    def __init__(self, breaker: Breaker, clock: ManualClock, every: float, takes: float, ends: str = "success") -> None:
        self.breaker, self.clock, self.every, self.takes, self.ends = breaker, clock, every, takes, ends
        self.flying: list[tuple[float, int, Permit]] = []
        self.admitted = self.most = 0

    def run(self, seconds: float, until: Callable[[], bool] = lambda: False) -> float:
        """Returns after how long ``until`` was true."""
        passed = 0.0
        while passed < seconds and not until():
            while self.flying and self.flying[0][0] <= self.clock():
                getattr(heapq.heappop(self.flying)[2], self.ends)()
            try:
                permit = self.breaker.acquire()
            except BreakerOpenError:
                pass
            else:
                self.admitted += 1
                heapq.heappush(self.flying, (self.clock() + self.takes * 1e9, self.admitted, permit))
                self.most = max(self.most, len(self.flying))
            self.clock.advance(self.every)
            passed += self.every
        return passed


@pytest.mark.parametrize(("lease", "takes"), [(1, 1.5), (1, 5), (0.25, 20), (10, 10.5)])
def test_a_healthy_dependency_that_is_slower_than_the_lease_closes_the_breaker_under_load(
    make_breaker: Make, clock: ManualClock, lease: float, takes: float
) -> None:
    # S65, S67, S68
    breaker = cooled(make_breaker, clock, Policy(1, 2, 30, probe_timeout=lease))
    load = Load(breaker, clock, 0.125, takes)
    passed = load.run(300, lambda: breaker.state is State.CLOSED)
    assert breaker.state is State.CLOSED
    assert passed <= 3 * takes + lease + 1


def test_a_black_hole_with_time_outs_of_half_a_minute_behind_an_open_timeout_of_a_second_holds_few_calls(
    make_breaker: Make, clock: ManualClock
) -> None:
    # S68: leases of 1, 2, 4, 8 and 16 s; after 30 s the first time-out reopens
    breaker = cooled(make_breaker, clock, Policy(1, 2, 1))
    load = Load(breaker, clock, 0.125, 30, "failure")
    load.run(600)
    assert load.most <= 6
    assert load.admitted <= 6 * 600 / 30 + 6


def test_probes_that_are_abandoned_hold_few_calls(make_breaker: Make, clock: ManualClock) -> None:
    # S66, S68: nobody ever settles them, for an hour
    breaker = cooled(make_breaker, clock, Policy(1, 2, 1))
    load = Load(breaker, clock, 0.5, 1e6)
    load.run(3600)
    assert load.admitted <= 6 + 60


@pytest.mark.parametrize("how", ["cancelled", "dropped"])
def test_probes_that_end_without_a_verdict_do_not_let_all_traffic_pass(
    make_breaker: Make, clock: ManualClock, how: str
) -> None:
    # S57
    breaker = cooled(make_breaker, clock, Policy(1, 2, 10))
    admitted = 0
    for _ in range(6000):
        clock.advance(0.1)
        try:
            permit = breaker.acquire()
        except BreakerOpenError:
            continue
        admitted += 1
        if how == "cancelled":
            permit.ignore()
        del permit
    assert admitted <= 11 * 61
    seen = breaker.snapshot()
    assert seen.last_error == "inconclusive: no probe of the visit succeeded or failed"
    assert seen.probes == {"success": 0, "failure": 0, "ignored": admitted, "late": 0}


def test_partly_read_healthy_streams_close_it(make_breaker: Make, clock: ManualClock) -> None:
    # S34, S50
    breaker = cooled(make_breaker, clock, Policy(1, 100, 60))

    @breaker
    def rows() -> Generator[int, None, None]:
        yield from range(1000)

    for number in range(100):
        stream = rows()
        assert next(stream) == 0
        if number % 2:
            stream.close()
        del stream
    assert breaker.state is State.CLOSED
    assert breaker.snapshot().ignored == 0


def recovery(make_breaker: Make, clock: ManualClock, name: str, obedient: bool) -> float:
    """How long it takes until closed, counted from the end of the outage, which comes while a probe hangs."""
    breaker = make_breaker(Policy(1, 2, 60), name=name)
    trip(breaker)
    cool(breaker, clock)
    hung = breaker.acquire()
    clock.advance(1)
    waited = 1.0
    while breaker.state is not State.CLOSED:
        try:
            probe = breaker.acquire()
        except BreakerOpenError as error:
            step = error.retry_after if obedient else 1.0
            clock.advance(step)
            waited += step
            if waited >= 62:
                hung.ignore()
        else:
            clock.advance(0.5)
            waited += 0.5
            probe.success()
        assert waited < 1000
    return waited


def test_callers_that_obey_retry_after_recover_about_as_fast_as_callers_that_ask_each_second(
    make_breaker: Make, clock: ManualClock
) -> None:
    # S77
    obedient = recovery(make_breaker, clock, "http:obedient", True)
    impatient = recovery(make_breaker, clock, "http:impatient", False)
    assert obedient <= impatient + 1


def test_a_flapping_dependency_is_asked_less_and_less(make_breaker: Make, clock: ManualClock) -> None:
    # S78: healthy for a moment at each probe, and sick again under load; the span is bounded by default
    breaker = make_breaker(Policy(1, 1, 1, open_timeout_multiplier=2.0))
    spans = []
    for _ in range(14):
        trip(breaker)
        spans.append(breaker.retry_after)
        cool(breaker, clock)
        breaker.acquire().success()
        clock.advance(0.5)
    assert spans == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600, 600, 600]
    clock.advance(600)
    fail(breaker)
    assert breaker.retry_after == 1
