"""``settle=``: streams that count at their end or with their first response, on servers of both kinds."""

from collections.abc import Callable
from typing import Any

import grpc
import grpc.aio
import pytest

from breaker import Policy, Provider, State
from breaker.integrations.grpc import BreakerServerInterceptor
from breaker.testing import ManualClock
from support.reading import counts
from support.rpc import (
    FORMS,
    HANG,
    SS,
    US,
    UU,
    AioEcho,
    Echo,
    aio_in_a_thread,
    ask,
    open_channel,
    serving,
)
from support.rpc_streams import STREAMS, begin, every_stream
from support.watching import eventually


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
