"""What the tests of a changed policy share."""

from typing import Any

import pytest

from breaker import Breaker, Policy
from breaker.sources import MemorySource
from support.drive import NAME, Providers


@pytest.fixture
def breaker(provider_of: Providers, source: MemorySource, events: list[Any]) -> Breaker:
    """Under the default policy 5, 2, 60 s, until the test puts a document."""
    return provider_of(Policy(5, 2, 60), policy_source=source).get_breaker(NAME)
