"""`guard`: what of a channel it leaves as it is. How its calls end is where `protect` and `guarded` are used."""

import asyncio
import inspect
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import _async as aio_health
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from breaker import BreakerOpenError, Policy, Provider
from breaker.integrations.grpc import guard
from support.reading import counts
from support.rpc import FORMS, HANG, SS, SU, US, UU, Echo, aio_channel, ask, open_channel
from support.rpc_aio import AIO_FORMS
from support.watching import eventually

KINDS = {"unary_unary": UU, "unary_stream": US, "stream_unary": SU, "stream_stream": SS}


def test_it_is_a_channel_of_the_same_kind(server: tuple[Echo, str], patient: Provider) -> None:
    with open_channel(server[1]) as bare:
        channel = guard(bare, patient)
        assert isinstance(channel, grpc.Channel)
        for kind, method in KINDS.items():
            name = "".join(part.capitalize() for part in kind.split("_"))
            assert isinstance(getattr(channel, kind)(method), getattr(grpc, f"{name}MultiCallable"))

    async def main() -> None:
        async with guard(aio_channel(server[1]), patient) as channel:
            assert isinstance(channel, grpc.aio.Channel)
            for kind, method in KINDS.items():
                name = "".join(part.capitalize() for part in kind.split("_"))
                assert isinstance(getattr(channel, kind)(method), getattr(grpc.aio, f"{name}MultiCallable"))

    asyncio.run(main())


@pytest.mark.parametrize("kind", KINDS)
def test_its_calls_take_the_same_arguments(server: tuple[Echo, str], patient: Provider, kind: str) -> None:
    def parameters(call: Any) -> list[tuple[str, Any, Any]]:
        found = inspect.signature(call).parameters.values()
        return [(parameter.name, parameter.kind, parameter.default) for parameter in found]

    with open_channel(server[1]) as bare:
        theirs, ours = (getattr(channel, kind)(KINDS[kind]) for channel in (bare, guard(bare, patient)))
        for form in ("__call__", "with_call", "future"):
            assert hasattr(theirs, form) is hasattr(ours, form)
            if hasattr(theirs, form):
                assert parameters(getattr(ours, form)) == parameters(getattr(theirs, form))

    async def main() -> None:
        async with aio_channel(server[1]) as bare:
            theirs, ours = (getattr(channel, kind)(KINDS[kind]) for channel in (bare, guard(bare, patient)))
            assert parameters(ours) == parameters(theirs)

    asyncio.run(main())


def test_connectivity_of_a_channel(server: tuple[Echo, str], patient: Provider) -> None:
    bare, threads = open_channel(server[1]), threading.active_count()
    seen: list[grpc.ChannelConnectivity] = []
    ready = threading.Event()

    def note(state: grpc.ChannelConnectivity) -> None:
        seen.append(state)
        if state is grpc.ChannelConnectivity.READY:
            ready.set()

    with guard(bare, patient) as channel:
        channel.subscribe(note, try_to_connect=True)
        assert ready.wait(20)
        channel.unsubscribe(note)
        grpc.channel_ready_future(channel).result(timeout=20)
        # gRPC's thread that looks at the connectivity must not look at a channel that is closed.
        eventually(lambda: threading.active_count() <= threads)
        assert FORMS["unary-call"](channel, ask())
    with pytest.raises(ValueError, match="closed"):
        FORMS["unary-call"](bare, ask())


def test_connectivity_of_a_channel_of_aio(server: tuple[Echo, str], patient: Provider) -> None:
    async def main() -> None:
        bare = aio_channel(server[1])
        async with guard(bare, patient) as channel:
            assert channel.get_state() is grpc.ChannelConnectivity.IDLE
            channel.get_state(try_to_connect=True)
            await channel.wait_for_state_change(grpc.ChannelConnectivity.IDLE)
            await channel.channel_ready()
            assert channel.get_state() is grpc.ChannelConnectivity.READY
            call = channel.unary_unary(UU)(ask(delay=HANG))
            await channel.close(grace=0.01)
            assert call.cancelled()
            assert channel.get_state() is grpc.ChannelConnectivity.SHUTDOWN
        assert counts(patient.breakers[UU]) == {"ignored": 1}

    asyncio.run(main())


def test_serializers_are_the_callers(server: tuple[Echo, str], patient: Provider) -> None:
    with open_channel(server[1]) as bare:
        call = guard(bare, patient).unary_unary(UU, lambda request: ask(), response_deserializer=len)
        assert call("anything") == len(FORMS["unary-call"](bare, ask())[0])


def test_generated_stubs(patient: Provider) -> None:
    # gRPC's generated code registers its methods with the channel, by an argument that is not documented.
    server = grpc.server(ThreadPoolExecutor(4))
    health_pb2_grpc.add_HealthServicer_to_server(health.HealthServicer(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    request = health_pb2.HealthCheckRequest()
    with guard(open_channel(f"127.0.0.1:{port}"), patient, settle="first") as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        assert stub.Check(request).status == health_pb2.HealthCheckResponse.SERVING
        stream = stub.Watch(request)
        assert next(stream).status == health_pb2.HealthCheckResponse.SERVING
        stream.cancel()
    server.stop(None).wait()
    for method in ("Check", "Watch"):
        assert counts(patient.breakers[f"/grpc.health.v1.Health/{method}"]) == {"successes": 1}


def test_generated_stubs_of_aio(patient: Provider) -> None:
    async def main() -> None:
        server = grpc.aio.server()
        health_pb2_grpc.add_HealthServicer_to_server(aio_health.HealthServicer(), server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        request = health_pb2.HealthCheckRequest()
        async with guard(aio_channel(f"127.0.0.1:{port}"), patient, settle="first") as channel:
            stub: Any = health_pb2_grpc.HealthStub(channel)
            assert (await stub.Check(request)).status == health_pb2.HealthCheckResponse.SERVING
            stream = stub.Watch(request)
            assert (await stream.read()).status == health_pb2.HealthCheckResponse.SERVING
            stream.cancel()
        await server.stop(None)

    asyncio.run(main())
    for method in ("Check", "Watch"):
        assert counts(patient.breakers[f"/grpc.health.v1.Health/{method}"]) == {"successes": 1}


def test_methods_are_looked_up_at_each_call(server: tuple[Echo, str], provider: Provider) -> None:
    with open_channel(server[1]) as bare:
        call = guard(bare, provider).unary_unary(UU)
        call(ask())
        provider.breakers[UU].force_open()
        with pytest.raises(BreakerOpenError):
            call(ask())
        provider.remove(UU)
        assert call(ask())
        assert counts(provider.breakers[UU]) == {"successes": 1}


def test_calls_of_aio_give_what_grpcs_own_give(server: tuple[Echo, str], patient: Provider) -> None:
    async def main() -> None:
        async with guard(aio_channel(server[1]), patient) as channel:
            for kind, method in KINDS.items():
                call = getattr(channel, kind)(method)(ask() if kind.startswith("unary") else iter([ask()]), timeout=20)
                heard: list[Any] = []
                call.add_done_callback(heard.append)
                await call.wait_for_connection()
                assert 0 < call.time_remaining() <= 20
                assert tuple(await call.initial_metadata()) == ()
                if kind.endswith("unary"):
                    assert b"number" in await call
                else:
                    assert [b"number" in response async for response in call] == [True] * 3
                assert await call.code() is grpc.StatusCode.OK
                assert (await call.details(), tuple(await call.trailing_metadata())) == ("", ())
                assert (call.done(), call.cancelled(), call.cancel(), heard) == (True, False, False, [call])
                assert counts(patient.breakers[method]) == {"successes": 1}

    asyncio.run(main())


def test_two_guards_around_one_channel(server: tuple[Echo, str], provider_of: Callable[..., Provider]) -> None:
    provider = provider_of(Policy(1))
    with open_channel(server[1]) as bare:
        channel = guard(guard(bare, provider), provider, name=lambda details: "users")
        for form in FORMS:
            assert FORMS[form](channel, ask())
    assert counts(provider.breakers["users"]) == {"successes": len(FORMS)}
    assert counts(provider.breakers[UU]) == {"successes": 3}

    async def main() -> None:
        async with guard(guard(aio_channel(server[1]), provider), provider, name=lambda details: "aio") as channel:
            for form in AIO_FORMS:
                assert await AIO_FORMS[form](channel, ask())

    asyncio.run(main())
    assert counts(provider.breakers["aio"]) == {"successes": len(AIO_FORMS)}
