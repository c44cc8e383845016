"""What the applications of all frameworks do alike: a view for each path, which a test gives as a function.

A view returns text, or raises, or returns an iterator, whose items are streamed. It gets nothing: what it does is what
the test wants done at that place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from breaker import BreakerOpenError, Provider
from support.web.client import Address

View = Callable[[], "str | Iterator[str]"]
Views = Mapping[str, View]


@dataclass(frozen=True)
class Kind:
    """One kind of application.

    ``built(views, provider, **options)`` is one with ``install``; ``served(app)`` a real server of it. ``too_late``:
    the status of a stream that is rejected before its first item, which has begun with some. ``refusal``: the error
    for an argument of the wrong kind.
    """

    name: str
    built: Callable[..., Any]
    served: Callable[[Any], AbstractContextManager[Address]]
    too_late: int
    refusal: type[Exception] = TypeError


@dataclass(frozen=True, kw_only=True)
class Framework(Kind):
    """``handling`` makes an application whose own handler of a class of errors answers with 418."""

    handling: Callable[[Views, Provider, type[Exception]], Any]


def refused(provider: Provider, name: str) -> BreakerOpenError:
    """The rejection of a breaker, which is opened if it is closed."""
    breaker = provider.get_breaker(name)
    for _ in range(2):
        try:
            breaker.acquire().failure(ConnectionError(f"secret of {name}"))
        except BreakerOpenError as rejected:
            return rejected
    raise AssertionError(f"{name} does not open at its first failure")
