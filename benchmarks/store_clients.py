"""Calls to databases and stores over loopback, with clients that differ in one thing: whether they have a breaker.

``bare`` is the client without one, the floor. ``breaker`` has one, closed; ``rejected`` has one, open. The servers are
Debian's. SQLite is in the process: a statement of it is the cheapest that SQLAlchemy runs.
"""

import asyncio
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any

import redis
import redis.asyncio as redis_asyncio
import sqlalchemy
from sqlalchemy.ext.asyncio import create_async_engine

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

import breaker
from benchmarks.http_clients import Subjects, awaiting, calling
from benchmarks.measure import Loop
from benchmarks.subjects import CLOSED, provider
from breaker.integrations.redis import protect as protect_redis
from breaker.integrations.sqlalchemy import protect as protect_sqlalchemy
from support.etcd.ports import HOST
from support.servers.postgres import Postgres
from support.servers.redis import Redis

NAME = "store"
ONE = sqlalchemy.text("SELECT 1")

Protect = Callable[[Any], Any]


@contextmanager
def _setting() -> Iterator[tuple[dict[str, Protect], breaker.Breaker, breaker.Breaker]]:
    """How each kind of client is protected, and the two breakers; the second is to be opened by the caller."""

    def protected(owner: breaker.Provider) -> Protect:
        def protect(client: Any) -> Any:
            is_engine = hasattr(client, "dialect")
            return (protect_sqlalchemy if is_engine else protect_redis)(client, owner, name=NAME)

        return protect

    with provider(CLOSED) as closed, provider(CLOSED) as opened:
        kinds: dict[str, Protect] = {"bare": lambda client: client}
        kinds |= {"breaker": protected(closed), "rejected": protected(opened)}
        yield kinds, closed.get_breaker(NAME), opened.get_breaker(NAME)


@contextmanager
def _redis_server() -> Iterator[Redis]:
    with tempfile.TemporaryDirectory() as folder, Redis(Path(folder)) as server:
        yield server


@contextmanager
def _redis() -> Iterator[Subjects]:
    with _redis_server() as server, _setting() as (kinds, closed, opened):
        made = {kind: protect(redis.Redis(host=HOST, port=server.port)) for kind, protect in kinds.items()}
        opened.force_open()
        yield Subjects({k: Loop(calling(lambda c=c: c.get("a")), k) for k, c in made.items()}, closed, opened)
        for client in made.values():
            client.close()


@contextmanager
def _redis_async() -> Iterator[Subjects]:
    with _redis_server() as server, _setting() as (kinds, closed, opened), asyncio.Runner() as runner:
        made = {kind: protect(redis_asyncio.Redis(host=HOST, port=server.port)) for kind, protect in kinds.items()}
        opened.force_open()
        loops = {k: Loop(awaiting(runner, lambda c=c: c.get("a")), k) for k, c in made.items()}
        yield Subjects(loops, closed, opened)
        for client in made.values():
            runner.run(client.aclose())


@contextmanager
def _engine(url: str) -> Iterator[Subjects]:
    with _setting() as (kinds, closed, opened):
        engines = {kind: protect(sqlalchemy.create_engine(url)) for kind, protect in kinds.items()}
        made = {kind: engine.connect() for kind, engine in engines.items()}
        opened.force_open()
        yield Subjects({k: Loop(calling(lambda c=c: c.scalar(ONE)), k) for k, c in made.items()}, closed, opened)
        for kind, connection in made.items():
            connection.close()
            engines[kind].dispose()


@contextmanager
def _async_engine(url: str) -> Iterator[Subjects]:
    with _setting() as (kinds, closed, opened), asyncio.Runner() as runner:
        engines = {kind: protect(create_async_engine(url)) for kind, protect in kinds.items()}
        made = {kind: runner.run(engine.connect().start()) for kind, engine in engines.items()}
        opened.force_open()
        loops = {k: Loop(awaiting(runner, lambda c=c: c.scalar(ONE)), k) for k, c in made.items()}
        yield Subjects(loops, closed, opened)
        for kind, connection in made.items():
            runner.run(connection.close())
            runner.run(engines[kind].dispose())


@contextmanager
def _postgres(driver: str, engine: Callable[[str], AbstractContextManager[Subjects]]) -> Iterator[Subjects]:
    with closing(Postgres(logged=False)) as server, engine(server.start().url(driver)) as subjects:
        yield subjects


STORES: dict[str, Callable[[], AbstractContextManager[Subjects]]] = {
    "redis": _redis,
    "redis, async": _redis_async,
    "sqlalchemy, SQLite": lambda: _engine("sqlite://"),
    "sqlalchemy, psycopg": lambda: _postgres("psycopg", _engine),
    "sqlalchemy, asyncpg": lambda: _postgres("asyncpg", _async_engine),
}
