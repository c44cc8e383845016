"""Changing breakers from the page: who asks, is it this page that asks, and may they?

Off unless a program gives ``actions=``. A request has to come from the page itself (a token that other sites cannot
read, JSON, which they cannot send without being asked first, and what the browser says of its origin), and then the
program's own callable is asked. Whatever is not clearly allowed is refused.
"""

from __future__ import annotations

import hmac
import json
import logging
import secrets
from collections.abc import Callable
from typing import Any

from breaker._function_checks import refuse_function_that_runs_later
from breaker.provider import Provider
from breaker.states import Mode
from breaker.status._requests import Answer, Request, fault, json_answer

TOKEN_HEADER = "x-breaker-token"

Authorise = Callable[[Request], object]


class Refused(Exception):
    """Carries the answer."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


class Actions:
    """``POST actions`` of one process."""

    def __init__(self, provider: Provider, authorise: Authorise) -> None:
        if not callable(authorise):
            raise TypeError(
                f"actions is called with each request and returns True or False, got {type(authorise).__name__}; "
                "give a function, or None for a page to read"
            )
        refuse_function_that_runs_later(authorise, "actions", "decide from what the request holds, without waiting")
        self._provider = provider
        self._authorise = authorise
        self.token = secrets.token_urlsafe(32)

    def answer(self, request: Request, body: bytes) -> Answer:
        """Do what a POST asks for, or say why not."""
        try:
            self._check_origin(request)
            action, name, mode = _read(body)
            self._ask(request.about(action, name, mode))
        except Refused as refused:
            return refused.answer
        breaker = self._provider.breakers.get(name)
        if breaker is None:
            return fault(404, f"there is no breaker named {name!r}")
        if action == "reset":
            breaker.reset()
        else:
            breaker.override(None if mode is None else Mode(mode))
        shot = breaker.snapshot()
        override = None if shot.override is None else shot.override.value
        return json_answer({"name": name, "state": shot.state.value, "mode": shot.mode.value, "override": override})

    def _check_origin(self, request: Request) -> None:
        headers = request.headers
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise Refused(fault(415, "send JSON, as application/json"))
        site, origin = headers.get("sec-fetch-site"), headers.get("origin")
        if site is not None:
            foreign = site != "same-origin"
        else:
            foreign = origin is not None and origin.partition("://")[2].lower() != headers.get("host", "").lower()
        if foreign:
            raise Refused(fault(403, "the request comes from another site than this page"))
        if not hmac.compare_digest(headers.get(TOKEN_HEADER, "").encode(), self.token.encode()):
            problem = "X-Breaker-Token is not the token that GET breakers of this process shows; read it again"
            raise Refused(fault(403, problem))

    def _ask(self, request: Request) -> None:
        try:
            allowed = self._authorise(request)
        except Exception as error:
            logging.getLogger("breaker").error("actions of the status page failed: %r", error, exc_info=error)
            raise Refused(fault(500, "whether this is allowed could not be found out; the log says why")) from None
        if allowed is not True:  # a coroutine that nobody awaits is true as well
            raise Refused(fault(403, "this is not allowed to you"))


def _read(body: bytes) -> tuple[str, str, str | None]:
    """What is asked for: action, name and mode."""
    if not body:
        raise _bad("the body is empty")
    try:
        asked: Any = json.loads(body)
    except (ValueError, RecursionError):
        raise _bad("the body is no JSON") from None
    if not isinstance(asked, dict) or not isinstance(asked.get("name"), str):
        raise _bad("the body names no breaker")
    action = asked.get("action")
    wanted = {"override": {"name", "action", "mode"}, "reset": {"name", "action"}}
    if not isinstance(action, str) or action not in wanted:
        raise _bad("action is neither override nor reset")
    if asked.keys() != wanted[action]:
        raise _bad(f"{action} takes exactly {', '.join(sorted(wanted[action]))}")
    mode = asked.get("mode")
    if mode is not None and mode not in [each.value for each in Mode]:
        raise _bad(f"mode is null or one of {', '.join(Mode)}")
    return action, asked["name"], mode


def _bad(problem: str) -> Refused:
    example = '{"name": "http:payment-api", "action": "override", "mode": "forced_open"}'
    return Refused(fault(400, f'{problem}; write {example}, or with "reset" and no mode'))
