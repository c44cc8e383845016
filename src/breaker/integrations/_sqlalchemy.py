"""Engines of SQLAlchemy that ask a breaker: their dialect and the creator of their pool.

The events of an engine come before and after a statement, and nothing says that the second follows the first: another
listener may raise in between, and statements for defaults and sequences have none. A dialect is what runs a statement,
however it came about, and a pool's creator is what makes a connection, also one that the user has given. Each is a
block around the driver's call, and nothing else.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal, NamedTuple

from sqlalchemy import URL, ExceptionContext
from sqlalchemy.engine import ExecutionContext

from breaker.errors import BreakerOpenError
from breaker.integrations._base import Breaker, NameOf, Permit
from breaker.integrations._sql_errors import Judge
from breaker.integrations._stores import Protection
from breaker.provider import Provider
from breaker.states import Mode, State


class DatabaseCall(NamedTuple):
    """What a callable ``name=`` gets of a call.

    ``kind`` says what is done; ``statement`` is its SQL as the driver gets it, None for what has none; ``context`` is
    SQLAlchemy's ``ExecutionContext`` of the statement or None.

    .. versionadded:: 0.1
    """

    kind: Literal["connect", "execute", "executemany", "commit"]
    statement: str | None
    context: ExecutionContext | None

    @property
    def execution_options(self) -> Mapping[str, Any]:
        """Those of the statement, its connection and its engine; empty for what has no statement."""
        return {} if self.context is None else self.context.execution_options


_What = tuple[Literal["connect", "execute", "executemany", "commit"], str | None, Any]

_CONNECT: _What = ("connect", None, None)
_COMMIT: _What = ("commit", None, None)

# In this context statements are a part of something else: of a new connection, or of the end of a transaction, which
# nothing may reject.
_inside: ContextVar[bool] = ContextVar("inside", default=False)

_STANDARD_PORTS = {"postgresql": 5432, "mysql": 3306, "mariadb": 3306, "mssql": 1433, "oracle": 1521}


def name_of(url: URL) -> str:
    """The default name of an engine's breaker: ``db:db.example.com/shop``, never with a user or a password."""
    backend = url.get_backend_name()
    host, port = url.host or _text(url.query.get("host")), url.port or _text(url.query.get("port"))
    place = host.lower() if host else backend
    if ":" in place and "," not in place and place[0] != "[":
        place = f"[{place}]"
    if host and port and str(port) != str(_STANDARD_PORTS.get(backend)):
        place = f"{place}:{port}"
    database = (url.database or "").lstrip("/")
    return f"db:{place}/{database}" if database else f"db:{place}"


def _text(value: str | tuple[str, ...] | None) -> str | None:
    return ",".join(value) if isinstance(value, tuple) else value


class EngineProtection(Protection):
    """The settings of one protected engine. It does not hold the engine.

    Args:
        provider: as for `Protection`, and so is ``name``.
        url: the engine's.
        judge: what errors of its database say.
        reject: as for `Protection`.
    """

    __slots__ = ("_judges",)

    def __init__(
        self,
        provider: Provider,
        name: NameOf | str | None,
        url: URL,
        judge: Judge,
        reject: Callable[[BreakerOpenError, Any], BreakerOpenError],
    ) -> None:
        super().__init__(
            "protect",
            provider,
            name,
            name_of(url),
            made_of="the call",
            one_for="the whole database",
            judge=judge.of_statement,
            reject=reject,
        )
        self._judges = judge

    def connect(self, function: Callable[..., Any], *args: Any) -> Any:
        """Do what makes a connection as one call that may fail, and proves nothing where it succeeds.

        A database that lets clients in and then answers nothing would otherwise end each streak of failures.
        """
        if _inside.get():
            return function(*args)
        permit = self.admit(_call, _CONNECT)
        if permit is None:
            return function(*args)
        with permit:
            try:
                made = function(*args)
            except BaseException as error:
                self.raised(permit, error, self._judges.of_connecting)
                raise
            permit.ignore()
        return made

    def commit(self, function: Callable[[Any], None], connection: Any) -> None:
        """Commit as one call, which no breaker rejects: that would leave the transaction open."""
        permit = self._permit_if_closed(_COMMIT)
        if permit is None:
            return function(connection)
        with permit:
            try:
                return function(connection)
            except BaseException as error:
                self.raised(permit, error)
                raise

    def ping(self, function: Callable[[Any], bool], connection: Any) -> bool:
        """Try a pooled connection before it is used: that is no call, and it is not done in vain.

        A connection that has grown old is replaced, which says nothing of the database. What the caller gets instead of
        a connection is judged: a ping that takes too long. And where the statement would be rejected for which the
        connection is, nothing is sent: the ping would hang on a database that does.
        """
        breaker = self.breaker_for(_call, _CONNECT)
        permit: Permit | None = None
        if breaker is not None and not _is_closed(breaker):
            try:
                permit = breaker.acquire()
            except BreakerOpenError:
                return True
        try:
            return function(connection)
        except BaseException as error:
            if not self._judges.is_replaced(error, connection):
                self._failed_beside(error, permit or self._permit_if_closed(_CONNECT))
            raise
        finally:
            if permit is not None:
                permit.ignore()  # unless it is settled

    def failed_beside(self, error: BaseException, statement: str, context: Any) -> None:
        """Count what a driver has raised before it had the statement, or after: while its rows were fetched."""
        if not _inside.get():
            self._failed_beside(error, self._permit_if_closed(("execute", statement, context)))

    def _failed_beside(self, error: BaseException, permit: Permit | None) -> None:
        """A failure counts; what is none was no call."""
        if permit is not None:
            if not isinstance(error, BreakerOpenError) and self._judges.of_statement(error) == "failure":
                permit.failure(error)
            permit.ignore()  # unless it is settled

    def _permit_if_closed(self, what: _What) -> Permit | None:
        breaker = self.breaker_for(_call, what)
        if breaker is None or not _is_closed(breaker):
            return None
        try:
            return breaker.acquire()
        except BreakerOpenError:
            return None


def _is_closed(breaker: Breaker) -> bool:
    return breaker.state is State.CLOSED and breaker.mode is not Mode.FORCED_OPEN


def _call(what: _What) -> DatabaseCall:
    return DatabaseCall(*what)


@contextmanager
def _belonging() -> Iterator[None]:
    before = _inside.set(True)
    try:
        yield
    finally:
        _inside.reset(before)


def dialect_of(base: type[Any]) -> type[Any]:
    """The class of a dialect that asks a breaker. A method's ``super()`` is the class that the dialect had."""

    class Guarded(base):  # type: ignore[misc]
        _breaker_protection: EngineProtection

        def do_execute_no_params(self, cursor: Any, statement: str, context: Any = None) -> None:
            run = super().do_execute_no_params
            if _inside.get():
                run(cursor, statement, context)
            else:
                self._breaker_protection.run(_call, ("execute", statement, context), run, cursor, statement, context)

        def do_commit(self, dbapi_connection: Any) -> None:
            self._breaker_protection.commit(super().do_commit, dbapi_connection)

        def do_ping(self, dbapi_connection: Any) -> bool:
            return self._breaker_protection.ping(super().do_ping, dbapi_connection)

        def initialize(self, connection: Any) -> None:
            self._breaker_protection.connect(self._breaker_initialize, super().initialize, connection)

        def _breaker_initialize(self, initialize: Callable[[Any], None], connection: Any) -> None:
            with _belonging():
                initialize(connection)

    if (cached := vars(base).get("supports_statement_cache")) is not None:
        Guarded.supports_statement_cache = cached  # SQLAlchemy does not take it from a base class
    Guarded.do_execute = _statement(base, "do_execute", "execute")
    Guarded.do_executemany = _statement(base, "do_executemany", "executemany")
    for method in _ENDS_OF_TRANSACTIONS:
        setattr(Guarded, method, _end_of_transaction(base, method))
    return Guarded


# The methods below look theirs up in the class anew each time: a tool may have wrapped it since.


def _statement(base: type[Any], method: str, kind: Literal["execute", "executemany"]) -> Callable[..., None]:
    """A method that runs a statement as one call: until the driver has executed it, not until its rows are fetched."""

    @functools.wraps(getattr(base, method))
    def do(self: Any, cursor: Any, statement: str, parameters: Any, context: Any = None) -> None:
        execute: Callable[..., None] = getattr(base, method)
        if _inside.get():
            return execute(self, cursor, statement, parameters, context)
        protection: EngineProtection = self._breaker_protection
        permit = protection.admit(_call, (kind, statement, context))
        if permit is None:
            return execute(self, cursor, statement, parameters, context)
        try:
            execute(self, cursor, statement, parameters, context)
        except BaseException as error:
            protection.raised(permit, error)
            raise
        permit.success()
        return None

    return do


def _end_of_transaction(base: type[Any], method: str) -> Callable[..., Any]:
    @functools.wraps(getattr(base, method))
    def end(self: Any, *args: Any, **kwargs: Any) -> Any:
        with _belonging():
            return getattr(base, method)(self, *args, **kwargs)

    return end


_ENDS_OF_TRANSACTIONS = (
    "do_rollback_to_savepoint",
    "do_release_savepoint",
    "do_prepare_twophase",
    "do_commit_twophase",
    "do_rollback_twophase",
)


class GuardedCreator:
    """What makes the connections of a pool, which asks a breaker first.

    Args:
        create: what made them.
        protection: whom to ask.
    """

    def __init__(self, create: Callable[[Any], Any], protection: EngineProtection) -> None:
        self._create = create
        self._protection = protection

    def __call__(self, connection_record: Any = None) -> Any:
        return self._protection.connect(self._create, connection_record)


def report_to(protection: EngineProtection) -> Callable[[ExceptionContext], None]:
    """The listener of an engine's errors, which counts those that come beside the execution of a statement."""

    def handle_error(error: ExceptionContext) -> None:
        raised, statement, context = error.original_exception, error.statement, error.execution_context
        if statement is None:
            if context is not None:  # its rows are fetched
                protection.failed_beside(raised, context.statement, context)
        elif context is None and isinstance(raised, error.dialect.loaded_dbapi.Error):
            # The driver was asked for a cursor, and finds the connection lost.
            protection.failed_beside(raised, statement, None)

    return handle_error
