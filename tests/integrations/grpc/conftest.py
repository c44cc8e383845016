"""A server of `grpc` for the tests of a module."""

from collections.abc import Iterator

import pytest

from support.rpc import Echo, serving


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[Echo, str]]:
    """A server of `grpc` that answers as it is asked to, and its address."""
    echo = Echo()
    with serving(echo) as address:
        yield echo, address
