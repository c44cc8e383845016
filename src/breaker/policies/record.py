"""A frozen value with one attribute per row: what `Policy` is made of, whatever its rows are."""

from __future__ import annotations

from types import MappingProxyType

from breaker._frozen import Frozen
from breaker.policies.fields import Choice, Count, Field, Number, OptionalTime, Time
from breaker.policies.switches import Ratio, SwitchedCount, SwitchedTime
from breaker.policies.window import Recent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, ClassVar, Self, dataclass_transform
else:

    def dataclass_transform(**_options):
        return lambda decorated: decorated


@dataclass_transform(
    kw_only_default=True,
    frozen_default=True,
    field_specifiers=(Choice, Count, Number, OptionalTime, Ratio, Recent, SwitchedCount, SwitchedTime, Time),
)
class Record(Frozen):
    """The base of a class whose rows are its constructor, its attributes and its value.

    A subclass has the rows of its base and its own, those that are taken by place first. ``{arguments}`` on a line of
    its docstring becomes a list of them.
    """

    __slots__ = ("_held",)
    fields: ClassVar[Mapping[str, Field[Any, Any]]] = MappingProxyType({})
    __match_args__: ClassVar[tuple[str, ...]] = ()
    if TYPE_CHECKING:
        _held: dict[str, Any]  # name of the row → what is held; complete, in the order of the rows

    def __init_subclass__(cls) -> None:
        own = {name: row for name, row in vars(cls).items() if isinstance(row, Field)}
        rows = sorted({**cls.fields, **own}.values(), key=lambda row: row.kw_only)  # as the constructor has them
        cls.fields = MappingProxyType({row.name: row for row in rows})
        cls.__match_args__ = tuple(row.name for row in rows if not row.kw_only)  # type: ignore[misc]
        if "__init__" not in vars(cls):
            cls.__init__ = _constructor(cls)  # type: ignore[method-assign]
        cls.__doc__ = _documented(cls.__doc__, cls.fields)

    @classmethod
    def _holding(cls, held: dict[str, Any]) -> Self:
        record = cls.__new__(cls)
        object.__setattr__(record, "_held", held)
        return record

    def merged(self, held: Mapping[str, Any]) -> Self:
        """This one with what ``held`` says by name in place of its own; names that no row has are passed over."""
        if not held:
            return self
        return self._holding({name: held.get(name, mine) for name, mine in self._held.items()})

    def _check(self) -> None:
        """Raise `PolicyError` where rows contradict each other; called by the constructor."""

    @classmethod
    def _field_types(cls) -> dict[str, Any]:
        return dict.fromkeys(cls.fields, object)  # encoders then write what is there

    def _values(self) -> tuple[Any, ...]:
        return tuple(self._held.values())

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (type(self), self._held)

    def __repr__(self) -> str:
        shown = [(row, row.show(self._held[name])) for name, row in self.fields.items()]
        given = [f"{row.name}={value!r}" if row.kw_only else repr(value) for row, value in shown]
        return f"{type(self).__name__}({', '.join(given)})"


def _restore(cls: type[Record], held: dict[str, Any]) -> Record:
    return cls().merged(held)


def _fill(record: Record, given: dict[str, Any]) -> None:
    fields = record.fields
    object.__setattr__(record, "_held", {name: fields[name].read(name, value) for name, value in given.items()})
    record._check()


def _constructor(cls: type[Record]) -> Callable[..., None]:
    """A plain function with one parameter per row: `inspect`, `help` and wrong calls answer as for any other."""
    rows = cls.fields
    by_place = [f"{name}=_{name}" for name, row in rows.items() if not row.kw_only]
    by_name = [f"{name}=_{name}" for name, row in rows.items() if row.kw_only]
    parameters = ", ".join(["self", *by_place, *(["*", *by_name] if by_name else [])])
    given = ", ".join(f"{name!r}: {name}" for name in rows)
    scope: dict[str, Any] = {"_fill": _fill, **{f"_{name}": row.default for name, row in rows.items()}}
    exec(f"def __init__({parameters}): _fill(self, {{{given}}})", scope)
    made: Callable[..., None] = scope["__init__"]
    made.__module__ = cls.__module__
    made.__qualname__ = f"{cls.__qualname__}.__init__"
    made.__annotations__ = {**{name: row.takes for name, row in rows.items()}, "return": "None"}
    return made


def _documented(doc: str | None, fields: Mapping[str, Field[Any, Any]]) -> str | None:
    if doc is None or "{arguments}" not in doc:
        return doc
    line = next(line for line in doc.splitlines() if "{arguments}" in line)
    lines = (line.format(arguments=f"{name}: {row.means} ({row.given_as}).") for name, row in fields.items())
    return doc.replace(line, "\n".join(lines))
