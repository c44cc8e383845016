"""Forms of a call with Trio's own words: nurseries, cancel scopes, threads, its checks of what it is given."""

# pyright: reportArgumentType=false, reportReturnType=false
# It cannot follow a method with a ParamSpec through the variadic types of task groups and threads; mypy can.

from __future__ import annotations

import gc
import threading
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest
import trio
import trio.testing

from breaker import Breaker, BreakerOpenError, Policy, State
from support.drive import Boom, HangUp, Make, cool, trip
from support.reading import counts


async def doubled(number: int) -> int:
    await trio.lowlevel.checkpoint()
    return 2 * number


async def broken() -> None:
    await trio.lowlevel.checkpoint()
    raise Boom("down")


def test_a_nursery_takes_what_is_guarded(breaker: Breaker) -> None:
    guarded = breaker(doubled)

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(breaker.do, doubled, 1)
            nursery.start_soon(guarded, 2)
            nursery.start_soon(partial(breaker.do, doubled, number=3))

    trio.run(main)
    assert counts(breaker) == {"successes": 3}


def test_run_takes_what_is_guarded(breaker: Breaker) -> None:
    assert trio.run(breaker.do, doubled, 4) == 8
    assert trio.run(breaker(doubled), 4) == 8
    with pytest.raises(Boom):
        trio.run(breaker(broken))
    assert counts(breaker) == {"successes": 2, "failures": 1}


def test_a_nursery_of_guarded_calls_is_cancelled_by_one(breaker: Breaker) -> None:
    async def main() -> None:
        with pytest.RaisesGroup(Boom):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(breaker.do, trio.sleep_forever)
                nursery.start_soon(breaker.do, broken)

    trio.run(main)
    assert counts(breaker) == {"failures": 1, "ignored": 1}


def test_a_nursery_inside_a_call(breaker: Breaker) -> None:
    async def fan_out() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            nursery.start_soon(broken)

    async def main() -> None:
        with pytest.RaisesGroup(Boom):
            await breaker.do(fan_out)

    trio.run(main)
    assert counts(breaker) == {"failures": 1}


def test_start(breaker: Breaker) -> None:
    @breaker
    async def serve(*, task_status: Any = trio.TASK_STATUS_IGNORED) -> None:
        task_status.started(7)
        await trio.sleep_forever()

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            assert await nursery.start(serve) == 7
            nursery.cancel_scope.cancel()

    trio.run(main)
    assert counts(breaker) == {"ignored": 1}


def test_time_limits(breaker: Breaker) -> None:
    async def within() -> None:
        with trio.fail_after(5):
            await trio.sleep_forever()

    async def main() -> None:
        with pytest.raises(trio.TooSlowError):
            await breaker.do(within)
        with trio.move_on_after(5) as scope:
            await breaker.do(trio.sleep_forever)
        assert scope.cancelled_caught
        with pytest.raises(trio.TooSlowError), trio.fail_at(trio.current_time() + 5):
            async with breaker.acquire():
                await trio.sleep_forever()

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    assert counts(breaker) == {"failures": 1, "ignored": 2}


def test_a_probe_that_is_cancelled(make_breaker: Make, clock: Any) -> None:
    breaker = make_breaker(Policy(1, 1, 60.0))
    trip(breaker)
    cool(breaker, clock)

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(breaker.do, trio.sleep_forever)
            await trio.testing.wait_all_tasks_blocked()
            with pytest.raises(BreakerOpenError):
                await breaker.do(doubled, 1)
            nursery.cancel_scope.cancel()
        await breaker.do(doubled, 1)

    trio.run(main)
    assert breaker.state is State.CLOSED


def test_an_asynchronous_generator_that_is_dropped(breaker: Breaker) -> None:
    closed: list[str] = []

    @breaker
    async def numbers() -> AsyncIterator[int]:
        try:
            yield 1
            yield 2
        finally:
            closed.append("closed")

    async def main() -> None:
        async for _ in numbers():
            break
        gc.collect()
        await trio.lowlevel.checkpoint()

    with pytest.warns(ResourceWarning, match="was garbage collected before it had been exhausted"):
        trio.run(main)
    assert closed == ["closed"]
    assert counts(breaker) == {"successes": 1}


def test_threads(breaker: Breaker) -> None:
    def in_a_thread() -> int:
        with pytest.raises(Boom):
            trio.from_thread.run(breaker.do, broken)
        return trio.from_thread.run_sync(breaker.do, int, 7)

    async def main() -> None:
        assert await trio.to_thread.run_sync(breaker.do, in_a_thread) == 7
        assert await breaker.do(trio.to_thread.run_sync, int, 8) == 8

    trio.run(main)
    assert counts(breaker) == {"successes": 3, "failures": 1}


def test_an_abandoned_thread_is_the_cancellation_of_its_call(breaker: Breaker) -> None:
    released = threading.Event()

    async def main() -> None:
        with trio.move_on_after(0.01) as scope:
            await breaker.do(partial(trio.to_thread.run_sync, abandon_on_cancel=True), released.wait)
        assert scope.cancelled_caught
        released.set()

    trio.run(main)
    assert counts(breaker) == {"ignored": 1}


@pytest.mark.parametrize("error", [HangUp, KeyboardInterrupt])
def test_what_is_no_exception_is_ignored(error: type[BaseException], breaker: Breaker) -> None:
    async def hang_up() -> None:
        await trio.lowlevel.checkpoint()
        raise error

    with pytest.raises(error):
        trio.run(breaker.do, hang_up)
    assert counts(breaker) == {"ignored": 1}


def test_trio_says_what_is_wrong_as_it_does_without(breaker: Breaker) -> None:
    """A call that was made before it was wanted: Trio recognises the coroutine."""

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            with pytest.raises(TypeError, match="Trio was expecting an async function"):
                nursery.start_soon(breaker.do(doubled, 1))  # type: ignore[arg-type]

    trio.run(main)
    assert counts(breaker) == {}


def test_streams_and_memory_channels(breaker: Breaker) -> None:
    async def main() -> None:
        send, receive = trio.open_memory_channel[int](2)

        @breaker
        async def each() -> AsyncIterator[int]:
            async with receive:
                async for number in receive:
                    yield number

        async with send:
            await send.send(1)
            await send.send(2)
        assert [number async for number in each()] == [1, 2]

    trio.run(main)
    assert counts(breaker) == {"successes": 1}
