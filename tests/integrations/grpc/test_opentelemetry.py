"""OpenTelemetry's interceptors, and those of an error reporter, in every order with ours: none sees a difference.

The same calls are made without our interceptor and with it, real services of gRPC's own among them. What their callers
see, which spans there are and what is reported must be the same.
"""

import asyncio
import itertools
from collections.abc import Callable
from functools import partial
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import _async as aio_health
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2, reflection_pb2_grpc
from opentelemetry.instrumentation import grpc as instrumented
from opentelemetry.instrumentation.grpc.grpcext import intercept_channel
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from breaker import BreakerOpenError, Policy, Provider, State
from breaker.integrations.grpc import BreakerServerInterceptor, aio_interceptors, guard
from support.reading import counts
from support.rpc import (
    FORMS,
    METHOD,
    US,
    AioEcho,
    Echo,
    Protect,
    aio_channel,
    aio_in_a_thread,
    ask,
    open_channel,
    serving,
)
from support.rpc_aio import AIO_FORMS, AIO_METHOD
from support.rpc_neighbours import AioReporter, Reporter
from support.watching import eventually

SERVICES = [reflection.SERVICE_NAME, "test.Echo"]
HEALTH = "/grpc.health.v1.Health/"
KINDS = ["unary-call", "unary-stream", "stream-unary-call", "stream-stream"]
REQUESTS = {
    "answered": ask(),
    "aborted": ask(grpc.StatusCode.INTERNAL),
    "set": ask(grpc.StatusCode.NOT_FOUND, how="set_code"),
    "crashed": ask(crash=True, details="lost its database"),
}


class Tracing:
    """OpenTelemetry with a memory: its interceptors, and the spans that they made."""

    def __init__(self) -> None:
        self._spans = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self._spans))

    def spans(self) -> list[tuple[str, str, Any]]:
        """Name, status and gRPC's code of each, in an order that does not hang on threads."""
        finished = self._spans.get_finished_spans()
        return sorted(
            (span.name, span.status.status_code.name, (span.attributes or {}).get("rpc.grpc.status_code"))
            for span in finished
        )


def outcome(call: Callable[[], Any]) -> Any:
    """What a caller sees: the answer, or status and details."""
    try:
        return call()
    except grpc.RpcError as error:
        return (error.code(), error.details())


class Everything(grpc.GenericRpcHandler):
    """The service of a test together with gRPC's own of health and reflection."""

    def __init__(self, echo: Any, is_aio: bool) -> None:
        self._found = [echo]
        adding = [
            (
                health_pb2_grpc.add_HealthServicer_to_server,
                aio_health.HealthServicer() if is_aio else health.HealthServicer(),
            ),
            (
                reflection_pb2_grpc.add_ServerReflectionServicer_to_server,
                reflection.aio.ReflectionServicer(SERVICES) if is_aio else reflection.ReflectionServicer(SERVICES),
            ),
        ]
        for add, servicer in adding:
            add(servicer, self)

    def add_generic_rpc_handlers(self, handlers: Any) -> None:
        self._found.extend(handlers)

    def add_registered_method_handlers(self, service: str, handlers: Any) -> None:
        """gRPC's generated code gives the same handlers once more."""

    def service(self, handler_call_details: Any) -> Any:
        found = (handlers.service(handler_call_details) for handlers in self._found)
        return next((handler for handler in found if handler is not None), None)


# Without types: not both checkers know them.
health_of: Any = health_pb2_grpc.HealthStub
reflection_of: Any = reflection_pb2_grpc.ServerReflectionStub


def watch(channel: Any) -> Any:
    """The first answer of a health watch."""
    stream = health_of(channel).Watch(health_pb2.HealthCheckRequest(), timeout=20)
    try:
        return next(stream).status
    finally:
        stream.cancel()


def reflected(channel: Any) -> list[str]:
    wanted = reflection_pb2.ServerReflectionRequest(list_services="")
    answers = reflection_of(channel).ServerReflectionInfo(iter([wanted]), timeout=20)
    return [service.name for answer in answers for service in answer.list_services_response.service]


def seen_of_a_server(channel: Any, is_aio: bool) -> dict[str, Any]:
    """What callers of each method of it see."""
    seen = {
        f"{form} {how}": outcome(partial(FORMS[form], channel, request))
        for form in KINDS
        for how, request in REQUESTS.items()
    }
    check = health_of(channel).Check
    seen["check"] = outcome(lambda: check(health_pb2.HealthCheckRequest(), timeout=20).status)
    if not is_aio:  # there it is a coroutine, which interceptors that expect a generator cannot run, ours or no ours
        seen["watch"] = outcome(lambda: watch(channel))
    seen["reflection"] = outcome(lambda: reflected(channel))
    return seen


NEIGHBOURS = ["tracing", "reporter"]
ORDERS = [order for size in (2, 3) for order in itertools.permutations(["ours", *NEIGHBOURS], size) if "ours" in order]


class Neighbours:
    """The interceptors of a server, by name."""

    def __init__(self, is_aio: bool, ours: BreakerServerInterceptor) -> None:
        self.is_aio = is_aio
        self.tracing = Tracing()
        self.reporter: Any = AioReporter() if is_aio else Reporter()
        make = instrumented.aio_server_interceptor if is_aio else instrumented.server_interceptor
        self._by_name = {
            "ours": ours,
            "tracing": make(tracer_provider=self.tracing.provider),
            "reporter": self.reporter,
        }

    def serve(self, order: list[str]) -> Any:
        interceptors = [self._by_name[name] for name in order]
        if self.is_aio:
            return aio_in_a_thread(Everything(AioEcho(), True), *interceptors)
        return serving(Everything(Echo(), False), interceptors=interceptors)


@pytest.mark.parametrize("order", ORDERS, ids=" ".join)
@pytest.mark.parametrize("is_aio", [False, True], ids=["sync", "aio"])
def test_servers(provider_of: Callable[..., Provider], is_aio: bool, order: tuple[str, ...]) -> None:
    provider = provider_of(Policy(1000))
    ours = BreakerServerInterceptor(provider, name=lambda details: details.method)  # health and reflection too
    results = []
    for names in ([name for name in order if name != "ours"], [*order]):
        neighbours = Neighbours(is_aio, ours)
        with neighbours.serve(names) as address, open_channel(address) as channel:
            seen = seen_of_a_server(channel, is_aio)
        results.append((seen, neighbours.tracing.spans(), sorted(neighbours.reporter.reported)))
    assert results[1] == results[0]
    seen = results[0][0]
    assert seen["unary-call answered"] == [b'{"number": 0, "filling": ""}']
    assert seen["check"] == health_pb2.HealthCheckResponse.SERVING
    assert seen.get("watch", health_pb2.HealthCheckResponse.SERVING) == health_pb2.HealthCheckResponse.SERVING
    assert seen["reflection"] == SERVICES
    for form in KINDS:
        eventually(lambda form=form: counts(provider.breakers[METHOD[form]]) == {"successes": 2, "failures": 2})
    eventually(lambda: counts(provider.breakers[HEALTH + "Check"]) == {"successes": 1})


@pytest.mark.parametrize("is_aio", [False, True], ids=["sync", "aio"])
def test_watches_alone_with_ours(provider_of: Callable[..., Provider], is_aio: bool) -> None:
    provider = provider_of(Policy(1, 2))
    ours = BreakerServerInterceptor(provider, name=lambda details: details.method, settle="first")
    breaker = provider.get_breaker(HEALTH + "Watch")
    with Neighbours(is_aio, ours).serve(["ours"]) as address, open_channel(address) as channel:
        for _ in range(3):
            assert watch(channel) == health_pb2.HealthCheckResponse.SERVING
        eventually(lambda: counts(breaker) == {"successes": 3})


@pytest.mark.parametrize("order", ORDERS, ids=" ".join)
def test_a_server_sheds_a_watch_in_every_order(provider_of: Callable[..., Provider], order: tuple[str, ...]) -> None:
    provider = provider_of()
    ours = BreakerServerInterceptor(provider, name=lambda details: details.method)
    provider.get_breaker(HEALTH + "Watch").force_open()
    with Neighbours(False, ours).serve([*order]) as address, open_channel(address) as channel:
        code, details = outcome(lambda: watch(channel))
    assert code is grpc.StatusCode.UNAVAILABLE
    assert f"circuit breaker '{HEALTH}Watch' is forced open" in details


@pytest.mark.parametrize("is_aio", [False, True], ids=["sync", "aio"])
def test_health_and_reflection_are_not_protected_unless_named(
    provider_of: Callable[..., Provider], is_aio: bool
) -> None:
    provider = provider_of(Policy(1))
    neighbours = Neighbours(is_aio, BreakerServerInterceptor(provider))
    with neighbours.serve(["ours"]) as address, open_channel(address) as channel:
        for name in KINDS:
            outcome(partial(FORMS[name], channel, REQUESTS["crashed"]))
            breaker = "grpc-server:" + METHOD[name]
            eventually(lambda breaker=breaker: provider.breakers[breaker].state is State.OPEN)
        assert watch(channel) == health_pb2.HealthCheckResponse.SERVING
        check = health_of(channel).Check
        for service in ("", "unknown"):
            outcome(partial(check, health_pb2.HealthCheckRequest(service=service)))
        assert reflected(channel) == SERVICES
    assert sorted(provider.breakers) == sorted({"grpc-server:" + METHOD[form] for form in KINDS})


# Channels.


def traced(channel: Any, tracing: Tracing) -> Any:
    return intercept_channel(channel, instrumented.client_interceptor(tracer_provider=tracing.provider))


CLIENT_ORDERS = ["tracing outside", "tracing inside"]


@pytest.mark.parametrize("order", CLIENT_ORDERS)
def test_channels(server: tuple[Echo, str], protect: Protect, patient: Provider, order: str) -> None:
    results = []
    for protecting in (lambda channel, provider: channel, protect):
        tracing = Tracing()
        with open_channel(server[1]) as bare:
            if order == "tracing outside":
                channel = traced(protecting(bare, patient), tracing)
            else:
                channel = protecting(traced(bare, tracing), patient)
            seen = {
                f"{form} {how}": outcome(partial(FORMS[form], channel, request))
                for form in FORMS
                for how, request in REQUESTS.items()
            }
            eventually(lambda tracing=tracing: len(tracing.spans()) == len(FORMS) * len(REQUESTS))
        results.append((seen, tracing.spans()))
    assert results[1] == results[0]
    calls = {method: sum(other == method for other in METHOD.values()) for method in METHOD.values()}
    for method, times in calls.items():
        assert counts(patient.breakers[method]) == {"successes": 2 * times, "failures": 2 * times}


@pytest.mark.parametrize("order", CLIENT_ORDERS)
@pytest.mark.parametrize("form", FORMS)
def test_rejections_on_channels(
    server: tuple[Echo, str], protect: Protect, provider: Provider, order: str, form: str
) -> None:
    provider.get_breaker(METHOD[form]).force_open()
    before, tracing = server[0].total, Tracing()
    with open_channel(server[1]) as bare:
        if order == "tracing outside":
            channel = traced(protect(bare, provider), tracing)
        else:
            channel = protect(traced(bare, tracing), provider)
        with pytest.raises(BreakerOpenError, match=METHOD[form]):
            FORMS[form](channel, ask())
        eventually(lambda: len(tracing.spans()) == (order == "tracing outside"))
    assert server[0].total == before


def test_a_traced_stream_that_is_dropped_gives_its_slot_back(
    server: tuple[Echo, str], protect: Protect, patient: Provider
) -> None:
    with open_channel(server[1]) as bare:
        channel = protect(traced(bare, Tracing()), patient)  # OpenTelemetry gives a generator, which does not report
        stream = channel.unary_stream(US)(ask(responses=100_000))
        next(stream)
        del stream
        eventually(lambda: counts(patient.breakers[US]) == {"successes": 1})
        unread = channel.unary_stream(US)(ask(responses=100_000))
        del unread
        eventually(lambda: counts(patient.breakers[US]) == {"successes": 1, "ignored": 1})


AIO_ORDERS = ["ours, tracing", "tracing, ours", "guard"]


def aio_channel_with(order: str, address: str, provider: Provider | None, tracing: Tracing) -> Any:
    """``provider``: whose breakers; None: without ours."""
    theirs = instrumented.aio_client_interceptors(tracer_provider=tracing.provider)
    ours = aio_interceptors(provider) if provider is not None and order != "guard" else []
    channel = aio_channel(address, interceptors=[*ours, *theirs] if order.startswith("ours") else [*theirs, *ours])
    return guard(channel, provider) if order == "guard" and provider is not None else channel


@pytest.mark.parametrize("order", AIO_ORDERS)
def test_channels_of_aio(server: tuple[Echo, str], patient: Provider, order: str) -> None:
    forms = [form for form in AIO_FORMS if not form.endswith("write")]  # OpenTelemetry's calls cannot be written to

    async def main(provider: Provider | None) -> Any:
        tracing, seen = Tracing(), {}
        async with aio_channel_with(order, server[1], provider, tracing) as channel:
            for form in forms:
                for how, request in REQUESTS.items():
                    try:
                        seen[form, how] = await AIO_FORMS[form](channel, request)
                    except grpc.aio.AioRpcError as error:
                        seen[form, how] = (error.code(), error.details())
        return seen, tracing.spans()

    assert asyncio.run(main(patient)) == asyncio.run(main(None))
    calls = {AIO_METHOD[form]: sum(AIO_METHOD[other] == AIO_METHOD[form] for other in forms) for form in forms}
    for method, times in calls.items():
        assert counts(patient.breakers[method]) == {"successes": 2 * times, "failures": 2 * times}


@pytest.mark.parametrize("order", AIO_ORDERS)
@pytest.mark.parametrize("form", ["unary-await", "unary-stream-for", "stream-unary-await", "stream-stream-for"])
def test_rejections_on_channels_of_aio(server: tuple[Echo, str], provider: Provider, order: str, form: str) -> None:
    provider.get_breaker(AIO_METHOD[form]).force_open()
    before = server[0].total

    async def main() -> None:
        async with aio_channel_with(order, server[1], provider, Tracing()) as channel:
            with pytest.raises(BreakerOpenError, match=AIO_METHOD[form]):
                await AIO_FORMS[form](channel, ask())

    asyncio.run(main())
    assert server[0].total == before
