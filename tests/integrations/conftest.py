"""Fixtures for the integrations. Tests of one are collected where it can have its library."""

from collections.abc import Callable

import pytest

from breaker import Policy, Provider
from support.libraries import MISSING

collect_ignore_glob = [f"test_{library}*" for library in MISSING]


@pytest.fixture
def provider(provider_of: Callable[..., Provider]) -> Provider:
    """Its breakers open on the first failure and close on the first success, on a clock that is moved by hand."""
    return provider_of(Policy(1, 1, 60.0))


@pytest.fixture
def patient(provider_of: Callable[..., Provider]) -> Provider:
    """Its breakers never open: for counting."""
    return provider_of(Policy(2**31 - 1))
