"""requests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import requests

from breaker import Provider
from breaker.integrations.requests import BreakerAdapter, BreakerOpenConnectionError, protect
from support.http.clients import Kind, Threaded


class Client(Threaded):
    def __init__(self, session: requests.Session, settings: dict[str, Any]) -> None:
        self.session = session
        session.trust_env = False
        for name, value in settings.items():
            setattr(session, name, value)

    def get(self, url: str, *, timeout: float | None = 10, **options: Any) -> int:
        return self.session.get(url, timeout=timeout, allow_redirects=False, **options).status_code

    def peek(self, url: str, *, read: bool = True) -> int:
        with self.session.get(url, stream=True) as response:
            if read:
                assert next(response.iter_content(10))
            return response.status_code

    def follow(self, url: str) -> int:
        return self.session.get(url).status_code

    def upload(self, url: str, parts: Iterator[bytes]) -> int:
        return self.session.post(url, data=parts).status_code

    def close(self) -> None:
        self.session.close()


def made(provider: Provider, client: dict[str, Any] | None = None, **options: Any) -> Client:
    session = requests.Session()
    for prefix in ("http://", "https://"):
        session.mount(prefix, BreakerAdapter(provider, **options))
    return Client(session, client or {})


def protected(provider: Provider, client: dict[str, Any] | None = None, **options: Any) -> Client:
    session = requests.Session()
    assert protect(session, provider, **options) is session
    return Client(session, client or {})


KIND = Kind(
    name="requests",
    rejection=BreakerOpenConnectionError,
    family=requests.ConnectionError,
    errors=(requests.RequestException,),
    made=made,
    protected=protected,
    awaited=False,
    proxied=lambda url: {"proxies": {"http": url, "https": url}},
    trusting=lambda authority: {"verify": authority},
    undecoded=requests.exceptions.ContentDecodingError,
)
