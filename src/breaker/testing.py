"""For the tests of programs that use breakers: a clock that stands still, and ways to bring a breaker into a state."""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager

from breaker._core import BreakerOpenError
from breaker.policies.trip_rules import failures_to_open, slow_calls_to_open
from breaker.states import Mode, State

__all__ = ["ManualClock", "recorded", "recover", "trip"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from breaker._core import Breaker, Permit
    from breaker.events import Event
    from breaker.provider import Provider


_moving = threading.RLock()  # of all clocks; re-entrant: a signal handler may advance one too


def _renew_lock() -> None:
    global _moving
    _moving = threading.RLock()  # a thread that held it at the fork is not in the child


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


class ManualClock:
    """A clock that moves only by `advance`: ``Provider(config, clock=ManualClock())``.

    Calling it returns whole nanoseconds, as a `Provider` needs them. Times are kept in nanoseconds, so ten steps of
    0.1 s are exactly 1 s.

    Args:
        start: Seconds that it shows at first.

    Thread safety:
        Any thread may read and advance it, a signal handler and a forked child too.

    .. versionadded:: 0.1
    """

    _nanoseconds = 0  # shown by one that the collector has emptied before the last permit that reads it was dropped

    def __init__(self, start: float = 0.0) -> None:
        self._nanoseconds = round(start * 1e9)

    def __call__(self) -> int:
        return self._nanoseconds

    @property
    def seconds(self) -> float:
        """What it shows, in seconds."""
        return self._nanoseconds / 1e9

    def advance(self, seconds: float) -> None:
        """Move forward.

        Args:
            seconds: How far.

        Raises:
            ValueError: A negative step: a monotonic clock does not go back.
        """
        if seconds < 0:
            raise ValueError(f"a monotonic clock does not go back, got {seconds} s")
        with _moving:
            self._nanoseconds += round(seconds * 1e9)


def trip(breaker: Breaker, error: BaseException | None = None, *, clock: ManualClock | None = None) -> None:
    """Report failures until a closed breaker opens, by whichever of its trip rules comes first.

    Does nothing to a breaker that is not closed, and gives up when they would have been enough (an overlay).

    Args:
        breaker: To be opened.
        error: The exception that each failure is reported with.
        clock: The clock of its provider. It is needed where failures alone do not open the breaker: where its only rule
            is for slow calls, which are then also slow, and where a window by time holds a success and all of its calls
            would have to fail.

    Raises:
        ValueError: A clock is needed and was not given.

    .. versionadded:: 0.1
    """
    policy = breaker.policy
    if breaker.state is not State.CLOSED:
        return
    failures = failures_to_open(policy, breaker.snapshot())
    if failures is None and clock is None:
        raise ValueError(
            f"failures alone do not open breaker {breaker.name!r} with its policy {policy!r}: pass clock=, the "
            "ManualClock of its provider"
        )
    if failures is None and clock is not None:
        clock.advance(policy.window.time or 0)
        failures = failures_to_open(policy, breaker.snapshot())
    if failures is None and clock is not None and policy.slow_call_duration is not None:
        permits = [_admitted(breaker) for _ in range(slow_calls_to_open(policy, breaker.snapshot()))]
        clock.advance(policy.slow_call_duration)
        for permit in permits:
            if permit is not None:
                permit.failure(error)
    while failures and breaker.state is State.CLOSED:
        permit = _admitted(breaker)
        if permit is not None:
            permit.failure(error)
        failures -= 1


def _admitted(breaker: Breaker) -> Permit | None:
    """A call of a breaker that may be recovering. None: it has opened, by calls in flight."""
    while True:
        try:
            return breaker.acquire()
        except BreakerOpenError as rejected:
            if rejected.reason == "open":
                return None
            if rejected.reason != "recovering":  # of those, one of the next ten is admitted
                raise


def recover(breaker: Breaker, clock: ManualClock) -> None:
    """Let the open timeout pass and report probe successes until the breaker closes.

    Args:
        breaker: To be closed.
        clock: The clock of its provider.

    Raises:
        ValueError: The breaker has another clock: the open timeout does not pass by this one.

    .. versionadded:: 0.1
    """
    wait = breaker.retry_after
    clock.advance(wait)
    if breaker.state is State.OPEN and breaker.mode is Mode.AUTO and breaker.retry_after > wait / 2:
        raise ValueError(
            f"breaker {breaker.name!r} has another clock than the one that was advanced by {wait} s: pass the clock "
            "of its provider, Provider(…, clock=clock)"
        )
    for _ in range(breaker.policy.success_threshold):
        breaker.acquire().success()


@contextmanager
def recorded(provider: Provider) -> Iterator[list[Event]]:
    """The events of a provider while the block runs, in order of delivery.

    Args:
        provider: Whose events; those of all its breakers and of its source.

    .. versionadded:: 0.1
    """
    events: list[Event] = []
    unsubscribe = provider.subscribe(events.append)
    try:
        yield events
    finally:
        unsubscribe()
