"""Calls of `grpc` that are not over when they are given back: futures and streams.

They end later: a callback reports it, on a thread of gRPC's. Their caller may see the end a moment before that callback
runs, so `_GuardedCall` stands between them: whoever has seen the end of a call finds its breaker settled.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

import grpc

from breaker.integrations._base import Permit
from breaker.integrations.grpc.errors import Future
from breaker.integrations.grpc.protection import Protection


def guarded(protection: Protection, permit: Permit, call: Any, timeout: float | None, by_first: bool = False) -> Any:
    """What the caller gets of a call that holds a permit: itself if it is over, else one that settles the permit.

    Args:
        call: what gRPC gave back, or an interceptor further inside.
        timeout: what the call was given, in seconds.
        by_first: whether its first response settles it.
    """
    if hasattr(call, "done"):
        if call.done():
            protection.settle_finished(permit, call, timeout)
            return call
    elif hasattr(call, "__iter__"):  # responses that an inner interceptor gives back bare
        call = iter(call)
    return _GuardedCall(call, Unsettled(protection, permit, timeout, by_first))


class Unsettled:
    """The permit of a call that is not over. Settled by the callback and by the caller's looks, whichever is first."""

    __slots__ = ("_by_first", "_has_given", "_is_taking", "_permit", "_protection", "_timeout")

    def __init__(self, protection: Protection, permit: Permit, timeout: float | None, by_first: bool) -> None:
        self._protection = protection
        self._permit = permit
        self._timeout = timeout
        self._by_first = by_first
        self._has_given = False
        self._is_taking = False

    def over(self, call: Any) -> None:
        """The call is over."""
        if not self._is_taking:
            self._settle(call)

    def _settle(self, call: Any) -> None:
        self._protection.settle_finished(self._permit, call, self._timeout)

    def taking(self) -> None:
        """A response of a stream is waited for.

        Of a stream whose first response settles it, response and end may come together: then it is the response that
        counts, and who waits for it says so.
        """
        self._is_taking = self._by_first and not self._has_given

    def took_nothing(self) -> None:
        """Nobody waits for a response any more."""
        self._is_taking = False

    def gave(self) -> None:
        """A response of a stream was taken."""
        if not self._has_given:
            self._has_given = True
            self._is_taking = False
            if self._by_first:
                self.ended()

    def ended(self) -> None:
        """The last response was taken, or the only one, or the one that settles."""
        self._protection.settle(self._permit, grpc.StatusCode.OK, "")

    def raised(self, error: BaseException) -> None:
        """Taking a response raised this."""
        self._is_taking = False
        self._protection.settle_error(self._permit, error, self._timeout)

    def left(self) -> None:
        """Its caller dropped it before its end. One that has answered, if only in part, is well (S34)."""
        if self._has_given:
            self.ended()
        else:
            self._permit.ignore()


def _reported(unsettled: Unsettled, reference: weakref.ref[Any]) -> None:
    """gRPC says that a call is over."""
    call = reference()
    if call is None:  # whoever sees the end of a call settles it first; nobody has
        unsettled.left()
    else:
        unsettled.over(call)


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

    def __init__(self, call: Any, unsettled: Unsettled) -> None:
        self._call = call
        self._unsettled = unsettled
        if hasattr(call, "add_callback"):
            # Weak: the call holds its callback, and only a call that nobody holds is cancelled when it is abandoned.
            # A partial: gRPC's thread looks for its name when a callback raises.
            if not call.add_callback(partial(_reported, unsettled, weakref.ref(call))):
                unsettled.over(call)
        elif hasattr(call, "__next__"):  # bare responses, which do not report
            weakref.finalize(self, unsettled.left).atexit = False

    def __iter__(self) -> _GuardedCall:
        return self

    def __next__(self) -> Any:
        self._unsettled.taking()
        try:
            response = next(self._call)
        except StopIteration:
            self._unsettled.ended()
            raise
        except Exception as error:
            self._unsettled.raised(error)
            raise
        except BaseException:  # a signal: the call goes on
            self._unsettled.took_nothing()
            self._look()
            raise
        self._unsettled.gave()
        return response

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
