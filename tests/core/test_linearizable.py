"""Threads against the model: every concurrent history has an order in which the model answers the same."""

import copy
import random
from collections.abc import Callable
from typing import Any

from breaker import Breaker, BreakerOpenError, Policy, Provider, State
from breaker.testing import ManualClock
from support.drive import NAME, drive_to
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


def one_round(breaker: Breaker, model: Model, seed: int, now: int) -> None:
    """Three threads, four steps each, and a search for the order that explains them."""
    histories: list[list[Step]] = [[] for _ in range(3)]

    def work(number: int) -> None:
        choice, mine = random.Random(seed * 3 + number), histories[number]
        for _ in range(2):
            try:
                permit = breaker.acquire()
            except BreakerOpenError as error:
                mine.append(("admit", error.reason))
                mine.append(("state", breaker.state))
                continue
            mine.append(("admit", "admitted"))
            verdict = choice.choice([SUCCESS, FAILURE, IGNORED])
            {SUCCESS: permit.success, FAILURE: permit.failure, IGNORED: permit.ignore}[verdict]()
            mine.append((verdict, None))

    together(3, work)
    seen = breaker.snapshot()
    end = {name: getattr(seen, name) for name in model.snapshot(now)}
    assert explains(model, histories, {}, now, end), (seed, histories)


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
    for seed in range(150):
        breaker = provider.get_breaker(f"{NAME}-{seed}")
        model = Model(breaker.name, breaker.policy, clock(), breaker.snapshot().epoch)
        if seed % 2:
            drive_to(breaker, clock, State.HALF_OPEN)
            follow(model, clock())
        one_round(breaker, model, seed, clock())
