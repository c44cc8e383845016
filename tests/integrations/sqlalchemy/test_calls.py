"""What is a call and what is none: transactions, batches, streams."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event, exc, orm

from breaker import Breaker, BreakerOpenError, Policy, Provider, State
from breaker.integrations.sqlalchemy import BreakerOpenDatabaseError, protect
from support.reading import counts, since
from support.servers.engines import Database, database
from support.servers.postgres import Postgres


@pytest.fixture
def served(postgres: Postgres, driver: str, patient: Provider) -> Iterator[Database]:
    """With a table ``t`` of one integer, empty, and a connection in its pool."""
    with database(patient, postgres.url(driver), name="db") as opened:
        opened.commit("DROP TABLE IF EXISTS t", "CREATE TABLE t (a int)")
        yield opened


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


def test_a_batch_that_fails_after_others_counts_once(tmp_path: Path, patient: Provider) -> None:
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'full.db'}", insertmanyvalues_page_size=2)
    table = sa.Table("t", sa.MetaData(), sa.Column("id", sa.Integer, primary_key=True), sa.Column("text", sa.Text))
    table.create(engine)
    db = patient.get_breaker("db")
    protect(engine, patient, name="db")
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 12")
        before = counts(db)
        rows = [{"text": "x" * 10_000} for _ in range(6)]
        with pytest.raises(exc.OperationalError, match="full"):
            connection.execute(table.insert().returning(table.c.id), rows)
    counted = since(db, before)
    assert counted.pop("successes") >= 1
    assert counted == {"failures": 1}
    engine.dispose()


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
