"""The metrics, one row each: what they are called in Prometheus and in OpenTelemetry, and how a snapshot is read.

Everything else is made of these rows: the collector, the instruments, the copies for several processes, the tables of
docs/metrics.md. `_resilience4j.py` has the rows of the second vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from breaker.states import Mode, Move, State

TYPE_CHECKING = False
if TYPE_CHECKING:
    from breaker.sources.base import SourceStatus

__all__ = ["BREAKER_ROWS", "PROVIDER_ROWS", "ProviderSeen", "Row", "Values"]

Values = tuple[float | None, ...]
"""One number for each series of a row; None: there is none at this moment."""

Kind = Literal["counter", "gauge", "updown"]  # an updown is a gauge whose sum over breakers means something
Merge = Literal["livesum", "livemax", "livemin", "sum"]


class ProviderSeen(NamedTuple):
    """What is read of a provider, beside the snapshots of its breakers."""

    policy_updates: dict[str, int]
    source: SourceStatus | None
    unreadable: int


class Row(NamedTuple):
    """One metric.

    Args:
        name: in Prometheus, without the ``_total`` of a counter.
        kind: what the numbers are.
        help: what they mean.
        read: the numbers out of a `Snapshot` (or a `ProviderSeen`), one for each of ``series``.
        labels: beside ``service`` and ``name``.
        series: the values of those labels, for each series.
        unit: in Prometheus; it ends the name.
        otel: the name in OpenTelemetry, empty where that has no such instrument.
        otel_unit: as OpenTelemetry writes units.
        merge: how several processes make one gauge, as prometheus_client calls it.
        constant: labels that are the same in all series.
        none: what a gauge shows where it cannot show "none": in that merge, and for a breaker that was removed.
    """

    name: str
    kind: Kind
    help: str
    read: Callable[[Any], Values]
    labels: tuple[str, ...] = ()
    series: tuple[tuple[str, ...], ...] = ((),)
    unit: str = ""
    otel: str = ""
    otel_unit: str = "1"
    merge: Merge = "livesum"
    constant: Mapping[str, str] = MappingProxyType({})
    none: float = 0.0


OUTCOMES = {"success": "successes", "failure": "failures", "ignored": "ignored"}  # label → attribute of a snapshot
REASONS = ("open", "half_open", "operator", "recovering")
ENDS = ("success", "failure", "ignored", "late")
RESULTS = ("applied", "unchanged", "invalid", "deleted")
MOVES = tuple(Move)
STATES = {state: state.value.lower() for state in State}
CODES = {State.CLOSED: 0, State.OPEN: 1, State.HALF_OPEN: 2}


def one_each(values: Any) -> tuple[tuple[str, ...], ...]:
    """The series of a row with one label of its own."""
    return tuple((str(value),) for value in values)


BREAKER_ROWS = (
    Row(
        "circuit_breaker_calls",
        "counter",
        "Calls that were admitted and ended, by outcome.",
        lambda s: (s.successes, s.failures, s.ignored),
        ("outcome",),
        one_each(OUTCOMES),
        otel="breaker.calls",
        otel_unit="{call}",
    ),
    Row(
        "circuit_breaker_rejected_calls",
        "counter",
        "Calls that were rejected without running, by reason.",
        lambda s: tuple([s.rejected_by_reason[reason] for reason in REASONS]),
        ("reason",),
        one_each(REASONS),
        otel="breaker.rejections",
        otel_unit="{call}",
    ),
    Row(
        "circuit_breaker_late_results",
        "counter",
        "Admitted calls that ended after a change of state and decided nothing.",
        lambda s: (s.late,),
        otel="breaker.late_results",
        otel_unit="{call}",
    ),
    Row(
        "circuit_breaker_state",
        "updown",
        "1 for the state underneath any mode, 0 for the others.",
        lambda s: tuple([1 if s.state is state else 0 for state in STATES]),
        ("state",),
        one_each(STATES.values()),
        otel="breaker.state",
    ),
    Row(
        "circuit_breaker_state_code",
        "gauge",
        "The same as one number: 0 closed, 1 open, 2 half-open.",
        lambda s: (CODES[s.state],),
        merge="livemax",
    ),
    Row(
        "circuit_breaker_mode",
        "updown",
        "1 for the mode in force, the operator's or that of a document, 0 for the others.",
        lambda s: tuple([1 if s.mode is mode else 0 for mode in Mode]),
        ("mode",),
        one_each(mode.value for mode in Mode),
        otel="breaker.mode",
    ),
    Row(
        "circuit_breaker_transitions",
        "counter",
        "Changes of state.",
        lambda s: tuple([s.transitions[move] for move in MOVES]),
        ("from_state", "to_state"),
        tuple((STATES[before], STATES[after]) for before, after in MOVES),
        otel="breaker.transitions",
        otel_unit="{transition}",
    ),
    Row(
        "circuit_breaker_probes",
        "counter",
        "Half-open probes, by how they ended; overdue ones at the end of their lease too.",
        lambda s: (*[s.probes[end] for end in ENDS], s.overdue),
        ("result",),
        one_each((*ENDS, "overdue")),
        otel="breaker.probes",
        otel_unit="{probe}",
    ),
    Row(
        "circuit_breaker_shadow_openings",
        "counter",
        "How often the breaker would have opened in shadow mode.",
        lambda s: (s.shadow_openings,),
        otel="breaker.shadow_openings",
        otel_unit="{opening}",
    ),
    Row(
        "circuit_breaker_state_seconds",
        "counter",
        "Time spent in each state.",
        lambda s: tuple([s.state_seconds[state] for state in STATES]),
        ("state",),
        one_each(STATES.values()),
        unit="seconds",
        otel="breaker.state.duration",
        otel_unit="s",
    ),
    Row(
        "circuit_breaker_state_age_seconds",
        "gauge",
        "Time since the present state was entered.",
        lambda s: (s.seconds_in_state,),
        unit="seconds",
        otel="breaker.state.age",
        otel_unit="s",
        merge="livemax",
    ),
    Row(
        "circuit_breaker_retry_after_seconds",
        "gauge",
        "Time until a call can be admitted; 0 where one can be now.",
        lambda s: (s.retry_after,),
        unit="seconds",
        otel="breaker.retry_after",
        otel_unit="s",
        merge="livemax",
    ),
    Row(
        "circuit_breaker_consecutive_failures",
        "gauge",
        "Failures in a row, in the state closed.",
        lambda s: (s.consecutive_failures,),
        otel="breaker.consecutive_failures",
        otel_unit="{failure}",
        merge="livemax",
    ),
    Row(
        "circuit_breaker_window_calls",
        "updown",
        "Calls in the window of the rates.",
        lambda s: (s.window_calls,),
        otel="breaker.window_calls",
        otel_unit="{call}",
    ),
    Row(
        "circuit_breaker_failure_rate",
        "gauge",
        "Part of the calls in the window that failed, 0 to 1; none without a rule or below its minimum of calls.",
        lambda s: (s.failure_rate,),
        otel="breaker.failure_rate",
        merge="livemax",
        none=-1,
    ),
    Row(
        "circuit_breaker_failure_rate_threshold",
        "gauge",
        "The part that opens the breaker, by the policy in force; none without a rule for it.",
        lambda s: (s.policy.failure_rate_threshold,),
        otel="breaker.failure_rate_threshold",
        merge="livemax",
        none=-1,
    ),
    Row(
        "circuit_breaker_slow_call_rate",
        "gauge",
        "Part of the calls in the window that was slow, 0 to 1, with those in flight; none as for the failure rate.",
        lambda s: (s.slow_call_rate,),
        otel="breaker.slow_call_rate",
        merge="livemax",
        none=-1,
    ),
    Row(
        "circuit_breaker_slow_call_rate_threshold",
        "gauge",
        "The part that opens the breaker, by the policy in force; none without a rule for it.",
        lambda s: (s.policy.slow_call_rate_threshold,),
        otel="breaker.slow_call_rate_threshold",
        merge="livemax",
        none=-1,
    ),
    Row(
        "circuit_breaker_slow_calls_in_flight",
        "updown",
        "Calls that have not ended and are slow already.",
        lambda s: (s.slow_calls_in_flight,),
        otel="breaker.slow_calls_in_flight",
        otel_unit="{call}",
    ),
    Row(
        "circuit_breaker_half_open_in_flight",
        "updown",
        "Probes that hold a half-open slot.",
        lambda s: (s.half_open_in_flight,),
        otel="breaker.half_open_in_flight",
        otel_unit="{call}",
    ),
    Row(
        "circuit_breaker_recovery_share",
        "gauge",
        "Part of the calls that is admitted while the breaker recovers gradually, else 1.",
        lambda s: (1 if s.recovery_share is None else s.recovery_share,),
        otel="breaker.recovery_share",
        merge="livemin",
        none=1,
    ),
)

PROVIDER_ROWS = (
    Row(
        "circuit_breaker_policy_updates",
        "counter",
        "Policy documents, by what became of them.",
        lambda seen: tuple([seen.policy_updates[result] for result in RESULTS]),
        ("result",),
        one_each(RESULTS),
        otel="breaker.policy.updates",
        otel_unit="{document}",
    ),
    Row(
        "circuit_breaker_source_up",
        "gauge",
        "1 while the source of policies can be read, else 0; absent without a source.",
        lambda seen: (None if seen.source is None else int(seen.source.connected),),
        otel="breaker.source.up",
        merge="livemin",
        none=1,
    ),
    Row(
        "circuit_breaker_unreadable",
        "updown",
        "Breakers that could not be read, because their provider's clock raised; their other series are missing.",
        lambda seen: (seen.unreadable,),
        otel="breaker.unreadable",
        otel_unit="{breaker}",
    ),
)
