"""One consistent look at a breaker."""

from __future__ import annotations

from collections.abc import Mapping

from breaker._frozen import Frozen
from breaker.policies.policy import Policy
from breaker.policies.trip_rules import failure_rate, slow_call_rate
from breaker.states import Mode, Move, State

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dataclasses import dataclass
    from typing import Any
else:

    def dataclass(**_options):  # to the checkers; to others by what `Frozen` has
        return lambda decorated: decorated


__all__ = ["Snapshot"]


@dataclass(frozen=True)
class Snapshot(Frozen):
    """Everything a breaker knows, read at one moment under its lock (S161). Reading never causes a transition (S160).

    ``dataclasses.asdict`` and encoders that take dataclasses take it, `as_dict` is for JSON (S162). Its mappings belong
    to it alone.

    Args:
        name: of the breaker.
        service: of the provider's `Config`.
        state: underneath any overlay.
        reason: why it was entered, as ``StateChanged.reason`` had it; None for the first one.
        seconds_in_state: since it was entered.
        mode: in force: the operator's override, else the policy's.
        override: the operator's own mode, None without one.
        epoch: grows with each change of state; results of an older one are late.
        consecutive_failures: in a row, in CLOSED.
        last_error: text of the failure that opened the breaker, None once it has closed (S85).
        half_open_successes: of probes, in this visit to HALF_OPEN.
        half_open_in_flight: probe slots that are taken.
        window_calls: in the window of the rates; 0 without a rate, as the next three.
        window_failures: of those.
        window_slow_calls: of those.
        slow_calls_in_flight: that have not ended and have lasted the slow duration.
        would_have_opened: in shadow mode, a trip rule holds (S96).
        recovery_share: the part of the calls that is admitted while the breaker recovers (S221), else None.
        successes: total since the breaker was made, as are all numbers from here to ``shadow_openings``.
        failures: total.
        ignored: total.
        rejected: total of the calls that were not admitted, for any reason.
        rejected_by_reason: the same for each reason of `BreakerOpenError`.
        late: total of the results that came after a change of state.
        overdue: total of the probes that had not ended when their lease was over. Every admitted call, these too, ends
            in exactly one of successes, failures, ignored, late.
        openings: how often the breaker opened.
        transitions: how often it moved from one state to another, by the pair (from, to), for each that may happen.
        probes: how probes ended: ``"success"``, ``"failure"``, ``"ignored"``, ``"late"`` (S163).
        shadow_openings: how often it would have opened in shadow mode: once for each `WouldHaveOpened` (S166).
        retry_after: seconds until a call can be admitted.
        state_seconds: seconds spent in each state.
        policy: in force.

    .. versionadded:: 0.1
    """

    name: str
    service: str
    state: State
    reason: str | None
    seconds_in_state: float
    mode: Mode
    override: Mode | None
    epoch: int
    consecutive_failures: int
    last_error: str | None
    half_open_successes: int
    half_open_in_flight: int
    window_calls: int
    window_failures: int
    window_slow_calls: int
    slow_calls_in_flight: int
    would_have_opened: bool
    recovery_share: float | None
    successes: int
    failures: int
    ignored: int
    rejected: int
    rejected_by_reason: Mapping[str, int]
    late: int
    overdue: int
    openings: int
    transitions: Mapping[tuple[State, State], int]
    probes: Mapping[str, int]
    shadow_openings: int
    retry_after: float
    state_seconds: Mapping[State, float]
    policy: Policy
    __slots__ = tuple(__annotations__)
    if not TYPE_CHECKING:
        __match_args__ = __slots__

    def __init__(self, **values: Any) -> None:
        if values.keys() != set(self.__slots__):
            raise TypeError(f"a snapshot is made of exactly these, by name: {', '.join(self.__slots__)}")
        self._set(**values)

    @property
    def failure_rate(self) -> float | None:
        """The part of the window's calls that failed; None without a rule for it, and below its minimum of calls."""
        return failure_rate(self.policy, self.window_calls, self.window_failures)

    @property
    def slow_call_rate(self) -> float | None:
        """The part that was slow, calls in flight that are slow already included; None as for `failure_rate`."""
        return slow_call_rate(self.policy, self.window_calls, self.window_slow_calls, self.slow_calls_in_flight)

    def __repr__(self) -> str:
        return f"Snapshot({', '.join([f'{name}={getattr(self, name)!r}' for name in self.__slots__])})"

    def as_dict(self) -> dict[str, Any]:
        """The snapshot in values that ``json`` writes: plain text as every key, the policy as its document.

        .. versionadded:: 0.1
        """
        values = dict(zip(self.__slots__, self._values(), strict=True))
        return values | {
            "state": self.state.value,
            "mode": self.mode.value,
            "override": None if self.override is None else self.override.value,
            "rejected_by_reason": dict(self.rejected_by_reason),
            "transitions": {Move(pair).value: count for pair, count in self.transitions.items()},
            "probes": dict(self.probes),
            "state_seconds": {state.value: spent for state, spent in self.state_seconds.items()},
            "policy": self.policy.document(whole=True),
        }
