"""Where the policies of the shop are: in etcd where one is running, else in a directory of files.

Both are a `PolicyStore` with the same documents, and a running program obeys a change of either.
"""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import breaker
from breaker.sources import EtcdSource, FileSource

DOCUMENTS = Path(__file__).parent / "policies"
DEFAULT_ETCD = ("127.0.0.1", 2379)


@contextmanager
def documents(etcd: str | None, config: breaker.Config) -> Iterator[EtcdSource | FileSource]:
    """The documents of the example, in etcd or in a temporary directory; gone at the end."""
    path = config.policies_path
    with tempfile.TemporaryDirectory(prefix="breaker-advanced-") as root:
        in_files = FileSource(root, poll_interval=0.1, policies_path=path)
        store = in_files if etcd is None else EtcdSource(etcd, policies_path=path)
        for file in DOCUMENTS.glob("*.json"):
            store.put(file.stem, file.read_bytes())
        try:
            yield store
        finally:
            for file in DOCUMENTS.glob("*.json"):
                store.delete(file.stem)


def running_etcd() -> str | None:
    """The endpoint of an etcd on this machine, if something listens at its usual port."""
    try:
        socket.create_connection(DEFAULT_ETCD, timeout=0.2).close()
    except OSError:
        return None
    return "{}:{}".format(*DEFAULT_ETCD)
