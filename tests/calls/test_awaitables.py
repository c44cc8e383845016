"""Awaitables that are no coroutines, and context managers: when their calls end, and how."""

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterator
from typing import Any

import pytest

from breaker import BreakerOpenError, Policy
from support.drive import Boom, Make
from support.reading import counts

Later = Callable[[Any], Any]


# Awaitables that are no coroutines


class Connecting:
    """As the pools of drivers return it: it is awaited, or entered."""

    def __init__(self, error: Exception | None = None, waits: bool = True) -> None:
        self.error, self.waits, self.left, self.note = error, waits, 0, "an attribute"

    async def connect(self) -> str:
        if self.waits:
            await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        return "connection"

    def __await__(self) -> Generator[Any, Any, str]:
        return self.connect().__await__()

    async def __aenter__(self) -> str:
        return await self.connect()

    async def __aexit__(self, *error: object) -> bool:
        self.left += 1
        return False


class Request(Connecting, Coroutine[Any, Any, str]):
    """As the sessions of aiohttp return it: a coroutine too."""

    def __init__(self, error: Exception | None = None, waits: bool = True) -> None:
        super().__init__(error, waits)
        self.coroutine = self.connect()

    def send(self, value: Any) -> Any:
        return self.coroutine.send(value)

    def throw(self, *error: Any) -> Any:
        return self.coroutine.throw(*error)

    def close(self) -> None:
        self.coroutine.close()

    def __await__(self) -> Generator[Any, Any, str]:
        return self.coroutine.__await__()

    async def __aenter__(self) -> str:
        return await self.coroutine


async def awaited(made: Any) -> Any:
    return await made


async def entered(made: Any) -> Any:
    async with made as value:
        return value


async def in_a_task(made: Any) -> Any:
    return await asyncio.ensure_future(made)


@pytest.mark.parametrize("waits", [True, False])
@pytest.mark.parametrize("use", [awaited, entered, in_a_task])
@pytest.mark.parametrize("kind", [Connecting, Request])
def test_an_awaitable_is_judged_when_it_was_awaited_or_entered(
    make_breaker: Make, kind: Any, use: Later, waits: bool
) -> None:
    # S33
    breaker = make_breaker(Policy(3))

    async def main() -> None:
        assert await use(breaker.do(kind, None, waits)) == "connection"
        assert counts(breaker) == {"successes": 1}
        for _ in range(3):
            with pytest.raises(Boom):
                await use(breaker(kind)(Boom("down"), waits))
        with pytest.raises(BreakerOpenError):
            breaker.do(kind)
        assert counts(breaker) == {"successes": 1, "failures": 3, "rejected": 1}

    asyncio.run(main())


@pytest.mark.parametrize("kind", [Connecting, Request])
def test_the_body_of_an_entered_awaitable_is_the_callers(make_breaker: Make, kind: Any) -> None:
    # S33
    breaker = make_breaker(Policy(3))

    async def main() -> None:
        async with breaker.do(kind) as connection:
            assert (connection, counts(breaker)) == ("connection", {"successes": 1})
            raise KeyError

    with pytest.raises(KeyError):
        asyncio.run(main())
    assert counts(breaker) == {"successes": 1}


@pytest.mark.parametrize("kind", [Connecting, Request])
def test_it_is_what_it_was_to_those_who_ask(make_breaker: Make, kind: Any) -> None:
    breaker = make_breaker(Policy(3))
    made = breaker.do(kind)
    assert isinstance(made, kind)
    assert (made.note, made.waits) == ("an attribute", True)
    assert asyncio.iscoroutine(made) is isinstance(made, Coroutine)
    with pytest.raises(AttributeError, match="nothing"):
        made.nothing  # noqa: B018 - the read is the point
    if isinstance(made, Coroutine):
        made.close()
    del made
    assert counts(breaker) == {"ignored": 1}


@pytest.mark.parametrize("kind", [Connecting, Request])
def test_an_attribute_that_is_set_or_deleted_is_the_awaitables(make_breaker: Make, kind: Any) -> None:
    # S33
    breaker = make_breaker(Policy(3))
    inner = kind()
    made = breaker.do(lambda: inner)
    made.note, made.timeout = "another", 2.0
    assert (inner.note, inner.timeout) == ("another", 2.0)
    del made.timeout
    assert not hasattr(inner, "timeout")
    with pytest.raises(AttributeError, match="timeout"):
        del made.timeout
    assert asyncio.run(awaited(made)) == "connection"
    assert counts(breaker) == {"successes": 1}
    if isinstance(inner, Coroutine):
        inner.close()


def test_a_cancelled_await_is_ignored(make_breaker: Make) -> None:
    breaker = make_breaker(Policy(3))

    class Waits:
        def __await__(self) -> Iterator[Any]:
            return iter(asyncio.get_running_loop().create_future())

    async def main() -> None:
        task = asyncio.create_task(awaited(breaker.do(Waits)))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert counts(breaker) == {"ignored": 1}


def test_an_awaitable_that_cannot_be_entered_says_so(make_breaker: Make) -> None:
    class Waits:
        def __await__(self) -> Iterator[Any]:
            yield

    async def main() -> None:
        async with make_breaker(Policy(3)).do(Waits):  # type: ignore[attr-defined]
            pass

    with pytest.raises(TypeError, match="'Waits' object does not support the asynchronous context manager protocol"):
        asyncio.run(main())


def test_failed_result_sees_what_was_awaited_and_what_was_entered(make_breaker: Make) -> None:
    # S43
    breaker = make_breaker(Policy(9), failed_result=lambda value: value == "connection")

    async def main() -> None:
        for use in (awaited, entered):
            for kind in (Connecting, Request):
                assert await use(breaker.do(kind)) == "connection"

    asyncio.run(main())
    assert counts(breaker) == {"failures": 4}


# Context managers of contextlib


@contextlib.contextmanager
def connection(error: Exception | None = None) -> Iterator[str]:
    if error is not None:
        raise error
    yield "connection"


@contextlib.asynccontextmanager
async def connection_later(error: Exception | None = None) -> AsyncIterator[str]:
    await asyncio.sleep(0)
    if error is not None:
        raise error
    yield "connection"


async def entered_plainly(made: Any) -> Any:
    with made as value:
        return value


@pytest.mark.parametrize(("function", "use"), [(connection, entered_plainly), (connection_later, entered)])
def test_a_context_manager_is_judged_when_it_was_entered(make_breaker: Make, function: Any, use: Later) -> None:
    # S33
    breaker = make_breaker(Policy(3))

    async def main() -> None:
        made = breaker.do(function)
        assert isinstance(made, type(function()))
        assert counts(breaker) == {}
        assert await use(made) == "connection"
        assert counts(breaker) == {"successes": 1}
        for _ in range(3):
            with pytest.raises(Boom):
                await use(breaker(function)(Boom("down")))
        with pytest.raises(BreakerOpenError):  # at the call
            breaker.do(function)
        assert counts(breaker) == {"successes": 1, "failures": 3, "rejected": 1}

    asyncio.run(main())


def test_the_body_of_a_context_manager_is_the_callers(make_breaker: Make) -> None:
    # S33
    breaker = make_breaker(Policy(1))

    async def main() -> None:
        with pytest.raises(KeyError), breaker.do(connection):
            raise KeyError
        with pytest.raises(KeyError):
            async with breaker(connection_later)():
                raise KeyError

    asyncio.run(main())
    assert counts(breaker) == {"successes": 2}


def test_a_context_manager_that_is_a_decorator_asks_at_each_call(make_breaker: Make) -> None:
    breaker = make_breaker(Policy(1))

    @breaker.do(connection)
    def inside() -> str:
        return "ran"

    assert (inside(), inside()) == ("ran", "ran")
    gc.collect()
    assert counts(breaker)["successes"] == 2
    breaker.force_open()
    with pytest.raises(BreakerOpenError):
        inside()


def test_a_context_manager_that_is_never_entered_is_ignored(make_breaker: Make) -> None:
    # S39
    breaker = make_breaker(Policy(1))
    breaker.do(connection)
    gc.collect()
    assert counts(breaker) == {"ignored": 1}


@pytest.mark.parametrize(("function", "use"), [(connection, entered_plainly), (connection_later, entered)])
def test_failed_result_sees_what_was_entered_of_a_context_manager(
    make_breaker: Make, function: Any, use: Later
) -> None:
    # S43
    breaker = make_breaker(Policy(5), failed_result=lambda value: value == "connection")
    assert asyncio.run(use(breaker.do(function))) == "connection"
    assert counts(breaker) == {"failures": 1}
