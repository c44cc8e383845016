"""Calls in task groups, threads and portals of anyio, on asyncio and on Trio."""

# pyright: reportArgumentType=false, reportReturnType=false, reportCallIssue=false
# It cannot follow a method with a ParamSpec through the variadic types of task groups and threads; mypy can.

from __future__ import annotations

from typing import Any

import anyio
import anyio.from_thread
import anyio.to_thread
import pytest
from anyio.abc import TaskStatus

from breaker import Breaker, BreakerOpenError, Provider, State
from support.anyio_functions import broken, doubled, hang
from support.drive import Boom, cool, fail, trip
from support.reading import counts

# Task groups.


def test_tasks_of_a_group(run: Any, breaker: Breaker) -> None:
    done: list[int] = []

    @breaker
    async def work(number: int) -> None:
        done.append(await doubled(number))

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            for number in range(5):
                tasks.start_soon(work, number)
                tasks.start_soon(breaker.do, doubled, number)

    run(main)
    assert sorted(done) == [0, 2, 4, 6, 8]
    assert counts(breaker) == {"successes": 10}


def test_one_failure_cancels_its_siblings(run: Any, breaker: Breaker) -> None:
    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(breaker.do, hang)
            tasks.start_soon(breaker.do, broken)

    with pytest.RaisesGroup(Boom):
        run(main)
    assert counts(breaker) == {"failures": 1, "ignored": 5}


@pytest.mark.parametrize(
    ("first", "expected"), [(broken, {"failures": 1}), (None, {"ignored": 1})], ids=["failure", "cancelled"]
)
def test_a_group_inside_is_judged_by_its_leaves(
    first: Any, expected: dict[str, int], run: Any, breaker: Breaker
) -> None:
    async def fan_out() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(hang)
            if first is not None:
                tasks.start_soon(first)

    async def main() -> None:
        if first is None:
            with anyio.move_on_after(0.01):
                await breaker.do(fan_out)
        else:
            with pytest.raises(BaseExceptionGroup):
                await breaker.do(fan_out)

    run(main)
    assert counts(breaker) == expected


def test_start_waits_for_a_guarded_task(run: Any, breaker: Breaker) -> None:
    @breaker
    async def serve(number: int, *, task_status: TaskStatus[int] = anyio.TASK_STATUS_IGNORED) -> None:
        task_status.started(number)
        await hang()

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            assert await tasks.start(serve, 7) == 7
            tasks.cancel_scope.cancel()

    run(main)
    assert counts(breaker) == {"ignored": 1}


def test_tasks_inside_a_probe_are_its_own(run: Any, quick: Breaker, clock: Any) -> None:
    trip(quick)
    cool(quick, clock)

    async def probe() -> None:
        async with anyio.create_task_group() as tasks:
            for number in range(3):
                tasks.start_soon(quick.do, doubled, number)

    async def main() -> None:
        await quick.do(probe)

    run(main)
    assert quick.state is State.CLOSED


def test_one_of_many_tasks_probes(run: Any, quick: Breaker, clock: Any) -> None:
    trip(quick)
    cool(quick, clock)
    rejected: list[BreakerOpenError] = []

    async def ask() -> None:
        try:
            await quick.do(anyio.sleep, 0.01)
        except BreakerOpenError as error:
            rejected.append(error)

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            for _ in range(20):
                tasks.start_soon(ask)

    run(main)
    assert len(rejected) == 19
    assert quick.state is State.CLOSED


# Threads.


def add(one: int, other: int) -> int:
    return one + other


def refuse() -> None:
    raise Boom("down")


def test_threads(run: Any, breaker: Breaker) -> None:
    async def main() -> None:
        assert await anyio.to_thread.run_sync(breaker.do, add, 3, 4) == 7
        assert await breaker.do(anyio.to_thread.run_sync, add, 3, 4) == 7
        assert await anyio.to_thread.run_sync(breaker(add), 3, 4) == 7
        with pytest.raises(Boom):
            await anyio.to_thread.run_sync(breaker.do, refuse)
        with pytest.raises(Boom):
            await breaker.do(anyio.to_thread.run_sync, refuse)

    run(main)
    assert counts(breaker) == {"successes": 3, "failures": 2}


def test_from_a_thread(run: Any, breaker: Breaker) -> None:
    def in_a_thread() -> int:
        with pytest.raises(Boom):
            anyio.from_thread.run(breaker.do, broken)
        return anyio.from_thread.run(breaker.do, doubled, 4)

    async def main() -> None:
        assert await anyio.to_thread.run_sync(in_a_thread) == 8

    run(main)
    assert counts(breaker) == {"successes": 1, "failures": 1}


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_from_a_portal(backend: str, breaker: Breaker) -> None:
    with anyio.from_thread.start_blocking_portal(backend) as portal:
        assert portal.call(breaker.do, doubled, 4) == 8
        assert portal.start_task_soon(breaker.do, doubled, 5).result() == 10
        with pytest.raises(Boom):
            portal.call(breaker.do, broken)
    assert counts(breaker) == {"successes": 2, "failures": 1}


def test_a_breaker_is_shared_by_both_backends(provider: Provider) -> None:
    breaker = provider.get_breaker("http:prices")

    def rejected_on(backend: str) -> bool:
        async def main() -> bool:
            try:
                await breaker.do(doubled, 1)
            except BreakerOpenError:
                return True
            return False

        return anyio.run(main, backend=backend)

    assert [rejected_on(backend) for backend in ("asyncio", "trio")] == [False, False]
    fail(breaker)
    assert [rejected_on(backend) for backend in ("asyncio", "trio")] == [True, True]


def test_locks_and_limits_of_capacity(run: Any, breaker: Breaker) -> None:
    async def main() -> None:
        limiter = anyio.CapacityLimiter(1)
        lock = anyio.Lock()

        @breaker
        async def in_turn() -> None:
            async with limiter, lock:
                await anyio.sleep(0)

        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(in_turn)

    run(main)
    assert counts(breaker) == {"successes": 5}
