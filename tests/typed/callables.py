"""Decorated functions keep their types: overloads, generics, parameters passed on, classes and their subclasses.

Nothing here runs: both type checkers read it.
"""

import abc
import asyncio
import concurrent.futures
import contextlib
import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, Generic, ParamSpec, Protocol, Self, TypeVar, assert_type, overload

from breaker import Breaker

P = ParamSpec("P")
T = TypeVar("T")


class Handler(Protocol):
    def __call__(self, x: int, /, *, unit: str = ...) -> bool: ...


class Source(abc.ABC):
    @abc.abstractmethod
    async def fetch(self, number: int) -> str: ...


def functions(b: Breaker) -> None:
    @overload
    def parse(text: str) -> str: ...
    @overload
    def parse(text: int) -> int: ...
    @b
    def parse(text: Any) -> Any:
        return text

    @b
    def handle(x: int, /, *, unit: str = "s") -> bool:
        return bool(x)

    @b
    def fill(items: list[T], item: T) -> list[T]:
        return [*items, item]

    handler: Handler = handle
    assert_type(handler(1, unit="ms"), bool)
    assert_type(parse("a"), str)
    assert_type(parse(5), int)
    assert_type(fill(["a"], "b"), list[str])
    assert_type(b(functools.partial(fill, [1]))(2), list[int])
    assert_type(b.do(fill, [1], 2), list[int])
    handle("text")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    handle(1, unit=5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def passed_on(b: Breaker, fn: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
    @functools.wraps(fn)
    async def inside(*args: P.args, **kwargs: P.kwargs) -> T:
        return await b.do(fn, *args, **kwargs)

    return b(inside)


def classes(b: Breaker) -> None:
    class Fetched(Source):
        @b
        async def fetch(self, number: int) -> str:
            return str(number)

        @b
        def again(self) -> Self:
            return self

        @functools.cached_property
        @b
        def size(self) -> int:
            return 5

        @b
        def __enter__(self) -> Self:
            return self

        @b
        def __exit__(self, *error: object) -> None: ...

    class Held(Generic[T]):
        def __init__(self, value: T) -> None:
            self.value = value

        @b
        def get(self) -> T:
            return self.value

    source: Source = Fetched()
    del source
    assert_type(Fetched().again(), Fetched)
    assert_type(Fetched().size, int)
    with Fetched() as entered:
        assert_type(entered, Fetched)
    assert_type(Held("a").get(), str)


async def later(b: Breaker, pool: concurrent.futures.ThreadPoolExecutor) -> None:
    @contextlib.asynccontextmanager
    @b
    async def inside(number: int) -> AsyncIterator[int]:
        yield number

    @b
    @contextlib.contextmanager
    def outside(number: int) -> Iterator[int]:
        yield number

    async def fetch(url: str) -> bytes:
        return url.encode()

    async with inside(1) as number:
        assert_type(number, int)
    with outside(1) as number:
        assert_type(number, int)
    assert_type(b.do(pool.submit, len, "a").result(), int)
    assert_type(await b.do(asyncio.get_running_loop().run_in_executor, None, len, "a"), int)
    assert_type(await passed_on(b, fetch)("a"), bytes)
    assert_type(await asyncio.wait_for(b.do(fetch, "a"), 1), bytes)
    await b.do(fetch("a"))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]
    b(None)  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]
