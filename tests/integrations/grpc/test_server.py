"""Servers of `grpc` and `grpc.aio`: what handlers do counts, and a method whose handler keeps failing is shed."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import grpc
import grpc.aio
import pytest

from breaker import Policy, Provider, State
from breaker.integrations.grpc import BreakerServerInterceptor
from breaker.testing import ManualClock
from support.reading import counts
from support.rpc import (
    COUNTED,
    ENDINGS,
    FORMS,
    HANG,
    METHOD,
    SS,
    US,
    UU,
    AioEcho,
    Echo,
    Protect,
    aio_channel,
    aio_in_a_thread,
    aio_serving,
    ask,
    open_channel,
    serving,
)
from support.watching import eventually

SERVER = "grpc-server:"
SERVED = {form: SERVER + method for form, method in METHOD.items()}
# One form for each kind of method: to the server all forms are alike.
KINDS = ["unary-call", "unary-stream", "stream-unary-call", "stream-stream"]
every_kind = pytest.mark.parametrize("form", KINDS)


@contextmanager
def sync_server(provider: Provider, **options: Any) -> Iterator[tuple[Any, Any]]:
    echo = Echo()
    with (
        serving(echo, interceptors=[BreakerServerInterceptor(provider, **options)]) as address,
        open_channel(address) as channel,
    ):
        yield echo, channel


@contextmanager
def aio_server(provider: Provider, **options: Any) -> Iterator[tuple[Any, Any]]:
    """A server of `grpc.aio` in a thread of its own, so that the same calls go to both kinds."""
    echo = AioEcho()
    with (
        aio_in_a_thread(echo, BreakerServerInterceptor(provider, **options)) as address,
        open_channel(address) as channel,
    ):
        yield echo, channel


def start(serve: Any, service: grpc.GenericRpcHandler, interceptor: BreakerServerInterceptor) -> Any:
    """Either server with a service of the test's own."""
    if serve is sync_server:
        return serving(service, interceptors=[interceptor])
    return aio_in_a_thread(service, interceptor)


either_server = pytest.mark.parametrize("serve", [sync_server, aio_server], ids=["sync", "aio"])
Serve = Callable[..., Any]


def failing(channel: Any, form: str, request: bytes, **options: Any) -> Any:
    with pytest.raises(grpc.RpcError) as caught:
        FORMS[form](channel, request, **options)
    return caught.value


@either_server
@pytest.mark.parametrize("how", ["abort", "set_code"])
def test_each_status_counts_once(provider_of: Callable[..., Provider], serve: Serve, how: str) -> None:
    provider = provider_of(Policy(1000))
    with serve(provider) as (_, channel):
        for form in KINDS:
            for code in ENDINGS:
                error = failing(channel, form, ask(code, how=how))
                assert (error.code(), error.details()) == (code, "as asked")
            breaker = provider.breakers[SERVED[form]]
            expected = dict(Counter(COUNTED[code] for code in ENDINGS))
            eventually(lambda breaker=breaker, expected=expected: counts(breaker) == expected)


@either_server
@every_kind
def test_it_sheds_load_when_the_handler_keeps_failing_and_takes_it_back(
    provider_of: Callable[..., Provider], clock: ManualClock, serve: Serve, form: str
) -> None:
    provider = provider_of(Policy(3, 1, 60.0))
    with serve(provider) as (echo, channel):
        assert FORMS[form](channel, ask())
        for number in range(3):
            error = failing(channel, form, ask(crash=number == 0) if number == 0 else ask(grpc.StatusCode.INTERNAL))
            assert error.code() in (grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL)
        ran = echo.ran.total()
        breaker = provider.breakers[SERVED[form]]
        eventually(lambda: breaker.state is State.OPEN)  # grpc.aio answers before the handler has ended
        clock.advance(17.2501)
        shed = failing(channel, form, ask())
        assert shed.code() is grpc.StatusCode.UNAVAILABLE
        assert shed.details() == f"circuit breaker '{SERVED[form]}' is open, retry in 42.7 s"
        assert ("grpc-retry-pushback-ms", "42750") in tuple(shed.trailing_metadata())
        assert echo.ran.total() == ran == 4
        clock.advance(60)
        assert FORMS[form](channel, ask())
        assert echo.ran.total() == ran + 1
        eventually(lambda: breaker.state is State.CLOSED)
        assert counts(breaker) == {"successes": 2, "failures": 3, "rejected": 1}


@either_server
def test_answers_go_through_unchanged(patient: Provider, serve: Serve) -> None:
    with serving(Echo()) as address, open_channel(address) as channel:
        bare = {form: FORMS[form](channel, ask()) for form in FORMS}
    with serve(patient) as (_, channel):
        assert {form: FORMS[form](channel, ask()) for form in FORMS} == bare


@either_server
def test_a_status_that_was_set_before_a_crash_is_the_one_that_counts(patient: Provider, serve: Serve) -> None:
    class Lookup(grpc.GenericRpcHandler):
        def service(self, handler_call_details: Any) -> Any:
            return grpc.unary_unary_rpc_method_handler(self.find)

        def find(self, request: bytes, context: Any) -> bytes:
            context.set_code(grpc.StatusCode.NOT_FOUND)
            raise KeyError("no such user")

    server = start(serve, Lookup(), BreakerServerInterceptor(patient))
    with server as address, open_channel(address) as channel:
        assert failing(channel, "unary-call", ask()).code() is grpc.StatusCode.NOT_FOUND
        eventually(lambda: counts(patient.breakers[SERVER + UU]) == {"successes": 1})


@either_server
def test_a_deadline_that_passes_while_the_handler_runs_is_a_failure(patient: Provider, serve: Serve) -> None:
    with serve(patient) as (_, channel):
        for form in KINDS:
            error = failing(channel, form, ask(delay=HANG), timeout=0.5)
            assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            breaker = patient.breakers[SERVED[form]]
            eventually(lambda breaker=breaker: counts(breaker) == {"failures": 1})


@either_server
def test_a_client_that_hangs_up_says_nothing_unless_it_had_a_response(patient: Provider, serve: Serve) -> None:
    with serve(patient) as (echo, channel):
        future = channel.unary_unary(UU).future(ask(delay=HANG))
        unanswered = channel.stream_stream(SS)(iter([ask(responses=0, delay=HANG)]))
        stream = channel.unary_stream(US)(ask(responses=100_000), timeout=20)
        next(stream)
        eventually(lambda: echo.ran["UnaryUnary"] and echo.ran["StreamStream"])
        future.cancel()
        unanswered.cancel()
        del stream
        for method, expected in ((UU, "ignored"), (SS, "ignored"), (US, "successes")):
            breaker = patient.breakers[SERVER + method]
            eventually(lambda breaker=breaker, expected=expected: counts(breaker) == {expected: 1})


@either_server
def test_methods_that_are_not_there_make_no_breakers(patient: Provider, serve: Serve) -> None:
    with serve(patient) as (_, channel):
        for number in range(5):
            with pytest.raises(grpc.RpcError) as caught:
                channel.unary_unary(f"/test.Echo/Nothing{number}")(ask())
            assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert list(patient.breakers) == []


@either_server
def test_a_name_and_codes_of_ones_own(provider: Provider, serve: Serve) -> None:
    options = {"name": lambda details: "server" + details.method.rpartition("/")[0], "failure_codes": ["NOT_FOUND"]}
    with serve(provider, **options) as (echo, channel):
        failing(channel, "unary-call", ask(grpc.StatusCode.UNAVAILABLE))
        failing(channel, "unary-call", ask(grpc.StatusCode.NOT_FOUND))
        eventually(lambda: provider.breakers["server/test.Echo"].state is State.OPEN)
        assert failing(channel, "stream-stream", ask()).code() is grpc.StatusCode.UNAVAILABLE
        assert echo.ran.total() == 2


@either_server
@pytest.mark.parametrize("name", [lambda details: 1 / 0, lambda details: b"users"], ids=["raises", "no text"])
def test_a_handler_whose_breaker_cannot_be_named_does_not_run(patient: Provider, serve: Serve, name: Any) -> None:
    with serve(patient, name=name) as (echo, channel):
        for form in KINDS:
            assert failing(channel, form, ask()).code() is grpc.StatusCode.UNKNOWN
        assert echo.ran.total() == 0


@either_server
def test_a_rejection_that_passes_through_a_handler_is_not_its_failure(
    provider_of: Callable[..., Provider], serve: Serve
) -> None:
    inner, outer = provider_of(Policy(1)), provider_of(Policy(1))
    inner.get_breaker("db:main").force_open()

    class Proxy(grpc.GenericRpcHandler):
        def service(self, handler_call_details: Any) -> Any:
            return grpc.unary_unary_rpc_method_handler(lambda request, context: inner.breakers["db:main"].do(bytes))

    server = start(serve, Proxy(), BreakerServerInterceptor(outer))
    with server as address, open_channel(address) as channel:
        failing(channel, "unary-call", ask())
        eventually(lambda: counts(outer.breakers[SERVER + UU]) == {"ignored": 1})


def test_a_program_that_is_client_and_server_keeps_the_two_sides_apart(protect: Protect, provider: Provider) -> None:
    with serving(Echo(), interceptors=[BreakerServerInterceptor(provider)]) as address, open_channel(address) as bare:
        channel = protect(bare, provider)
        for form in KINDS:
            FORMS[form](channel, ask())
            eventually(lambda form=form: counts(provider.breakers[SERVED[form]]) == {"successes": 1})
            assert counts(provider.breakers[METHOD[form]]) == {"successes": 1}
        failing(channel, "unary-call", ask(grpc.StatusCode.INTERNAL))
        eventually(lambda: provider.breakers[SERVER + UU].state is State.OPEN)
        provider.breakers[UU].reset()
        assert "grpc-server:/test.Echo/UnaryUnary" in failing(channel, "unary-call", ask()).details()


# Kinds of handlers that only one of the servers knows.


class Mixed(grpc.GenericRpcHandler):
    """A server of grpc.aio with functions, which it runs in threads, and with a coroutine that writes its responses."""

    def service(self, handler_call_details: Any) -> Any:
        return {
            UU: grpc.unary_unary_rpc_method_handler(self.function),
            US: grpc.unary_stream_rpc_method_handler(self.functions),
            "/test.Echo/Written": grpc.unary_stream_rpc_method_handler(self.written),
        }[handler_call_details.method]

    def function(self, request: bytes, context: Any) -> bytes:
        self.end(request, context)
        assert context.peer().startswith("ipv4:")
        return request

    def functions(self, request: bytes, context: Any) -> Iterator[bytes]:
        yield request
        self.end(request, context)

    def end(self, request: bytes, context: Any) -> None:
        wish = json.loads(request)
        if wish["code"] and wish["how"] == "set_code":
            context.set_code(grpc.StatusCode[wish["code"]])
            context.set_details(wish["details"])
        elif wish["code"]:
            context.abort(grpc.StatusCode[wish["code"]], wish["details"])

    async def written(self, request: bytes, context: Any) -> None:
        await context.write(request)
        wish = json.loads(request)
        if wish["code"]:
            await context.abort(grpc.StatusCode[wish["code"]], wish["details"])


@pytest.mark.parametrize("how", ["abort", "set_code"])
def test_functions_on_a_server_of_aio(patient: Provider, how: str) -> None:
    with (
        aio_in_a_thread(Mixed(), BreakerServerInterceptor(patient)) as address,
        open_channel(address) as channel,
    ):
        # A generator that aborts hangs in gRPC itself.
        for form in ("unary-call", "unary-stream") if how == "set_code" else ("unary-call",):
            assert FORMS[form](channel, ask()) == [ask()]
            for code in ENDINGS:
                assert failing(channel, form, ask(code, how=how)).code() is code
            breaker = patient.breakers[SERVED[form]]
            expected = dict(Counter(COUNTED[code] for code in (grpc.StatusCode.OK, *ENDINGS)))
            eventually(lambda breaker=breaker, expected=expected: counts(breaker) == expected)


def test_functions_on_a_server_of_aio_are_shed(provider: Provider) -> None:
    with (
        aio_in_a_thread(Mixed(), BreakerServerInterceptor(provider)) as address,
        open_channel(address) as channel,
    ):
        for form in ("unary-call", "unary-stream"):
            failing(channel, form, ask(grpc.StatusCode.INTERNAL, how="set_code"))
            eventually(lambda form=form: provider.breakers[SERVED[form]].state is State.OPEN)
            shed = failing(channel, form, ask())
            assert "retry in 60 s" in shed.details()
            assert ("grpc-retry-pushback-ms", "60000") in tuple(shed.trailing_metadata())


def test_a_coroutine_that_writes_its_responses(provider: Provider) -> None:
    with (
        aio_in_a_thread(Mixed(), BreakerServerInterceptor(provider)) as address,
        open_channel(address) as channel,
    ):
        call = channel.unary_stream("/test.Echo/Written")
        assert list(call(ask())) == [ask()]
        with pytest.raises(grpc.RpcError):
            list(call(ask(grpc.StatusCode.INTERNAL)))
        eventually(lambda: provider.breakers[SERVER + "/test.Echo/Written"].state is State.OPEN)
        assert counts(provider.breakers[SERVER + "/test.Echo/Written"]) == {"successes": 1, "failures": 1}


def test_handlers_with_the_experimental_mark_of_not_blocking(provider: Provider) -> None:
    def responses(request: bytes, context: Any, send: Callable[[Any], None]) -> None:
        wish = json.loads(request)
        send(request)
        if wish["code"]:
            context.set_code(grpc.StatusCode[wish["code"]])
        send(None)

    responses.experimental_non_blocking = True  # type: ignore[attr-defined]

    class Service(grpc.GenericRpcHandler):
        def service(self, handler_call_details: Any) -> Any:
            return grpc.unary_stream_rpc_method_handler(responses)

    interceptors = [BreakerServerInterceptor(provider)]
    with serving(Service(), interceptors=interceptors) as address, open_channel(address) as channel:
        assert FORMS["unary-stream"](channel, ask()) == [ask()]
        eventually(lambda: counts(provider.breakers[SERVER + US]) == {"successes": 1})
        failing(channel, "unary-stream", ask(grpc.StatusCode.INTERNAL))
        eventually(lambda: provider.breakers[SERVER + US].state is State.OPEN)
        assert "is open" in failing(channel, "unary-stream", ask()).details()


@asynccontextmanager
async def two_servers(provider: Provider) -> AsyncIterator[list[str]]:
    interceptor = BreakerServerInterceptor(provider)
    with serving(Echo(), interceptors=[interceptor]) as first:
        async with aio_serving(AioEcho(), interceptors=[interceptor]) as second:
            yield [first, second]


def test_one_interceptor_serves_both_kinds_of_servers(patient: Provider) -> None:
    async def main() -> None:
        async with two_servers(patient) as addresses:
            for address in addresses:
                async with aio_channel(address) as channel:
                    await channel.unary_unary(UU)(ask())

    asyncio.run(main())
    assert counts(patient.breakers[SERVER + UU]) == {"successes": 2}
