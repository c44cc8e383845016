"""Circuit breakers for urllib3: `protect` for a pool manager.

A rejected request is a `BreakerOpenHTTPError`. docs/integrations/urllib3.md has the tour.

A ``PoolManager`` makes its pools of the classes in its public ``pool_classes_by_scheme``; those of a protected one ask
a breaker in ``urlopen``, the public method through which each request of a pool goes.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any, ClassVar, NamedTuple, TypeVar

from breaker.integrations import _base

_base.require("urllib3", oldest=(2, 0), integration="urllib3")

import urllib3
from urllib3.exceptions import HTTPError

from breaker.errors import BreakerOpenError
from breaker.integrations import _urllib3
from breaker.integrations._base import NameOf, Permit, rejected_as
from breaker.integrations._http import FAILURE_STATUSES, Protection, Settle, host_of
from breaker.provider import Provider

__all__ = ["FAILURE_STATUSES", "BreakerOpenHTTPError", "PoolRequest", "protect"]

_Manager = TypeVar("_Manager", bound=urllib3.PoolManager)


class BreakerOpenHTTPError(BreakerOpenError, HTTPError):
    """A request was rejected by its breaker: nothing was sent. A `BreakerOpenError` and a urllib3 ``HTTPError``.

    .. versionadded:: 0.1
    """


class PoolRequest(NamedTuple):
    """What a callable ``name=`` gets of a request.

    .. versionadded:: 0.1
    """

    method: str
    url: str


def protect(
    pool_manager: _Manager,
    provider: Provider,
    *,
    name: NameOf | str | None = None,
    failure_statuses: Iterable[int] = FAILURE_STATUSES,
    settle: Settle = "headers",
) -> _Manager:
    """Protect the requests of a pool manager: its settings, proxy and TLS stay in force.

    Each hop is a request: a redirect asks the breaker of the host that it leads to. The retries of urllib3 are a part
    of one request. Pools that the manager has made already are cleared.

    Args:
        pool_manager: a `urllib3.PoolManager`, a `urllib3.ProxyManager` among them.
        provider: whose breakers protect the requests.
        name: makes the breaker's name of a `PoolRequest`, or None to leave it unprotected; text: the name of one
            breaker for all hosts. Without it the name is ``http:`` and the host, with the port where it is not the
            scheme's own.
        failure_statuses: the statuses that are failures; all others are successes.
        settle: ``"headers"``: a request ends with the head of its response. ``"body"``: with the end of the body, and
            one that breaks off is a failure. With ``preload_content``, urllib3's default, the body belongs to the
            request either way.
    Returns:
        The pool manager.
    Raises:
        TypeError: an argument of the wrong kind.
        ValueError: a name, a status or ``settle`` that cannot be; a pool manager that is protected already.

    Thread safety: to be called before other threads use the pool manager.

    .. versionadded:: 0.1
    """
    if not isinstance(pool_manager, urllib3.PoolManager):
        got = f"the class {pool_manager.__name__}" if isinstance(pool_manager, type) else type(pool_manager).__name__
        raise TypeError(f"protect takes an instance of urllib3.PoolManager, got {got}")
    protection = Protection("protect", provider, name, failure_statuses, settle, _urllib3.is_failure, _reject)
    classes = pool_manager.pool_classes_by_scheme
    if any(issubclass(kind, _GuardedPool) for kind in classes.values()):
        raise ValueError("protect got a pool manager that is protected already; each request would count twice")
    pool_manager.pool_classes_by_scheme = {scheme: _guarded(kind, protection) for scheme, kind in classes.items()}
    pool_manager.clear()
    return pool_manager


def _guarded(kind: type[urllib3.HTTPConnectionPool], protection: Protection) -> type[Any]:
    return type(kind.__name__, (_GuardedPool, kind), {"protection": protection, "other": kind})


class _Running(threading.local):
    """The pool whose request the thread is in: urllib3 tries again by calling `urlopen` from itself."""

    pool: _GuardedPool | None = None


_running = _Running()


class _GuardedPool(urllib3.HTTPConnectionPool):
    """The half of a pool that asks the breaker; the other half is the class that the manager had for the scheme."""

    protection: ClassVar[Protection]
    other: ClassVar[type[urllib3.HTTPConnectionPool]]  # not super(), which takes as long as the breaker

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._breaker_name = host_of(self.scheme or "", self.host, self.port)

    def urlopen(self, method: str, url: str, *args: Any, **kwargs: Any) -> Any:
        outer = _running.pool
        if outer is self or (permit := self._admit(method, url)) is None:
            return self.other.urlopen(self, method, url, *args, **kwargs)
        protection = self.protection
        _running.pool = self
        try:
            with protection.inside(permit):
                try:
                    response = self.other.urlopen(self, method, url, *args, **kwargs)
                except BaseException as error:
                    protection.raised(permit, error)
                    raise
                without_body = (
                    protection.at_headers
                    or kwargs.get("preload_content", True)
                    or method == "HEAD"
                    or response.headers.get("Content-Length") == "0"
                )
                body = protection.answered(permit, response.status, without_body=without_body)
        finally:
            _running.pool = outer
        return response if body is None else _urllib3.GuardedBody(response, body)

    def _admit(self, method: str, url: str) -> Permit | None:
        is_whole = url[:1] != "/" and "://" in url[:10]  # as a proxy gets it
        default = _urllib3.name_of_url(url) if is_whole else self._breaker_name
        if not self.protection.asks_for_names:
            return self.protection.admit(None, default)
        if not is_whole:
            host = f"[{self.host}]" if ":" in self.host else self.host
            url = f"{self.scheme}://{host}:{self.port or ''}{url}"
        return self.protection.admit(PoolRequest(method, url), default)


def _reject(rejected: BreakerOpenError, request: PoolRequest | None) -> BreakerOpenError:
    return rejected_as(BreakerOpenHTTPError, rejected)
