"""Calls of `grpc.aio` that hold a permit, and those that were rejected.

A call is settled by its done callback, which gRPC runs before whoever awaits the call goes on. A call with one response
is given back untouched. Around a response stream stands `GuardedStream`, which sees what is taken of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator
from functools import partial
from typing import Any, NoReturn, TypeVar

import grpc
import grpc.aio

from breaker.integrations._base import Permit
from breaker.integrations.grpc.calls import Unsettled
from breaker.integrations.grpc.errors import AioBreakerOpenRpcError
from breaker.integrations.grpc.protection import Protection

_T = TypeVar("_T")


def guarded(protection: Protection, permit: Permit, call: Any, timeout: float | None) -> Any:
    """The call, whose end settles the permit. ``timeout`` is what it was given, in seconds."""
    if call.done():
        settle(protection, permit, timeout, call)
    else:
        call.add_done_callback(partial(settle, protection, permit, timeout))
    return call


def guarded_stream(protection: Protection, permit: Permit, call: Any, timeout: float | None, by_first: bool) -> Any:
    """The same for a call with a response stream; ``by_first``: its first response settles it."""
    return GuardedStream(call, _Unsettled(protection, permit, timeout, by_first))


class _Unsettled(Unsettled):
    __slots__ = ()

    def _settle(self, call: Any) -> None:
        settle(self._protection, self._permit, self._timeout, call)


def settle(protection: Protection, permit: Permit, timeout: float | None, call: Any) -> None:
    """Settle by a call that is over: it is asked for its status now, and has it at hand."""
    is_ok = getattr(getattr(call, "_cython_call", None), "is_ok", None)
    if is_ok is not None and is_ok():  # gRPC's own call; its coroutines take longer to say so
        protection.settle(permit, grpc.StatusCode.OK, "")
        return
    try:
        code = _at_once(call.code())
        details = "" if code is grpc.StatusCode.OK else _at_once(call.details()) or ""
    except Exception as error:  # an interceptor further inside raised it
        protection.settle_error(permit, error, timeout)
        return
    if code is None or isinstance(details, _RejectionDetails):
        permit.ignore()
    else:
        protection.settle(permit, code, details, timeout=timeout)


def _at_once(answer: Coroutine[Any, Any, _T]) -> _T | None:
    """What a coroutine returns that has nothing to wait for; None if it does wait."""
    try:
        answer.send(None)
    except StopIteration as stop:
        value: _T = stop.value
        return value
    answer.close()
    return None


def _forwarded(method: str) -> Any:
    def forwarded(self: GuardedStream, *args: Any, **kwargs: Any) -> Any:
        return getattr(self._call, method)(*args, **kwargs)

    forwarded.__name__ = method
    return forwarded


class GuardedStream(grpc.aio.UnaryStreamCall[Any, Any], grpc.aio.StreamStreamCall[Any, Any]):
    """A call with a response stream as gRPC made it, of which the breaker knows whether it has answered.

    gRPC's own call is part of a cycle and waits for the garbage collector. This one is not: dropped before its end, it
    cancels the call and settles it.
    """

    def __init__(self, call: Any, unsettled: _Unsettled) -> None:
        self._call = call
        self._unsettled = unsettled
        if call.done():
            unsettled.over(call)
        else:
            call.add_done_callback(unsettled.over)

    def __aiter__(self) -> AsyncIterator[Any]:
        return _Responses(self, self._call.__aiter__())

    async def read(self) -> Any:
        response = await self.taken(self._call.read())
        if response is grpc.aio.EOF:
            self._unsettled.ended()
        else:
            self._unsettled.gave()
        return response

    async def taken(self, taking: Awaitable[_T]) -> _T:
        """What is taken of the stream; what that raises settles the call."""
        self._unsettled.taking()
        try:
            return await taking
        except StopAsyncIteration:
            self._unsettled.ended()
            raise
        except grpc.aio.UsageError:  # the call goes on
            self._unsettled.took_nothing()
            raise
        except BaseException as error:
            self._unsettled.raised(error)
            raise

    cancel = _forwarded("cancel")
    cancelled = _forwarded("cancelled")
    code = _forwarded("code")
    debug_error_string = _forwarded("debug_error_string")
    details = _forwarded("details")
    done = _forwarded("done")
    done_writing = _forwarded("done_writing")
    initial_metadata = _forwarded("initial_metadata")
    time_remaining = _forwarded("time_remaining")
    trailing_metadata = _forwarded("trailing_metadata")
    wait_for_connection = _forwarded("wait_for_connection")
    write = _forwarded("write")

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        self._call.add_done_callback(lambda call: callback(self))

    def __del__(self) -> None:
        if not self._call.done():
            self._unsettled.left()
            self._call.cancel()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._call, name)

    def __repr__(self) -> str:
        return repr(self._call)


class _Responses:
    """The responses of a stream one by one. It holds the stream, as gRPC's own iterator does."""

    def __init__(self, stream: GuardedStream, responses: Any) -> None:
        self._stream = stream
        self._responses = responses

    def __aiter__(self) -> _Responses:
        return self

    async def __anext__(self) -> Any:
        response = await self._stream.taken(self._responses.__anext__())
        self._stream._unsettled.gave()
        return response

    def __getattr__(self, name: str) -> Any:  # aclose() of gRPC's generator
        return getattr(self._responses, name)


class _RejectionDetails(str):
    """The details of a rejection, which breakers further outside tell from those of a server."""


class RejectedCall(
    grpc.aio.UnaryUnaryCall[Any, Any],
    grpc.aio.UnaryStreamCall[Any, Any],
    grpc.aio.StreamUnaryCall[Any, Any],
    grpc.aio.StreamStreamCall[Any, Any],
):
    """A call of any kind that was over before it began, with the status of its rejection."""

    def __init__(self, rejection: AioBreakerOpenRpcError) -> None:
        self._rejection = rejection

    def __await__(self) -> Generator[None, None, NoReturn]:
        raise self._rejection.exception()

    def __aiter__(self) -> RejectedCall:
        return self

    async def __anext__(self) -> NoReturn:
        raise self._rejection.exception()

    async def read(self) -> NoReturn:
        raise self._rejection.exception()

    async def write(self, request: Any) -> NoReturn:
        raise self._rejection.exception()

    async def done_writing(self) -> None:
        raise self._rejection.exception()

    async def wait_for_connection(self) -> NoReturn:
        raise self._rejection.exception()

    async def code(self) -> grpc.StatusCode:
        return self._rejection.code()

    async def details(self) -> str:
        return _RejectionDetails(self._rejection.details())

    async def debug_error_string(self) -> str:
        return self._rejection.debug_error_string()

    async def initial_metadata(self) -> grpc.aio.Metadata:
        return self._rejection.initial_metadata()

    async def trailing_metadata(self) -> grpc.aio.Metadata:
        return self._rejection.trailing_metadata()

    def cancel(self) -> bool:
        return False

    def cancelled(self) -> bool:
        return False

    def done(self) -> bool:
        return True

    def time_remaining(self) -> None:
        return None

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        callback(self)


class RejectedWriting(RejectedCall):
    """The same where the caller writes the requests: `write` raises the rejection.

    gRPC's `write` says `InvalidStateError` of a call that is done. So this one is done when its caller knows;
    the flag is what gRPC's `write` of an intercepted call looks at next.
    """

    _over = False

    @property
    def _done_writing_flag(self) -> bool:
        self._over = True
        raise self._rejection.exception()

    async def write(self, request: Any) -> NoReturn:
        if self._over:
            raise asyncio.InvalidStateError("RPC already finished.")
        self._over = True
        raise self._rejection.exception()

    async def done_writing(self) -> None:
        """Nothing is left to be said to the server."""

    def done(self) -> bool:
        return self._over

    def __await__(self) -> Generator[None, None, NoReturn]:
        self._over = True
        return super().__await__()

    async def code(self) -> grpc.StatusCode:
        self._over = True
        return await super().code()

    async def __anext__(self) -> NoReturn:
        self._over = True
        raise self._rejection.exception()

    async def read(self) -> NoReturn:
        self._over = True
        raise self._rejection.exception()
