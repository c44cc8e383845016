"""Status pages in real servers, and in a real browser."""

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack

import pytest

from breaker import Policy, Provider, status
from support.browser import Browser, chromium
from support.status_servers import KINDS, Authorise, page_served


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Each kind of server."""
    found: str = request.param
    return found


@pytest.fixture
def provider(provider_of: Callable[..., Provider]) -> Provider:
    """Its breakers open on the second failure, on a clock that is moved by hand."""
    return provider_of(Policy(2, 1, 60.0))


@pytest.fixture
def serving(provider: Provider) -> Iterator[Callable[..., str]]:
    """``serving(kind, actions)``: the page of the provider in a server of this kind, until the test ends."""
    with ExitStack() as stack:

        def start(kind: str, actions: Authorise | None = None) -> str:
            return stack.enter_context(page_served(kind, provider, actions))

        yield start


@pytest.fixture(scope="session")
def window() -> Iterator[Browser]:
    """One browser for all pages: to start one takes as long as ten tests."""
    with chromium() as browser:
        yield browser


@pytest.fixture
def visit(window: Browser) -> Iterator[Callable[..., Browser]]:
    """``visit(server)``: its page in the browser.

    No page leaves a complaint in the console that its test has not read, and none asks anybody but its server.
    """
    window.size(1280, 900)
    with ExitStack() as stack:

        def go(server: AbstractContextManager[status.StatusServer | str]) -> Browser:
            entered: status.StatusServer | str = stack.enter_context(server)
            window.open(entered if isinstance(entered, str) else entered.url)
            return window

        yield go
        window.leave()
        hosts = window.asked_hosts()
        assert len(hosts) == 1
        assert re.fullmatch(r"127\.0\.0\.1:\d+", hosts.pop())
        assert window.complaints() == []
