"""Predicates for `failed_error`, errors for them to judge, and what a call then counts as."""

import sys
from typing import Any

import pytest

from breaker import Breaker, Policy
from support.raising_forms import Form, by_do
from support.reading import counts

SUCCESS, FAILURE, IGNORED = "successes", "failures", "ignored"


LENIENT = Policy(1000)


class Answer(Exception):
    """The one class of errors that a client has; which one it is, is in its status."""

    def __init__(self, status: int) -> None:
        super().__init__(f"status {status}")
        self.status = status


def is_failure(error: BaseException) -> bool | None:
    """A 404 is an answer, a 503 is none; nothing else is known here."""
    status = getattr(error, "status", None)
    return None if status is None else status >= 500


def outcome_of(breaker: Breaker, error: BaseException, form: Form = by_do) -> str:
    """What a call that raises this counts as; its caller gets the very object."""
    before = counts(breaker)
    with pytest.raises(type(error)) as caught:
        form(breaker, error)
    assert caught.value is error
    (found,) = [name for name, count in counts(breaker).items() if count != before.get(name, 0)]
    return found


async def judge_later(error: BaseException) -> bool:
    return True


class Judge:
    """Answers with a value, or raises an exception."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.handled: list[object] = []

    def __call__(self, error: BaseException) -> Any:
        self.handled.append(sys.exception())
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer
