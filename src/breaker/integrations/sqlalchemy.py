"""Circuit breakers for SQLAlchemy: `protect` for an engine, sync or asyncio.

A rejected connection or statement is a `BreakerOpenDatabaseError`. docs/integrations/sqlalchemy.md has the tour.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeVar

from breaker.integrations import _base

_base.require("sqlalchemy", oldest=(2, 0, 30), integration="sqlalchemy")

from sqlalchemy import Engine, event, exc

from breaker.errors import BreakerOpenError
from breaker.integrations._base import NameOf, check_provider, rejected_as
from breaker.integrations._sql_errors import FAILURE_SQLSTATES, Judge
from breaker.integrations._sqlalchemy import DatabaseCall, EngineProtection, GuardedCreator, dialect_of, report_to
from breaker.integrations._stores import is_protected, put_around
from breaker.provider import Provider

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

__all__ = ["FAILURE_SQLSTATES", "BreakerOpenDatabaseError", "DatabaseCall", "protect"]

_Engine = TypeVar("_Engine", bound="Engine | AsyncEngine")


class BreakerOpenDatabaseError(BreakerOpenError, exc.OperationalError):
    """A connection or a statement was rejected by its breaker: nothing was sent.

    A `BreakerOpenError` and a `sqlalchemy.exc.OperationalError`, so a ``DBAPIError`` and a ``SQLAlchemyError`` too. Its
    ``statement`` is that which was rejected, None for a connection; its ``orig`` is None, since no driver has raised;
    ``connection_invalidated`` is False: the connection is as good as it was.

    .. versionadded:: 0.1
    """

    # What the constructor of the library's error would set.
    statement: str | None = None
    params: Any = None
    orig: Any = None
    ismulti: bool | None = None
    hide_parameters: bool = True
    connection_invalidated: bool = False
    detail: Any = ()


def protect(
    engine: _Engine,
    provider: Provider,
    *,
    name: NameOf | str | None = None,
    failure_sqlstates: Iterable[str] = FAILURE_SQLSTATES,
) -> _Engine:
    """Protect the connections and statements of an engine; sessions and connections of it are protected so.

    A connection that cannot be made or is lost, and a time-out, are failures. An answer is a success: the database is
    there, whatever it says of a statement. The engines that ``engine.execution_options()`` makes are protected with it.
    A commit is judged and never rejected; a rollback, also to a savepoint, is neither.

    Args:
        engine: a `sqlalchemy.Engine` or a `sqlalchemy.ext.asyncio.AsyncEngine`.
        provider: whose breakers protect its calls.
        name: makes the breaker's name of a `DatabaseCall`, or None to leave it unprotected; text: the name of the
            breaker. Without it the name is ``db:``, the host, with the port where it is not the database's own, and the
            name of the database.
        failure_sqlstates: which of PostgreSQL's answers are failures: codes of five characters, and classes of two.
    Returns:
        The engine.
    Raises:
        TypeError: an argument of the wrong kind.
        ValueError: a name that no breaker can have, a code that is none; an engine that is protected already, also one
            that shares its pool with another.

    Thread safety: to be called before other threads use the engine.

    .. versionadded:: 0.1
    """
    inner: Any = getattr(engine, "sync_engine", engine)
    if isinstance(engine, type) or not isinstance(inner, Engine):
        got = f"the class {engine.__name__}" if isinstance(engine, type) else type(engine).__name__
        raise TypeError(f"protect takes an instance of sqlalchemy.Engine or of its AsyncEngine, got {got}")
    check_provider("protect", provider)
    dialect, pool = inner.dialect, inner.pool
    if is_protected(dialect) or isinstance(pool._creator, GuardedCreator):
        raise ValueError("protect got an engine that is protected already; each statement would count twice")
    protection = EngineProtection(provider, name, inner.url, Judge(dialect, failure_sqlstates), _reject)
    put_around(dialect, dialect_of, protection)
    # The pool that takes the place of this one, after `dispose`, has the same creator.
    pool._creator = GuardedCreator(pool._invoke_creator, protection)
    event.listen(inner, "handle_error", report_to(protection))
    return engine


def _reject(rejected: BreakerOpenError, what: Any) -> BreakerOpenError:
    rejection = rejected_as(BreakerOpenDatabaseError, rejected)
    rejection.statement = what[1]
    return rejection
