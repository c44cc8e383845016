"""aiohttp."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp

from breaker import Provider
from breaker.integrations.aiohttp import BreakerOpenClientError, breaker_middleware
from support.http.clients import Kind, Looping


class Client(Looping):
    def __init__(self, provider: Provider, client: dict[str, Any] | None, options: dict[str, Any]) -> None:
        middleware = breaker_middleware(provider, **options)
        super().__init__()
        self._sockets: list[socket.socket] = []
        self.run(self._open({"middlewares": [middleware]} | (client or {})))

    async def _open(self, settings: dict[str, Any]) -> None:
        context = settings.pop("context", None)
        connector = aiohttp.TCPConnector(ssl=context, socket_factory=self._socket) if context else None
        self.session = aiohttp.ClientSession(connector=connector, **settings)

    def _socket(self, address: Any) -> socket.socket:
        family, kind, protocol, *_ = address
        made = socket.socket(family, kind, protocol)
        self._sockets.append(made)
        return made

    async def _status(self, url: str, **options: Any) -> int:
        if "timeout" in options:
            options["timeout"] = aiohttp.ClientTimeout(total=options["timeout"])
        options.setdefault("allow_redirects", False)
        async with self.session.get(url, **options) as response:
            await response.read()
            return response.status

    def peek(self, url: str, *, read: bool = True) -> int:
        async def peek() -> int:
            async with self.session.get(url) as response:
                if read:
                    assert await response.content.read(10)
                return response.status

        return int(self.run(peek()))

    def follow(self, url: str) -> int:
        return int(self.run(self._status(url, allow_redirects=True)))

    def upload(self, url: str, parts: Iterator[bytes]) -> int:
        async def each() -> AsyncIterator[bytes]:
            for part in parts:
                yield part

        async def post() -> int:
            async with self.session.post(url, data=each()) as response:
                return response.status

        return int(self.run(post()))

    async def _close(self) -> None:
        await self.session.close()
        while any(each.fileno() >= 0 for each in self._sockets):  # before 3.12.4 aiohttp does not wait for TLS to end
            await asyncio.sleep(0.001)

    def close(self) -> None:
        self.run(self._close())
        self.end()


def made(provider: Provider, client: dict[str, Any] | None = None, **options: Any) -> Client:
    return Client(provider, client, options)


KIND = Kind(
    name="aiohttp",
    rejection=BreakerOpenClientError,
    family=aiohttp.ClientConnectionError,
    errors=(aiohttp.ClientError, TimeoutError),
    made=made,
    protected=made,
    awaited=True,
    proxied=lambda url: {"proxy": url},
    trusting=lambda authority: {"context": ssl.create_default_context(cafile=authority)},
    undecoded=aiohttp.ClientPayloadError,
    tries=2,
)
