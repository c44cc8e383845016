"""Fixtures for the integrations. Tests of one are collected where its library can be installed.

grpcio has no wheels for free-threaded interpreters; everywhere else the `test` extra brings it.
"""

import importlib.util
from collections.abc import Callable

import pytest

from breaker import Policy, Provider

collect_ignore_glob = [] if importlib.util.find_spec("grpc") else ["test_grpc*"]


@pytest.fixture
def provider(provider_of: Callable[..., Provider]) -> Provider:
    """Its breakers open on the first failure and close on the first success, on a clock that is moved by hand."""
    return provider_of(Policy(1, 1, 60.0))


@pytest.fixture
def patient(provider_of: Callable[..., Provider]) -> Provider:
    """Its breakers never open: for counting."""
    return provider_of(Policy(2**31 - 1))
