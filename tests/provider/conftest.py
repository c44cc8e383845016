"""What the tests of log lines share."""

import io
from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture
def fresh_structlog() -> Iterator[None]:
    """structlog as if nobody had configured it, before the test and after it."""

    def forget() -> None:
        structlog.reset_defaults()
        structlog.contextvars.clear_contextvars()

    forget()
    yield
    forget()


@pytest.fixture
def stream() -> io.StringIO:
    """Where a test has lines written to."""
    return io.StringIO()
