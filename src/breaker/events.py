"""What a listener of `Provider.subscribe` is notified of. Rules S80 to S89 of docs/states.md.

Events of one breaker arrive in the order in which they happened, one at a time, after its lock is released; a
listener may use the breaker. The chain is unbroken: each ``from_state`` is the ``to_state`` before it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from breaker.policies.policy import Policy
from breaker.states import Mode, State

__all__ = [
    "BreakerCreated",
    "CallFailed",
    "Event",
    "ModeChanged",
    "PolicyRejected",
    "PolicyUpdated",
    "ProbeOverdue",
    "Reason",
    "SourceLost",
    "SourceRegained",
    "StateChanged",
    "UnknownFields",
    "WouldHaveOpened",
]

Reason = Literal[
    "tripped",
    "failure_rate",
    "slow_call_rate",
    "timeout",
    "probe_failed",
    "inconclusive",
    "recovered",
    "reset",
    "policy",
]


@dataclass(frozen=True, slots=True)
class BreakerCreated:
    """A breaker exists from now on.

    Args:
        name: of the breaker.
        policy: what it begins with.

    .. versionadded:: 0.1
    """

    name: str
    policy: Policy


@dataclass(frozen=True, slots=True)
class StateChanged:
    """A breaker moved. Rules S11 and S85.

    Args:
        name: of the breaker.
        from_state: ``to_state`` of the transition before.
        to_state: the state that was entered.
        reason: why, one of those that S11 allows for this move.
        epoch: of the new state.
        consecutive_failures: the streak that tripped the breaker, 1 for a failed probe, else 0.
        retry_after: seconds that the breaker stays open, 0 for other states.
        last_error: the failure that opened the breaker, ``"slow call"`` if it was none, or that its probes were
            inconclusive; None for a breaker that has closed.
        failure_rate: the part of the window's calls that had failed, where the reason is a rate; None for other
            reasons, and if there is no rule for it.
        slow_call_rate: the same for slow calls, those among them that were slow already in flight.
        window_calls: how many calls the rate is of that opened the breaker; 0 for other reasons.

    .. versionadded:: 0.1
    """

    name: str
    from_state: State
    to_state: State
    reason: Reason
    epoch: int
    consecutive_failures: int
    retry_after: float
    last_error: str | None
    failure_rate: float | None = None
    slow_call_rate: float | None = None
    window_calls: int = 0


@dataclass(frozen=True, slots=True)
class ModeChanged:
    """An overlay was set or lifted, by the operator or by a policy document. Rule S92.

    Args:
        name: of the breaker.
        from_mode: in force before.
        to_mode: in force now.

    .. versionadded:: 0.1
    """

    name: str
    from_mode: Mode
    to_mode: Mode


@dataclass(frozen=True, slots=True)
class PolicyUpdated:
    """A breaker has another policy.

    Args:
        name: of the breaker.
        old: in force before.
        new: in force now.
        revision: of the source, as it counts.

    .. versionadded:: 0.1
    """

    name: str
    old: Policy
    new: Policy
    revision: int


@dataclass(frozen=True, slots=True)
class PolicyRejected:
    """A document is not a policy; the last good one stays. Rule S124.

    Args:
        key: of the document, with its path.
        error: names the place, the field and the remedy.
        revision: of the source, as it counts.

    .. versionadded:: 0.1
    """

    key: str
    error: str
    revision: int


@dataclass(frozen=True, slots=True)
class UnknownFields:
    """A document in force holds fields that this version does not know; they are passed over. Rule S125.

    Args:
        key: of the document, with its path.
        fields: the unknown ones, sorted.
        revision: of the source that brought this content, as it counts.

    .. versionadded:: 0.1
    """

    key: str
    fields: tuple[str, ...]
    revision: int


@dataclass(frozen=True, slots=True)
class CallFailed:
    """A protected call failed. Rules S47 and S87.

    Args:
        name: of the breaker.
        error: text ``"TypeName: message"``.

    .. versionadded:: 0.1
    """

    name: str
    error: str


@dataclass(frozen=True, slots=True)
class WouldHaveOpened:
    """In shadow mode: in any other the breaker would be open now. Once per episode. Rules S95 and S96.

    Args:
        name: of the breaker.
        consecutive_failures: in a row, up to now.
        reason: which trip rule held first: ``"tripped"``, ``"failure_rate"`` or ``"slow_call_rate"``.
        failure_rate: as `StateChanged` has it, and so are the next two.
        slow_call_rate: see there.
        window_calls: see there.

    .. versionadded:: 0.1
    """

    name: str
    consecutive_failures: int
    reason: Reason = "tripped"
    failure_rate: float | None = None
    slow_call_rate: float | None = None
    window_calls: int = 0


@dataclass(frozen=True, slots=True)
class ProbeOverdue:
    """A half-open probe did not end within its lease; its slot was taken back, its end still decides. Rules S66, S67.

    Args:
        name: of the breaker.

    .. versionadded:: 0.1
    """

    name: str


@dataclass(frozen=True, slots=True)
class SourceLost:
    """Policies cannot be read; the last ones stay. Once per kind of problem and episode.

    Args:
        endpoint: the server or directory, None if none is to blame.
        error: why, and how to mend it.

    .. versionadded:: 0.1
    """

    endpoint: str | None
    error: str


@dataclass(frozen=True, slots=True)
class SourceRegained:
    """Policies are read again.

    Args:
        endpoint: the server or directory.
        revision: of the source, as it counts.

    .. versionadded:: 0.1
    """

    endpoint: str | None
    revision: int


Event = (
    BreakerCreated
    | StateChanged
    | ModeChanged
    | PolicyUpdated
    | PolicyRejected
    | UnknownFields
    | CallFailed
    | WouldHaveOpened
    | ProbeOverdue
    | SourceLost
    | SourceRegained
)
