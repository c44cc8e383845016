"""Channels of `grpc.aio` against a real server: statuses, rejections, names."""

import asyncio
from collections.abc import Callable
from typing import Any

import grpc
import grpc.aio
import pytest

from breaker import BreakerOpenError, Policy, Provider, State
from breaker.integrations.grpc import AioBreakerOpenRpcError, BreakerOpenRpcError
from breaker.testing import ManualClock
from support.reading import counts
from support.rpc import COUNTED, ENDINGS, HANG, SS, SU, US, UU, Echo, aio_channel, ask
from support.rpc_aio import AIO_FORMS, AIO_METHOD, Guarded, failing

every_form = pytest.mark.parametrize("form", AIO_FORMS)


@every_form
def test_each_status_counts_once(
    guarded: Guarded, server: tuple[Echo, str], provider_of: Callable[..., Provider], form: str
) -> None:
    async def main() -> None:
        for code in ENDINGS:
            provider = provider_of(Policy(100))
            async with guarded(server[1], provider) as channel:
                error = await failing(channel, form, ask(code, responses=2))
            assert (error.code(), error.details()) == (code, "as asked")
            assert counts(provider.breakers[AIO_METHOD[form]]) == {COUNTED[code]: 1}, code

    asyncio.run(main())


@every_form
def test_an_answer_is_a_success_and_comes_back_unchanged(
    guarded: Guarded, server: tuple[Echo, str], patient: Provider, form: str
) -> None:
    async def main() -> None:
        echo, address = server
        before = echo.total
        async with aio_channel(address) as channel:
            bare = await AIO_FORMS[form](channel, ask())
        async with guarded(address, patient) as channel:
            assert await AIO_FORMS[form](channel, ask()) == bare
        assert echo.total - before == 2
        assert counts(patient.breakers[AIO_METHOD[form]]) == {"successes": 1}

    asyncio.run(main())


@every_form
def test_it_opens_rejects_probes_and_closes(
    guarded: Guarded, server: tuple[Echo, str], provider: Provider, clock: ManualClock, form: str
) -> None:
    method = AIO_METHOD[form]

    async def main() -> None:
        echo, address = server
        async with guarded(address, provider) as channel:
            await failing(channel, form, ask(grpc.StatusCode.UNAVAILABLE, details="no route"))
            clock.advance(17.5)
            before = echo.total
            for kind in (grpc.RpcError, grpc.aio.AioRpcError, BreakerOpenError, BreakerOpenRpcError):
                with pytest.raises(kind):
                    await AIO_FORMS[form](channel, ask())
            with pytest.raises(AioBreakerOpenRpcError) as caught:
                await AIO_FORMS[form](channel, ask())
            assert echo.total == before
            rejected = caught.value
            assert rejected.code() is grpc.StatusCode.UNAVAILABLE
            assert rejected.details() == (
                f"circuit breaker '{method}' is open, retry in 42.5 s; it opened on RpcError: UNAVAILABLE: no route"
            )
            assert tuple(rejected.trailing_metadata()) == (("grpc-retry-pushback-ms", "42500"),)
            assert tuple(rejected.initial_metadata()) == ()
            clock.advance(42.5)
            await AIO_FORMS[form](channel, ask())
            assert echo.total - before == 1
        assert provider.breakers[method].state is State.CLOSED
        assert counts(provider.breakers[method]) == {"failures": 1, "successes": 1, "rejected": 5}

    asyncio.run(main())


@pytest.mark.parametrize("kind", ["unary_unary", "unary_stream", "stream_unary", "stream_stream"])
def test_a_rejected_call_is_over(guarded: Guarded, server: tuple[Echo, str], provider: Provider, kind: str) -> None:
    method = {"unary_unary": UU, "unary_stream": US, "stream_unary": SU, "stream_stream": SS}[kind]
    provider.get_breaker(method).force_open()

    async def main() -> None:
        async with guarded(server[1], provider) as channel:
            call = getattr(channel, kind)(method)(ask() if kind.startswith("unary") else iter([ask()]))
            heard: list[Any] = []
            call.add_done_callback(heard.append)
            assert await call.code() is grpc.StatusCode.UNAVAILABLE
            assert method in await call.details()
            assert (await call.debug_error_string(), tuple(await call.initial_metadata())) == ("", ())
            assert "grpc-retry-pushback-ms" in await call.trailing_metadata()
            assert heard == [call]
            assert (call.done(), call.cancelled(), call.cancel()) == (True, False, False)
            with pytest.raises(AioBreakerOpenRpcError):
                await call.wait_for_connection()

    asyncio.run(main())


def test_a_rejected_call_that_is_written_to_raises_where_it_is_touched(
    guarded: Guarded, server: tuple[Echo, str], provider: Provider
) -> None:
    provider.get_breaker("every").force_open()

    async def main() -> None:
        async with guarded(server[1], provider, name=lambda details: "every") as channel:
            for start in (channel.stream_unary(SU), channel.stream_stream(SS)):
                call = start()
                with pytest.raises(AioBreakerOpenRpcError):
                    await call.write(ask())
                assert call.done()
                with pytest.raises(asyncio.InvalidStateError):  # as of every call that is over
                    await call.write(ask())
                call = start()
                await call.done_writing()
                assert await call.code() is grpc.StatusCode.UNAVAILABLE
                assert call.done()
            call = channel.stream_stream(SS)()
            with pytest.raises(AioBreakerOpenRpcError):
                await call.read()
            assert call.done()

    asyncio.run(main())


def test_names_get_the_method_as_text(guarded: Guarded, server: tuple[Echo, str], provider: Provider) -> None:
    seen: list[Any] = []

    def name(details: Any) -> str:
        seen.append(details)
        return "grpc:user-service"

    async def main() -> None:
        async with guarded(server[1], provider, name=name) as channel:
            await failing(channel, "unary-await", ask(grpc.StatusCode.UNAVAILABLE), timeout=20)
            for call in AIO_FORMS.values():
                with pytest.raises(BreakerOpenError, match="grpc:user-service"):
                    await call(channel, ask())

    asyncio.run(main())
    assert list(provider.breakers) == ["grpc:user-service"]
    assert (seen[0].method, seen[0].timeout) == (UU, 20)


def test_codes_are_counted_as_configured(guarded: Guarded, server: tuple[Echo, str], patient: Provider) -> None:
    async def main() -> None:
        options = {"failure_codes": ["NOT_FOUND", "CANCELLED"], "ignored_codes": [grpc.StatusCode.ABORTED]}
        async with guarded(server[1], patient, **options) as channel:
            for code in ("NOT_FOUND", "CANCELLED", "ABORTED", "UNAVAILABLE"):
                await failing(channel, "unary-await", ask(grpc.StatusCode[code]))
            call = channel.unary_unary(UU)(ask(delay=HANG))
            await asyncio.sleep(0.05)
            call.cancel()  # on this side: no failure, whatever the status counts as
        assert counts(patient.breakers[UU]) == {"failures": 2, "ignored": 2, "successes": 1}

    asyncio.run(main())
