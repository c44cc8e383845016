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


def rejection_of(rejected: BreakerOpenError) -> BreakerOpenRpcError:
    """The rejection in the form of channels of `grpc`."""
    return BreakerOpenRpcError(*_fields(rejected))


def aio_rejection_of(rejected: BreakerOpenError) -> AioBreakerOpenRpcError:
    """The rejection in the form of channels of `grpc.aio`."""
    return AioBreakerOpenRpcError(*_fields(rejected))


def _fields(rejected: BreakerOpenError) -> tuple[Any, ...]:
    return rejected.name, rejected.state, rejected.retry_after, rejected.reason, rejected.last_error


class BreakerOpenRpcError(BreakerOpenError, grpc.RpcError, grpc.Call, Future):
    """A call was rejected by its breaker: no request was sent. A `BreakerOpenError` and a `grpc.RpcError` at once.

    ``code()`` is UNAVAILABLE, ``details()`` name the breaker and say when to retry, ``trailing_metadata()`` says so in
    ``grpc-retry-pushback-ms``. It is also the finished call that ``with_call``, ``future`` and streams give back.
    Picklable.
    """

    # Raised are copies of it. gRPC's own frames hold what an interceptor returned: were that raised, its traceback
    # would hold it too, and each rejection would wait for the garbage collector.
    def _raise(self) -> NoReturn:
        raise type(self)(*_fields(self))

    def result(self, timeout: float | None = None) -> NoReturn:
        self._raise()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> NoReturn:
        self._raise()

    def exception(self, timeout: float | None = None) -> Self:
        return self

    def traceback(self, timeout: float | None = None) -> None:
        return None

    # As a call: over, with this status.

    def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.UNAVAILABLE

    def details(self) -> str:
        return str(self)

    def debug_error_string(self) -> str:
        return ""

    def initial_metadata(self) -> Any:
        return ()

    def trailing_metadata(self) -> Any:
        return pushback(self)

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


class AioBreakerOpenRpcError(BreakerOpenRpcError, grpc.aio.AioRpcError):
    """The same for channels of `grpc.aio`: also a `grpc.aio.AioRpcError`."""

    # Of another type than in the channels of `grpc`, as AioRpcError's is.
    def initial_metadata(self) -> grpc.aio.Metadata:  # type: ignore[override]
        return grpc.aio.Metadata()

    def trailing_metadata(self) -> grpc.aio.Metadata:  # type: ignore[override]
        return grpc.aio.Metadata(*pushback(self))
