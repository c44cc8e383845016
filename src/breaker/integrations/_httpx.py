"""Transports of httpx and of httpx2, which differ in their names alone: each has a module of its own built on this one.

A transport is asked for each hop: each redirect and each step of an authentication is a request of its own. It raises
for what happens before the head of a response; what happens in the body is raised by the stream of the response.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from types import ModuleType, TracebackType
from typing import Any, ClassVar, Self, TypeVar

from breaker.errors import BreakerOpenError
from breaker.integrations._base import NameOf, Permit, check_provider, rejected_as
from breaker.integrations._http import FAILURE_STATUSES, Body, Protection, Settle, host_of
from breaker.provider import Provider

_Client = TypeVar("_Client")


class _Transport:
    """What transports of both kinds, of both libraries, have in common."""

    library: ClassVar[ModuleType]
    rejection: ClassVar[type[BreakerOpenError]]  # `BreakerOpenError` and the library's TransportError
    stream: ClassVar[type[Any]]  # the body of a response, an instance of the library's class of streams
    wrapped: ClassVar[str]  # the name of the base class of what is wrapped
    default: ClassVar[str]  # the name of the class of a transport where none is given

    def __init__(
        self,
        provider: Provider,
        transport: Any = None,
        *,
        name: NameOf | str | None = None,
        failure_statuses: Iterable[int] = FAILURE_STATUSES,
        settle: Settle = "headers",
    ) -> None:
        owner = type(self).__name__
        check_provider(owner, provider)
        kind = getattr(self.library, self.wrapped)
        if transport is None:
            transport = getattr(self.library, self.default)()
        elif not isinstance(transport, kind):
            got = f"the class {transport.__name__}" if isinstance(transport, type) else type(transport).__name__
            raise TypeError(f"{owner} wraps a {self.library.__name__}.{self.wrapped}, got {got}")
        elif isinstance(transport, _Transport):
            raise ValueError(f"{owner} got a transport that is protected already; each request would count twice")
        self._transport = transport
        self._protection = self.protection(owner, provider, name, failure_statuses, settle)

    @classmethod
    def protection(
        cls,
        owner: str,
        provider: Provider,
        name: NameOf | str | None,
        failure_statuses: Iterable[int],
        settle: Settle,
    ) -> Protection:
        """The settings of transports of this library, checked."""
        judge, reject = _judge_of(cls.library), _rejecter_of(cls.rejection)
        return Protection(owner, provider, name, failure_statuses, settle, judge, reject)

    @classmethod
    def around(cls, transport: Any, protection: Protection) -> Self:
        """A transport around one that exists, with settings that exist."""
        made = cls.__new__(cls)
        made._transport = transport
        made._protection = protection
        return made

    def _admit(self, request: Any) -> Permit | None:
        url = request.url
        return self._protection.admit(request, host_of(url.scheme, url.raw_host.decode("ascii"), url.port))

    def _answered(self, permit: Permit, request: Any, response: Any) -> Body | None:
        # Of a response that was made in this process, the body is here already.
        without_body = request.method == "HEAD" or response.is_closed
        return self._protection.answered(permit, response.status_code, without_body=without_body)


class SyncTransport(_Transport):
    """Half of a ``BreakerTransport``: the other half is the library's base class."""

    wrapped = "BaseTransport"
    default = "HTTPTransport"

    def handle_request(self, request: Any) -> Any:
        permit = self._admit(request)
        if permit is None:
            return self._transport.handle_request(request)
        with self._protection.inside(permit):
            try:
                response = self._transport.handle_request(request)
            except BaseException as error:
                self._protection.raised(permit, error)
                raise
            body = self._answered(permit, request, response)
        if body is not None:
            response.stream = self.stream(response.stream, body)
        return response

    def close(self) -> None:
        self._transport.close()

    def __enter__(self) -> Self:
        self._transport.__enter__()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        self._transport.__exit__(exc_type, exc_value, traceback)


class AsyncTransport(_Transport):
    """Half of an ``AsyncBreakerTransport``."""

    wrapped = "AsyncBaseTransport"
    default = "AsyncHTTPTransport"

    async def handle_async_request(self, request: Any) -> Any:
        permit = self._admit(request)
        if permit is None:
            return await self._transport.handle_async_request(request)
        with self._protection.inside(permit):
            try:
                response = await self._transport.handle_async_request(request)
            except BaseException as error:
                self._protection.raised(permit, error)
                raise
            body = self._answered(permit, request, response)
        if body is not None:
            response.stream = self.stream(response.stream, body)
        return response

    async def aclose(self) -> None:
        await self._transport.aclose()

    async def __aenter__(self) -> Self:
        await self._transport.__aenter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        await self._transport.__aexit__(exc_type, exc_value, traceback)


def protect_client(
    client: _Client,
    provider: Provider,
    kinds: tuple[type[SyncTransport], type[AsyncTransport]],
    name: NameOf | str | None,
    failure_statuses: Iterable[int],
    settle: Settle,
) -> _Client:
    """Put a breaker around each transport of a client that exists; the transports stay as they are."""
    sync_kind, async_kind = kinds
    library = sync_kind.library
    kind: type[_Transport]
    if isinstance(client, library.Client):
        kind = sync_kind
    elif isinstance(client, library.AsyncClient):
        kind = async_kind
    else:
        got = f"the class {client.__name__}" if isinstance(client, type) else type(client).__name__
        what = f"{library.__name__}.Client or {library.__name__}.AsyncClient"
        raise TypeError(f"protect takes an instance of {what}, got {got}")
    protection = kind.protection("protect", provider, name, failure_statuses, settle)
    # A client has no public name for its transports. Given as transport=, ours would come with none of the client's
    # verify, cert, http2, limits and proxies, which live in them.
    private: Any = client
    if private.is_closed:
        raise ValueError("protect got a client that is closed")
    used = [private._transport, *private._mounts.values()]
    if any(isinstance(transport, _Transport) for transport in used):
        raise ValueError("protect got a client that is protected already; each request would count twice")
    guarded = {id(transport): kind.around(transport, protection) for transport in used if transport is not None}
    private._transport = guarded[id(private._transport)]
    private._mounts = {pattern: guarded.get(id(transport)) for pattern, transport in private._mounts.items()}
    return client


def _judge_of(library: ModuleType) -> Callable[[BaseException], bool]:
    failures = library.TransportError
    callers = (library.PoolTimeout, library.UnsupportedProtocol, library.LocalProtocolError)

    def is_failure(error: BaseException) -> bool:
        return isinstance(error, failures) and not isinstance(error, callers)

    return is_failure


def _rejecter_of(kind: type[BreakerOpenError]) -> Callable[[BreakerOpenError, Any], BreakerOpenError]:
    return lambda rejected, request: rejected_as(kind, rejected)  # the client adds the request


class SyncStream:
    """The body of a response, which reports its end."""

    def __init__(self, stream: Any, body: Body) -> None:
        self._stream = stream
        self._body = body

    def __iter__(self) -> Iterator[bytes]:
        try:
            for part in self._stream:
                self._body.received()
                yield part
        except BaseException as error:
            self._body.broke(error)
            raise
        self._body.ended()

    def close(self) -> None:
        self._body.left()
        self._stream.close()


class AsyncStream:
    """The same for asynchronous clients."""

    def __init__(self, stream: Any, body: Body) -> None:
        self._stream = stream
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for part in self._stream:
                self._body.received()
                yield part
        except BaseException as error:
            self._body.broke(error)
            raise
        self._body.ended()

    async def aclose(self) -> None:
        self._body.left()
        await self._stream.aclose()
