"""What counts as what, with each driver of PostgreSQL, whose server says it itself; and with SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import exc

from breaker import Breaker, Provider
from breaker.integrations.sqlalchemy import FAILURE_SQLSTATES
from support.reading import counts, since
from support.servers.engines import POSTGRES_DRIVERS, Database, database, outcome
from support.servers.postgres import Postgres

SUCCESS, FAILURE, IGNORED = {"successes": 1}, {"failures": 1}, {"ignored": 1}


@pytest.fixture(params=POSTGRES_DRIVERS)
def driver(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def served(postgres: Postgres, driver: str, patient: Provider) -> Iterator[Database]:
    """With a connection in its pool already."""
    with database(patient, postgres.url(driver), name="db") as opened:
        opened.execute("SELECT 1")
        yield opened


@pytest.fixture
def db(patient: Provider) -> Breaker:
    return patient.get_breaker("db")


def raising(state: str) -> str:
    return f"DO $$ BEGIN RAISE EXCEPTION 'told to' USING ERRCODE = '{state}'; END $$"


STATES = {
    "08006": FAILURE,  # connection_failure
    "0A000": SUCCESS,  # feature_not_supported
    "22012": SUCCESS,  # division_by_zero
    "23505": SUCCESS,  # unique_violation
    "25006": SUCCESS,  # read_only_sql_transaction
    "25P03": SUCCESS,  # idle_in_transaction_session_timeout
    "28000": SUCCESS,  # invalid_authorization_specification
    "40001": SUCCESS,  # serialization_failure
    "40P01": SUCCESS,  # deadlock_detected
    "42501": SUCCESS,  # insufficient_privilege
    "42601": SUCCESS,  # syntax_error
    "53000": FAILURE,  # insufficient_resources
    "53100": FAILURE,  # disk_full
    "53200": FAILURE,  # out_of_memory
    "53300": FAILURE,  # too_many_connections
    "54001": SUCCESS,  # statement_too_complex
    "55006": SUCCESS,  # object_in_use
    "55P03": SUCCESS,  # lock_not_available
    "57014": FAILURE,  # query_canceled
    "57P01": FAILURE,  # admin_shutdown
    "57P02": FAILURE,  # crash_shutdown
    "57P03": FAILURE,  # cannot_connect_now
    "57P05": SUCCESS,  # idle_session_timeout
    "58030": FAILURE,  # io_error
    "F0000": FAILURE,  # config_file_error
    "P0001": SUCCESS,  # raise_exception
    "XX000": FAILURE,  # internal_error
    "XX002": FAILURE,  # index_corrupted
}


def test_postgresqls_codes(served: Database, db: Breaker) -> None:
    found = {state: outcome(served, db, raising(state)) for state in STATES}
    # A driver that takes such an answer for the end of the connection makes another: that proves nothing.
    for state in found:
        found[state].pop("ignored", None)
    assert found == STATES


ANSWERS = {
    "a row": ("SELECT 1", SUCCESS),
    "a mistake": ("SELEC 1", SUCCESS),
    "no such table": ("SELECT * FROM nowhere", SUCCESS),
    "a bad value": ("SELECT 'a'::int", SUCCESS),
    "a statement time-out": ("SET statement_timeout = 30", SUCCESS),
}


def test_answers_are_successes(served: Database, db: Breaker) -> None:
    for statement, expected in ANSWERS.values():
        assert outcome(served, db, statement) == expected, statement


def test_a_statement_timeout_is_a_failure(served: Database, db: Breaker) -> None:
    before = counts(db)

    def work(connection: sa.Connection) -> None:
        connection.exec_driver_sql("SET LOCAL statement_timeout = '20ms'")
        connection.exec_driver_sql("SELECT pg_sleep(20)")

    with pytest.raises(exc.DBAPIError):
        served.run(work)
    assert since(db, before) == {"successes": 1, "failures": 1}


def test_a_statement_that_somebody_cancels_is_ignored(served: Database, db: Breaker) -> None:
    assert outcome(served, db, "SELECT pg_cancel_backend(pg_backend_pid())") == IGNORED


def test_a_lock_timeout_is_a_success_and_can_be_a_failure(postgres: Postgres, driver: str, patient: Provider) -> None:
    strict = {"failure_sqlstates": FAILURE_SQLSTATES | {"55P03"}}
    with (
        database(patient, postgres.url(driver), name="lenient") as holding,
        database(patient, postgres.url(driver), name="strict", protection=strict) as waiting,
        database(patient, postgres.url("psycopg"), name="lenient") as other,
    ):
        holding.commit("DROP TABLE IF EXISTS locked", "CREATE TABLE locked (a int)", "INSERT INTO locked VALUES (1)")

        def hold(connection: sa.Connection) -> None:
            connection.exec_driver_sql("LOCK TABLE locked")
            for one in (waiting, other):
                with pytest.raises(exc.DBAPIError) as caught:
                    one.execute("LOCK TABLE locked NOWAIT")
                assert getattr(caught.value.orig, "sqlstate", None) == "55P03"

        if driver == "psycopg":  # a loop cannot run in another one
            holding.run(hold)
            assert patient.breakers["strict"].snapshot().failures == 1
            assert patient.breakers["lenient"].snapshot().failures == 0


def test_a_connection_that_the_server_ends_is_a_failure(served: Database, db: Breaker) -> None:
    assert outcome(served, db, "SELECT pg_terminate_backend(pg_backend_pid())") == FAILURE
    assert served.execute("SELECT 2")[0][0] == 2  # on a new one


def test_what_the_driver_refuses_is_ignored(served: Database, db: Breaker, driver: str) -> None:
    many = ", ".join(f"${n}" if driver == "asyncpg" else "%s" for n in range(1, 70_001))
    assert outcome(served, db, f"SELECT 1 WHERE 1 IN ({many})", (1,) * 70_000) == IGNORED
    mark = "$1::int" if driver == "asyncpg" else "%s"
    # asyncpg has the server prepare the statement before it looks at the values.
    assert outcome(served, db, f"SELECT {mark}", (object(),)) == (SUCCESS if driver == "asyncpg" else IGNORED)


def test_a_limit_of_asyncpg_is_a_failure(postgres: Postgres, patient: Provider, db: Breaker) -> None:
    limits = {"command_timeout": 0.4}
    with database(patient, postgres.url("asyncpg"), name="db", connect_args=limits) as opened:
        opened.execute("SELECT 1")
        assert outcome(opened, db, "SELECT pg_sleep(20)") == FAILURE


# Connections.


def test_a_connection_is_judged_only_where_it_fails(postgres: Postgres, driver: str, patient: Provider) -> None:
    with database(patient, postgres.url(driver), name="db") as opened:
        opened.run(lambda connection: None)
        # The connection, and what SQLAlchemy asks of a new database.
        assert counts(patient.breakers["db"]) == {"ignored": 2}


def test_no_server_is_a_failure(postgres: Postgres, driver: str, patient: Provider) -> None:
    postgres.stop()
    with database(patient, postgres.url(driver), name="db") as opened:
        with pytest.raises((exc.OperationalError, OSError)):
            opened.execute("SELECT 1")
        assert counts(patient.breakers["db"]) == FAILURE


def test_no_such_database_is_a_failure_with_each_driver(postgres: Postgres, driver: str, patient: Provider) -> None:
    with database(patient, postgres.url(driver, database="nowhere"), name="db") as opened:
        with pytest.raises(Exception, match="does not exist"):
            opened.execute("SELECT 1")
        assert counts(patient.breakers["db"]) == FAILURE


def test_too_many_connections_are_a_failure(postgres: Postgres, driver: str, patient: Provider) -> None:
    engine = sa.create_engine(postgres.url("psycopg"), pool_size=0)
    held: list[sa.Connection] = []
    with database(patient, postgres.url(driver), name="db") as opened:
        with suppress(exc.OperationalError):
            while True:
                held.append(engine.connect())
        with pytest.raises(Exception, match=r"too many clients|remaining connection slots"):
            opened.execute("SELECT 1")
        assert counts(patient.breakers["db"]) == FAILURE
    for connection in held:
        connection.close()
    engine.dispose()


def test_a_setting_that_the_driver_refuses_is_ignored(postgres: Postgres, driver: str, patient: Provider) -> None:
    wrong = {"asyncpg": {"ssl": "nonsense"}}.get(driver, {"no_such_setting": 1})
    with database(patient, postgres.url(driver), name="db", connect_args=wrong) as opened:
        with pytest.raises((exc.DBAPIError, ValueError)):
            opened.execute("SELECT 1")
        assert counts(patient.breakers["db"]) == IGNORED


# SQLite.


@pytest.fixture(params=["pysqlite", "aiosqlite"])
def file(request: pytest.FixtureRequest, tmp_path: Path, patient: Provider) -> Iterator[Database]:
    url = f"sqlite+{request.param}:///{tmp_path / 'shop.db'}"
    with database(patient, url, name="db", connect_args={"timeout": 0.01}) as opened:
        opened.commit("CREATE TABLE one (a INTEGER PRIMARY KEY)", "INSERT INTO one VALUES (1)")
        yield opened


def test_sqlites_answers_are_successes(file: Database, db: Breaker) -> None:
    for statement in ("SELECT 1", "SELEC 1", "SELECT * FROM nowhere", "INSERT INTO one VALUES (1)"):
        assert outcome(file, db, statement) == SUCCESS, statement


def test_a_locked_sqlite_is_a_failure(file: Database, db: Breaker, tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "shop.db")
    other.execute("BEGIN EXCLUSIVE")
    assert outcome(file, db, "INSERT INTO one VALUES (2)") == FAILURE
    other.rollback()
    other.close()
    assert outcome(file, db, "INSERT INTO one VALUES (2)") == SUCCESS


def test_a_broken_file_is_a_failure(tmp_path: Path, patient: Provider, db: Breaker) -> None:
    (tmp_path / "broken.db").write_bytes(b"no database" * 1000)
    with database(patient, f"sqlite:///{tmp_path / 'broken.db'}", name="db") as opened:
        assert outcome(opened, db, "SELECT * FROM sqlite_master")["failures"] == 1
    with database(patient, f"sqlite:///{tmp_path / 'no folder' / 'a.db'}", name="db") as opened:
        assert outcome(opened, db, "SELECT 1") == FAILURE


def test_an_interrupted_statement_of_sqlite_is_ignored(tmp_path: Path, patient: Provider, db: Breaker) -> None:
    with database(patient, f"sqlite:///{tmp_path / 'shop.db'}", name="db") as opened:

        def work(connection: sa.Connection) -> None:
            driver: Any = connection.connection.driver_connection
            driver.create_function("stop", 0, driver.interrupt)
            connection.exec_driver_sql(
                "SELECT count(stop()) FROM (WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL "
                "SELECT i + 1 FROM n WHERE i < 100000) SELECT i FROM n)"
            ).all()

        before = counts(db)
        with pytest.raises(exc.OperationalError, match="interrupted"):
            opened.run(work)
        assert since(db, before).get("failures", 0) == 0


def test_what_pythons_module_refuses_is_ignored(file: Database, db: Breaker) -> None:
    assert outcome(file, db, "SELECT ?", (1, 2)) == IGNORED
    assert outcome(file, db, "SELECT ?", (object(),)) == IGNORED
