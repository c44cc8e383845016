"""What the error of a database says of it, with each driver: is it there, and can it serve anybody?

The classes of the DB-API do not say so. An ``OperationalError`` is a lost connection, a lock that another transaction
holds, and with SQLite a spelling mistake. What tells them apart is the code that the database itself has sent: SQLSTATE
for PostgreSQL, numbers for MySQL and SQLite. An error without a code comes from the driver.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from breaker.integrations._stores import Verdict

FAILURE_SQLSTATES: frozenset[str] = frozenset(
    {
        "08",  # connection exception
        "53",  # insufficient resources: connections, memory, disk
        "57P01",  # admin_shutdown
        "57P02",  # crash_shutdown
        "57P03",  # cannot_connect_now
        "57P04",  # database_dropped
        "57014",  # query_canceled: by statement_timeout
        "58",  # system error: input and output
        "F0",  # configuration file error
        "XX",  # internal error
    }
)

_CANCELED = "57014"

# https://sqlite.org/rescode.html: the low byte of a code is the primary one.
_SQLITE_FAILURES = frozenset({5, 6, 7, 10, 11, 13, 14, 15, 26})  # BUSY LOCKED NOMEM IOERR CORRUPT FULL CANTOPEN …
_SQLITE_INTERRUPT = 9

# Of the server: disk full, out of memory, too many connections, shutdown, network, max_execution_time. MariaDB's too.
_MYSQL_FAILURES = frozenset(
    {1021, 1037, 1040, 1041, 1042, 1043, 1053, 1077, 1079, 1129, 1135, 1152, *range(1154, 1162), 1184, 1203, 1226}
) | frozenset({1927, 1969, 3024, 3169, 4031})
_MYSQL_FIRST = 1000  # drivers number what they have found themselves with less
_MYSQL_INTERRUPTED = 1317  # somebody has sent KILL QUERY
_MYSQL_CLIENT = range(2000, 2030)  # the driver has no connection, or has lost it; from 2030 on it is used wrongly
_MYSQL_OUT_OF_SYNC = 2014


class Judge:
    """What errors of one engine say.

    Args:
        dialect: its dialect.
        failure_sqlstates: codes of five characters, and classes of two, that are failures.
    """

    __slots__ = ("_dialect", "_failures", "_has_states", "_of_driver")

    def __init__(self, dialect: Any, failure_sqlstates: Iterable[str]) -> None:
        self._dialect = dialect
        self._failures = checked_sqlstates(failure_sqlstates)
        self._has_states = dialect.name not in ("mysql", "mariadb")  # whose numbers say more
        self._of_driver: Callable[[BaseException], Verdict] = {
            "sqlite": _of_sqlite,
            "mysql": self._of_mysql,
            "mariadb": self._of_mysql,
        }.get(dialect.name, self._of_class)

    def of_connecting(self, error: BaseException) -> Verdict:
        """A connection that cannot be made is a failure: drivers do not say whether it was the password."""
        if isinstance(error, OSError | EOFError):
            return "failure"
        library = self._dialect.loaded_dbapi
        callers = (library.ProgrammingError, library.NotSupportedError, library.DataError, ValueError)
        # asyncpg's errors are not always the dialect's before there is a connection; what it makes of them may be.
        if (isinstance(error, callers) or isinstance(error.__cause__, callers)) and sqlstate_of(error) is None:
            return "ignored"
        return "failure" if isinstance(error, library.Error) or sqlstate_of(error) is not None else "ignored"

    def of_statement(self, error: BaseException) -> Verdict:
        """An answer is a success: the database is there, and has judged the statement."""
        # While rows are fetched asyncpg raises its own errors, which are not the dialect's.
        if self._has_states and (state := sqlstate_of(error)) is not None:
            return self._of_state(state, error)
        if isinstance(error, self._dialect.loaded_dbapi.Error):
            return self._of_driver(error)
        return "failure" if isinstance(error, OSError | EOFError) else "ignored"

    def is_replaced(self, error: BaseException, connection: Any) -> bool:
        """Whether the pool makes a new connection where this one could not be used."""
        return isinstance(error, self._dialect.loaded_dbapi.Error) and bool(
            self._dialect.is_disconnect(error, connection, None)
        )

    def _of_state(self, state: str, error: BaseException) -> Verdict:
        if state == _CANCELED and "user request" in str(error):
            return "ignored"  # somebody has cancelled it: pg_cancel_backend, the program itself
        return "failure" if state in self._failures or state[:2] in self._failures else "success"

    def _of_class(self, error: BaseException) -> Verdict:
        """Of a driver that says no more than the class, or an error that did not come from the server."""
        library = self._dialect.loaded_dbapi
        if self._dialect.is_disconnect(error, None, None):
            return "failure"
        if isinstance(error, library.OperationalError | library.InternalError):
            # psycopg's word for more parameters than a statement can have. Nothing was sent.
            return "ignored" if "number of parameters must be between" in str(error) else "failure"
        if self._dialect.name == "postgresql" or isinstance(error, library.InterfaceError):
            return "ignored"  # PostgreSQL's own errors have a code
        return "success"

    def _of_mysql(self, error: BaseException) -> Verdict:
        number = error.args[0] if error.args else None
        if not isinstance(number, int) or number < _MYSQL_FIRST:
            # The driver's own word: a value that it cannot send, a connection that it finds lost.
            lost = isinstance(error, self._dialect.loaded_dbapi.OperationalError)
            return "failure" if lost or self._dialect.is_disconnect(error, None, None) else "ignored"
        if number in (_MYSQL_INTERRUPTED, _MYSQL_OUT_OF_SYNC):
            return "ignored"
        if 2000 <= number < 3000:
            return "failure" if number in _MYSQL_CLIENT or number == 2055 else "ignored"
        return "failure" if number in _MYSQL_FAILURES else "success"


def checked_sqlstates(states: Iterable[str]) -> frozenset[str]:
    """Codes and classes as a set. Raises `TypeError` or `ValueError` for what is none."""
    if isinstance(states, str | bytes) or not isinstance(states, Iterable):
        raise TypeError(
            f"failure_sqlstates= of protect must be a collection of text, got {states!r}; for one code: {{'55P03'}}"
        )
    found = frozenset(states)
    for state in found:
        if not isinstance(state, str):
            raise TypeError(f"failure_sqlstates= of protect holds text, got {state!r}")
        if len(state) not in (2, 5) or not state.isalnum() or state != state.upper():
            raise ValueError(
                "failure_sqlstates= of protect holds codes of five characters such as '55P03', and classes of two "
                f"such as '08', in capitals; got {state!r}"
            )
    return found


def sqlstate_of(error: BaseException) -> str | None:
    """The code that PostgreSQL has sent, as psycopg, asyncpg, psycopg2 or pg8000 has it. None: it has sent none."""
    state = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
    if state is None and error.args and isinstance(error.args[0], dict):
        state = error.args[0].get("C")
    # Drivers for other databases have numbers there, or a code that says nothing.
    return state if isinstance(state, str) and len(state) == 5 and state[:2] not in ("HY", "IM") else None


def _of_sqlite(error: BaseException) -> Verdict:
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:  # Python's module found the mistake, not SQLite
        return "failure" if "is locked" in str(error) else "ignored"
    primary = code & 0xFF
    if primary == _SQLITE_INTERRUPT:
        return "ignored"
    return "failure" if primary in _SQLITE_FAILURES else "success"
