"""What the function of a probe makes: calls of its tasks, threads, awaitables and generators are inside it too."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Generator
from typing import Any

import pytest

from breaker import Breaker, Policy, State
from breaker.testing import ManualClock
from support.drive import Boom, Make, cooled, rejected, succeed
from support.reading import probing


@pytest.fixture
def breaker(make_breaker: Make, clock: ManualClock) -> Breaker:
    """The next call is a probe, and two of them close."""
    return cooled(make_breaker, clock, Policy(1, 2, 60))


@pytest.mark.parametrize("made_by", ["await", "create_task", "gather", "to_thread"])
def test_tasks_and_threads_made_inside_a_probe_are_inside_it(breaker: Breaker, made_by: str) -> None:
    # S56

    async def inner() -> str:
        await asyncio.sleep(0)
        return "inner"

    @breaker
    async def outer() -> Any:
        if made_by == "to_thread":
            return await asyncio.to_thread(breaker.do, lambda: "inner")
        if made_by == "gather":
            return (await asyncio.gather(breaker.do(inner), breaker.do(inner)))[0]
        made = breaker.do(inner)
        return await (made if made_by == "await" else asyncio.create_task(made))

    assert asyncio.run(outer()) == "inner"
    assert probing(breaker) == (State.HALF_OPEN, 1, 0)
    assert breaker.snapshot().rejected == 0


def test_a_task_that_a_probe_returned_is_inside_it_until_it_is_done(breaker: Breaker) -> None:
    # S33, S56

    async def inner() -> str:
        await asyncio.sleep(0)
        succeed(breaker)
        return "inner"

    @breaker
    def begin() -> asyncio.Task[str]:
        return asyncio.create_task(inner())

    async def main() -> None:
        task = begin()
        rejected(breaker)
        assert await task == "inner"

    asyncio.run(main())
    assert probing(breaker) == (State.HALF_OPEN, 1, 0)
    assert breaker.snapshot().rejected == 1


class Request:
    """Awaited or entered, as the requests of aiohttp; both call through the breaker."""

    def __init__(self, breaker: Breaker) -> None:
        self.breaker = breaker

    def __await__(self) -> Generator[Any, None, str]:
        succeed(self.breaker)
        yield from asyncio.sleep(0).__await__()
        succeed(self.breaker)
        return "answer"

    async def __aenter__(self) -> str:
        return await self

    async def __aexit__(self, *error: object) -> None:
        pass


@pytest.mark.parametrize("how", ["await", "async with"])
def test_an_awaitable_that_a_probe_returned_is_inside_it_until_its_end(breaker: Breaker, how: str) -> None:
    # S33, S56

    async def main() -> None:
        request = breaker.do(Request, breaker)
        rejected(breaker)
        if how == "await":
            assert await request == "answer"
        else:
            async with request as answer:
                assert answer == "answer"
                breaker.acquire().ignore()  # the probe has ended: this is one of its own

    asyncio.run(main())
    assert probing(breaker) == (State.HALF_OPEN, 1, 0)
    assert breaker.snapshot().rejected == 1


def test_entering_a_context_manager_is_inside_and_its_body_is_the_callers(breaker: Breaker) -> None:
    # S33, S56

    @breaker
    @contextlib.contextmanager
    def connected() -> Generator[str, None, None]:
        succeed(breaker)
        yield "connected"

    with connected() as state:
        assert state == "connected"
        held = breaker.acquire()
        rejected(breaker)
        held.ignore()
    assert probing(breaker) == (State.HALF_OPEN, 1, 0)


def test_a_task_that_outlives_the_probe_is_inside_it_no_longer(breaker: Breaker) -> None:
    # S56

    async def main() -> None:
        go_on = asyncio.Event()

        async def straggler() -> None:
            await go_on.wait()
            rejected(breaker)

        async def probe() -> asyncio.Task[None]:
            return asyncio.create_task(straggler())

        left = await breaker.do(probe)
        held = breaker.acquire()
        go_on.set()
        await left
        held.ignore()

    asyncio.run(main())
    assert breaker.snapshot().rejected == 1


def test_other_tasks_of_the_same_loop_are_not_inside(breaker: Breaker) -> None:
    # S56: the steps of the probe's coroutine are; what runs between them is not

    async def main() -> None:
        async def probe() -> None:
            await asyncio.sleep(0)
            succeed(breaker)
            await asyncio.sleep(0)

        task = asyncio.create_task(breaker.do(probe))
        for _ in range(3):
            await asyncio.sleep(0)
            if not task.done():
                rejected(breaker)
        await task

    asyncio.run(main())
    assert probing(breaker) == (State.HALF_OPEN, 1, 0)


def calls_inside(breaker: Breaker) -> Generator[int, None, None]:
    try:
        for number in range(3):
            succeed(breaker)
            yield number
    finally:
        succeed(breaker)


@pytest.mark.parametrize("end", ["runs out", "close", "throw"])
def test_the_steps_of_a_generator_are_inside_and_its_reader_is_not(breaker: Breaker, end: str) -> None:
    # S56
    generator = breaker.do(calls_inside, breaker)
    for number in range(3):
        assert next(generator) == number
        rejected(breaker)
    if end == "close":
        generator.close()
    elif end == "throw":
        with pytest.raises(KeyboardInterrupt):
            generator.throw(KeyboardInterrupt())
    else:
        assert list(generator) == []
    assert breaker.snapshot().half_open_in_flight == 0
    assert breaker.snapshot().rejected == 3
    held = breaker.acquire()
    rejected(breaker)
    held.ignore()


@pytest.mark.parametrize("end", ["runs out", "aclose", "athrow"])
def test_the_steps_of_an_async_generator_are_inside_and_its_reader_is_not(breaker: Breaker, end: str) -> None:
    # S56

    async def items() -> AsyncGenerator[int, None]:
        try:
            for number in range(3):
                await asyncio.sleep(0)
                succeed(breaker)
                yield number
        finally:
            succeed(breaker)

    async def main() -> None:
        generator = breaker.do(items)
        for number in range(3):
            assert await anext(generator) == number
            rejected(breaker)
        if end == "aclose":
            await generator.aclose()
        elif end == "athrow":
            with pytest.raises(Boom):
                await generator.athrow(Boom("x"))
        else:
            assert [item async for item in generator] == []

    asyncio.run(main())
    assert breaker.snapshot().half_open_in_flight == 0
    assert breaker.snapshot().rejected == 3
