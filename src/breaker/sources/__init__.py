"""Where policy documents come from, and where programs write them.

A source publishes; the provider compares, validates and swaps. A store is written to; it validates first.
"""

from __future__ import annotations

from breaker.sources.base import (
    ABSENT,
    PolicySource,
    PolicyStore,
    Revision,
    SourceStatus,
    StoredPolicy,
    Unreadable,
    Watch,
)
from breaker.sources.files import FileSource
from breaker.sources.memory import MemorySource

TYPE_CHECKING = False
if TYPE_CHECKING:
    from breaker.sources.etcd import EtcdSource

__all__ = [
    "ABSENT",
    "EtcdSource",
    "FileSource",
    "MemorySource",
    "PolicySource",
    "PolicyStore",
    "Revision",
    "SourceStatus",
    "StoredPolicy",
    "Unreadable",
    "Watch",
]


def __getattr__(name: str) -> object:
    """`EtcdSource` is loaded at its first use: HTTP and TLS cost more than all the rest of the package."""
    if name == "EtcdSource":
        from breaker.sources.etcd import EtcdSource

        return EtcdSource
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """The public names, also those that are loaded at their first use, and what every module has."""
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
