"""For commands: documents in a directory and in an etcd, and the status page of a program."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from breaker import Policy, Provider
from breaker.status import StatusServer, serve
from support.drive import Providers, fail, succeed
from support.etcd.server import Server
from support.places import InEtcd, InFiles, Where


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the developer has set for the command is not the tests'."""
    for name in [*os.environ]:
        if name.startswith("BREAKER_") and name != "BREAKER_SHIPPED":
            monkeypatch.delenv(name)
    monkeypatch.delenv("NO_COLOR", raising=False)


@pytest.fixture(scope="session")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all commands; each test has documents of its own."""
    with Server(tmp_path_factory.mktemp("etcd-of-commands")) as started:
        yield started


@pytest.fixture
def files(tmp_path: Path) -> InFiles:
    root = tmp_path / "policies"
    root.mkdir()
    return InFiles(root)


@pytest.fixture(params=["files", "etcd"])
def where(request: pytest.FixtureRequest) -> Where:
    if request.param == "files":
        in_files: InFiles = request.getfixturevalue("files")
        return in_files
    return InEtcd(request.getfixturevalue("etcd"))


@pytest.fixture
def provider(provider_of: Providers) -> Provider:
    """One open breaker, one near its threshold, one that an operator has opened, one healthy."""
    provider = provider_of(Policy(5, 2, 60), clock=None)
    fail(provider.get_breaker("http:prices"), 5, ConnectionError("refused by prices"))
    fail(provider.get_breaker("db:main"), 4)
    provider.get_breaker("queue:mails").force_open()
    succeed(provider.get_breaker("redis:日本"))
    return provider


@pytest.fixture
def page(provider: Provider) -> Iterator[StatusServer]:
    with serve(provider) as page:
        yield page
