"""Subscriptions: who is notified, and until when."""

import asyncio
import functools
import gc
import inspect
import sys
import types
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any
from unittest import mock

import pytest

from breaker import Provider


def test_a_subscription_ends_once(provider_of: Callable[..., Provider]) -> None:
    provider, heard = provider_of(), list[Any]()
    ends = [provider.subscribe(heard.append) for _ in range(2)]
    provider.get_breaker("a")
    ends[0]()
    ends[0]()
    provider.get_breaker("b")
    ends[1]()
    provider.get_breaker("c")
    assert [event.name for event in heard] == ["a", "a", "b"]


def test_a_subscription_that_ends_takes_no_listener_with_it_that_equals_its_own(
    provider_of: Callable[..., Provider],
) -> None:
    class Alike:
        def __init__(self) -> None:
            self.heard: list[Any] = []

        def __eq__(self, other: object) -> bool:
            return True

        def __hash__(self) -> int:
            return 0

        def __call__(self, event: Any) -> None:
            self.heard.append(event.name)

    provider, one, other = provider_of(), Alike(), Alike()
    provider.subscribe(one)
    provider.subscribe(other)()
    provider.get_breaker("a")
    assert (one.heard, other.heard) == (["a"], [])


@pytest.mark.parametrize("listener", [None, 5, "listener", []], ids=repr)
def test_a_listener_is_callable(provider_of: Callable[..., Provider], listener: Any) -> None:
    with pytest.raises(TypeError, match="a listener is called with each event, got "):
        provider_of().subscribe(listener)


class Awaited:
    """Objects and methods whose calls make a coroutine."""

    async def __call__(self, event: Any) -> None: ...

    async def method(self, event: Any) -> None: ...

    @classmethod
    async def of_the_class(cls, event: Any) -> None: ...

    @staticmethod
    async def static(event: Any) -> None: ...


async def awaited(event: Any) -> None: ...


def generated(event: Any) -> Iterator[None]:
    yield


async def generated_later(event: Any) -> AsyncIterator[None]:
    yield


@types.coroutine
def awaited_of_old(event: Any) -> Iterator[None]:
    yield


def marked(event: Any) -> None: ...


if sys.version_info >= (3, 12):
    inspect.markcoroutinefunction(marked)
else:
    marked._is_coroutine = asyncio.coroutines._is_coroutine  # type: ignore[attr-defined]


class Unwilling:
    """It cannot even say what it is."""

    def __init__(self) -> None:
        self.heard: list[Any] = []

    def __call__(self, event: Any) -> None:
        self.heard.append(event)

    def __getattr__(self, name: str) -> Any:
        raise ValueError(name)


NEVER_RUN = [
    functools.lru_cache(awaited),
    functools.partial(functools.cache(awaited)),
    functools.lru_cache(generated),
    awaited,
    generated,
    generated_later,
    awaited_of_old,
    marked,
    Awaited(),
    Awaited().method,
    Awaited.of_the_class,
    Awaited.static,
    functools.partial(awaited),
    functools.partial(functools.partial(Awaited()), 1),
    functools.partial(Awaited().method),
    mock.AsyncMock(),
    mock.create_autospec(awaited),
]


@pytest.mark.parametrize("callback", NEVER_RUN, ids=repr)
def test_what_would_never_run_is_refused(provider_of: Callable[..., Provider], callback: Any) -> None:
    # S181
    provider = provider_of()
    with pytest.raises(TypeError, match=r"a listener must be a plain function, got the (coroutine|generator) function"):
        provider.subscribe(callback)
    with pytest.raises(TypeError, match="failed_result must be a plain function, got the"):
        provider.get_breaker("a", failed_result=callback)
    assert not provider.breakers
    provider.get_breaker("a")
    with pytest.raises(TypeError, match="failed_result must be a plain function, got the"):
        provider.get_breaker("a", failed_result=callback)


def test_what_a_guarded_coroutine_function_would_do_is_known_too(provider_of: Callable[..., Provider]) -> None:
    # S181
    provider = provider_of()
    guarded = provider.get_breaker("a")(awaited)
    with pytest.raises(TypeError, match="got the coroutine function"):
        provider.subscribe(guarded)


def test_a_listener_that_answers_with_a_coroutine_is_reported(
    provider_of: Callable[..., Provider], caplog: pytest.LogCaptureFixture
) -> None:
    # S181: what it makes of the event is never run, and nothing says so but this
    provider = provider_of()
    provider.subscribe(lambda event: awaited(event))
    provider.get_breaker("a")
    gc.collect()
    (record,) = caplog.records
    assert "it returned a coroutine, which nobody awaits" in str(record.exc_info)


def test_a_predicate_that_answers_with_a_coroutine_is_an_error(provider_of: Callable[..., Provider]) -> None:
    # S43, S181: a coroutine is true, so each value would be a failure
    breaker = provider_of().get_breaker("a", failed_result=lambda value: awaited(value))
    with pytest.raises(TypeError, match="it returned a coroutine, which nobody awaits"):
        breaker.do(int)
    gc.collect()
    assert breaker.snapshot().failures == 1


def test_a_listener_that_cannot_say_what_it_is_is_called(provider_of: Callable[..., Provider]) -> None:
    provider, listener = provider_of(), Unwilling()
    provider.subscribe(listener)
    provider.get_breaker("a")
    assert [event.name for event in listener.heard] == ["a"]


class Called:
    def __call__(self, event: Any) -> None: ...


@pytest.mark.parametrize(
    "callback",
    [
        list[Any]().append,
        print,
        mock.Mock(),
        mock.MagicMock(),
        Called(),
        functools.partial(Called()),
        bool,
    ],
    ids=repr,
)
def test_what_runs_at_once_is_taken(provider_of: Callable[..., Provider], callback: Any) -> None:
    provider = provider_of()
    provider.subscribe(callback)()
    provider.get_breaker("a", failed_result=callback)
