"""Channels of `grpc.aio`: four interceptors, because gRPC registers each object for one kind of call only.

grpc.aio neither reports nor cancels an intercepted stream that is dropped before its end; if it was a probe, its lease
gives the slot back.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, ClassVar

import grpc
import grpc.aio

from breaker.errors import BreakerOpenError
from breaker.integrations._base import NameOf, rejected_as
from breaker.integrations.grpc.aio_calls import RejectedCall, RejectedWriting, guarded, guarded_stream
from breaker.integrations.grpc.errors import AioBreakerOpenRpcError
from breaker.integrations.grpc.protection import FAILURE_CODES, IGNORED_CODES, Code, Protection, Settle, is_stream
from breaker.provider import Provider

Continuation = Callable[[Any, Any], Awaitable[Any]]
# gRPC's request iterator for a call whose requests are written by its caller.
_OF_WRITES = "_proxy_writes_as_request_iterator"


def aio_interceptors(
    provider: Provider,
    *,
    name: NameOf | None = None,
    failure_codes: Iterable[Code] = FAILURE_CODES,
    ignored_codes: Iterable[Code] = IGNORED_CODES,
    settle: Settle = "end",
) -> list[grpc.aio.ClientInterceptor]:
    """The interceptors of a channel: ``grpc.aio.insecure_channel(target, interceptors=aio_interceptors(provider))``.

    To combine them with others, join the lists.

    Args:
        provider: whose breakers protect the calls.
        name: as for `BreakerInterceptor`.
        failure_codes: `grpc.StatusCode` or their names. Codes in neither list are successes.
        ignored_codes: the same for calls that do not count. A list that is given wins over the other's default.
        settle: as for `BreakerInterceptor`.
    Raises:
        TypeError: an argument of the wrong kind.
        ValueError: an unknown code, or one in both lists; a ``settle`` that is none.
    Returns:
        Four, one for each kind of call.

    .. versionadded:: 0.1
    """
    protection = Protection("aio_interceptors", provider, name, failure_codes, ignored_codes, settle)
    return [kind(protection) for kind in (_UnaryUnary, _UnaryStream, _StreamUnary, _StreamStream)]


class _Interceptor:
    _streams: ClassVar[bool] = False

    def __init__(self, protection: Protection) -> None:
        self._protection = protection

    async def intercept(self, continuation: Continuation, client_call_details: Any, request: Any) -> Any:
        protection = self._protection
        try:
            breaker = protection.breaker_of(client_call_details)
            by_first = self._streams and breaker is not None and protection.first_settles(client_call_details)
            permit = None if breaker is None else breaker.acquire()
        except BreakerOpenError as rejected:
            rejection = rejected_as(AioBreakerOpenRpcError, rejected)
            # Returned, as gRPC returns a call that fails: raised, its traceback and gRPC's task would hold each other.
            if getattr(request, "__name__", None) != _OF_WRITES:
                return RejectedCall(rejection)
            await request.aclose()  # it and gRPC's call hold each other until it has been read
            return RejectedWriting(rejection)
        if permit is None:
            return await continuation(client_call_details, request)
        if (self._streams and not by_first) or is_stream(request):
            permit._unmeasured()
        try:
            call = await continuation(client_call_details, request)
        except BaseException as error:
            protection.settle_error(permit, error, client_call_details.timeout)
            raise
        if self._streams:
            return guarded_stream(protection, permit, call, client_call_details.timeout, by_first)
        return guarded(protection, permit, call, client_call_details.timeout)


# The same method under the name of each kind: a coroutine around it would cost as much as the rest.


class _UnaryUnary(_Interceptor, grpc.aio.UnaryUnaryClientInterceptor):
    intercept_unary_unary: Any = _Interceptor.intercept


class _UnaryStream(_Interceptor, grpc.aio.UnaryStreamClientInterceptor):
    _streams = True
    intercept_unary_stream: Any = _Interceptor.intercept


class _StreamUnary(_Interceptor, grpc.aio.StreamUnaryClientInterceptor):
    intercept_stream_unary: Any = _Interceptor.intercept


class _StreamStream(_Interceptor, grpc.aio.StreamStreamClientInterceptor):
    _streams = True
    intercept_stream_stream: Any = _Interceptor.intercept
