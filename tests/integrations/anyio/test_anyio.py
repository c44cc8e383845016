"""All forms of a call under anyio, on asyncio and on Trio: there is nothing to install."""

# pyright: reportArgumentType=false, reportReturnType=false, reportCallIssue=false
# It cannot follow a method with a ParamSpec through the variadic types of task groups and threads; mypy can.

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any

import anyio
import anyio.from_thread
import anyio.to_thread
import pytest
from anyio.abc import TaskStatus

from breaker import Breaker, BreakerOpenError, Policy, Provider, State
from support.drive import Boom, Make, cool, fail, trip
from support.reading import counts

Main = Callable[[], Awaitable[Any]]


@pytest.fixture(params=["asyncio", "trio"])
def run(request: pytest.FixtureRequest) -> Callable[[Main], Any]:
    return lambda main: anyio.run(main, backend=request.param)


@pytest.fixture
def breaker(make_breaker: Make) -> Breaker:
    """It never opens: for counting."""
    return make_breaker(Policy(2**31 - 1))


@pytest.fixture
def quick(make_breaker: Make) -> Breaker:
    return make_breaker(Policy(1, 1, 60.0))


async def doubled(number: int) -> int:
    await anyio.sleep(0)
    return 2 * number


async def broken() -> None:
    await anyio.sleep(0)
    raise Boom("down")


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


async def hang() -> None:
    await anyio.sleep_forever()


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
