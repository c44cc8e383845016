"""What the tests of a changed policy share."""

from typing import Any

import pytest

from breaker import Breaker, Policy, Provider
from breaker.sources import MemorySource
from support.drive import NAME, Providers
from support.slow import slow_rule


@pytest.fixture
def breaker(provider_of: Providers, source: MemorySource, events: list[Any]) -> Breaker:
    """Under the default policy 5, 2, 60 s, until the test puts a document."""
    return provider_of(Policy(5, 2, 60), policy_source=source).get_breaker(NAME)


@pytest.fixture
def followed(provider_of: Providers, source: MemorySource) -> tuple[Provider, Breaker]:
    """A breaker with a rule for slow calls that a document may change, and its provider."""
    provider = provider_of(slow_rule(1.0, 5), policy_source=source)
    return provider, provider.get_breaker(NAME)
