"""The breakers of a provider as a mapping to read, which may change at any moment while it is read."""

from __future__ import annotations

from collections.abc import ItemsView, Mapping, ValuesView

from breaker._core import Breaker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


class BreakersView(Mapping[str, Breaker]):
    """Follows the breakers of a provider. Every iteration is over those of its beginning."""

    def __init__(self, breakers: dict[str, Breaker]) -> None:
        self._breakers = breakers

    def __getitem__(self, name: str) -> Breaker:
        return self._breakers[name]

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._breakers))

    def __len__(self) -> int:
        return len(self._breakers)

    def items(self) -> ItemsView[str, Breaker]:
        return _Items(self._breakers)

    def values(self) -> ValuesView[Breaker]:
        return _Values(self._breakers)

    def __repr__(self) -> str:
        return repr(dict(self._breakers))


class _Items(ItemsView[str, Breaker]):
    """Taken from the dict in one step: between a name and its breaker the name could be removed."""

    def __init__(self, breakers: dict[str, Breaker]) -> None:
        super().__init__(breakers)
        self._breakers = breakers

    def __iter__(self) -> Iterator[tuple[str, Breaker]]:
        return iter(list(self._breakers.items()))


class _Values(ValuesView[Breaker]):
    """The same for the breakers alone."""

    def __init__(self, breakers: dict[str, Breaker]) -> None:
        super().__init__(breakers)
        self._breakers = breakers

    def __iter__(self) -> Iterator[Breaker]:
        return iter(list(self._breakers.values()))

    def __contains__(self, value: object) -> bool:
        return value in list(self._breakers.values())
