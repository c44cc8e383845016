"""What integrations with HTTP clients share: which breaker a request has, and what its end counts as.

A status never raises in a client, and a body may break off after its head was good. Both are judged here, once for all
clients: an integration says what of its library's errors is the dependency's failure, and where a request ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from typing import Any, Literal, Protocol

from breaker.errors import BreakerOpenError
from breaker.integrations._base import NameOf, Naming, Permit
from breaker.policies.names import MAX_NAME_BYTES
from breaker.provider import Provider

Settle = Literal["headers", "body"]

FAILURE_STATUSES: frozenset[int] = frozenset({408, 429, *range(500, 1000)}) - {501}
_SCHEME_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}
_WITHOUT_BODY = frozenset({204, 304})
_NOTHING: AbstractContextManager[None] = nullcontext()


class FailedStatus(Exception):
    """A response whose status is a failure. Nobody raises it: it is what ``last_error`` and listeners are given."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


def host_of(scheme: str, host: str | None, port: int | None) -> str | None:
    """The default name of a breaker: ``http:api.example.com``, with the port where it is not the scheme's own.

    None, for no breaker, where there is no host, or one that cannot be: longer than a name may be, or with a space.
    """
    return _name_of(scheme, host, port) if host else None


# Making the texts again takes longer than all the rest of a request through a breaker.
@lru_cache(maxsize=512)
def _name_of(scheme: str, host: str, port: int | None) -> str | None:
    host = host.lower().rstrip(".")  # example.com. is example.com
    if not host:
        return None
    if ":" in host and host[0] != "[":
        host = f"[{host}]"
    return authority_of(host if port is None or port == _SCHEME_PORTS.get(scheme) else f"{host}:{port}")


@lru_cache(maxsize=512)
def authority_of(host_and_port: str | None) -> str | None:
    """The same, of a host with its port as the header ``Host`` has them."""
    name = f"http:{host_and_port}"
    if not host_and_port or host_and_port.split() != [host_and_port]:
        return None
    return name if len(name.encode("utf-8", "replace")) <= MAX_NAME_BYTES else None


class Protection:
    """The settings of one protected client, checked.

    Args:
        owner: what errors call it.
        provider: whose breakers protect its requests.
        name: as for `Naming`.
        failure_statuses: the statuses that are failures; all others are successes.
        settle: ``"headers"``: a request ends with the head of its response; ``"body"``: with the end of its body.
        is_failure: whether an exception that ended a request is the dependency's failure. It is ignored if not.
        reject: makes the library's own error of a rejection and the request.

    Thread safety: any number of threads and tasks may use one.
    """

    __slots__ = ("_failures", "_is_failure", "_naming", "_of_host", "_reject", "asks_for_names", "at_headers")

    asks_for_names: bool
    """Whether a callable ``name=`` gets each request. Where none does, the request need not be made for it."""

    at_headers: bool

    def __init__(
        self,
        owner: str,
        provider: Provider,
        name: NameOf | str | None,
        failure_statuses: Iterable[int],
        settle: str,
        is_failure: Callable[[BaseException], bool],
        reject: Callable[[BreakerOpenError, Any], BreakerOpenError],
    ) -> None:
        self._naming = Naming(
            owner, provider, name, made_of="the request", default="its host's own", one_for="all hosts"
        )
        self._of_host = provider.get_breaker if name is None else None  # what the naming would come to, without it
        self.asks_for_names = callable(name)
        self._failures = checked_statuses(owner, failure_statuses)
        self.at_headers = checked_settle(owner, settle) == "headers"
        self._is_failure = is_failure
        self._reject = reject

    def admit(self, request: Any, default: str | None) -> Permit | None:
        """Leave for a request; None: it is not protected. Raises the library's own error if it is rejected.

        Args:
            request: what a callable ``name=`` gets, and the error of a rejection.
            default: the name of its breaker where ``name=`` was not given.
        """
        if self._of_host is not None and default is not None:
            breaker = self._of_host(default)
        elif (named := self._naming.breaker_for(request, default)) is None:
            return None
        else:
            breaker = named
        try:
            return breaker.acquire()
        except BreakerOpenError as rejected:
            raise self._reject(rejected, request) from None

    def inside(self, permit: Permit) -> AbstractContextManager[Any]:
        """The block of a request: others that it makes through the same breaker are known as its own (S55).

        Not where the permit outlives the head of the response: leaving the block would settle it.
        """
        return permit if self.at_headers else _NOTHING

    def answered(self, permit: Permit, status: int, *, without_body: bool = False) -> Body | None:
        """Settle by the head of a response.

        Args:
            status: its status.
            without_body: whether it is known that no body follows.

        Returns:
            What the end of the body is reported to, if that decides; None: the request is settled.
        """
        if status in self._failures:
            permit.failure(FailedStatus(status))
        elif self.at_headers or without_body or status < 200 or status in _WITHOUT_BODY:
            permit.success()
        else:
            return Body(self, permit)
        return None

    def raised(self, permit: Permit, error: BaseException) -> None:
        """Settle by what ended a request before its response was complete."""
        # The rejection of a breaker further inside is the library's own error too.
        if not isinstance(error, BreakerOpenError) and self._is_failure(error):
            permit.failure(error)
        else:
            permit.ignore()


class Judge(Protocol):
    """Who settles by what ended a request."""

    def raised(self, permit: Permit, error: BaseException) -> object: ...


class Body:
    """The body of a response, whose end settles its request. Whatever is reported after the end changes nothing."""

    __slots__ = ("_has_begun", "_judge", "_permit")

    def __init__(self, judge: Judge, permit: Permit) -> None:
        self._judge = judge
        self._permit = permit
        self._has_begun = False

    def received(self) -> None:
        """Some of it was handed to the caller."""
        self._has_begun = True

    def ended(self) -> None:
        """It is complete."""
        self._permit.success()

    def broke(self, error: BaseException) -> None:
        """Reading it raised this."""
        if isinstance(error, GeneratorExit):
            self.left()
        else:
            self._judge.raised(self._permit, error)

    def left(self) -> None:
        """Its caller closed it: a success once some was received, ignored before (S34)."""
        if self._has_begun:
            self._permit.success()
        else:
            self._permit.ignore()


def checked_settle(owner: str, settle: str) -> str:
    """Raise `ValueError` unless it is ``"headers"`` or ``"body"``. ``owner`` is what was called with it."""
    if settle not in ("headers", "body"):
        raise ValueError(f'settle= of {owner} must be "headers" or "body", got {settle!r}')
    return settle


def checked_statuses(owner: str, statuses: Iterable[int]) -> frozenset[int]:
    """Statuses as a user gave them, checked. ``owner`` is what was called with them."""
    if statuses is FAILURE_STATUSES:
        return FAILURE_STATUSES
    if isinstance(statuses, str | bytes) or not isinstance(statuses, Iterable):
        raise TypeError(
            f"failure_statuses= of {owner} must be a collection of numbers, got {statuses!r}; for one status: {{503}}"
        )
    found = frozenset(statuses)
    for status in found:
        if not isinstance(status, int) or isinstance(status, bool):
            raise TypeError(f"failure_statuses= of {owner} holds numbers from 100 to 999, got {status!r}")
        if not 100 <= status <= 999:
            raise ValueError(f"failure_statuses= of {owner} holds numbers from 100 to 999, got {status}")
    return found
