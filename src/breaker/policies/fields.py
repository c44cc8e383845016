"""Kinds of policy fields: how each is read in Python and in a document, written, described and handed to the core.

A field of `Policy` is one row, an annotated class attribute made by one of these kinds::

    probes_at_once: Count = Count(default=1, most=1000, means="probes in flight at the same time")

The row is the parameter of the constructor, the attribute, the key of the document and the member of the core's struct,
each by the one name it has. Type checkers read it by `typing.dataclass_transform`: what may be given is the type that
``__set__`` takes, what is read is what ``__get__`` returns.
"""

from __future__ import annotations

from breaker.errors import PolicyError
from breaker.policies.durations import MAX_NANOSECONDS, PATTERN, format_duration, parse_duration

TYPE_CHECKING = False
if TYPE_CHECKING:
    import enum
    from collections.abc import Mapping
    from datetime import timedelta  # noqa: F401 - named in the subscripts of bases, which are text at run time
    from typing import Any, Generic, Never, Self, TypeVar, overload

    Given = TypeVar("Given")
    Read = TypeVar("Read")
    Word = TypeVar("Word", bound=enum.Enum)

    class _Typed(Generic[Given, Read]):
        @overload
        def __get__(self, record: None, owner: type | None = None) -> Self: ...
        @overload
        def __get__(self, record: object, owner: type | None = None) -> Read: ...
        def __get__(self, record: object, owner: type | None = None) -> Any: ...
        def __set__(self, record: object, value: Given) -> None: ...

else:

    class _Typed:  # without `typing`, which no program needs that imports this package
        __slots__ = ()

        def __class_getitem__(cls, types):
            return cls


class Field(_Typed["Given", "Read"]):
    """One row. A policy holds one immutable value for it, which every method here calls ``held``.

    Args:
        default: what the constructor takes where nothing is given.
        means: what the field says, for documentation and the JSON Schema.
        kw_only: whether the constructor takes it by name only.
        off_by_default: at its default the feature is off, and a document need not show it.
    """

    takes = ""  # the annotation of the constructor's parameter
    values = ""  # what a document may hold, for people
    given_as = ""  # what Python may give, for people
    nullable = False  # None, which a document writes as null, is a value: it overrules an inherited one
    off = ""  # what None means then, for people

    def __init__(self, *, default: Given, means: str, kw_only: bool = True, off_by_default: bool = False) -> None:
        self.default = default
        self.kw_only = kw_only
        self.off_by_default = off_by_default
        self.means = self.__doc__ = means

    def __set_name__(self, owner: type, name: str) -> None:
        first, *others = name.split("_")
        self.name = name
        self.key = first + "".join(word.capitalize() for word in others)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(default={self.default!r}, means={self.means!r})"

    if not TYPE_CHECKING:

        def __get__(self, record, owner=None):
            return self if record is None else self.show(record._held[self.name])

        def __set__(self, record, value) -> Never:
            raise AttributeError(f"{type(record).__name__} is frozen: make a new one instead of setting {self.name!r}")

    def read(self, spelled: str, value: Any) -> Any:
        """What is held for a value of Python. Raises `PolicyError` under the name that its writer spelled."""
        raise NotImplementedError

    def read_json(self, spelled: str, value: Any) -> Any:
        """What is held for a value of a document. Raises `PolicyError` under the name that its writer spelled."""
        return self.read(spelled, value)

    def show(self, held: Any) -> Any:
        """What is held, as Python reads it."""
        return held

    def write_json(self, held: Any) -> Any:
        """What is held, as a document shows it; None has no form in a document."""
        return held

    def numbers(self, held: Mapping[str, Any]) -> dict[str, int | float]:
        """Member of the core's struct → number, out of all that a policy holds."""
        return {self.name: held[self.name]}

    def schema(self) -> dict[str, Any]:
        """The JSON Schema of the value in a document."""
        return {"description": self.means, "default": self.write_json(self.read(self.name, self.default))}


class Count(Field[int, int]):
    """A whole number from 1 to ``most``."""

    takes = "int"

    def __init__(
        self, *, default: int, most: int, means: str, kw_only: bool = True, off_by_default: bool = False
    ) -> None:
        super().__init__(default=default, means=means, kw_only=kw_only, off_by_default=off_by_default)
        self.most = most
        self.values = self.given_as = f"1 … {most}"

    def read(self, spelled: str, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= self.most:
            hint = f"write {value} without quotes" if isinstance(value, str) and value.isdecimal() else "write 5"
            raise PolicyError(spelled, f"a whole number from 1 to {self.most}", shown(value), hint)
        return int(value)

    def schema(self) -> dict[str, Any]:
        return {"type": "integer", "minimum": 1, "maximum": self.most, **super().schema()}


class Number(Field[float, float]):
    """A number from ``least`` to ``most``."""

    takes = "float"

    def __init__(
        self,
        *,
        default: float,
        least: float,
        most: float,
        means: str,
        kw_only: bool = True,
        off_by_default: bool = False,
    ) -> None:
        super().__init__(default=default, means=means, kw_only=kw_only, off_by_default=off_by_default)
        self.least = least
        self.most = most
        self.values = self.given_as = f"{least:g} … {most:g}"

    def read(self, spelled: str, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not self.least <= value <= self.most:
            raise PolicyError(spelled, f"a number from {self.least:g} to {self.most:g}", shown(value))
        return float(value)

    def schema(self) -> dict[str, Any]:
        return {"type": "number", "minimum": self.least, "maximum": self.most, **super().schema()}


class _Duration(Field["Given", "Read"]):
    """Longer than 0: seconds or a `timedelta` in Python, Go's text in a document. Held in nanoseconds."""

    takes = "float | timedelta"
    values = "duration"
    given_as = "seconds or a `timedelta`, > 0"

    def read(self, spelled: str, value: Any) -> int | None:
        if isinstance(value, int) and not isinstance(value, bool):
            nanoseconds = int(value) * 1_000_000_000
        elif isinstance(value, float) and abs(value) < 1e10:  # false for NaN too
            nanoseconds = round(value * 1e9)
        else:
            nanoseconds = _timedelta(spelled, value)
        if not 0 < nanoseconds <= MAX_NANOSECONDS:
            raise PolicyError(spelled, "at least one nanosecond and less than 2**63 nanoseconds", shown(value))
        return nanoseconds

    def read_json(self, spelled: str, value: Any) -> int:
        written = 'write "60s" or "1m30s"'
        if not isinstance(value, str):
            number = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1e10
            hint = f'write "{value}s" for seconds or "{value}ms" for milliseconds' if number else written
            raise PolicyError(spelled, 'a duration in quotes like "60s"', shown(value), hint)
        try:
            nanoseconds = parse_duration(value)
        except ValueError as error:
            raise PolicyError(spelled, 'a duration like "60s"', shown(value), f"{error}; {written}") from None
        if nanoseconds <= 0:
            raise PolicyError(spelled, "a duration longer than 0", shown(value), written)
        return nanoseconds

    def show(self, held: int | None) -> float | None:
        return None if held is None else held / 1e9

    def write_json(self, held: int | None) -> str | None:
        return None if held is None else format_duration(held)

    def numbers(self, held: Mapping[str, Any]) -> dict[str, int | float]:
        return {f"{self.name}_ns": held[self.name]}

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": PATTERN, **super().schema()}


class Time(_Duration["float | timedelta", float]):
    """A duration."""


class OptionalTime(_Duration["float | timedelta | None", "float | None"]):
    """A duration, or None, which a document says by leaving it out.

    Args:
        unset: what None means, for people.
        otherwise: what the core is given for None: nanoseconds, or the name of the `Time` whose value it takes.
    """

    takes = "float | timedelta | None"

    def __init__(self, *, default: None, unset: str, otherwise: int | str, means: str) -> None:
        super().__init__(default=default, means=means)
        self.unset = unset
        self.given_as = f"{self.given_as}; None: {unset}"
        self.otherwise = otherwise

    def read(self, spelled: str, value: Any) -> int | None:
        return None if value is None else super().read(spelled, value)

    def schema(self) -> dict[str, Any]:
        schema = super().schema()
        del schema["default"]  # it has no form in a document
        return {**schema, "description": f"{self.means}; without it: {self.unset}"}

    def numbers(self, held: Mapping[str, Any]) -> dict[str, int | float]:
        otherwise = held[self.otherwise] if isinstance(self.otherwise, str) else self.otherwise
        return {f"{self.name}_ns": otherwise if held[self.name] is None else held[self.name]}


class Choice(Field["Word", "Word"]):
    """A member of an enumeration, which a document writes as its value and the core knows by its place.

    Args:
        words: the enumeration; it must be public in `breaker`, errors say so.
    """

    def __init__(self, words: type[Word], *, default: Word, means: str) -> None:
        super().__init__(default=default, means=means)
        self.words = words
        self.members = tuple(words)  # in the core's order
        self.takes = words.__name__
        self.values = ", ".join(f"`{word.value}`" for word in words)
        self.given_as = f"a `{words.__name__}`"

    def read(self, spelled: str, value: Any) -> Word:
        if not isinstance(value, self.words):
            kind = self.words.__name__
            raise PolicyError(spelled, f"a breaker.{kind}", shown(value), f"write {kind}.{self.default.name}")
        return value

    def read_json(self, spelled: str, value: Any) -> Word:
        try:
            return self.words(value)
        except ValueError:
            words = ", ".join(f'"{word.value}"' for word in self.words)
            raise PolicyError(spelled, f"one of {words}", shown(value)) from None

    def write_json(self, held: Word) -> Any:
        return held.value

    def numbers(self, held: Mapping[str, Any]) -> dict[str, int | float]:
        return {self.name: self.members.index(held[self.name])}

    def schema(self) -> dict[str, Any]:
        return {"enum": [word.value for word in self.words], **super().schema()}


def _timedelta(spelled: str, value: Any) -> int:
    from datetime import timedelta

    if not isinstance(value, timedelta):
        expected = "a positive, finite number of seconds below 2**63 nanoseconds, or a timedelta"
        raise PolicyError(spelled, expected, shown(value), "write 60.0 for a minute")
    return ((value.days * 86_400 + value.seconds) * 1_000_000 + value.microseconds) * 1_000


_TYPE_NAMES = {
    bool: "true or false",
    str: "text",
    float: "a decimal number",
    int: "a number",
    dict: "an object",
    list: "an array",
}


def shown(value: Any) -> str:
    """A value as an error shows it: short, and with its kind where the kind is what is wrong."""
    if value is None:
        return "null (None)"
    try:
        text = repr(value)
    except Exception:  # a repr of the caller's, or an int too long for Python to write out
        text = "a value that cannot be shown"
    if len(text) > 60:
        text = text[:57] + "..."
    kind = _TYPE_NAMES.get(type(value), type(value).__name__)
    return f"{text} ({kind})"
