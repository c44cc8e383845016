"""A request and an answer, whichever server they come by."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

__all__ = ["Answer", "Request", "fault", "json_answer"]

_ALWAYS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True)
class Request:
    """What ``actions=`` is asked about.

    Args:
        method: ``"POST"``.
        path: below the place where the page is mounted: ``"/actions"``.
        headers: by name in lower case; what was sent several times is joined by ``", "``.
        client: address of the other end, None where the server does not say.
        action: ``"override"`` or ``"reset"``.
        name: of the breaker that is meant; it may be none that exists.
        mode: that an override sets, as documents write it; None clears the override.

    .. versionadded:: 0.1
    """

    method: str
    path: str
    headers: Mapping[str, str]
    client: str | None
    action: str | None = None
    name: str | None = None
    mode: str | None = None

    def about(self, action: str, name: str, mode: str | None) -> Request:
        """The same request, once it is known what it asks for."""
        return replace(self, action=action, name=name, mode=mode)


@dataclass(frozen=True)
class Answer:
    """What is sent back. A stream has no body of its own: the server sends its chunks until they end."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    follows: str | None = None  # a stream of events follows: the Last-Event-ID, "" without one

    def sent_headers(self) -> list[tuple[str, str]]:
        """All headers, as a server sends them."""
        length = {} if self.follows is not None else {"Content-Length": str(len(self.body))}
        return list((_ALWAYS | dict(self.headers) | length).items())


def json_answer(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    """A value as JSON: in ASCII, so that any text of others is in it whole and unharmed."""
    body = json.dumps(value, separators=(",", ":"), allow_nan=False).encode()
    return Answer(status, {"Content-Type": "application/json"} | dict(headers or {}), body)


def fault(status: int, problem: str, **headers: str) -> Answer:
    """An error: what is wrong, and how to mend it."""
    return json_answer({"error": problem}, status, {name.replace("_", "-"): value for name, value in headers.items()})
