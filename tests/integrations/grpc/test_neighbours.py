"""Other interceptors before and after ours, on channels of both kinds: each sees what it would see without it."""

import asyncio
from collections.abc import Iterator
from typing import Any

import grpc
import grpc.aio
import pytest

from breaker import BreakerOpenError, Provider, State
from breaker.integrations.grpc import BreakerInterceptor, BreakerOpenRpcError, aio_interceptors, guard
from support.reading import counts
from support.rpc import FORMS, METHOD, US, UU, Echo, Protect, aio_channel, ask, intercepted, open_channel
from support.rpc_aio import AIO_FORMS, AIO_METHOD


class Recorder(
    grpc.UnaryUnaryClientInterceptor,
    grpc.UnaryStreamClientInterceptor,
    grpc.StreamUnaryClientInterceptor,
    grpc.StreamStreamClientInterceptor,
):
    """Adds its name to the metadata and notes the status of each call, as tracing does."""

    def __init__(self, name: str, log: list[Any]) -> None:
        self.name, self.log = name, log

    def note(self, continuation: Any, details: Any, request: Any) -> Any:
        metadata = (*(details.metadata or ()), ("passed", self.name))
        call = continuation(details._replace(metadata=metadata), request)
        call.add_done_callback(lambda done: self.log.append((self.name, done.code())))
        return call

    intercept_unary_unary: Any = note
    intercept_unary_stream: Any = note
    intercept_stream_unary: Any = note
    intercept_stream_stream: Any = note


@pytest.mark.parametrize("form", FORMS)
def test_interceptors_before_and_after(
    protect: Protect, server: tuple[Echo, str], provider: Provider, form: str
) -> None:
    echo, address = server
    log: list[Any] = []
    with open_channel(address) as bare:
        channel = intercepted(protect(intercepted(bare, Recorder("inner", log)), provider), Recorder("outer", log))
        FORMS[form](channel, ask())
        assert [value for key, value in echo.metadata[-1] if key == "passed"] == ["outer", "inner"]
        with pytest.raises(grpc.RpcError):
            FORMS[form](channel, ask(grpc.StatusCode.UNAVAILABLE))
        assert provider.breakers[METHOD[form]].state is State.OPEN
        del log[:]
        with pytest.raises(BreakerOpenRpcError):
            FORMS[form](channel, ask())
        assert log == [("outer", grpc.StatusCode.UNAVAILABLE)]


@pytest.mark.parametrize("form", FORMS)
def test_details_of_an_outer_interceptor_need_no_more_than_the_method(
    protect: Protect, server: tuple[Echo, str], patient: Provider, form: str
) -> None:
    class Details(grpc.ClientCallDetails):
        method = METHOD[form]

    class Brief(Recorder):
        def brief(self, continuation: Any, details: Any, request: Any) -> Any:
            return continuation(Details(), request)

        intercept_unary_unary: Any = brief
        intercept_unary_stream: Any = brief
        intercept_stream_unary: Any = brief
        intercept_stream_stream: Any = brief

    with open_channel(server[1]) as bare:
        assert FORMS[form](intercepted(bare, Brief("", []), BreakerInterceptor(patient)), ask())
        assert FORMS[form](intercepted(protect(bare, patient), Brief("", [])), ask())
    assert counts(patient.breakers[METHOD[form]]) == {"successes": 2}


class Mapper(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor):
    """Turns errors into the program's own."""

    class Down(Exception):
        pass

    def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        call = continuation(client_call_details, request)
        if isinstance(call, grpc.RpcError):
            raise self.Down from call
        return call

    def intercept_unary_stream(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        call = continuation(client_call_details, request)

        def responses() -> Iterator[bytes]:
            try:
                yield from call
            except grpc.RpcError as error:
                raise self.Down from error

        return responses()


@pytest.mark.parametrize("form", ["unary-call", "unary-stream"])
def test_errors_of_the_programs_own_are_failures(
    protect: Protect, server: tuple[Echo, str], provider: Provider, form: str
) -> None:
    with open_channel(server[1]) as bare:
        channel = protect(intercepted(bare, Mapper()), provider)
        assert FORMS[form](channel, ask())
        with pytest.raises(Mapper.Down):
            FORMS[form](channel, ask(grpc.StatusCode.UNAVAILABLE))
        breaker = provider.breakers[METHOD[form]]
        assert counts(breaker) == {"successes": 1, "failures": 1}
        assert breaker.state is State.OPEN
        with pytest.raises(BreakerOpenError):
            FORMS[form](channel, ask())


def test_errors_without_a_status_go_by_the_breakers_own_options(
    protect: Protect, server: tuple[Echo, str], patient: Provider
) -> None:
    patient.get_breaker(UU, ignore_on=Mapper.Down)
    with open_channel(server[1]) as bare:
        channel = protect(intercepted(bare, Mapper()), patient)
        with pytest.raises(Mapper.Down):
            channel.unary_unary(UU)(ask(grpc.StatusCode.UNAVAILABLE))
    assert counts(patient.breakers[UU]) == {"ignored": 1}


@pytest.mark.parametrize("kind", [list, iter, lambda responses: map(bytes, responses)], ids=["list", "iter", "map"])
def test_responses_that_an_inner_interceptor_gives_back_bare(
    protect: Protect, server: tuple[Echo, str], provider: Provider, kind: Any
) -> None:
    class Bare(grpc.UnaryStreamClientInterceptor):
        def intercept_unary_stream(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
            return kind(continuation(client_call_details, request))

    with open_channel(server[1]) as bare:
        channel = protect(intercepted(bare, Bare()), provider)
        assert len(FORMS["unary-stream"](channel, ask())) == 3
        assert counts(provider.breakers[US]) == {"successes": 1}
        with pytest.raises(grpc.RpcError) as caught:
            FORMS["unary-stream"](channel, ask(grpc.StatusCode.UNAVAILABLE))
        if kind is not list:
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert provider.breakers[US].state is State.OPEN


def test_an_inner_interceptor_with_a_bare_result_of_its_own(
    protect: Protect, server: tuple[Echo, str], provider: Provider
) -> None:
    class Answer:
        def __init__(self, call: Any) -> None:
            self.result = call.result

    class Bare(grpc.UnaryUnaryClientInterceptor):
        def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
            return Answer(continuation(client_call_details, request))

    with open_channel(server[1]) as bare:
        channel = protect(intercepted(bare, Bare()), provider)
        for form in ("unary-call", "unary-future"):
            assert FORMS[form](channel, ask())
        assert counts(provider.breakers[UU]) == {"successes": 2}
        with pytest.raises(grpc.RpcError):
            channel.unary_unary(UU)(ask(grpc.StatusCode.UNAVAILABLE))
        assert provider.breakers[UU].state is State.OPEN


class Cache(grpc.aio.UnaryUnaryClientInterceptor):
    """Gives back an answer instead of a call: gRPC makes a call of it that cannot report its end."""

    async def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        call = await continuation(client_call_details, request)
        return await call


class Filter(grpc.aio.UnaryStreamClientInterceptor):
    """Gives back an iterator in place of the stream."""

    async def intercept_unary_stream(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        call = await continuation(client_call_details, request)

        async def responses() -> Any:
            async for response in call:
                yield response

        return responses()


class AioRecorder(grpc.aio.UnaryUnaryClientInterceptor):
    def __init__(self, log: list[Any]) -> None:
        self.log = log

    async def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        call = await continuation(client_call_details, request)
        self.log.append(await call.code())
        return call


@pytest.mark.parametrize("form", ["unary-await", "unary-stream-for"])
def test_aio_interceptors_before_and_after(server: tuple[Echo, str], provider: Provider, form: str) -> None:
    log: list[Any] = []

    async def main() -> None:
        around = [AioRecorder(log), *aio_interceptors(provider), Cache(), Filter()]
        async with aio_channel(server[1], interceptors=around) as channel:
            await AIO_FORMS[form](channel, ask())
            with pytest.raises(grpc.aio.AioRpcError):
                await AIO_FORMS[form](channel, ask(grpc.StatusCode.UNAVAILABLE))
            with pytest.raises(BreakerOpenError):
                await AIO_FORMS[form](channel, ask())

    asyncio.run(main())
    assert counts(provider.breakers[AIO_METHOD[form]]) == {"successes": 1, "failures": 1, "rejected": 1}
    if form == "unary-await":
        assert log == [grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE]


class AioMapper(grpc.aio.UnaryUnaryClientInterceptor):
    """Turns errors into the program's own."""

    async def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        call = await continuation(client_call_details, request)
        if await call.code() is not grpc.StatusCode.OK:
            raise Mapper.Down
        return call


class AioStreamMapper(grpc.aio.UnaryStreamClientInterceptor):
    async def intercept_unary_stream(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        call = await continuation(client_call_details, request)

        async def responses() -> Any:
            try:
                async for response in call:
                    yield response
            except grpc.RpcError as error:
                raise Mapper.Down from error

        return responses()


@pytest.mark.parametrize("form", ["unary-await", "unary-stream-for"])
def test_aio_interceptors_inside_a_guarded_channel(server: tuple[Echo, str], provider: Provider, form: str) -> None:
    async def main() -> None:
        async with guard(aio_channel(server[1], interceptors=[Cache(), Filter()]), provider) as channel:
            assert await AIO_FORMS[form](channel, ask())
            assert counts(provider.breakers[AIO_METHOD[form]]) == {"successes": 1}
            with pytest.raises(grpc.aio.AioRpcError):
                await AIO_FORMS[form](channel, ask(grpc.StatusCode.UNAVAILABLE))
            with pytest.raises(BreakerOpenError):
                await AIO_FORMS[form](channel, ask())

    asyncio.run(main())
    assert counts(provider.breakers[AIO_METHOD[form]]) == {"successes": 1, "failures": 1, "rejected": 1}


@pytest.mark.parametrize("form", ["unary-await", "unary-stream-for"])
def test_aio_errors_of_the_programs_own_are_failures_of_a_guarded_channel(
    server: tuple[Echo, str], patient: Provider, form: str
) -> None:
    async def main() -> None:
        async with guard(aio_channel(server[1], interceptors=[AioMapper(), AioStreamMapper()]), patient) as channel:
            assert await AIO_FORMS[form](channel, ask())
            with pytest.raises(Mapper.Down):
                await AIO_FORMS[form](channel, ask(grpc.StatusCode.UNAVAILABLE))

    asyncio.run(main())
    assert counts(patient.breakers[AIO_METHOD[form]]) == {"successes": 1, "failures": 1}
