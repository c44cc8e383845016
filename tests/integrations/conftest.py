"""Fixtures for the integrations. The folder of one is collected where the interpreter can have its library."""

from collections.abc import Callable, Iterator

import pytest

from breaker import Policy, Provider
from support.libraries import MISSING
from support.web.servers import SHARED

collect_ignore = sorted(MISSING)


@pytest.fixture
def provider(provider_of: Callable[..., Provider]) -> Provider:
    """Its breakers open on the first failure and close on the first success, on a clock that is moved by hand."""
    return provider_of(Policy(1, 1, 60.0))


@pytest.fixture
def patient(provider_of: Callable[..., Provider]) -> Provider:
    """Its breakers never open: for counting."""
    return provider_of(Policy(2**31 - 1))


@pytest.fixture(scope="module", autouse=True)
def shared_server_ends() -> Iterator[None]:
    """The server that applications share ends with the file that used it: tests of forks want no threads beside."""
    yield
    SHARED.stop()
