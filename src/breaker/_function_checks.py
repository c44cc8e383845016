"""Callbacks that would never run: what is called with a value must not be a function that only makes a coroutine."""

from __future__ import annotations

from functools import partial
from types import MethodType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_COROUTINE, _GENERATOR = 0x80 | 0x100, 0x20 | 0x200  # of `inspect`, which is not imported for four numbers


def refuse_function_that_runs_later(callback: object, what: str, remedy: str) -> None:
    """Raise `TypeError` for a coroutine or generator function: a call of it runs nothing. Of a callable too."""
    kind = _kind(callback)
    if kind is not None:
        raise TypeError(f"{what} must be a plain function, got the {kind} function {callback!r}; {remedy}")


def _kind(callback: object) -> str | None:
    seen = set[int]()
    while id(callback) not in seen:
        seen.add(id(callback))
        if _is_marked(callback):
            return "coroutine"
        if isinstance(callback, partial):
            callback = callback.func
        elif isinstance(callback, MethodType):
            callback = callback.__func__
        elif isinstance(flags := getattr(getattr(callback, "__code__", None), "co_flags", None), int):
            return "coroutine" if flags & _COROUTINE else "generator" if flags & _GENERATOR else None
        else:
            callback = getattr(type(callback), "__call__", None)  # noqa: B004 - what a call does, not whether it can
    return None


def _is_marked(callback: object) -> bool:
    """Marked by `inspect.markcoroutinefunction`, or by what asyncio and Cython mark their coroutine functions with."""
    return _own(callback, "_is_coroutine_marker") is not None or _own(callback, "_is_coroutine") is not None


def _own(callback: Any, mark: str) -> object:
    """A mark that is there: an object that answers to every name, like a mock, has none."""
    return getattr(callback, mark, None) if mark in dir(callback) else None
