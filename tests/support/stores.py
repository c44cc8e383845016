"""The three stores under one face for tests: what is in them, past the store; and their watchers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from breaker import Mode, Policy
from breaker.sources import EtcdSource, FileSource, MemorySource, PolicySource, PolicyStore
from support.drive import PATH
from support.etcd.server import Server
from support.etcd.subjects import TRANSPORTS

KINDS = ("memory", "files", *TRANSPORTS)
EVERY_FIELD = Policy(
    2,
    3,
    1.5,
    half_open_max_calls=4,
    probe_timeout=7,
    mode=Mode.SHADOW,
    open_timeout_multiplier=2.5,
    open_timeout_max=90,
    open_timeout_jitter=0.25,
)
INVALID: list[Any] = [
    {"failureThreshold": 0},
    {"failureTreshold": 3},  # no field of a policy
    {"openStateTimeout": 60},
    {"openStateTimeout": float("nan")},
    '{"failureThres',
    '{"failureThreshold": 1, "failureThreshold": 2}',
    '{"mode": "\ud800"}',
    b"\xff",
    "[]",
    "",
    " " * 70_000,
]
NAMES = [
    "http:payment-api",
    "/pkg.Service/Method",
    "100%",
    "a\x00b\nc\x7f\x85",
    "..",
    ".hidden",
    "default.json",
    "%2F",
    "Ünïcödé 日本 🚦",
    "with space & 'quotes' \\ ",
]


class Subject:
    """A store, and another way to what it holds, which the store under test has no part in.

    ``again()``: another object on the same documents, as another program has; None where there is none.
    """

    def __init__(
        self,
        store: Any,
        raw: Callable[[], dict[str, bytes]],
        write: Callable[[str, bytes], object],
        again: Callable[[], Any] | None = None,
    ) -> None:
        self.store: PolicyStore = store
        self.source: PolicySource = store
        self.raw = raw  # key → text
        self.write = write  # name without anything to escape, text
        self.again = again


def in_memory() -> Subject:
    source = MemorySource()
    return Subject(
        source,
        lambda: {key: document.encode() if isinstance(document, str) else document for key, document in seen(source)},
        source.publish_raw,
    )


def seen(source: MemorySource) -> list[tuple[str, Any]]:
    """What a memory source publishes to a watch that has just begun."""
    published: list[tuple[str, Any]] = []

    class Once:
        path = PATH

        def publish(self, documents: Any, revision: int, *, restarted: bool = False) -> None:
            published.extend(documents.items())

        def wait(self, seconds: float) -> bool:
            return True

    watch: Any = Once()
    source.start(watch)
    source.stop(watch)
    return published


def in_files(root: Path) -> Subject:
    directory = root / PATH[1:]

    def make() -> FileSource:
        return FileSource(root, 0.02, policies_path=PATH)

    def raw() -> dict[str, bytes]:
        return {file.name: file.read_bytes() for file in directory.iterdir()} if directory.exists() else {}

    def write(name: str, text: bytes) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        (directory / f"{name}.json").write_bytes(text)

    return Subject(make(), raw, write, make)


def in_etcd(server: Server, transport: str) -> Subject:
    def make() -> EtcdSource:
        return EtcdSource(
            server.endpoint, transport=transport, policies_path=PATH, connect_timeout=15, request_timeout=15
        )

    def raw() -> dict[str, bytes]:
        return server.api.documents(PATH)

    return Subject(make(), raw, lambda name, text: server.api.put(f"{PATH}{name}.json", text), make)
