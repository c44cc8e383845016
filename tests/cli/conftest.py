"""Documents for commands: in a directory and in an etcd, with a way to them that no command has a part in."""

import itertools
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from breaker import Config, Provider
from breaker.policies.names import document_key
from breaker.sources import EtcdSource, FileSource
from support.etcd.server import Server
from support.shell import Done, breaker

_numbers = itertools.count()


class Where:
    """The documents of one service. ``options``: those that lead a command there."""

    def __init__(self, source: str, service: str) -> None:
        self.source, self.service = source, service
        self.path = f"/config/prod/{service}/breakers/"
        self.options = ["--source", source, "--env", "production", "--service", service]

    def run(self, *words: str, stdin: str | bytes | None = None) -> Done:
        """A command on these documents."""
        return breaker(*words, *self.options, stdin=stdin)

    def raw(self) -> dict[str, bytes]:
        """Key → text of each document."""
        raise NotImplementedError

    def write(self, name: str, text: str | bytes) -> None:
        """Write a document, valid or not."""
        raise NotImplementedError

    def follow(self) -> Provider:
        """A program that has these policies."""
        raise NotImplementedError

    def text(self, name: str) -> bytes:
        return self.raw()[document_key(name)]

    def values(self, name: str) -> dict[str, Any]:
        values: dict[str, Any] = json.loads(self.text(name))
        return values

    @property
    def config(self) -> Config:
        return Config(self.service, self.path)


class InFiles(Where):
    def __init__(self, root: Path) -> None:
        super().__init__(f"file:{root}", "shop")
        self.root = root
        self.directory = root / self.path[1:]

    def raw(self) -> dict[str, bytes]:
        if not self.directory.exists():
            return {}
        return {file.name: file.read_bytes() for file in self.directory.iterdir()}

    def write(self, name: str, text: str | bytes) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        beside = self.directory.parent / "beside"
        beside.write_bytes(text.encode() if isinstance(text, str) else text)
        beside.rename(self.directory / document_key(name))

    def follow(self) -> Provider:
        return Provider(self.config, policy_source=FileSource(self.root, 0.05))


class InEtcd(Where):
    def __init__(self, server: Server) -> None:
        super().__init__(f"etcd://{server.endpoint}", f"shop-{next(_numbers)}")
        self.server = server

    def raw(self) -> dict[str, bytes]:
        return self.server.api.documents(self.path)

    def write(self, name: str, text: str | bytes) -> None:
        self.server.api.put(self.path + document_key(name), text)

    def follow(self) -> Provider:
        return Provider(self.config, policy_source=EtcdSource(self.server.endpoint))


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
