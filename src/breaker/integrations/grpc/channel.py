"""Guarded channels of `grpc`: each call through the channel's own callables, with a breaker around it.

gRPC's interceptors cost 13 µs a call, whatever they do: call details, a continuation and an outcome are made for each.
Here nothing stands between caller and channel but the breaker. Calls end as they do with the interceptor.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import grpc

from breaker.errors import BreakerOpenError
from breaker.integrations._base import rejected_as
from breaker.integrations.grpc.calls import guarded
from breaker.integrations.grpc.errors import BreakerOpenRpcError, UnmadeCall
from breaker.integrations.grpc.protection import CallDetails, Protection, is_stream

if TYPE_CHECKING:
    UnaryUnary = grpc.UnaryUnaryMultiCallable[Any, Any]
    UnaryStream = grpc.UnaryStreamMultiCallable[Any, Any]
    StreamUnary = grpc.StreamUnaryMultiCallable[Any, Any]
    StreamStream = grpc.StreamStreamMultiCallable[Any, Any]
else:  # generic only in their stubs
    UnaryUnary = grpc.UnaryUnaryMultiCallable
    UnaryStream = grpc.UnaryStreamMultiCallable
    StreamUnary = grpc.StreamUnaryMultiCallable
    StreamStream = grpc.StreamStreamMultiCallable

Start = Callable[..., Any]


class GuardedChannel(grpc.Channel):
    """A channel of `grpc` whose calls go through breakers. All else is the channel's own."""

    def __init__(self, channel: grpc.Channel, protection: Protection) -> None:
        self._channel = channel
        self._protection = protection

    # What comes after the method goes on as it came: grpcio's generated code gives more than is documented.

    def unary_unary(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return _UnaryUnary(self._channel.unary_unary(method, *args, **kwargs), method, self._protection)

    def unary_stream(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return _UnaryStream(self._channel.unary_stream(method, *args, **kwargs), method, self._protection)

    def stream_unary(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return _StreamUnary(self._channel.stream_unary(method, *args, **kwargs), method, self._protection)

    def stream_stream(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return _StreamStream(self._channel.stream_stream(method, *args, **kwargs), method, self._protection)

    def subscribe(self, callback: Callable[[grpc.ChannelConnectivity], None], try_to_connect: bool = False) -> None:
        self._channel.subscribe(callback, try_to_connect=try_to_connect)

    def unsubscribe(self, callback: Callable[[grpc.ChannelConnectivity], None]) -> None:
        self._channel.unsubscribe(callback)

    def close(self) -> None:
        self._channel.close()

    def __enter__(self) -> GuardedChannel:
        self._channel.__enter__()
        return self

    def __exit__(self, *error: Any) -> Any:
        return self._channel.__exit__(*error)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._channel, name)


class _Guarded:
    """One method of a channel. ``options`` are timeout, metadata, credentials, wait_for_ready, compression."""

    __slots__ = ("_call", "_get_breaker", "_is_plain", "_method", "_protection", "_start")

    def __init__(self, call: Any, method: str, protection: Protection) -> None:
        self._call = call
        self._start: Start = call.__call__
        self._method = method
        self._protection = protection
        self._is_plain = protection.is_plain
        self._get_breaker = protection.get_breaker

    def _blocking(self, start: Start, request: Any, *options: Any) -> Any:
        """A call that is over when it returns."""
        protection, method = self._protection, self._method
        breaker = protection.breaker_for(CallDetails(method, *options) if protection.asks else None, method)
        if breaker is None:
            return start(request, *options)
        try:
            permit = breaker.acquire()
        except BreakerOpenError as rejected:
            raise rejected_as(BreakerOpenRpcError, rejected) from None
        if is_stream(request):
            permit._unmeasured()
        try:
            answer = start(request, *options)
        except BaseException as error:
            protection.settle_error(permit, error, options[0])
            raise
        protection.settle(permit, grpc.StatusCode.OK, "")
        return answer

    def _later(self, start: Start, streams: bool, request: Any, *options: Any) -> Any:
        """A call that is given back before it is over."""
        protection, method = self._protection, self._method
        details = CallDetails(method, *options) if protection.asks else None
        try:
            breaker = protection.breaker_for(details, method)
            by_first = streams and breaker is not None and protection.first_settles(details)
            permit = None if breaker is None else breaker.acquire()
        except BreakerOpenError as rejected:
            return rejected_as(BreakerOpenRpcError, rejected)
        except Exception as error:
            return UnmadeCall(error)
        if permit is None:
            return start(request, *options)
        if (streams and not by_first) or is_stream(request):
            permit._unmeasured()
        try:
            call = start(request, *options)
        except BaseException as error:
            protection.settle_error(permit, error, options[0])
            raise
        return guarded(protection, permit, call, options[0], by_first)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._call, name)


class _UnaryUnary(_Guarded, UnaryUnary):
    def __call__(
        self,
        request: Any,
        timeout: float | None = None,
        metadata: Any = None,
        credentials: Any = None,
        wait_for_ready: bool | None = None,
        compression: Any = None,
    ) -> Any:
        if not self._is_plain:
            return self._blocking(self._start, request, timeout, metadata, credentials, wait_for_ready, compression)
        # The way of most calls, as short as it can be.
        try:
            permit = self._get_breaker(self._method).acquire()
        except BreakerOpenError as rejected:
            raise rejected_as(BreakerOpenRpcError, rejected) from None
        try:
            answer = self._start(request, timeout, metadata, credentials, wait_for_ready, compression)
        except BaseException as error:
            self._protection.settle_error(permit, error, timeout)
            raise
        permit.success()
        return answer

    def with_call(
        self,
        request: Any,
        timeout: float | None = None,
        metadata: Any = None,
        credentials: Any = None,
        wait_for_ready: bool | None = None,
        compression: Any = None,
    ) -> Any:
        return self._blocking(
            self._call.with_call, request, timeout, metadata, credentials, wait_for_ready, compression
        )

    def future(
        self,
        request: Any,
        timeout: float | None = None,
        metadata: Any = None,
        credentials: Any = None,
        wait_for_ready: bool | None = None,
        compression: Any = None,
    ) -> Any:
        return self._later(
            self._call.future, False, request, timeout, metadata, credentials, wait_for_ready, compression
        )


class _StreamUnary(_Guarded, StreamUnary):
    def __call__(
        self,
        request_iterator: Any,
        timeout: float | None = None,
        metadata: Any = None,
        credentials: Any = None,
        wait_for_ready: bool | None = None,
        compression: Any = None,
    ) -> Any:
        return self._blocking(
            self._start, request_iterator, timeout, metadata, credentials, wait_for_ready, compression
        )

    def with_call(
        self,
        request_iterator: Any,
        timeout: float | None = None,
        metadata: Any = None,
        credentials: Any = None,
        wait_for_ready: bool | None = None,
        compression: Any = None,
    ) -> Any:
        return self._blocking(
            self._call.with_call, request_iterator, timeout, metadata, credentials, wait_for_ready, compression
        )

    def future(
        self,
        request_iterator: Any,
        timeout: float | None = None,
        metadata: Any = None,
        credentials: Any = None,
        wait_for_ready: bool | None = None,
        compression: Any = None,
    ) -> Any:
        return self._later(
            self._call.future, False, request_iterator, timeout, metadata, credentials, wait_for_ready, compression
        )


class _UnaryStream(_Guarded, UnaryStream):
    def __call__(
        self,
        request: Any,
        timeout: float | None = None,
        metadata: Any = None,
        credentials: Any = None,
        wait_for_ready: bool | None = None,
        compression: Any = None,
    ) -> Any:
        return self._later(self._start, True, request, timeout, metadata, credentials, wait_for_ready, compression)


class _StreamStream(_Guarded, StreamStream):
    def __call__(
        self,
        request_iterator: Any,
        timeout: float | None = None,
        metadata: Any = None,
        credentials: Any = None,
        wait_for_ready: bool | None = None,
        compression: Any = None,
    ) -> Any:
        return self._later(
            self._call, True, request_iterator, timeout, metadata, credentials, wait_for_ready, compression
        )
