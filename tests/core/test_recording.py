"""Calls that are kept for a recorder: all of them, as they were, and nothing else is different meanwhile."""

import asyncio
import json
import os
import random
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from breaker import Breaker, BreakerOpenError, Permit, Policy, Provider, State, Window
from breaker._core import record_calls, recorded_calls
from breaker.sources import MemorySource
from breaker.testing import ManualClock
from support.drive import NAME, Boom, HangUp, Make, Providers, cool, fail, ignored, rejected, succeed, trip
from support.processes import fork_and_check
from support.slow import slow_rule

SECOND = 1_000_000_000


def test_calls_are_kept_with_beginning_duration_and_outcome(make_breaker: Make, clock: ManualClock) -> None:
    # S225
    breaker = make_breaker(Policy(2, 1, 10))
    record_calls(breaker, 100)
    assert breaker.do(lambda: clock.advance(0.25)) is None
    for error in (HangUp(), Boom(), Boom()):
        with pytest.raises(type(error)):
            breaker.do(_lasting(clock, 0.5, error))
    rejected(breaker)
    cool(breaker, clock)
    succeed(breaker)
    assert recorded_calls(breaker) == (
        [
            (0, SECOND // 4, "success"),
            (SECOND // 4, SECOND // 2, "ignored"),
            (SECOND * 3 // 4, SECOND // 2, "failure"),
            (SECOND * 5 // 4, SECOND // 2, "failure"),
            (SECOND * 7 // 4, None, "rejected"),
            (SECOND * 47 // 4, 0, "success"),
        ],
        0,
    )
    assert recorded_calls(breaker) == ([], 0)


def _lasting(clock: ManualClock, seconds: float, error: BaseException) -> Callable[[], None]:
    def fn() -> None:
        clock.advance(seconds)
        raise error

    return fn


@pytest.mark.parametrize(
    "policy", [Policy(3), slow_rule(1.0), Policy(3, window=Window(time=10), failure_rate_threshold=1)]
)
@pytest.mark.parametrize("form", ["do", "decorated", "acquire", "with", "await", "future"])
def test_each_form_of_call_is_kept_once(make_breaker: Make, clock: ManualClock, policy: Policy, form: str) -> None:
    # S225
    breaker = make_breaker(policy)
    record_calls(breaker, 100)
    clock.advance(1)

    def plain() -> None:
        clock.advance(0.5)

    async def later() -> None:
        clock.advance(0.5)

    async def future() -> None:
        made = asyncio.get_running_loop().create_future()
        breaker.do(lambda: made)
        clock.advance(0.5)
        made.set_result(None)
        await asyncio.sleep(0)

    def permit() -> None:
        taken = breaker.acquire()
        plain()
        taken.success()

    def entered() -> None:
        with breaker.acquire():
            plain()

    forms: dict[str, Callable[[], Any]] = {
        "do": lambda: breaker.do(plain),
        "decorated": breaker(plain),
        "acquire": permit,
        "with": entered,
        "await": lambda: asyncio.run(breaker.do(later)),
        "future": lambda: asyncio.run(future()),
    }
    forms[form]()
    calls, lost = recorded_calls(breaker)
    assert (calls, lost) == ([(SECOND, SECOND // 2, "success")], 0)
    assert breaker.snapshot().successes == 1


def test_how_long_a_stream_takes_is_not_known(make_breaker: Make, clock: ManualClock) -> None:
    # S226
    breaker = make_breaker(Policy(3))
    record_calls(breaker, 100)

    def steps() -> Iterator[int]:
        yield 1

    async def asteps() -> AsyncIterator[int]:
        yield 1

    async def main() -> None:
        async for _ in breaker.do(asteps):
            clock.advance(1)

    for _ in breaker.do(steps):
        clock.advance(1)
    asyncio.run(main())
    assert recorded_calls(breaker) == ([(SECOND, None, "success"), (2 * SECOND, None, "success")], 0)


def test_a_call_that_began_before_the_recorder_has_an_end_alone(make_breaker: Make, clock: ManualClock) -> None:
    # S226
    breaker = make_breaker(Policy(3))
    before = breaker.acquire()
    clock.advance(1)
    record_calls(breaker, 100)
    clock.advance(1)
    before.failure()
    assert recorded_calls(breaker) == ([(2 * SECOND, None, "failure")], 0)


def test_late_results_and_calls_of_every_mode_are_kept(make_breaker: Make, clock: ManualClock) -> None:
    # S225
    breaker = make_breaker(Policy(2, 1, 10))
    record_calls(breaker, 100)
    late = breaker.acquire()
    trip(breaker)
    clock.advance(3)
    late.success()
    breaker.force_open()
    rejected(breaker)
    breaker.disable()
    succeed(breaker)
    breaker.shadow()
    fail(breaker, 3)
    calls, _ = recorded_calls(breaker)
    outcomes = ["failure"] * 2 + ["success", "rejected", "success"] + ["failure"] * 3
    assert [outcome for _, _, outcome in calls] == outcomes
    assert calls[2] == (0, 3 * SECOND, "success")


def test_what_there_is_no_room_for_is_counted(make_breaker: Make) -> None:
    # S225
    breaker = make_breaker(Policy(3))
    record_calls(breaker, 5)
    succeed(breaker, 8)
    calls, lost = recorded_calls(breaker)
    assert (len(calls), lost) == (5, 3)
    succeed(breaker, 2)
    calls, lost = recorded_calls(breaker)
    assert (len(calls), lost) == (2, 0)


def test_a_share_of_the_calls_is_kept_by_chance(make_breaker: Make) -> None:
    # S225: of 20,000 calls a tenth, give or take 6 standard deviations of 42
    breaker = make_breaker(Policy(3))
    record_calls(breaker, 20_000, 0.1)
    for _ in range(20_000):
        breaker.do(int)
    calls, lost = recorded_calls(breaker)
    assert lost == 0
    assert abs(len(calls) - 2000) < 6 * 42.5


def test_after_the_end_nothing_is_kept_and_calls_take_no_lock(make_breaker: Make) -> None:
    breaker = make_breaker(Policy(3))
    record_calls(breaker, 100)
    succeed(breaker)
    record_calls(breaker, 0)
    succeed(breaker, 3)
    assert recorded_calls(breaker) == ([], 0)
    assert breaker.snapshot().successes == 4


def test_a_breaker_that_nobody_recorded_has_no_calls(make_breaker: Make) -> None:
    breaker = make_breaker(Policy(3))
    record_calls(breaker, 0)
    assert recorded_calls(breaker) == ([], 0)


def test_no_memory_for_so_many_calls_changes_nothing(make_breaker: Make) -> None:
    breaker = make_breaker(Policy(3))
    with pytest.raises(MemoryError, match="record"):
        record_calls(breaker, 2**50)
    succeed(breaker)
    assert recorded_calls(breaker) == ([], 0)


def test_a_clock_that_fails_leaves_the_outcome(provider_of: Providers) -> None:
    # S226
    broken = False

    def clock() -> int:
        if broken:
            raise Boom("clock")
        return SECOND

    breaker = provider_of(Policy(3), clock=clock).get_breaker(NAME)
    record_calls(breaker, 10)
    permit = breaker.acquire()
    broken = True
    with pytest.raises(Boom, match="clock"):
        permit.success()
    assert recorded_calls(breaker) == ([(SECOND, None, "success")], 0)


POLICIES = [
    Policy(2, 2, 1, half_open_max_calls=2),
    Policy(3, 1, 1, failure_rate_threshold=0.5, window=Window(calls=8), minimum_calls=4),
    Policy(None, 1, 1, failure_rate_threshold=0.5, window=Window(time=3), minimum_calls=3, recovery_time=2),
    slow_rule(),
]


@pytest.mark.parametrize("policy", POLICIES)
def test_nothing_else_is_different_while_calls_are_recorded(
    provider_of: Providers, clock: ManualClock, policy: Policy
) -> None:
    """Two breakers through the same random programs, one of them recorded now and then."""
    # S225
    for seed in range(60):
        choice = random.Random(seed)
        providers = [provider_of(policy) for _ in range(2)]
        events: list[list[Any]] = [[], []]
        twins = []
        for provider, heard in zip(providers, events, strict=True):
            provider.subscribe(heard.append)
            twins.append(provider.get_breaker(NAME))
        play(choice, twins, clock)
        assert events[0] == events[1]
        assert twins[0].snapshot() == twins[1].snapshot()


def play(choice: random.Random, twins: list[Breaker], clock: ManualClock) -> None:
    running: list[list[Permit]] = []
    for _ in range(80):
        action = choice.randrange(8)
        if action == 0:
            record_calls(twins[1], choice.choice([0, 3, 50]))
        elif action == 1:
            clock.advance(choice.choice([0.1, 0.5, 1, 2.5]))
        elif action in (2, 3, 4):
            taken = [permit for twin in twins if (permit := acquired(twin)) is not None]
            assert len(taken) in (0, 2)
            running += [taken] if taken else []
        elif running:
            pair = running.pop(choice.randrange(len(running)))
            verdict = choice.choice(["success", "success", "failure", "ignore"])
            for permit in pair:
                getattr(permit, verdict)()
        assert twins[0].state is twins[1].state
    for pair in running:
        for permit in pair:
            permit.ignore()


def acquired(breaker: Breaker) -> Permit | None:
    try:
        return breaker.acquire()
    except BreakerOpenError:
        return None


def test_a_policy_with_other_rules_comes_while_calls_are_recorded(
    followed: tuple[Provider, Breaker], source: MemorySource, clock: ManualClock
) -> None:
    # S225
    _, breaker = followed
    record_calls(breaker, 100)
    for document in ({"slowCallRateThreshold": None, "slowCallDuration": None, "failureThreshold": 2}, {}):
        permit = breaker.acquire()
        clock.advance(1)
        source.put(NAME, json.dumps(document))
        permit.ignore()
        succeed(breaker)
    calls, _ = recorded_calls(breaker)
    assert [(took, outcome) for _, took, outcome in calls] == [(SECOND, "ignored"), (0, "success")] * 2


def test_threads_record_every_call_once(make_breaker: Make) -> None:
    # S225
    breaker = make_breaker(Policy(10**6))
    record_calls(breaker, 100_000)
    kept: list[Any] = []
    stop = threading.Event()

    def fetch() -> None:
        while not stop.is_set():
            kept.extend(recorded_calls(breaker)[0])

    def work() -> None:
        for number in range(2000):
            if number % 3:
                breaker.do(int)
            else:
                with pytest.raises(Boom):
                    breaker.do(_raise)

    threads = [threading.Thread(target=work) for _ in range(4)]
    fetcher = threading.Thread(target=fetch)
    for thread in (*threads, fetcher):
        thread.start()
    for thread in threads:
        thread.join()
    stop.set()
    fetcher.join()
    calls, lost = recorded_calls(breaker)
    kept.extend(calls)
    seen = breaker.snapshot()
    assert lost == 0
    assert len(kept) == 8000
    assert [outcome for _, _, outcome in kept].count("failure") == seen.failures == 4 * 667


def _raise() -> None:
    raise Boom


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this platform")
def test_the_lock_and_the_calls_survive_a_fork(make_breaker: Make) -> None:
    breaker = make_breaker(Policy(3))
    record_calls(breaker, 10)
    ignored(breaker)

    def child() -> None:
        record_calls(breaker, 0)
        succeed(breaker)
        assert recorded_calls(breaker) == ([], 0)

    fork_and_check(child)
    assert [outcome for _, _, outcome in recorded_calls(breaker)[0]] == ["ignored"]
    assert breaker.state is State.CLOSED
