"""A gRPC service for tests, real and on loopback, that does with each call what the call asks for.

The request says it (`ask`): any status, after any delay, after any number of responses, or nothing at all. There are
no protos: messages are JSON. All requests are counted by method when they arrive.
"""

import asyncio
import contextlib
import json
import socket
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent import futures
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import grpc
import grpc.aio

from breaker.integrations.grpc import BreakerInterceptor, guard

SERVICE = "/test.Echo/"
KINDS = ("UnaryUnary", "UnaryStream", "StreamUnary", "StreamStream")
UU, US, SU, SS = (SERVICE + kind for kind in KINDS)
LOOPBACK = "127.0.0.1:0"
ENDINGS = [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK]
_FAILURES = {"UNAVAILABLE", "DEADLINE_EXCEEDED", "INTERNAL", "UNKNOWN", "DATA_LOSS", "RESOURCE_EXHAUSTED"}
# The total in which each status is counted when nothing else was said.
COUNTED = {code: "failures" if code.name in _FAILURES else "successes" for code in grpc.StatusCode}
COUNTED[grpc.StatusCode.CANCELLED] = "ignored"
HANG = 20.0  # longer than any test waits: an answer that never comes


def ask(
    code: grpc.StatusCode | None = None,
    *,
    details: str = "as asked",
    delay: float = 0.0,
    responses: int = 3,
    crash: bool = False,
    how: str = "abort",
    size: int = 0,
) -> bytes:
    """A request: answer, or after ``delay`` seconds (and, in a stream, ``responses``) end with ``code``.

    ``crash``: raise instead. ``how``: ``"abort"`` or ``"set_code"``. ``size``: bytes that the request and each answer
    are filled up by.
    """
    name = code.name if code else None
    wish = {"code": name, "details": details, "delay": delay, "responses": responses, "crash": crash, "how": how}
    return json.dumps({**wish, "filling": "x" * size}).encode()


def _answer(wish: dict[str, Any], number: int = 0) -> bytes:
    return json.dumps({"number": number, "filling": wish["filling"]}).encode()


class _Service(grpc.GenericRpcHandler):
    """The part that both kinds of servers have: methods by name, and the count."""

    def __init__(self, handlers: dict[str, Callable[..., Any]]) -> None:
        self.requests: Counter[str] = Counter()
        self.metadata: list[tuple[tuple[str, Any], ...]] = []
        makers = (
            grpc.unary_unary_rpc_method_handler,
            grpc.unary_stream_rpc_method_handler,
            grpc.stream_unary_rpc_method_handler,
            grpc.stream_stream_rpc_method_handler,
        )
        self._handlers: dict[str, Any] = {
            SERVICE + kind: make(handlers[kind]) for kind, make in zip(KINDS, makers, strict=True) if kind in handlers
        }

    def service(self, handler_call_details: Any) -> Any:
        method = handler_call_details.method
        self.requests[method] += 1
        self.metadata.append(tuple((key, value) for key, value in handler_call_details.invocation_metadata))
        return self._handlers.get(method)

    @property
    def total(self) -> int:
        return self.requests.total()


class Echo(_Service):
    """The service of a server of `grpc`. A wait ends early when ``released`` is set or the client is gone."""

    def __init__(self) -> None:
        self.released = threading.Event()
        self.ran: Counter[str] = Counter()  # handlers that ran: what an interceptor of the server lets through
        self.over: list[bool] = []  # for each stream that ended early: that its client was gone
        super().__init__({kind: getattr(self, f"_{kind}") for kind in KINDS})

    def _end(self, wish: dict[str, Any], context: Any) -> None:
        deadline = time.monotonic() + wish["delay"]
        while time.monotonic() < deadline and context.is_active() and not self.released.wait(0.005):
            pass
        if wish["crash"]:
            raise ValueError(wish["details"])
        if wish["code"] is not None:
            code = grpc.StatusCode[wish["code"]]
            if wish["how"] == "abort":
                context.abort(code, wish["details"])
            context.set_code(code)
            context.set_details(wish["details"])

    def _unary(self, kind: str, request: bytes, context: Any) -> bytes:
        self.ran[kind] += 1
        wish = json.loads(request)
        self._end(wish, context)
        return _answer(wish)

    def _stream(self, kind: str, request: bytes, context: Any) -> Iterator[bytes]:
        self.ran[kind] += 1
        wish = json.loads(request)
        try:
            for number in range(wish["responses"]):
                yield _answer(wish, number)
            self._end(wish, context)
        except GeneratorExit:
            self.over.append(not context.is_active())
            raise

    def _UnaryUnary(self, request: bytes, context: Any) -> bytes:
        return self._unary("UnaryUnary", request, context)

    def _UnaryStream(self, request: bytes, context: Any) -> Iterator[bytes]:
        yield from self._stream("UnaryStream", request, context)

    def _StreamUnary(self, requests: Iterator[bytes], context: Any) -> bytes:
        first, *_ = requests
        return self._unary("StreamUnary", first, context)

    def _StreamStream(self, requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
        first, *_ = requests
        yield from self._stream("StreamStream", first, context)


class AioEcho(_Service):
    """The service of a server of `grpc.aio`: coroutine functions and async generator functions."""

    def __init__(self) -> None:
        self.ran: Counter[str] = Counter()
        super().__init__({kind: getattr(self, f"_{kind}") for kind in KINDS})

    async def _end(self, wish: dict[str, Any], context: Any) -> None:
        await asyncio.sleep(wish["delay"])
        if wish["crash"]:
            raise ValueError(wish["details"])
        if wish["code"] is not None:
            code = grpc.StatusCode[wish["code"]]
            if wish["how"] == "abort":
                await context.abort(code, wish["details"])
            context.set_code(code)
            context.set_details(wish["details"])

    async def _unary(self, kind: str, request: bytes, context: Any) -> bytes:
        self.ran[kind] += 1
        wish = json.loads(request)
        await self._end(wish, context)
        return _answer(wish)

    async def _stream(self, kind: str, request: bytes, context: Any) -> AsyncIterator[bytes]:
        self.ran[kind] += 1
        wish = json.loads(request)
        for number in range(wish["responses"]):
            yield _answer(wish, number)
        await self._end(wish, context)

    async def _UnaryUnary(self, request: bytes, context: Any) -> bytes:
        return await self._unary("UnaryUnary", request, context)

    async def _UnaryStream(self, request: bytes, context: Any) -> AsyncIterator[bytes]:
        async for response in self._stream("UnaryStream", request, context):
            yield response

    async def _StreamUnary(self, requests: Any, context: Any) -> bytes:
        received = [request async for request in requests]
        return await self._unary("StreamUnary", received[0], context)

    async def _StreamStream(self, requests: Any, context: Any) -> AsyncIterator[bytes]:
        received = [request async for request in requests]
        async for response in self._stream("StreamStream", received[0], context):
            yield response


@contextmanager
def serving(
    service: grpc.GenericRpcHandler, address: str = LOOPBACK, workers: int = 16, **options: Any
) -> Iterator[str]:
    """A server of `grpc`; gives its address. ``options`` are those of `grpc.server`."""
    pool = futures.ThreadPoolExecutor(workers, thread_name_prefix="rpc-server")
    server = grpc.server(pool, **options)
    server.add_generic_rpc_handlers((service,))
    port = server.add_insecure_port(address)
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        stopped = server.stop(None)
        if isinstance(service, Echo):
            service.released.set()
        stopped.wait()
        pool.shutdown()


@asynccontextmanager
async def aio_serving(service: grpc.GenericRpcHandler, **options: Any) -> AsyncIterator[str]:
    """A server of `grpc.aio`; gives its address."""
    server = grpc.aio.server(**options)
    server.add_generic_rpc_handlers((service,))
    port = server.add_insecure_port(LOOPBACK)
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


@contextmanager
def aio_in_a_thread(service: grpc.GenericRpcHandler, *interceptors: Any) -> Iterator[str]:
    """A server of `grpc.aio` in a thread of its own, so that the same calls go to both kinds; gives its address."""
    ready, over, loop = threading.Event(), asyncio.Event(), asyncio.new_event_loop()
    address = [""]

    async def main() -> None:
        async with aio_serving(service, interceptors=interceptors) as address[0]:
            ready.set()
            await over.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(main()))
    thread.start()
    try:
        assert ready.wait(20)
        yield address[0]
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join()
        loop.close()


@contextmanager
def relayed(address: str) -> Iterator[tuple[str, Callable[[], int]]]:
    """Stand between a client and a server: gives the address to call, and how many bytes the client has sent."""
    host, _, port = address.rpartition(":")
    sent = [0]

    def copy(source: socket.socket, target: socket.socket, count: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sent[0] += len(data) if count else 0
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))

        def relay() -> None:
            client = stack.enter_context(listener.accept()[0])
            server = stack.enter_context(socket.create_connection((host, int(port))))
            back = threading.Thread(target=copy, args=(server, client, False), daemon=True)
            back.start()
            copy(client, server, True)

        threading.Thread(target=relay, daemon=True).start()
        yield f"127.0.0.1:{listener.getsockname()[1]}", lambda: sent[0]


# Channels whose calls have no types: the stubs want those of the messages, which there are none of without protos.


def open_channel(address: str, **options: Any) -> Any:
    """A channel of `grpc`."""
    return grpc.insecure_channel(address, **options)


def intercepted(channel: Any, *interceptors: Any) -> Any:
    """The same channel with interceptors."""
    return grpc.intercept_channel(channel, *interceptors)


Protect = Callable[..., Any]

# The ways to protect a channel of `grpc`: called with it, a provider and options.
PROTECTED: dict[str, Protect] = {
    "interceptor": lambda channel, provider, **options: intercepted(channel, BreakerInterceptor(provider, **options)),
    "guard": guard,
}


def aio_channel(address: str, **options: Any) -> Any:
    """A channel of `grpc.aio`."""
    return grpc.aio.insecure_channel(address, **options)


# The forms in which a channel of `grpc` is called. Each gives what the server answered, or raises.


def _future(future: Any) -> list[bytes]:
    return [future.result(timeout=30)]


FORMS: dict[str, Callable[..., list[bytes]]] = {
    "unary-call": lambda channel, request, **options: [channel.unary_unary(UU)(request, **options)],
    "unary-with_call": lambda channel, request, **options: [channel.unary_unary(UU).with_call(request, **options)[0]],
    "unary-future": lambda channel, request, **options: _future(channel.unary_unary(UU).future(request, **options)),
    "unary-stream": lambda channel, request, **options: list(channel.unary_stream(US)(request, **options)),
    "stream-unary-call": lambda channel, request, **options: [channel.stream_unary(SU)(iter([request]), **options)],
    "stream-unary-with_call": lambda channel, request, **options: [
        channel.stream_unary(SU).with_call(iter([request]), **options)[0]
    ],
    "stream-unary-future": lambda channel, request, **options: _future(
        channel.stream_unary(SU).future(iter([request]), **options)
    ),
    "stream-stream": lambda channel, request, **options: list(channel.stream_stream(SS)(iter([request]), **options)),
}
METHOD = {
    "unary-call": UU,
    "unary-with_call": UU,
    "unary-future": UU,
    "unary-stream": US,
    "stream-unary-call": SU,
    "stream-unary-with_call": SU,
    "stream-unary-future": SU,
    "stream-stream": SS,
}
