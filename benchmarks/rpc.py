"""Unary calls over loopback through channels that differ in one thing: what intercepts them.

``bare`` is the channel without an interceptor, the floor. ``passing-on`` has one that does nothing: what of the cost is
gRPC's own way of intercepting. ``breaker`` has ours, closed; ``rejected`` has ours, open. ``guarded`` is the bare one
inside `guard`, whose breaker is closed.
"""

import asyncio
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

import breaker
from benchmarks.measure import Loop
from benchmarks.subjects import CLOSED, provider
from breaker.integrations.grpc import BreakerInterceptor, aio_interceptors, guard

METHOD = "/bench.Echo/Unary"
KINDS = ("bare", "passing-on", "breaker", "rejected", "guarded")


@dataclass(frozen=True)
class Subjects:
    """``loops`` by kind, and the breakers that must have counted their calls."""

    loops: dict[str, Loop]
    closed: breaker.Breaker
    opened: breaker.Breaker
    guarding: breaker.Breaker

    def counted(self) -> dict[str, int]:
        return {
            "breaker": self.closed.snapshot().successes,
            "rejected": self.opened.snapshot().rejected,
            "guarded": self.guarding.snapshot().successes,
        }


@contextmanager
def _server() -> Iterator[str]:
    program = Path(__file__).parent / "rpc_server.py"
    # Leaving the block closes its input, which is its end.
    with subprocess.Popen(
        [sys.executable, str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        yield f"127.0.0.1:{int(process.stdout.readline())}"


@contextmanager
def _providers() -> Iterator[tuple[breaker.Provider, breaker.Provider, breaker.Provider]]:
    with provider(CLOSED) as closed, provider(CLOSED) as opened, provider(CLOSED) as guarding:
        for owner in (closed, opened, guarding):
            owner.get_breaker(METHOD)
        opened.breakers[METHOD].force_open()
        yield closed, opened, guarding


class _PassingOn(grpc.UnaryUnaryClientInterceptor):
    def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        return continuation(client_call_details, request)


@contextmanager
def sync_subjects() -> Iterator[Subjects]:
    with _server() as address, _providers() as owners, grpc.insecure_channel(address) as bare:
        closed, opened, guarding = owners
        channels = {
            "bare": bare,
            "passing-on": grpc.intercept_channel(bare, _PassingOn()),
            "breaker": grpc.intercept_channel(bare, BreakerInterceptor(closed)),
            "rejected": grpc.intercept_channel(bare, BreakerInterceptor(opened)),
            "guarded": guard(bare, guarding),
        }
        loops = {kind: Loop(_calling(channel.unary_unary(METHOD)), kind) for kind, channel in channels.items()}
        yield Subjects(loops, *(owner.breakers[METHOD] for owner in owners))


def _calling(call: Callable[[bytes], bytes]) -> Callable[[int], None]:
    def run(n: int) -> None:
        for _ in range(n):
            try:  # noqa: SIM105 - a context manager would be measured too
                call(b"x")
            except breaker.BreakerOpenError:
                pass

    return run


class _AioPassingOn(grpc.aio.UnaryUnaryClientInterceptor):
    async def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        return await continuation(client_call_details, request)


@contextmanager
def aio_subjects() -> Iterator[Subjects]:
    with _server() as address, _providers() as owners, asyncio.Runner() as runner:
        closed, opened, guarding = owners
        interceptors: dict[str, list[grpc.aio.ClientInterceptor]] = {
            "bare": [],
            "passing-on": [_AioPassingOn()],
            "breaker": aio_interceptors(closed),
            "rejected": aio_interceptors(opened),
            "guarded": [],
        }

        async def channel(kind: str) -> grpc.aio.Channel:
            made = grpc.aio.insecure_channel(address, interceptors=interceptors[kind])
            return guard(made, guarding) if kind == "guarded" else made

        channels = {kind: runner.run(channel(kind)) for kind in KINDS}
        loops = {kind: Loop(_awaiting(runner, made.unary_unary(METHOD)), kind) for kind, made in channels.items()}
        yield Subjects(loops, *(owner.breakers[METHOD] for owner in owners))
        for made in channels.values():
            runner.run(made.close())


def _awaiting(runner: asyncio.Runner, call: Callable[[bytes], Any]) -> Callable[[int], None]:
    async def many(n: int) -> None:
        for _ in range(n):
            try:  # noqa: SIM105 - as above
                await call(b"x")
            except breaker.BreakerOpenError:
                pass

    def run(n: int) -> None:
        coroutine: Coroutine[Any, Any, None] = many(n)
        runner.run(coroutine)

    return run
