"""What integrations with libraries that retry share: the check of what decides for all errors but rejections."""

from __future__ import annotations

from typing import Any

from breaker._core import kind_of_callback


def check_strategy(owner: str, argument: str, given: Any, what: str) -> None:
    """Raise `TypeError` unless ``given`` is called with an attempt or an error and answers at once.

    Args:
        owner: What was called with it, for errors.
        argument: Its name there.
        given: As the user gave it.
        what: What it should be, for errors.
    """
    if isinstance(given, type):
        raise TypeError(f"{argument}= of {owner} must be {what}, got the class {given.__name__}; pass an instance")
    if not callable(given):
        raise TypeError(f"{argument}= of {owner} must be {what}, got {type(given).__name__}")
    kind = kind_of_callback(given)
    if kind is not None:
        raise TypeError(f"{argument}= of {owner} must be {what}, got a {kind} function, which would answer later")
