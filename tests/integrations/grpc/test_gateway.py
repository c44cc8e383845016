"""A gateway: a server whose handlers call on, with one breaker for what comes in and what goes out."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import grpc
import grpc.aio
import pytest

from breaker import Breaker, Policy, Provider, State
from breaker.integrations.grpc import BreakerServerInterceptor
from breaker.testing import ManualClock
from support.reading import OPENED, PROBING, RECOVERED, transitions
from support.rpc import (
    FORMS,
    SS,
    SU,
    US,
    UU,
    AioEcho,
    Echo,
    Protect,
    aio_channel,
    aio_serving,
    ask,
    open_channel,
    serving,
)
from support.rpc_aio import AIO_FORMS, Guarded
from support.watching import eventually

DOWN = ask(grpc.StatusCode.UNAVAILABLE)


def shared(details: Any) -> str:
    """One breaker for all methods of both sides."""
    return "gateway"


class Gateway(grpc.GenericRpcHandler):
    """Hands each call on, through a channel of `grpc`."""

    def __init__(self, channel: Any) -> None:
        def unary_stream(request: bytes, context: Any) -> Iterator[bytes]:
            yield from channel.unary_stream(US)(request)

        def stream_stream(requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
            yield from channel.stream_stream(SS)(requests)

        self._handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
            UU: grpc.unary_unary_rpc_method_handler(lambda request, context: channel.unary_unary(UU)(request)),
            US: grpc.unary_stream_rpc_method_handler(unary_stream),
            SU: grpc.stream_unary_rpc_method_handler(lambda requests, context: channel.stream_unary(SU)(requests)),
            SS: grpc.stream_stream_rpc_method_handler(stream_stream),
        }

    def service(self, handler_call_details: Any) -> Any:
        return self._handlers[handler_call_details.method]


class AioGateway(grpc.GenericRpcHandler):
    """The same through a channel of `grpc.aio`. A task of the handler's makes the unary call."""

    def __init__(self, channel: Any) -> None:
        async def unary_unary(request: bytes, context: Any) -> Any:
            async def call() -> Any:
                return await channel.unary_unary(UU)(request)

            return await asyncio.create_task(call())

        async def unary_stream(request: bytes, context: Any) -> AsyncIterator[bytes]:
            async for response in channel.unary_stream(US)(request):
                yield response

        async def stream_unary(requests: AsyncIterator[bytes], context: Any) -> Any:
            return await channel.stream_unary(SU)(requests)

        async def stream_stream(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
            async for response in channel.stream_stream(SS)(requests):
                yield response

        self._handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
            UU: grpc.unary_unary_rpc_method_handler(unary_unary),
            US: grpc.unary_stream_rpc_method_handler(unary_stream),
            SU: grpc.stream_unary_rpc_method_handler(stream_unary),
            SS: grpc.stream_stream_rpc_method_handler(stream_stream),
        }

    def service(self, handler_call_details: Any) -> Any:
        return self._handlers[handler_call_details.method]


def recovered(breaker: Breaker, events: list[Any]) -> None:
    assert transitions(events) == [OPENED, PROBING, RECOVERED]
    assert breaker.snapshot().rejected == 0
    assert breaker.snapshot().probes == {"success": 2, "failure": 0, "ignored": 0, "late": 0}


@pytest.mark.parametrize("form", FORMS)
def test_a_gateway_with_one_breaker_for_both_sides_closes_after_an_opening(
    protect: Protect, provider_of: Callable[..., Provider], clock: ManualClock, events: list[Any], form: str
) -> None:
    # S55, S56: with the default policy
    provider = provider_of(Policy())
    breaker = provider.get_breaker("gateway")
    inward = BreakerServerInterceptor(provider, name=shared)
    with serving(Echo()) as address, open_channel(address) as bare:
        gateway = Gateway(protect(bare, provider, name=shared))
        with serving(gateway, interceptors=[inward]) as address, open_channel(address) as channel:
            while breaker.state is State.CLOSED:
                with pytest.raises(grpc.RpcError):
                    FORMS[form](channel, DOWN)
            clock.advance(60)
            for _ in range(2):
                assert FORMS[form](channel, ask())
                eventually(lambda: breaker.snapshot().half_open_in_flight == 0)
    recovered(breaker, events)


@pytest.mark.parametrize("form", AIO_FORMS)
def test_a_gateway_of_grpc_aio_does_too(
    guarded: Guarded, provider_of: Callable[..., Provider], clock: ManualClock, events: list[Any], form: str
) -> None:
    # S55, S56
    provider = provider_of(Policy())
    breaker = provider.get_breaker("gateway")
    call = AIO_FORMS[form]

    async def main() -> None:
        inward = BreakerServerInterceptor(provider, name=shared)
        async with aio_serving(AioEcho()) as address, guarded(address, provider, name=shared) as bare:
            serving = aio_serving(AioGateway(bare), interceptors=[inward])
            async with serving as address, aio_channel(address) as channel:
                while breaker.state is State.CLOSED:
                    with pytest.raises(grpc.aio.AioRpcError):
                        await call(channel, DOWN)
                clock.advance(60)
                for _ in range(2):
                    assert await call(channel, ask())
                    async with asyncio.timeout(20):
                        while breaker.snapshot().half_open_in_flight:
                            await asyncio.sleep(0.001)

    asyncio.run(main())
    recovered(breaker, events)
