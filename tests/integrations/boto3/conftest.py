"""A service of AWS, and a server of HTTP that does what can go wrong with one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.aws import Service, serving
from support.http.server import Server


@pytest.fixture
def service() -> Iterator[Service]:
    with serving() as running:
        yield running


@pytest.fixture
def server() -> Iterator[Server]:
    """For what S3 is asked, bucket and key say what goes wrong: ``/status/503``."""
    with Server() as running:
        yield running
