"""Calls leave nothing behind: no object that waits for the collector, no memory that grows."""

import asyncio
import gc
import sys
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import grpc
import grpc.aio
import pytest

from breaker import Policy, Provider
from breaker.integrations.grpc import BreakerInterceptor, BreakerServerInterceptor
from support.collector import no_collector
from support.long import times
from support.reading import counts
from support.rpc import (
    FORMS,
    METHOD,
    PROTECTED,
    SU,
    US,
    UU,
    Echo,
    Protect,
    aio_channel,
    ask,
    intercepted,
    open_channel,
    serving,
)
from support.rpc_aio import AIO_FORMS, AIO_METHOD, Guarded
from support.watching import eventually


def garbage_of(work: Callable[[], Any], times: int) -> float:
    """How many objects each turn leaves for the collector."""
    for _ in range(5):
        work()
    with no_collector():
        time.sleep(0.02)  # gRPC's threads let go of the last call
        gc.collect()
        for _ in range(times):
            work()
        time.sleep(0.02)
        return gc.collect() / times


def swallowing(call: Callable[..., Any], *args: Any) -> Callable[[], None]:
    def work() -> None:
        with suppress(grpc.RpcError):
            call(*args)

    return work


@pytest.mark.parametrize("form", FORMS)
def test_answers_and_rejections_need_no_collector(
    protect: Protect, server: tuple[Echo, str], patient: Provider, form: str
) -> None:
    with open_channel(server[1]) as bare:
        channel = protect(bare, patient)
        assert garbage_of(swallowing(FORMS[form], channel, ask()), 50) < 1
        patient.breakers[METHOD[form]].force_open()
        assert garbage_of(swallowing(FORMS[form], channel, ask()), 50) < 1
        assert counts(patient.breakers[METHOD[form]]) == {"successes": 55, "rejected": 55}


def test_failures_leave_to_the_collector_what_grpc_leaves(
    protect: Protect, server: tuple[Echo, str], patient: Provider
) -> None:
    class Nothing(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor):
        def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
            return continuation(client_call_details, request)

        intercept_unary_stream = intercept_unary_unary

    wish = ask(grpc.StatusCode.UNAVAILABLE)
    with open_channel(server[1]) as bare:
        for form in ("unary-call", "unary-future", "unary-stream"):
            without = garbage_of(swallowing(FORMS[form], intercepted(bare, Nothing()), wish), 50)
            assert garbage_of(swallowing(FORMS[form], protect(bare, patient), wish), 50) <= without + 10, form


@pytest.mark.parametrize("form", AIO_FORMS)
def test_answers_and_rejections_of_aio_leave_no_more_than_without(
    guarded: Guarded, server: tuple[Echo, str], patient: Provider, form: str
) -> None:
    async def garbage(channel: Any, times: int = 50) -> float:
        async def work() -> None:
            with suppress(grpc.RpcError):
                await AIO_FORMS[form](channel, ask())

        for _ in range(5):
            await work()
        with no_collector():
            await asyncio.sleep(0.02)
            gc.collect()
            for _ in range(times):
                await work()
            await asyncio.sleep(0.02)
            return gc.collect() / times

    class Nothing:
        async def intercept(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
            return await continuation(client_call_details, request)

    def nothing(base: type, method: str) -> Any:
        return type("Nothing", (base,), {method: Nothing.intercept})()

    async def main() -> None:
        idle = [
            nothing(grpc.aio.UnaryUnaryClientInterceptor, "intercept_unary_unary"),
            nothing(grpc.aio.UnaryStreamClientInterceptor, "intercept_unary_stream"),
            nothing(grpc.aio.StreamUnaryClientInterceptor, "intercept_stream_unary"),
            nothing(grpc.aio.StreamStreamClientInterceptor, "intercept_stream_stream"),
        ]
        async with aio_channel(server[1], interceptors=idle) as channel:
            without = await garbage(channel)
        async with guarded(server[1], patient) as channel:
            assert await garbage(channel) <= without + 1
            patient.breakers[AIO_METHOD[form]].force_open()
            assert await garbage(channel) <= without + 1

    asyncio.run(main())


def test_channels_interceptors_and_providers_die_without_the_collector(server: tuple[Echo, str]) -> None:
    from breaker import get_default_config

    with no_collector():
        provider = Provider(get_default_config("svc", "dev"))
        interceptor = BreakerInterceptor(provider)
        with open_channel(server[1]) as bare:
            channel = intercepted(bare, interceptor)
            channel.unary_unary(UU)(ask())
            list(channel.unary_stream(US)(ask()))
            channel.stream_unary(SU).future(iter([ask()])).result()
        gone = [weakref.ref(thing) for thing in (provider, interceptor, provider.breakers[UU])]
        del provider, interceptor, channel, bare
        eventually(lambda: [thing() for thing in gone] == [None] * 3)


@pytest.mark.timeout(120)
def test_memory_is_flat_over_many_calls(provider_of: Callable[..., Provider]) -> None:
    """Rejections for the most part, for they are what an outage brings; and calls of each form that are answered."""
    closed, opened = provider_of(Policy(2**31 - 1)), provider_of()
    service, rounds = Quiet(), times(2_600, 10_200)
    interceptors = [BreakerServerInterceptor(provider_of(Policy(2**31 - 1)))]
    with (
        serving(service, interceptors=interceptors) as address,
        open_channel(address) as bare,
    ):
        answered = [protect(bare, closed) for protect in PROTECTED.values()]
        rejected = [protect(bare, opened) for protect in PROTECTED.values()]
        for method in set(METHOD.values()):
            opened.get_breaker(method).force_open()
        good, bad = ask(responses=1), ask(grpc.StatusCode.UNAVAILABLE)

        def work(rounds: int) -> None:
            for number in range(rounds):
                for form in FORMS.values():
                    swallowing(form, rejected[number % 2], good)()
                for form in list(FORMS.values())[number % 8 : number % 8 + 1]:
                    swallowing(form, answered[number // 8 % 2], bad if number % 5 == 0 else good)()

        work(1000)
        gc.collect()
        before = sys.getallocatedblocks()
        work(rounds)
        time.sleep(0.1)
        gc.collect()
        grown = sys.getallocatedblocks() - before
    total = sum(breaker.snapshot().rejected for breaker in opened.breakers.values())
    total += sum(sum(counts(breaker).values()) for breaker in closed.breakers.values())
    assert total == (1000 + rounds) * 9 > times(30_000, 100_000)
    # A block for each hundredth call of a hundred thousand would be a thousand.
    assert grown < 500


def test_memory_is_flat_over_calls_of_aio(guarded: Guarded, provider_of: Callable[..., Provider]) -> None:
    closed, opened = provider_of(Policy(2**31 - 1)), provider_of()
    for method in set(AIO_METHOD.values()):
        opened.get_breaker(method).force_open()

    async def work(rounds: int, answered: Any, rejected: Any) -> None:
        for number in range(rounds):
            for form in AIO_FORMS.values():
                with suppress(grpc.RpcError):
                    await form(rejected, ask())
            for form in list(AIO_FORMS.values())[number % 7 : number % 7 + 1]:
                with suppress(grpc.RpcError):
                    await form(answered, ask(grpc.StatusCode.UNAVAILABLE if number % 5 == 0 else None, responses=1))

    async def main(address: str) -> int:
        async with (
            guarded(address, closed) as answered,
            guarded(address, opened) as rejected,
        ):
            await work(200, answered, rejected)
            gc.collect()
            before = sys.getallocatedblocks()
            await work(1000, answered, rejected)
            gc.collect()
            return sys.getallocatedblocks() - before

    with serving(Quiet()) as address:
        assert asyncio.run(main(address)) < 500


class Quiet(Echo):
    """Echo without its notes, which grow."""

    def service(self, handler_call_details: Any) -> Any:
        return self._handlers.get(handler_call_details.method)
