"""Channels of `grpc`: the interceptor, and the call that it gives back while it is not over.

A blocking call is over when its continuation returns, and its error is returned, not raised. A future or a stream ends
later: a callback reports it, on a thread of gRPC's. Its caller may see the end a moment before that callback runs, so
`_GuardedCall` stands between them: whoever has seen the end of a call finds its breaker settled.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

import grpc

from breaker.errors import BreakerOpenError
from breaker.integrations._base import Permit, rejected_as
from breaker.integrations.grpc.errors import BreakerOpenRpcError, Future, MisnamedCall
from breaker.integrations.grpc.protection import Protecting, Protection

Continuation = Callable[[Any, Any], Any]


class BreakerInterceptor(
    Protecting,
    grpc.UnaryUnaryClientInterceptor,
    grpc.UnaryStreamClientInterceptor,
    grpc.StreamUnaryClientInterceptor,
    grpc.StreamStreamClientInterceptor,
):
    """Each call of a channel goes through a breaker: ``grpc.intercept_channel(channel, BreakerInterceptor(provider))``.

    A call whose breaker cannot be named is not made. Its caller gets a `RuntimeError` if ``name`` raised, a `TypeError`
    if it returned something else than text or None, a `ValueError` if no breaker can have that name.

    Args:
        provider: whose breakers protect the calls.
        name: makes the breaker's name of the call's details (``.method`` is text), or None to leave a call
            unprotected. Without it the name is the full method, ``/pkg.Service/Method``.
        failure_codes: `grpc.StatusCode` or their names. Codes in neither list are successes.
        ignored_codes: the same for calls that do not count. A list that is given wins over the other's default.

    Raises:
        TypeError: an argument of the wrong kind.
        ValueError: an unknown code, or one in both lists.

    Thread safety: one interceptor may serve any number of channels and threads.

    .. versionadded:: 0.1
    """

    def intercept_unary_unary(self, continuation: Continuation, client_call_details: Any, request: Any) -> Any:
        try:
            breaker = self._protection.breaker_of(client_call_details)
            permit = None if breaker is None else breaker.acquire()
        except BreakerOpenError as rejected:
            return rejected_as(BreakerOpenRpcError, rejected)
        except Exception as error:
            return MisnamedCall(error)
        if permit is None:
            return continuation(client_call_details, request)
        try:
            call = continuation(client_call_details, request)
        except BaseException as error:
            self._protection.settle_error(permit, error)
            raise
        if hasattr(call, "done"):
            if call.done():
                self._protection.settle_finished(permit, call)
                return call
        elif hasattr(call, "__iter__"):  # responses that an inner interceptor gives back bare
            call = iter(call)
        return _GuardedCall(call, _Unsettled(self._protection, permit))

    # Four names for one thing: a call more for each would cost as much as the rest.
    intercept_unary_stream: Any = intercept_unary_unary
    intercept_stream_unary: Any = intercept_unary_unary
    intercept_stream_stream: Any = intercept_unary_unary


class _Unsettled:
    """The permit of a call that is not over. Settled by the callback and by the caller's looks, whichever is first."""

    __slots__ = ("_permit", "_protection")

    def __init__(self, protection: Protection, permit: Permit) -> None:
        self._protection = protection
        self._permit = permit

    def watch(self, call: Any) -> None:
        """Have the end of a call reported, if it is one that reports."""
        if not hasattr(call, "add_callback"):
            return
        # Weak: the call holds its callback, and only a call that nobody holds is cancelled when it is abandoned.
        # A partial: gRPC's thread looks for its name when a callback raises.
        if not call.add_callback(partial(self._reported, weakref.ref(call))):
            self.over(call)

    def _reported(self, reference: weakref.ref[Any]) -> None:
        call = reference()
        if call is None:
            # Whoever sees the end of a call settles it first. Nobody has: its caller abandoned it.
            self._permit.ignore()
        else:
            self.over(call)

    def over(self, call: Any) -> None:
        """The call is over."""
        self._protection.settle_finished(self._permit, call)

    def ended(self) -> None:
        """The last response was taken, or the only one."""
        self._protection.settle(self._permit, grpc.StatusCode.OK, "")

    def raised(self, error: Exception) -> None:
        """Taking a response raised this."""
        self._protection.settle_error(self._permit, error)


def _looking(method: str) -> Any:
    """The call's own method, after which the breaker knows what its caller knows."""

    def forwarded(self: _GuardedCall, *args: Any, **kwargs: Any) -> Any:
        try:
            return getattr(self._call, method)(*args, **kwargs)
        finally:
            self._look()

    forwarded.__name__ = method
    return forwarded


class _GuardedCall(grpc.Call, Future):
    """A future or a stream as gRPC made it, whose end settles the permit before its caller sees it."""

    def __init__(self, call: Any, unsettled: _Unsettled) -> None:
        self._call = call
        self._unsettled = unsettled
        unsettled.watch(call)

    def __iter__(self) -> _GuardedCall:
        return self

    def __next__(self) -> Any:
        try:
            return next(self._call)
        except StopIteration:
            self._unsettled.ended()
            raise
        except Exception as error:
            self._unsettled.raised(error)
            raise

    def result(self, timeout: float | None = None) -> Any:
        try:
            value = self._call.result() if timeout is None else self._call.result(timeout)
        except (grpc.FutureTimeoutError, grpc.FutureCancelledError):
            self._look()
            raise
        except Exception as error:
            self._unsettled.raised(error)
            raise
        self._unsettled.ended()
        return value

    def _look(self) -> None:
        if hasattr(self._call, "done") and self._call.done():
            self._unsettled.over(self._call)

    cancel = _looking("cancel")
    cancelled = _looking("cancelled")
    code = _looking("code")
    debug_error_string = _looking("debug_error_string")
    details = _looking("details")
    done = _looking("done")
    exception = _looking("exception")
    initial_metadata = _looking("initial_metadata")
    is_active = _looking("is_active")
    running = _looking("running")
    time_remaining = _looking("time_remaining")
    traceback = _looking("traceback")
    trailing_metadata = _looking("trailing_metadata")

    def add_callback(self, callback: Callable[[], None]) -> bool:
        added: bool = self._call.add_callback(callback)
        return added

    def add_done_callback(self, fn: Callable[[Any], None]) -> None:
        self._call.add_done_callback(partial(self._notify, fn))

    def _notify(self, fn: Callable[[Any], None], call: Any) -> None:
        self._unsettled.over(call)
        fn(self)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._call, name)

    def __repr__(self) -> str:
        return repr(self._call)
