"""``settle=``: streams that count at their end or with their first response, on channels of grpc.aio."""

import asyncio
from collections.abc import Callable
from typing import Any

import grpc
import grpc.aio
import pytest

from breaker import Policy, Provider, State
from breaker.testing import ManualClock
from support.reading import counts
from support.rpc import (
    HANG,
    SS,
    US,
    Echo,
    ask,
)
from support.rpc_aio import AIO_FORMS, AIO_METHOD, Guarded, failing
from support.rpc_streams import begin
from support.watching import soon

AIO_STREAMS = [form for form, method in AIO_METHOD.items() if method in (US, SS)]
every_aio_stream = pytest.mark.parametrize("form", AIO_STREAMS)


async def take_one(form: str, stream: Any) -> bytes:
    """The first response, in the way of that form."""
    if form.endswith("for"):
        response: bytes = await anext(aiter(stream))
        return response
    return bytes(await stream.read())


@every_aio_stream
def test_a_first_response_of_aio_is_a_success_and_nothing_after_it_counts(
    guarded: Guarded, server: tuple[Echo, str], patient: Provider, form: str
) -> None:
    async def main() -> None:
        breaker = patient.get_breaker(AIO_METHOD[form])
        async with guarded(server[1], patient, settle="first") as channel:
            for _ in range(20):  # the response and the end of the call may come together
                error = await failing(channel, form, ask(grpc.StatusCode.DATA_LOSS, responses=1))
                assert error.code() is grpc.StatusCode.DATA_LOSS
            assert counts(breaker) == {"successes": 20}
            stream = begin(channel, form, ask(delay=HANG))
            assert b"number" in await take_one(form, stream)
            assert counts(breaker) == {"successes": 21}
            assert stream.cancel()
            error = await failing(channel, form, ask(delay=HANG), timeout=0.3)
            assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            assert counts(breaker) == {"successes": 22}

    asyncio.run(main())


@every_aio_stream
def test_a_stream_of_aio_without_a_response_counts_at_its_end(
    guarded: Guarded, server: tuple[Echo, str], patient: Provider, form: str
) -> None:
    async def main() -> None:
        async with guarded(server[1], patient, settle="first") as channel:
            await failing(channel, form, ask(grpc.StatusCode.UNAVAILABLE, responses=0))
            assert await AIO_FORMS[form](channel, ask(responses=0)) == []
            before = server[0].total
            stream = asyncio.ensure_future(AIO_FORMS[form](channel, ask(delay=HANG, responses=0)))
            await soon(lambda: server[0].total > before)
            stream.cancel()
            with pytest.raises(asyncio.CancelledError):
                await stream
            await failing(channel, form, ask(delay=HANG, responses=0), timeout=0.1)  # may never reach the server
            expected = {"failures": 2, "successes": 1, "ignored": 1}
            await soon(lambda: counts(patient.breakers[AIO_METHOD[form]]) == expected)

    asyncio.run(main())


@every_aio_stream
def test_long_watches_of_aio_close_a_half_open_breaker(
    guarded: Guarded, server: tuple[Echo, str], provider_of: Callable[..., Provider], clock: ManualClock, form: str
) -> None:
    provider = provider_of(Policy(1, 2, 60.0))
    breaker = provider.get_breaker(AIO_METHOD[form])

    async def main() -> None:
        async with guarded(server[1], provider, settle="first") as channel:
            await failing(channel, form, ask(grpc.StatusCode.UNAVAILABLE, responses=0))
            clock.advance(60)
            watches = []
            for state in (State.HALF_OPEN, State.CLOSED):
                watches.append(begin(channel, form, ask(delay=HANG)))
                await take_one(form, watches[-1])
                assert breaker.state is state
            for watch in watches:
                watch.cancel()
        assert counts(breaker) == {"failures": 1, "successes": 2}

    asyncio.run(main())


def test_a_callable_decides_for_each_stream_of_aio(
    guarded: Guarded, server: tuple[Echo, str], patient: Provider
) -> None:
    seen: list[Any] = []

    def settle(details: Any) -> str:
        seen.append((details.method, details.timeout))
        return "first" if details.timeout is None else "end"

    async def main() -> None:
        async with guarded(server[1], patient, settle=settle) as channel:
            for timeout in (None, 20):
                await failing(channel, "unary-stream-for", ask(grpc.StatusCode.DATA_LOSS), timeout=timeout)
            await AIO_FORMS["unary-await"](channel, ask())

    asyncio.run(main())
    assert counts(patient.breakers[US]) == {"successes": 1, "failures": 1}
    assert seen == [(US, None), (US, 20)]


def test_the_two_ways_of_reading_are_not_mixed(guarded: Guarded, server: tuple[Echo, str], patient: Provider) -> None:
    async def main() -> None:
        async with guarded(server[1], patient, settle="first") as channel:
            stream = channel.unary_stream(US)(ask())
            responses = aiter(stream)
            if hasattr(stream, "_call"):  # behind interceptors gRPC does not mind
                with pytest.raises(grpc.aio.UsageError):
                    await stream.read()
                assert counts(patient.breakers[US]) == {}  # a mistake of the caller's, and the call goes on
            assert len([response async for response in responses]) == 3
            assert counts(patient.breakers[US]) == {"successes": 1}
            stream = channel.unary_stream(US)(ask(delay=HANG))
            responses = aiter(stream)
            if hasattr(stream, "_call"):
                with pytest.raises(grpc.aio.UsageError):
                    await stream.read()
                stream.cancel()
                assert counts(patient.breakers[US]) == {"successes": 1, "ignored": 1}

    asyncio.run(main())
