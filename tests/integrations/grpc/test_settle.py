"""``settle=``: streams that count at their end or with their first response, on channels and servers of both kinds."""

import asyncio
from collections.abc import Callable
from typing import Any

import grpc
import grpc.aio
import pytest

from breaker import BreakerOpenError, Policy, Provider, State
from breaker.integrations.grpc import BreakerServerInterceptor
from breaker.testing import ManualClock
from support.reading import counts
from support.rpc import (
    FORMS,
    HANG,
    METHOD,
    SS,
    US,
    UU,
    AioEcho,
    Echo,
    Protect,
    aio_in_a_thread,
    ask,
    open_channel,
    serving,
)
from support.rpc_aio import AIO_FORMS, AIO_METHOD, Guarded, failing
from support.watching import eventually, soon

STREAMS = {"unary-stream": US, "stream-stream": SS}
every_stream = pytest.mark.parametrize("form", STREAMS)
AIO_STREAMS = [form for form, method in AIO_METHOD.items() if method in (US, SS)]
every_aio_stream = pytest.mark.parametrize("form", AIO_STREAMS)


def begin(channel: Any, form: str, request: bytes, **options: Any) -> Any:
    """A call with a response stream, none of which was taken."""
    if form.startswith("unary-stream"):
        return channel.unary_stream(US)(request, **options)
    return channel.stream_stream(SS)(iter([request]), **options)


# Channels of grpc.


@every_stream
def test_a_first_response_is_a_success_and_nothing_after_it_counts(
    protect: Protect, server: tuple[Echo, str], patient: Provider, form: str
) -> None:
    with open_channel(server[1]) as bare:
        channel = protect(bare, patient, settle="first")
        breaker = patient.get_breaker(STREAMS[form])
        stream = begin(channel, form, ask(grpc.StatusCode.DATA_LOSS, responses=2))
        assert counts(breaker) == {}
        next(stream)
        assert counts(breaker) == {"successes": 1}
        with pytest.raises(grpc.RpcError) as caught:
            list(stream)
        assert caught.value.code() is grpc.StatusCode.DATA_LOSS
        stream = begin(channel, form, ask(delay=HANG))
        next(stream)
        stream.cancel()
        assert counts(breaker) == {"successes": 2}


@every_stream
def test_a_stream_without_a_response_counts_at_its_end(
    protect: Protect, server: tuple[Echo, str], patient: Provider, form: str
) -> None:
    with open_channel(server[1]) as bare:
        channel = protect(bare, patient, settle="first")
        with pytest.raises(grpc.RpcError):
            list(begin(channel, form, ask(grpc.StatusCode.UNAVAILABLE, responses=0)))
        assert list(begin(channel, form, ask(responses=0))) == []
        begin(channel, form, ask(delay=HANG, responses=0)).cancel()
        with pytest.raises(grpc.RpcError):
            list(begin(channel, form, ask(delay=HANG, responses=0), timeout=0.05))
        unread = begin(channel, form, ask(grpc.StatusCode.INTERNAL, responses=0))
        assert unread.code() is grpc.StatusCode.INTERNAL
    assert counts(patient.breakers[STREAMS[form]]) == {"failures": 3, "successes": 1, "ignored": 1}


@every_stream
def test_a_response_and_the_end_that_come_together_are_a_success(
    protect: Protect, server: tuple[Echo, str], patient: Provider, form: str
) -> None:
    with open_channel(server[1]) as bare:
        channel = protect(bare, patient, settle="first")
        for _ in range(100):
            with pytest.raises(grpc.RpcError):
                list(begin(channel, form, ask(grpc.StatusCode.UNAVAILABLE, responses=1)))
    assert counts(patient.breakers[STREAMS[form]]) == {"successes": 100}


@every_stream
@pytest.mark.parametrize(("settle", "counted"), [("first", "successes"), ("end", "failures")])
def test_a_watch_that_ends_by_its_own_deadline(
    protect: Protect, server: tuple[Echo, str], patient: Provider, form: str, settle: str, counted: str
) -> None:
    with open_channel(server[1]) as bare:
        channel = protect(bare, patient, settle=settle)
        with pytest.raises(grpc.RpcError) as caught:
            list(begin(channel, form, ask(delay=HANG), timeout=0.3))
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert counts(patient.breakers[STREAMS[form]]) == {counted: 1}


@every_stream
def test_long_watches_close_a_half_open_breaker(
    protect: Protect, server: tuple[Echo, str], provider_of: Callable[..., Provider], clock: ManualClock, form: str
) -> None:
    provider = provider_of(Policy(1, 2, 60.0))
    breaker = provider.get_breaker(STREAMS[form])
    with open_channel(server[1]) as bare:
        channel = protect(bare, provider, settle="first")
        with pytest.raises(grpc.RpcError):
            list(begin(channel, form, ask(grpc.StatusCode.UNAVAILABLE, responses=0)))
        clock.advance(60)
        watches = []
        for state in (State.HALF_OPEN, State.CLOSED):
            watches.append(begin(channel, form, ask(delay=HANG)))
            with pytest.raises(BreakerOpenError):  # the slot is taken until the watch has answered
                next(begin(channel, form, ask()))
            next(watches[-1])
            assert breaker.state is state
        for watch in watches:
            watch.cancel()
    assert counts(breaker) == {"failures": 1, "successes": 2, "rejected": 2}


def test_calls_with_one_response_count_at_their_end(
    protect: Protect, server: tuple[Echo, str], patient: Provider
) -> None:
    with open_channel(server[1]) as bare:
        channel = protect(bare, patient, settle="first")
        for form in FORMS:
            if METHOD[form] not in (US, SS):
                assert FORMS[form](channel, ask())
                with pytest.raises(grpc.RpcError):
                    FORMS[form](channel, ask(grpc.StatusCode.INTERNAL))
    assert counts(patient.breakers[UU]) == {"successes": 3, "failures": 3}


def test_a_callable_decides_for_each_stream(protect: Protect, server: tuple[Echo, str], patient: Provider) -> None:
    seen: list[Any] = []

    def settle(details: Any) -> str:
        seen.append(details)
        return "first" if details.timeout is None else "end"

    with open_channel(server[1]) as bare:
        channel = protect(bare, patient, settle=settle)
        for timeout in (None, 20):
            stream = channel.unary_stream(US)(ask(grpc.StatusCode.DATA_LOSS), timeout=timeout, metadata=(("k", "v"),))
            with pytest.raises(grpc.RpcError):
                list(stream)
        FORMS["unary-call"](channel, ask())
    assert counts(patient.breakers[US]) == {"successes": 1, "failures": 1}
    assert [(details.method, details.timeout, details.metadata) for details in seen] == [
        (US, None, (("k", "v"),)),
        (US, 20, (("k", "v"),)),
    ]


# Channels of grpc.aio.


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


# Servers.


class Written(grpc.GenericRpcHandler):
    """A service of grpc.aio whose handler is a coroutine that writes: as many responses as the request is long."""

    def service(self, handler_call_details: Any) -> Any:
        return grpc.unary_stream_rpc_method_handler(self.write)

    async def write(self, request: bytes, context: Any) -> None:
        for _ in request:
            await context.write(request)
        await context.abort(grpc.StatusCode.INTERNAL, "after all of them")


def pushed(request: bytes, context: Any, send: Callable[[Any], None]) -> None:
    """The same with gRPC's mark of not blocking."""
    for _ in request:
        send(request)
    context.set_code(grpc.StatusCode.INTERNAL)
    send(None)


pushed.experimental_non_blocking = True  # type: ignore[attr-defined]


class Pushed(grpc.GenericRpcHandler):
    def service(self, handler_call_details: Any) -> Any:
        return grpc.unary_stream_rpc_method_handler(pushed)


def start(is_aio: bool, interceptor: BreakerServerInterceptor, service: Any = None) -> Any:
    if is_aio:
        return aio_in_a_thread(service or AioEcho(), interceptor)
    return serving(service or Echo(), interceptors=[interceptor])


either_server = pytest.mark.parametrize("is_aio", [False, True], ids=["sync", "aio"])


@either_server
@every_stream
def test_the_first_response_of_a_handler_is_a_success(
    provider_of: Callable[..., Provider], form: str, is_aio: bool
) -> None:
    provider = provider_of(Policy(1000))
    breaker = provider.get_breaker("grpc-server:" + STREAMS[form])
    with start(is_aio, BreakerServerInterceptor(provider, settle="first")) as address, open_channel(address) as channel:
        stream = begin(channel, form, ask(delay=HANG))
        next(stream)
        eventually(lambda: counts(breaker) == {"successes": 1})  # while the handler runs
        stream.cancel()
        with pytest.raises(grpc.RpcError):
            list(begin(channel, form, ask(grpc.StatusCode.INTERNAL)))
        eventually(lambda: counts(breaker) == {"successes": 2})
        with pytest.raises(grpc.RpcError):
            list(begin(channel, form, ask(delay=HANG), timeout=0.5))
        eventually(lambda: counts(breaker) == {"successes": 3})
        with pytest.raises(grpc.RpcError):
            list(begin(channel, form, ask(grpc.StatusCode.INTERNAL, responses=0)))
        eventually(lambda: counts(breaker) == {"successes": 3, "failures": 1})
        assert FORMS["unary-call"](channel, ask())
        with pytest.raises(grpc.RpcError):
            FORMS["unary-call"](channel, ask(grpc.StatusCode.INTERNAL))
        unary = provider.breakers["grpc-server:" + UU]
        eventually(lambda: counts(unary) == {"successes": 1, "failures": 1})


@pytest.mark.parametrize(("service", "is_aio"), [(Written(), True), (Pushed(), False)], ids=["written", "pushed"])
@pytest.mark.parametrize(("settle", "expected"), [("first", "successes"), ("end", "failures")])
def test_handlers_that_send_their_responses(
    provider_of: Callable[..., Provider], service: Any, is_aio: bool, settle: Any, expected: str
) -> None:
    provider = provider_of(Policy(1000))
    breaker = provider.get_breaker("grpc-server:" + US)
    with (
        start(is_aio, BreakerServerInterceptor(provider, settle=settle), service) as address,
        open_channel(address) as channel,
    ):
        with pytest.raises(grpc.RpcError):
            list(channel.unary_stream(US)(b"two"))
        eventually(lambda: counts(breaker) == {expected: 1})
        with pytest.raises(grpc.RpcError):
            list(channel.unary_stream(US)(b""))
        eventually(lambda: breaker.snapshot().failures == 1 + (expected == "failures"))


@either_server
def test_watches_close_the_half_open_breaker_of_a_server(
    provider_of: Callable[..., Provider], clock: ManualClock, is_aio: bool
) -> None:
    provider = provider_of(Policy(1, 2, 60.0))
    breaker = provider.get_breaker("grpc-server:" + US)
    with start(is_aio, BreakerServerInterceptor(provider, settle="first")) as address, open_channel(address) as channel:
        with pytest.raises(grpc.RpcError):
            list(begin(channel, "unary-stream", ask(grpc.StatusCode.INTERNAL, responses=0)))
        eventually(lambda: breaker.state is State.OPEN)
        clock.advance(60)
        watches = []
        for state in (State.HALF_OPEN, State.CLOSED):
            watches.append(begin(channel, "unary-stream", ask(delay=HANG)))
            next(watches[-1])
            eventually(lambda state=state: breaker.state is state)
        for watch in watches:
            watch.cancel()


@either_server
def test_a_settle_that_gives_no_answer_on_a_server(provider_of: Callable[..., Provider], is_aio: bool) -> None:
    provider = provider_of(Policy(1000))
    asked: list[str] = []

    def settle(details: Any) -> Any:
        asked.append(details.method)
        return "last"

    with start(is_aio, BreakerServerInterceptor(provider, settle=settle)) as address, open_channel(address) as channel:
        for form in STREAMS:
            with pytest.raises(grpc.RpcError) as caught:
                list(begin(channel, form, ask()))
            assert caught.value.code() is grpc.StatusCode.UNKNOWN
        assert FORMS["unary-call"](channel, ask())
    assert asked == [US, SS]
