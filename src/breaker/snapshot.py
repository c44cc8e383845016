"""One consistent look at a breaker."""

from __future__ import annotations

from types import MappingProxyType

from breaker._frozen import Frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from breaker.policies.policy import Policy
    from breaker.states import Mode, State

__all__ = ["Snapshot"]


class Snapshot(Frozen):
    """Everything a breaker knows, read at one moment under its lock (S161). Reading never causes a transition (S160).

    Args:
        name: of the breaker.
        state: underneath any overlay.
        mode: in force: the operator's override, else the policy's.
        epoch: grows with each change of state; results of an older one are late.
        consecutive_failures: in a row, in CLOSED.
        half_open_successes: of probes, in this visit to HALF_OPEN.
        half_open_in_flight: probe slots that are taken.
        successes: total since the breaker was made, as are the next five.
        failures: total.
        ignored: total.
        rejected: total of the calls that were not admitted, for any reason.
        late: total of the results that came after a change of state.
        lost: total of the probes that were silent beyond their lease. Every admitted call ends in exactly one of
            successes, failures, ignored, late, lost.
        retry_after: seconds until a call can be admitted.
        state_seconds: seconds spent in each state.
        policy: in force.

    .. versionadded:: 0.1
    """

    __slots__ = __match_args__ = (
        "name",
        "state",
        "mode",
        "epoch",
        "consecutive_failures",
        "half_open_successes",
        "half_open_in_flight",
        "successes",
        "failures",
        "ignored",
        "rejected",
        "late",
        "lost",
        "retry_after",
        "state_seconds",
        "policy",
    )
    name: str
    state: State
    mode: Mode
    epoch: int
    consecutive_failures: int
    half_open_successes: int
    half_open_in_flight: int
    successes: int
    failures: int
    ignored: int
    rejected: int
    late: int
    lost: int
    retry_after: float
    state_seconds: Mapping[State, float]
    policy: Policy

    def __init__(
        self,
        name: str,
        state: State,
        mode: Mode,
        epoch: int,
        consecutive_failures: int,
        half_open_successes: int,
        half_open_in_flight: int,
        successes: int,
        failures: int,
        ignored: int,
        rejected: int,
        late: int,
        lost: int,
        retry_after: float,
        state_seconds: Mapping[State, float],
        policy: Policy,
    ) -> None:
        self._set(
            name=name,
            state=state,
            mode=mode,
            epoch=epoch,
            consecutive_failures=consecutive_failures,
            half_open_successes=half_open_successes,
            half_open_in_flight=half_open_in_flight,
            successes=successes,
            failures=failures,
            ignored=ignored,
            rejected=rejected,
            late=late,
            lost=lost,
            retry_after=retry_after,
            state_seconds=MappingProxyType(dict(state_seconds)),
            policy=policy,
        )

    def __repr__(self) -> str:
        return f"Snapshot({', '.join(f'{name}={getattr(self, name)!r}' for name in self.__slots__)})"

    def __reduce__(self) -> tuple[Any, ...]:
        values = dict(zip(self.__slots__, self._values(), strict=True))
        values["state_seconds"] = dict(self.state_seconds)  # a mapping proxy cannot be pickled
        return type(self), tuple(values.values())
