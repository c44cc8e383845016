"""`protect` for engines: names, what it refuses, what a rejection is, what stays as it was, what is left behind."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import exc, orm
from sqlalchemy.ext.asyncio import create_async_engine

from breaker import BreakerOpenError, Provider, State
from breaker.integrations.sqlalchemy import FAILURE_SQLSTATES, BreakerOpenDatabaseError, DatabaseCall, protect
from support.reading import counts

NAMES = {
    "postgresql+psycopg://app:secret@DB.example.com/shop": "db:db.example.com/shop",
    "postgresql+psycopg://app:secret@db.example.com:5432/shop": "db:db.example.com/shop",
    "postgresql+psycopg://app:secret@127.0.0.1:5433/shop?application_name=x": "db:127.0.0.1:5433/shop",
    "postgresql+asyncpg://[::1]:6000/shop": "db:[::1]:6000/shop",
    "postgresql+psycopg:///shop?host=/run/postgresql&password=secret": "db:/run/postgresql/shop",
    "postgresql+psycopg:///shop?host=a:1&host=b:2": "db:a:1,b:2/shop",
    "postgresql+psycopg:///shop?host=a&port=5433": "db:a:5433/shop",
    "postgresql+psycopg://": "db:postgresql",
    "sqlite:////var/lib/shop.db": "db:sqlite/var/lib/shop.db",
    "sqlite:///shop.db": "db:sqlite/shop.db",
    "sqlite://": "db:sqlite",
}


@pytest.mark.parametrize("url", NAMES)
def test_the_default_name_is_the_host_and_the_database(patient: Provider, url: str) -> None:
    engine: Any = create_async_engine(url) if "asyncpg" in url else sa.create_engine(url)
    assert protect(engine, patient) is engine
    assert list(patient.breakers) == [NAMES[url]]


def test_a_name_that_no_breaker_can_have_is_refused_at_once(patient: Provider) -> None:
    with pytest.raises(ValueError, match="at most 255 bytes"):
        protect(sa.create_engine(f"sqlite:////{'a' * 300}.db"), patient)
    with pytest.raises(ValueError, match="must not be empty"):
        protect(sa.create_engine("sqlite://"), patient, name="")


def test_a_callable_gets_the_call(patient: Provider, tmp_path: Path) -> None:
    calls: list[DatabaseCall] = []

    def name(call: DatabaseCall) -> str | None:
        calls.append(call)
        return None if call.statement == "SELECT 1" else f"db:{call.kind}"

    engine = protect(sa.create_engine(f"sqlite:///{tmp_path / 'a.db'}"), patient, name=name)
    with engine.connect() as connection:
        connection.execute(sa.text("SELECT 1"), execution_options={"a": 1})
        connection.execute(sa.text("CREATE TABLE t (a INTEGER)"))
        connection.execute(sa.text("INSERT INTO t VALUES (:a)"), [{"a": 1}, {"a": 2}])
        connection.commit()
    kinds = ["connect", "connect", "execute", "execute", "executemany", "commit"]
    assert [call.kind for call in calls] == kinds
    assert calls[0] == DatabaseCall("connect", None, None)
    assert calls[0].execution_options == {}
    assert calls[2].execution_options["a"] == 1
    assert {name: breaker.snapshot().successes for name, breaker in patient.breakers.items()} == {
        "db:connect": 0,
        "db:execute": 1,
        "db:executemany": 1,
        "db:commit": 1,
    }
    engine.dispose()


def test_a_callable_that_fails_is_an_error_of_the_call(patient: Provider) -> None:
    def name(call: DatabaseCall) -> Any:
        if call.kind == "connect":
            return "db"
        if call.statement == "SELECT 1":
            raise KeyError("shop")
        return 7

    engine = protect(sa.create_engine("sqlite://"), patient, name=name)
    with engine.connect() as connection:
        with pytest.raises(RuntimeError, match="name= of protect raised KeyError") as caught:
            connection.execute(sa.text("SELECT 1"))
        assert isinstance(caught.value.__cause__, KeyError)
        with pytest.raises(TypeError, match=r"must return the name of a breaker \(text\), got int"):
            connection.execute(sa.text("SELECT 2"))
    engine.dispose()


def test_what_is_no_engine_is_refused(patient: Provider) -> None:
    wrong: Any
    with orm.Session() as session:
        for wrong, got in (
            (sa.Engine, "the class Engine"),
            (session, "Session"),
            ("sqlite://", "str"),
            (None, "NoneType"),
            (sa.create_mock_engine("sqlite://", print), "MockConnection"),
        ):
            with pytest.raises(TypeError, match=rf"takes an instance of sqlalchemy\.Engine or .*, got {got}$"):
                protect(wrong, patient)


def test_what_is_no_provider_or_no_name_is_refused_and_nothing_is_changed(patient: Provider) -> None:
    engine = sa.create_engine("sqlite://")
    dialect, creator = type(engine.dialect), engine.pool._creator
    wrong: Any
    for wrong, message in ((Provider, "got the class Provider; pass an instance"), (None, "got NoneType")):
        with pytest.raises(TypeError, match=message):
            protect(engine, wrong)
    for wrong in (7, b"db"):
        with pytest.raises(TypeError, match="name= of protect must be a callable"):
            protect(engine, patient, name=wrong)
    assert type(engine.dialect) is dialect
    assert engine.pool._creator is creator


def test_states_that_are_none_are_refused(patient: Provider) -> None:
    engine = sa.create_engine("sqlite://")
    wrong: Any
    for wrong, message in (
        ("55P03", "for one code: {'55P03'}"),
        (7, "a collection of text, got 7"),
        ({7}, "holds text"),
    ):
        with pytest.raises(TypeError, match=message):
            protect(engine, patient, failure_sqlstates=wrong)
    for wrong in ("55p03", "553", "", "55P0-"):
        with pytest.raises(ValueError, match="codes of five characters such as '55P03'"):
            protect(engine, patient, failure_sqlstates=FAILURE_SQLSTATES | {wrong})


def test_an_engine_is_protected_once(patient: Provider) -> None:
    engine = protect(sa.create_engine("sqlite://"), patient)
    for again in (engine, engine.execution_options(a=1), sa.create_engine("sqlite://", pool=engine.pool)):
        with pytest.raises(ValueError, match="protected already; each statement would count twice"):
            protect(again, patient)
    async_engine = protect(create_async_engine("sqlite+aiosqlite://"), patient, name="db")
    with pytest.raises(ValueError, match="protected already"):
        protect(async_engine.sync_engine, patient)


def test_two_engines_may_share_a_breaker(patient: Provider) -> None:
    for _ in range(2):
        engine = protect(sa.create_engine("sqlite://"), patient)
        with engine.connect() as connection:
            connection.execute(sa.text("SELECT 1"))
        engine.dispose()
    assert counts(patient.breakers["db:sqlite"])["successes"] == 2


def test_other_engines_are_not_touched(patient: Provider) -> None:
    other = sa.create_engine("sqlite://")
    engine = protect(sa.create_engine("sqlite://"), patient)
    patient.breakers["db:sqlite"].force_open()
    with other.connect() as connection:
        assert connection.scalar(sa.text("SELECT 1")) == 1
    assert isinstance(engine.dialect, type(other.dialect))
    assert type(engine.dialect).__qualname__ == type(other.dialect).__qualname__
    other.dispose()


# Rejections.


def test_a_rejection_is_both(provider: Provider) -> None:
    engine = protect(sa.create_engine("sqlite://"), provider, name="db")
    with engine.connect() as connection:
        provider.breakers["db"].acquire().failure(OSError("gone"))
        with pytest.raises(exc.OperationalError) as caught:
            connection.execute(sa.text("SELECT :secret"), {"secret": "secret"})
    error = caught.value
    assert isinstance(error, BreakerOpenError)
    assert isinstance(error, BreakerOpenDatabaseError)
    assert (error.name, error.state, error.last_error) == ("db", State.OPEN, "OSError: gone")
    assert (error.statement, error.params, error.orig) == ("SELECT ?", None, None)
    assert error.connection_invalidated is False
    assert error.__cause__ is None
    assert "secret" not in f"{error!s} {error!r}"
    engine.dispose()


def test_a_rejection_can_be_pickled_and_copied(provider: Provider) -> None:
    engine = protect(sa.create_engine("sqlite://"), provider, name="db")
    provider.breakers["db"].force_open()
    with pytest.raises(BreakerOpenDatabaseError) as caught:
        engine.connect()
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        again = pickle.loads(pickle.dumps(caught.value, protocol))
        assert type(again) is BreakerOpenDatabaseError
        assert (again.args, again.statement, again.orig) == (caught.value.args, None, None)
    assert copy.copy(caught.value).args == caught.value.args


# What is left behind.


def test_engines_and_providers_are_let_go(patient: Provider) -> None:
    engine = protect(sa.create_engine("sqlite://"), patient)
    with engine.connect() as connection:
        connection.execute(sa.text("SELECT 1"))
    engine.dispose()
    left: list[Any] = [weakref.ref(engine), weakref.ref(engine.dialect), weakref.ref(engine.pool)]
    del engine, connection
    gc.collect()
    assert [reference() for reference in left] == [None, None, None]


def test_engines_of_one_kind_share_one_class(patient: Provider) -> None:
    one, two = (protect(sa.create_engine("sqlite://"), patient) for _ in range(2))
    assert type(one.dialect) is type(two.dialect)
    assert type(one.dialect) is not type(sa.create_engine("sqlite://").dialect)
