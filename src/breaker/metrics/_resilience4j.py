"""The vocabulary of resilience4j's metrics as Micrometer writes them for Prometheus: the JVM's dashboards as they are.

The names, the values of ``kind`` and ``state`` and the percentages are those of its `TaggedCircuitBreakerMetrics`; -1
stands for a rate that is not judged, as there. ``group="none"`` is what Spring Cloud gives a breaker without a group.
Calls are counted here and not timed, so ``calls_seconds`` has a count, and neither a sum nor a maximum.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

from breaker.metrics._table import Row, Values, one_each
from breaker.states import Mode, State

__all__ = ["CALLS_SECONDS", "RESILIENCE4J_ROWS"]

CALLS_SECONDS = "resilience4j_circuitbreaker_calls_seconds"
STATES = ("closed", "open", "half_open", "disabled", "forced_open", "metrics_only")
OVERLAYS = {Mode.FORCED_OPEN: "forced_open", Mode.DISABLED: "disabled", Mode.SHADOW: "metrics_only"}
UNDERNEATH = {State.CLOSED: "closed", State.OPEN: "open", State.HALF_OPEN: "half_open"}


def _state(seen: Any) -> Values:
    """There a mode is a state of its own."""
    state = OVERLAYS.get(seen.mode) or UNDERNEATH[seen.state]
    return tuple([1 if state == each else 0 for each in STATES])


def _percent(rate: float | None) -> Values:
    return (-1 if rate is None else 100 * rate,)


_GROUP = MappingProxyType({"group": "none"})

RESILIENCE4J_ROWS = (
    Row(
        CALLS_SECONDS,
        "counter",
        "Total number of calls that ended, by kind",
        lambda s: (s.successes, s.failures, s.ignored),
        ("kind",),
        one_each(("successful", "failed", "ignored")),
        constant=_GROUP,
    ),
    Row(
        "resilience4j_circuitbreaker_not_permitted_calls",
        "counter",
        "Total number of not permitted calls",
        lambda s: (s.rejected,),
        ("kind",),
        one_each(("not_permitted",)),
        constant=_GROUP,
    ),
    Row(
        "resilience4j_circuitbreaker_state",
        "updown",
        "The states of the circuit breaker",
        _state,
        ("state",),
        one_each(STATES),
        constant=_GROUP,
    ),
    Row(
        "resilience4j_circuitbreaker_buffered_calls",
        "updown",
        "The number of buffered calls in the window of the rates, by kind",
        lambda s: (s.window_calls - s.window_failures, s.window_failures),
        ("kind",),
        one_each(("successful", "failed")),
        constant=_GROUP,
    ),
    Row(
        "resilience4j_circuitbreaker_failure_rate",
        "gauge",
        "The failure rate of the circuit breaker in percent, -1 where it is not judged",
        lambda s: _percent(s.failure_rate),
        merge="livemax",
        constant=_GROUP,
        none=-1,
    ),
    Row(
        "resilience4j_circuitbreaker_slow_call_rate",
        "gauge",
        "The slow call rate of the circuit breaker in percent, -1 where it is not judged",
        lambda s: _percent(s.slow_call_rate),
        merge="livemax",
        constant=_GROUP,
        none=-1,
    ),
)
