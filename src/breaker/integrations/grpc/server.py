"""Servers of `grpc` and `grpc.aio`: a method whose handler keeps failing sheds its load.

The breaker is asked when the handler would run and settled when it ends, by the status that the client gets: one that
the handler set or aborted with; UNKNOWN where it raised something else. A client that has gone away is no verdict on
the handler, except where its deadline passed.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing
from functools import update_wrapper
from typing import Any

import grpc
import grpc.aio

from breaker.errors import BreakerOpenError
from breaker.integrations._base import Breaker, Permit
from breaker.integrations.grpc.contexts import client_is_gone, code_of, details_of, time_left, with_code
from breaker.integrations.grpc.errors import pushback
from breaker.integrations.grpc.protection import Protecting, Protection

Handler = Callable[..., Any]
_Codes = grpc.StatusCode

_MAKERS: dict[tuple[bool, bool], tuple[str, Callable[..., Any]]] = {
    (False, False): ("unary_unary", grpc.unary_unary_rpc_method_handler),
    (False, True): ("unary_stream", grpc.unary_stream_rpc_method_handler),
    (True, False): ("stream_unary", grpc.stream_unary_rpc_method_handler),
    (True, True): ("stream_stream", grpc.stream_stream_rpc_method_handler),
}


class BreakerServerInterceptor(Protecting, grpc.ServerInterceptor, grpc.aio.ServerInterceptor):
    """Each method of a server has a breaker, and sheds its load while its handler keeps failing.

    For ``grpc.server(…, interceptors=[BreakerServerInterceptor(provider)])`` and for `grpc.aio.server` alike. A call
    that is shed ends with UNAVAILABLE and the trailing metadata ``grpc-retry-pushback-ms``; its handler does not run.

    A program that is client and server of the same method should have a ``name`` on one side, or two providers: the two
    sides are two dependencies. With one breaker for both, a call of the handler is a part of the handler's (S55).

    Args:
        provider: whose breakers protect the calls.
        name: as for `BreakerInterceptor`, given the handler's call details. If it raises or returns something else than
            text or None, the call ends with UNKNOWN, the error is in gRPC's log, and the handler does not run.
        failure_codes: `grpc.StatusCode` or their names. Codes in neither list are successes.
        ignored_codes: the same for calls that do not count. A list that is given wins over the other's default.
    Raises:
        TypeError: an argument of the wrong kind.
        ValueError: an unknown code, or one in both lists.

    Thread safety: one interceptor may serve any number of servers and threads.

    .. versionadded:: 0.1
    """

    def intercept_service(self, continuation: Callable[[Any], Any], handler_call_details: Any) -> Any:
        found = continuation(handler_call_details)
        if hasattr(found, "__await__"):  # a server of grpc.aio
            return self._guarded_later(found, handler_call_details)
        return self._guarded(found, handler_call_details, _on_sync_server)

    async def _guarded_later(self, found: Any, details: Any) -> Any:
        return self._guarded(await found, details, _on_aio_server)

    def _guarded(self, found: Any, details: Any, guard_of: Callable[[_Guard, Handler, bool], Handler]) -> Any:
        if found is None:  # no such method: clients could make breakers without end by asking for others
            return None
        breaker = self._protection.breaker_of(details)
        if breaker is None:
            return found
        guard = _Guard(self._protection, breaker)
        kind, make = _MAKERS[bool(found.request_streaming), bool(found.response_streaming)]
        handler = getattr(found, kind)
        # The attributes are copied: gRPC keeps some of its options in them.
        guarded = update_wrapper(guard_of(guard, handler, found.response_streaming), handler, assigned=())
        return make(guarded, found.request_deserializer, found.response_serializer)


class _Guard:
    """The breaker of one call of a handler."""

    __slots__ = ("_breaker", "_protection")

    def __init__(self, protection: Protection, breaker: Breaker) -> None:
        self._protection = protection
        self._breaker = breaker

    def admit(self) -> Permit | BreakerOpenError:
        try:
            return self._breaker.acquire()
        except BreakerOpenError as rejected:
            return rejected

    def settle(self, permit: Permit, context: Any, error: BaseException | None = None) -> None:
        """Settle by how the handler ended: by returning, or by ``error``."""
        code = code_of(context)
        if code is None:
            if client_is_gone(context, error):
                code = _Codes.CANCELLED if time_left(context) else _Codes.DEADLINE_EXCEEDED
            elif error is None:
                code = _Codes.OK
            elif isinstance(error, BreakerOpenError):  # of a breaker that the handler called: not the handler's failure
                self._protection.settle_error(permit, error)
                return
            else:
                self._protection.settle(permit, _Codes.UNKNOWN, "", error)
                return
        self._protection.settle(permit, code, details_of(context))


def _reason_for_clients(rejected: BreakerOpenError) -> str:
    """The details of the status. Not what opened the breaker: that is the server's own affair."""
    return str(BreakerOpenError(rejected.name, rejected.state, rejected.retry_after, rejected.reason))


# Guarded handlers. gRPC looks at a handler's kind to know how to run it: each is guarded by one of its own kind. The
# handler runs in the block of its permit, so that calls which it makes through the same breaker are known as its own.


def _on_sync_server(guard: _Guard, handler: Handler, streaming: bool) -> Handler:
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
    return _plain(guard, handler, streaming, admit)


def _on_aio_server(guard: _Guard, handler: Handler, streaming: bool) -> Handler:
    """For a server of `grpc.aio`: coroutine functions, async generator functions, and functions that run in threads."""

    async def admit(context: Any) -> Permit:
        permit = guard.admit()
        if isinstance(permit, BreakerOpenError):
            await _shed_later(permit, context)
            raise permit  # not reached: abort raises
        return permit

    if inspect.iscoroutinefunction(handler):
        return _coroutine(guard, handler, admit)
    if inspect.isasyncgenfunction(handler):
        return _async_generator(guard, handler, admit)
    # Admitted here, in the loop: a generator in a thread that aborts hangs in gRPC itself.
    permit = guard.admit()
    if isinstance(permit, BreakerOpenError):
        return _shedding(permit)
    return _plain(guard, handler, streaming, lambda context: permit)


def _plain(guard: _Guard, handler: Handler, streaming: bool, admit: Callable[[Any], Permit]) -> Handler:
    def unary(request: Any, context: Any) -> Any:
        context = with_code(context)
        with admit(context) as permit:
            try:
                response = handler(request, context)
            except BaseException as error:
                guard.settle(permit, context, error)
                raise
            guard.settle(permit, context)
        return response

    def stream(request: Any, context: Any) -> Iterator[Any]:
        context = with_code(context)
        with admit(context) as permit:
            try:
                yield from handler(request, context)
            except BaseException as error:
                guard.settle(permit, context, error)
                raise
            guard.settle(permit, context)

    return stream if streaming else unary


def _non_blocking(guard: _Guard, handler: Handler, admit: Callable[[Any], Permit]) -> Handler:
    """For stream handlers with gRPC's experimental mark, which hand each response to a callback and None at the end."""

    def start(request: Any, context: Any, send: Callable[[Any], None]) -> None:
        permit = admit(context)

        def sending(response: Any) -> None:
            if response is None:
                guard.settle(permit, context)
            send(response)

        context.add_callback(lambda: guard.settle(permit, context))  # the client went away, or the handler aborted
        try:
            handler(request, context, sending)
        except BaseException as error:
            guard.settle(permit, context, error)
            raise

    return start


def _shedding(rejected: BreakerOpenError) -> Handler:
    """A handler for any kind of method that only sheds."""

    async def shed(request: Any, context: Any) -> None:
        await _shed_later(rejected, context)

    return shed


async def _shed_later(rejected: BreakerOpenError, context: Any) -> None:
    context.set_trailing_metadata(pushback(rejected))
    await context.abort(_Codes.UNAVAILABLE, _reason_for_clients(rejected))


def _coroutine(guard: _Guard, handler: Handler, admit: Callable[[Any], Awaitable[Permit]]) -> Handler:
    async def coroutine(request: Any, context: Any) -> Any:
        with await admit(context) as permit:
            try:
                response = await handler(request, context)
            except BaseException as error:
                guard.settle(permit, context, error)
                raise
            guard.settle(permit, context)
        return response

    return coroutine


def _async_generator(guard: _Guard, handler: Handler, admit: Callable[[Any], Awaitable[Permit]]) -> Handler:
    async def generator(request: Any, context: Any) -> AsyncIterator[Any]:
        with await admit(context) as permit:
            try:
                async with aclosing(handler(request, context)) as responses:
                    async for response in responses:
                        yield response
            except BaseException as error:
                guard.settle(permit, context, error)
                raise
            guard.settle(permit, context)

    return generator
