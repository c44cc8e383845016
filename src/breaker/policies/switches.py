"""Kinds of policy fields that may be off: None in Python, ``null`` in a document, which overrules what it inherits."""

from __future__ import annotations

from breaker.errors import PolicyError
from breaker.policies.fields import Count, Field, OptionalTime, shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any


class SwitchedCount(Field["int | None", "int | None"]):
    """A whole number from 1 to ``most``, or None. The core is given 0 for None."""

    takes = "int | None"
    nullable = True

    def __init__(self, *, default: int | None, most: int, off: str, means: str, kw_only: bool = True) -> None:
        super().__init__(default=default, means=means, kw_only=kw_only)
        self.off = off
        self.most = most
        self.values = f"1 … {most}, `null`"
        self.given_as = f"1 … {most}; None: {off}"
        self._count = Count(default=1, most=most, means=means)

    def read(self, spelled: str, value: Any) -> int | None:
        return None if value is None else self._count.read(spelled, value)

    def numbers(self, held: Mapping[str, Any]) -> dict[str, int | float]:
        return {self.name: held[self.name] or 0}

    def schema(self) -> dict[str, Any]:
        return {"type": ["integer", "null"], "minimum": 1, "maximum": self.most, **super().schema()}


class Ratio(Field["float | None", "float | None"]):
    """A part of the calls, above 0 and up to 1, or None. The core is given 2 for None, which nothing reaches."""

    takes = "float | None"
    nullable = True
    values = "above 0, up to 1; `null`"

    def __init__(self, *, default: None, off: str, means: str) -> None:
        super().__init__(default=default, means=means, off_by_default=True)
        self.off = off
        self.given_as = f"above 0, up to 1; None: {off}"

    def read(self, spelled: str, value: Any) -> float | None:
        if value is None:
            return None
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not 0 < value <= 1:
            hint = f"write {value / 100:g} for {value:g} %" if number and 1 < value <= 100 else "write 0.5 for half"
            raise PolicyError(spelled, "a ratio above 0 and up to 1", shown(value), hint)
        return float(value)

    def numbers(self, held: Mapping[str, Any]) -> dict[str, int | float]:
        return {self.name: 2.0 if held[self.name] is None else held[self.name]}

    def schema(self) -> dict[str, Any]:
        return {"type": ["number", "null"], "exclusiveMinimum": 0, "maximum": 1, **super().schema()}


class SwitchedTime(OptionalTime):
    """A duration, or None, which a document writes as ``null``. The core is given 0 for None."""

    nullable = True
    values = "duration, `null`"

    def __init__(self, *, default: None, off: str, means: str) -> None:
        super().__init__(default=default, unset=off, otherwise=0, means=means)
        self.off = off
        self.off_by_default = True

    def read_json(self, spelled: str, value: Any) -> Any:
        return None if value is None else super().read_json(spelled, value)

    def schema(self) -> dict[str, Any]:
        return {**super().schema(), "type": ["string", "null"], "default": None}
