"""A name of None: a call without a breaker, which the interceptors pass through untouched."""

import asyncio
from typing import Any

import grpc
import grpc.aio
import pytest

from breaker import BreakerOpenError, Provider
from breaker.integrations.grpc import BreakerServerInterceptor
from support.reading import counts
from support.rpc import (
    ENDINGS,
    FORMS,
    METHOD,
    SS,
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
from support.rpc_aio import AIO_FORMS, AIO_METHOD, Guarded

every_form = pytest.mark.parametrize("form", FORMS)
every_aio_form = pytest.mark.parametrize("form", AIO_FORMS)


def nothing(details: Any) -> None:
    """``name=`` of an interceptor that protects no call."""


def but_unary(details: Any) -> str | None:
    return details.method if details.method == UU else None


@every_form
def test_answers_and_errors_on_a_channel(
    protect: Protect, server: tuple[Echo, str], provider: Provider, form: str
) -> None:
    echo, address = server
    before = echo.total
    with open_channel(address) as bare:
        channel = protect(bare, provider, name=nothing)
        for code in ENDINGS:
            with pytest.raises(grpc.RpcError) as caught:
                FORMS[form](channel, ask(code))
            assert (caught.value.code(), caught.value.details()) == (code, "as asked")
        assert FORMS[form](channel, ask()) == FORMS[form](bare, ask())
    assert echo.total - before == len(ENDINGS) + 2
    assert list(provider.breakers) == []


def test_calls_of_a_channel_are_the_ones_that_grpc_made(
    protect: Protect, server: tuple[Echo, str], provider: Provider
) -> None:
    with open_channel(server[1]) as bare:
        unprotected = protect(bare, provider, name=nothing)
        protected = protect(bare, provider)
        for channel, ours in ((unprotected, False), (protected, True)):
            future = channel.unary_unary(UU).future(ask(delay=0.05))  # over at once, it needs nothing of ours
            stream = channel.stream_stream(SS)(iter([ask()]))
            assert future.result(timeout=30)
            assert len(list(stream)) == 3
            for call in (future, stream):
                assert type(call).__module__.startswith("breaker.") is ours


@every_aio_form
def test_answers_and_errors_on_a_channel_of_aio(
    guarded: Guarded, server: tuple[Echo, str], provider: Provider, form: str
) -> None:
    echo, address = server
    before = echo.total

    async def main() -> None:
        async with (
            guarded(address, provider, name=nothing) as channel,
            aio_channel(address) as bare,
        ):
            for code in ENDINGS:
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await AIO_FORMS[form](channel, ask(code))
                assert (caught.value.code(), caught.value.details()) == (code, "as asked")
            assert await AIO_FORMS[form](channel, ask()) == await AIO_FORMS[form](bare, ask())

    asyncio.run(main())
    assert echo.total - before == len(ENDINGS) + 2
    assert list(provider.breakers) == []


@every_form
def test_a_server_runs_the_handler_as_it_is(provider: Provider, form: str) -> None:
    echo = Echo()
    interceptor = BreakerServerInterceptor(provider, name=nothing)
    with serving(echo, interceptors=[interceptor]) as address, open_channel(address) as channel:
        for code in ENDINGS:
            with pytest.raises(grpc.RpcError) as caught:
                FORMS[form](channel, ask(code))
            assert (caught.value.code(), caught.value.details()) == (code, "as asked")
        assert FORMS[form](channel, ask())
    assert echo.ran.total() == len(ENDINGS) + 1
    assert list(provider.breakers) == []


@every_aio_form
def test_a_server_of_aio_runs_the_handler_as_it_is(provider: Provider, form: str) -> None:
    echo = AioEcho()

    async def main() -> None:
        interceptor = BreakerServerInterceptor(provider, name=nothing)
        async with (
            aio_serving(echo, interceptors=[interceptor]) as address,
            aio_channel(address) as channel,
        ):
            for code in ENDINGS:
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await AIO_FORMS[form](channel, ask(code))
                assert (caught.value.code(), caught.value.details()) == (code, "as asked")
            assert await AIO_FORMS[form](channel, ask())

    asyncio.run(main())
    assert echo.ran.total() == len(ENDINGS) + 1
    assert list(provider.breakers) == []


def test_a_handler_without_a_breaker_is_the_very_object_of_its_service(provider: Provider) -> None:
    handler: Any = grpc.unary_unary_rpc_method_handler(lambda request, context: request)

    class Details:
        method = UU

    def found(details: Any) -> Any:
        return handler

    assert BreakerServerInterceptor(provider, name=nothing).intercept_service(found, Details()) is handler
    assert BreakerServerInterceptor(provider).intercept_service(found, Details()) is not handler


def test_some_methods_of_a_channel_can_be_left_out(
    protect: Protect, server: tuple[Echo, str], provider: Provider
) -> None:
    with open_channel(server[1]) as bare:
        channel = protect(bare, provider, name=but_unary)
        provider.get_breaker(UU).force_open()
        for form in FORMS:
            if METHOD[form] == UU:
                with pytest.raises(BreakerOpenError):
                    FORMS[form](channel, ask())
            else:
                assert FORMS[form](channel, ask())
    assert list(provider.breakers) == [UU]


def test_some_methods_of_a_channel_of_aio_can_be_left_out(
    guarded: Guarded, server: tuple[Echo, str], provider: Provider
) -> None:
    async def main() -> None:
        async with guarded(server[1], provider, name=but_unary) as channel:
            for form in AIO_FORMS:
                assert await AIO_FORMS[form](channel, ask())
            protected = [form for form in AIO_FORMS if AIO_METHOD[form] == UU]
            assert counts(provider.breakers[UU]) == {"successes": len(protected)}
            provider.breakers[UU].force_open()
            for form in protected:
                with pytest.raises(BreakerOpenError):
                    await AIO_FORMS[form](channel, ask())

    asyncio.run(main())
    assert list(provider.breakers) == [UU]
