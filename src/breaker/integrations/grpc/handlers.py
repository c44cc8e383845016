"""Handlers of servers of `grpc` and `grpc.aio`, with a breaker around them.

The breaker is asked when the handler would run and settled when it ends, by the status that the client gets: one that
the handler set or aborted with; UNKNOWN where it raised something else. A client that has gone away is no verdict on
the handler, except where its deadline passed; and one that had a response before it left found the handler well.

gRPC looks at a handler's kind to know how to run it, and so do other interceptors: each is guarded by one of its kind.
It runs in the block of its permit, so that calls which it makes through the same breaker are known as its own (S55).
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import aclosing
from typing import Any

import grpc
import grpc.aio

from breaker.errors import BreakerOpenError
from breaker.integrations._base import Breaker, Permit
from breaker.integrations.grpc.contexts import (
    Writing,
    client_is_gone,
    code_of,
    details_of,
    time_left,
    with_code,
)
from breaker.integrations.grpc.errors import pushback
from breaker.integrations.grpc.protection import Protection

Handler = Callable[..., Any]
_Codes = grpc.StatusCode


class Guard:
    """The breaker of a handler. ``by_first``: its first response settles a call. ``measured``: it may be slow."""

    __slots__ = ("_breaker", "_by_first", "_measured", "_protection")

    def __init__(self, protection: Protection, breaker: Breaker, by_first: bool, measured: bool) -> None:
        self._protection = protection
        self._breaker = breaker
        self._by_first = by_first
        self._measured = measured

    def admit(self) -> Permit | BreakerOpenError:
        try:
            permit = self._breaker.acquire()
            return permit if self._measured else permit._unmeasured()
        except BreakerOpenError as rejected:
            return rejected

    def running(self, permit: Permit, context: Any) -> _Running:
        return _Running(self._protection, permit, self._by_first, context)


class _Running:
    """One call of a handler, which holds a permit."""

    __slots__ = ("_by_first", "_context", "_has_given", "_permit", "_protection")

    def __init__(self, protection: Protection, permit: Permit, by_first: bool, context: Any) -> None:
        self._protection = protection
        self._permit = permit
        self._by_first = by_first
        self._context = context
        self._has_given = False

    def gave(self) -> None:
        """The handler gave a response of a stream."""
        if not self._has_given:
            self._has_given = True
            if self._by_first:
                self._protection.settle(self._permit, _Codes.OK, "")

    def ended(self, error: BaseException | None = None) -> None:
        """It is over: it returned, or raised ``error``."""
        protection, permit = self._protection, self._permit
        code = code_of(self._context)
        if code is not None:
            protection.settle(permit, code, details_of(self._context))
        elif client_is_gone(self._context, error):
            protection.settle(permit, self._code_of_one_that_left(), "")
        elif error is None:
            protection.settle(permit, _Codes.OK, "")
        elif isinstance(error, BreakerOpenError):  # of a breaker that the handler called: not the handler's failure
            protection.settle_error(permit, error)
        else:
            protection.settle(permit, _Codes.UNKNOWN, "", error)

    def _code_of_one_that_left(self) -> grpc.StatusCode:
        if not time_left(self._context):
            return _Codes.DEADLINE_EXCEEDED
        return _Codes.OK if self._has_given else _Codes.CANCELLED


def _reason_for_clients(rejected: BreakerOpenError) -> str:
    """The details of the status. Not what opened the breaker: that is the server's own affair."""
    return str(BreakerOpenError(rejected.name, rejected.state, rejected.retry_after, rejected.reason))


def on_sync_server(guard: Guard, handler: Handler, streams: bool) -> Handler:
    """For a server of `grpc`, whose handlers run in its threads."""

    def admit(context: Any) -> Permit:
        permit = guard.admit()
        if isinstance(permit, BreakerOpenError):
            context.set_trailing_metadata(pushback(permit))
            context.abort(_Codes.UNAVAILABLE, _reason_for_clients(permit))
            raise permit  # not reached: abort raises
        return permit

    if getattr(handler, "experimental_non_blocking", False):
        return _non_blocking(guard, handler, admit)
    return _plain(guard, handler, streams, admit)


def on_aio_server(guard: Guard, handler: Handler, streams: bool) -> Handler:
    """For a server of `grpc.aio`: coroutine functions, async generator functions, and functions that run in threads."""

    async def admit(context: Any) -> Permit:
        permit = guard.admit()
        if isinstance(permit, BreakerOpenError):
            await _shed_later(permit, context)
            raise permit  # not reached: abort raises
        return permit

    if inspect.iscoroutinefunction(handler):
        return _coroutine(guard, handler, streams, admit)
    if inspect.isasyncgenfunction(handler):
        return _async_generator(guard, handler, admit)
    # Admitted here, in the loop: a generator in a thread that aborts hangs in gRPC itself.
    permit = guard.admit()
    if isinstance(permit, BreakerOpenError):
        return _shedding(permit, streams)
    return _plain(guard, handler, streams, lambda context: permit)


def _plain(guard: Guard, handler: Handler, streams: bool, admit: Callable[[Any], Permit]) -> Handler:
    def unary(request: Any, context: Any) -> Any:
        context = with_code(context)
        with admit(context) as permit:
            running = guard.running(permit, context)
            try:
                response = handler(request, context)
            except BaseException as error:
                running.ended(error)
                raise
            running.ended()
        return response

    def stream(request: Any, context: Any) -> Iterator[Any]:
        context = with_code(context)
        with admit(context) as permit:
            running = guard.running(permit, context)
            try:
                yield from _noting(handler(request, context), running.gave)
            except BaseException as error:
                running.ended(error)
                raise
            running.ended()

    return stream if streams else unary


def _noting(responses: Iterable[Any], gave: Callable[[], None]) -> Iterator[Any]:
    """The responses; the first is noted."""
    iterator = iter(responses)
    for response in iterator:
        gave()
        try:
            yield response
        except GeneratorExit:
            if (close := getattr(iterator, "close", None)) is not None:
                close()
            raise
        break
    yield from iterator


def _non_blocking(guard: Guard, handler: Handler, admit: Callable[[Any], Permit]) -> Handler:
    """For stream handlers with gRPC's experimental mark, which hand each response to a callback and None at the end.

    An interceptor further outside that does not know the mark gives no callback: the handler gives an iterator then.
    """
    plain = _plain(guard, handler, True, admit)

    def start(request: Any, context: Any, send_response_callback: Callable[[Any], None] | None = None) -> Any:
        if send_response_callback is None:
            return plain(request, context)
        context = with_code(context)
        running = guard.running(admit(context), context)

        def sending(response: Any) -> None:
            if response is None:
                running.ended()
            else:
                running.gave()
            send_response_callback(response)

        context.add_callback(running.ended)  # the client went away, or the handler aborted
        try:
            return handler(request, context, sending)
        except BaseException as error:
            running.ended(error)
            raise

    return start


def _shedding(rejected: BreakerOpenError, streams: bool) -> Handler:
    """A handler that only sheds."""

    async def unary(request: Any, context: Any) -> None:
        await _shed_later(rejected, context)

    async def stream(request: Any, context: Any) -> AsyncIterator[Any]:
        await _shed_later(rejected, context)
        yield  # not reached: it makes this a generator

    return stream if streams else unary


async def _shed_later(rejected: BreakerOpenError, context: Any) -> None:
    context.set_trailing_metadata(pushback(rejected))
    await context.abort(_Codes.UNAVAILABLE, _reason_for_clients(rejected))


def _coroutine(guard: Guard, handler: Handler, streams: bool, admit: Callable[[Any], Awaitable[Permit]]) -> Handler:
    async def coroutine(request: Any, context: Any) -> Any:
        context = with_code(context)
        with await admit(context) as permit:
            running = guard.running(permit, context)
            if streams:  # it writes its responses
                context = Writing(context, running.gave)
            try:
                response = await handler(request, context)
            except BaseException as error:
                running.ended(error)
                raise
            running.ended()
        return response

    return coroutine


def _async_generator(guard: Guard, handler: Handler, admit: Callable[[Any], Awaitable[Permit]]) -> Handler:
    async def generator(request: Any, context: Any) -> AsyncIterator[Any]:
        context = with_code(context)
        with await admit(context) as permit:
            running = guard.running(permit, context)
            try:
                async with aclosing(handler(request, context)) as responses:
                    async for response in responses:
                        running.gave()
                        yield response
            except BaseException as error:
                running.ended(error)
                raise
            running.ended()

    return generator
