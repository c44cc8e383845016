"""All forms of a call under anyio, on asyncio and on Trio: there is nothing to install."""

# pyright: reportArgumentType=false, reportReturnType=false, reportCallIssue=false
# It cannot follow a method with a ParamSpec through the variadic types of task groups and threads; mypy can.

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import anyio
import pytest

from breaker import Breaker, BreakerOpenError, State
from support.anyio_functions import broken, doubled, hang
from support.drive import Boom, cool, trip
from support.reading import counts

# do and the decorator.


def test_coroutines(run: Any, quick: Breaker) -> None:
    async def main() -> None:
        assert await quick.do(doubled, 4) == 8
        with pytest.raises(Boom):
            await quick.do(broken)
        with pytest.raises(BreakerOpenError):
            await quick.do(doubled, 4)

    run(main)
    assert counts(quick) == {"successes": 1, "failures": 1, "rejected": 1}


def test_decorated_functions_and_methods(run: Any, breaker: Breaker) -> None:
    class Prices:
        @breaker
        async def of(self, number: int) -> int:
            return await doubled(number)

        @staticmethod
        @breaker
        async def nothing() -> None:
            await broken()

    async def main() -> None:
        assert await Prices().of(4) == 8
        with pytest.raises(Boom):
            await Prices.nothing()

    run(main)
    assert counts(breaker) == {"successes": 1, "failures": 1}


def test_a_guarded_function_is_what_run_takes(run: Any, breaker: Breaker) -> None:
    @breaker
    async def main() -> int:
        return await doubled(4)

    assert run(main) == 8
    assert counts(breaker) == {"successes": 1}


# Permits.


def test_permits_are_asynchronous_blocks(run: Any, quick: Breaker) -> None:
    async def main() -> None:
        async with quick.acquire():
            await anyio.sleep(0)
        with pytest.raises(Boom):
            async with quick.acquire():
                await broken()
        with pytest.raises(BreakerOpenError):
            async with quick.acquire():
                pytest.fail("admitted")

    run(main)
    assert counts(quick) == {"successes": 1, "failures": 1, "rejected": 1}


def test_a_permit_is_settled_by_another_task(run: Any, breaker: Breaker) -> None:
    async def main() -> None:
        permits = [breaker.acquire() for _ in range(3)]

        async def settle() -> None:
            permits[0].success()
            permits[1].failure()
            permits[2].ignore()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(settle)

    run(main)
    assert counts(breaker) == {"successes": 1, "failures": 1, "ignored": 1}


# Iteration and context managers.


def test_asynchronous_generators(run: Any, breaker: Breaker) -> None:
    @breaker
    async def numbers(count: int, end: Exception | None = None) -> AsyncIterator[int]:
        for number in range(count):
            await anyio.sleep(0)
            yield number
        if end is not None:
            raise end

    async def main() -> None:
        assert [number async for number in numbers(3)] == [0, 1, 2]
        with pytest.raises(Boom):
            async for _ in numbers(1, Boom()):
                pass
        async with aclosing(numbers(9)) as some:  # type: ignore[type-var]
            async for _ in some:
                break
        with anyio.CancelScope() as scope:
            async for number in numbers(9):
                if number == 1:
                    scope.cancel()
        assert scope.cancelled_caught

    run(main)
    assert counts(breaker) == {"successes": 2, "failures": 1, "ignored": 1}


def test_asynchronous_context_managers(run: Any, breaker: Breaker) -> None:
    @breaker
    @asynccontextmanager
    async def session(trouble: Exception | None = None) -> AsyncIterator[int]:
        await anyio.sleep(0)
        if trouble is not None:
            raise trouble
        yield 7

    async def main() -> None:
        async with session() as number:
            assert number == 7
        with pytest.raises(Boom):
            async with session(Boom()):
                pytest.fail("entered")
        with pytest.raises(KeyError):  # the body's own
            async with session():
                raise KeyError

    run(main)
    assert counts(breaker) == {"successes": 2, "failures": 1}


def test_a_stream_that_is_read_under_protection(run: Any, breaker: Breaker) -> None:
    async def main() -> None:
        send, receive = anyio.create_memory_object_stream[int](3)

        async def total() -> int:
            async with receive:
                return sum([number async for number in receive])

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(breaker.do, total)
            async with send:
                for number in range(3):
                    await send.send(number)

    run(main)
    assert counts(breaker) == {"successes": 1}


# Cancellation and time limits.


def test_a_limit_inside_is_a_failure(run: Any, breaker: Breaker) -> None:
    async def within() -> None:
        with anyio.fail_after(0.01):
            await hang()

    async def main() -> None:
        with pytest.raises(TimeoutError):
            await breaker.do(within)

    run(main)
    assert counts(breaker) == {"failures": 1}


def test_a_scope_inside_that_is_left_is_a_success(run: Any, breaker: Breaker) -> None:
    async def within() -> str:
        with anyio.move_on_after(0.01):
            await hang()
        return "gave up"

    async def main() -> None:
        assert await breaker.do(within) == "gave up"

    run(main)
    assert counts(breaker) == {"successes": 1}


@pytest.mark.parametrize("form", ["do", "block", "generator", "awaited later"])
def test_a_limit_outside_is_a_cancellation_and_ignored(form: str, run: Any, breaker: Breaker) -> None:
    @breaker
    async def numbers() -> AsyncIterator[int]:
        await hang()
        yield 1

    async def main() -> None:
        with anyio.move_on_after(0.01) as scope:
            if form == "do":
                await breaker.do(hang)
            elif form == "block":
                async with breaker.acquire():
                    await hang()
            elif form == "generator":
                async for _ in numbers():
                    pass
            else:
                waiting = breaker.do(hang)
                await waiting
        assert scope.cancelled_caught
        with pytest.raises(TimeoutError), anyio.fail_after(0.01):
            await breaker.do(hang)

    run(main)
    assert counts(breaker) == {"ignored": 2}


def test_a_cancelled_probe_gives_its_slot_back(run: Any, quick: Breaker, clock: Any) -> None:
    trip(quick)
    cool(quick, clock)

    async def main() -> None:
        with anyio.move_on_after(0.01):
            await quick.do(hang)
        assert quick.state is State.HALF_OPEN
        assert await quick.do(doubled, 1) == 2

    run(main)
    assert quick.state is State.CLOSED


def test_what_is_cleaned_up_in_a_shield_ends_before_the_call(run: Any, breaker: Breaker) -> None:
    seen: list[dict[str, int]] = []

    async def with_cleanup() -> None:
        try:
            await hang()
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(0.001)
                seen.append(counts(breaker))

    async def main() -> None:
        with anyio.move_on_after(0.01):
            await breaker.do(with_cleanup)

    run(main)
    assert seen == [{}]
    assert counts(breaker) == {"ignored": 1}
