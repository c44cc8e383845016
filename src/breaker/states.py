"""The words of the state machine: states, modes, and which state may follow which."""

from __future__ import annotations

import enum


class State(enum.Enum):
    """Where a breaker stands. ``str()`` gives the plain name: ``CLOSED``, ``OPEN``, ``HALF_OPEN``."""

    CLOSED = "CLOSED"
    OPEN = "OPEN"
    HALF_OPEN = "HALF_OPEN"

    def __str__(self) -> str:
        return self.value


class Mode(enum.Enum):
    """The operator's overlay on the state. The values are the words of the policy documents."""

    AUTO = "auto"
    FORCED_OPEN = "forced_open"
    DISABLED = "disabled"
    SHADOW = "shadow"

    def __str__(self) -> str:
        return self.value


#: Every move that may happen. The core builds its table from this and refuses any other.
LEGAL_TRANSITIONS = frozenset(
    {
        (State.CLOSED, State.OPEN),  # tripped
        (State.OPEN, State.HALF_OPEN),  # timeout
        (State.HALF_OPEN, State.OPEN),  # probe_failed
        (State.HALF_OPEN, State.CLOSED),  # recovered, policy, reset
        (State.OPEN, State.CLOSED),  # reset
        (State.CLOSED, State.CLOSED),  # reset: a new epoch, no transition event
    }
)
