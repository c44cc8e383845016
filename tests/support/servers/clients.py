"""Clients of Redis of both kinds, which a test uses the same way."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from breaker import Provider
from breaker.integrations.redis import protect
from support.etcd.ports import HOST
from support.servers.redis import Redis

KINDS = ("sync", "asyncio")


class Client:
    """A protected client. ``run(work)`` calls ``work`` with it, and awaits what it returns where it has to be."""

    def __init__(self, client: Any, runner: asyncio.Runner | None) -> None:
        self.client = client
        self._runner = runner

    def run(self, work: Callable[[Any], Any]) -> Any:
        if self._runner is None:
            return work(self.client)
        return self._runner.run(self._awaited(work))

    async def _awaited(self, work: Callable[[Any], Any]) -> Any:
        found = work(self.client)
        return await found if inspect.isawaitable(found) else found

    def steps(self, work: Callable[[Any], Any]) -> Any:
        """The same for a generator function: what it yields is awaited, and it gets what comes of it."""
        if self._runner is None:
            return _stepped(work(self.client))
        return self._runner.run(_stepped_async(work(self.client)))

    def close(self) -> None:
        if self._runner is None:
            self.client.close()
        else:
            self._runner.run(self.client.aclose())


def _stepped(steps: Any) -> Any:
    value: Any = None
    try:
        while True:
            value = steps.send(value)
    except StopIteration as end:
        return end.value


async def _stepped_async(steps: Any) -> Any:
    value: Any = None
    error: BaseException | None = None
    try:
        while True:
            step = steps.throw(error) if error is not None else steps.send(value)
            error = None
            try:
                value = await step if inspect.isawaitable(step) else step
            except Exception as raised:
                error = raised
    except StopIteration as end:
        return end.value


def runner_of(kind: str) -> AbstractContextManager[asyncio.Runner | None]:
    return asyncio.Runner() if kind == "asyncio" else nullcontext()


@contextmanager
def client_of(
    kind: str, provider: Provider, server: Redis, *, name: Any = None, retries: int = 0, **options: Any
) -> Iterator[Client]:
    """A client that tries once more than ``retries`` and waits for a second, protected."""
    retry = AsyncRetry(NoBackoff(), retries) if kind == "asyncio" else Retry(NoBackoff(), retries)
    options = {"retry": retry, "socket_timeout": 1, "socket_connect_timeout": 1} | options
    with runner_of(kind) as runner:
        library: Any = redis.asyncio if kind == "asyncio" else redis
        opened = Client(protect(library.Redis(host=HOST, port=server.port, **options), provider, name=name), runner)
        try:
            yield opened
        finally:
            opened.close()
