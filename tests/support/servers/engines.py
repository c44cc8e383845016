"""Engines of SQLAlchemy of both kinds, which a test uses the same way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from breaker import Breaker, Provider
from breaker.integrations.sqlalchemy import protect
from support.reading import counts, since

T = TypeVar("T")

POSTGRES_DRIVERS = ("psycopg", "psycopg_async", "asyncpg")
MYSQL_DRIVERS = ("pymysql", "mysqlconnector", "aiomysql")


class Database:
    """A protected engine. ``run(work)`` calls ``work`` with a `Connection` of it, whatever the engine's kind."""

    def __init__(self, engine: sa.Engine | AsyncEngine) -> None:
        self.engine = engine
        self.sync: sa.Engine = engine.sync_engine if isinstance(engine, AsyncEngine) else engine
        self._runner = asyncio.Runner() if isinstance(engine, AsyncEngine) else None

    def run(self, work: Callable[[sa.Connection], T]) -> T:
        if self._runner is None:
            assert isinstance(self.engine, sa.Engine)
            with self.engine.connect() as connection:
                return work(connection)
        return self._runner.run(self._run_async(work))

    async def _run_async(self, work: Callable[[sa.Connection], T]) -> T:
        assert isinstance(self.engine, AsyncEngine)
        async with self.engine.connect() as connection:
            return await connection.run_sync(work)

    def execute(self, statement: str, parameters: Any = None) -> list[Any]:
        """One statement on a connection, whose transaction is rolled back; its rows."""
        return self.run(lambda connection: rows(connection.exec_driver_sql(statement, parameters)))

    def commit(self, *statements: str) -> None:
        """Statements in one transaction."""

        def work(connection: sa.Connection) -> None:
            for statement in statements:
                connection.exec_driver_sql(statement)
            connection.commit()

        self.run(work)

    def close(self) -> None:
        if self._runner is None:
            self.sync.dispose()
        else:
            assert isinstance(self.engine, AsyncEngine)
            self._runner.run(self.engine.dispose())
            self._runner.close()


def rows(result: sa.CursorResult[Any]) -> list[Any]:
    return list(result) if result.returns_rows else []


def outcome(opened: Database, breaker: Breaker, statement: str, parameters: Any = None) -> dict[str, int]:
    """What a statement counts as that may fail, on a connection that is there."""
    before = counts(breaker)
    with suppress(exc.SQLAlchemyError, TimeoutError):
        opened.execute(statement, parameters)
    return since(breaker, before)


@contextmanager
def database(
    provider: Provider, url: str, *, name: Any = None, protection: Any = None, **options: Any
) -> Iterator[Database]:
    """An engine for ``url``, protected, and disposed of at the end."""
    driver = sa.make_url(url).drivername.partition("+")[2].removesuffix("_async")
    options.setdefault("connect_args", LIMITS.get(driver, {}))
    is_async = sa.make_url(url).get_dialect().is_async
    made: Any = create_async_engine(url, **options) if is_async else sa.create_engine(url, **options)
    opened = Database(protect(made, provider, name=name, **(protection or {})))
    try:
        yield opened
    finally:
        opened.close()


# How long a connection may take to be made.
LIMITS: dict[str, dict[str, Any]] = {
    "psycopg": {"connect_timeout": 5},
    "asyncpg": {"timeout": 5, "command_timeout": 5},
    "pymysql": {"connect_timeout": 5},
    "mysqlconnector": {"connection_timeout": 5},
    "aiomysql": {"connect_timeout": 5},
}
