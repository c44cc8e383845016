"""Fixtures for the integrations. The folder of one is collected where the interpreter can have its library."""

from collections.abc import Callable

import pytest

from breaker import Policy, Provider
from support.libraries import MISSING

collect_ignore = sorted(MISSING)


@pytest.fixture
def provider(provider_of: Callable[..., Provider]) -> Provider:
    """Its breakers open on the first failure and close on the first success, on a clock that is moved by hand."""
    return provider_of(Policy(1, 1, 60.0))


@pytest.fixture
def patient(provider_of: Callable[..., Provider]) -> Provider:
    """Its breakers never open: for counting."""
    return provider_of(Policy(2**31 - 1))
