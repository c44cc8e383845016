"""The words of the state machine: states, modes, and which state may follow which, for which reasons."""

from __future__ import annotations

import enum
from types import MappingProxyType

__all__ = ["TRANSITIONS", "Mode", "State"]


class State(enum.Enum):
    """Where a breaker stands. ``str()`` gives the plain name: ``CLOSED``, ``OPEN``, ``HALF_OPEN``.

    .. versionadded:: 0.1
    """

    CLOSED = "CLOSED"
    OPEN = "OPEN"
    HALF_OPEN = "HALF_OPEN"

    def __str__(self) -> str:
        return self.value


class Mode(enum.Enum):
    """The operator's overlay on the state. The values are the words of the policy documents.

    .. versionadded:: 0.1
    """

    AUTO = "auto"
    FORCED_OPEN = "forced_open"
    DISABLED = "disabled"
    SHADOW = "shadow"

    def __str__(self) -> str:
        return self.value


#: Every transition that may happen, with its reasons as `StateChanged.reason` has them. The core builds its table
#: from this one and refuses any other transition or reason; a debug build ends the process there.
TRANSITIONS = MappingProxyType(
    {
        (State.CLOSED, State.OPEN): ("tripped",),
        (State.OPEN, State.HALF_OPEN): ("timeout",),
        (State.HALF_OPEN, State.OPEN): ("probe_failed",),
        (State.HALF_OPEN, State.CLOSED): ("recovered", "policy", "reset"),
        (State.OPEN, State.CLOSED): ("reset",),
        (State.CLOSED, State.CLOSED): ("reset",),  # a new epoch without an event
    }
)
