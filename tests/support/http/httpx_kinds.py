"""httpx and httpx2, sync and async: one source for both, as in the package."""

from __future__ import annotations

import importlib
import ssl
from collections.abc import AsyncIterator, Iterator
from typing import Any

from breaker import Provider
from support.http.clients import Kind, Looping, Threaded


class SyncClient(Threaded):
    def __init__(self, client: Any) -> None:
        self.client = client

    def get(self, url: str, *, timeout: float | None = 10, **options: Any) -> int:
        return int(self.client.get(url, timeout=timeout, **options).status_code)

    def peek(self, url: str, *, read: bool = True) -> int:
        with self.client.stream("GET", url) as response:
            if read:
                next(response.iter_raw())
            return int(response.status_code)

    def follow(self, url: str) -> int:
        return int(self.client.get(url, follow_redirects=True).status_code)

    def upload(self, url: str, parts: Iterator[bytes]) -> int:
        return int(self.client.post(url, content=parts).status_code)

    def close(self) -> None:
        self.client.close()


class AsyncClient(Looping):
    def __init__(self, client: Any) -> None:
        super().__init__()
        self.client = client

    async def _status(self, url: str, **options: Any) -> int:
        return int((await self.client.get(url, **options)).status_code)

    def peek(self, url: str, *, read: bool = True) -> int:
        async def peek() -> int:
            async with self.client.stream("GET", url) as response:
                if read:
                    await anext(response.aiter_raw())
                return int(response.status_code)

        return int(self.run(peek()))

    def follow(self, url: str) -> int:
        return int(self.run(self.client.get(url, follow_redirects=True)).status_code)

    def upload(self, url: str, parts: Iterator[bytes]) -> int:
        async def each() -> AsyncIterator[bytes]:
            for part in parts:
                yield part

        return int(self.run(self.client.post(url, content=each())).status_code)

    def close(self) -> None:
        self.run(self.client.aclose())
        self.end()


def kinds_of(name: str) -> list[Kind]:
    library: Any = importlib.import_module(name)
    ours: Any = importlib.import_module(f"breaker.integrations.{name}")

    def made(provider: Provider, client: dict[str, Any] | None = None, **options: Any) -> SyncClient:
        transport = ours.BreakerTransport(provider, library.HTTPTransport(verify=False), **options)
        return SyncClient(library.Client(transport=transport, **client or {}))

    def protected(provider: Provider, client: dict[str, Any] | None = None, **options: Any) -> SyncClient:
        existing = library.Client(**{"verify": False} | (client or {}))
        assert ours.protect(existing, provider, **options) is existing
        return SyncClient(existing)

    def async_made(provider: Provider, client: dict[str, Any] | None = None, **options: Any) -> AsyncClient:
        transport = ours.AsyncBreakerTransport(provider, library.AsyncHTTPTransport(verify=False), **options)
        return AsyncClient(library.AsyncClient(transport=transport, **client or {}))

    def async_protected(provider: Provider, client: dict[str, Any] | None = None, **options: Any) -> AsyncClient:
        existing = library.AsyncClient(**{"verify": False} | (client or {}))
        assert ours.protect(existing, provider, **options) is existing
        return AsyncClient(existing)

    def kind(suffix: str, made: Any, protected: Any, awaited: bool) -> Kind:
        return Kind(
            name=name + suffix,
            rejection=ours.BreakerOpenTransportError,
            family=library.TransportError,
            errors=(library.TransportError, library.InvalidURL),
            made=made,
            protected=protected,
            awaited=awaited,
            proxied=lambda url: {"proxy": url},
            trusting=lambda authority: {"verify": ssl.create_default_context(cafile=authority)},
            undecoded=library.DecodingError,
            decodes=False,
        )

    return [kind("", made, protected, False), kind("-async", async_made, async_protected, True)]
