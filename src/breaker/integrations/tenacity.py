"""Retries of tenacity around breakers: wait as long as a rejection says, or give up at once.

Retry outside, breaker inside: each attempt asks the breaker, and an open one is not asked again before it admits a
call. docs/integrations/retries.md has the tour.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from breaker.integrations import _base

_base.require("tenacity", oldest=(8, 2), integration="tenacity")

from tenacity.retry import retry_base, retry_if_exception_type
from tenacity.wait import wait_base, wait_none

from breaker.errors import BreakerOpenError
from breaker.integrations._retries import check_strategy

if TYPE_CHECKING:
    from tenacity import RetryCallState
    from tenacity.retry import RetryBaseT
    from tenacity.wait import WaitBaseT

__all__ = ["retry_unless_open", "wait_breaker"]


class wait_breaker(wait_base):  # named like its sisters in the library
    """Wait until the breaker admits a call, if it rejected this one: ``retry(wait=wait_breaker(wait_exponential()))``.

    It is a rejection's ``retry_after`` (S72), of a group of rejections the longest, to which jitter of the policy
    belongs already. To limit it, stop the retries: ``stop=stop_before_delay(10)`` gives up where the wait would end
    later than that.

    Args:
        fallback: How long to wait after any other failure; a strategy of the library, or a callable like one. None:
            not at all.
    Raises:
        TypeError: A ``fallback`` that cannot be called, a class of the library, or a coroutine function.

    Thread safety: any number of threads and tasks may use one, if that holds for ``fallback``.

    .. versionadded:: 0.1
    """

    def __init__(self, fallback: WaitBaseT | None = None) -> None:
        if fallback is None:
            fallback = wait_none()
        check_strategy("wait_breaker", "fallback", fallback, "a strategy that waits, such as wait_exponential()")
        self._fallback = fallback

    def __call__(self, retry_state: RetryCallState) -> float:
        rejected = _rejection(retry_state)
        if rejected is not None and rejected.retry_after > 0:
            return rejected.retry_after
        return float(self._fallback(retry_state))


class retry_unless_open(retry_base):  # likewise
    """Retry what another strategy would, but never a rejection: ``retry(retry=retry_unless_open())``.

    For callers that have a fallback and no time: the rejection reaches them at once.

    Args:
        retry: What is retried otherwise; a strategy of the library, or a callable like one. None: every `Exception`,
            as the library does. For one that is a coroutine function:
            ``retry_unless_open(tenacity.retry_always) & that_one``.
    Raises:
        TypeError: A ``retry`` that cannot be called, a class of the library, or a coroutine function.

    Thread safety: any number of threads and tasks may use one, if that holds for ``retry``.

    .. versionadded:: 0.1
    """

    def __init__(self, retry: RetryBaseT | None = None) -> None:
        if retry is None:
            retry = retry_if_exception_type()
        check_strategy(
            "retry_unless_open", "retry", retry, "a strategy that retries, such as retry_if_exception_type()"
        )
        self._retry = retry

    def __call__(self, retry_state: RetryCallState) -> bool:
        return _rejection(retry_state) is None and bool(self._retry(retry_state))


def _rejection(retry_state: RetryCallState) -> BreakerOpenError | None:
    outcome = retry_state.outcome
    error = outcome.exception() if outcome is not None and outcome.failed else None
    return None if error is None else _base.rejection_in(error)
