"""Channels of `grpc.aio`: four interceptors, because gRPC registers each object for one kind of call only.

A call is settled by its done callback, which gRPC runs before whoever awaits the call goes on. The call itself is given
back untouched. grpc.aio neither reports nor cancels a stream that is dropped before its end; if it was a probe, its
lease gives the slot back.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterable
from functools import partial
from typing import Any, NoReturn, TypeVar

import grpc
import grpc.aio

from breaker.errors import BreakerOpenError
from breaker.integrations._base import NameOf, Permit, rejected_as
from breaker.integrations.grpc.errors import AioBreakerOpenRpcError
from breaker.integrations.grpc.protection import FAILURE_CODES, IGNORED_CODES, Code, Protection
from breaker.provider import Provider

Continuation = Callable[[Any, Any], Awaitable[Any]]
# gRPC's request iterator for a call whose requests are written by its caller.
_OF_WRITES = "_proxy_writes_as_request_iterator"
_T = TypeVar("_T")


def aio_interceptors(
    provider: Provider,
    *,
    name: NameOf | None = None,
    failure_codes: Iterable[Code] = FAILURE_CODES,
    ignored_codes: Iterable[Code] = IGNORED_CODES,
) -> list[grpc.aio.ClientInterceptor]:
    """The interceptors of a channel: ``grpc.aio.insecure_channel(target, interceptors=aio_interceptors(provider))``.

    To combine them with others, join the lists.

    Args:
        provider: whose breakers protect the calls.
        name: as for `BreakerInterceptor`.
        failure_codes: `grpc.StatusCode` or their names. Codes in neither list are successes.
        ignored_codes: the same for calls that do not count. A list that is given wins over the other's default.
    Raises:
        TypeError: an argument of the wrong kind.
        ValueError: an unknown code, or one in both lists.
    Returns:
        Four, one for each kind of call.

    .. versionadded:: 0.1
    """
    protection = Protection("aio_interceptors", provider, name, failure_codes, ignored_codes)
    return [kind(protection) for kind in (_UnaryUnary, _UnaryStream, _StreamUnary, _StreamStream)]


class _Interceptor:
    def __init__(self, protection: Protection) -> None:
        self._protection = protection

    async def intercept(self, continuation: Continuation, client_call_details: Any, request: Any) -> Any:
        try:
            breaker = self._protection.breaker_of(client_call_details)
            permit = None if breaker is None else breaker.acquire()
        except BreakerOpenError as rejected:
            rejection = rejected_as(AioBreakerOpenRpcError, rejected)
            # Returned, as gRPC returns a call that fails: raised, its traceback and gRPC's task would hold each other.
            if getattr(request, "__name__", None) != _OF_WRITES:
                return RejectedCall(rejection)
            await request.aclose()  # it and gRPC's call hold each other until it has been read
            return _RejectedWriting(rejection)
        if permit is None:
            return await continuation(client_call_details, request)
        try:
            call = await continuation(client_call_details, request)
        except BaseException as error:
            self._protection.settle_error(permit, error)
            raise
        if call.done():
            _settle(self._protection, permit, call)
        else:
            call.add_done_callback(partial(_settle, self._protection, permit))
        return call


# The same method under the name of each kind: a coroutine around it would cost as much as the rest.


class _UnaryUnary(_Interceptor, grpc.aio.UnaryUnaryClientInterceptor):
    intercept_unary_unary: Any = _Interceptor.intercept


class _UnaryStream(_Interceptor, grpc.aio.UnaryStreamClientInterceptor):
    intercept_unary_stream: Any = _Interceptor.intercept


class _StreamUnary(_Interceptor, grpc.aio.StreamUnaryClientInterceptor):
    intercept_stream_unary: Any = _Interceptor.intercept


class _StreamStream(_Interceptor, grpc.aio.StreamStreamClientInterceptor):
    intercept_stream_stream: Any = _Interceptor.intercept


def _settle(protection: Protection, permit: Permit, call: Any) -> None:
    """Settle by a call that is over: it is asked for its status now, and has it at hand."""
    code = _at_once(call.code())
    if code is None:
        permit.ignore()
    elif code is grpc.StatusCode.OK:
        protection.settle(permit, code, "")
    else:
        protection.settle(permit, code, _at_once(call.details()) or "")


def _at_once(answer: Coroutine[Any, Any, _T]) -> _T | None:
    """What a coroutine returns that has nothing to wait for; None if it does wait."""
    try:
        answer.send(None)
    except StopIteration as stop:
        value: _T = stop.value
        return value
    answer.close()
    return None


class RejectedCall(
    grpc.aio.UnaryUnaryCall[Any, Any],
    grpc.aio.UnaryStreamCall[Any, Any],
    grpc.aio.StreamUnaryCall[Any, Any],
    grpc.aio.StreamStreamCall[Any, Any],
):
    """A call of any kind that was over before it began, with the status of its rejection."""

    def __init__(self, rejection: AioBreakerOpenRpcError) -> None:
        self._rejection = rejection

    def __await__(self) -> Generator[None, None, NoReturn]:
        raise self._rejection.exception()

    def __aiter__(self) -> RejectedCall:
        return self

    async def __anext__(self) -> NoReturn:
        raise self._rejection.exception()

    async def read(self) -> NoReturn:
        raise self._rejection.exception()

    async def write(self, request: Any) -> NoReturn:
        raise self._rejection.exception()

    async def done_writing(self) -> NoReturn:
        raise self._rejection.exception()

    async def wait_for_connection(self) -> NoReturn:
        raise self._rejection.exception()

    async def code(self) -> grpc.StatusCode:
        return self._rejection.code()

    async def details(self) -> str:
        return self._rejection.details()

    async def debug_error_string(self) -> str:
        return self._rejection.debug_error_string()

    async def initial_metadata(self) -> grpc.aio.Metadata:
        return self._rejection.initial_metadata()

    async def trailing_metadata(self) -> grpc.aio.Metadata:
        return self._rejection.trailing_metadata()

    def cancel(self) -> bool:
        return False

    def cancelled(self) -> bool:
        return False

    def done(self) -> bool:
        return True

    def time_remaining(self) -> None:
        return None

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        callback(self)


class _RejectedWriting(RejectedCall):
    """The same where the caller writes the requests: `write` raises the rejection.

    gRPC's `write` says `InvalidStateError` of a call that is done. So this one is done when its caller knows;
    the flag is what `write` looks at next.
    """

    _over = False

    @property
    def _done_writing_flag(self) -> bool:
        self._over = True
        raise self._rejection.exception()

    def done(self) -> bool:
        return self._over

    def __await__(self) -> Generator[None, None, NoReturn]:
        self._over = True
        return super().__await__()

    async def code(self) -> grpc.StatusCode:
        self._over = True
        return await super().code()

    async def __anext__(self) -> NoReturn:
        self._over = True
        raise self._rejection.exception()
