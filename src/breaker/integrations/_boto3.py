"""What the answers and errors of botocore mean: failures, who caused them, the end of a streaming body."""

from __future__ import annotations

from typing import Any

from botocore import exceptions
from botocore.parsers import ResponseParserError
from botocore.response import StreamingBody
from urllib3.exceptions import HTTPError

from breaker.integrations import _urllib3
from breaker.integrations._http import Body

# What services answer with status 400 and mean: too many requests, or not in time. Without the codes that botocore
# retries too and that say something of the caller's own resources: LimitExceededException is a quota of tables or
# roles, TransactionInProgressException a transaction of the caller.
FAILURE_CODES: frozenset[str] = frozenset(
    {
        "BandwidthLimitExceeded",
        "EC2ThrottledException",
        "PriorRequestNotComplete",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "RequestTimeout",
        "RequestTimeoutException",
        "SlowDown",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)

_FAILURES = (
    exceptions.ConnectionError,  # no connection, no TLS, a proxy that fails
    exceptions.HTTPClientError,
    exceptions.FlexibleChecksumError,
    exceptions.IncompleteReadError,
    ResponseParserError,
    HTTPError,  # of urllib3, as a streaming body lets some through
)


class FailedAnswer(Exception):
    """An answer that is a failure. Nobody raises it: it is what ``last_error`` and listeners are given."""

    def __init__(self, status: int, code: str | None) -> None:
        super().__init__(status, code)
        self.status = status
        self.code = code

    def __str__(self) -> str:
        return f"{self.status} {self.code}" if self.code not in (None, str(self.status)) else str(self.status)


def is_failure(error: BaseException) -> bool:
    """Whether an error of botocore, or of the HTTP client inside, is the dependency's failure; if not, the caller's."""
    cause = error.kwargs.get("error") if isinstance(error, exceptions.BotoCoreError) else None
    if type(error) is exceptions.HTTPClientError and isinstance(cause, Exception):
        # Whatever was raised while it sent: by urllib3, by the network, or by the source of an upload.
        return _urllib3.is_failure(cause) or isinstance(cause, ConnectionError | TimeoutError)
    if isinstance(error, exceptions.SSLError) and isinstance(cause, Exception):
        return not any(isinstance(reason, FileNotFoundError) for reason in cause.args)  # the caller's ``verify=``
    return isinstance(error, _FAILURES)


class GuardedBody(StreamingBody):  # type: ignore[misc]  # botocore has no types
    """A streaming body as it is, whose reader reports its end."""

    def __init__(self, inner: Any, reports: Body) -> None:
        # Not super(): what is asked of this object is answered by the body inside.
        self._inner = inner
        self._reports = reports

    def __getattr__(self, name: str) -> Any:
        if name in ("_inner", "_reports"):  # an object that was not filled
            raise AttributeError(name)
        return getattr(self._inner, name)

    def read(self, amt: int | None = None) -> Any:
        return self._noting(lambda: self._inner.read(amt), whole=amt is None, nothing=amt == 0)

    def readinto(self, b: Any) -> Any:
        return self._noting(lambda: self._inner.readinto(b), whole=False, nothing=len(b) == 0)

    def readlines(self, hint: int | None = -1) -> list[bytes]:
        whole: bytes = self.read()
        return whole.splitlines(keepends=True)

    def __enter__(self) -> GuardedBody:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        self._inner.close()
        self._reports.left()

    def _noting(self, read: Any, *, whole: bool, nothing: bool) -> Any:
        try:
            found = read()
        except BaseException as error:
            self._reports.broke(error)
            raise
        if found:
            self._reports.received()
        if whole or not (found or nothing):
            self._reports.ended()
        return found
