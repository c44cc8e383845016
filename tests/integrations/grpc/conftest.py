"""Fixtures for the integrations. Tests of one are collected where it can have its library."""

from collections.abc import Callable, Iterator
from typing import Any

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


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[Any, str]]:
    """A server of `grpc` that answers as it is asked to, and its address."""
    from support.rpc import Echo, serving  # here: not every interpreter has gRPC

    echo = Echo()
    with serving(echo) as address:
        yield echo, address
