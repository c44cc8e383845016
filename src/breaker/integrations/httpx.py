"""Circuit breakers for httpx: one line where a client is made, or `protect` for one that exists.

`BreakerTransport` for `httpx.Client`, `AsyncBreakerTransport` for `httpx.AsyncClient`. A rejected request is a
`BreakerOpenTransportError`. docs/integrations/httpx.md has the tour.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import ModuleType
from typing import Any, ClassVar, TypeVar

from breaker.integrations import _base

_base.require("httpx", oldest=(0, 28), integration="httpx")

import httpx

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

_Client = TypeVar("_Client", bound=httpx.Client | httpx.AsyncClient)


class BreakerOpenTransportError(BreakerOpenError, httpx.TransportError):
    """A request was rejected by its breaker: nothing was sent. A `BreakerOpenError` and a `httpx.TransportError`.

    Its ``request`` is the one that was rejected, where a client sent it.

    .. versionadded:: 0.1
    """

    _request: Any = None  # what the constructor of the library's error would set


class _Stream(SyncStream, httpx.SyncByteStream):
    pass


class _AsyncStream(AsyncStream, httpx.AsyncByteStream):
    pass


class BreakerTransport(SyncTransport, httpx.BaseTransport):
    """A transport with a breaker for each host: ``httpx.Client(transport=BreakerTransport(provider))``.

    Each hop is a request: a redirect asks the breaker of the host that it leads to.

    Args:
        provider: whose breakers protect the requests.
        transport: what sends them; None: a ``httpx.HTTPTransport()``. A client that is given a transport uses none of
            its own ``verify``, ``cert``, ``http2``, ``limits`` and ``proxy``: give them to that transport, or use
            `protect`.
        name: makes the breaker's name of the `httpx.Request`, or None to leave it unprotected; text: the name of one
            breaker for all hosts. Without it the name is ``http:`` and the host, with the port where it is not the
            scheme's own.
        failure_statuses: the statuses that are failures; all others are successes.
        settle: ``"headers"``: a request ends with the head of its response. ``"body"``: with the end of the body, and
            one that breaks off is a failure.
    Raises:
        TypeError: an argument of the wrong kind.
        ValueError: a name, a status or ``settle`` that cannot be; a transport that is protected already.

    Thread safety: as that of the transport inside.

    .. versionadded:: 0.1
    """

    library: ClassVar[ModuleType] = httpx
    rejection = BreakerOpenTransportError
    stream = _Stream


class AsyncBreakerTransport(AsyncTransport, httpx.AsyncBaseTransport):
    """The same for `httpx.AsyncClient`: ``httpx.AsyncClient(transport=AsyncBreakerTransport(provider))``.

    Arguments and errors are those of `BreakerTransport`; without ``transport`` it is around a
    ``httpx.AsyncHTTPTransport()``. A request whose task is cancelled is ignored.

    .. versionadded:: 0.1
    """

    library: ClassVar[ModuleType] = httpx
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

    Args:
        client: a `httpx.Client` or a `httpx.AsyncClient`.
        provider: as for `BreakerTransport`, and so are the others.
    Returns:
        The client.
    Raises:
        TypeError: an argument of the wrong kind.
        ValueError: as for `BreakerTransport`; a client that is closed, or protected already.

    Thread safety: to be called before other threads use the client.

    .. versionadded:: 0.1
    """
    return protect_client(client, provider, (BreakerTransport, AsyncBreakerTransport), name, failure_statuses, settle)
