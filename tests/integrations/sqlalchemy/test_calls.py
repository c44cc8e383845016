"""What is a call and what is none: transactions, batches, streams, pings, connections, pools."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg  # type: ignore[import-untyped]
import pytest
import sqlalchemy as sa
from sqlalchemy import event, exc, orm

from breaker import Breaker, BreakerOpenError, Policy, Provider, State
from breaker.integrations.sqlalchemy import BreakerOpenDatabaseError, protect
from breaker.testing import ManualClock
from support.drive import cool
from support.etcd.ports import HOST
from support.reading import counts
from support.servers.engines import POSTGRES_DRIVERS, Database, database
from support.servers.postgres import DATABASE, USER, Postgres


@pytest.fixture(params=POSTGRES_DRIVERS)
def driver(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def served(postgres: Postgres, driver: str, patient: Provider) -> Iterator[Database]:
    """With a table ``t`` of one integer, empty, and a connection in its pool."""
    with database(patient, postgres.url(driver), name="db") as opened:
        opened.commit("DROP TABLE IF EXISTS t", "CREATE TABLE t (a int)")
        yield opened


@pytest.fixture
def db(patient: Provider) -> Breaker:
    return patient.get_breaker("db")


@pytest.fixture
def lite(patient: Provider, tmp_path: Path) -> Iterator[sa.Engine]:
    """SQLite with a table ``t``, and no call counted yet."""
    plain = sa.create_engine(f"sqlite:///{tmp_path / 'a.db'}")
    with plain.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE t (a INTEGER PRIMARY KEY)")
    plain.dispose()
    engine = protect(sa.create_engine(f"sqlite:///{tmp_path / 'a.db'}"), patient, name="db")
    with engine.connect():
        pass
    yield engine
    engine.dispose()


def since(breaker: Breaker, before: dict[str, int]) -> dict[str, int]:
    after = counts(breaker)
    return {name: after[name] - before.get(name, 0) for name in after if after[name] != before.get(name, 0)}


# Transactions.


def test_statements_and_commits_count_and_rollbacks_do_not(served: Database, db: Breaker) -> None:
    before = counts(db)
    served.commit("INSERT INTO t VALUES (1)", "INSERT INTO t VALUES (2)")
    assert since(db, before) == {"successes": 3}
    served.execute("INSERT INTO t VALUES (3)")  # rolled back
    assert since(db, before) == {"successes": 4}


def test_an_open_breaker_rejects_neither_commit_nor_rollback(served: Database, db: Breaker) -> None:
    def committed(connection: sa.Connection) -> None:
        connection.exec_driver_sql("INSERT INTO t VALUES (1)")
        db.force_open()
        with pytest.raises(BreakerOpenDatabaseError):
            connection.exec_driver_sql("INSERT INTO t VALUES (2)")
        connection.commit()
        db.clear_override()

    def rolled_back(connection: sa.Connection) -> None:
        connection.exec_driver_sql("INSERT INTO t VALUES (3)")
        db.force_open()
        connection.rollback()
        db.clear_override()

    before = counts(db)
    served.run(committed)
    served.run(rolled_back)
    assert since(db, before) == {"successes": 2, "rejected": 1}
    assert served.execute("SELECT a FROM t") == [(1,)]


def test_savepoints(served: Database, db: Breaker, postgres: Postgres) -> None:
    def work(connection: sa.Connection) -> None:
        before = counts(db)
        connection.exec_driver_sql("INSERT INTO t VALUES (1)")
        one = connection.begin_nested()
        connection.exec_driver_sql("INSERT INTO t VALUES (2)")
        two = connection.begin_nested()
        assert since(db, before) == {"successes": 4}
        db.force_open()
        two.commit()
        one.rollback()
        with pytest.raises(BreakerOpenDatabaseError):
            connection.begin_nested()
        connection.commit()
        db.clear_override()
        assert since(db, before) == {"successes": 4, "rejected": 1}

    served.run(work)
    assert served.execute("SELECT a FROM t") == [(1,)]
    assert postgres.seen("ROLLBACK TO SAVEPOINT") == postgres.seen("RELEASE SAVEPOINT") > 0


def test_rolling_back_to_a_savepoint_does_not_end_a_streak(
    postgres: Postgres, provider_of: Callable[..., Provider]
) -> None:
    owner = provider_of(Policy(3, 1, 60.0))
    with database(owner, postgres.url("psycopg"), name="db") as opened:

        def work(connection: sa.Connection) -> None:
            connection.exec_driver_sql("SELECT 1")
            for _ in range(2):
                savepoint = connection.begin_nested()
                with pytest.raises(exc.DBAPIError):
                    connection.exec_driver_sql("DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '53200'; END $$")
                savepoint.rollback()
            assert owner.breakers["db"].snapshot().consecutive_failures == 1

        opened.run(work)


def test_the_second_phase_of_a_commit_is_not_rejected(postgres: Postgres, provider_of: Callable[..., Provider]) -> None:
    owner = provider_of(Policy(1, 1, 60.0))
    with database(owner, postgres.url("psycopg"), name="db") as opened:
        opened.commit("DROP TABLE IF EXISTS t", "CREATE TABLE t (a int)")
        db = owner.breakers["db"]
        for end in ("commit", "rollback"):
            with opened.sync.connect() as connection:
                transaction = connection.begin_twophase(f"xid_{end}")
                connection.exec_driver_sql("INSERT INTO t VALUES (1)")
                db.force_open()
                transaction.prepare()
                getattr(transaction, end)()
                db.clear_override()
        assert opened.execute("SELECT count(*) FROM t") == [(1,)]
        assert opened.execute("SELECT count(*) FROM pg_prepared_xacts") == [(0,)]


def test_a_commit_that_fails_is_a_failure(postgres: Postgres, provider: Provider) -> None:
    with database(provider, postgres.url("psycopg"), name="db") as opened, opened.sync.connect() as connection:
        connection.exec_driver_sql("SELECT 1")
        with database(provider, postgres.url("psycopg"), name="other") as other:
            other.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
        with pytest.raises(exc.OperationalError):
            connection.commit()
        assert counts(provider.breakers["db"])["failures"] == 1
        connection.invalidate()


def test_a_deferred_constraint_fails_the_commit_and_is_a_success(postgres: Postgres, provider: Provider) -> None:
    with database(provider, postgres.url("psycopg"), name="db") as opened:
        opened.commit("DROP TABLE IF EXISTS u", "CREATE TABLE u (a int UNIQUE DEFERRABLE INITIALLY DEFERRED)")
        before = counts(provider.breakers["db"])
        with pytest.raises(exc.IntegrityError):
            opened.commit("INSERT INTO u VALUES (1), (1)")
        assert since(provider.breakers["db"], before) == {"successes": 2}


def test_a_session(lite: sa.Engine, db: Breaker) -> None:
    base = orm.declarative_base()

    class Row(base):  # type: ignore[misc, valid-type]
        __tablename__ = "t"
        a = sa.Column(sa.Integer, primary_key=True)

    before = counts(db)
    with orm.Session(lite) as session:
        session.add(Row(a=1))
        session.commit()
        assert session.scalars(sa.select(Row.a)).all() == [1]
    assert since(db, before) == {"successes": 3}  # INSERT, COMMIT, SELECT
    db.force_open()
    with orm.Session(lite) as session, pytest.raises(exc.OperationalError) as caught:
        session.get(Row, 1)
    assert isinstance(caught.value, BreakerOpenDatabaseError)


# Batches and streams.


def test_many_rows_are_one_call(served: Database, db: Breaker) -> None:
    table = sa.table("t", sa.column("a"))

    def work(connection: sa.Connection) -> None:
        before = counts(db)
        connection.execute(sa.update(table).where(table.c.a == sa.bindparam("b")), [{"b": 1, "a": 2}, {"b": 2, "a": 3}])
        assert since(db, before) == {"successes": 1}
        connection.execute(sa.insert(table).returning(table.c.a), [{"a": n} for n in range(2500)])
        assert since(db, before) == {"successes": 4}  # in batches of 1000

    served.run(work)


def test_a_default_that_the_database_makes_is_a_call(postgres: Postgres, patient: Provider, db: Breaker) -> None:
    with database(patient, postgres.url("psycopg"), name="db") as opened:
        opened.commit("DROP SEQUENCE IF EXISTS numbers", "CREATE SEQUENCE numbers")
        before = counts(db)
        opened.run(lambda connection: connection.scalar(sa.Sequence("numbers")))
        assert since(db, before) == {"successes": 1}
        db.force_open()
        with pytest.raises(BreakerOpenDatabaseError):
            opened.run(lambda connection: connection.scalar(sa.Sequence("numbers")))


def test_a_stream_that_breaks_off_is_a_failure(postgres: Postgres, driver: str, provider: Provider) -> None:
    with database(provider, postgres.url(driver), name="db") as opened:
        opened.execute("SELECT 1")
        db = provider.breakers["db"]
        before = counts(db)

        def work(connection: sa.Connection) -> None:
            connection.exec_driver_sql("SET LOCAL statement_timeout = '300ms'")
            streamed = {"stream_results": True, "max_row_buffer": 10}
            slow = "SELECT CASE WHEN n > 50 THEN pg_sleep(20)::text ELSE '' END FROM generate_series(1, 100) n"
            result = connection.execute(sa.text(slow), execution_options=streamed)
            next(result)
            assert since(db, before) == {"successes": 2}
            with pytest.raises(Exception, match="statement timeout"):  # asyncpg's own
                list(result)
            assert since(db, before) == {"successes": 2, "failures": 1}
            assert db.state is State.OPEN

        opened.run(work)


def test_the_rejection_of_another_breaker_is_no_failure_of_this_one(lite: sa.Engine, db: Breaker) -> None:
    class Elsewhere(BreakerOpenError, OSError):
        """As the integrations with HTTP clients raise it."""

    def report(*arguments: Any) -> None:
        raise Elsewhere("http:audit", State.OPEN)

    for name in ("before_cursor_execute", "after_cursor_execute"):
        event.listen(lite, name, report)
        with lite.connect() as connection, pytest.raises(Elsewhere):
            connection.execute(sa.text("SELECT 1"))
        event.remove(lite, name, report)
    assert "failures" not in counts(db)


def test_rows_that_cannot_be_read_are_the_programs_affair(lite: sa.Engine, db: Breaker) -> None:
    with lite.connect() as connection:
        result = connection.exec_driver_sql("SELECT 1 UNION SELECT 2")
        result.close()
        before = counts(db)
        with pytest.raises(exc.ResourceClosedError):
            result.all()
        assert since(db, before) == {}


# Connections and pools.


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
