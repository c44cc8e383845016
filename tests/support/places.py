"""Documents of one service in a directory and in an etcd, with a way to them that no command has a part in."""

import itertools
import json
from pathlib import Path
from typing import Any

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
