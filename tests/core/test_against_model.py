"""The breaker against its model, step by step: by Hypothesis, and by random steps, in `make test-long` a million."""

import os
import random
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from breaker import Mode, Policy, State, Window
from breaker.events import StateChanged
from support.long import times
from support.model import VERDICTS
from support.steps import one_episode
from support.twin import FORMS, RAISED, Twin

THRESHOLDS = st.integers(1, 4)
TIMES = st.integers(1, 24).map(lambda quarters: quarters / 4)  # exact as floats
POLICIES = st.builds(
    Policy,
    THRESHOLDS,
    THRESHOLDS,
    TIMES,
    half_open_max_calls=THRESHOLDS,
    probe_timeout=st.none() | TIMES,
    mode=st.just(Mode.AUTO) | st.sampled_from(Mode),
    open_timeout_multiplier=st.sampled_from([1.0, 2.0]),
    open_timeout_max=st.sampled_from([None, 8.0]),
    recovery_time=st.none() | TIMES,
)
WINDOWS = st.builds(Window, calls=st.integers(4, 9)) | st.builds(Window, time=st.sampled_from([2.5, 5.0, 20.0]))
RATES = st.none() | st.sampled_from([0.25, 0.5, 1.0])
RULES: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.just({}),
    st.fixed_dictionaries(
        {
            "failure_threshold": st.none() | THRESHOLDS,
            "failure_rate_threshold": st.sampled_from([0.25, 0.5, 1.0]),
            "window": WINDOWS,
            "minimum_calls": st.integers(1, 4),
        }
    ),
    st.fixed_dictionaries(
        {
            "failure_threshold": st.none() | THRESHOLDS,
            "failure_rate_threshold": RATES,
            "slow_call_rate_threshold": st.sampled_from([0.25, 0.5, 1.0]),
            "slow_call_duration": TIMES,
            "window": WINDOWS,
            "minimum_calls": st.integers(1, 4),
        }
    ),
)
DOCUMENTS = st.fixed_dictionaries(
    {},
    optional={
        "failureThreshold": THRESHOLDS,
        "successThreshold": THRESHOLDS,
        "openStateTimeout": TIMES,
        "halfOpenMaxCalls": THRESHOLDS,
        "probeTimeout": TIMES,
        "mode": st.sampled_from(["auto", "auto", "forced_open", "disabled", "shadow"]),
        "openTimeoutMultiplier": st.sampled_from([1, 1.5, 2, 3]),
        "openTimeoutMax": TIMES,
        "failureRateThreshold": RATES,
        "slowCallRateThreshold": RATES,
        "slowCallDuration": st.none() | TIMES,
        "window": WINDOWS,
        "minimumCalls": st.integers(1, 5),
        "recoveryTime": st.none() | TIMES,
    },
)
# What may happen while a call runs: (method of the twin, its arguments).
STEPS = st.one_of(
    st.tuples(st.just("admit")),
    st.tuples(st.just("settle"), st.integers(0, 9), st.sampled_from(VERDICTS)),
    st.tuples(st.just("call"), st.sampled_from(VERDICTS)),
    st.tuples(st.just("advance"), TIMES),
    st.tuples(st.just("back"), TIMES),
    st.tuples(st.just("override"), st.none() | st.sampled_from(Mode)),
    st.tuples(st.just("reset")),
)
MANY = times(100_000, 1_000_000)
ENDED = ("successes", "failures", "ignored", "late")


def given(policy: Policy) -> dict[str, Any]:
    """What its constructor takes."""
    return {name: getattr(policy, name) for name in policy.fields}


class BreakerAndModel(RuleBasedStateMachine):
    """Every rule does the same to both; ``Twin.check`` compares them, the invariants hold by themselves."""

    twin: Twin
    changes: list[StateChanged]

    @initialize(policy=POLICIES, rules=RULES, form=st.sampled_from([*FORMS]))
    def build(self, policy: Policy, rules: dict[str, Any], form: str) -> None:
        self.twin = Twin(Policy(**{**given(policy), **rules}), **FORMS[form])
        self.changes = []
        self.twin.provider.subscribe(self._remember)
        self.form = form

    def _remember(self, event: Any) -> None:
        if isinstance(event, StateChanged):
            self.changes.append(event)

    @rule()
    def admit(self) -> None:
        self.twin.admit()

    @rule(verdict=st.sampled_from(VERDICTS), steps=st.lists(STEPS, max_size=4), judged=st.booleans())
    def call(self, verdict: str, steps: list[tuple[Any, ...]], judged: bool) -> None:
        def body() -> None:
            for name, *arguments in steps:
                getattr(self.twin, name)(*arguments)
                self.twin.check()

        self.twin.call(verdict, body, self.form if judged else RAISED)

    @precondition(lambda self: self.twin.pending)
    @rule(which=st.integers(0, 9), verdict=st.sampled_from(VERDICTS))
    def settle(self, which: int, verdict: str) -> None:
        self.twin.settle(which, verdict)

    @precondition(lambda self: self.twin.settled)
    @rule(which=st.integers(0, 9), verdict=st.sampled_from(VERDICTS))
    def settle_again(self, which: int, verdict: str) -> None:
        self.twin.again(which, verdict)

    @precondition(lambda self: self.twin.pending)
    @rule(which=st.integers(0, 9))
    def drop(self, which: int) -> None:
        self.twin.drop(which)

    @rule(seconds=TIMES)
    def advance(self, seconds: float) -> None:
        self.twin.advance(seconds)

    @rule(seconds=TIMES)
    def back(self, seconds: float) -> None:
        self.twin.back(seconds)

    @rule()
    def cool(self) -> None:
        self.twin.advance(self.twin.breaker.retry_after)

    @rule(mode=st.none() | st.sampled_from(Mode))
    def override(self, mode: Mode | None) -> None:
        self.twin.override(mode)

    @rule()
    def reset(self) -> None:
        self.twin.reset()

    @rule(fields=DOCUMENTS)
    def put(self, fields: dict[str, Any]) -> None:
        self.twin.put(**fields)

    @rule()
    def delete(self) -> None:
        self.twin.delete()

    @invariant()
    def same(self) -> None:
        self.twin.check()

    @invariant()
    def every_admitted_call_is_counted_once(self) -> None:
        # S1: an overdue probe is one of those in flight
        snapshot = self.twin.breaker.snapshot()
        in_flight = len(self.twin.pending)
        assert sum(getattr(snapshot, name) for name in ENDED) + in_flight == self.twin.admitted

    @invariant()
    def the_transitions_are_a_chain(self) -> None:
        # S11, S12, S80
        opened = closed = 0
        state, epoch = State.CLOSED, -1
        for change in self.changes:
            assert change.from_state is state
            assert change.epoch > epoch
            state, epoch = change.to_state, change.epoch
            opened += change.from_state is State.CLOSED
            closed += change.to_state is State.CLOSED
            assert opened - closed in {0, 1}
        assert self.twin.breaker.state is state

    @invariant()
    def reading_is_pure(self) -> None:
        # S160
        breaker = self.twin.breaker
        assert breaker.snapshot() == breaker.snapshot()
        assert breaker.retry_after >= 0

    def teardown(self) -> None:
        if hasattr(self, "twin"):
            self.twin.close()


BreakerAndModel.TestCase.settings = settings(
    max_examples=150,
    stateful_step_count=60,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),  # pyright: ignore[reportArgumentType]  # its metaclass is its own
)
TestBreakerAndModel = BreakerAndModel.TestCase


@pytest.mark.timeout(400)
def test_many_random_steps_equal_the_model() -> None:
    # S1, S11, S12, S13, S14, S23, S50, S51, S57, S60, S66, S67, S68, S77, S78, S80, S160: BREAKER_SEED=n repeats a run
    seed = int(os.environ.get("BREAKER_SEED") or random.SystemRandom().getrandbits(32))
    done = 0
    while done < MANY:
        done += one_episode(seed, times(1000, 5000))
        seed += 1
