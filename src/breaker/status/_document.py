"""The JSON of ``GET /breakers``: what `breakers.schema.json` describes and docs/status.md shows."""

from __future__ import annotations

import os
import socket
from collections import Counter
from typing import Any

from breaker.policies.origin import PolicyOrigin
from breaker.policies.policy import Policy
from breaker.provider import Provider
from breaker.snapshot import Snapshot
from breaker.states import Mode, Move, State
from breaker.status._samples import BIN_SECONDS, KINDS, Line, Recent, Samples, totals

FORMAT = 1  # grows when a key goes or changes its meaning, not when one is added
CONDITIONS = (  # from the least trouble to the most
    "closed",
    "shadow",
    "disabled",
    "strained",
    "would_have_opened",
    "recovering",
    "half_open",
    "forced_open",
    "open",
)
STRAINED_FROM = 0.5  # part of a threshold
LONGEST_TEXT = 1000  # characters of an error

Json = dict[str, Any]
Measures = dict[str, Json | None]


def document(provider: Provider, samples: Samples, *, at: float, now: float, process: str, lines: bool) -> Json:
    """Everything that is shown, worst first.

    Args:
        provider: Whose breakers.
        samples: Of this provider; gets one more.
        at: Seconds since 1970.
        now: Monotonic seconds.
        process: Tells processes apart that answer at one address.
        lines: With the two minutes of each breaker.
    """
    shots = provider.snapshot()
    samples.take(shots, now)
    policies = _Policies(provider)
    shown = []
    for shot in shots:
        row = _breaker(shot, at)
        row["recent"] = _recent(samples.recent(shot.name))
        if lines:
            row["line"] = _line(samples.line(shot.name))
        row["policy"] = policies.number_of(shot)
        shown.append(row)
    shown.sort(key=lambda row: (-row["trouble"], row["name"]))
    conditions = Counter(row["condition"] for row in shown)
    return {
        "format": FORMAT,
        "at": round(at, 3),
        "service": provider.config.service_name,
        "process": {"id": process, "pid": os.getpid(), "host": socket.gethostname()},
        "source": _source(provider),
        "summary": {condition: conditions[condition] for condition in reversed(CONDITIONS)},
        "breakers": shown,
        "policies": policies.shown,
    }


def condition_of(shot: Snapshot, pressure: float) -> str:
    """One word for what a breaker does to its calls, one of `CONDITIONS`."""
    if shot.mode is Mode.SHADOW and shot.would_have_opened:
        return "would_have_opened"
    if shot.mode is not Mode.AUTO:
        return shot.mode.value
    if shot.state is not State.CLOSED:
        return shot.state.value.lower()
    if shot.recovery_share is not None:
        return "recovering"
    return "strained" if pressure >= STRAINED_FROM else "closed"


def pressure_of(shot: Snapshot, measures: Measures) -> float:
    """How near it is to opening: the largest part of a threshold that is reached, from 0 to 1."""
    if shot.mode is not Mode.SHADOW and (shot.mode is not Mode.AUTO or shot.state is not State.CLOSED):
        return 0.0
    reached = 0.0
    for name in ("consecutive_failures", "failure_rate", "slow_call_rate"):
        each = measures[name]
        if each is not None and each["value"]:
            reached = max(reached, each["value"] / each["threshold"])
    return min(1.0, reached)


def _breaker(shot: Snapshot, at: float) -> Json:
    measures = _measures(shot)
    pressure = pressure_of(shot, measures)
    condition = condition_of(shot, pressure)
    since = at - shot.seconds_in_state
    until = None
    if condition == "open":
        until = round(at + shot.retry_after, 3)
    elif condition == "recovering" and shot.policy.recovery_time is not None:
        until = round(since + shot.policy.recovery_time, 3)
    return {
        "name": shot.name,
        "condition": condition,
        "trouble": round(CONDITIONS.index(condition) + min(pressure, 0.999), 3),
        "state": shot.state.value,
        "mode": shot.mode.value,
        "override": None if shot.override is None else shot.override.value,
        "reason": shot.reason,
        "since": round(since, 3),
        "until": until,
        "retry_after": round(shot.retry_after, 3),
        "last_error": None if shot.last_error is None else shortened(shot.last_error),
        "pressure": round(pressure, 4),
        "measures": measures,
        "window": {
            "calls": shot.window_calls,
            "failures": shot.window_failures,
            "slow_calls": shot.window_slow_calls,
            "slow_calls_in_flight": shot.slow_calls_in_flight,
        },
        "totals": _totals(shot),
        "state_seconds": {state.value: round(spent, 3) for state, spent in shot.state_seconds.items()},
    }


def _measures(shot: Snapshot) -> Measures:
    policy = shot.policy
    return {
        "consecutive_failures": _measure(shot.consecutive_failures, policy.failure_threshold),
        "failure_rate": _measure(shot.failure_rate, policy.failure_rate_threshold),
        "slow_call_rate": _measure(shot.slow_call_rate, policy.slow_call_rate_threshold),
        "probe_successes": _measure(shot.half_open_successes, policy.success_threshold),
        "probes_in_flight": _measure(shot.half_open_in_flight, policy.half_open_max_calls),
        "recovery_share": None if shot.recovery_share is None else _measure(shot.recovery_share, 1.0),
    }


def _measure(value: float | None, threshold: float | None) -> Json | None:
    if threshold is None:
        return None
    return {"value": round(value, 4) if isinstance(value, float) else value, "threshold": threshold}


def _totals(shot: Snapshot) -> Json:
    return dict(zip(KINDS, totals(shot), strict=True)) | {
        "rejected_by_reason": dict(shot.rejected_by_reason),
        "overdue": shot.overdue,
        "openings": shot.openings,
        "transitions": {Move(pair).value: count for pair, count in shot.transitions.items()},
        "probes": dict(shot.probes),
    }


def _recent(recent: Recent) -> Json | None:
    if not recent.seconds:
        return None
    calls = sum(recent.calls)
    shares = [round(count / calls, 4) if calls else 0.0 for count in recent.calls]
    return {
        "seconds": round(recent.seconds, 3),
        "calls_per_second": round(calls / recent.seconds, 3),
        "shares": dict(zip(KINDS, shares, strict=True)),
    }


def _line(line: Line) -> Json:
    return {
        "seconds": BIN_SECONDS,
        "calls": [None if each is None else round(sum(each), 2) for each in line],
        "failures": [None if each is None else round(each[KINDS.index("failure")], 2) for each in line],
        "rejected": [None if each is None else round(each[KINDS.index("rejected")], 2) for each in line],
    }


def _source(provider: Provider) -> Json | None:
    status = provider.source_status
    if status is None:
        return None
    error = status.last_error
    return status._asdict() | {"last_error": None if error is None else shortened(error)}


class _Policies:
    """The policies of one document. Breakers that share one share its entry."""

    def __init__(self, provider: Provider) -> None:
        self.shown: list[Json] = []
        self._provider = provider
        self._numbers: dict[tuple[Policy, int], int] = {}
        self._origins: list[PolicyOrigin] = []  # kept, so that another one has another id

    def number_of(self, shot: Snapshot) -> int:
        origin = self._provider.policy_origin(shot.name)
        key = (shot.policy, id(origin))
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = len(self.shown)
            self.shown.append(_policy(shot.policy, origin))
            self._origins.append(origin)
        return number


def _policy(policy: Policy, origin: PolicyOrigin) -> Json:
    fields = policy.document(whole=True)
    documents = [found._asdict() for found in origin.documents]
    for found in documents:
        found["error"] = None if found["error"] is None else shortened(found["error"])
    return {"fields": fields, "from": {field: origin.fields[field] for field in fields}, "documents": documents}


def shortened(text: str) -> str:
    """A text of others, at most `LONGEST_TEXT` characters."""
    return text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 1] + "…"
