"""One look at a status page, with bounds on everything that comes back."""

from __future__ import annotations

import base64
import http.client
import json
import ssl
import time
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from breaker.cli.top.rows import Row, rows_of
from breaker.cli.trouble import Code, Mistake

_MOST_BYTES = 64 << 20
_FORMAT = 1


class Trouble(Exception):
    """Nothing could be read; the text says why."""


class Page:
    """A status page.

    Args:
        url: as it was given: of the page or of its JSON, with or without ``http://``; a user and a password in it
            are sent as such.
        timeout: seconds for a request.
        ca: a file of certificates of authorities; None: the system's.

    Raises:
        Mistake: a URL that is none, a file that cannot be read.
    """

    def __init__(self, url: str, timeout: float, ca: str | None) -> None:
        self._timeout = timeout
        self.address, self._headers, login = _address(url)
        handlers: list[urllib.request.BaseHandler] = [_Login(self.address, login)]
        if ca is not None:
            try:
                handlers.append(urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=ca)))
            except (OSError, ssl.SSLError) as error:
                raise Mistake(f"--ca: cannot read {ca}: {error.strerror or error}") from None
        self._opener = urllib.request.build_opener(*handlers)

    def read(self) -> tuple[dict[str, Any], list[Row]]:
        """The document and its breakers. Raises `Trouble`."""
        request = urllib.request.Request(self.address, headers=self._headers)
        try:
            with self._opener.open(request, timeout=self._timeout) as answer:
                data = _read(answer, time.monotonic() + self._timeout)
        except urllib.error.HTTPError as error:
            error.close()
            led = "" if error.url == self.address else f"leads to {error.url}, which "
            raise Trouble(f"{self.address} {led}answers {error.code} {error.reason}{_advice(error.code)}") from None
        except urllib.error.URLError as error:
            raise Trouble(f"cannot reach {self.address}: {_problem(error.reason)}") from None
        except (OSError, http.client.HTTPException, ValueError) as error:  # ValueError: it redirects to what is no URL
            raise Trouble(f"cannot reach {self.address}: {_problem(error)}") from None
        if len(data) > _MOST_BYTES:
            raise Trouble(f"{self.address} answers with more than {_MOST_BYTES >> 20} MiB")
        try:
            document = json.loads(data)
            if document["format"] != _FORMAT:
                raise Trouble(
                    f"{self.address} speaks format {document['format']!r} and this version reads {_FORMAT}; "
                    "use the version of cybreaker that the program uses"
                )
            return document, rows_of(document)
        except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, OSError, RecursionError):
            raise Trouble(f"what {self.address} answers is not the JSON of a status page; is it its address?") from None


class _Login(urllib.request.BaseHandler):
    """The password goes to the server that it was given for, not to one that this redirects to."""

    def __init__(self, address: str, login: str) -> None:
        self._origin = tuple(urlsplit(address)[:2])
        self._login = login

    def http_request(self, request: urllib.request.Request) -> urllib.request.Request:
        if self._login and (request.type, request.host) == self._origin:
            request.add_unredirected_header("Authorization", self._login)
        return request

    https_request = http_request


def _read(answer: http.client.HTTPResponse, deadline: float) -> bytes:
    """The body, until it is too long. Raises `TimeoutError` if it has not come by then."""
    parts: list[bytes] = []
    size = 0
    while size <= _MOST_BYTES and (part := answer.read1(1 << 16)):
        parts.append(part)
        size += len(part)
        if time.monotonic() > deadline:
            raise TimeoutError
    if answer.length and size <= _MOST_BYTES:
        raise http.client.IncompleteRead(b"".join(parts), answer.length)
    return b"".join(parts)


def _address(url: str) -> tuple[str, dict[str, str], str]:
    """Where the JSON is, the headers, and the user and password as they are sent."""
    given = url if "://" in url else f"http://{url}"
    shown = url.rpartition("@")[2]
    try:
        parts = urlsplit(given)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise Mistake(f"{shown!r} is no URL: {error}; an example is http://127.0.0.1:8080/") from None
    if parts.scheme not in ("http", "https") or not host:
        raise Mistake(f"{shown!r} is no URL of a status page; an example is http://127.0.0.1:8080/")
    headers = {"Accept": "application/json", "User-Agent": "breaker-top"}
    login = ""
    if parts.username is not None:
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        login = "Basic " + base64.b64encode(login.encode()).decode()
    path = parts.path if parts.path.endswith("/breakers") else parts.path.rstrip("/") + "/breakers"
    address = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], path, parts.query, ""))
    if not address.isascii() or any(char.isspace() for char in address):
        raise Mistake(f"{shown!r} has characters that a URL must not have; write them as %20 and the like")
    return address, headers, login


def _problem(error: object) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _advice(status: int) -> str:
    if status in (401, 403):
        return "; put a user and a password into the URL, if it wants some"
    return "; the URL must be that of the page itself" if status == 404 else ""


def page_of(url: str | None, timeout: float, ca: str | None) -> Page:
    """The page of a command line. Raises `Mistake` where none was given."""
    if not url:
        raise Mistake("no URL: give the address of the status page, or set BREAKER_STATUS", Code.USAGE)
    return Page(url, timeout, ca)
