"""Circuit breakers for httpx2: one line where a client is made, or `protect` for one that exists.

`BreakerTransport` for `httpx2.Client`, `AsyncBreakerTransport` for `httpx2.AsyncClient`. A rejected request is a
`BreakerOpenTransportError`. docs/integrations/httpx.md has the tour.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import ModuleType
from typing import Any, ClassVar, TypeVar

from breaker.integrations import _base

_base.require("httpx2", oldest=(2, 0), integration="httpx2")

import httpx2

from breaker.errors import BreakerOpenError
from breaker.integrations._base import NameOf
from breaker.integrations._http import FAILURE_STATUSES, Settle
from breaker.integrations._httpx import AsyncStream, AsyncTransport, SyncStream, SyncTransport, protect_client
from breaker.provider import Provider

__all__ = [
    "FAILURE_STATUSES",
    "AsyncBreakerTransport",
    "BreakerOpenTransportError",
    "BreakerTransport",
    "protect",
]

_Client = TypeVar("_Client", bound=httpx2.Client | httpx2.AsyncClient)


class BreakerOpenTransportError(BreakerOpenError, httpx2.TransportError):
    """A request was rejected by its breaker: nothing was sent. A `BreakerOpenError` and a `httpx2.TransportError`.

    Its ``request`` is the one that was rejected, where a client sent it.

    .. versionadded:: 0.1
    """

    _request: Any = None  # what the constructor of the library's error would set


class _Stream(SyncStream, httpx2.SyncByteStream):
    pass


class _AsyncStream(AsyncStream, httpx2.AsyncByteStream):
    pass


class BreakerTransport(SyncTransport, httpx2.BaseTransport):
    """A transport with a breaker for each host: ``httpx2.Client(transport=BreakerTransport(provider))``.

    Arguments, errors and promises are those of `breaker.integrations.httpx.BreakerTransport`, with httpx2's classes.

    .. versionadded:: 0.1
    """

    library: ClassVar[ModuleType] = httpx2
    rejection = BreakerOpenTransportError
    stream = _Stream


class AsyncBreakerTransport(AsyncTransport, httpx2.AsyncBaseTransport):
    """The same for `httpx2.AsyncClient`: ``httpx2.AsyncClient(transport=AsyncBreakerTransport(provider))``.

    Arguments and errors are those of `BreakerTransport`; without ``transport`` it is around a
    ``httpx2.AsyncHTTPTransport()``. A request whose task is cancelled is ignored.

    .. versionadded:: 0.1
    """

    library: ClassVar[ModuleType] = httpx2
    rejection = BreakerOpenTransportError
    stream = _AsyncStream


def protect(
    client: _Client,
    provider: Provider,
    *,
    name: NameOf | str | None = None,
    failure_statuses: Iterable[int] = FAILURE_STATUSES,
    settle: Settle = "headers",
) -> _Client:
    """Protect the requests of a client that exists: its ``verify``, ``http2``, proxies and ``mounts`` stay in force.

    Arguments, errors and promises are those of `breaker.integrations.httpx.protect`, with httpx2's classes.

    .. versionadded:: 0.1
    """
    return protect_client(client, provider, (BreakerTransport, AsyncBreakerTransport), name, failure_statuses, settle)
