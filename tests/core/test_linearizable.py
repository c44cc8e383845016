"""Threads against the model: every concurrent history has an order in which the model answers the same."""

import copy
import random
from collections.abc import Callable
from typing import Any

import pytest

from breaker import Breaker, BreakerOpenError, Permit, Policy, Provider, State, Window
from breaker.testing import ManualClock
from support.drive import NAME, drive_to
from support.long import times
from support.model import FAILURE, IGNORED, SUCCESS, Model, Refusal, Token
from support.threads import together

# What one thread did: (what it asked for, what it saw). A permit is named by thread and turn.
Step = tuple[str, Any]


def explains(model: Model, histories: list[list[Step]], held: dict[int, Token], now: int, end: Any) -> bool:
    """Is there an order of the steps, each thread's own order kept, in which the model answers the same?"""
    if not any(histories):
        return bool(model.snapshot(now) == end)
    for thread, history in enumerate(histories):
        if not history:
            continue
        trial, mine = copy.deepcopy((model, held))
        asked, seen = history[0]
        if asked == "admit":
            answer = trial.admit(now)
            if isinstance(answer, Token):
                mine[thread] = answer
            said: Any = answer.reason if isinstance(answer, Refusal) else "admitted"
        elif asked == "state":
            said = trial.state
        else:
            trial.settle(mine.pop(thread), asked, now)
            said = None
        rest = [history[1:] if number == thread else steps for number, steps in enumerate(histories)]
        if said == seen and explains(trial, rest, mine, now, end):
            return True
    return False


def report(permit: Permit, verdict: str) -> None:
    {SUCCESS: permit.success, FAILURE: permit.failure, IGNORED: permit.ignore}[verdict]()


def one_round(
    breaker: Breaker,
    model: Model,
    seed: int,
    now: int,
    turns: int = 2,
    in_flight: dict[int, tuple[Permit, Token]] | None = None,
) -> None:
    """Three threads, a few steps each, and a search for the order that explains them.

    ``in_flight``: what a thread, by its number, has begun before; it ends that call first.
    """
    histories: list[list[Step]] = [[] for _ in range(3)]
    begun = in_flight or {}

    def work(number: int) -> None:
        choice, mine = random.Random(seed * 3 + number), histories[number]
        if number in begun:
            verdict = choice.choice([SUCCESS, FAILURE, IGNORED])
            report(begun[number][0], verdict)
            mine.append((verdict, None))
        for _ in range(turns):
            try:
                permit = breaker.acquire()
            except BreakerOpenError as error:
                mine.append(("admit", error.reason))
                mine.append(("state", breaker.state))
                continue
            mine.append(("admit", "admitted"))
            verdict = choice.choice([SUCCESS, FAILURE, IGNORED])
            report(permit, verdict)
            mine.append((verdict, None))

    together(3, work)
    seen = breaker.snapshot()
    last = {name: getattr(seen, name) for name in model.snapshot(now)}
    held = {number: token for number, (_, token) in begun.items()}
    assert explains(model, histories, held, now, last), (seed, histories)


def follow(model: Model, now: int) -> None:
    """Bring the model where ``drive_to(HALF_OPEN)`` has brought its breaker: two failures, one ignored."""
    opened = now - 60_000_000_000
    for time, verdict in ((opened, FAILURE), (opened, FAILURE), (now, IGNORED)):
        token = model.admit(time)
        assert isinstance(token, Token)
        model.settle(token, verdict, time, "Boom: down")  # what `drive_to` fails with
    model.events.clear()


def test_concurrent_histories_have_an_order_that_the_model_tells(
    provider_of: Callable[..., Provider], clock: ManualClock
) -> None:
    # S3, S11
    provider = provider_of(Policy(2, 2, 60, half_open_max_calls=2))
    for seed in range(times(50, 150)):
        breaker = provider.get_breaker(f"{NAME}-{seed}")
        model = Model(breaker.name, breaker.policy, clock(), breaker.snapshot().epoch)
        if seed % 2:
            drive_to(breaker, clock, State.HALF_OPEN)
            follow(model, clock())
        one_round(breaker, model, seed, clock())


def step_both(breaker: Breaker, model: Model, now: int) -> tuple[Permit, Token] | None:
    """One admission of each; None: both have rejected it."""
    token = model.admit(now)
    if isinstance(token, Refusal):
        with pytest.raises(BreakerOpenError) as caught:
            breaker.acquire()
        assert caught.value.reason == token.reason
        return None
    return breaker.acquire(), token


def end_both(model: Model, call: tuple[Permit, Token] | None, verdict: str, now: int) -> None:
    if call is not None:
        report(call[0], verdict)
        model.settle(call[1], verdict, now)


SLOW: dict[str, Any] = {"slow_call_rate_threshold": 0.75, "slow_call_duration": 2}


@pytest.mark.parametrize(
    "policy",
    [
        Policy(None, failure_rate_threshold=0.5, window=Window(calls=4), minimum_calls=3),
        Policy(None, failure_rate_threshold=0.5, window=Window(time=20), minimum_calls=3),
        Policy(3, failure_rate_threshold=0.6, window=Window(calls=5), minimum_calls=5),
        Policy(None, **SLOW, window=Window(calls=6), minimum_calls=4),
        Policy(3, **SLOW, failure_rate_threshold=0.6, window=Window(time=20), minimum_calls=3),
        Policy(2, 1, 5, **SLOW, minimum_calls=4, recovery_time=8),
    ],
    ids=["calls", "time", "streak and rate", "slow", "all", "slow, recovering"],
)
def test_concurrent_histories_under_rates_have_an_order_too(
    provider_of: Callable[..., Provider], clock: ManualClock, policy: Policy
) -> None:
    # S3, S204, S205, S206, S207, S208, S221
    provider = provider_of(policy)
    reasons: set[str] = set()
    for seed in range(times(20, 40)):
        breaker = provider.get_breaker(f"{NAME}-{seed}")
        model = Model(breaker.name, breaker.policy, clock(), breaker.snapshot().epoch)
        if policy.recovery_time is not None and seed % 3:
            for _ in range(2):
                end_both(model, step_both(breaker, model, clock()), FAILURE, clock())
            clock.advance(5)
            end_both(model, step_both(breaker, model, clock()), SUCCESS, clock())
            clock.advance(2)
        calls = [step_both(breaker, model, clock()) for _ in range(seed % 4)]
        clock.advance(2.5 if seed % 2 else 1)
        end_both(model, step_both(breaker, model, clock()), SUCCESS if seed % 5 else FAILURE, clock())
        begun = {number: call for number, call in enumerate(calls) if call is not None}
        one_round(breaker, model, seed, clock(), turns=1, in_flight=begun)
        reasons |= {reason for reason, count in breaker.snapshot().rejected_by_reason.items() if count}
        reasons.add(str(breaker.state))
    assert {"CLOSED", "OPEN"} <= reasons, "the rounds end on both sides of the rules"
