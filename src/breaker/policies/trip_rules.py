"""What the trip rules of a policy ask of each other, and what a window says by them.

A single field says what it takes (`fields.py`); this is the one place for what fields say together. A document alone
may look wrong and be right beside ``default.json``, so only a whole policy is judged. Rules S217 and S219 of
docs/states.md.
"""

from __future__ import annotations

from breaker.errors import PolicyError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from breaker.policies.fields import Field

    Policy = Any  # its module imports this one, and that of `Snapshot` does
    Snapshot = Any
    Spell = Callable[[Field[Any, Any]], str]  # how an error writes the name of a field
    Whence = Callable[[str], str]  # name of a field → where its value comes from, for people


def contradiction(policy: Policy, spell: Spell, whence: Whence | None = None) -> PolicyError | None:
    """The first contradiction between fields of a policy, as an error that names them; None: there is none."""

    def refused(names: tuple[str, ...], expected: str, hint: str) -> PolicyError:
        rows = [policy.fields[name] for name in names]
        words = [spell(row) for row in rows]
        found = ", ".join(
            f"{word} {_value(policy, row, word)}" + (f" ({whence(row.name)})" if whence else "")
            for word, row in zip(words, rows, strict=True)
        )
        *first, last = words
        return PolicyError(f"{', '.join(first)} and {last}", expected, found, hint)

    failures, slow = policy.failure_rate_threshold, policy.slow_call_rate_threshold
    if (slow is None) != (policy.slow_call_duration is None):
        hint = "give the other one too, or switch both off"
        return refused(("slow_call_rate_threshold", "slow_call_duration"), "both given or both off", hint)
    if policy.failure_threshold is None and failures is None and slow is None:
        names = ("failure_threshold", "failure_rate_threshold", "slow_call_rate_threshold")
        return refused(names, "not all off", "give one of them, or nothing ever opens the breaker")
    calls = policy.window.calls
    if calls is not None and policy.minimum_calls > calls and (failures is not None or slow is not None):
        hint = "or the rates are never judged: lower the minimum, or let the window hold more calls"
        return refused(("minimum_calls", "window"), "a minimum that the window can hold", hint)
    return None


def _value(policy: Policy, row: Field[Any, Any], word: str) -> str:
    value = getattr(policy, row.name)
    if value is None:
        return "off"
    return repr(value if word == row.name else row.write_json(row.read(row.name, value)))


def failure_rate(policy: Policy, calls: int, failures: int) -> float | None:
    """The part of the calls of a window that failed. None: there is no rule for it, or fewer calls than its minimum."""
    if policy.failure_rate_threshold is None or calls < policy.minimum_calls:
        return None
    return failures / calls


def slow_call_rate(policy: Policy, calls: int, slow: int, in_flight: int) -> float | None:
    """The same for slow calls; those that are slow already in flight count as calls and as slow."""
    if policy.slow_call_rate_threshold is None or calls + in_flight < policy.minimum_calls:
        return None
    return (slow + in_flight) / (calls + in_flight)


def failures_to_open(policy: Policy, seen: Snapshot) -> int | None:
    """So many failures, one after the other, open a closed breaker at the latest. None: failures alone never do."""
    enough = [] if policy.failure_threshold is None else [policy.failure_threshold]
    if policy.failure_rate_threshold is not None:
        others = seen.window_calls - seen.window_failures
        needed = _calls_to_reach(policy, policy.failure_rate_threshold, others)
        enough += [] if needed is None else [needed]
    return min(enough, default=None)


def slow_calls_to_open(policy: Policy, seen: Snapshot) -> int:
    """The same for slow calls, where there is a rule for them; a window by time has no others."""
    others = seen.window_calls - seen.window_slow_calls
    return _calls_to_reach(policy, policy.slow_call_rate_threshold, others) or int(policy.minimum_calls)


def _calls_to_reach(policy: Policy, threshold: float, others: int) -> int | None:
    """How many calls of a kind bring their rate to a threshold, beside others in the window. None: no number does."""
    import math  # a shared library of its own; only tests ask this

    at_most: int | None = policy.window.calls
    least: int = policy.minimum_calls
    if threshold < 1 or others == 0:
        needed = least + math.ceil(threshold * others / (1 - threshold) if others else 0) + 1
        return needed if at_most is None else min(needed, at_most)
    return at_most
