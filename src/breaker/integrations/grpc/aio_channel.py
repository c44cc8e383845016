"""Guarded channels of `grpc.aio`: each call through the channel's own callables, with a breaker around it.

An interceptor of grpc.aio costs one more task and one more call object for each call, whatever it does. Here there is a
done callback. Calls end as they do with the interceptors, but for a response stream that is dropped: it is cancelled.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

import grpc
import grpc.aio

from breaker.errors import BreakerOpenError
from breaker.integrations._base import rejected_as
from breaker.integrations.grpc.aio_calls import RejectedCall, RejectedWriting, guarded, guarded_stream, settle
from breaker.integrations.grpc.errors import AioBreakerOpenRpcError
from breaker.integrations.grpc.protection import CallDetails, Protection, is_stream


class GuardedAioChannel(grpc.aio.Channel):
    """A channel of `grpc.aio` whose calls go through breakers. All else is the channel's own."""

    def __init__(self, channel: grpc.aio.Channel, protection: Protection) -> None:
        self._guarded = channel
        self._protection = protection

    # What comes after the method goes on as it came: grpcio's generated code gives more than is documented.

    def unary_unary(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return _UnaryUnary(self._guarded.unary_unary(method, *args, **kwargs), method, self._protection)

    def unary_stream(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return _UnaryStream(self._guarded.unary_stream(method, *args, **kwargs), method, self._protection)

    def stream_unary(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return _StreamUnary(self._guarded.stream_unary(method, *args, **kwargs), method, self._protection)

    def stream_stream(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return _StreamStream(self._guarded.stream_stream(method, *args, **kwargs), method, self._protection)

    async def __aenter__(self) -> GuardedAioChannel:
        await self._guarded.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> bool | None:
        return await self._guarded.__aexit__(*error)

    async def close(self, grace: float | None = None) -> None:
        await self._guarded.close(grace)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        return self._guarded.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        await self._guarded.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        await self._guarded.channel_ready()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._guarded, name)


class _Guarded:
    """One method of a channel."""

    _streams: ClassVar[bool] = False

    def __init__(self, call: Any, method: str, protection: Protection) -> None:
        self._call = call
        self._start: Callable[..., Any] = call.__call__
        self._method = method
        self._protection = protection
        self._is_plain = protection.is_plain
        self._get_breaker = protection.get_breaker

    def _begin(
        self,
        request: Any,
        timeout: float | None,
        metadata: Any,
        credentials: Any,
        wait_for_ready: Any,
        compression: Any,
    ) -> Any:
        protection, method, details = self._protection, self._method, None
        if protection.asks:
            details = CallDetails(method, timeout, metadata, credentials, wait_for_ready, compression)
        breaker = protection.breaker_for(details, method)
        by_first = self._streams and breaker is not None and protection.first_settles(details)
        try:
            permit = None if breaker is None else breaker.acquire()
        except BreakerOpenError as rejected:
            rejection = rejected_as(AioBreakerOpenRpcError, rejected)
            return RejectedWriting(rejection) if request is None else RejectedCall(rejection)
        if permit is not None and ((self._streams and not by_first) or is_stream(request)):
            permit._unmeasured()
        try:
            call = self._start(
                request,
                timeout=timeout,
                metadata=metadata,
                credentials=credentials,
                wait_for_ready=wait_for_ready,
                compression=compression,
            )
        except BaseException as error:
            if permit is not None:
                protection.settle_error(permit, error, timeout)
            raise
        if permit is None:
            return call
        if self._streams:
            return guarded_stream(protection, permit, call, timeout, by_first)
        return guarded(protection, permit, call, timeout)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._call, name)


class _UnaryUnary(_Guarded, grpc.aio.UnaryUnaryMultiCallable[Any, Any]):
    def __call__(
        self,
        request: Any,
        *,
        timeout: float | None = None,
        metadata: Any = None,
        credentials: Any = None,
        wait_for_ready: bool | None = None,
        compression: Any = None,
    ) -> Any:
        if not self._is_plain:
            return self._begin(request, timeout, metadata, credentials, wait_for_ready, compression)
        # The way of most calls, as short as it can be.
        try:
            permit = self._get_breaker(self._method).acquire()
        except BreakerOpenError as rejected:
            return RejectedCall(rejected_as(AioBreakerOpenRpcError, rejected))
        try:
            call = self._start(
                request,
                timeout=timeout,
                metadata=metadata,
                credentials=credentials,
                wait_for_ready=wait_for_ready,
                compression=compression,
            )
        except BaseException as error:
            self._protection.settle_error(permit, error, timeout)
            raise
        call.add_done_callback(partial(settle, self._protection, permit, timeout))
        return call


class _UnaryStream(_Guarded, grpc.aio.UnaryStreamMultiCallable[Any, Any]):
    _streams = True

    def __call__(
        self,
        request: Any,
        *,
        timeout: float | None = None,
        metadata: Any = None,
        credentials: Any = None,
        wait_for_ready: bool | None = None,
        compression: Any = None,
    ) -> Any:
        return self._begin(request, timeout, metadata, credentials, wait_for_ready, compression)


class _StreamUnary(_Guarded, grpc.aio.StreamUnaryMultiCallable[Any, Any]):
    def __call__(
        self,
        request_iterator: Any = None,
        timeout: float | None = None,
        metadata: Any = None,
        credentials: Any = None,
        wait_for_ready: bool | None = None,
        compression: Any = None,
    ) -> Any:
        return self._begin(request_iterator, timeout, metadata, credentials, wait_for_ready, compression)


class _StreamStream(_Guarded, grpc.aio.StreamStreamMultiCallable[Any, Any]):
    _streams = True

    def __call__(
        self,
        request_iterator: Any = None,
        timeout: float | None = None,
        metadata: Any = None,
        credentials: Any = None,
        wait_for_ready: bool | None = None,
        compression: Any = None,
    ) -> Any:
        return self._begin(request_iterator, timeout, metadata, credentials, wait_for_ready, compression)
