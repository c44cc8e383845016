"""The base of the small immutable values `Policy`, `Config` and `Snapshot`.

`dataclasses` would do the same, but it pulls in `inspect`, which costs more than all of this package, and the first
two are needed by every program that imports it. Who asks finds dataclasses all the same.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dataclasses import Field
    from typing import Any, ClassVar, Self


class _DataclassFields:
    """What makes a class a dataclass to others, made when they ask: `asdict`, `fields`, `replace`, encoders."""

    def __init__(self) -> None:
        self._made: dict[type[Frozen], dict[str, Field[Any]]] = {}  # by class: one inherits no others' fields

    def __get__(self, instance: object, owner: type[Frozen]) -> dict[str, Field[Any]]:
        if owner not in self._made:
            from dataclasses import make_dataclass

            model: Any = make_dataclass(owner.__name__, owner._field_types().items())
            self._made[owner] = model.__dataclass_fields__
        return self._made[owner]


class _DataclassParams:
    """What `pprint` asks a dataclass, made when it asks."""

    def __get__(self, instance: object, owner: type[Frozen]) -> Any:
        from dataclasses import make_dataclass

        model: Any = make_dataclass(owner.__name__, (), frozen=True)
        return model.__dataclass_params__


class Frozen:
    """A frozen value: equality, hash, repr and pickling by the names in ``__slots__``."""

    __slots__: tuple[str, ...] = ()
    if TYPE_CHECKING:
        __dataclass_fields__: ClassVar[dict[str, Field[Any]]]
    else:
        __dataclass_fields__ = _DataclassFields()
        __dataclass_params__ = _DataclassParams()

    @classmethod
    def _field_types(cls) -> dict[str, Any]:
        """The names of the fields, in their order, with what their annotations say."""
        return {name: cls.__annotations__.get(name, object) for name in cls.__slots__}

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen: make a new one instead of setting {name!r}")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen: {name!r} cannot be deleted")

    def _set(self, **values: object) -> None:
        """Fill the slots; called once, from ``__init__``."""
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def _values(self) -> tuple[Any, ...]:
        return tuple([getattr(self, name) for name in self.__slots__])

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self._values() == other._values()

    def __hash__(self) -> int:
        return hash((type(self), self._values()))

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (type(self), self._values())


def _restore(cls: type[Frozen], values: tuple[Any, ...]) -> Frozen:
    record = cls.__new__(cls)
    record._set(**dict(zip(cls.__slots__, values, strict=True)))
    return record
