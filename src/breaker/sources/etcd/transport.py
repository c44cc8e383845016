"""What the loop and the transports say to each other: pages, changes, sessions, and what may go wrong.

A transport makes sessions. A session is one login at one member of the cluster, used by one thread until its first
error and then closed; only `Session.close` may be called from any other. Every wait in it has a limit.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from breaker.errors import Interrupted


class Forked(Interrupted):
    """This process has forked, and the transport cannot carry a session over it: begin another one, at once."""


class Endpoint(NamedTuple):
    """One member of the cluster."""

    host: str
    port: int
    tls: bool

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.tls else 'http'}://{host}:{self.port}"


class Access(NamedTuple):
    """How to prove who we are, and how the server proves who it is. Files are named by path."""

    user: str | None = None
    password: str | None = None
    ca: str | None = None
    cert: str | None = None
    key: str | None = None
    server_name: str | None = None


LEAST_RATE = 64 << 10  # bytes a second, below which an answer counts as one that does not come


class Limits(NamedTuple):
    """How long to wait, in seconds, and how much to take at once, in bytes.

    ``request``: until an answer is whole. Over the gateway one that is long may take longer, as long as it comes at
    `LEAST_RATE` or faster.
    """

    connect: float = 2.0
    request: float = 3.0
    answer: int = 16 << 20


class Item(NamedTuple):
    """A key as it is now. ``revision``: of its last change; ``value`` is empty where only keys were asked for."""

    key: bytes
    value: bytes
    revision: int


class Page(NamedTuple):
    """An answer to `Session.range`. ``revision``: of the store; ``total``: keys in the range, beyond this page too."""

    revision: int
    items: list[Item]
    total: int
    more: bool


class KeyChange(NamedTuple):
    """A key was put, or deleted (``value`` is None)."""

    key: bytes
    value: bytes | None
    revision: int


class Batch(NamedTuple):
    """One message of a watch. ``revision``: of the store when it was sent."""

    revision: int
    changes: list[KeyChange]


class Session(Protocol):
    """One login at one member. Raises `SourceError`, of the kinds above, and nothing else.

    What it returns has been checked (`checks.py`): no other part looks for a server that lies.
    """

    endpoint: Endpoint

    def open(self) -> None:
        """Connect, and log in where there is a user."""

    def range(
        self, start: bytes, end: bytes, *, limit: int, revision: int = 0, keys_only: bool = False, since: int = 0
    ) -> Page:
        """A linearizable read of the keys from ``start`` up to but without ``end``, in order of the key.

        ``limit``: of how many keys at most; ``revision``: as they were then (0: now); ``since``: only those whose last
        change is of this revision or later, while `Page.total` counts all.
        Raises `Interrupted` where that revision is compacted.
        """
        ...

    def commit(self, key: bytes, value: bytes | None, expected: int | None) -> tuple[bool, int]:
        """Put a value or delete the key (None), in one transaction if its last change is ``expected``.

        ``expected``: a revision, 0 for a key that must not exist, None for whatever is there. Returns whether it was
        done, and the revision of the store.
        """
        ...

    def watch(self, start: bytes, end: bytes, revision: int) -> None:
        """Begin to follow the range from ``revision`` on. Returns when the server has confirmed it."""

    def read(self, seconds: float) -> Batch | None:
        """The next message of the watch, or None when none has come in time.

        Raises `Interrupted` where the watch was ended by a compaction, `Refused` by a lack of permission, and
        `Unreachable` by anything else.
        """
        ...

    def close(self) -> None:
        """Give up the connections; whoever waits in this session gets an error at once. From any thread, twice too."""

    def forget(self) -> None:
        """In a forked child: give up the copies without a word to the server; the parent goes on using its own."""


class Transport(Protocol):
    """A way to speak with etcd."""

    def session(self, endpoint: Endpoint) -> Session:
        """A session that is not open yet. No I/O."""
        ...
