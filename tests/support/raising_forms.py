"""Every form of a call, each as a function that runs one which raises a given error."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest

from breaker import Breaker
from support.drive import raiser

# Each form runs a call that raises ``error``.


def by_do(breaker: Breaker, error: BaseException) -> object:
    return breaker.do(raiser(error))


def by_decorated(breaker: Breaker, error: BaseException) -> object:
    return breaker(raiser(error))()


def by_permit(breaker: Breaker, error: BaseException) -> object:
    with breaker.acquire():
        raise error


def by_async_permit(breaker: Breaker, error: BaseException) -> object:
    async def call() -> None:
        async with breaker.acquire():
            raise error

    return run(call())


def by_coroutine(breaker: Breaker, error: BaseException) -> object:
    async def call() -> None:
        raise error

    return run(breaker.do(call))


def by_generator(breaker: Breaker, error: BaseException) -> object:
    def items() -> Iterator[int]:
        yield 1
        raise error

    return list(breaker.do(items))


def by_throwing(breaker: Breaker, error: BaseException) -> object:
    def items() -> Iterator[int]:
        yield 1

    begun: Any = breaker.do(items)
    next(begun)
    return begun.throw(error)


def by_closing(breaker: Breaker, error: BaseException) -> object:
    def items() -> Iterator[int]:
        try:
            yield 1
        finally:
            raise error

    begun: Any = breaker.do(items)
    next(begun)
    return begun.close()


def by_async_generator(breaker: Breaker, error: BaseException) -> object:
    async def items() -> AsyncIterator[int]:
        yield 1
        raise error

    async def exhaust() -> list[int]:
        return [item async for item in breaker.do(items)]

    return run(exhaust())


def by_awaitable(breaker: Breaker, error: BaseException) -> object:
    class Request:
        def __await__(self) -> Iterator[None]:
            raise error
            yield

    async def call() -> object:
        request: Any = Request
        return await breaker.do(request)

    return run(call())


def by_entering(breaker: Breaker, error: BaseException) -> object:
    @contextmanager
    def connected() -> Iterator[None]:
        raise error
        yield

    with breaker.do(connected):
        raise AssertionError("it was not entered")


def by_async_entering(breaker: Breaker, error: BaseException) -> object:
    @asynccontextmanager
    async def connected() -> AsyncIterator[None]:
        raise error
        yield

    async def call() -> None:
        async with breaker.do(connected):
            raise AssertionError("it was not entered")

    return run(call())


def by_future(breaker: Breaker, error: BaseException) -> object:
    future: Future[object] = Future()
    breaker.do(lambda: future)
    future.set_exception(error)
    return future.result()


def by_done_future(breaker: Breaker, error: BaseException) -> object:
    future: Future[object] = Future()
    future.set_exception(error)
    return breaker.do(lambda: future).result()


def by_task(breaker: Breaker, error: BaseException) -> object:
    async def fails() -> None:
        raise error

    async def call() -> object:
        return await breaker.do(lambda: asyncio.ensure_future(fails()))

    return run(call())


def run(coroutine: Any) -> object:
    """As `asyncio.run`, which hands on any `BaseException` of the coroutine."""
    with asyncio.Runner() as runner:
        return runner.run(coroutine)


Form = Callable[[Breaker, BaseException], object]
RAISING: list[Form] = [
    *(by_do, by_decorated, by_permit, by_async_permit, by_coroutine, by_generator, by_throwing, by_closing),
    *(by_async_generator, by_awaitable, by_entering, by_async_entering),
]
FUTURES: list[Form] = [by_future, by_done_future, by_task]

every_form = pytest.mark.parametrize("form", [*RAISING, *FUTURES], ids=lambda form: form.__name__)
every_raising_form = pytest.mark.parametrize("form", RAISING, ids=lambda form: form.__name__)
