"""Circuit breakers for aiohttp: a middleware of a client's session.

A rejected request is a `BreakerOpenClientError`. docs/integrations/aiohttp.md has the tour.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable, Iterator
from types import TracebackType
from typing import Any, TypeVar

from breaker.integrations import _base

_base.require("aiohttp", oldest=(3, 12), integration="aiohttp")  # the first with middlewares of clients

import aiohttp
from aiohttp import ClientHandlerType, ClientMiddlewareType, ClientRequest, ClientResponse

from breaker.errors import BreakerOpenError
from breaker.integrations._base import NameOf, rejected_as
from breaker.integrations._http import FAILURE_STATUSES, Body, Protection, Settle, authority_of
from breaker.provider import Provider

__all__ = ["FAILURE_STATUSES", "BreakerOpenClientError", "breaker_middleware"]

_Part = TypeVar("_Part")
_WAITING_FOR_THE_POOL = "_wait_for_available_connection"  # the name of aiohttp's function

# How what the source of an upload raises reaches the caller, and aiohttp's function and modules on its way or not.
_MAY_BE_OF_UPLOAD = (aiohttp.ClientConnectionError, aiohttp.ClientOSError, TimeoutError)
_SENDING = ("aiohttp.client_reqrep", "write_bytes")
_WRITING = {"aiohttp.http_writer", "aiohttp.base_protocol"}


class BreakerOpenClientError(BreakerOpenError, aiohttp.ClientConnectionError):
    """A request was rejected by its breaker: nothing was sent.

    A `BreakerOpenError` and an `aiohttp.ClientConnectionError`.

    .. versionadded:: 0.1
    """


def breaker_middleware(
    provider: Provider,
    *,
    name: NameOf | str | None = None,
    failure_statuses: Iterable[int] = FAILURE_STATUSES,
    settle: Settle = "headers",
) -> ClientMiddlewareType:
    """A breaker for each host: ``aiohttp.ClientSession(middlewares=[breaker_middleware(provider)])``.

    Each hop is a request: a redirect asks the breaker of the host that it leads to. A time-out of the session is a
    failure, a task that is cancelled is ignored. A request that has ``middlewares=`` of its own does not have those of
    its session.

    Args:
        provider: whose breakers protect the requests.
        name: makes the breaker's name of the `aiohttp.ClientRequest`, or None to leave it unprotected; text: the name
            of one breaker for all hosts. Without it the name is ``http:`` and the host, with the port where it is not
            the scheme's own.
        failure_statuses: the statuses that are failures; all others are successes.
        settle: ``"headers"``: a request ends with the head of its response. ``"body"``: with the end of the body, and
            one that breaks off is a failure.
    Returns:
        The middleware. A second one around the same request is a `ValueError` of that request.
    Raises:
        TypeError: an argument of the wrong kind.
        ValueError: a name, a status or ``settle`` that cannot be.

    Thread safety: one middleware may serve any number of sessions and loops.

    .. versionadded:: 0.1
    """
    protection = Protection("breaker_middleware", provider, name, failure_statuses, settle, _is_failure, _reject)

    async def middleware(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        key = id(request)  # aiohttp makes one for each try, so that it is in no other task
        if key in _under_way:
            raise ValueError("a request has two breaker middlewares; each of them would count it")
        permit = protection.admit(request, authority_of(request.url.host_port_subcomponent))
        if permit is None:
            return await handler(request)
        _under_way.add(key)
        try:
            with protection.inside(permit):
                try:
                    response = await handler(request)
                except BaseException as error:
                    protection.raised(permit, _cause_of(error, request))
                    raise
                without_body = (
                    protection.at_headers
                    or request.method == "HEAD"
                    or response.connection is None  # the whole body has come with the head
                )
                body = protection.answered(permit, response.status, without_body=without_body)
        finally:
            _under_way.discard(key)
        if body is not None:
            _watch(response, body)
        return response

    return middleware


_under_way: set[int] = set()


def _is_failure(error: BaseException) -> bool:
    if isinstance(error, aiohttp.InvalidURL) or _is_waiting_for_the_pool(error):
        return False
    if type(error) in _MAY_BE_OF_UPLOAD and _is_of_upload(error.__cause__ or error):
        return False
    return isinstance(error, aiohttp.ClientError | OSError)  # asyncio's TimeoutError is an OSError


def _cause_of(error: BaseException, request: ClientRequest) -> BaseException:
    """The time-out of the session, where it is that which has cancelled the task."""
    if isinstance(error, asyncio.CancelledError):
        # aiohttp ends a request that takes too long by cancelling its task, and says so to its caller alone. The timer
        # has no public name; without one the request is ignored, as one that its caller cancels.
        assert_timeout = getattr(getattr(request, "_timer", None), "assert_timeout", None)
        try:
            if assert_timeout is not None:
                assert_timeout()
        except TimeoutError as timeout:
            return timeout.with_traceback(None) if not _is_waiting_for_the_pool(error) else error
    return error


def _is_of_upload(cause: BaseException) -> bool:
    """Whether the source of what was sent has raised it, which aiohttp takes for an error of the connection."""
    functions = list(_functions(cause.__traceback__))
    if _SENDING not in functions:
        return False
    below = functions[functions.index(_SENDING) + 1 :]
    return bool(below) and not any(module in _WRITING for module, _ in below)


def _is_waiting_for_the_pool(error: BaseException | None) -> bool:
    """Whether a time-out or cancellation came while all connections of the session were in use: the caller's own."""
    while error is not None:
        if any(name == _WAITING_FOR_THE_POOL for _, name in _functions(error.__traceback__)):
            return True
        error = error.__cause__ or error.__context__
    return False


def _functions(traceback: TracebackType | None) -> Iterator[tuple[str, str]]:
    """Module and name of each."""
    while traceback is not None:
        yield traceback.tb_frame.f_globals.get("__name__", ""), traceback.tb_frame.f_code.co_name
        traceback = traceback.tb_next


def _watch(response: ClientResponse, body: Body) -> None:
    """Have the end of a body reported: by who reads it, and where its connection is released."""
    stream, connection = response.content, response.connection
    assert connection is not None
    response.content = _GuardedContent(stream, body)
    # At the end of the body, whether its caller has read it or not, and where the response is closed.
    connection.add_callback(lambda: body.ended() if stream.is_eof() else body.left())


class _GuardedContent(aiohttp.StreamReader):
    """The body of a response as it is, whose reader reports what becomes of it.

    Its own fields stay empty: what is asked of it, and what its methods inherited from aiohttp set, is the stream's.
    """

    __slots__ = ("_reports", "_stream")

    _stream: aiohttp.StreamReader
    _reports: Body

    def __init__(self, stream: aiohttp.StreamReader, body: Body) -> None:
        object.__setattr__(self, "_stream", stream)
        object.__setattr__(self, "_reports", body)

    def __getattr__(self, name: str) -> Any:
        if name in ("_stream", "_reports"):  # an object that was not filled
            raise AttributeError(name)
        return getattr(self._stream, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._stream, name, value)

    async def _read(self, reading: Awaitable[_Part]) -> _Part:
        try:
            found = await reading
        except asyncio.IncompleteReadError:  # the end came before as many bytes as were asked for: no fault of the body
            raise
        except BaseException as error:
            self._reports.broke(error)
            raise
        if found:
            self._reports.received()
        if self._stream.at_eof():
            self._reports.ended()
        return found

    async def read(self, n: int = -1) -> bytes:
        return await self._read(self._stream.read(n))

    async def readany(self) -> bytes:
        return await self._read(self._stream.readany())

    async def readchunk(self) -> tuple[bytes, bool]:
        return await self._read(self._stream.readchunk())

    async def readline(self, **limit: Any) -> bytes:  # which has a limit since 3.13
        return await self._read(self._stream.readline(**limit))

    async def readuntil(self, separator: bytes = b"\n", **limit: Any) -> bytes:
        return await self._read(self._stream.readuntil(separator, **limit))

    async def readexactly(self, n: int) -> bytes:
        return await self._read(self._stream.readexactly(n))


def _reject(rejected: BreakerOpenError, request: ClientRequest) -> BreakerOpenError:
    return rejected_as(BreakerOpenClientError, rejected)
