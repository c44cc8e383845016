"""Circuit breakers for requests: an adapter to mount, or `protect` for a session that exists.

A rejected request is a `BreakerOpenConnectionError`. docs/integrations/requests.md has the tour.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NoReturn, Self, TypeVar

from breaker.integrations import _base

_base.require("requests", oldest=(2, 32), integration="requests")
_base.require("urllib3", oldest=(2, 0), integration="requests")

import requests
from requests import exceptions
from requests.adapters import BaseAdapter, HTTPAdapter
from urllib3.exceptions import HTTPError

from breaker.errors import BreakerOpenError
from breaker.integrations import _urllib3
from breaker.integrations._base import NameOf, check_provider, rejected_as
from breaker.integrations._http import FAILURE_STATUSES, Protection, Settle
from breaker.provider import Provider

__all__ = ["FAILURE_STATUSES", "BreakerAdapter", "BreakerOpenConnectionError", "protect"]

_Session = TypeVar("_Session", bound=requests.Session)

_OWN = ("_adapter", "_protection")  # fields of a `BreakerAdapter`
_CALLERS = (
    exceptions.InvalidHeader,
    exceptions.InvalidSchema,
    exceptions.InvalidURL,
    exceptions.MissingSchema,
    exceptions.UnrewindableBodyError,
)


class BreakerOpenConnectionError(BreakerOpenError, exceptions.ConnectionError):
    """A request was rejected by its breaker: nothing was sent. A `BreakerOpenError` and a `requests.ConnectionError`.

    Its ``request`` is the one that was rejected.

    .. versionadded:: 0.1
    """

    # What the constructor of the library's error would set.
    request: Any = None
    response: Any = None


class BreakerAdapter(BaseAdapter):
    """An adapter with a breaker for each host: ``session.mount("https://", BreakerAdapter(provider))``.

    Each hop is a request: a redirect asks the breaker of the host that it leads to. The retries of the adapter inside
    (``max_retries``) are a part of one request.

    Args:
        provider: whose breakers protect the requests.
        adapter: what sends them; None: a ``requests.adapters.HTTPAdapter()``. Its attributes are found here too, and
            set here have their effect.
        name: makes the breaker's name of the `requests.PreparedRequest`, or None to leave it unprotected; text: the
            name of one breaker for all hosts. Without it the name is ``http:`` and the host, with the port where it is
            not the scheme's own.
        failure_statuses: the statuses that are failures; all others are successes.
        settle: ``"headers"``: a request ends with the head of its response. ``"body"``: with the end of the body, and
            one that breaks off is a failure.
    Raises:
        TypeError: an argument of the wrong kind.
        ValueError: a name, a status or ``settle`` that cannot be; an adapter that is protected already.

    Thread safety: as that of the adapter inside.

    .. versionadded:: 0.1
    """

    def __init__(
        self,
        provider: Provider,
        adapter: BaseAdapter | None = None,
        *,
        name: NameOf | str | None = None,
        failure_statuses: Iterable[int] = FAILURE_STATUSES,
        settle: Settle = "headers",
    ) -> None:
        owner = type(self).__name__
        check_provider(owner, provider)
        if adapter is None:
            adapter = HTTPAdapter()
        elif not isinstance(adapter, BaseAdapter):
            got = f"the class {adapter.__name__}" if isinstance(adapter, type) else type(adapter).__name__
            raise TypeError(f"{owner} wraps a requests.adapters.BaseAdapter, got {got}")
        elif isinstance(adapter, BreakerAdapter):
            raise ValueError(f"{owner} got an adapter that is protected already; each request would count twice")
        super().__init__()
        self._adapter = adapter
        self._protection = Protection(owner, provider, name, failure_statuses, settle, _is_failure, _reject)

    @classmethod
    def _around(cls, adapter: BaseAdapter, protection: Protection) -> Self:
        made = cls.__new__(cls)
        made._adapter = adapter
        made._protection = protection
        return made

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        permit = self._protection.admit(request, _urllib3.name_of_url(str(request.url)))
        if permit is None:
            return self._adapter.send(request, *args, **kwargs)
        with self._protection.inside(permit):
            try:
                response = self._adapter.send(request, *args, **kwargs)
            except BaseException as error:
                self._protection.raised(permit, error)
                raise
            without_body = (
                self._protection.at_headers or request.method == "HEAD" or response.headers.get("Content-Length") == "0"
            )
            body = self._protection.answered(permit, response.status_code, without_body=without_body)
        if body is not None:
            response.raw = _urllib3.GuardedBody(response.raw, body)
        return response

    def close(self) -> None:
        self._adapter.close()

    def __getattr__(self, name: str) -> Any:
        if name in _OWN:  # an object that was not filled
            raise AttributeError(name)
        return getattr(self._adapter, name)

    def __setattr__(self, name: str, value: Any) -> None:
        # A setting of the adapter inside, such as max_retries, is where it has an effect.
        inner = self.__dict__.get("_adapter")
        if inner is not None and name not in _OWN and not hasattr(type(self), name) and hasattr(inner, name):
            setattr(inner, name, value)
        else:
            super().__setattr__(name, value)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a BreakerAdapter cannot be pickled or copied: protect the session where it is used")


def protect(
    session: _Session,
    provider: Provider,
    *,
    name: NameOf | str | None = None,
    failure_statuses: Iterable[int] = FAILURE_STATUSES,
    settle: Settle = "headers",
) -> _Session:
    """Protect the requests of a session that exists: its adapters, pools, retries and ``verify`` stay in force.

    An adapter that is mounted later is not protected.

    Args:
        session: a `requests.Session`.
        provider: as for `BreakerAdapter`, and so are the others.
    Returns:
        The session.
    Raises:
        TypeError: an argument of the wrong kind.
        ValueError: as for `BreakerAdapter`; a session that is protected already.

    Thread safety: to be called before other threads use the session.

    .. versionadded:: 0.1
    """
    if not isinstance(session, requests.Session):
        got = f"the class {session.__name__}" if isinstance(session, type) else type(session).__name__
        raise TypeError(f"protect takes an instance of requests.Session, got {got}")
    protection = Protection("protect", provider, name, failure_statuses, settle, _is_failure, _reject)
    if any(isinstance(adapter, BreakerAdapter) for adapter in session.adapters.values()):
        raise ValueError("protect got a session that is protected already; each request would count twice")
    guarded = {id(adapter): BreakerAdapter._around(adapter, protection) for adapter in session.adapters.values()}
    for prefix, adapter in session.adapters.items():
        session.adapters[prefix] = guarded[id(adapter)]
    return session


def _is_failure(error: BaseException) -> bool:
    # An error of urllib3 as it is, while the body is read, or as requests has wrapped it.
    cause = error.args[0] if isinstance(error, exceptions.RequestException) and error.args else error
    if isinstance(cause, HTTPError) and not _urllib3.is_failure(cause):
        return False
    known = (exceptions.RequestException, HTTPError)
    return isinstance(error, known) and not isinstance(error, _CALLERS)


def _reject(rejected: BreakerOpenError, request: requests.PreparedRequest) -> BreakerOpenError:
    rejection = rejected_as(BreakerOpenConnectionError, rejected)
    rejection.request = request
    return rejection
