"""`EtcdSource`: what a program configures, and what its tools write."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from breaker.errors import Refused, RevisionConflict, SourceError, TooBig, Unreachable
from breaker.policies.names import document_name
from breaker.sources.base import ABSENT, Given, Revision, StoredPolicy, Watch
from breaker.sources.etcd.endpoints import parse_endpoints
from breaker.sources.etcd.follower import Follower, FollowOptions
from breaker.sources.etcd.keys import key_text, pages, range_below, refuse_too_much
from breaker.sources.etcd.transport import Access, Endpoint, Limits, Session, Transport
from breaker.sources.stored import StorePath, check_expected, document_key_of, stored_policy, valid_document


class EtcdSource:
    """A `PolicySource` and `PolicyStore` with documents in etcd, at ``policies_path`` + ``{key}.json``.

    Connects to nothing when it is made. The transport ``"gateway"`` is etcd's JSON gateway and needs nothing installed;
    ``"etcd3"`` is gRPC and needs the packages ``etcd3`` and ``grpcio``.

    Whatever a server sends, following it takes at most five times 32 MiB of memory and, in the long run, a tenth of a
    core. Rules S131 and S132.

    Args:
        endpoints: ``"127.0.0.1:2379"``, ``"https://etcd-1:2379"``, several as a list or separated by commas. One
            without http or https means TLS if ``ca`` or ``cert`` is given. None only with ``client``.
        user: For servers with authentication, together with ``password``.
        password: As ``user``.
        ca: Path of a PEM file with the authorities that sign the servers' certificates. Read anew at each connection,
            as the other files.
        cert: Path of a PEM file with this program's certificate.
        key: Path of a PEM file with its private key; None: it is in the file ``cert``.
        server_name: What the server's certificate says, if that is not the endpoint's host.
        transport: ``"gateway"`` or ``"etcd3"``; None: ``"etcd3"`` with ``client``, else ``"gateway"``.
        client: An ``etcd3`` client whose address and credentials to use; it is not used itself, and stays open.
        policies_path: The path that `put`, `delete` and `list` mean. None: that of the one provider that follows.
        connect_timeout: Limit of a connection attempt, in seconds.
        request_timeout: Limit of a request, until its answer is whole, in seconds. Over the gateway each 64 KiB of the
            answer's body that have come are worth a second more.
        check_interval: Seconds, on average, between two checks of whether the watch is alive.
        max_documents: More keys than this below the path are refused, and more than 32 MiB of keys and documents.

    Raises:
        TypeError: An argument is of a wrong kind, or ``endpoints`` is missing.
        ValueError: An argument is wrong.
        OSError: A file of certificates cannot be read.
        ImportError: The transport is not installed; the text says how to.
        RuntimeError: ``"etcd3"`` in a program that gevent has patched, where gRPC has not been told; it would hang.

    Thread safety: every method may be called from any thread.

    .. versionadded:: 0.1
    """

    def __init__(
        self,
        endpoints: str | Iterable[str] | None = None,
        *,
        user: str | None = None,
        password: str | None = None,
        ca: str | None = None,
        cert: str | None = None,
        key: str | None = None,
        server_name: str | None = None,
        transport: str | None = None,
        client: Any = None,
        policies_path: str | None = None,
        connect_timeout: float = 2.0,
        request_timeout: float = 3.0,
        check_interval: float = 10.0,
        max_documents: int = 100_000,
    ) -> None:
        access = Access(user, password, ca, cert, key, server_name)
        _check_access(access)
        for name, seconds in (
            ("connect_timeout", connect_timeout),
            ("request_timeout", request_timeout),
            ("check_interval", check_interval),
        ):
            _check_number(name, seconds, (int, float))
        _check_number("max_documents", max_documents, (int,))
        limits = Limits(connect=float(connect_timeout), request=float(request_timeout))
        self._transport, self._endpoints = _transport(transport, client, endpoints, access, limits)
        self._options = FollowOptions(float(check_interval), max_documents)
        self._path = StorePath("EtcdSource", policies_path)
        self._lock = threading.RLock()  # re-entrant: stop() may come from a finalizer
        self._followers: dict[int, tuple[Watch, Follower]] = {}

    def __repr__(self) -> str:
        return f"<EtcdSource {', '.join(map(str, self._endpoints))}>"

    # -- for providers --

    def start(self, watch: Watch) -> None:
        """Begin to follow the documents below ``watch.path``, in the thread of ``watch.run``."""
        follower = Follower(self._transport, self._endpoints, watch, self._options)
        with self._lock:
            self._followers[id(watch)] = (watch, follower)
        self._path.serve(watch.path)
        watch.run(follower.loop)

    def stop(self, watch: Watch) -> None:
        """Wake the thread of this watch, whatever it waits for; it ends by ``watch.wait``."""
        with self._lock:
            _, follower = self._followers.pop(id(watch), (None, None))
        if follower is not None:
            follower.stop()

    def after_fork(self) -> None:
        """In a forked child: its copies of the connections go, the parent's stay."""
        self._lock = threading.RLock()
        followers, self._followers = self._followers, {}
        for _, follower in followers.values():
            follower.forget()

    def location(self, path: str, key: str) -> str:
        """The key in etcd."""
        return path + key

    # -- for programs that write --

    def put(self, name: str, policy: Given, *, expected_revision: Revision | None = None) -> int:
        """Write the document of one breaker, as `PolicyStore.put` says.

        The comparison with ``expected_revision`` and the write are one step: of all writers who read the same document,
        on any machine, one wins. A write that ended in an error may have been made: etcd may have answered too late.
        The revision is that of the whole of etcd after the change.

        Raises:
            SourceError: `Unreachable` if no member answers, `Refused` if etcd says no (password, permission, space),
                each with the ``endpoint``.
        """
        key = self._key(name)
        value = valid_document(policy, key)
        check_expected(expected_revision, int)
        with self._opened(key) as (session, _):
            return _commit(session, name, key, value, expected_revision)

    def delete(self, name: str, *, expected_revision: Revision | None = None) -> bool:
        """Remove the document of one breaker, as `PolicyStore.delete` says; compared and removed in one step."""
        key = self._key(name)
        check_expected(expected_revision, int)
        with self._opened(key) as (session, found):
            if expected_revision is not None:
                _commit(session, name, key, None, expected_revision)
                return expected_revision != ABSENT
            while found and not session.commit(key.encode(), None, found)[0]:
                found = _last_change(session, key)  # written or deleted meanwhile; of two who delete, one says True
            return bool(found)

    def list(self) -> dict[str, StoredPolicy]:
        """All documents, as `PolicyStore.list` says; as they were at one revision."""
        path = self._path.get()
        start, end = range_below(path)
        stored: dict[str, StoredPolicy] = {}
        seen = size = 0
        with self._opened(path) as (session, _):
            for page in pages(session, start, end):
                size += sum(len(item.key) + len(item.value) for item in page.items)
                refuse_too_much(path, seen + page.total, size, self._options.max_documents)
                seen += len(page.items)
                for raw, value, revision in page.items:
                    key = key_text(raw)
                    if (name := document_name(key.removeprefix(path))) is not None:
                        stored[name] = stored_policy(name, value, revision, key)
        return stored

    def _key(self, name: str) -> str:
        return self._path.get() + document_key_of(name)

    @contextmanager
    def _opened(self, key: str) -> Iterator[tuple[Session, int]]:
        """A session at the first member that answers as it should, and the revision of the last change of ``key``.

        That is 0 if there is none.
        """
        for endpoint in self._endpoints:
            session = self._transport.session(endpoint)
            try:
                try:
                    session.open()
                    found = _last_change(session, key)
                except (Unreachable, Refused, TooBig):  # nothing is written yet: the next one may be better
                    if endpoint is self._endpoints[-1]:
                        raise
                    continue
                yield session, found
                return
            except SourceError as error:
                error.endpoint = error.endpoint or str(endpoint)
                raise
            finally:
                session.close()


def _last_change(session: Session, key: str) -> int:
    """The revision of the last change of a key, 0 if there is none."""
    page = session.range(key.encode(), key.encode() + b"\0", limit=1, keys_only=True)
    return page.items[0].revision if page.items else 0


def _commit(session: Session, name: str, key: str, value: bytes | None, expected: Revision | None) -> int:
    done, revision = session.commit(key.encode(), value, None if expected is None else int(expected))
    if not done:
        assert expected is not None
        raise RevisionConflict(name, expected, _last_change(session, key))  # what was read before may be the same
    return revision


def _transport(
    wanted: str | None, client: Any, endpoints: str | Iterable[str] | None, access: Access, limits: Limits
) -> tuple[Transport, list[Endpoint]]:
    if wanted not in (None, "gateway", "etcd3"):
        raise ValueError(f"transport must be 'gateway' or 'etcd3', got {wanted!r}")
    if client is not None and wanted == "gateway":
        raise ValueError("a client speaks gRPC: leave transport='gateway' out, or pass its address as endpoints")
    if client is None and endpoints is None:
        raise TypeError("endpoints is missing: where is etcd? Write EtcdSource('127.0.0.1:2379')")
    tls = access.ca is not None or access.cert is not None
    parsed = [] if endpoints is None else parse_endpoints(endpoints, tls)
    if client is None and wanted != "etcd3":
        from breaker.sources.etcd.gateway.session import GatewayTransport

        return GatewayTransport(access, limits), parsed
    from breaker.sources.etcd.grpc.session import ClientTransport

    transport = ClientTransport(access, limits, client)
    return transport, parsed or transport.endpoints()


def _check_access(access: Access) -> None:
    for name, value in access._asdict().items():
        if value is not None and not isinstance(value, str):
            raise TypeError(f"{name} must be text, got {type(value).__name__}")
    if (access.user is None) != (access.password is None):
        raise ValueError("user and password belong together: pass both or none")
    if access.key is not None and access.cert is None:
        raise ValueError("key= is the private key of a certificate: pass cert= too")


def _check_number(name: str, value: float, kinds: tuple[type, ...]) -> None:
    if isinstance(value, bool) or not isinstance(value, kinds):
        raise TypeError(f"{name} must be a number, got {type(value).__name__}")
    if not 0 < value <= threading.TIMEOUT_MAX:  # false for NaN too
        raise ValueError(f"{name} must be positive, got {value}")
