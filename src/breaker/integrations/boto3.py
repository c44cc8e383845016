"""Circuit breakers for clients of boto3 and botocore: ``protect(boto3.client("dynamodb"), provider)``.

A rejected call is a `BreakerOpenEndpointError`. docs/integrations/boto3.md has the tour.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlsplit

from breaker.integrations import _base

_base.require("botocore", oldest=(1, 35), integration="boto3")

import botocore
from botocore.client import BaseClient
from botocore.exceptions import EndpointConnectionError
from botocore.response import StreamingBody

from breaker.errors import BreakerOpenError
from breaker.integrations._base import Breaker, NameOf, Naming, Permit, rejected_as
from breaker.integrations._boto3 import FAILURE_CODES, FailedAnswer, GuardedBody, is_failure
from breaker.integrations._http import FAILURE_STATUSES, Body, Settle, checked_settle, checked_statuses
from breaker.policies.names import MAX_NAME_BYTES
from breaker.provider import Provider

__all__ = ["FAILURE_CODES", "FAILURE_STATUSES", "BreakerOpenEndpointError", "Call", "protect"]

_Client = TypeVar("_Client", bound=BaseClient)

_KEY = "breaker"  # of what is kept in the context that botocore hands from event to event of one call
_PROTECTED = "_breaker"  # an attribute of a client
# Whether False answers ``needs-retry``. Earlier releases take it for a wait of no seconds.
_TAKES_NO = tuple(int(part) for part in botocore.__version__.split(".")[:2]) >= (1, 44)
_OF_AWS = (".amazonaws.com", ".amazonaws.com.cn", ".amazonaws.eu", ".api.aws")


class BreakerOpenEndpointError(BreakerOpenError, EndpointConnectionError):  # type: ignore[misc]  # it has no type
    """A call was rejected by its breaker: nothing was sent. A `BreakerOpenError` and an ``EndpointConnectionError``.

    So it is a ``BotoCoreError`` too. botocore does not retry it.

    .. versionadded:: 0.1
    """

    kwargs: Any = {}  # noqa: RUF012 - what the constructor of the library's error would set


class Call(NamedTuple):
    """What a callable ``name=`` gets.

    .. versionadded:: 0.1
    """

    service: str
    """As in ``boto3.client(service)``: ``"dynamodb"``."""
    operation: str
    """Of the service's API: ``"GetItem"``."""
    region: str | None
    """Of the client: ``"eu-west-1"``."""


class _Running:
    """One call of a client: the breaker, and the permit of the attempt that is on its way."""

    __slots__ = ("breaker", "failed", "permit", "streams")

    def __init__(self, breaker: Breaker, streams: bool) -> None:
        self.breaker = breaker
        self.permit: Permit | None = None
        self.failed = False
        self.streams = streams


class _Protection:
    """The handlers of one client's events, and their settings, checked."""

    def __init__(
        self,
        client: Any,
        provider: Provider,
        name: NameOf | str | None,
        failure_statuses: Iterable[int],
        failure_codes: Iterable[str],
        settle: Settle,
    ) -> None:
        self._naming = Naming(
            "protect", provider, name, made_of="the call", default="its service's own", one_for="all operations"
        )
        self._statuses = checked_statuses("protect", failure_statuses)
        self._codes = _checked_codes(failure_codes)
        self._at_headers = checked_settle("protect", settle) == "headers"
        self._meta = client.meta
        self._service = client.meta.service_model.service_name
        self._default = _default_name(self._service, client.meta)

    def register(self) -> None:
        events = self._meta.events
        service = self._meta.service_model.service_id.hyphenize()
        # Last: whatever else answers a call or prepares a request has done so.
        events.register_last("before-call", self._begin)
        events.register_last("request-created", self._attempt)
        events.register("response-received", self._received)
        # First: the answer of the first handler that has one decides.
        events.register_first(f"needs-retry.{service}", self._needs_retry)
        events.register_last("after-call", self._ended)
        events.register_last("after-call-error", self._raised)

    def _begin(self, model: Any, context: dict[str, Any], **_: Any) -> None:
        call = Call(self._service, model.name, self._meta.region_name)
        breaker = self._naming.breaker_for(call, self._default)
        if breaker is None:
            return
        if breaker.retry_after > 0:  # rejected before a body is read and a signature is made
            self._admit(breaker).ignore()
        context[_KEY] = _Running(breaker, model.has_streaming_output)

    def _attempt(self, request: Any, **_: Any) -> None:
        running = _running(request.context)
        if running is not None:
            running.failed = False
            running.permit = self._admit(running.breaker)

    def _admit(self, breaker: Breaker) -> Permit:
        try:
            return breaker.acquire()
        except BreakerOpenError as rejected:
            rejection = rejected_as(BreakerOpenEndpointError, rejected)
            rejection.kwargs = {"endpoint_url": self._meta.endpoint_url}
            raise rejection from None

    def _received(self, context: dict[str, Any], parsed_response: Any, exception: Any, **_: Any) -> None:
        running = _running(context)
        if running is None or running.permit is None:
            return
        if exception is not None:
            self._settle_by(running, exception)
            return
        status = parsed_response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        code = parsed_response.get("Error", {}).get("Code")  # of an answer without a body the status as text
        if status in self._statuses or code in self._codes:
            running.failed = True
            running.permit.failure(FailedAnswer(status, code))
        elif self._at_headers or not running.streams or status >= 300:
            running.permit.success()
        else:
            return  # until the end of its body
        running.permit = None

    def _needs_retry(self, request_dict: dict[str, Any], caught_exception: Any = None, **_: Any) -> bool | None:
        """Whether botocore may try again, None: as it likes. Not what would be rejected."""
        running = _running(request_dict.get("context"))
        if running is None or not running.failed or running.breaker.retry_after <= 0:
            return None
        if _TAKES_NO:
            return False
        if caught_exception is not None:
            raise caught_exception
        return None  # after an answer such a release waits, and the next attempt is rejected

    def _ended(self, context: dict[str, Any], parsed: dict[str, Any], **_: Any) -> None:
        running = _running(context)
        if running is None or running.permit is None:
            return
        for key, value in parsed.items():
            if isinstance(value, StreamingBody) and not inspect.iscoroutinefunction(value.read):
                parsed[key] = GuardedBody(value, Body(self, running.permit))
                break
        else:  # a stream of events, or a body that is read in coroutines
            running.permit.success()
        running.permit = None

    def _raised(self, context: dict[str, Any], exception: BaseException, **_: Any) -> None:
        running = _running(context)
        if running is not None and running.permit is not None:
            self._settle_by(running, exception)

    def _settle_by(self, running: _Running, error: BaseException) -> None:
        permit, running.permit = running.permit, None
        assert permit is not None
        running.failed = self.raised(permit, error)

    def raised(self, permit: Permit, error: BaseException) -> bool:
        """Settle by what ended an attempt. Returns whether it is a failure."""
        failed = not isinstance(error, BreakerOpenError) and is_failure(error)
        if failed:
            permit.failure(error)
        else:
            permit.ignore()
        return failed


def protect(
    client: _Client,
    provider: Provider,
    *,
    name: NameOf | str | None = None,
    failure_statuses: Iterable[int] = FAILURE_STATUSES,
    failure_codes: Iterable[str] = FAILURE_CODES,
    settle: Settle = "headers",
) -> _Client:
    """Protect the calls of a client that exists, by handlers of its events.

    Each attempt counts: the retries of botocore ask the breaker too, and stop when it opens. Paginators, waiters,
    transfers and resources count as the calls that they make of this client.

    Args:
        client: of boto3 or botocore; of a resource: ``resource.meta.client``.
        provider: whose breakers protect the calls.
        name: makes the breaker's name of the `Call`, or None to leave it unprotected; text: the name of one breaker
            for all operations. Without it the name is ``aws:``, the service and its region, ``aws:dynamodb:eu-west-1``;
            with an endpoint that is not of AWS its host and port, ``aws:s3:minio.internal:9000``.
        failure_statuses: the statuses that are failures.
        failure_codes: the codes of errors that are failures whatever their status. All else is a success.
        settle: ``"headers"``: a call ends with its answer, without a streaming body. ``"body"``: with the end of that
            too, and one that breaks off is a failure.
    Returns:
        The client.
    Raises:
        TypeError: an argument of the wrong kind.
        ValueError: a name, a status or ``settle`` that cannot be; a client that is protected already.

    Thread safety: to be called before other threads use the client.

    .. versionadded:: 0.1
    """
    if not isinstance(client, BaseClient):
        hint = "; protect its meta.client" if hasattr(getattr(client, "meta", None), "client") else ""
        got = f"the class {client.__name__}" if isinstance(client, type) else type(client).__name__
        raise TypeError(f"protect takes a client of boto3 or botocore, got {got}{hint}")
    protection = _Protection(client, provider, name, failure_statuses, failure_codes, settle)
    if _PROTECTED in vars(client):
        raise ValueError("protect got a client that is protected already; each call would count twice")
    vars(client)[_PROTECTED] = protection
    protection.register()
    return client


def _running(context: Any) -> _Running | None:
    return context.get(_KEY) if context else None


def _default_name(service: str, meta: Any) -> str | None:
    parts = urlsplit(meta.endpoint_url)
    where = meta.region_name
    if not (parts.hostname or "").endswith(_OF_AWS):
        where = parts.netloc.rpartition("@")[2].lower()
    name = f"aws:{service}:{where}"
    return name if len(name.encode("utf-8", "replace")) <= MAX_NAME_BYTES else None


def _checked_codes(codes: Iterable[str]) -> frozenset[str]:
    if isinstance(codes, str | bytes) or not isinstance(codes, Iterable):
        raise TypeError(
            f"failure_codes= of protect must be a collection of codes, got {codes!r}; for one: {{'SlowDown'}}"
        )
    found = frozenset(codes)
    for code in found:
        if not isinstance(code, str):
            raise TypeError(f"failure_codes= of protect holds texts, got {code!r}")
    return found
