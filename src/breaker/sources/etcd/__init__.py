"""Policies in etcd.

`source` is what programs use, `follower` the loop, `transport` what the loop and the two ways to speak with a server
(`gateway`, `grpc`) say to each other, `rules` what the server's errors mean.
"""

from __future__ import annotations

from breaker.sources.etcd.source import EtcdSource

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["EtcdSource", "import_etcd3"]


def import_etcd3() -> ModuleType:
    """The package ``etcd3``, imported beside any protobuf from 4.25 on.

    By itself ``etcd3`` 0.12 works with protobuf up to 3.20 only. Call this once, before the program's own first
    ``import etcd3``, which then works. Raises `ImportError` that says what to install.
    """
    from breaker.sources.etcd.grpc import import_etcd3

    module: ModuleType = import_etcd3.load().etcd3
    return module
