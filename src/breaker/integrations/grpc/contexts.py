"""What the context of a handler says about its call: the status, the client, the time left."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import grpc

_Codes = grpc.StatusCode
_BY_NUMBER: dict[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}
# A client counts its deadline from before it sends, the server from when it has received: the client's hang-up comes
# while the server's own clock has this much left, at most.
_DEADLINE_SLACK = 0.1


def code_of(context: Any) -> grpc.StatusCode | None:
    """The status that the handler has set or aborted with; None: none, or OK."""
    code = context.code()
    if code is None or isinstance(code, grpc.StatusCode):
        return None if code is _Codes.OK else code
    return _BY_NUMBER.get(code, _Codes.UNKNOWN) if code else None


def details_of(context: Any) -> str:
    """The details of that status as text."""
    details = context.details()
    return details.decode(errors="replace") if isinstance(details, bytes) else details or ""


def client_is_gone(context: Any, error: BaseException | None) -> bool:
    """Whether the call was over before the handler ended; ``error`` may be how the handler learned of it."""
    if isinstance(error, asyncio.CancelledError | GeneratorExit):
        return True
    active = getattr(context, "is_active", None)  # contexts of grpc.aio cancel the handler instead
    if active is None or active():
        return False
    # What gRPC raises in a handler whose client is gone has no status. Other errors are the handler's own.
    return error is None or type(error) is grpc.RpcError


def time_left(context: Any) -> bool:
    """Whether the call's deadline, if it has one, has not passed."""
    left = context.time_remaining()
    return left is None or left > _DEADLINE_SLACK


def with_code(context: Any) -> Any:
    """The context, or one around it that knows its status."""
    return context if _tells_its_code(context) else _CodeKeeper(context)


def _tells_its_code(context: Any) -> bool:
    """Not all do: those of other interceptors may lack the methods, or have gRPC's own that only raise."""
    try:
        context.code()
        context.details()
    except Exception:
        return False
    return True


class _Around:
    """A context around another one, which it is but for a few methods."""

    def __init__(self, context: Any) -> None:
        self._context = context

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)


class _CodeKeeper(_Around):
    """A context that knows its status, around one that takes it and never gives it.

    Such are those of functions on a server of grpc.aio, and those of some interceptors.
    """

    def __init__(self, context: Any) -> None:
        super().__init__(context)
        self._code: Any = None
        self._details = ""

    def set_code(self, code: Any) -> None:
        self._code = code
        self._context.set_code(code)

    def set_details(self, details: str) -> None:
        self._details = details
        self._context.set_details(details)

    def abort(self, code: Any, details: str = "", *trailing_metadata: Any) -> Any:
        self._code, self._details = code, details
        return self._context.abort(code, details, *trailing_metadata)

    def abort_with_status(self, status: Any) -> Any:
        self._code, self._details = status.code, status.details
        return self._context.abort_with_status(status)

    def code(self) -> Any:
        return self._code

    def details(self) -> str:
        return self._details


class Writing(_Around):
    """A context of grpc.aio whose ``write`` says that there was a response."""

    def __init__(self, context: Any, gave: Callable[[], None]) -> None:
        super().__init__(context)
        self._gave = gave

    async def write(self, message: Any) -> None:
        self._gave()
        await self._context.write(message)
