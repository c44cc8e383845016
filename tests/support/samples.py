"""Functions for a breaker to guard: coroutines and generators that pause, raise, and resist their end."""

from collections.abc import AsyncGenerator, Coroutine, Generator
from typing import Any, TypeAlias

from support.drive import Boom

Coro: TypeAlias = Coroutine[Any, Any, Any]
Gen: TypeAlias = Generator[Any, Any, Any]
AsyncGen: TypeAlias = AsyncGenerator[Any, Any]


class Pause:
    """An awaitable that suspends once, giving ``signal``, and returns what it is sent."""

    def __init__(self, signal: Any = "paused") -> None:
        self.signal = signal

    def __await__(self) -> Gen:
        return (yield self.signal)


async def at_once(value: Any = None) -> Any:
    """Never suspends."""
    return value


async def fails(error: BaseException | None = None) -> None:
    """Never suspends, and raises."""
    raise error or Boom("down")


def raising() -> Gen:
    yield 1
    raise Boom("inside")


async def raising_later() -> AsyncGen:
    yield 1
    raise Boom("inside")


def stubborn() -> Gen:
    """Raises when it is closed."""
    try:
        yield 1
    except GeneratorExit:
        raise Boom("while closing") from None


async def stubborn_later() -> AsyncGen:
    """The same, asynchronous."""
    try:
        yield 1
    except GeneratorExit:
        raise Boom("while closing") from None
