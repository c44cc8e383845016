"""A call inside the function of a probe of the same breaker: it runs, and the probe's own end decides."""

import asyncio
import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from breaker import Breaker, BreakerOpenError, Mode, Policy, Provider, State
from breaker.testing import ManualClock
from support.drive import Boom, Make, Providers, cool, cooled, drive_to, fail, raiser, rejected, succeed, trip
from support.reading import OPENED, PROBING, RECOVERED, counts, probing, since, transitions
from support.threads import in_another_thread


@pytest.fixture
def breaker(make_breaker: Make, clock: ManualClock) -> Breaker:
    """The next call is a probe, and two of them close."""
    return cooled(make_breaker, clock, Policy(1, 2, 60))


def elsewhere(breaker: Breaker) -> BreakerOpenError:
    """A call that is not inside the probe is rejected."""
    return contextvars.Context().run(rejected, breaker)


def test_two_layers_guarded_by_one_breaker_close_after_an_opening(
    make_breaker: Make, clock: ManualClock, events: list[Any]
) -> None:
    # S55: with the default policy
    breaker = make_breaker(Policy())

    @breaker
    def query(healthy: bool) -> str:
        if not healthy:
            raise Boom("down")
        return "rows"

    @breaker
    def find_user(healthy: bool) -> str:
        return query(healthy)

    while breaker.state is State.CLOSED:
        with pytest.raises(Boom):
            find_user(False)
    cool(breaker, clock)
    assert [find_user(True) for _ in range(2)] == ["rows", "rows"]
    assert transitions(events) == [OPENED, PROBING, RECOVERED]
    assert breaker.snapshot().rejected == 0


def test_recursion_is_one_probe(breaker: Breaker) -> None:
    # S55

    @breaker
    def factorial(number: int) -> int:
        assert probing(breaker) == (State.HALF_OPEN, 0, 1)
        return number * factorial(number - 1) if number else 1

    assert factorial(20) == 2432902008176640000
    assert probing(breaker) == (State.HALF_OPEN, 1, 0)
    assert counts(breaker) == {"failures": 1, "successes": 21}


def test_a_call_inside_a_probe_counts_and_decides_nothing(breaker: Breaker) -> None:
    # S55

    def fails_and_goes_on() -> None:
        succeed(breaker, 3)
        fail(breaker)
        breaker.acquire().ignore()
        assert probing(breaker) == (State.HALF_OPEN, 0, 1)

    breaker.do(fails_and_goes_on)
    assert probing(breaker) == (State.HALF_OPEN, 1, 0)
    assert counts(breaker) == {"failures": 2, "successes": 4, "ignored": 1}


def test_every_layer_counts_for_itself_when_closed(make_breaker: Make) -> None:
    # S56
    breaker = make_breaker(Policy(2))
    with pytest.raises(Boom):
        breaker.do(breaker.do, raiser(Boom()))
    assert breaker.state is State.OPEN


def test_the_block_of_a_permit_is_such_a_function(breaker: Breaker) -> None:
    # S56
    with breaker.acquire() as permit:
        succeed(breaker)
        elsewhere(breaker)
        with breaker.acquire():
            succeed(breaker)
    rejected_later = breaker.acquire()
    assert probing(breaker) == (State.HALF_OPEN, 1, 1)
    rejected(breaker)  # no longer inside, and a permit by hand is no block
    rejected_later.ignore()
    permit.success()


def test_the_block_of_async_with_is_one_too(breaker: Breaker) -> None:
    # S56

    async def main() -> None:
        async with breaker.acquire():
            succeed(breaker)
            await asyncio.create_task(breaker.do(asyncio.sleep, 0))
            await asyncio.to_thread(succeed, breaker)
            elsewhere(breaker)
        held = breaker.acquire()
        rejected(breaker)
        held.ignore()

    asyncio.run(main())
    assert probing(breaker) == (State.HALF_OPEN, 1, 0)
    assert counts(breaker) == {"failures": 1, "successes": 4, "ignored": 1, "rejected": 2}


def test_a_permit_settled_within_its_block_carries_no_longer(breaker: Breaker) -> None:
    # S56: believed as long as the probe is in flight
    with breaker.acquire() as permit:
        permit.success()
        hung = breaker.acquire()
        assert probing(breaker) == (State.HALF_OPEN, 1, 1)
        rejected(breaker)
        hung.success()
    assert breaker.state is State.CLOSED


def test_an_error_that_leaves_the_block_leaves_the_probe_too(breaker: Breaker) -> None:
    # S55
    with pytest.raises(KeyboardInterrupt), breaker.acquire():
        raise KeyboardInterrupt
    held = breaker.acquire()
    rejected(breaker)
    held.ignore()


def test_an_overdue_probe_still_carries_and_its_calls_take_back_no_slots(breaker: Breaker, clock: ManualClock) -> None:
    # S56, S66

    def slow() -> None:
        clock.advance(60)
        succeed(breaker)
        assert breaker.snapshot().overdue == 0
        younger = contextvars.Context().run(breaker.acquire)
        assert breaker.snapshot().overdue == 1
        succeed(breaker)
        younger.ignore()

    breaker.do(slow)
    assert probing(breaker) == (State.HALF_OPEN, 1, 0)


def test_forced_open_rejects_it(breaker: Breaker) -> None:
    # S56, S93

    def inner() -> None:
        breaker.force_open()
        assert rejected(breaker).reason == "operator"
        breaker.clear_override()
        succeed(breaker)

    breaker.do(inner)
    assert counts(breaker) == {"failures": 1, "successes": 2, "rejected": 1}


@pytest.mark.parametrize("overlay", [Mode.DISABLED, Mode.SHADOW])
def test_under_another_overlay_it_runs(breaker: Breaker, overlay: Mode) -> None:
    # S55, S94

    def inner() -> None:
        breaker.override(overlay)
        succeed(breaker)
        breaker.override(None)

    breaker.do(inner)
    assert probing(breaker) == (State.HALF_OPEN, 1, 0)


def test_a_probe_of_an_earlier_visit_carries_nothing(breaker: Breaker, clock: ManualClock) -> None:
    # S56

    def outlived() -> None:
        breaker.reset()
        trip(breaker)
        rejected(breaker)
        cool(breaker, clock)
        held = breaker.acquire()
        assert breaker.snapshot().half_open_in_flight == 1
        rejected(breaker)
        held.ignore()

    breaker.do(outlived)
    assert counts(breaker)["late"] == 1


def test_another_breaker_between_the_two_changes_nothing(provider_of: Providers, clock: ManualClock) -> None:
    # S55
    provider: Provider = provider_of(Policy(1, 1, 60))
    one, other = (drive_to(provider.get_breaker(name), clock, State.HALF_OPEN) for name in ("db:one", "db:other"))
    assert one.do(lambda: other.do(lambda: one.do(other.do, int))) == 0
    assert (one.state, other.state) == (State.CLOSED, State.CLOSED)
    assert (one.snapshot().rejected, other.snapshot().rejected) == (0, 0)


def test_another_thread_is_not_inside(breaker: Breaker) -> None:
    # S55

    def probe() -> None:
        in_another_thread(lambda: elsewhere(breaker))

    breaker.do(probe)
    assert breaker.snapshot().rejected == 1


def test_many_threads_inside_one_probe(breaker: Breaker) -> None:
    # S55
    ran: list[int] = []

    def probe() -> None:
        threads = []
        for number in range(8):
            run: Callable[..., Any] = contextvars.copy_context().run
            threads.append(threading.Thread(target=run, args=(breaker.do, ran.append, number)))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    breaker.do(probe)
    assert sorted(ran) == list(range(8))
    assert probing(breaker) == (State.HALF_OPEN, 1, 0)


@pytest.mark.parametrize("handed_over", [True, False])
def test_a_pool_works_inside_a_probe_if_it_is_given_the_context(breaker: Breaker, handed_over: bool) -> None:
    # S56
    with ThreadPoolExecutor(1) as pool:
        pool.submit(int).result()  # its thread was there before the probe

        def outer() -> int:
            run = contextvars.copy_context().run if handed_over else contextvars.Context().run
            return pool.submit(lambda: run(breaker.do, abs, -7)).result()

        if handed_over:
            assert [breaker.do(outer) for _ in range(2)] == [7, 7]
            assert breaker.state is State.CLOSED
        else:
            before = counts(breaker)
            with pytest.raises(BreakerOpenError):
                breaker.do(outer)
            assert since(breaker, before) == {"ignored": 1, "rejected": 1}
