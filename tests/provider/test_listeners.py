"""Subscriptions: who is notified, and until when."""

from collections.abc import Callable
from typing import Any

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
