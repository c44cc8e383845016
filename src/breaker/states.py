"""The words of the state machine: states, modes, and which state may follow which, for which reasons."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from types import MappingProxyType

__all__ = ["TRANSITIONS", "Mode", "Move", "State"]

TYPE_CHECKING = False


class State(enum.StrEnum):
    """Where a breaker stands. Text as well: ``State.OPEN == "OPEN"``, and ``json`` writes it as ``"OPEN"``.

    .. versionadded:: 0.1
    """

    CLOSED = "CLOSED"
    OPEN = "OPEN"
    HALF_OPEN = "HALF_OPEN"


class Mode(enum.StrEnum):
    """The operator's overlay on the state. Text as well: the words of the policy documents.

    .. versionadded:: 0.1
    """

    AUTO = "auto"
    FORCED_OPEN = "forced_open"
    DISABLED = "disabled"
    SHADOW = "shadow"


#: Every transition that may happen, with its reasons as `StateChanged.reason` has them. The core builds its table
#: from this one and refuses any other transition or reason; a debug build ends the process there.
TRANSITIONS = MappingProxyType(
    {
        (State.CLOSED, State.OPEN): ("tripped", "failure_rate", "slow_call_rate"),
        (State.OPEN, State.HALF_OPEN): ("timeout",),
        (State.HALF_OPEN, State.OPEN): ("probe_failed", "inconclusive"),
        (State.HALF_OPEN, State.CLOSED): ("recovered", "policy", "reset"),
        (State.OPEN, State.CLOSED): ("reset",),
        (State.CLOSED, State.CLOSED): ("reset",),  # a new epoch without an event
    }
)


class Move(tuple[State, State], enum.Enum):
    """A transition that a snapshot counts: the pair of states, before and after.

    Equal to the plain pair, so ``snapshot.transitions[State.CLOSED, State.OPEN]`` finds its count. ``value`` is the
    text that stands for it where a key has to be one, as in JSON: ``"CLOSED->OPEN"``.

    .. versionadded:: 0.1
    """

    OPENED = (State.CLOSED, State.OPEN)
    PROBED = (State.OPEN, State.HALF_OPEN)
    REOPENED = (State.HALF_OPEN, State.OPEN)
    RECOVERED = (State.HALF_OPEN, State.CLOSED)
    RESET = (State.OPEN, State.CLOSED)

    if not TYPE_CHECKING:  # basedpyright takes the pair for two arguments

        def __new__(cls, states: tuple[State, State]) -> Move:
            move = tuple.__new__(cls, states)
            move._value_ = "->".join(states)
            return move

    @classmethod
    def _missing_(cls, value: object) -> Move | None:
        """Also made of its states, as `dataclasses.asdict` makes copies of tuples."""
        states = tuple(value) if isinstance(value, Iterable) else ()
        return next((move for move in cls if tuple.__eq__(move, states) is True), None)

    def __hash__(self) -> int:
        return tuple.__hash__(self)

    def __repr__(self) -> str:
        return tuple.__repr__(self)

    def __str__(self) -> str:
        return str(self.value)
