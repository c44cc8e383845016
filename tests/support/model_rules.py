"""The rest of the oracle: windows of recent calls and calls in flight, from docs/states.md S200 to S216.

Every call is kept as it is, in lists; times are integer nanoseconds.
"""

from dataclasses import dataclass, field
from typing import Any

from breaker import Policy, Window

SLICES, BEATS = 20, 8


def ns(seconds: float) -> int:
    return round(seconds * 1_000_000_000)


@dataclass(frozen=True)
class Call:
    """One call of a window; ``slice`` is when its slice began, if the window is by time."""

    failed: bool
    slow: bool
    slice: int = 0


@dataclass
class Recent:
    """A window. By time its slices begin at ``begun``, and every ``length`` from there."""

    window: Window
    begun: int
    calls: list[Call] = field(default_factory=list)
    latest: int = 0  # the time that it has been brought up to: it never goes back

    def __post_init__(self) -> None:
        self.latest = self.begun

    @property
    def length(self) -> int:
        assert self.window.time is not None
        return max(ns(self.window.time) // SLICES, 1)

    def bring_up(self, now: int) -> None:
        self.latest = max(self.latest, now)
        if self.window.calls is not None:
            self.calls = self.calls[-self.window.calls :]
        else:
            self.calls = [call for call in self.calls if self.slice() - call.slice < SLICES * self.length]

    def slice(self) -> int:
        return self.latest - (self.latest - self.begun) % self.length

    def add(self, failed: bool, slow: bool, now: int) -> None:
        self.latest = max(self.latest, now)
        self.calls.append(Call(failed, slow, self.slice() if self.window.calls is None else 0))
        self.bring_up(now)

    def without_slow(self) -> None:
        self.calls = [Call(call.failed, False, call.slice) for call in self.calls]

    def changed(self, window: Window, now: int) -> "Recent":
        """What another window keeps of this one."""
        if window == self.window:
            return self
        self.bring_up(now)
        made = Recent(window, now if self.window.calls is not None else max(now, self.slice()))
        if window.calls is not None and self.window.calls is not None:
            made.calls = self.calls[-window.calls :]
        elif window.calls is None and self.window.calls is None:
            for call in self.calls:
                slices = -((call.slice - made.begun) // made.length)  # rounded up
                if slices < SLICES:
                    made.calls.append(Call(call.failed, call.slow, made.begun - slices * made.length))
        return made


@dataclass
class InFlight:
    """Who is followed: (token, its beat). Beats are an eighth of the slow duration, counted from ``begun``."""

    duration: int
    begun: int
    followed: list[tuple[Any, int]] = field(default_factory=list)
    looked: int = 0  # the beat of the last look

    def beat(self, now: int) -> int:
        return max((now - self.begun) // max(self.duration // BEATS, 1000), self.looked)

    def late(self, beat: int) -> int:
        return sum(beat - of > BEATS for _, of in self.followed)

    def end(self, token: Any) -> None:
        self.followed = [(other, beat) for other, beat in self.followed if other is not token]


class Rules:
    """What a model knows beyond the streak."""

    def __init__(self, policy: Policy, now: int) -> None:
        self.window: Recent | None = None
        self.in_flight: InFlight | None = None
        self.policy = policy
        self.recovers_since: int | None = None
        self.credit = 0  # of those who ask while it recovers, in parts of 10 * recovery_time
        self.replace(policy, now)

    @property
    def is_timed(self) -> bool:
        return self.policy.slow_call_rate_threshold is not None

    def replace(self, policy: Policy, now: int) -> None:
        if policy.recovery_time != self.policy.recovery_time:
            self.credit = 0
            if policy.recovery_time is None or not self.recovering(now):
                self.recovers_since = None
        self.policy = policy
        if policy.failure_rate_threshold is None and policy.slow_call_rate_threshold is None:
            self.window = None
        elif self.window is None:
            self.window = Recent(policy.window, now)
        else:
            self.window = self.window.changed(policy.window, now)
        if not self.is_timed:
            self.in_flight = None
            if self.window is not None:
                self.window.without_slow()
            return
        assert policy.slow_call_duration is not None
        duration = ns(policy.slow_call_duration)
        if self.in_flight is None or self.in_flight.duration != duration:
            self.in_flight = InFlight(duration, now)

    def recovering(self, now: int) -> bool:
        if self.recovers_since is None or self.policy.recovery_time is None:
            return False
        return now - self.recovers_since < ns(self.policy.recovery_time)

    def lets_in(self, now: int) -> bool:
        """Is a call admitted? Each brings its part; one that finds a whole is."""
        if not self.recovering(now):
            self.recovers_since = None
            return True
        assert self.policy.recovery_time is not None
        assert self.recovers_since is not None
        whole = ns(self.policy.recovery_time)
        self.credit += whole + 9 * (now - self.recovers_since)
        if self.credit < 10 * whole:
            return False
        self.credit -= 10 * whole
        return True

    def recovery_wait(self, now: int) -> int:
        if not self.recovering(now):
            return 0
        assert self.policy.recovery_time is not None
        assert self.recovers_since is not None
        whole = ns(self.policy.recovery_time)
        at = self.recovers_since - (-max(9 * whole - self.credit, 0) // 9)  # rounded up
        return min(10**9, max(0, at - now))

    def recovery_share(self, now: int) -> float | None:
        """S164: the part of the calls that is admitted, where it is a part."""
        if not self.recovering(now):
            return None
        assert self.policy.recovery_time is not None
        assert self.recovers_since is not None
        return 0.1 + 0.9 * ((now - self.recovers_since) / ns(self.policy.recovery_time))

    def entered(self, now: int, *, by_probes: bool) -> None:
        """A state was entered."""
        time = self.policy.recovery_time if by_probes else None
        self.recovers_since = None if time is None else now
        if time is not None:
            self.credit = 9 * ns(time)
        if self.window is not None:
            self.window = Recent(self.policy.window, now)
        if self.in_flight is not None:
            self.in_flight.followed = []

    def look(self, now: int) -> bool:
        """A call asks for admission: is there somebody late, and has nobody looked in this beat?"""
        if self.in_flight is None:
            return False
        beat = self.in_flight.beat(now)
        new, self.in_flight.looked = beat > self.in_flight.looked, beat
        return new and self.in_flight.late(beat) > 0

    def begin(self, token: Any, now: int) -> None:
        if self.in_flight is not None:
            token.began = now
            self.in_flight.followed.append((token, self.in_flight.looked))

    def end(self, token: Any, now: int) -> bool:
        """A call ends: was it slow?"""
        if self.in_flight is None:
            return False
        self.in_flight.end(token)
        return token.began is not None and now - token.began >= self.in_flight.duration

    def record(self, failed: bool, slow: bool, now: int) -> None:
        if self.window is not None:
            self.window.add(failed, slow and self.is_timed, now)

    def tally(self, now: int) -> tuple[int, int, int]:
        if self.window is None:
            return 0, 0, 0
        self.window.bring_up(now)
        calls = self.window.calls
        return len(calls), sum(call.failed for call in calls), sum(call.slow for call in calls)

    def rates(self, now: int) -> tuple[float | None, float | None, int, int]:
        """Of failures and of slow calls, whatever the minimum is, and of how many calls each is."""
        calls, failures, slow = self.tally(now)
        late = 0 if self.in_flight is None else self.in_flight.late(self.in_flight.looked)
        by_failures = self.policy.failure_rate_threshold is not None and calls
        return (
            failures / calls if by_failures else None,
            (slow + late) / (calls + late) if self.is_timed and calls + late else None,
            calls,
            calls + late,
        )

    def holds(self, streak: int, now: int) -> str | None:
        """The first trip rule that holds."""
        policy = self.policy
        if policy.failure_threshold is not None and streak >= policy.failure_threshold:
            return "tripped"
        failed, _, calls, _ = self.rates(now)
        limit = policy.failure_rate_threshold
        if failed is not None and limit is not None and calls >= policy.minimum_calls and failed >= limit:
            return "failure_rate"
        return "slow_call_rate" if self.slow_rate_holds(now) else None

    def slow_rate_holds(self, now: int) -> bool:
        _, slow, _, with_late = self.rates(now)
        limit = self.policy.slow_call_rate_threshold
        return slow is not None and limit is not None and with_late >= self.policy.minimum_calls and slow >= limit

    def told(self, reason: str, now: int) -> dict[str, Any]:
        """What an event says of the rates."""
        if reason not in ("failure_rate", "slow_call_rate"):
            return {}
        failed, slow, calls, with_late = self.rates(now)
        of = calls if reason == "failure_rate" else with_late
        return {"failure_rate": failed, "slow_call_rate": slow, "window_calls": of}

    def snapshot(self, now: int, read: int) -> dict[str, Any]:
        """``read``: what the clock shows; ``now`` is never before the present state."""
        calls, failures, slow = self.tally(now)
        late = 0 if self.in_flight is None else self.in_flight.late(self.in_flight.beat(read))
        enough = calls >= self.policy.minimum_calls and self.policy.failure_rate_threshold is not None
        enough_slow = calls + late >= self.policy.minimum_calls and self.is_timed
        return {
            "window_calls": calls,
            "window_failures": failures,
            "window_slow_calls": slow,
            "slow_calls_in_flight": late,
            "recovery_share": self.recovery_share(now),
            "failure_rate": failures / calls if enough else None,
            "slow_call_rate": (slow + late) / (calls + late) if enough_slow else None,
        }
