"""Guarded coroutines in an event loop: tasks, groups, limits, cancellation, and what a loop does at its end."""

import asyncio
import contextvars
import functools
import gc
import sys
import threading
import warnings
from collections.abc import Callable
from typing import Any

import pytest

from breaker import Breaker, BreakerOpenError, Policy, State
from breaker.testing import ManualClock
from support.drive import Boom, Make, drive_to, rejected, succeed
from support.reading import counts
from support.samples import Coro, at_once, fails


async def in_a_while(value: Any = None) -> Any:
    await asyncio.sleep(0)
    return value


async def for_ever() -> None:
    await asyncio.get_running_loop().create_future()


async def under_way(awaitable: Coro) -> "asyncio.Task[Any]":
    """A task that has run to its first suspension."""
    task = asyncio.ensure_future(awaitable)
    await asyncio.sleep(0)
    assert not task.done()
    return task


async def cancelled(task: "asyncio.Task[Any]") -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def by_wait(work: Coro) -> Any:
    done, _ = await asyncio.wait([asyncio.ensure_future(work)])
    return done.pop().result()


async def by_as_completed(work: Coro) -> Any:
    (each,) = asyncio.as_completed([work])
    return await each


async def by_task_group(work: Coro) -> Any:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(work)
    return task.result()


async def by_gather(work: Coro) -> Any:
    one, the_same = await asyncio.gather(work, work)
    assert one is the_same
    return one


async def by_another_thread(work: Coro) -> Any:
    loop = asyncio.get_running_loop()
    return await asyncio.to_thread(lambda: asyncio.run_coroutine_threadsafe(work, loop).result(30))


async def by_an_eager_task(work: Coro) -> Any:
    return await asyncio.eager_task_factory(asyncio.get_running_loop(), work)  # type: ignore[attr-defined]  # since 3.12


WAYS = [
    *(asyncio.create_task, asyncio.ensure_future, asyncio.shield),
    *(by_wait, by_as_completed, by_task_group, by_gather, by_another_thread),
    functools.partial(asyncio.wait_for, timeout=30),
    *([by_an_eager_task] if sys.version_info >= (3, 12) else []),
]


@pytest.mark.parametrize("debug", [False, True], ids=["", "debug"])
@pytest.mark.parametrize("work", [at_once, in_a_while])
@pytest.mark.parametrize("way", WAYS, ids=lambda way: getattr(way, "__name__", "wait_for"))
def test_a_loop_runs_it_as_any_coroutine(make_breaker: Make, way: Callable[..., Any], work: Any, debug: bool) -> None:
    breaker, value = make_breaker(Policy()), object()

    async def main() -> None:
        assert await way(breaker.do(work, value)) is value
        assert await way(breaker(work)(value)) is value

    asyncio.run(main(), debug=debug)
    assert counts(breaker) == {"successes": 2}


def test_it_may_be_the_main_coroutine(make_breaker: Make) -> None:
    breaker = make_breaker(Policy())
    assert asyncio.run(breaker.do(in_a_while, 1)) == 1
    with asyncio.Runner() as runner:
        assert runner.run(breaker(in_a_while)(2)) == 2
        assert runner.get_loop().run_until_complete(breaker.do(in_a_while, 3)) == 3
    assert counts(breaker) == {"successes": 3}


def test_a_task_shows_the_function_that_it_runs(make_breaker: Make) -> None:
    breaker = make_breaker(Policy())

    async def main() -> None:
        coroutine = breaker.do(for_ever)
        task = await under_way(coroutine)
        assert "for_ever() running at" in repr(task)
        assert [frame.f_code.co_name for frame in task.get_stack()] == ["for_ever"]
        assert task.get_coro() is coroutine
        await cancelled(task)

    asyncio.run(main())


@pytest.mark.parametrize("way", [asyncio.create_task, asyncio.ensure_future, asyncio.shield, asyncio.gather])
def test_cancelled_before_the_start_nothing_runs_and_no_permit_is_taken(make_breaker: Make, way: Any) -> None:
    # S35, S40: were a permit asked for, a rejection would take the place of the cancellation
    breaker = make_breaker(Policy(1))
    breaker.acquire().failure()
    ran: list[bool] = []

    async def work() -> None:
        ran.append(True)

    async def main() -> None:
        await cancelled(way(breaker.do(work)))
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            await cancelled(task)  # shielded

    asyncio.run(main())
    assert (ran, counts(breaker)) == ([], {"failures": 1})


def test_half_open_a_cancelled_probe_gives_its_slot_back(make_breaker: Make, clock: ManualClock) -> None:
    # S40, S52
    breaker = make_breaker(Policy(1, 1, 60))
    drive_to(breaker, clock, State.HALF_OPEN)
    before = breaker.snapshot().ignored

    async def main() -> None:
        task = await under_way(breaker.do(for_ever))
        assert breaker.snapshot().half_open_in_flight == 1
        rejected(breaker)
        await cancelled(task)

    asyncio.run(main())
    assert breaker.state is State.HALF_OPEN
    assert breaker.snapshot().half_open_in_flight == 0
    assert breaker.snapshot().ignored == before + 1
    succeed(breaker)
    assert breaker.state is State.CLOSED


def test_an_error_of_its_own_while_it_is_cancelled_counts_as_a_failure(make_breaker: Make) -> None:
    # S40
    breaker = make_breaker(Policy(5))

    async def work() -> None:
        try:
            await for_ever()
        finally:
            raise Boom("first")

    async def main() -> None:
        task = await under_way(breaker.do(work))
        task.cancel()
        with pytest.raises(Boom):
            await task

    asyncio.run(main())
    assert counts(breaker) == {"failures": 1}


def test_a_cancellation_that_is_answered_with_a_value_is_a_success(make_breaker: Make) -> None:
    breaker = make_breaker(Policy(5))

    async def work() -> Any:
        try:
            await for_ever()
        except asyncio.CancelledError:
            return await in_a_while("tidied up")
        return "never"

    async def main() -> None:
        task = await under_way(breaker.do(work))
        task.cancel()
        assert await task == "tidied up"

    asyncio.run(main())
    assert counts(breaker) == {"successes": 1}


def test_a_time_limit_inside_is_a_failure_and_one_around_it_is_a_cancellation(make_breaker: Make) -> None:
    # S40
    breaker = make_breaker(Policy(5))

    async def limited() -> None:
        async with asyncio.timeout(0.001):
            await for_ever()

    async def main() -> None:
        with pytest.raises(TimeoutError):
            await breaker.do(limited)
        with pytest.raises(TimeoutError):
            await breaker.do(asyncio.wait_for, for_ever(), 0.001)
        assert counts(breaker) == {"failures": 2}
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await breaker.do(for_ever)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(breaker.do(for_ever), 0.001)

    asyncio.run(main())
    assert counts(breaker) == {"failures": 2, "ignored": 2}


def test_the_callers_of_a_task_that_dies_are_ignored(make_breaker: Make) -> None:
    # S39
    breaker = make_breaker(Policy(5))

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            for work in (for_ever, for_ever, fails):
                group.create_task(breaker.do(work))

    with pytest.raises(ExceptionGroup):
        asyncio.run(main())
    assert counts(breaker) == {"failures": 1, "ignored": 2}


def test_gathered_calls_count_one_each(make_breaker: Make) -> None:
    breaker = make_breaker(Policy(1000))

    async def work(number: int) -> int:
        await asyncio.sleep(0)
        if number % 3 == 0:
            raise Boom(str(number))
        return number

    async def main() -> None:
        results = await asyncio.gather(*(breaker.do(work, n) for n in range(300)), return_exceptions=True)
        assert [isinstance(result, Boom) for result in results] == [n % 3 == 0 for n in range(300)]

    asyncio.run(main())
    assert counts(breaker) == {"successes": 200, "failures": 100}


def test_half_open_of_many_tasks_one_probes_and_the_others_are_rejected(make_breaker: Make, clock: ManualClock) -> None:
    # S23
    breaker = make_breaker(Policy(1, 1, 60))
    drive_to(breaker, clock, State.OPEN)
    clock.advance(60)

    async def main() -> list[Any]:
        return await asyncio.gather(*(breaker.do(in_a_while, n) for n in range(50)), return_exceptions=True)

    results = asyncio.run(main())
    assert results[0] == 0
    assert {(type(error), error.state) for error in results[1:]} == {(BreakerOpenError, State.HALF_OPEN)}
    assert breaker.state is State.CLOSED


def test_half_open_a_task_that_hangs_loses_its_slot_and_is_ignored_when_cancelled(
    make_breaker: Make, clock: ManualClock
) -> None:
    # S67
    breaker = make_breaker(Policy(1, 2, 60, probe_timeout=5))
    drive_to(breaker, clock, State.HALF_OPEN)

    async def main() -> None:
        hung = await under_way(breaker.do(for_ever))
        clock.advance(4)
        with pytest.raises(BreakerOpenError):
            await breaker.do(at_once)
        clock.advance(1)
        await breaker.do(at_once)
        before = breaker.snapshot().ignored
        await cancelled(hung)
        assert (breaker.snapshot().ignored, breaker.snapshot().half_open_successes) == (before + 1, 1)
        await breaker.do(at_once)

    asyncio.run(main())
    assert breaker.state is State.CLOSED
    assert counts(breaker)["overdue"] == 1


def test_tasks_begun_before_a_trip_are_late(make_breaker: Make, clock: ManualClock) -> None:
    # S60
    breaker = make_breaker(Policy(2, 1, 60))

    async def work(go: asyncio.Event, error: BaseException | None) -> str:
        await go.wait()
        if error is not None:
            raise error
        return "answer"

    async def main() -> None:
        go = asyncio.Event()
        ends = [None, Boom("x"), asyncio.CancelledError()]
        old = [await under_way(breaker.do(work, go, end)) for end in ends]
        for _ in range(2):
            with pytest.raises(Boom):
                await breaker.do(fails)
        clock.advance(60)
        probe = await under_way(breaker.do(for_ever))
        go.set()
        results = await asyncio.gather(*old, return_exceptions=True)
        assert [type(result) for result in results] == [str, Boom, asyncio.CancelledError]
        assert breaker.state is State.HALF_OPEN
        rejected(breaker)
        await cancelled(probe)

    asyncio.run(main())
    assert counts(breaker) == {"failures": 2, "late": 3, "ignored": 1, "rejected": 1}


def test_loops_of_several_threads_share_one_breaker(make_breaker: Make) -> None:
    breaker = make_breaker(Policy())

    async def main() -> None:
        await asyncio.gather(*(breaker.do(in_a_while) for _ in range(100)))

    threads = [threading.Thread(target=asyncio.run, args=(main(),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts(breaker) == {"successes": 400}


def test_an_exception_group_of_a_task_group_is_judged_by_its_leaves(make_breaker: Make) -> None:
    # S42
    breaker = make_breaker(Policy(1, 1, 60), success_on=KeyError)

    async def both(error: BaseException) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(for_ever())
            group.create_task(fails(error))

    with pytest.raises(ExceptionGroup):
        asyncio.run(breaker.do(both, KeyError("healthy")))
    assert counts(breaker) == {"successes": 1}
    with pytest.raises(ExceptionGroup):
        asyncio.run(breaker.do(both, Boom("down")))
    assert breaker.state is State.OPEN


def test_a_permit_around_awaits_settles_by_what_leaves_the_block(make_breaker: Make) -> None:
    # S38
    breaker = make_breaker(Policy(5))

    async def hold(breaker: Breaker) -> None:
        with breaker.acquire():
            await for_ever()

    async def main() -> None:
        with breaker.acquire():
            await asyncio.sleep(0)
        with pytest.raises(Boom), breaker.acquire():
            await fails()
        await cancelled(await under_way(hold(breaker)))

    asyncio.run(main())
    assert counts(breaker) == {"successes": 1, "failures": 1, "ignored": 1}


def test_context_variables_pass_through(make_breaker: Make) -> None:
    # S36
    breaker = make_breaker(Policy())
    variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable", default=0)

    async def work() -> int:
        variable.set(variable.get() + 1)
        return variable.get()

    async def main() -> None:
        variable.set(5)
        assert await breaker.do(work) == 6
        assert variable.get() == 6
        assert await asyncio.create_task(breaker.do(work)) == 7
        assert variable.get() == 6

    asyncio.run(main())


def test_no_warning_is_left_when_a_loop_ends_with_calls_in_flight(make_breaker: Make) -> None:
    breaker = make_breaker(Policy())

    async def main() -> None:
        tasks.extend([await under_way(breaker.do(for_ever)) for _ in range(3)])

    tasks: list[Any] = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        asyncio.run(main())
        gc.collect()
    assert counts(breaker) == {"ignored": 3}
