"""Callbacks that would never run: what is called with a value must not be a function that only makes a coroutine."""

from __future__ import annotations

from breaker._core import kind_of_callback


def refuse_function_that_runs_later(callback: object, what: str, remedy: str) -> None:
    """Raise `TypeError` for a coroutine or generator function: a call of it runs nothing. Of a callable too."""
    kind = kind_of_callback(callback)
    if kind is not None:
        raise TypeError(f"{what} must be a plain function, got the {kind} function {callback!r}; {remedy}")
