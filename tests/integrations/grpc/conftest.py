"""A server of `grpc` for the tests of a module, and the two ways in which a channel gets its breakers."""

from collections.abc import Iterator

import pytest

from support.rpc import PROTECTED, Echo, Protect, serving
from support.rpc_aio import GUARDED, Guarded


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[Echo, str]]:
    """A server of `grpc` that answers as it is asked to, and its address."""
    echo = Echo()
    with serving(echo) as address:
        yield echo, address


@pytest.fixture(params=PROTECTED)
def protect(request: pytest.FixtureRequest) -> Protect:
    """Gives the channel of `grpc` that it gets, with a breaker for each method: once intercepted, once guarded."""
    return PROTECTED[request.param]


@pytest.fixture(params=GUARDED)
def guarded(request: pytest.FixtureRequest) -> Guarded:
    """Opens a channel of `grpc.aio` with a breaker for each method: once with interceptors, once guarded."""
    return GUARDED[request.param]
