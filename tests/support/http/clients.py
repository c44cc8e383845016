"""Every HTTP client that can be protected, behind one face: what a test does with one, it does with all.

A ``Kind`` opens a client that is protected by a provider; the client is used in the thread that opened it, the
asynchronous ones in an event loop of their own. Kinds of clients whose library is missing here are left out.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import pytest

from breaker import BreakerOpenError, Provider


class Client(Protocol):
    """A client that is protected."""

    def get(self, url: str, *, timeout: float | None = 10, **options: Any) -> int:
        """The status, once the body has been read."""
        ...

    def peek(self, url: str, *, read: bool = True) -> int:
        """The status of a response that is closed before its end, after its first bytes if they are to be read."""
        ...

    def follow(self, url: str) -> int:
        """The same as ``get`` with redirects."""
        ...

    def upload(self, url: str, parts: Iterator[bytes]) -> int:
        """A POST whose body comes in parts."""
        ...

    def lasting(self, url: str, times: int) -> int:
        """How many errors of so many requests are still there when their ``except`` blocks are over."""
        ...

    def together(self, urls: list[str]) -> list[int | Exception]:
        """The statuses or errors of requests that are made at once, in threads or tasks."""
        ...

    def idle(self) -> None:
        """Time for it to notice what has become of its connections."""
        ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class Kind:
    """One kind of client. ``errors`` are what its library raises, ``rejection`` what a rejected request raises."""

    name: str
    rejection: type[BreakerOpenError]
    family: type[Exception]
    errors: tuple[type[Exception], ...]
    made: Callable[..., Client]
    protected: Callable[..., Client]
    awaited: bool
    proxied: Callable[[str], dict[str, Any]]  # what ``client=`` says for a client behind a proxy
    trusting: Callable[[str], dict[str, Any]]  # … and for one that trusts an authority, given its file
    undecoded: type[Exception]  # what a body raises that cannot be decoded
    decodes: bool = True  # where its breaker can see that
    tries: int = 1  # how often it asks a server that breaks the connection of an idempotent request

    @contextmanager
    def open(self, provider: Provider, **options: Any) -> Iterator[Client]:
        """A client that was made with a breaker. ``client=`` are arguments for the library's own class."""
        yield from self._closing(self.made(provider, **options))

    @contextmanager
    def protect(self, provider: Provider, **options: Any) -> Iterator[Client]:
        """A client that existed before it was protected."""
        yield from self._closing(self.protected(provider, **options))

    def _closing(self, client: Client) -> Iterator[Client]:
        try:
            yield client
        finally:
            client.close()


class Threaded:
    """What a synchronous client does in several threads."""

    get: Callable[..., int]

    def idle(self) -> None:
        """It looks when it takes a connection."""

    def together(self, urls: list[str]) -> list[int | Exception]:
        def one(url: str) -> int | Exception:
            try:
                return self.get(url)
            except Exception as error:
                return error

        with ThreadPoolExecutor(len(urls)) as pool:
            return list(pool.map(one, urls))

    def lasting(self, url: str, times: int) -> int:
        found = []
        for _ in range(times):
            try:
                self.get(url)
            except Exception as error:
                found.append(weakref.ref(error))
        return sum(reference() is not None for reference in found)


class Looping:
    """The loop of an asynchronous client, whose requests are made by ``_status``."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner()
        self._runner.__enter__()

    async def _status(self, url: str, **options: Any) -> int:
        raise NotImplementedError

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return self._runner.run(coroutine)

    def end(self) -> None:
        self._runner.close()

    def idle(self) -> None:
        async def turn() -> None:
            for _ in range(5):
                await asyncio.sleep(0)

        self.run(turn())

    def get(self, url: str, *, timeout: float | None = 10, **options: Any) -> int:
        return int(self.run(self._status(url, timeout=timeout, **options)))

    def together(self, urls: list[str]) -> list[int | Exception]:
        async def every() -> Any:
            return await asyncio.gather(*map(self._status, urls), return_exceptions=True)

        return list(self.run(every()))

    def lasting(self, url: str, times: int) -> int:
        async def every() -> int:
            found = []
            for _ in range(times):
                try:
                    await self._status(url)
                except Exception as error:
                    found.append(weakref.ref(error))
            return sum(reference() is not None for reference in found)

        return int(self.run(every()))

    def cancel(self, url: str, when: Callable[[], object]) -> None:
        """A request whose task is cancelled once this holds."""

        async def cancelled() -> None:
            task = asyncio.create_task(self._status(url))
            while not when():
                await asyncio.sleep(0.001)
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()

        self.run(cancelled())

    def overrun(self, url: str, seconds: float) -> None:
        """A request within an `asyncio.timeout` that is shorter."""

        async def limited() -> None:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._status(url)

        self.run(limited())
