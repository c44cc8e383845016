"""Retries of stamina around breakers: wait as long as a rejection says, or give up at once.

Retry outside, breaker inside: each attempt asks the breaker, and an open one is not asked again before it admits a
call. docs/integrations/retries.md has the tour.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import TypeAlias

from breaker.integrations import _base

# The first whose hooks may say how long to wait.
_base.require("stamina", oldest=(25, 2), integration="stamina")

from breaker.integrations._retries import check_strategy

__all__ = ["retry_unless_open", "wait_breaker"]

_Answer: TypeAlias = bool | float | datetime.timedelta
_Hook: TypeAlias = Callable[[Exception], _Answer]
_On: TypeAlias = type[Exception] | tuple[type[Exception], ...] | _Hook


def wait_breaker(on: _On, *, longest: float | None = None) -> _Hook:
    """Wait until the breaker admits a call, if it rejected this one: ``stamina.retry(on=wait_breaker(OSError))``.

    It is a rejection's ``retry_after`` (S72), of a group of rejections the longest, to which jitter of the policy
    belongs already; ``wait_max`` does not limit it. Other errors are waited for as stamina does.

    Args:
        on: What else is retried: as for stamina, types or a hook.
        longest: A rejection that says more seconds is not retried; None: every one is, also where that is longer than
            the ``timeout`` of stamina, which is looked at before the wait and after it.
    Returns:
        A hook for ``on=`` of stamina.
    Raises:
        TypeError: An ``on`` that is none, a ``longest`` that is no number.
        ValueError: A ``longest`` below 0.

    Thread safety: any number of threads and tasks may use the hook, if that holds for ``on``.

    .. versionadded:: 0.1
    """
    others = _hook("wait_breaker", on)
    _check_seconds(longest)

    def backoff(error: Exception) -> _Answer:
        rejected = _base.rejection_in(error)
        if rejected is None:
            return others(error)
        return rejected.retry_after if longest is None or rejected.retry_after <= longest else False

    return backoff


def retry_unless_open(on: _On) -> _Hook:
    """Retry what stamina would, but never a rejection: ``stamina.retry(on=retry_unless_open(OSError))``.

    For callers that have a fallback and no time: the rejection reaches them at once. Clients that are protected raise
    rejections that are errors of their library too, which ``on=`` without this would retry.

    Args:
        on: What is retried otherwise: as for stamina, types or a hook.
    Returns:
        A hook for ``on=`` of stamina.
    Raises:
        TypeError: An ``on`` that is none.

    Thread safety: any number of threads and tasks may use the hook, if that holds for ``on``.

    .. versionadded:: 0.1
    """
    others = _hook("retry_unless_open", on)
    return lambda error: _base.rejection_in(error) is None and others(error)


def _hook(owner: str, on: _On) -> _Hook:
    kinds = on if isinstance(on, tuple) else (on,)
    if kinds and all(isinstance(kind, type) and issubclass(kind, BaseException) for kind in kinds):
        types = tuple(kind for kind in kinds if isinstance(kind, type))
        return lambda error: isinstance(error, types)
    check_strategy(owner, "on", on, "a type of exceptions, several in a tuple, or a hook of stamina")
    assert not isinstance(on, tuple | type)
    return on


def _check_seconds(longest: float | None) -> None:
    if longest is None:
        return
    if not isinstance(longest, int | float) or isinstance(longest, bool):
        raise TypeError(f"longest= of wait_breaker must be seconds (a number) or None, got {type(longest).__name__}")
    if not longest >= 0:
        raise ValueError(f"longest= of wait_breaker must be 0 seconds or more, got {longest!r}")
