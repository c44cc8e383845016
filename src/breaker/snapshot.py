"""One consistent look at a breaker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any

from breaker.policies.policy import Policy
from breaker.states import Mode, State


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything a breaker knows, read at one moment under its lock (S161). Reading never causes a transition (S160).

    ``successes`` to ``lost`` are totals since creation; every admitted permit ends in exactly one of successes,
    failures, ignored, late, lost. ``retry_after`` and the values of ``state_seconds`` are seconds.
    """

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

    def __post_init__(self) -> None:
        object.__setattr__(self, "state_seconds", MappingProxyType(dict(self.state_seconds)))

    def __reduce__(self) -> tuple[Any, ...]:
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        values["state_seconds"] = dict(self.state_seconds)  # a mapping proxy cannot be pickled
        return type(self), tuple(values.values())
