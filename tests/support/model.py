"""The oracle: one breaker in plain Python, written from docs/states.md and from nothing else.

Times are integer nanoseconds; every method that decides takes ``now``. One thread, events at once, no jitter.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from breaker import Mode, Policy, State
from breaker.events import (
    BreakerCreated,
    CallFailed,
    ModeChanged,
    PolicyUpdated,
    ProbeOverdue,
    StateChanged,
    WouldHaveOpened,
)
from breaker.states import TRANSITIONS
from support.model_rules import Rules

SUCCESS, FAILURE, IGNORED = "successes", "failures", "ignored"
NO_VERDICT = "inconclusive: no probe of the visit succeeded or failed"
NO_SLOT = -1
VERDICTS = (SUCCESS, FAILURE, IGNORED)
ENDS = {SUCCESS: "success", FAILURE: "failure", IGNORED: "ignored"}  # as the ends of probes are counted


def ns(seconds: float) -> int:
    return round(seconds * 1_000_000_000)


def seconds(nanoseconds: int) -> float:
    return nanoseconds / 1_000_000_000


@dataclass(eq=False)
class Token:
    """One admitted call. ``lease_end`` is a probe's, any other has none."""

    epoch: int
    lease_end: int = NO_SLOT
    lease: int = 0
    settled: bool = False
    began: int | None = None  # if its duration is measured

    def left(self, now: int) -> int:
        """Of its lease: no more than all of it, wherever the clock is."""
        return min(self.lease_end - now, self.lease)


@dataclass(frozen=True)
class Refusal:
    """One rejected call: what its error says."""

    state: State
    reason: str
    retry_after: float
    last_error: str | None


class Model:
    """What a breaker of this name would do; ``events`` is everything its listeners would have been notified of."""

    def __init__(self, name: str, policy: Policy, now: int = 0, epoch: int = 0) -> None:
        self.name, self.policy = name, policy
        self.local: Mode | None = None
        self.state, self.epoch, self.since = State.CLOSED, epoch, now
        self.spent = dict.fromkeys(State, 0)
        self.totals: dict[str, int] = dict.fromkeys((*VERDICTS, "rejected", "late", "overdue"), 0)
        self.rejected = dict.fromkeys(("open", "half_open", "operator", "recovering"), 0)
        self.moves = {(before, state): 0 for before, state in TRANSITIONS if before is not state}
        self.probes = dict.fromkeys((*ENDS.values(), "late"), 0)
        self.streak, self.probe_successes, self.probes_ignored, self.doublings = 0, 0, 0, 0
        self.slots: list[Token] = []
        self.opened_at, self.growth, self.last_span = 0, 1.0, 0
        self.last_error: str | None = None
        self.shadow_openings = 0
        self.warned = False  # this shadow episode has had its WouldHaveOpened
        self.rules = Rules(policy, now)
        self.events: list[Any] = [BreakerCreated(name, policy)]

    # Reads: none of them changes anything.

    @property
    def mode(self) -> Mode:
        return self.policy.mode if self.local is None else self.local

    @property
    def longest_span(self) -> int:
        base, longest = self.policy.open_state_timeout, self.policy.open_timeout_max
        return ns(max(base, 600 if longest is None else longest))

    @property
    def open_span(self) -> int:
        base = ns(self.policy.open_state_timeout)
        if self.growth <= 1:
            return base
        return math.floor(min(base * self.growth, float(self.longest_span)) + 0.5)

    @property
    def lease(self) -> int:
        """Of a probe that is admitted now."""
        given = ns(self.policy.probe_timeout or self.policy.open_state_timeout)
        return max(given, min(given << self.doublings, ns(60)))

    @property
    def room(self) -> int:
        """How many slots may be held at once."""
        return min(self.policy.half_open_max_calls, self.policy.success_threshold - self.probe_successes)

    def _seen(self, now: int) -> int:
        """S71: a clock that is behind the moment at which the present state was entered."""
        return max(now, self.since)

    def retry_after(self, now: int) -> float:
        left, now = 0, self._seen(now)
        if self.mode is Mode.FORCED_OPEN:
            left = ns(self.policy.open_state_timeout)
        elif self.mode is Mode.AUTO and self.state is State.OPEN:
            left = self.opened_at + self.open_span - now
        elif self.mode is Mode.AUTO and self.state is State.HALF_OPEN and self.slots:
            lefts = sorted(token.left(now) for token in self.slots)
            # held by as many others as there may be beside this call; by none if it closes the breaker
            too_many = len(lefts) - max(self.room - 1, 0)
            left = min(ns(1), lefts[too_many - 1]) if too_many > 0 else 0
        elif self.mode is Mode.AUTO and self.state is State.CLOSED:
            left = self.rules.recovery_wait(now)
        return seconds(max(0, left))

    def snapshot(self, now: int) -> dict[str, Any]:
        read, now = now, self._seen(now)
        spent = {**self.spent, self.state: self.spent[self.state] + now - self.since}
        return {
            "name": self.name,
            "state": self.state,
            "mode": self.mode,
            "epoch": self.epoch,
            "consecutive_failures": self.streak,
            "half_open_successes": self.probe_successes,
            "half_open_in_flight": len(self.slots),
            **self.rules.snapshot(now, read),
            **self.totals,
            "rejected_by_reason": dict(self.rejected),
            "openings": sum(count for (_, state), count in self.moves.items() if state is State.OPEN),
            "transitions": dict(self.moves),
            "probes": dict(self.probes),
            "shadow_openings": self.shadow_openings,
            "last_error": self.last_error,
            "seconds_in_state": seconds(now - self.since),
            "retry_after": self.retry_after(now),
            "state_seconds": {state: seconds(time) for state, time in spent.items()},
            "policy": self.policy,
        }

    # A call begins.

    def admit(self, now: int, around: Sequence[Token] = ()) -> Token | Refusal:
        """``around``: the calls inside whose functions this one is made."""
        nested = self.state is State.HALF_OPEN and any(self._probes(token) for token in around)
        if nested and self.mode is not Mode.FORCED_OPEN:
            return Token(self.epoch)
        if self.rules.look(now) and self._judges and self.rules.slow_rate_holds(now):
            self._hold("slow_call_rate", self._seen(now), "slow call")
        token = self._admit(self._seen(now), nested)
        if isinstance(token, Token):
            self.rules.begin(token, self._seen(now))
        return token

    @property
    def _judges(self) -> bool:
        return self.mode is Mode.SHADOW or (self.mode is Mode.AUTO and self.state is State.CLOSED)

    def _admit(self, now: int, nested: bool) -> Token | Refusal:
        if not nested:
            self._reclaim(now)
        if self.mode is Mode.FORCED_OPEN:
            return self._refuse(State.OPEN, "operator", now)
        if self.mode is not Mode.AUTO:
            return Token(self.epoch)
        self._close_if_done(now)
        if self.state is State.OPEN and now >= self.opened_at + self.open_span:
            self._enter(State.HALF_OPEN, "timeout", now)
        if self.state is State.CLOSED:
            return Token(self.epoch) if self.rules.lets_in(now) else self._refuse(State.CLOSED, "recovering", now)
        if self.state is State.OPEN or len(self.slots) >= self.room:
            return self._refuse(self.state, "open" if self.state is State.OPEN else "half_open", now)
        token = Token(self.epoch, now + self.lease, self.lease)
        self.slots.append(token)
        return token

    def _probes(self, token: Token) -> bool:
        return token.lease_end != NO_SLOT and token.epoch == self.epoch and not token.settled

    def _refuse(self, state: State, reason: Any, now: int) -> Refusal:
        self.totals["rejected"] += 1
        self.rejected[reason] += 1
        return Refusal(state, reason, self.retry_after(now), self.last_error)

    def _reclaim(self, now: int) -> None:
        over = [token for token in self.slots if now >= token.lease_end]
        for token in over:
            self.slots.remove(token)
            self.totals["overdue"] += 1
            self.events.append(ProbeOverdue(self.name))
        if over and self.lease < ns(60):
            self.doublings += 1

    # A call ends.

    def settle(self, token: Token, verdict: str, now: int, error: str = "failure reported") -> None:
        if token.settled:
            return
        token.settled = True
        if verdict == FAILURE:
            self.events.append(CallFailed(self.name, error))
        slow = self.rules.end(token, now)
        now = self._seen(now)
        if token.lease_end != NO_SLOT:
            self.probes[ENDS[verdict] if token.epoch == self.epoch else "late"] += 1
        if token.epoch != self.epoch:
            self.totals["late"] += 1
            return
        self.totals[verdict] += 1
        if token in self.slots:
            self.slots.remove(token)
        if self._judges:
            self._judge_closed(verdict, slow, now, error)
        elif self.mode is Mode.AUTO and self.state is State.HALF_OPEN and token.lease_end != NO_SLOT:
            slow_success = slow and verdict != FAILURE
            self._judge_probe(FAILURE if slow else verdict, now, "slow call" if slow_success else error)

    def _judge_closed(self, verdict: str, slow: bool, now: int, error: str) -> None:
        if verdict == IGNORED and not slow:
            return
        self.rules.record(verdict == FAILURE, slow, now)
        if verdict != IGNORED:
            self.streak = self.streak + 1 if verdict == FAILURE else 0
        reason = self.rules.holds(self.streak, now)
        if reason is None:
            self.warned = False
        elif verdict == FAILURE or slow:  # a success never opens
            self._hold(reason, now, error if verdict == FAILURE else "slow call")

    def _hold(self, reason: str, now: int, error: str) -> None:
        told = self.rules.told(reason, now)
        if self.mode is Mode.AUTO:
            self._enter(State.OPEN, reason, now, self.streak, error, told)
        elif not self.warned:
            self.warned = True
            self.shadow_openings += 1
            self.events.append(WouldHaveOpened(self.name, self.streak, reason, **told))  # type: ignore[arg-type]

    def _judge_probe(self, verdict: str, now: int, error: str) -> None:
        if verdict == FAILURE:
            self._enter(State.OPEN, "probe_failed", now, 1, error)
        elif verdict == SUCCESS:
            self.probe_successes += 1
            if self.probe_successes >= self.policy.success_threshold:
                self._enter(State.CLOSED, "recovered", now)
        else:
            self.probes_ignored += 1
            if not self.probe_successes and self.probes_ignored > 10 * self.policy.half_open_max_calls:
                self._enter(State.OPEN, "inconclusive", now, 0, NO_VERDICT)
            self._close_if_done(now)

    def _close_if_done(self, now: int) -> None:
        enough = self.probe_successes >= self.policy.success_threshold
        if self.state is State.HALF_OPEN and enough and not self.slots:
            self._enter(State.CLOSED, "policy", now)

    # The gate, the only writer of the state.

    def _enter(
        self,
        state: State,
        reason: Any,
        now: int,
        streak: int = 0,
        error: str | None = None,
        told: dict[str, Any] | None = None,
    ) -> None:
        before, stayed = self.state, now - self.since
        again = before is State.HALF_OPEN or stayed < self.last_span or self.rules.recovering(now)
        self.rules.entered(now, by_probes=state is State.CLOSED and reason != "reset")
        if before is State.OPEN:
            self.last_span = self.open_span
        if state is State.OPEN:
            self.growth = self._grown() if again else 1.0
            self.opened_at, self.last_error = now, error
        elif state is State.CLOSED:
            self.last_error = None
        if reason == "reset":
            self.growth, self.last_span = 1.0, 0
        self.state, self.since = state, now
        self.spent[before] += stayed
        self.epoch += 1
        self.streak, self.probe_successes, self.probes_ignored, self.doublings = 0, 0, 0, 0
        self.slots = []
        if before is not state:
            self.moves[before, state] += 1
            retry_after = seconds(self.open_span) if state is State.OPEN else 0.0
            self.events.append(
                StateChanged(
                    self.name, before, state, reason, self.epoch, streak, retry_after, self.last_error, **(told or {})
                )
            )

    def _grown(self) -> float:
        most = self.longest_span / ns(self.policy.open_state_timeout)
        return min(self.growth * self.policy.open_timeout_multiplier, most)

    # Operators and policies.

    def override(self, mode: Mode | None) -> None:
        before, self.local = self.mode, mode
        self._mode_was(before)

    def reset(self, now: int) -> None:
        self._enter(State.CLOSED, "reset", self._seen(now))
        self.warned = False
        self.override(None)

    def replace_policy(self, policy: Policy, now: int) -> None:
        if policy == self.policy:
            return
        old, before, self.policy = self.policy, self.mode, policy
        self.events.append(PolicyUpdated(self.name, old, policy, revision=0))
        self._mode_was(before)
        now = self._seen(now)
        self.rules.replace(policy, now)
        if self.rules.holds(self.streak, now) is None:
            self.warned = False
        if self.mode is Mode.AUTO:
            self._close_if_done(now)

    def _mode_was(self, before: Mode) -> None:
        if before is not self.mode:
            self.warned = False
            self.events.append(ModeChanged(self.name, before, self.mode))
