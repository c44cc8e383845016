"""What integrations with servers share: which exception is a rejection that nobody handled, and what is answered.

The answer is for strangers: it says when to try again, and nothing of what is behind the application. Which breaker
rejected is said only if ``show_name`` asks for it, the last error of a dependency never.
"""

from __future__ import annotations

import inspect
import json
from dataclasses import dataclass

from breaker.errors import BreakerOpenError
from breaker.integrations._base import check_provider, leaves, retry_seconds
from breaker.provider import Provider

STATUS = 503
REASON = "Service Unavailable"
_DETAIL = "Something that this request needs is not available at the moment. Try again later."

# What turns every exception into a response by itself, so that none leaves it: where its class is, and what to use.
_ANSWER_THEMSELVES = {
    ("fastapi.applications", "FastAPI"): "breaker.integrations.fastapi.install",
    ("starlette.applications", "Starlette"): "breaker.integrations.starlette.install",
    ("flask.app", "Flask"): "breaker.integrations.flask.install",
    ("django.core.handlers.asgi", "ASGIHandler"): "breaker.integrations.django.BreakerMiddleware",
    ("django.core.handlers.wsgi", "WSGIHandler"): "breaker.integrations.django.BreakerMiddleware",
}


@dataclass(frozen=True)
class Answer:
    """What a client is given in place of a rejection. It holds nothing of the exception."""

    headers: dict[str, str]
    body: bytes


class Edge:
    """The settings of one application, checked, and what it answers.

    Args:
        owner: what errors call it.
        provider: whose breakers say when the next try is worth while.
        show_name: whether the answer names the breaker.
    Raises:
        TypeError: an argument of the wrong kind.

    Thread safety: any number of threads and tasks may use one.
    """

    __slots__ = ("_provider", "_shows_name")

    def __init__(self, owner: str, provider: Provider, show_name: bool) -> None:
        check_provider(owner, provider)
        if not isinstance(show_name, bool):
            raise TypeError(f"show_name= of {owner} must be True or False, got {type(show_name).__name__}")
        self._provider = provider
        self._shows_name = show_name

    def answer_to(self, error: BaseException) -> Answer | None:
        """What is answered in place of an exception that nobody handled; None: it is no rejection, and goes on.

        A group is one if all of its exceptions are; the longest of their waits counts. An exception that was raised
        ``from`` a rejection is none: who raised it has handled the rejection.
        """
        seconds, name = 0, ""
        for each in leaves(error):
            if not isinstance(each, BreakerOpenError):
                return None
            seconds, name = max((seconds, name), (self._seconds(each), each.name))
        problem = {"type": "about:blank", "title": REASON, "status": STATUS, "detail": _DETAIL}
        if self._shows_name:
            problem["breaker"] = name
        body = json.dumps(problem).encode("ascii")
        headers = {
            "Content-Type": "application/problem+json",
            "Content-Length": str(len(body)),
            "Retry-After": str(seconds),
            "Cache-Control": "no-store",  # a time from now is wrong later
        }
        return Answer(headers, body)

    def _seconds(self, rejected: BreakerOpenError) -> int:
        """As the breaker says now: a rejection may be old, such as that of a task that several requests wait for."""
        breaker = self._provider.breakers.get(rejected.name)
        return retry_seconds(rejected if breaker is None else breaker)


def check_instance(kind: type, app: object) -> None:
    """Raise `TypeError` unless the application that ``install`` got is an instance of the library's class."""
    if not isinstance(app, kind):
        got = f"the class {app.__name__}" if isinstance(app, type) else type(app).__name__
        library = kind.__module__.partition(".")[0]
        raise TypeError(f"install takes an instance of {library}.{kind.__name__}, got {got}")


def check_application(app: object, interface: str, takes: tuple[str, ...]) -> None:
    """Raise `TypeError` unless ``install`` got an application of an interface, whose exceptions leave it.

    Args:
        app: what it got.
        interface: for errors: ``"a WSGI application"``.
        takes: the names of the arguments that it is called with.
    """
    owner = getattr(app, "__self__", app)  # `wsgi_app` of a Flask is a method
    for kind in (owner if isinstance(owner, type) else type(owner)).__mro__:
        if remedy := _ANSWER_THEMSELVES.get((kind.__module__, kind.__name__)):
            raise TypeError(f"{kind.__name__} answers its errors itself, none would leave it; use {remedy}")
    wanted = f"install takes {interface}, called with ({', '.join(takes)})"
    if not callable(app):
        raise TypeError(f"{wanted}; got {type(app).__name__}")
    try:
        signature = inspect.signature(app)
    except (TypeError, ValueError):  # of compiled code
        return
    try:
        signature.bind(*takes)
    except TypeError:
        raise TypeError(f"{wanted}; got {getattr(app, '__qualname__', type(app).__name__)}{signature}") from None


def installed_already() -> ValueError:
    """The error of a second ``install``."""
    return ValueError("install got an application that has it already; once is enough")
