"""What a rejected call raises, in the forms that callers of gRPC know.

BreakerOpenError    grpc.RpcError
        └────┬────────────┘
   BreakerOpenRpcError    grpc.aio.AioRpcError
            └────┬────────────────┘
     AioBreakerOpenRpcError
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NoReturn

import grpc
import grpc.aio

from breaker.errors import BreakerOpenError
from breaker.integrations._base import rejected_as

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    Future = grpc.Future[Any]
    Metadata = tuple[tuple[str, str], ...]
else:
    Future = grpc.Future  # generic only in its stubs

PUSHBACK = "grpc-retry-pushback-ms"
_LONGEST_PUSHBACK = 2**31 - 1  # the protocol's: a signed integer of 32 bits


def pushback(rejected: BreakerOpenError) -> Metadata:
    """The trailing metadata that tells clients when to try again, in whole milliseconds, rounded up."""
    milliseconds = math.ceil(rejected.retry_after * 1000)
    return ((PUSHBACK, str(min(milliseconds, _LONGEST_PUSHBACK))),)


class FinishedCall(grpc.Call, Future):
    """A call of `grpc` that was over before it began: what an interceptor gives back in place of one.

    Given back, not raised: raised in a future or a stream it would show as INTERNAL, in an object of gRPC's whose
    ``result`` knows no ``timeout``.
    """

    def result(self, timeout: float | None = None) -> NoReturn:
        raise self.exception()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> NoReturn:
        raise self.exception()

    def exception(self, timeout: float | None = None) -> Exception:
        raise NotImplementedError

    def traceback(self, timeout: float | None = None) -> None:
        return None

    def debug_error_string(self) -> str:
        return ""

    def initial_metadata(self) -> Any:
        return ()

    def trailing_metadata(self) -> Any:
        return ()

    def cancel(self) -> bool:
        return False

    def cancelled(self) -> bool:
        return False

    def running(self) -> bool:
        return False

    def done(self) -> bool:
        return True

    def is_active(self) -> bool:
        return False

    def time_remaining(self) -> Any:
        return None

    def add_callback(self, callback: Callable[[], None]) -> bool:
        return False

    def add_done_callback(self, fn: Callable[[Any], None]) -> None:
        fn(self)


class BreakerOpenRpcError(BreakerOpenError, grpc.RpcError, FinishedCall):
    """A call was rejected by its breaker: no request was sent. A `BreakerOpenError` and a `grpc.RpcError` at once.

    ``code()`` is UNAVAILABLE, ``details()`` name the breaker and say when to retry, ``trailing_metadata()`` says so in
    ``grpc-retry-pushback-ms``. It is also the finished call that ``with_call``, ``future`` and streams give back.
    Picklable.

    .. versionadded:: 0.1
    """

    def exception(self, timeout: float | None = None) -> Self:
        # A copy. gRPC's own frames hold what an interceptor gave back: were that raised, its traceback would hold it
        # too, and each rejection would wait for the garbage collector.
        return rejected_as(type(self), self)

    def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.UNAVAILABLE

    def details(self) -> str:
        return str(self)

    def trailing_metadata(self) -> Any:
        return pushback(self)


class UnmadeCall(grpc.RpcError, FinishedCall):  # type: ignore[misc]  # its bases' stubs disagree
    """A call that was not made, because ``name=`` or ``settle=`` gave no answer for it: it raises why."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self._error = error

    def exception(self, timeout: float | None = None) -> Exception:
        return self._error

    def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.INTERNAL

    def details(self) -> str:
        return str(self._error)


class AioBreakerOpenRpcError(BreakerOpenRpcError, grpc.aio.AioRpcError):
    """The same for channels of `grpc.aio`: also a `grpc.aio.AioRpcError`.

    .. versionadded:: 0.1
    """

    def debug_error_string(self) -> str:
        return ""

    def initial_metadata(self) -> grpc.aio.Metadata:  # type: ignore[override]
        return grpc.aio.Metadata()

    def trailing_metadata(self) -> grpc.aio.Metadata:  # type: ignore[override]
        return grpc.aio.Metadata(*pushback(self))
