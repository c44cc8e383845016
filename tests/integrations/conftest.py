"""Fixtures for the integrations. Tests of one are collected where its library can be installed.

grpcio has no wheels for free-threaded interpreters; everywhere else the `test` extra brings it.
"""

import importlib.util
from collections.abc import Callable
from typing import Any

import pytest

from breaker import Policy, Provider

collect_ignore_glob = [] if importlib.util.find_spec("grpc") else ["test_grpc*"]


@pytest.fixture
def provider(provider_of: Callable[..., Provider]) -> Provider:
    """A provider whose breakers open on the first failure and close on the first success, on a clock moved by hand."""
    return provider_of(Policy(1, 1, 60.0))


@pytest.fixture
def patient(provider_of: Callable[..., Provider]) -> Provider:
    """A provider whose breakers never open: for counting."""
    return provider_of(Policy(2**31 - 1))


def _totals(provider: Provider) -> dict[str, dict[str, Any]]:
    names = ("successes", "failures", "ignored", "rejected", "late", "lost")
    found = {}
    for name, breaker in provider.breakers.items():
        snapshot = breaker.snapshot()
        found[name] = {total: getattr(snapshot, total) for total in names if getattr(snapshot, total)}
    return found


@pytest.fixture
def totals() -> Callable[[Provider], dict[str, dict[str, Any]]]:
    """``totals(provider)``: the totals that are not zero, by breaker."""
    return _totals
