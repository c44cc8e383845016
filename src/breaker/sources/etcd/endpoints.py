"""Where etcd is: endpoints as people write them."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from breaker.sources.etcd.transport import Endpoint

_PORT = 2379
_EXAMPLE = "write '127.0.0.1:2379' or 'https://etcd-1.internal:2379', several as a list"


def parse_endpoints(given: str | Iterable[str], tls: bool) -> list[Endpoint]:
    """The endpoints in a text (separated by commas) or in a list of texts. ``tls``: where none says http or https.

    Raises `TypeError` and `ValueError` that quote what is wrong.
    """
    texts = given.split(",") if isinstance(given, str) else list(given)
    for text in texts:
        if not isinstance(text, str):
            raise TypeError(f"an endpoint is text, got {type(text).__name__}; {_EXAMPLE}")
    endpoints = [_parse(text.strip(), tls) for text in texts]
    if not endpoints:
        raise ValueError(f"at least one endpoint is needed; {_EXAMPLE}")
    return list(dict.fromkeys(endpoints))


def _parse(text: str, tls: bool) -> Endpoint:
    scheme, separator, rest = text.rpartition("://")
    scheme = scheme.lower()
    if separator and scheme not in ("http", "https"):
        raise ValueError(f"endpoint {text!r}: {scheme!r} is neither http nor https; {_EXAMPLE}")
    try:
        parts = urlsplit(f"//{rest}")
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError(f"endpoint {text!r}: {error}; {_EXAMPLE}") from None
    if not host or any(char.isspace() for char in text):
        raise ValueError(f"endpoint {text!r} names no host; {_EXAMPLE}")
    if parts.username is not None:
        raise ValueError(f"an endpoint holds no user ({host}:{port or _PORT} does); pass user= and password=")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ValueError(f"endpoint {text!r}: nothing may follow the port; {_EXAMPLE}")
    return Endpoint(host, _PORT if port is None else port, scheme == "https" if separator else tls)
