"""Sessions over gRPC for tests: opened, watching, and closed with the test."""

from collections.abc import Callable
from typing import Any

from breaker.sources.etcd.grpc.session import ClientSession, ClientTransport
from breaker.sources.etcd.keys import range_below
from breaker.sources.etcd.transport import Access, Batch, Endpoint, Limits
from support.drive import PATH
from support.etcd.ports import HOST

START, END = range_below(PATH)
KEY = PATH.encode() + b"a.json"
Connect = Callable[..., ClientSession]


def endpoint_of(port: int, *, tls: bool = False) -> Endpoint:
    return Endpoint(HOST, port, tls)


# A busy machine is slow. Where a limit is tested, the test sets it.
PATIENT = Limits(connect=15, request=15)


def session_at(port: int, access: Access = Access(), limits: Limits = PATIENT, **options: Any) -> ClientSession:  # noqa: B008
    """A session that is not open yet. ``tls``, ``client``: as for endpoint and transport."""
    endpoint = endpoint_of(port, tls=options.pop("tls", False))
    return ClientTransport(access, limits, **options).session(endpoint)


def watch_from_now(session: ClientSession) -> int:
    """Watch the path of the tests from the next change on. Returns the revision of now."""
    revision = session.range(START, END, limit=1).revision
    session.watch(START, END, revision + 1)
    return revision


def values(session: ClientSession, wanted: int = 1, seconds: float = 10) -> list[bytes | None]:
    """Read until there are so many changes; their values, in order."""
    found: list[bytes | None] = []
    while len(found) < wanted:
        batch: Batch | None = session.read(seconds)
        assert batch is not None, f"only {found}"
        found += [change.value for change in batch.changes]
    return found
