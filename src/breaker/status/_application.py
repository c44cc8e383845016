"""The page's paths and methods, for every kind of server."""

from __future__ import annotations

import logging
import os
import secrets
import time
import weakref
from urllib.parse import quote

from breaker.provider import Provider
from breaker.status._actions import Actions, Authorise
from breaker.status._document import document
from breaker.status._page import page, resource
from breaker.status._requests import Answer, Request, fault, json_answer
from breaker.status._samples import Samples
from breaker.status._streams import Hub

_READ = ("GET", "HEAD")


class Application:
    """What a status page of one provider answers.

    Args:
        provider: Whose breakers.
        actions: See `breaker.status`.

    Thread safety:
        All of it may be called from any thread. A forked child has a page of its own: other token, no readers.
    """

    def __init__(self, provider: Provider, actions: Authorise | None) -> None:
        if not isinstance(provider, Provider):
            given = provider.__name__ if isinstance(provider, type) else type(provider).__name__
            raise TypeError(f"a status page shows a breaker.Provider, got {given}")
        self._provider = provider
        self._authorise = actions
        self._begin()
        self.hub = Hub(provider, self._process)
        _applications.add(self)

    def _begin(self) -> None:
        self._process = secrets.token_hex(8)
        self._samples = Samples()
        self._actions = None if self._authorise is None else Actions(self._provider, self._authorise)

    def answer(self, request: Request, query: str = "", body: bytes = b"", *, streams: bool = True) -> Answer:
        """The answer to one request.

        Args:
            request: Its path begins where the page is mounted; it is empty where the slash after that is missing.
            query: Undecoded.
            body: At most what `body_limit` says, and one byte more if there was more.
            streams: This server can serve several requests at once.
        """
        try:
            return self._answer(request, query, body, streams)
        except Exception as error:  # a clock, a source or a listener of the program's own
            logging.getLogger("breaker").error("the status page failed on %s", request.path, exc_info=error)
            return fault(500, "the program could not answer; its log says why")

    def _answer(self, request: Request, query: str, body: bytes, streams: bool) -> Answer:
        self.hub.tidy()
        method, path = request.method, request.path
        if path == "/actions" and self._actions is not None:
            if method != "POST":
                return fault(405, "POST is what this path takes", Allow="POST")
            if len(body) > self.body_limit(method, path):
                return fault(413, f"a body has at most {self.body_limit(method, path)} bytes")
            return self._actions.answer(request, body)
        if path not in ("", "/", "/breakers", "/breakers.schema.json", "/events"):
            return fault(404, "there are /, /breakers, /breakers.schema.json and /events here")
        if method not in _READ:
            return fault(405, "this path is for reading", Allow=", ".join(_READ))
        if path == "/breakers":
            return self._breakers(query)
        if path == "/events":
            return self._events(request, streams)
        if path == "/breakers.schema.json":
            return Answer(200, {"Content-Type": "application/schema+json"}, resource("breakers.schema.json"))
        return page()

    def body_limit(self, method: str, path: str) -> int:
        """Bytes of a body that are worth reading; 0: none is looked at."""
        return 4096 if (method, path) == ("POST", "/actions") and self._actions is not None else 0

    def close(self) -> None:
        """End all streams of events."""
        self.hub.shut()

    def _breakers(self, query: str) -> Answer:
        lines = "lines=1" in query.split("&")
        shown = document(
            self._provider, self._samples, at=time.time(), now=time.monotonic(), process=self._process, lines=lines
        )
        shown["actions"] = None if self._actions is None else {"token": self._actions.token}
        return json_answer(shown)

    def _events(self, request: Request, streams: bool) -> Answer:
        if not streams:
            return fault(503, "this server serves one request at a time: ask for breakers again and again instead")
        headers = {"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"}
        if request.method == "HEAD":
            return Answer(200, headers)
        return Answer(200, headers, follows=request.headers.get("last-event-id", ""))

    def after_fork(self) -> None:
        """In a forked child."""
        self._begin()
        self.hub.after_fork(self._process)


def too_many_readers() -> Answer:
    """Where a stream was asked for and there is none to be had."""
    return fault(503, "as many readers of events as there may be are here already", Retry_After="10")


def missing_slash(prefix: str) -> Answer:
    """To the page itself: what it asks for is beside it. The last part is enough, whatever a proxy has cut off."""
    last = prefix.rstrip("/").rpartition("/")[2]
    return Answer(308, {"Location": f"./{quote(last)}/"})


_applications: weakref.WeakSet[Application] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for application in list(_applications):
        application.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
