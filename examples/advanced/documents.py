"""Where the policies of the shop are: in etcd where one is running, else in a directory of files.

Both hold the same documents, and a running program obeys a change of either.
"""

from __future__ import annotations

import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import breaker
from breaker.sources import EtcdSource, FileSource, PolicySource

DOCUMENTS = Path(__file__).parent / "policies"
DEFAULT_ETCD = ("127.0.0.1", 2379)


class Documents(Protocol):
    """What an operator does, whatever the tool."""

    source: PolicySource
    place: str

    def write(self, name: str, document: str) -> None: ...


class Files:
    """Documents below a directory."""

    def __init__(self, root: Path, config: breaker.Config) -> None:
        self._directory = root / config.policies_path.strip("/")
        shutil.copytree(DOCUMENTS, self._directory)
        self.source = FileSource(root, poll_interval=0.1)
        self.place = "files"

    def write(self, name: str, document: str) -> None:
        new = self._directory / f".{name}.new"
        new.write_text(document, encoding="utf-8")
        new.replace(self._directory / f"{name}.json")


class Keys:
    """Documents in etcd."""

    def __init__(self, endpoint: str, config: breaker.Config) -> None:
        self.source = EtcdSource(endpoint, policies_path=config.policies_path)
        self.place = "etcd"
        for file in DOCUMENTS.glob("*.json"):
            self.source.put(file.stem, file.read_bytes())

    def write(self, name: str, document: str) -> None:
        self.source.put(name, document)

    def remove(self) -> None:
        for file in DOCUMENTS.glob("*.json"):
            self.source.delete(file.stem)


@contextmanager
def documents(etcd: str | None, config: breaker.Config) -> Iterator[Documents]:
    """The documents of the example, in etcd or in a temporary directory; gone at the end."""
    if etcd is not None:
        keys = Keys(etcd, config)
        try:
            yield keys
        finally:
            keys.remove()
    else:
        with tempfile.TemporaryDirectory(prefix="breaker-advanced-") as root:
            yield Files(Path(root), config)


def running_etcd() -> str | None:
    """The endpoint of an etcd on this machine, if something listens at its usual port."""
    try:
        socket.create_connection(DEFAULT_ETCD, timeout=0.2).close()
    except OSError:
        return None
    return "{}:{}".format(*DEFAULT_ETCD)
