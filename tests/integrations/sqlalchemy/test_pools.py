"""What connections and pools ask: pings, events, what the program makes itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import asyncpg  # type: ignore[import-untyped]
import pytest
import sqlalchemy as sa
from sqlalchemy import event, exc

from breaker import Breaker, Provider, State
from breaker.integrations.sqlalchemy import BreakerOpenDatabaseError, protect
from breaker.testing import ManualClock
from support.drive import cool
from support.etcd.ports import HOST
from support.reading import counts, since
from support.servers.engines import database
from support.servers.postgres import DATABASE, USER, Postgres


def test_a_pool_without_a_free_connection_asks_nobody(patient: Provider, tmp_path: Path) -> None:
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'a.db'}", pool_size=1, max_overflow=0, pool_timeout=0.01)
    protect(engine, patient, name="db")
    with engine.connect():
        before = counts(patient.breakers["db"])
        with pytest.raises(exc.TimeoutError):
            engine.connect()
        assert since(patient.breakers["db"], before) == {}
    engine.dispose()


def test_a_rejected_connection_takes_no_place_in_the_pool(patient: Provider, tmp_path: Path) -> None:
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'a.db'}", pool_size=1, max_overflow=0, pool_timeout=0.01)
    protect(engine, patient, name="db")
    patient.breakers["db"].force_open()
    for _ in range(3):
        with pytest.raises(BreakerOpenDatabaseError):
            engine.connect()
    patient.breakers["db"].clear_override()
    with engine.connect() as connection:
        assert connection.scalar(sa.text("SELECT 1")) == 1
    engine.dispose()


def test_connections_that_the_program_makes_are_protected(provider: Provider, clock: ManualClock) -> None:
    import sqlite3

    made: list[str] = []

    def create() -> sqlite3.Connection:
        made.append("tried")
        if len(made) == 1:
            raise sqlite3.OperationalError("unable to open database file")
        return sqlite3.connect(":memory:")

    engine = protect(sa.create_engine("sqlite://", creator=create, poolclass=sa.NullPool), provider, name="db")
    with pytest.raises(exc.OperationalError):
        engine.connect()
    assert provider.breakers["db"].state is State.OPEN
    with pytest.raises(BreakerOpenDatabaseError):
        engine.connect()
    assert made == ["tried"]
    cool(provider.breakers["db"], clock)
    with engine.connect() as connection:
        assert connection.scalar(sa.text("SELECT 1")) == 1
    assert provider.breakers["db"].state is State.CLOSED


def test_listeners_of_connections_are_asked(patient: Provider, tmp_path: Path) -> None:
    asked: list[Any] = []
    engine = sa.create_engine("sqlite:////no/such/folder/a.db")
    before = asked.append

    @event.listens_for(engine, "do_connect")
    def first(dialect: Any, record: Any, cargs: list[Any], cparams: dict[str, Any]) -> None:
        before("first")

    protect(engine, patient, name="db")

    @event.listens_for(engine, "do_connect")
    def second(dialect: Any, record: Any, cargs: list[Any], cparams: dict[str, Any]) -> None:
        cargs[0] = str(tmp_path / "a.db")

    with engine.connect() as connection:
        assert connection.scalar(sa.text("SELECT 1")) == 1
    assert asked == ["first"]
    assert counts(patient.breakers["db"])["successes"] == 1
    engine.dispose()


def test_listeners_that_execute_themselves_are_asked(lite: sa.Engine, db: Breaker) -> None:
    seen: list[str] = []

    @event.listens_for(lite, "do_execute")
    def observe(cursor: Any, statement: str, parameters: Any, context: Any) -> None:
        seen.append(statement)

    with lite.connect() as connection:
        assert connection.scalar(sa.text("SELECT 1")) == 1
    assert seen == ["SELECT 1"]


def test_a_listener_may_run_the_statement_by_the_dialect(lite: sa.Engine, db: Breaker) -> None:
    @event.listens_for(lite, "do_execute")
    def by_name(cursor: Any, statement: str, parameters: Any, context: Any) -> bool:
        context.dialect.do_execute(cursor, statement, parameters, context=context)
        return True

    @event.listens_for(lite, "do_execute_no_params")
    def without_context(cursor: Any, statement: str, context: Any) -> bool:
        context.dialect.do_execute_no_params(cursor, statement)
        return True

    before = counts(db)
    with lite.connect() as connection:
        assert connection.scalar(sa.text("SELECT 1")) == 1
        cursor = connection.connection.cursor()
        lite.dialect.do_execute(cursor, "SELECT 2", ())
        cursor.close()
        assert connection.execution_options(no_parameters=True).exec_driver_sql("SELECT 3").scalar() == 3
    assert since(db, before) == {"successes": 3}


def test_what_a_tool_does_to_a_dialect_later_is_done_to_protected_engines_too(
    lite: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    traced: list[str] = []
    kind: Any = type(lite.dialect).__mro__[1]
    plain = kind.do_execute

    def tracing(self: Any, cursor: Any, statement: str, *rest: Any) -> None:
        traced.append(statement)
        plain(self, cursor, statement, *rest)

    monkeypatch.setattr(kind, "do_execute", tracing, raising=False)
    with lite.connect() as connection:
        connection.execute(sa.text("SELECT 1"))
    assert traced == ["SELECT 1"]


def test_a_rejection_is_between_the_events_of_a_statement(lite: sa.Engine, db: Breaker) -> None:
    seen: list[Any] = []
    event.listen(lite, "before_cursor_execute", lambda *arguments: seen.append("before"))
    event.listen(lite, "after_cursor_execute", lambda *arguments: seen.append("after"))
    event.listen(lite, "handle_error", lambda context: seen.append(context.original_exception))
    db.force_open()
    with lite.connect() as connection, pytest.raises(BreakerOpenDatabaseError) as caught:
        connection.execute(sa.text("SELECT 1"))
    assert seen == ["before", caught.value]


def test_the_pool_after_dispose_is_protected(lite: sa.Engine, db: Breaker) -> None:
    lite.dispose()
    db.force_open()
    with pytest.raises(BreakerOpenDatabaseError):
        lite.connect()
    db.clear_override()
    with lite.connect() as connection:
        connection.execute(sa.text("SELECT 1"))


def test_engines_made_of_an_engine_are_protected_with_it(patient: Provider, tmp_path: Path) -> None:
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'a.db'}")
    older = engine.execution_options(who="older")
    protect(engine, patient, name=lambda call: f"db:{call.execution_options.get('who')}")
    younger = engine.execution_options(who="younger")
    for each in (older, younger):
        with each.connect() as connection:
            connection.execute(sa.text("SELECT 1"))
            connection.execute(sa.text("SELECT 1"), execution_options={"who": "statement"})
            connection.execution_options(who="connection").execute(sa.text("SELECT 1"))
    found = {name: breaker.snapshot().successes for name, breaker in patient.breakers.items()}
    assert found == {"db:older": 1, "db:younger": 1, "db:connection": 2, "db:statement": 2, "db:None": 0}
    engine.dispose()


def test_pings_are_not_counted(postgres: Postgres, driver: str, patient: Provider) -> None:
    with database(patient, postgres.url(driver), name="db", pool_pre_ping=True, pool_size=1) as opened:
        opened.execute("SELECT 1")
        db = patient.breakers["db"]
        before = counts(db)
        opened.execute("SELECT 1")
        assert since(db, before) == {"successes": 1}
        before = counts(db)
        with database(patient, postgres.url("psycopg"), name="other") as other:
            other.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
        opened.execute("SELECT 1")  # the ping finds out, and the pool makes another connection
        assert since(db, before) == {"successes": 1, "ignored": 1}


def test_statements_are_cached_as_without_a_breaker(lite: sa.Engine) -> None:
    assert lite.dialect._supports_statement_cache
    with lite.connect() as connection:
        for _ in range(3):
            connection.execute(sa.select(sa.literal(1)))
    cache: Any = lite._compiled_cache
    assert len(cache) == 1


@pytest.mark.parametrize("pool", [sa.QueuePool, sa.NullPool, sa.StaticPool, sa.SingletonThreadPool, sa.AssertionPool])
def test_every_pool_asks_before_it_connects(patient: Provider, tmp_path: Path, pool: type[sa.Pool]) -> None:
    engine = protect(sa.create_engine(f"sqlite:///{tmp_path / 'a.db'}", poolclass=pool), patient, name="db")
    for _ in range(2):  # the second time with the pool that follows
        patient.breakers["db"].force_open()
        with pytest.raises(BreakerOpenDatabaseError):
            engine.connect()
        patient.breakers["db"].clear_override()
        with engine.connect() as connection:
            assert connection.scalar(sa.text("SELECT 1")) == 1
        engine.dispose()


def test_connections_that_an_asyncio_program_makes_are_protected(postgres: Postgres, provider: Provider) -> None:
    made: list[str] = []

    async def create() -> Any:
        made.append("tried")
        return await asyncpg.connect(host=HOST, port=postgres.port, user=USER, database=DATABASE)

    with database(provider, "postgresql+asyncpg://", name="db", async_creator=create, connect_args={}) as opened:
        assert opened.execute("SELECT 1") == [(1,)]
        postgres.stop()
        with pytest.raises((exc.DBAPIError, OSError)):
            opened.execute("SELECT 1")  # the connection is lost, and the pool is emptied
        assert provider.breakers["db"].state is State.OPEN
        with pytest.raises(BreakerOpenDatabaseError):
            opened.execute("SELECT 1")
    assert made == ["tried"]
