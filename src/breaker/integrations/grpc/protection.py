"""What the interceptors share: their settings, and what the end of a call counts as.

The outcome goes by the status code: the table is in docs/grpc.md. Two kinds of statuses are not the dependency's doing
and are known by their text, which grpcio writes itself: a call cancelled on this side, and a call that its own caller
got wrong.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import grpc

from breaker.errors import BreakerOpenError
from breaker.integrations._base import Breaker, NameOf, Naming, Permit
from breaker.provider import Provider

Code = grpc.StatusCode | str
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


class Protection:
    """The settings of one interceptor, checked. ``owner`` is what errors call it."""

    __slots__ = ("_failures", "_ignored", "_is_named", "_naming", "_ok_succeeds")

    def __init__(
        self,
        owner: str,
        provider: Provider,
        name: NameOf | None,
        failure_codes: Iterable[Code],
        ignored_codes: Iterable[Code],
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
        self._ok_succeeds = _Codes.OK not in failures | ignored

    def breaker_of(self, details: Any) -> Breaker | None:
        """The breaker of a call; None: it is not protected. Raises what `Naming.breaker_for` raises."""
        method = details.method
        if isinstance(method, bytes):  # on channels of grpc.aio
            method = method.decode()
            if self._is_named and hasattr(details, "_replace"):
                details = details._replace(method=method)
        return self._naming.breaker_for(details, method)

    def settle(self, permit: Permit, code: grpc.StatusCode, details: str, error: BaseException | None = None) -> None:
        """Settle by a status. ``error`` is what ``last_error`` says; None: the status itself."""
        if code is _Codes.OK and self._ok_succeeds:
            permit.success()
        elif code in self._ignored or (code is _Codes.CANCELLED and details in _CANCELLED_HERE):
            permit.ignore()
        elif code not in self._failures:
            permit.success()
        elif details in _NEVER_SENT or _TOO_LARGE_TO_SEND in details:
            permit.ignore()
        elif code is _Codes.RESOURCE_EXHAUSTED and _TOO_LARGE in details:
            permit.success()  # the other side answered: that this message is too large
        else:
            permit.failure(error or grpc.RpcError(f"{code.name}: {details}"))

    def settle_error(self, permit: Permit, error: BaseException) -> None:
        """Settle by what a call raised. Without a status it is classified as by `Breaker.do`."""
        # The rejection of another breaker has a status too, and is not the dependency's.
        if isinstance(error, grpc.RpcError) and not isinstance(error, BreakerOpenError) and hasattr(error, "code"):
            self.settle(permit, error.code(), error.details() or "")
        else:
            permit.__exit__(type(error), error, None)

    def settle_finished(self, permit: Permit, call: Any) -> None:
        """Settle by a call of `grpc` that is over."""
        try:
            error = call.exception()
        except grpc.FutureCancelledError:
            permit.ignore()
            return
        if error is None:
            self.settle(permit, _Codes.OK, "")
        else:
            self.settle_error(permit, error)


class Protecting:
    """An interceptor for all kinds of calls: the constructor of those for channels and for servers of `grpc`."""

    def __init__(
        self,
        provider: Provider,
        *,
        name: NameOf | None = None,
        failure_codes: Iterable[Code] = FAILURE_CODES,
        ignored_codes: Iterable[Code] = IGNORED_CODES,
    ) -> None:
        self._protection = Protection(type(self).__name__, provider, name, failure_codes, ignored_codes)


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
