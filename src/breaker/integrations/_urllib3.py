"""What urllib3 and requests, which is built on it, have in common: its errors, and the bodies of its responses."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

import urllib3
from urllib3 import exceptions

from breaker.integrations._http import Body, host_of

_CALLERS = (
    exceptions.BodyNotHttplibCompatible,
    exceptions.ClosedPoolError,
    exceptions.EmptyPoolError,
    exceptions.FullPoolError,
    exceptions.HostChangedError,
    exceptions.InvalidHeader,
    exceptions.LocationValueError,  # unknown schemes and unreadable URLs among them
    exceptions.TimeoutStateError,
    exceptions.UnrewindableBodyError,
)


def is_failure(error: BaseException) -> bool:
    """Whether an error of urllib3 is the dependency's failure. What is not urllib3's own is the caller's."""
    while isinstance(error, exceptions.MaxRetryError) and error.reason is not None:
        error = error.reason
    return isinstance(error, exceptions.HTTPError) and not isinstance(error, _CALLERS) and not _is_of_upload(error)


def _is_of_upload(error: BaseException) -> bool:
    """Whether the source of what was sent has raised it, which urllib3 takes for an error of the connection."""
    wrapped = error.args[1:2] if isinstance(error, exceptions.ProtocolError) else ()
    cause = wrapped[0] if wrapped and isinstance(wrapped[0], BaseException) else error
    sending = None
    traceback = cause.__traceback__
    while traceback is not None:
        frame = traceback.tb_frame
        if sending is not None:
            return frame.f_locals.get("self") is not sending  # the connection writes by its own methods
        if frame.f_globals.get("__name__") == "urllib3.connection" and frame.f_code.co_name == "request":
            sending = frame.f_locals.get("self")
        traceback = traceback.tb_next
    return sending is not None


_AUTHORITY = re.compile(r"([^:/?#]*)://(?:[^/?#\\]*@)?([^/?#\\]*)")


def name_of_url(url: str) -> str | None:
    """The default name of a breaker; None where the URL is none, which the library says itself."""
    found = _AUTHORITY.match(url)
    return None if found is None else _name_of(found[1], found[2])


@lru_cache(maxsize=512)  # taking a host apart takes longer than all the rest of a request through a breaker
def _name_of(scheme: str, host_and_port: str) -> str | None:
    try:
        parts = urlsplit(f"//{host_and_port}")
        return host_of(scheme.lower(), parts.hostname, parts.port)
    except ValueError:
        return None


class GuardedBody(urllib3.BaseHTTPResponse):
    """A response of urllib3 as it is, whose reader reports the end of its body."""

    def __init__(self, response: Any, body: Body) -> None:
        # Not super(): what is asked of this object is answered by the response.
        object.__setattr__(self, "_response", response)
        object.__setattr__(self, "_reports", body)

    def __getattr__(self, name: str) -> Any:
        if name in ("_response", "_reports"):  # an object that was not filled
            raise AttributeError(name)
        return getattr(self._response, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._response, name, value)

    def _read(self, read: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        try:
            found = read(*args, **kwargs)
        except BaseException as error:
            self._reports.broke(error)
            raise
        if found:
            self._reports.received()
        return found

    def _each(self, parts: Iterable[bytes]) -> Iterator[bytes]:
        try:
            for part in parts:
                self._reports.received()
                yield part
        except BaseException as error:
            self._reports.broke(error)
            raise
        self._reports.ended()

    def _ended(self) -> None:
        """Nothing more comes. Some ways of reading do not say that more was promised."""
        if missing := getattr(self._response, "length_remaining", None):
            self._reports.broke(exceptions.IncompleteRead(self._response.tell(), missing))
        self._reports.ended()

    def read(self, amt: int | None = None, *args: Any, **kwargs: Any) -> bytes:
        found: bytes = self._read(self._response.read, amt, *args, **kwargs)
        if amt is None or amt < 0 or (not found and amt):
            self._ended()
        return found

    def read1(self, amt: int | None = None, *args: Any, **kwargs: Any) -> bytes:
        found: bytes = self._read(self._response.read1, amt, *args, **kwargs)
        if not found and amt != 0:
            self._ended()
        return found

    def readinto(self, b: Any) -> int:
        count: int = self._read(self._response.readinto, b)
        if not count and len(b):
            self._ended()
        return count

    def stream(self, *args: Any, **kwargs: Any) -> Iterator[bytes]:
        return self._each(self._response.stream(*args, **kwargs))

    def read_chunked(self, *args: Any, **kwargs: Any) -> Iterator[bytes]:
        return self._each(self._response.read_chunked(*args, **kwargs))

    def __iter__(self) -> Iterator[bytes]:
        return self._each(iter(self._response))

    @property
    def data(self) -> bytes:
        found: bytes = self._read(lambda: self._response.data)
        self._ended()
        return found

    def json(self) -> Any:
        self.data  # noqa: B018 - read here, so that its end is reported
        return self._response.json()

    def close(self) -> None:
        self._reports.left()
        self._response.close()

    def release_conn(self) -> None:
        self._reports.left()
        self._response.release_conn()

    def drain_conn(self) -> None:
        self._response.drain_conn()  # what a manager does with the body of a redirect
        self._ended()


if not hasattr(urllib3.HTTPResponse, "read1"):  # nor has it before 2.2; who looks for it must not find it
    del GuardedBody.read1


def _answered_by_the_response(name: str) -> property:
    return property(
        lambda self: getattr(self._response, name), lambda self, value: setattr(self._response, name, value)
    )


# What the base class has, and __getattr__ would not be asked for. Lines are read by `read`.
for _name in dir(urllib3.BaseHTTPResponse):
    if not _name.startswith("_") and _name not in {*vars(GuardedBody), "readline", "readlines"}:
        setattr(GuardedBody, _name, _answered_by_the_response(_name))
