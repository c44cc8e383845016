"""Documents for commands: in a directory and in an etcd."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

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
