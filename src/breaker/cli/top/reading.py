"""One look at a status page, with bounds on everything that comes back."""

from __future__ import annotations

import base64
import http.client
import json
import ssl
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
        self.address, self._headers = _address(url)
        handlers: list[urllib.request.BaseHandler] = []
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
                data = answer.read(_MOST_BYTES + 1)
        except urllib.error.HTTPError as error:
            error.close()
            raise Trouble(f"{self.address} answers {error.code} {error.reason}{_advice(error.code)}") from None
        except urllib.error.URLError as error:
            raise Trouble(f"cannot reach {self.address}: {_problem(error.reason)}") from None
        except (OSError, http.client.HTTPException) as error:
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
        except (ValueError, KeyError, TypeError, AttributeError, ZeroDivisionError, RecursionError):
            raise Trouble(f"what {self.address} answers is not the JSON of a status page; is it its address?") from None


def _address(url: str) -> tuple[str, dict[str, str]]:
    """Where the JSON is, without the password, which goes into a header."""
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
    if parts.username is not None:
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Authorization"] = "Basic " + base64.b64encode(login.encode()).decode()
    path = parts.path if parts.path.endswith("/breakers") else parts.path.rstrip("/") + "/breakers"
    address = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], path, parts.query, ""))
    if not address.isascii() or any(char.isspace() for char in address):
        raise Mistake(f"{shown!r} has characters that a URL must not have; write them as %20 and the like")
    return address, headers


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
