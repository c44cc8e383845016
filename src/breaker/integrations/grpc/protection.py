"""What the interceptors share: their settings, and what the end of a call counts as.

The outcome goes by the status code: the table is in docs/grpc.md. Some statuses are not the dependency's doing: a call
whose deadline had passed before it began, a call cancelled on this side, and a call that its own caller got wrong. The
last two are known by their text, which grpcio writes itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar, Literal, NamedTuple

import grpc
import grpc.aio

from breaker.errors import BreakerOpenError
from breaker.integrations._base import Breaker, NameOf, Naming, Permit
from breaker.provider import Provider

Code = grpc.StatusCode | str
Settle = Literal["end", "first"] | Callable[[Any], Literal["end", "first"]]
_Codes = grpc.StatusCode

FAILURE_CODES: tuple[grpc.StatusCode, ...] = (
    _Codes.UNAVAILABLE,
    _Codes.DEADLINE_EXCEEDED,
    _Codes.INTERNAL,
    _Codes.UNKNOWN,  # an unhandled exception in a Python server
    _Codes.DATA_LOSS,
    _Codes.RESOURCE_EXHAUSTED,
)
IGNORED_CODES: tuple[grpc.StatusCode, ...] = (_Codes.CANCELLED,)

_CANCELLED_HERE = frozenset(
    {"Locally cancelled by application!", "Cancelled upon garbage collection!", "Channel closed!"}
)
_NEVER_SENT = frozenset({"Exception serializing request!", "Exception iterating requests!", "Invalid metadata"})
_TOO_LARGE = "message larger than max"
_TOO_LARGE_TO_SEND = "CLIENT: Sent message larger than max"
_CHANNEL_CLOSED = frozenset(
    {"Cannot invoke RPC on closed channel!", "Cannot invoke RPC: Channel closed!", "Channel is closed."}
)


class CallDetails(NamedTuple):
    """What ``name=`` and ``settle=`` get of a call on a guarded channel: the fields that interceptors get."""

    method: str
    timeout: float | None
    metadata: Any
    credentials: Any
    wait_for_ready: bool | None
    compression: Any


def is_stream(request: object) -> bool:
    """Are these the requests of a stream? None: they are still to be written. Their writer decides how long that is."""
    return request is None or any(hasattr(request, name) for name in ("__next__", "__anext__", "__aiter__"))


class Protection:
    """The settings of one interceptor or guarded channel, checked.

    Args:
        owner: what errors call it.
        prefix: of the breakers' names where ``name`` is not given.
        unprotected: how methods begin that are not protected where ``name`` is not given.

    ``asks`` says whether a function of its user's wants the details of each call. It is ``is_plain`` if none does, if
    breakers are called as methods are, and OK is a success: ``get_breaker`` is all that a call needs then.
    """

    __slots__ = (
        "_failures",
        "_ignored",
        "_is_named",
        "_naming",
        "_ok_succeeds",
        "_prefix",
        "_settle",
        "_unprotected",
        "_unreached",
        "asks",
        "get_breaker",
        "is_plain",
    )

    def __init__(
        self,
        owner: str,
        provider: Provider,
        name: NameOf | None,
        failure_codes: Iterable[Code],
        ignored_codes: Iterable[Code],
        settle: Settle,
        *,
        prefix: str = "",
        unprotected: tuple[str, ...] = (),
    ) -> None:
        self._naming = Naming(
            owner,
            provider,
            name,
            made_of="the call's details",
            default="the method's own",
            one_for="all methods",
            text=False,  # rarely meant for a channel of many methods, so it has to be spelled out
        )
        self._is_named = name is not None
        self._prefix = prefix
        self._unprotected = unprotected
        self._settle = _Settling(owner, settle)
        self.asks = self._is_named or callable(settle)
        failures = _codes(owner, "failure_codes", failure_codes)
        ignored = _codes(owner, "ignored_codes", ignored_codes)
        # A list that is given wins over the default of the other.
        if failure_codes is FAILURE_CODES:
            failures -= ignored
        elif ignored_codes is IGNORED_CODES:
            ignored -= failures
        if both := sorted(code.name for code in failures & ignored):
            raise ValueError(
                f"{owner} has {', '.join(both)} in failure_codes and in ignored_codes; a code can be in one of them"
            )
        self._failures = failures
        self._ignored = ignored
        # How a call may end whose deadline had passed before it began, whatever counts otherwise.
        self._unreached = failures | {_Codes.DEADLINE_EXCEEDED}
        self._ok_succeeds = _Codes.OK not in failures | ignored
        self.is_plain = self._ok_succeeds and not self.asks and not prefix
        self.get_breaker = provider.get_breaker

    def breaker_of(self, details: Any) -> Breaker | None:
        """The breaker of an intercepted call; None: it is not protected. Raises what `Naming.breaker_for` raises."""
        method = details.method
        if isinstance(method, bytes):  # on channels of grpc.aio
            method = method.decode()
            if self.asks:
                details = _with_text(details)
        return self.breaker_for(details, method)

    def breaker_for(self, details: Any, method: str) -> Breaker | None:
        """The same where the method is at hand; ``details`` are not looked at unless it `asks`."""
        default: str | None = method
        if self._prefix and not self._is_named:
            default = None if method.startswith(self._unprotected) else self._prefix + method
        return self._naming.breaker_for(details, default)

    def first_settles(self, details: Any) -> bool:
        """Whether the first response of this stream settles its call. Raises what ``settle=`` gets wrong."""
        return self._settle.by_first(details)

    def settle(
        self,
        permit: Permit,
        code: grpc.StatusCode,
        details: str,
        error: BaseException | None = None,
        timeout: float | None = None,
    ) -> None:
        """Settle by a status.

        Args:
            error: what ``last_error`` says; None: the status itself.
            timeout: what the call was given, in seconds.
        """
        if code is _Codes.OK and self._ok_succeeds:
            permit.success()
        elif code in self._ignored or self._stayed_here(code, details, timeout):
            permit.ignore()
        elif code not in self._failures:
            permit.success()
        elif code is _Codes.RESOURCE_EXHAUSTED and _TOO_LARGE in details:
            permit.success()  # the other side answered: that this message is too large
        else:
            permit.failure(error or grpc.RpcError(f"{code.name}: {details}"))

    def _stayed_here(self, code: grpc.StatusCode, details: str, timeout: float | None) -> bool:
        """Whether a call ended before it left; what its status counts as otherwise says nothing about that."""
        if code is _Codes.CANCELLED and details in _CANCELLED_HERE:
            return True
        return _never_left(code, details) or (code in self._unreached and timeout is not None and not timeout > 0)

    def settle_error(self, permit: Permit, error: BaseException, timeout: float | None = None) -> None:
        """Settle by what a call raised. Without a status it is classified as by `Breaker.do`."""
        # The rejection of another breaker has a status too, and is not the dependency's.
        if isinstance(error, grpc.RpcError) and not isinstance(error, BreakerOpenError) and hasattr(error, "code"):
            self.settle(permit, error.code(), error.details() or "", timeout=timeout)
        elif _of_a_closed_channel(error):
            permit.ignore()  # nor did this one: its caller had closed the channel
        else:
            permit.__exit__(type(error), error, None)

    def settle_finished(self, permit: Permit, call: Any, timeout: float | None = None) -> None:
        """Settle by a call of `grpc` that is over."""
        try:
            error = call.exception()
        except grpc.FutureCancelledError:
            permit.ignore()
            return
        if error is None:
            self.settle(permit, _Codes.OK, "")
        else:
            self.settle_error(permit, error, timeout)


def _never_left(code: grpc.StatusCode, details: str) -> bool:
    """Whether a call's own request kept it here."""
    if code is _Codes.RESOURCE_EXHAUSTED:
        return _TOO_LARGE_TO_SEND in details
    return code in (_Codes.INTERNAL, _Codes.UNKNOWN) and details in _NEVER_SENT


def _of_a_closed_channel(error: BaseException) -> bool:
    return (
        isinstance(error, ValueError | grpc.aio.UsageError)
        and len(error.args) == 1
        and isinstance(error.args[0], str)
        and error.args[0] in _CHANNEL_CLOSED
    )


class _Settling:
    """``settle=``, checked: which responses of a stream settle its call."""

    __slots__ = ("_decide", "_first", "_owner")

    def __init__(self, owner: str, settle: Settle) -> None:
        if not callable(settle) and settle not in ("end", "first"):
            raise ValueError(
                f"settle= of {owner} must be 'end', 'first', or a callable that returns one of them for the call's "
                f"details; got {settle!r}"
            )
        self._owner = owner
        self._first = settle == "first"
        self._decide = settle if callable(settle) else None

    def by_first(self, details: Any) -> bool:
        if self._decide is None:
            return self._first
        details = _with_text(details)
        method = details.method
        try:
            decided = self._decide(details)
        except Exception as error:
            raise RuntimeError(
                f"settle= of {self._owner} raised {type(error).__name__} for {method} ({error}); "
                "it must return 'end' or 'first'"
            ) from error
        if decided not in ("end", "first"):
            raise ValueError(f"settle= of {self._owner} must return 'end' or 'first', got {decided!r} for {method}")
        return decided == "first"


def _with_text(details: Any) -> Any:
    """The details of a call with its method as text."""
    if isinstance(details.method, bytes) and hasattr(details, "_replace"):
        return details._replace(method=details.method.decode())
    return details


class Protecting:
    """An interceptor for all kinds of calls: the constructor of those for channels and for servers of `grpc`."""

    _prefix: ClassVar[str] = ""
    _unprotected: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        provider: Provider,
        *,
        name: NameOf | None = None,
        failure_codes: Iterable[Code] = FAILURE_CODES,
        ignored_codes: Iterable[Code] = IGNORED_CODES,
        settle: Settle = "end",
    ) -> None:
        owner = type(self).__name__
        self._protection = Protection(
            owner,
            provider,
            name,
            failure_codes,
            ignored_codes,
            settle,
            prefix=self._prefix,
            unprotected=self._unprotected,
        )


def _codes(owner: str, option: str, codes: Iterable[Code]) -> frozenset[grpc.StatusCode]:
    if isinstance(codes, str | grpc.StatusCode) or not isinstance(codes, Iterable):
        raise TypeError(
            f"{option}= of {owner} must be a collection of grpc.StatusCode or their names, got {codes!r}; "
            'for one code: ("UNAVAILABLE",)'
        )
    return frozenset(_code(owner, option, code) for code in codes)


def _code(owner: str, option: str, code: Code) -> grpc.StatusCode:
    if isinstance(code, grpc.StatusCode):
        return code
    if not isinstance(code, str):
        raise TypeError(f"{option}= of {owner} holds grpc.StatusCode or their names, got {code!r}")
    try:
        return grpc.StatusCode[code]
    except KeyError:
        valid = ", ".join(known.name for known in grpc.StatusCode)
        raise ValueError(f"{option}= of {owner} has the unknown status code {code!r}; there are {valid}") from None
