"""Threads: exact totals, one opening, one probe, chains of events."""

import random
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from breaker import Breaker, BreakerOpenError, Policy, Provider, State
from breaker.events import CallFailed, StateChanged
from breaker.sources import MemorySource
from breaker.testing import ManualClock
from support.drive import NAME, Boom, Make, cool, drive_to, raiser, rejected, succeed, trip
from support.reading import OPENED, assert_chain, counts, of_type, transitions
from support.threads import Crowd, together


def attempt(breaker: Breaker, fn: Callable[[], Any]) -> str:
    """One call that may end in any way: its outcome."""
    try:
        breaker.do(fn)
    except BreakerOpenError:
        return "rejected"
    except Boom:
        return "failures"
    return "successes"


def test_ten_threads_of_ten_thousand_successes_count_exactly(make_breaker: Make) -> None:
    # S3
    breaker = make_breaker(Policy())

    def work(_: int) -> None:
        for _ in range(10_000):
            breaker.do(int)

    together(10, work)
    assert counts(breaker) == {"successes": 100_000}
    assert breaker.snapshot().consecutive_failures == 0


def test_every_outcome_of_many_threads_is_counted(make_breaker: Make, events: list[Any]) -> None:
    # S1, S3: what the callers saw is what the breaker counted
    breaker = make_breaker(Policy(2**31 - 1))
    seen: list[dict[str, int]] = []

    def work(number: int) -> None:
        mine = {"successes": 0, "failures": 0, "ignored": 0}
        for turn in range(3000):
            if (turn + number) % 3 == 0:
                breaker.acquire().ignore()
                mine["ignored"] += 1
            else:
                mine[attempt(breaker, raiser(Boom()) if turn % 2 else int)] += 1
        seen.append(mine)

    together(8, work)
    assert counts(breaker) == {name: sum(mine[name] for mine in seen) for name in seen[0]}
    assert len(events) == 1 + counts(breaker)["failures"]


def test_failures_of_many_threads_are_one_exact_streak(make_breaker: Make) -> None:
    # S13
    breaker = make_breaker(Policy(20_001))

    def work(_: int) -> None:
        for _ in range(2000):
            attempt(breaker, raiser(Boom()))

    together(10, work)
    assert (breaker.state, breaker.snapshot().consecutive_failures) == (State.CLOSED, 20_000)
    attempt(breaker, raiser(Boom()))
    assert breaker.state is State.OPEN


def test_a_manual_clock_moved_by_many_threads_loses_no_step(clock: ManualClock) -> None:
    # the tests below rest on it: a lost step would be a clock that goes back
    def work(_: int) -> None:
        for _ in range(20_000):
            clock.advance(1)

    together(8, work)
    assert clock() == 160_000 * 1_000_000_000


def test_a_hundred_threads_get_one_breaker(provider_of: Callable[..., Provider], events: list[Any]) -> None:
    # S140
    provider = provider_of(Policy())
    found: list[Breaker] = []
    together(100, lambda _: found.append(provider.get_breaker(NAME)))
    assert len(found) == 100
    assert set(map(id, found)) == {id(provider.breakers[NAME])}
    assert len(events) == 1, "created once"


def test_of_fifty_callers_after_cooling_one_probes(make_breaker: Make, clock: ManualClock) -> None:
    # S23
    breaker = make_breaker(Policy(1, 2, 60))
    trip(breaker)
    cool(breaker, clock)
    outcomes: list[str] = []
    running, all_refused = threading.Semaphore(0), threading.Event()

    def probe() -> None:
        running.release()
        assert all_refused.wait(20)

    def work(_: int) -> None:
        outcome = attempt(breaker, probe)
        outcomes.append(outcome)
        if outcomes.count("rejected") == 49:
            all_refused.set()

    together(50, work)
    assert sorted(outcomes) == ["rejected"] * 49 + ["successes"]
    assert running.acquire(blocking=False)
    assert not running.acquire(blocking=False)
    assert breaker.snapshot().half_open_successes == 1


def test_never_more_probes_at_once_than_the_cap(make_breaker: Make, clock: ManualClock) -> None:
    # S23
    breaker = make_breaker(Policy(1, 1000, 60, half_open_max_calls=3))
    drive_to(breaker, clock, State.HALF_OPEN)
    succeed(breaker)  # or the ignored ones would end the visit (S57)
    inside: list[int] = []
    most: list[int] = []

    def work(_: int) -> None:
        for _ in range(2000):
            with suppress(BreakerOpenError):
                permit = breaker.acquire()
                inside.append(1)
                most.append(len(inside))
                inside.pop()
                permit.ignore()

    together(8, work)
    assert 1 <= max(most) <= 3
    assert breaker.state is State.HALF_OPEN
    assert counts(breaker)["ignored"] == len(most) + 1
    assert breaker.snapshot().half_open_in_flight == 0


def test_a_burst_of_a_hundred_failing_threads_opens_once(make_breaker: Make, events: list[Any]) -> None:
    # S60
    breaker = make_breaker(Policy(5, 1, 60))
    barrier = threading.Barrier(100)

    def slow() -> None:
        barrier.wait(20)
        raise Boom

    together(100, lambda _: attempt(breaker, slow))
    assert transitions(events) == [OPENED]
    assert counts(breaker) == {"failures": 5, "late": 95}
    assert of_type(events, StateChanged)[0].consecutive_failures == 5


def test_openings_and_closings_alternate_under_random_results(
    make_breaker: Make, clock: ManualClock, events: list[Any]
) -> None:
    # S11
    breaker = make_breaker(Policy(2, 1, 1))

    def work(number: int) -> None:
        choice = random.Random(number)
        for _ in range(3000):
            attempt(breaker, raiser(Boom()) if choice.random() < 0.6 else int)
            if choice.random() < 0.2:
                clock.advance(1)

    together(8, work)
    is_open = 0
    for change in of_type(events, StateChanged):
        is_open += change.from_state is State.CLOSED
        is_open -= change.to_state is State.CLOSED
        assert is_open in {0, 1}
    assert_chain(events, breaker.state)
    assert len(transitions(events)) > 100


def test_every_observers_stream_is_a_chain_under_flapping(
    provider_of: Callable[..., Provider], clock: ManualClock
) -> None:
    # S80: eight threads, ten thousand turns
    provider = provider_of(Policy(1, 1, 1))
    streams: list[list[Any]] = [[] for _ in range(3)]
    for stream in streams:
        provider.subscribe(stream.append)
    breaker = provider.get_breaker(NAME)

    def work(_: int) -> None:
        for turn in range(1250):
            attempt(breaker, raiser(Boom()))
            clock.advance(1)
            attempt(breaker, int)
            if turn % 50 == 0:
                breaker.reset()

    together(8, work)
    succeed(drive_to(breaker, clock, State.CLOSED))
    # S184: a failed call tells each listener by itself, so those may come between others differently
    ordered = [[event for event in stream if not isinstance(event, CallFailed)] for stream in streams]
    assert ordered[0] == ordered[1] == ordered[2]
    told = [len(of_type(stream, CallFailed)) for stream in streams]
    seen = breaker.snapshot()
    assert told[0] == told[1] == told[2]
    assert seen.failures <= told[0] <= seen.failures + seen.late  # S87: late ones too
    assert_chain(streams[0], breaker.state)
    assert len(transitions(streams[0])) > 1000


def test_policies_and_overrides_may_change_under_load(provider_of: Callable[..., Provider], clock: ManualClock) -> None:
    # S1: however much moves, every admitted call ends in exactly one count
    source = MemorySource()
    breaker = provider_of(Policy(2, 2, 1), policy_source=source).get_breaker(NAME)
    ended: list[int] = []

    def work(number: int) -> None:
        choice, admitted = random.Random(number), 0
        for turn in range(1500):
            if number == 0 and turn % 10 == 0:
                source.put(NAME, f'{{"failureThreshold": {turn % 3 + 1}}}'.encode())
            elif number == 1 and turn % 10 == 0:
                choice.choice([breaker.disable, breaker.shadow, breaker.clear_override, breaker.reset])()
            admitted += attempt(breaker, raiser(Boom()) if choice.random() < 0.5 else int) != "rejected"
            clock.advance(0.1)
        ended.append(admitted)

    together(6, work)
    seen = breaker.snapshot()
    assert seen.successes + seen.failures + seen.ignored + seen.late == sum(ended)
    assert breaker.snapshot().half_open_in_flight == 0


def test_a_slow_listener_delays_nobody_but_the_call_that_delivers(
    make_breaker: Make, listeners: list[Any], events: list[Any]
) -> None:
    # S80
    entered, release = threading.Event(), threading.Event()

    def slow(event: Any) -> None:
        if isinstance(event, StateChanged) and event.to_state is State.OPEN:
            entered.set()
            assert release.wait(20)

    listeners.append(slow)
    breaker = make_breaker(Policy(1, 1, 60))
    crowd = Crowd()
    crowd.start(attempt, breaker, raiser(Boom()))
    assert entered.wait(20)
    # the first thread is inside its listener: this one transitions, is rejected, and is not kept waiting
    breaker.reset()
    succeed(breaker)
    breaker.force_open()
    rejected(breaker)
    assert (breaker.state, len(of_type(events, StateChanged))) == (State.CLOSED, 1)
    release.set()
    crowd.join()
    assert transitions(events) == [OPENED, (State.OPEN, State.CLOSED, "reset")]
    assert [type(event).__name__ for event in events[-2:]] == ["StateChanged", "ModeChanged"]


def test_listeners_are_called_one_at_a_time(make_breaker: Make, clock: ManualClock, listeners: list[Any]) -> None:
    # S80
    inside: list[int] = []
    overlaps: list[int] = []

    def listen(event: Any) -> None:
        if not isinstance(event, CallFailed):  # S184
            inside.append(1)
            overlaps.extend(len(inside) - 1 for _ in range(20))
            inside.pop()

    listeners.append(listen)
    breaker = make_breaker(Policy(1, 1, 1))

    def work(_: int) -> None:
        for _ in range(200):
            attempt(breaker, raiser(Boom()))
            clock.advance(1)
            attempt(breaker, int)

    together(8, work)
    assert set(overlaps) == {0}


def test_a_user_function_runs_without_any_lock(make_breaker: Make) -> None:
    # S36: two slow calls are inside at the same time
    breaker = make_breaker(Policy())
    both = threading.Barrier(2)
    together(2, lambda _: breaker.do(both.wait, 20))
    assert counts(breaker) == {"successes": 2}


def test_no_reader_sees_fields_of_two_policies(provider_of: Callable[..., Provider], source: MemorySource) -> None:
    # S110, S161: "a reader never sees fields of two policies": every field of each document is the same number
    breaker = provider_of(Policy(1, 1, 1), policy_source=source).get_breaker(NAME)
    torn: list[Policy] = []

    def work(number: int) -> None:
        for turn in range(2_000):
            if number < 2:
                n = turn % 50 + 1
                source.put(NAME, {"failureThreshold": n, "successThreshold": n, "openStateTimeout": f"{n}s"})
                continue
            read = (breaker.policy, breaker.snapshot().policy)
            torn.extend(p for p in read if not p.failure_threshold == p.success_threshold == p.open_state_timeout)

    together(8, work)
    assert torn == []
