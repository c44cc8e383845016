"""Which calls the rates of a policy are of."""

from __future__ import annotations

from breaker._frozen import Frozen
from breaker.errors import PolicyError
from breaker.policies.durations import format_duration
from breaker.policies.fields import Count, Field, Time, shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta
    from typing import Any

__all__ = ["Window"]

_CALLS = Count(default=100, most=1_000_000, means="how many calls")
_TIME = Time(default=60.0, means="how long")
_CALLS.__set_name__(object, "calls")
_TIME.__set_name__(object, "time")


class Window(Frozen):
    """The recent calls that the rates of a policy are of (S200): ``Window(calls=100)`` or ``Window(time=60.0)``.

    Args:
        calls: The last so many calls, 1 … 1000000.
        time: The calls of the last so many seconds (or a `timedelta`). They are kept in 20 slices: a call counts for at
            least 0.95 of the time, and less than all of it.

    Raises:
        PolicyError: Both, neither, or a wrong value.

    .. versionadded:: 0.1
    """

    __slots__ = ("_nanoseconds", "calls")
    calls: int | None
    _nanoseconds: int | None

    def __init__(self, *, calls: int | None = None, time: float | timedelta | None = None) -> None:
        if (calls is None) == (time is None):
            got = "neither" if calls is None else "both"
            raise PolicyError("window", "one of calls and time", got, "write Window(calls=100) or Window(time=60.0)")
        self._set(
            calls=None if calls is None else _CALLS.read("window.calls", calls),
            _nanoseconds=None if time is None else _TIME.read("window.time", time),
        )

    @property
    def time(self) -> float | None:
        """Seconds, or None for a window by calls."""
        return None if self._nanoseconds is None else self._nanoseconds / 1e9

    @classmethod
    def _field_types(cls) -> dict[str, Any]:
        return dict.fromkeys(("calls", "time"), object)

    def document(self) -> dict[str, int | str]:
        """The window as a document shows it."""
        if self.calls is not None:
            return {"calls": self.calls}
        assert self._nanoseconds is not None
        return {"time": format_duration(self._nanoseconds)}

    def numbers(self) -> dict[str, int | float]:
        """How many calls, or nanoseconds; the other one is 0."""
        return {"window_calls": self.calls or 0, "window_ns": self._nanoseconds or 0}

    def __repr__(self) -> str:
        return f"Window(calls={self.calls})" if self.calls is not None else f"Window(time={self.time})"


def window_of(spelled: str, value: Any) -> Window:
    """The window that a document shows. Raises `PolicyError` under the name that its writer spelled."""
    if not isinstance(value, dict) or not (len(value) == 1 and value.keys() <= {"calls", "time"}):
        both = isinstance(value, dict) and value.keys() == {"calls", "time"}
        hint = "keep one of the two" if both else 'write {"calls": 100} or {"time": "60s"}'
        raise PolicyError(spelled, 'an object with one key, "calls" or "time"', shown(value), hint)
    window = Window(calls=1)
    if "calls" in value:
        window._set(calls=_CALLS.read_json(f"{spelled}.calls", value["calls"]), _nanoseconds=None)
    else:
        window._set(calls=None, _nanoseconds=_TIME.read_json(f"{spelled}.time", value["time"]))
    return window


class Recent(Field["Window", "Window"]):
    """A window. A document's replaces an inherited one as a whole."""

    takes = "Window"
    values = "an object with one key: `calls`, 1 … 1000000, or `time`, a duration"
    given_as = "a `Window`"

    def read(self, spelled: str, value: Any) -> Window:
        if not isinstance(value, Window):
            raise PolicyError(spelled, "a breaker.Window", shown(value), "write Window(calls=100) or Window(time=60.0)")
        return value

    def read_json(self, spelled: str, value: Any) -> Window:
        return window_of(spelled, value)

    def write_json(self, held: Window) -> dict[str, int | str]:
        return held.document()

    def numbers(self, held: Mapping[str, Any]) -> dict[str, int | float]:
        window: Window = held[self.name]
        return window.numbers()

    def schema(self) -> dict[str, Any]:
        return {
            "type": "object",
            "properties": {"calls": _CALLS.schema(), "time": _TIME.schema()},
            "additionalProperties": False,
            "minProperties": 1,
            "maxProperties": 1,
            **super().schema(),
        }
