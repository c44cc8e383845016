"""The forms in which a channel of `grpc.aio` is called, and what tests of such channels share."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import grpc
import grpc.aio
import pytest

from breaker import BreakerOpenError, Provider
from breaker.integrations.grpc import aio_interceptors, guard
from support.rpc import SS, SU, US, UU, aio_channel


async def _read(call: Any) -> list[bytes]:
    responses = []
    while (response := await call.read()) is not grpc.aio.EOF:
        responses.append(response)
    return responses


async def _write(call: Any, request: bytes) -> None:
    await call.write(request)
    await call.done_writing()


async def _unary_await(channel: Any, request: bytes, **options: Any) -> list[bytes]:
    return [await channel.unary_unary(UU)(request, **options)]


async def _unary_stream_for(channel: Any, request: bytes, **options: Any) -> list[bytes]:
    return [response async for response in channel.unary_stream(US)(request, **options)]


async def _unary_stream_read(channel: Any, request: bytes, **options: Any) -> list[bytes]:
    return await _read(channel.unary_stream(US)(request, **options))


async def _stream_unary_await(channel: Any, request: bytes, **options: Any) -> list[bytes]:
    return [await channel.stream_unary(SU)(iter([request]), **options)]


async def _stream_unary_write(channel: Any, request: bytes, **options: Any) -> list[bytes]:
    call = channel.stream_unary(SU)(**options)
    await _write(call, request)
    return [await call]


async def _stream_stream_for(channel: Any, request: bytes, **options: Any) -> list[bytes]:
    return [response async for response in channel.stream_stream(SS)(iter([request]), **options)]


async def _stream_stream_write(channel: Any, request: bytes, **options: Any) -> list[bytes]:
    call = channel.stream_stream(SS)(**options)
    await _write(call, request)
    return await _read(call)


AIO_FORMS: dict[str, Callable[..., Any]] = {
    "unary-await": _unary_await,
    "unary-stream-for": _unary_stream_for,
    "unary-stream-read": _unary_stream_read,
    "stream-unary-await": _stream_unary_await,
    "stream-unary-write": _stream_unary_write,
    "stream-stream-for": _stream_stream_for,
    "stream-stream-write": _stream_stream_write,
}
AIO_METHOD = {
    "unary-await": UU,
    "unary-stream-for": US,
    "unary-stream-read": US,
    "stream-unary-await": SU,
    "stream-unary-write": SU,
    "stream-stream-for": SS,
    "stream-stream-write": SS,
}


@asynccontextmanager
async def _intercepted(address: str, provider: Provider, **options: Any) -> AsyncIterator[Any]:
    async with aio_channel(address, interceptors=aio_interceptors(provider, **options)) as channel:
        yield channel


@asynccontextmanager
async def _guarded(address: str, provider: Provider, **options: Any) -> AsyncIterator[Any]:
    async with guard(aio_channel(address), provider, **options) as channel:
        yield channel


Guarded = Callable[..., AbstractAsyncContextManager[Any]]

# The ways to a protected channel of `grpc.aio`: called with an address, a provider and options.
GUARDED: dict[str, Guarded] = {"interceptors": _intercepted, "guard": _guarded}


async def failing(channel: Any, form: str, request: bytes, **options: Any) -> Any:
    """A call that must fail with the server's status. Returns its error."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await AIO_FORMS[form](channel, request, **options)
    assert not isinstance(caught.value, BreakerOpenError)
    return caught.value
