"""Futures, tasks and Deferreds that a plain function returns: when their calls end, and how."""

import asyncio
import concurrent.futures
import contextlib
import gc
import logging
import sys
import types
from collections.abc import Callable
from typing import Any

import pytest

from breaker import BreakerOpenError, Policy
from support.drive import Boom, Make, identity
from support.reading import counts

Later = Callable[[Any], Any]


def ends_well(future: Any) -> None:
    future.set_result("value")


def ends_badly(future: Any) -> None:
    future.set_exception(Boom("x"))


def is_cancelled(future: Any) -> None:
    future.cancel()


ENDS = [(ends_well, {"successes": 1}), (ends_badly, {"failures": 1}), (is_cancelled, {"ignored": 1})]


@pytest.mark.parametrize("done", [False, True], ids=["later", "already"])
@pytest.mark.parametrize(("end", "ends"), ENDS)
def test_a_future_of_threads_is_judged_when_it_is_done(
    make_breaker: Make, end: Later, ends: dict[str, int], done: bool
) -> None:
    # S33
    breaker = make_breaker(Policy(5))
    future: concurrent.futures.Future[str] = concurrent.futures.Future()
    if done:
        end(future)
    assert breaker.do(identity, future) is future
    if not done:
        assert counts(breaker) == {}
        end(future)
    assert counts(breaker) == ends


@pytest.mark.parametrize("done", [False, True], ids=["later", "already"])
@pytest.mark.parametrize(("end", "ends"), ENDS)
def test_a_future_of_asyncio_is_judged_before_who_awaits_it_goes_on(
    make_breaker: Make, end: Later, ends: dict[str, int], done: bool
) -> None:
    # S33
    breaker = make_breaker(Policy(5))

    async def main() -> None:
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        if done:
            end(future)
        assert breaker(identity)(future) is future
        if not done:
            assert counts(breaker) == {}
            asyncio.get_running_loop().call_soon(end, future)
        with contextlib.suppress(Boom, asyncio.CancelledError):
            assert await future == "value"
        assert counts(breaker) == ends

    asyncio.run(main())


def test_tasks_executors_and_gatherings_open_the_breaker(make_breaker: Make) -> None:
    # S33
    def fails() -> None:
        raise Boom("in a thread")

    async def fails_later() -> None:
        raise Boom("in a task")

    async def main(make: Callable[[], Any]) -> None:
        breaker = make_breaker(Policy(3))
        for _ in range(3):
            with pytest.raises(Boom):
                await breaker.do(make)
        with pytest.raises(BreakerOpenError):
            breaker.do(make)

    asyncio.run(main(lambda: asyncio.get_running_loop().run_in_executor(None, fails)))
    asyncio.run(main(lambda: asyncio.gather(fails_later())))
    asyncio.run(main(lambda: asyncio.create_task(fails_later())))


def test_a_future_that_nobody_ends_is_ignored(make_breaker: Make) -> None:
    # S39
    breaker = make_breaker(Policy(5))
    breaker.do(concurrent.futures.Future)
    gc.collect()
    assert counts(breaker) == {"ignored": 1}


def test_asyncio_still_tells_of_an_exception_that_nobody_looked_at(make_breaker: Make) -> None:
    told: list[Any] = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context["message"]))
        make_breaker(Policy(5)).do(asyncio.get_running_loop().create_future).set_exception(Boom("x"))
        await asyncio.sleep(0)
        gc.collect()

    asyncio.run(main())
    assert told == ["Future exception was never retrieved"]


def test_failed_result_sees_the_result_of_a_future(make_breaker: Make) -> None:
    # S43
    breaker = make_breaker(Policy(5), failed_result=lambda value: value == 503)
    for value in (200, 503):
        breaker.do(concurrent.futures.Future[int]).set_result(value)
    assert counts(breaker) == {"successes": 1, "failures": 1}


def test_a_failed_result_that_raises_on_a_future_is_a_failure_and_reported(
    make_breaker: Make, caplog: pytest.LogCaptureFixture
) -> None:
    # S33, S43
    def broken(value: Any) -> bool:
        raise Boom("in the predicate")

    breaker = make_breaker(Policy(5), failed_result=broken)
    with caplog.at_level(logging.ERROR, "breaker"):
        future = breaker.do(concurrent.futures.Future[int])
        future.set_result(1)
    assert counts(breaker) == {"failures": 1}
    assert "broken" in caplog.text
    assert "in the predicate" in caplog.text
    assert future.result() == 1


# Deferreds. Twisted itself is among the libraries of ``make test-libraries``; here is what the core asks of it.


class Failure:
    def __init__(self, value: BaseException) -> None:
        self.value = value


class CancelledError(Exception):
    pass


class Deferred:
    def __init__(self) -> None:
        self.callbacks: list[Any] = []

    def addBoth(self, callback: Any) -> None:
        self.callbacks.append(callback)

    def end(self, result: Any) -> None:
        for callback in self.callbacks:
            result = callback(result)
        self.result = result


@pytest.mark.parametrize(
    ("result", "ends"),
    [
        ("value", {"successes": 1}),
        (503, {"failures": 1}),
        (Failure(Boom("x")), {"failures": 1}),
        (Failure(CancelledError()), {"ignored": 1}),
    ],
)
def test_a_deferred_is_judged_when_it_has_its_result(
    make_breaker: Make, monkeypatch: pytest.MonkeyPatch, result: Any, ends: dict[str, int]
) -> None:
    # S33
    defer, failure = types.ModuleType("twisted.internet.defer"), types.ModuleType("twisted.python.failure")
    vars(defer).update(Deferred=Deferred, CancelledError=CancelledError)
    vars(failure).update(Failure=Failure)
    monkeypatch.setitem(sys.modules, defer.__name__, defer)
    monkeypatch.setitem(sys.modules, failure.__name__, failure)
    breaker = make_breaker(Policy(5), failed_result=lambda value: value == 503)
    deferred = Deferred()
    assert breaker.do(identity, deferred) is deferred
    assert counts(breaker) == {}
    deferred.end(result)
    assert deferred.result is result
    assert counts(breaker) == ends
