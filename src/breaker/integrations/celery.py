"""Circuit breakers for Celery: tasks that come back when their breaker admits calls, and a breaker of the broker.

`BreakerTask` is a base of tasks, `protect` is for publishing. A message that is not sent is a
`BreakerOpenOperationalError`. docs/integrations/celery.md has the tour.
"""

from __future__ import annotations

import functools
import math
import random
from collections.abc import Callable
from typing import Any, TypeVar

from breaker.integrations import _base

_base.require("celery", oldest=(5, 4), integration="celery")

from celery import Celery, Task
from kombu.exceptions import ConnectionError as BrokerConnectionError
from kombu.exceptions import LimitExceeded, OperationalError

from breaker.errors import BreakerOpenError
from breaker.integrations._base import NameOf, Naming, rejected_as, rejection_in, retry_seconds
from breaker.policies.names import MAX_NAME_BYTES
from breaker.provider import Provider

__all__ = ["BreakerOpenOperationalError", "BreakerTask", "protect"]

_App = TypeVar("_App", bound=Celery)

_PROTECTED = "_is_protected"  # an attribute of ``send_task``


class BreakerOpenOperationalError(BreakerOpenError, OperationalError):
    """A message was not sent: the breaker of the broker rejected it. A `BreakerOpenError` and an ``OperationalError``.

    .. versionadded:: 0.1
    """


class BreakerTask(Task):  # type: ignore[misc]  # Celery has no types
    """A base of tasks whose calls breakers protect: ``@app.task(base=BreakerTask)``, bound or not.

    A rejection that leaves the task, of whichever breaker, becomes ``self.retry(countdown=…)``: its ``retry_after``
    (S72) in whole seconds, rounded up and at least 1, and up to `rejection_jitter` more. Of a group of rejections it is
    the one with the longest wait. It is one of the task's ``max_retries``; after the last one the rejection itself is
    the result. ``autoretry_for`` sees all other errors.

    Where nobody waits, the rejection is the result at once: in tasks that are called directly, and in eager mode.

    Raises:
        TypeError: a ``rejection_jitter`` that is no number.
        ValueError: a ``rejection_jitter`` below 0.

    Thread safety: as that of the pool's tasks.

    .. versionadded:: 0.1
    """

    abstract = True

    rejection_jitter: float = 0.5
    """Up to which part of the wait is added to it at random, so that tasks do not come back all at once. 0: none."""

    def __new__(cls, *args: Any, **kwargs: Any) -> BreakerTask:
        task: BreakerTask = super().__new__(cls)
        _check_jitter(task)
        # In place of the function and not around the whole task: autoretry_for is outside and lets a retry pass.
        task.run = _coming_back(task, task.run)
        return task


def protect(app: _App, provider: Provider, *, name: NameOf | str | None = None) -> _App:
    """Protect what an app publishes: ``delay``, ``apply_async``, ``send_task``, canvases, beat.

    One message is one call; what Celery tries again within it (``task_publish_retry``) is inside. What a task that a
    worker runs sends, its own retry, callbacks and the rest of a chain among it, is never rejected: it would be lost.

    Args:
        app: a ``celery.Celery``.
        provider: whose breakers protect the messages.
        name: makes the breaker's name of the task's name, or None to leave its message unprotected; text: the name of
            one breaker for all messages. Without it the name is ``broker:`` and the broker's host with its port,
            ``broker:127.0.0.1:6379``; for a broker without a host that of the transport, ``broker:memory``.
    Returns:
        The app.
    Raises:
        TypeError: an argument of the wrong kind.
        ValueError: a name that cannot be; an app that is protected already.

    Thread safety: to be called before other threads publish.

    .. versionadded:: 0.1
    """
    if not isinstance(app, Celery):
        got = f"the class {app.__name__}" if isinstance(app, type) else type(app).__name__
        raise TypeError(f"protect takes an instance of celery.Celery, got {got}")
    if hasattr(app.send_task, _PROTECTED):
        raise ValueError("protect got an app that is protected already; each message would count twice")
    naming = Naming(
        "protect", provider, name, made_of="the task's name", default="its broker's own", one_for="all messages"
    )
    app.send_task = _guarded(app, naming)
    return app


def _guarded(app: Any, naming: Naming) -> Callable[..., Any]:
    """``send_task`` of the app under protection."""
    send = app.send_task

    @functools.cache
    def default() -> str | None:  # of an app that may be configured after it was protected
        return _name_of_broker(app)

    @functools.wraps(send)
    def send_task(name: str, *args: Any, **kwargs: Any) -> Any:
        breaker = naming.breaker_for(name, default())
        if breaker is None:
            return send(name, *args, **kwargs)
        try:
            permit = breaker.acquire()
        except BreakerOpenError as rejected:
            if _is_in_a_worker(app):
                return send(name, *args, **kwargs)
            raise rejected_as(BreakerOpenOperationalError, rejected) from None
        with permit:
            try:
                return send(name, *args, **kwargs)
            except BaseException as error:
                if _is_failure(app, error):
                    permit.failure(error)
                else:
                    permit.ignore()
                raise

    setattr(send_task, _PROTECTED, True)
    return send_task


def _coming_back(task: BreakerTask, run: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(run)
    def running(*args: Any, **kwargs: Any) -> Any:
        try:
            return run(*args, **kwargs)
        except Exception as error:
            rejected = rejection_in(error)
            if rejected is None or task.request.called_directly or task.request.is_eager:
                raise
            raise task.retry(exc=rejected, countdown=_countdown(task, rejected)) from error

    return running


def _countdown(task: BreakerTask, rejected: BreakerOpenError) -> int:
    seconds = retry_seconds(rejected)
    return seconds + random.randint(0, math.ceil(seconds * task.rejection_jitter))


def _check_jitter(task: BreakerTask) -> None:
    jitter = task.rejection_jitter
    if not isinstance(jitter, int | float) or isinstance(jitter, bool):
        raise TypeError(f"rejection_jitter of a BreakerTask must be a number, got {type(jitter).__name__}")
    if not 0 <= jitter < math.inf:
        raise ValueError(f"rejection_jitter of a BreakerTask must be 0 or more, got {jitter!r}")


def _is_failure(app: Any, error: BaseException) -> bool:
    if isinstance(error, BreakerOpenError) or isinstance(error.__cause__, LimitExceeded):  # its own pool is used up
        return False
    if isinstance(error, OperationalError | BrokerConnectionError | OSError):
        return True
    # Some backends of results are asked before a message is sent. Where that fails for good, Celery raises a bare
    # RuntimeError because of the connection's own error.
    lost = _errors_of_backend(app)
    return isinstance(error, lost) or (isinstance(error, RuntimeError) and isinstance(error.__cause__, lost))


def _errors_of_backend(app: Any) -> tuple[type[BaseException], ...]:
    try:
        return tuple(app.backend.connection_errors)
    except Exception:  # most backends name none, and one that cannot be made has raised that already
        return ()


def _is_in_a_worker(app: Any) -> bool:
    task = app.current_worker_task
    return task is not None and not task.request.is_eager


def _name_of_broker(app: Any) -> str | None:
    with app.connection_for_write() as connection:  # it would connect when it is used
        host, transport = connection.hostname, connection.transport_cls
        if not host or "://" in host:  # the URL of a database, with a password perhaps
            name = f"broker:{transport}"
        else:
            port = connection.info()["port"]  # the transport's own if the URL has none
            name = f"broker:{host.lower()}:{port}" if port else f"broker:{host.lower()}"
    return name if len(name.encode("utf-8", "replace")) <= MAX_NAME_BYTES else None
