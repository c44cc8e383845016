"""What the small programs of the border call: a provider that opens at once, and one function of each kind."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

from breaker import Policy, Provider, get_default_config

CONFIG = get_default_config("svc", "dev")


def provider(policy: Policy | None = None, **options: Any) -> Provider:
    return Provider(CONFIG, default_policy=policy or Policy(1, 1, 60.0), **options)


def fails() -> None:
    raise ValueError("broken")


async def coroutine(value: object = 5) -> object:
    return value


def generator() -> Iterator[int]:
    yield 1
    yield 2


async def async_generator() -> AsyncIterator[int]:
    yield 1
    yield 2
