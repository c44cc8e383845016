"""Mistakes in the oracle are noticed: each mutant of the model differs from the breaker within some thousand steps."""

from collections.abc import Callable
from typing import Any

import pytest

from support import model_rules
from support.model import Model
from support.model_rules import InFlight, Recent, Rules
from support.steps import one_episode

Patch = Callable[[pytest.MonkeyPatch], None]


def replaced(owner: Any, name: str, make: Callable[[Any], Any]) -> Patch:
    """A mutant: ``make`` gets what is right and returns what is not."""
    return lambda patch: patch.setattr(owner, name, make(getattr(owner, name)))


def keeps_over_transitions(_: Any) -> Any:
    def entered(self: Rules, now: int, *, by_probes: bool) -> None:
        if self.in_flight is not None:
            self.in_flight.followed = []

    return entered


def tumbles(_: Any) -> Any:
    def bring_up(self: Recent, now: int) -> None:
        self.latest = max(self.latest, now)
        if self.window.calls is not None:
            self.calls = self.calls[-self.window.calls :]
        elif self.latest - self.begun >= 20 * self.length:
            self.calls, self.begun = [], self.latest

    return bring_up


def forgets_slow(right: Any) -> Any:
    return lambda self, failed, slow, now: right(self, failed, False, now)


def judges_successes(_: Any) -> Any:
    def judge(self: Model, verdict: str, slow: bool, now: int, error: str) -> None:
        if verdict == "ignored" and not slow:
            return
        self.rules.record(verdict == "failures", slow, now)
        if verdict != "ignored":
            self.streak = self.streak + 1 if verdict == "failures" else 0
        reason = self.rules.holds(self.streak, now)
        if reason is None:
            self.warned = False
        else:
            self._hold(reason, now, error if verdict == "failures" else "slow call")

    return judge


def opens_above(right: Any) -> Any:
    def holds(self: Rules, streak: int, now: int) -> str | None:
        failed, *_ = self.rates(now)
        reason = right(self, streak, now)
        return None if reason == "failure_rate" and failed == self.policy.failure_rate_threshold else reason

    return holds


def ignores_the_minimum(_: Any) -> Any:
    def holds(self: Rules, streak: int, now: int) -> str | None:
        policy = self.policy
        if policy.failure_threshold is not None and streak >= policy.failure_threshold:
            return "tripped"
        failed, *_ = self.rates(now)
        limit = policy.failure_rate_threshold
        if failed is not None and limit is not None and failed >= limit:
            return "failure_rate"
        return "slow_call_rate" if self.slow_rate_holds(now) else None

    return holds


def judges_the_rate_first(right: Any) -> Any:
    return lambda self, streak, now: right(self, 0, now) or right(self, streak, now)


MUTANTS: dict[str, Patch] = {
    "the window is kept over a change of state": replaced(Rules, "entered", keeps_over_transitions),
    "a window by time that tumbles": replaced(Recent, "bring_up", tumbles),
    "slow calls enter as quick ones": replaced(Rules, "record", forgets_slow),
    "a success opens": replaced(Model, "_judge_closed", judges_successes),
    "a rate has to be above its threshold": replaced(Rules, "holds", opens_above),
    "the minimum of calls does not matter": replaced(Rules, "holds", ignores_the_minimum),
    "the rate comes before the streak": replaced(Rules, "holds", judges_the_rate_first),
    "10 slices": lambda patch: patch.setattr(model_rules, "SLICES", 10),
    "beats of a quarter": lambda patch: patch.setattr(model_rules, "BEATS", 4),
    "nobody looks at calls in flight": replaced(Rules, "look", lambda _: lambda self, now: False),
    "calls in flight stay in flight": replaced(InFlight, "end", lambda _: lambda self, token: None),
    "a call is slow only above the duration": replaced(
        Rules, "end", lambda right: lambda self, token, now: right(self, token, now - 1)
    ),
    "slow probes are fine": replaced(
        Model, "_judge_probe", lambda right: lambda self, verdict, now, error: right(
            self, "successes" if error == "slow call" else verdict, now, error)
    ),
}  # fmt: skip


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_mistake_of_the_model_is_noticed(monkeypatch: pytest.MonkeyPatch, mutant: str) -> None:
    # S201, S202, S204, S205, S206, S207, S210, S211
    MUTANTS[mutant](monkeypatch)
    with pytest.raises(AssertionError):
        episodes()


def episodes() -> None:
    for seed in range(40):
        one_episode(seed, 1500)
