"""Both backends of anyio, a breaker that never opens and one that opens at once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest

from breaker import Breaker, Policy
from support.drive import Make

Main = Callable[[], Awaitable[Any]]


@pytest.fixture(params=["asyncio", "trio"])
def run(request: pytest.FixtureRequest) -> Callable[[Main], Any]:
    return lambda main: anyio.run(main, backend=request.param)


@pytest.fixture
def breaker(make_breaker: Make) -> Breaker:
    """It never opens: for counting."""
    return make_breaker(Policy(2**31 - 1))


@pytest.fixture
def quick(make_breaker: Make) -> Breaker:
    return make_breaker(Policy(1, 1, 60.0))
