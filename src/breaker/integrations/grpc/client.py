"""Channels of `grpc`: the interceptor.

A blocking call is over when its continuation returns, and its error is returned, not raised. Futures and streams end
later: calls.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc

from breaker.errors import BreakerOpenError
from breaker.integrations._base import rejected_as
from breaker.integrations.grpc.calls import guarded
from breaker.integrations.grpc.errors import BreakerOpenRpcError, UnmadeCall
from breaker.integrations.grpc.protection import Protecting, is_stream

Continuation = Callable[[Any, Any], Any]


class BreakerInterceptor(
    Protecting,
    grpc.UnaryUnaryClientInterceptor,
    grpc.UnaryStreamClientInterceptor,
    grpc.StreamUnaryClientInterceptor,
    grpc.StreamStreamClientInterceptor,
):
    """Each call of a channel goes through a breaker: ``grpc.intercept_channel(channel, BreakerInterceptor(provider))``.

    A call whose breaker cannot be named is not made. Its caller gets a `RuntimeError` if ``name`` raised, a `TypeError`
    if it returned something else than text or None, a `ValueError` if no breaker can have that name. Likewise for a
    ``settle`` that raises, or returns something else than its two words.

    Args:
        provider: whose breakers protect the calls.
        name: makes the breaker's name of the call's details (``.method`` is text), or None to leave a call
            unprotected. Without it the name is the full method, ``/pkg.Service/Method``.
        failure_codes: `grpc.StatusCode` or their names. Codes in neither list are successes.
        ignored_codes: the same for calls that do not count. A list that is given wins over the other's default.
        settle: when the call of a response stream counts: at its ``"end"``, or with its ``"first"`` response, which
            is a success, and nothing after it counts. Or a callable that returns one of them for the call's details;
            it is asked for calls with a response stream.

    Raises:
        TypeError: an argument of the wrong kind.
        ValueError: an unknown code, or one in both lists; a ``settle`` that is none.

    Thread safety: one interceptor may serve any number of channels and threads.

    .. versionadded:: 0.1
    """

    def _intercept(self, continuation: Continuation, details: Any, request: Any, streams: bool = False) -> Any:
        protection = self._protection
        try:
            breaker = protection.breaker_of(details)
            by_first = streams and breaker is not None and protection.first_settles(details)
            permit = None if breaker is None else breaker.acquire()
        except BreakerOpenError as rejected:
            return rejected_as(BreakerOpenRpcError, rejected)
        except Exception as error:
            return UnmadeCall(error)
        if permit is None:
            return continuation(details, request)
        timeout = getattr(details, "timeout", None)  # gRPC takes details of other interceptors that lack it
        if (streams and not by_first) or is_stream(request):
            permit._unmeasured()
        try:
            call = continuation(details, request)
        except BaseException as error:
            protection.settle_error(permit, error, timeout)
            raise
        return guarded(protection, permit, call, timeout, by_first)

    def _intercept_stream(self, continuation: Continuation, client_call_details: Any, request: Any) -> Any:
        return self._intercept(continuation, client_call_details, request, streams=True)

    # Two methods under four names: one more around each would cost as much as the rest.
    intercept_unary_unary: Any = _intercept
    intercept_stream_unary: Any = _intercept
    intercept_unary_stream: Any = _intercept_stream
    intercept_stream_stream: Any = _intercept_stream
