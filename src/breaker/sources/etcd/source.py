"""`EtcdSource`: what a program configures, and what its tools write."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from breaker.config import Config
from breaker.errors import PolicyError, RevisionConflict, Unreachable
from breaker.policies.documents import read_document
from breaker.policies.names import document_name
from breaker.policies.policy import Policy
from breaker.sources.base import Given, Watch, document_key_of, raw_document
from breaker.sources.etcd.endpoints import parse_endpoints
from breaker.sources.etcd.follower import Follower, FollowOptions
from breaker.sources.etcd.keys import key_text, pages, range_below
from breaker.sources.etcd.transport import Access, Endpoint, Limits, Session, Transport


class StoredPolicy(NamedTuple):
    """A document as etcd has it. ``revision``: of its last change, for ``expected_revision``.

    ``policy``: what it says, with the package's values for fields that it leaves out; None where it is not valid, and
    ``error`` says why.
    """

    document: bytes
    revision: int
    policy: Policy | None
    error: str | None


class EtcdSource:
    """Policies in etcd: documents at ``policies_path`` + ``{key}.json``, watched while programs run.

    ``endpoints``: ``"127.0.0.1:2379"``, ``"https://etcd-1:2379"``, several as a list or separated by commas; one
    without http or https means TLS where ``ca`` or ``cert`` is given. ``user`` and ``password``: for servers with
    authentication. ``ca``, ``cert``, ``key``: paths of PEM files, read anew at each connection; ``server_name``: what
    the server's certificate says where that is not the endpoint's host.

    ``transport``: ``"gateway"`` (etcd's JSON gateway; needs nothing installed) or ``"etcd3"`` (gRPC, by
    ``pip install 'cybreaker[etcd3]'``). ``client``: an ``etcd3`` client whose address and credentials to use.
    ``policies_path``: for `put`, `delete` and `list` in programs that have no `Provider`.

    ``connect_timeout``, ``request_timeout``, ``check_interval`` in seconds; ``max_documents``: more keys than this
    below the path are refused. Raises `TypeError` or `ValueError` for a wrong argument, `OSError` for files that
    cannot be read, `ImportError` for a transport that is not installed. Connects to nothing yet.
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
        self._fixed_path = policies_path is not None
        self._paths = set() if policies_path is None else {Config("tools", policies_path).policies_path}
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
            if not self._fixed_path:
                self._paths.add(watch.path)
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
        return path + key

    # -- for tools --

    def put(self, name: str, policy: Given, *, expected_revision: int | None = None) -> int:
        """Write the document of the breaker ``name`` (``"default"``: of all others) and return its revision.

        ``policy``: a `Policy`, a mapping with a document's keys, or JSON text. ``expected_revision``: write only if
        the document's last change is this one (0: if there is none). Nothing is written unless the whole document is
        valid. Raises `PolicyError`, `RevisionConflict`, and `SourceError` where etcd cannot be reached or refuses.
        """
        document = raw_document(policy)
        key = self._key(name)
        try:
            _, unknown = read_document(document, Policy.fields)
        except PolicyError as error:
            raise error.at(key) from None
        if unknown:
            raise PolicyError(unknown[0], "a field of a policy", "an unknown name", where=key)
        raw = document.encode() if isinstance(document, str) else document
        with self._opened(key) as (session, _):
            return _commit(session, name, key, raw, expected_revision)

    def delete(self, name: str, *, expected_revision: int | None = None) -> bool:
        """Remove a document and return whether there was one. ``expected_revision`` and errors as for `put`."""
        key = self._key(name)
        with self._opened(key) as (session, found):
            if found or expected_revision is not None:
                _commit(session, name, key, None, expected_revision)
            return bool(found)

    def list(self) -> dict[str, StoredPolicy]:
        """All documents by breaker name (``"default"`` too). Raises `SourceError`."""
        path = self._policies_path()
        start, end = range_below(path)
        stored = {}
        with self._opened(path) as (session, _):
            for page in pages(session, start, end):
                for key, value, revision in page.items:
                    name = document_name(key_text(key).removeprefix(path))
                    if name is not None:
                        stored[name] = _stored(value, revision)
        return stored

    def _key(self, name: str) -> str:
        return self._policies_path() + document_key_of(name)

    def _policies_path(self) -> str:
        if len(self._paths) != 1:
            known = f"it serves {', '.join(sorted(self._paths))}" if self._paths else "it serves no provider yet"
            raise ValueError(f"which documents? {known}; pass policies_path= to EtcdSource")
        return next(iter(self._paths))

    @contextmanager
    def _opened(self, key: str) -> Iterator[tuple[Session, int]]:
        """A session at the first member that answers, and the revision of the last change of ``key`` (0: none)."""
        for endpoint in self._endpoints:
            session = self._transport.session(endpoint)
            try:
                try:
                    session.open()
                    found = _last_change(session, key)
                except Unreachable:
                    if endpoint is self._endpoints[-1]:
                        raise
                    continue
                yield session, found
                return
            finally:
                session.close()


def _last_change(session: Session, key: str) -> int:
    """The revision of the last change of a key, 0 if there is none."""
    page = session.range(key.encode(), key.encode() + b"\0", limit=1, keys_only=True)
    return page.items[0].revision if page.items else 0


def _commit(session: Session, name: str, key: str, value: bytes | None, expected: int | None) -> int:
    done, revision = session.commit(key.encode(), value, expected)
    if not done:
        assert expected is not None
        raise RevisionConflict(name, expected, _last_change(session, key))  # what was read before may be the same
    return revision


def _stored(document: bytes, revision: int) -> StoredPolicy:
    try:
        return StoredPolicy(document, revision, Policy.from_json(document), None)
    except PolicyError as error:
        return StoredPolicy(document, revision, None, str(error))


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
