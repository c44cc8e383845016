"""The functions that are protected, and breakers in the state that a benchmark needs."""

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import breaker
from benchmarks.floor.build import load

Stage = Literal["closed", "open", "probing"]

NEVER = 2**31 - 1
# Failures are counted and none of them is the one that opens.
CLOSED = breaker.Policy(failure_threshold=NEVER)
OPEN = breaker.Policy(failure_threshold=1, open_state_timeout=86_400.0)
# Past its timeout as soon as it is open, and no success is the one that closes: every call is a probe.
PROBING = breaker.Policy(failure_threshold=1, success_threshold=NEVER, open_state_timeout=1e-9)

_POLICIES: dict[Stage, breaker.Policy] = {"closed": CLOSED, "open": OPEN, "probing": PROBING}

floor: Any = load()


def noop() -> None:
    return None


noop_lambda: Callable[[], None] = lambda: None  # noqa: E731 - a lambda is what is measured


def method(service: object) -> None:
    return None


def one(value: int) -> int:
    return value


def three(first: int, second: int, third: int) -> int:
    return first


def keywords(first: int, *, timeout: float, retry: bool) -> int:
    return first


def fail() -> None:
    raise ValueError("down")


def refuse() -> None:
    raise RuntimeError


async def answer(value: int) -> int:
    return value


async def fail_awaited() -> None:
    raise ValueError("down")


async def refuse_awaited() -> None:
    raise RuntimeError


def provider(policy: breaker.Policy, count: int = 0) -> breaker.Provider:
    """A provider without a policy source, with ``count`` breakers beside those that the caller adds."""
    config = breaker.get_default_config("benchmarks", "development")
    made = breaker.Provider(config, default_policy=policy)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # so many in one provider are what is measured
        for number in range(count):
            made.get_breaker(f"other:{number}")
    return made


@dataclass(frozen=True)
class Subject:
    """One breaker in its state, and the provider that it belongs to."""

    provider: breaker.Provider
    breaker: breaker.Breaker

    def total(self, counter: str) -> int:
        value = getattr(self.breaker.snapshot(), counter)
        assert isinstance(value, int)
        return value


def subject(stage: Stage) -> Subject:
    owner = provider(_POLICIES[stage])
    made = owner.get_breaker(f"bench:{stage}")
    if stage != "closed":
        try:
            made.do(fail)
        except ValueError:
            # The failure that opens it.
            time.sleep(0.000_001)
    return Subject(owner, made)


def names(made: breaker.Breaker) -> dict[str, object]:
    """Every name that a measured statement may use."""

    class Service:
        bare = method
        floor_method = floor.Wrapper(method)
        breaker_method = made(method)

    return {
        "b": made,
        "forward": floor.Forward(),
        "empty": floor.Empty(),
        "service": Service(),
        "forwarded": floor.Wrapper(noop),
        "decorated": made(noop),
        "forwarded_one": floor.Wrapper(one),
        "decorated_one": made(one),
        "forwarded_fail": floor.Wrapper(fail),
        "decorated_fail": made(fail),
        "decorated_answer": made(answer),
        "noop": noop,
        "noop_lambda": noop_lambda,
        "one": one,
        "three": three,
        "keywords": keywords,
        "fail": fail,
        "refuse": refuse,
        "answer": answer,
        "fail_awaited": fail_awaited,
        "refuse_awaited": refuse_awaited,
        "BreakerOpenError": breaker.BreakerOpenError,
    }
