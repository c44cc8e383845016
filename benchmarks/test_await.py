"""Awaited calls: driven by hand with nothing that suspends, and inside an event loop."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from benchmarks.cases import AWAITED, Case
from benchmarks.checks import run, subjects
from benchmarks.meter import Meter
from benchmarks.subjects import subject


@subjects(AWAITED)
def test_await(meter: Meter, case: Case, kind: str) -> None:
    run(meter, case, kind)


async def suspending(value: int) -> int:
    await asyncio.sleep(0)
    return value


@pytest.mark.parametrize("kind", ["bare", "do", "decorated"])
def test_await_asyncio_one_suspension(meter: Meter, kind: str) -> None:
    """One turn of the event loop in each call: what protection costs beside a real suspension."""
    made = subject("closed")
    guard = made.breaker
    decorated = guard(suspending)
    meter.fixture.group = "await: asyncio-one-suspension"

    async def bare(n: int) -> None:
        for _ in range(n):
            await suspending(1)

    async def through_do(n: int) -> None:
        for _ in range(n):
            await guard.do(suspending, 1)

    async def through_decorated(n: int) -> None:
        for _ in range(n):
            await decorated(1)

    loops: dict[str, Callable[[int], Awaitable[None]]] = {
        "bare": bare,
        "do": through_do,
        "decorated": through_decorated,
    }

    async def many(n: int) -> None:
        await loops[kind](n)

    with made.provider, asyncio.Runner() as runner:
        calls = meter.measure(lambda n: runner.run(many(n)), calls=200, rounds=50)
        assert made.total("successes") == (0 if kind == "bare" else calls)
