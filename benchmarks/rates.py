"""What trip rules cost beside a streak alone: every path under policies that differ in nothing else."""

from collections.abc import Iterator
from typing import Any

import breaker
from benchmarks.measure import WALL, Loop, async_loop, interleaved, sync_loop
from benchmarks.report import Row, at_most
from benchmarks.subjects import NEVER, names, provider
from breaker import Policy, Provider, Window
from breaker.sources import MemorySource

NONE = "no rate"
LEAST = {"minimum_calls": 100}


def _by_failures(window: Window) -> dict[str, Any]:
    return {"failure_rate_threshold": 1.0, "window": window, **LEAST}


POLICIES: dict[str, dict[str, Any]] = {
    NONE: {},
    "last 100 calls": _by_failures(Window(calls=100)),
    "last 1,000,000 calls": _by_failures(Window(calls=1_000_000)),
    "last second": _by_failures(Window(time=1)),
    "last 24 hours": _by_failures(Window(time=86_400)),
    "slow calls, 10 s": {"slow_call_rate_threshold": 1.0, "slow_call_duration": 10, **LEAST},
    "slow calls, 50 ms": {"slow_call_rate_threshold": 1.0, "slow_call_duration": 0.05, **LEAST},
}
FAILURE = "try: b.do(fail)\nexcept ValueError: pass"
PATHS: dict[str, tuple[str, bool]] = {
    "do": ("b.do(noop)", False),
    "decorated": ("decorated()", False),
    "with-acquire": ("with b.acquire(): pass", False),
    "await-do": ("await b.do(answer, 1)", True),
    "failure and success": (f"{FAILURE}\nb.do(noop)", False),
    "failure and 19 successes": (FAILURE + "\nb.do(noop)" * 19, False),
}
# What they may cost, beside no rate. A window of calls executes the same instructions; two rounds differ by 0.03.
CALLS, TIME, SLOW = 1.03, 1.2, 1.35
AWAITED_SLOW = 1.5


def _goal(policy: str, path: str) -> float | None:
    if policy == "slow calls, 50 ms":
        return None  # both ends read the precise clock
    if path.startswith("failure"):
        return TIME if not policy.startswith("slow") else None
    if policy.startswith("slow"):
        return AWAITED_SLOW if path == "await-do" else SLOW
    return CALLS if policy.endswith("calls") else TIME


def _loop(path: str, owner: Provider) -> Loop:
    statement, awaited = PATHS[path]
    return (async_loop if awaited else sync_loop)(statement, names(owner.get_breaker("bench:rates")))


def loop_under(path: str, policy: str) -> Loop:
    """One path under one policy; the loop's breaker lives as long as the loop."""
    return _loop(path, provider(Policy(NEVER, **POLICIES[policy])))


def rate_rows(repeats: int) -> Iterator[Row]:
    """Each path under each policy beside the same path without a rate, in turns; then a window that is replaced."""
    owners = [provider(Policy(NEVER, **rules)) for rules in POLICIES.values()]
    for path in PATHS:
        medians = interleaved([_loop(path, owner) for owner in owners], repeats)
        by_policy = dict(zip(POLICIES, medians, strict=True))
        for policy, median in by_policy.items():
            if policy != NONE:
                goal = at_most(_goal(policy, path))
                yield Row("rates", f"{path}, {policy}", median, "ns", by_policy[NONE], NONE, goal)
    for owner in owners:
        owner.close()
    yield _copy_row(repeats)


def _copy_row(repeats: int) -> Row:
    """A full ring of a million calls that another size takes over, less the same with an empty one."""
    loops: list[Loop] = []
    sources = [MemorySource(), MemorySource()]
    owners = [
        breaker.Provider(
            breaker.get_default_config("benchmarks", "development"),
            policy_source=source,
            default_policy=Policy(NEVER, **POLICIES["last 1,000,000 calls"]),
        )
        for source in sources
    ]
    for owner, source, calls in zip(owners, sources, (1_000_000, 0), strict=True):
        made = owner.get_breaker("bench:rates")
        for _ in range(calls):
            made.do(int)
        statement = 'put("bench:rates", smaller)\nput("bench:rates", larger)'
        scope: dict[str, object] = {"put": source.put}
        scope |= {"smaller": {"window": {"calls": 999_999}}, "larger": {"window": {"calls": 1_000_000}}}
        loops.append(sync_loop(statement, scope))
    full, empty = interleaved(loops, min(repeats, 15), WALL)
    for owner in owners:
        owner.close()
    # Of one change: the statement makes two.
    return Row("rates", "copying a ring of 1,000,000", (full - empty) / 2 / 1e3, "us", goal=at_most(200, "us"))
