"""`Provider.breakers`: a mapping to read while breakers come and go."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from breaker import Provider
from support.drive import NAME


def test_the_mapping_follows_and_cannot_be_written(provider_of: Callable[..., Provider]) -> None:
    provider = provider_of()
    view: Any = provider.breakers
    assert isinstance(view, Mapping)
    assert (dict(view), len(view), NAME in view) == ({}, 0, False)
    made = provider.get_breaker(NAME)
    assert (dict(view), len(view), NAME in view, view[NAME]) == ({NAME: made}, 1, True, made)
    assert view == provider.breakers == {NAME: made}
    assert view.get("other") is None
    with pytest.raises(KeyError):
        view["other"]
    with pytest.raises(TypeError):
        view["other"] = made  # type: ignore[index]
    with pytest.raises(TypeError):
        del view[NAME]  # type: ignore[attr-defined]
    assert not {"pop", "clear", "update", "setdefault", "popitem"} & set(dir(view))
    with pytest.raises(AttributeError):
        provider.breakers = {}  # type: ignore[misc]


def test_the_mapping_may_be_iterated_while_breakers_are_made(provider_of: Callable[..., Provider]) -> None:
    provider = provider_of()
    for number in range(50):
        provider.get_breaker(f"name {number}")
    seen = 0
    for name in provider.breakers:
        provider.get_breaker(f"{name} more")
        seen += 1
    for breaker in provider.breakers.values():
        provider.get_breaker(f"{breaker.name}+")
    assert (seen, len(provider.breakers)) == (50, 200)
