"""Policies with a rule for slow calls, and what a breaker shows of it."""

from typing import Any

from breaker import Breaker, Policy, Window

SLOW = 2.0  # seconds


def slow_rule(threshold: float = 0.5, minimum: int = 4, **fields: Any) -> Policy:
    given: dict[str, Any] = {
        "failure_threshold": None,
        "slow_call_rate_threshold": threshold,
        "window": Window(calls=20),
    }
    given |= {"minimum_calls": minimum, "slow_call_duration": SLOW, "success_threshold": 1, "open_state_timeout": 5}
    return Policy(**given | fields)


def seen(breaker: Breaker) -> tuple[int, int, int, int]:
    s = breaker.snapshot()
    return s.window_calls, s.window_failures, s.window_slow_calls, s.slow_calls_in_flight
