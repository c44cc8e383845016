"""urllib3. Bodies are read by their caller, not by the request, as with the other clients."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import urllib3
from urllib3.contrib.socks import SOCKSProxyManager
from urllib3.exceptions import DecodeError, HTTPError

from breaker import Provider
from breaker.integrations.urllib3 import BreakerOpenHTTPError, protect
from support.http.clients import Kind, Threaded


class Client(Threaded):
    def __init__(self, manager: urllib3.PoolManager) -> None:
        self.manager = manager

    def _status(self, method: str, url: str, **options: Any) -> int:
        response = self.manager.request(method, url, preload_content=False, retries=False, **options)
        assert response.data is not None
        response.release_conn()
        return response.status

    def get(self, url: str, *, timeout: float | None = 10, **options: Any) -> int:
        return self._status("GET", url, timeout=timeout, redirect=False, **options)

    def peek(self, url: str, *, read: bool = True) -> int:
        response = self.manager.request("GET", url, preload_content=False, retries=False)
        if read:
            assert response.read(10)
        response.close()
        return response.status

    def follow(self, url: str) -> int:
        response = self.manager.request("GET", url, preload_content=False, retries=urllib3.Retry(5))
        assert response.data is not None
        return response.status

    def upload(self, url: str, parts: Iterator[bytes]) -> int:
        return self._status("POST", url, body=parts)

    def close(self) -> None:
        self.manager.clear()


def protected(provider: Provider, client: dict[str, Any] | None = None, **options: Any) -> Client:
    settings = client or {}
    proxy = settings.get("proxy_url", "")
    kind: Any = (
        SOCKSProxyManager if proxy.startswith("socks") else urllib3.ProxyManager if proxy else urllib3.PoolManager
    )
    manager = kind(**settings)
    assert protect(manager, provider, **options) is manager
    return Client(manager)


KIND = Kind(
    name="urllib3",
    rejection=BreakerOpenHTTPError,
    family=HTTPError,
    errors=(HTTPError,),
    made=protected,
    protected=protected,
    awaited=False,
    proxied=lambda url: {"proxy_url": url},
    trusting=lambda authority: {"ca_certs": authority},
    undecoded=DecodeError,
)
