"""Random steps of a breaker and its model: policies, documents, calls inside calls, and whatever else may happen."""

import random
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from breaker import BreakerOpenError, Mode, Policy, State, Window
from support.model import FAILURE, IGNORED, SUCCESS
from support.twin import FORMS, RAISED, Twin


def random_policy(choice: random.Random) -> Policy:
    return Policy(
        choice.randint(1, 5),
        choice.randint(1, 4),
        choice.randint(1, 40) / 4,
        half_open_max_calls=choice.randint(1, 4),
        probe_timeout=choice.choice([None, choice.randint(1, 40) / 4, choice.randint(60, 260) / 4]),
        open_timeout_multiplier=choice.choice([1.0, 1.0, 2.0]),
        open_timeout_max=choice.choice([None, 20.0, 60.0]),
        recovery_time=choice.choice([None, None, choice.randint(1, 80) / 4]),
        **random_rules(choice),
    )


def random_window(choice: random.Random) -> Window:
    if choice.random() < 0.5:
        return Window(calls=choice.randint(5, 70))
    return Window(time=choice.choice([2.5, 5.0, 20.0, 60.0]))


def random_rules(choice: random.Random) -> dict[str, Any]:
    """None in four of ten policies; a slow rule in three."""
    kind = choice.choice([0, 0, 0, 0, 1, 1, 1, 2, 2, 2])
    if kind == 0:
        return {}
    rules: dict[str, Any] = {
        "failure_rate_threshold": choice.choice([0.2, 0.3, 0.5, 0.75, 1.0]),
        "window": random_window(choice),
        "minimum_calls": choice.randint(1, 5),
    }
    if kind == 2:
        rules["slow_call_rate_threshold"] = choice.choice([0.2, 0.3, 0.5, 1.0])
        rules["slow_call_duration"] = choice.randint(1, 24) / 4
        if choice.random() < 0.3:
            rules["failure_rate_threshold"] = None
    return rules


def random_document(choice: random.Random) -> dict[str, Any]:
    fields = {
        "failureThreshold": choice.choice([None, *range(1, 9)]),
        "successThreshold": choice.randint(1, 4),
        "openStateTimeout": choice.randint(1, 40) / 4,
        "halfOpenMaxCalls": choice.randint(1, 4),
        "probeTimeout": choice.randint(1, 40) / 4,
        "mode": choice.choice(["auto", "auto", "auto", "forced_open", "disabled", "shadow"]),
        "openTimeoutMultiplier": choice.choice([1, 1.5, 2, 3]),
        "openTimeoutMax": choice.randint(1, 160) / 4,
        "failureRateThreshold": choice.choice([None, 0.2, 0.3, 0.5, 1.0]),
        "slowCallRateThreshold": choice.choice([None, 0.2, 0.5, 1.0]),
        "slowCallDuration": choice.choice([None, choice.randint(1, 24) / 4, choice.randint(1, 24) / 4]),
        "window": random_window(choice),
        "minimumCalls": choice.randint(1, 5),
        "recoveryTime": choice.choice([None, choice.randint(1, 80) / 4]),
    }
    return {name: value for name, value in fields.items() if choice.random() < 0.4}


class Driver:
    """Random steps of a twin; a call may have further steps inside."""

    def __init__(self, twin: Twin, choice: random.Random, form: str) -> None:
        self.twin, self.choice, self.form = twin, choice, form
        self.failing = 0.5  # the health of the dependency, which changes now and then
        self.hanging_up = 0.08  # the patience of the callers, which does too
        self.slowness = 1  # of everything, against the leases
        self.steps = self.depth = 0
        self.acts: list[Callable[[], None]] = [
            self.admit, self.settle, self.drop, self.again, self.call, self.advance, self.cool,
            self.mode, self.auto, self.twin.reset, self.put, self.weather, self.back,
        ]  # fmt: skip
        self.weights = [14, 18, 2, 2, 40, 8, 8, 1, 3, 1, 3, 2, 2]

    def verdict(self) -> str:
        if self.choice.random() < self.hanging_up:
            return IGNORED
        return FAILURE if self.choice.random() < self.failing else SUCCESS

    def run(self, steps: int) -> None:
        for act in self.choice.choices(self.acts, self.weights, k=steps):
            self.steps += 1
            act()
            self.twin.check()

    def call(self) -> None:
        inner = self.choice.choice([0, 0, 0, 0, 1, 3]) if self.depth < 4 else 0
        self.depth += 1
        form = self.form if self.choice.random() < 0.5 else RAISED
        self.twin.call(self.verdict(), lambda: self.run(inner), form)
        self.depth -= 1

    def admit(self) -> None:
        if len(self.twin.pending) < 8:
            self.twin.admit()

    def settle(self) -> None:
        self.twin.settle(self.choice.randrange(8), self.verdict())

    def drop(self) -> None:
        self.twin.drop(self.choice.randrange(8))

    def again(self) -> None:
        self.twin.again(self.choice.randrange(8), self.verdict())

    def advance(self) -> None:
        self.twin.advance(self.choice.randint(1, 20) / 4 * self.slowness)

    def back(self) -> None:
        self.twin.back(self.choice.choice([0.25, 1, 1, 5, 20]))

    def cool(self) -> None:
        self.twin.advance(self.twin.breaker.retry_after)

    def mode(self) -> None:
        self.twin.override(self.choice.choice(list(Mode)))

    def auto(self) -> None:
        self.twin.override(self.choice.choice([None, Mode.AUTO]))

    def put(self) -> None:
        if self.choice.random() < 0.3:
            self.twin.delete()
        else:
            self.twin.put(**random_document(self.choice))

    def weather(self) -> None:
        self.failing = self.choice.choice([0.02, 0.1, 0.5, 0.9])
        self.hanging_up = self.choice.choice([0.05, 0.1, 0.1, 0.95])
        self.slowness = self.choice.choice([1, 1, 1, 12])


def close_in_time(twin: Twin) -> None:
    """S65: a healthy dependency and calls that keep coming close the breaker in bounded time."""
    twin.pending.clear()
    twin.delete()
    twin.override(Mode.AUTO)
    twin.advance(twin.clock.behind)  # S71: a state may have begun at the latest time that the clock told
    breaker, policy = twin.breaker, twin.breaker.policy
    longest = max(policy.open_state_timeout, policy.open_timeout_max or 600)
    lease = policy.probe_timeout or policy.open_state_timeout
    waited, call_time = 0.0, 0.25
    while breaker.state is not State.CLOSED:
        with suppress(BreakerOpenError):
            breaker.do(int)
        twin.clock.advance(call_time)
        waited += call_time
        assert waited <= longest + policy.success_threshold * (call_time + lease) + call_time


def one_episode(seed: int, steps: int) -> int:
    """A twin with a random policy, run until it has done this many steps."""
    choice = random.Random(seed)
    form = choice.choice([RAISED, *FORMS])
    twin = Twin(random_policy(choice), **FORMS[form])
    driver = Driver(twin, choice, form)
    try:
        while driver.steps < steps:
            driver.run(min(200, steps - driver.steps))
        close_in_time(twin)
    except BaseException as error:
        error.add_note(f"one_episode(seed={seed}, steps={steps}) failed at step {driver.steps}")
        raise
    finally:
        twin.close()
    return driver.steps
