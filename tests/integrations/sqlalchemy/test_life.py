"""A PostgreSQL that stops, hangs and comes back, and what reaches it meanwhile."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event as event_api
from sqlalchemy import exc
from sqlalchemy.ext.asyncio import create_async_engine

from breaker import BreakerOpenError, Policy, Provider, State
from breaker.integrations.sqlalchemy import BreakerOpenDatabaseError, protect
from breaker.testing import ManualClock
from support.drive import cool
from support.reading import counts, probing
from support.servers.engines import POSTGRES_DRIVERS, Database, database
from support.servers.postgres import Postgres


@pytest.fixture(params=POSTGRES_DRIVERS)
def driver(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def served(postgres: Postgres, driver: str, provider: Provider) -> Iterator[Database]:
    """With a connection in its pool already. Its breaker opens on the first failure."""
    with database(provider, postgres.url(driver), name="db") as opened:
        opened.execute("SELECT 1")
        yield opened


def rejected(opened: Database, statement: str = "SELECT 'rejected'") -> BreakerOpenDatabaseError:
    with pytest.raises(BreakerOpenDatabaseError) as caught:
        opened.execute(statement)
    return caught.value


def test_a_server_that_stops_and_comes_back(
    postgres: Postgres, served: Database, provider: Provider, clock: ManualClock
) -> None:
    db = provider.breakers["db"]
    postgres.stop()
    with pytest.raises(exc.DBAPIError):
        served.execute("SELECT 'lost'")  # on the connection that was in the pool
    assert counts(db)["failures"] == 1
    postgres.start()
    assert rejected(served).last_error is not None
    assert postgres.seen("rejected") == 0
    cool(db, clock)
    assert served.execute("SELECT 'back'") == [("back",)]
    assert db.state is State.CLOSED
    assert postgres.seen("back") == 1


def test_a_server_that_is_still_away_is_asked_once(
    postgres: Postgres, served: Database, provider: Provider, clock: ManualClock
) -> None:
    db = provider.breakers["db"]
    postgres.stop()
    with pytest.raises(exc.DBAPIError):
        served.execute("SELECT 1")
    for _ in range(3):
        cool(db, clock)
        with pytest.raises((exc.DBAPIError, OSError)) as caught:
            served.execute("SELECT 1")
        assert not isinstance(caught.value, BreakerOpenError)
        rejected(served)
    assert counts(db)["failures"] == 4


def test_nothing_reaches_a_server_whose_breaker_is_open(postgres: Postgres, driver: str, provider: Provider) -> None:
    with database(provider, postgres.url(driver), name="db", pool_pre_ping=True, pool_size=1) as opened:
        opened.execute("SELECT 'before'")
        provider.breakers["db"].force_open()
        log = postgres.log.read_text()

        def two_at_once(connection: sa.Connection) -> None:
            with pytest.raises(BreakerOpenDatabaseError):
                connection.exec_driver_sql("SELECT 'rejected'")

        for _ in range(3):
            opened.run(two_at_once)  # the pool's connection, without a ping
        rest = postgres.log.read_text().removeprefix(log)
        assert "rejected" not in rest
        assert [line for line in rest.splitlines() if "ROLLBACK" not in line] == []
        provider.breakers["db"].clear_override()
        assert opened.execute("SELECT 'after'") == [("after",)]
        pool: Any = opened.sync.pool
        assert pool.checkedin() == 1  # the connection was kept


def test_a_new_connection_is_rejected_too(postgres: Postgres, driver: str, provider: Provider) -> None:
    provider.get_breaker("db").force_open()
    with database(provider, postgres.url(driver), name="db", poolclass=sa.NullPool) as opened:
        before = postgres.log.read_text()
        assert rejected(opened).statement is None
        assert postgres.log.read_text() == before
        assert counts(provider.breakers["db"]) == {"rejected": 1}


def test_a_database_that_answers_nothing_opens_although_it_lets_clients_in(
    postgres: Postgres, driver: str, provider_of: Callable[..., Provider]
) -> None:
    provider = provider_of(Policy(3, 1, 60.0))
    # Long enough for what a driver asks while it connects, which the limit is for too.
    slow = {"options": "-c statement_timeout=300"}
    limits = {"server_settings": {"statement_timeout": "300"}} if driver == "asyncpg" else slow
    with database(provider, postgres.url(driver), name="db", poolclass=sa.NullPool, connect_args=limits) as opened:
        for _ in range(3):
            with pytest.raises(exc.DBAPIError):
                opened.execute("SELECT pg_sleep(20)")
        assert provider.breakers["db"].state is State.OPEN


def test_a_server_that_hangs_fails_by_the_limit_of_its_driver(
    postgres: Postgres, provider: Provider, clock: ManualClock
) -> None:
    limits = {"timeout": 0.5, "command_timeout": 0.5}
    with database(provider, postgres.url("asyncpg"), name="db", connect_args=limits, pool_pre_ping=True) as opened:
        db = provider.get_breaker("db")
        opened.execute("SELECT 1")
        opened.run(lambda connection: postgres.pause())  # behind the ping
        with pytest.raises((TimeoutError, exc.DBAPIError)):
            opened.execute("SELECT 2")
        assert counts(db)["failures"] == 1
        assert db.state is State.OPEN
        rejected(opened)
        cool(db, clock)
        with pytest.raises((TimeoutError, exc.DBAPIError)):
            opened.execute("SELECT 3")
        assert counts(db)["failures"] == 2
        postgres.resume()
        cool(db, clock)
        assert opened.execute("SELECT 4") == [(4,)]
        assert db.state is State.CLOSED


def test_a_statement_that_hangs_fails_by_the_limit_of_asyncpg(postgres: Postgres, provider: Provider) -> None:
    limits = {"timeout": 5, "command_timeout": 0.5}
    with database(provider, postgres.url("asyncpg"), name="db", connect_args=limits) as opened:

        def work(connection: sa.Connection) -> None:
            connection.exec_driver_sql("SELECT 1")
            postgres.pause()
            with pytest.raises(TimeoutError):
                connection.exec_driver_sql("SELECT 2")
            assert counts(provider.breakers["db"])["failures"] == 1
            postgres.resume()
            connection.invalidate()

        opened.run(work)


# Half-open.


def test_a_probe_is_one_statement_and_its_slot_comes_back(
    postgres: Postgres, served: Database, driver: str, provider_of: Callable[..., Provider], clock: ManualClock
) -> None:
    owner = provider_of(Policy(1, 2, 60.0))
    with database(owner, postgres.url(driver), name="db") as opened:
        opened.execute("SELECT 1")
        db = owner.breakers["db"]
        db.acquire().failure()
        for statement, expected in (
            ("SELECT pg_cancel_backend(pg_backend_pid())", (State.HALF_OPEN, 0, 0)),  # ignored
            ("SELECT 1", (State.HALF_OPEN, 1, 0)),
            ("SELECT 1/0", (State.CLOSED, 0, 0)),  # an answer is a success
        ):
            if db.state is State.OPEN:
                cool(db, clock)
            with suppress(exc.DBAPIError):
                opened.execute(statement)
            assert probing(db) == expected
        assert "rejected" not in counts(db)


def test_a_listener_that_raises_before_a_statement_costs_no_slot(
    postgres: Postgres, provider: Provider, clock: ManualClock
) -> None:
    with database(provider, postgres.url("psycopg"), name="db") as opened:
        opened.execute("SELECT 1")
        db = provider.breakers["db"]
        db.acquire().failure()
        cool(db, clock)

        def refuse(*arguments: Any) -> None:
            raise LookupError("not today")

        for event in ("before_cursor_execute", "after_cursor_execute"):
            event_api.listen(opened.sync, event, refuse)
            with pytest.raises(LookupError):
                opened.execute("SELECT 1")
            event_api.remove(opened.sync, event, refuse)
            assert db.snapshot().half_open_in_flight == 0
        assert db.state is State.CLOSED  # the second one was executed


def test_a_task_that_is_cancelled_gives_its_slot_back(
    postgres: Postgres, provider: Provider, clock: ManualClock
) -> None:
    async def scenario(name: str) -> None:
        engine = protect(create_async_engine(postgres.url(name)), provider, name=name)
        async with engine.connect() as connection:
            await connection.execute(sa.text("SELECT 1"))
        db = provider.breakers[name]
        db.acquire().failure()
        cool(db, clock)

        async def hang() -> None:
            async with engine.connect() as connection:
                await connection.execute(sa.text("SELECT pg_sleep(20)"))

        task = asyncio.create_task(hang())
        while db.snapshot().half_open_in_flight == 0:
            await asyncio.sleep(0.005)
        with pytest.raises(BreakerOpenDatabaseError):
            await hang()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert probing(db) == (State.HALF_OPEN, 0, 0)
        async with engine.connect() as connection:
            await connection.execute(sa.text("SELECT 1"))
        assert db.state is State.CLOSED
        await engine.dispose()

    for name in ("asyncpg", "psycopg_async"):
        asyncio.run(scenario(name))


def test_a_probe_in_one_thread_rejects_the_others(postgres: Postgres, provider: Provider, clock: ManualClock) -> None:
    with database(provider, postgres.url("psycopg"), name="db", pool_size=8) as opened:
        opened.execute("SELECT 1")
        db = provider.breakers["db"]
        db.acquire().failure()
        cool(db, clock)
        probe = threading.Thread(target=opened.execute, args=("SELECT pg_sleep(0.5)",))
        probe.start()
        while db.snapshot().half_open_in_flight == 0:
            pass
        for _ in range(5):
            rejected(opened)
        probe.join()
        assert db.state is State.CLOSED
        assert counts(db)["rejected"] == 5
        assert postgres.seen("rejected") == 0
