"""Servers of `grpc` and `grpc.aio`: the interceptor. What it makes of a handler is in handlers.py."""

from __future__ import annotations

from collections.abc import Callable
from functools import update_wrapper
from typing import Any

import grpc
import grpc.aio

from breaker.integrations.grpc.handlers import Guard, Handler, on_aio_server, on_sync_server
from breaker.integrations.grpc.protection import Protecting

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

    Args:
        provider: whose breakers protect the calls.
        name: as for `BreakerInterceptor`, given the handler's call details. If it raises or returns something else than
            text or None, the call ends with UNKNOWN, the error is in gRPC's log, and the handler does not run.
            Without it the name is ``grpc-server:/pkg.Service/Method``, so that a program that calls the method too has
            two breakers, and methods of gRPC's own services (health, reflection, channelz) are not protected.
        failure_codes: `grpc.StatusCode` or their names. Codes in neither list are successes.
        ignored_codes: the same for calls that do not count. A list that is given wins over the other's default.
        settle: as for `BreakerInterceptor`, given the handler's call details.
    Raises:
        TypeError: an argument of the wrong kind.
        ValueError: an unknown code, or one in both lists; a ``settle`` that is none.

    Thread safety: one interceptor may serve any number of servers and threads.

    .. versionadded:: 0.1
    """

    _prefix = "grpc-server:"
    # gRPC's own services: whoever asks whether a server is well must not be told that a breaker is open.
    _unprotected = ("/grpc.health.", "/grpc.reflection.", "/grpc.channelz.")

    def intercept_service(self, continuation: Callable[[Any], Any], handler_call_details: Any) -> Any:
        found = continuation(handler_call_details)
        if hasattr(found, "__await__"):  # a server of grpc.aio
            return self._guarded_later(found, handler_call_details)
        return self._guarded(found, handler_call_details, on_sync_server)

    async def _guarded_later(self, found: Any, details: Any) -> Any:
        return self._guarded(await found, details, on_aio_server)

    def _guarded(self, found: Any, details: Any, guard_of: Callable[[Guard, Handler, bool], Handler]) -> Any:
        if found is None:  # no such method: clients could make breakers without end by asking for others
            return None
        breaker = self._protection.breaker_of(details)
        if breaker is None:
            return found
        streams = bool(found.response_streaming)
        by_first = streams and self._protection.first_settles(details)
        measured = not found.request_streaming and (not streams or by_first)
        guard = Guard(self._protection, breaker, by_first, measured)
        kind, make = _MAKERS[bool(found.request_streaming), streams]
        handler = getattr(found, kind)
        # The attributes are copied: gRPC keeps some of its options in them.
        guarded = update_wrapper(guard_of(guard, handler, streams), handler, assigned=())
        return make(guarded, found.request_deserializer, found.response_serializer)
