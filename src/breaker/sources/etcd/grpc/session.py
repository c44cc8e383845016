"""etcd over gRPC, by the package ``etcd3``: for programs that hold such a client already, for client certificates as
identities, and for servers whose JSON gateway is switched off.

A session makes an `etcd3.Etcd3Client` of its own and ends with it, because a channel that lives on keeps its dead
connection. Of that client it uses the channel, the stubs and the messages. Login and watch are its own: the client logs
in where nobody can wake it, and its watcher opens a broken stream again in a hot loop and takes a refusal for success.
"""

from __future__ import annotations

import ssl
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from breaker.errors import Refused, SourceError, Unreachable
from breaker.sources.etcd.checks import NotEtcd, answers_of, check_batch, check_page, check_token
from breaker.sources.etcd.gateway.connection import Connection, Stale, tls_context
from breaker.sources.etcd.grpc import fork_safety, import_etcd3
from breaker.sources.etcd.grpc.channel import endpoint_of, make_client
from breaker.sources.etcd.grpc.endings import FORK, Ended, explained
from breaker.sources.etcd.grpc.methods import Methods, read
from breaker.sources.etcd.grpc.stream import Stream
from breaker.sources.etcd.rules import end_of_watch, is_expired, login_may_help, needs_no_login, refusal, unconfirmed
from breaker.sources.etcd.transport import Access, Batch, Endpoint, Forked, Item, KeyChange, Limits, Page

_Metadata = tuple[tuple[str, str], ...]

_WITH_LEADER = ("hasleader", "true")  # a member that loses its leader says so at once, and ends its watches


class ClientTransport:
    """Speaks with etcd over gRPC. ``client``: an `etcd3.Etcd3Client` whose address and token are used; it stays open.

    Raises `ImportError` that says what to install, `TypeError` for a ``client`` of another kind, `ValueError` for one
    whose address is unknown or whose certificates are not given as well (it does not keep them), `OSError` for
    files of certificates that cannot be read, and `RuntimeError` in a program that gevent has patched and gRPC does not
    know of it.
    """

    def __init__(self, access: Access, limits: Limits, client: Any = None) -> None:
        self._library = import_etcd3.load()
        _refuse_gevent_that_grpc_does_not_know()
        self._access = access
        self._limits = limits
        self._given = client
        self._endpoints = [] if client is None else [endpoint_of(self._library, client, access)]
        if access.ca is not None or access.cert is not None:
            tls_context(access)  # a wrong file is the caller's mistake, now

    def endpoints(self) -> list[Endpoint]:
        """Where the given client speaks to; nothing without one."""
        return list(self._endpoints)

    def session(self, endpoint: Endpoint) -> ClientSession:
        return ClientSession(self._library, endpoint, self._access, self._limits, self._given)


def _refuse_gevent_that_grpc_does_not_know() -> None:
    """gRPC waits in C, where gevent cannot switch: the first request would hold the whole program for ever."""
    monkey = sys.modules.get("gevent.monkey")
    if monkey is None or not (monkey.is_module_patched("threading") or monkey.is_module_patched("socket")):
        return
    if not getattr(sys.modules.get("grpc._cython.cygrpc"), "g_gevent_activated", True):
        raise RuntimeError(
            "transport='etcd3' would hang: gevent has patched this program, and gRPC has not been told. Call "
            "grpc.experimental.gevent.init_gevent() right after gevent.monkey.patch_all(), or use transport='gateway'"
        )


class ClientSession:
    """One channel with one login; the watch is a stream on it. ``given``: a client whose token to use, or None."""

    def __init__(
        self, library: import_etcd3.Library, endpoint: Endpoint, access: Access, limits: Limits, given: Any
    ) -> None:
        self._library = library
        self._rpc = library.rpc
        self.endpoint = endpoint
        self._access = access
        self._limits = limits
        self._given = given
        self._token: str | None = None
        self._knock: Connection | None = None
        self._client: Any = None
        self._methods: Any = None
        self._stream: Stream | None = None
        self._watched = (b"", b"")
        self._seen = 0  # the last revision that the watch has brought, or was to begin after
        self._closed = False

    # -- life --

    def open(self) -> None:
        if self.endpoint.tls:
            self._try_tls()
        with fork_safety.lock:
            self._client = make_client(self._library, self.endpoint, self._access, self._limits)
            self._methods = Methods(self._library, self._client.channel)
        self._end_if_closed()
        # A request that needs no user, no permission and no leader: is this etcd?
        with self._explained():
            self._call(self._methods.status, self._rpc.StatusRequest(), self._limits.connect)
        self._log_in()

    def _try_tls(self) -> None:
        """Shake hands once by the standard library, which says what is wrong; grpc prints it to standard error."""
        knock = self._knock = Connection(
            self.endpoint, self._access, self._limits._replace(request=self._limits.connect)
        )
        self._end_if_closed()
        try:
            knock.connect()
            self._hear_refusal(knock)
        except SourceError:
            self._end_if_closed()  # it may have been that
            raise
        finally:
            knock.close()

    def _hear_refusal(self, knock: Connection) -> None:
        """With TLS 1.3 a server says only after the handshake what it thinks of our certificate."""
        try:
            knock.post("/version", b"", {})
        except (SourceError, Stale) as error:
            if isinstance(error.__cause__, ssl.SSLError):
                raise

    def _end_if_closed(self) -> None:
        """After something was made that `close`, in another thread, may just have missed."""
        if self._closed:
            self.close()
            raise self._is_closed()

    def close(self) -> None:
        if sys.is_finalizing():
            return  # gRPC would wait for its threads, which no longer run
        self._closed = True
        if self._knock is not None:
            self._knock.close()
        if self._stream is not None:
            self._stream.stop()
        if self._client is not None:
            fork_safety.close(self._client)

    def forget(self) -> None:
        self._closed = True
        if self._knock is not None:
            self._knock.forget()
        _abandoned.append((self._client, self._stream))
        self._client = self._stream = None

    # -- requests --

    def range(
        self, start: bytes, end: bytes, *, limit: int, revision: int = 0, keys_only: bool = False, since: int = 0
    ) -> Page:
        request = self._rpc.RangeRequest(key=start, range_end=end, limit=limit, revision=revision, keys_only=keys_only)
        if since:
            request.min_mod_revision = since
        answer = self._ask(self._methods.range, request)
        items = [Item(kv.key, kv.value, kv.mod_revision) for kv in answer.kvs]
        page = Page(answer.header.revision, items, answer.count, answer.more)
        with answers_of(self.endpoint):
            check_page(page, start, end, limit, revision=revision, since=since)
        return page

    def commit(self, key: bytes, value: bytes | None, expected: int | None) -> tuple[bool, int]:
        rpc = self._rpc
        if value is None:
            step = rpc.RequestOp(request_delete_range=rpc.DeleteRangeRequest(key=key))
        else:
            step = rpc.RequestOp(request_put=rpc.PutRequest(key=key, value=value))
        request = rpc.TxnRequest(success=[step])
        if expected is not None:
            request.compare.add(key=key, target=rpc.Compare.MOD, result=rpc.Compare.EQUAL, mod_revision=expected)
        answer = self._ask(self._methods.txn, request, repeatable=False)
        return answer.succeeded, answer.header.revision

    def _ask(self, method: Any, request: Any, *, repeatable: bool = True) -> Any:
        """A request to the store; after another login, once, where that may help."""
        try:
            return self._call(method, request, self._limits.request, repeatable=repeatable)
        except Ended as error:
            if not login_may_help(error.details, self._access, self._token):
                raise self._explain(error) from None
        self._log_in()
        with self._explained():
            return self._call(method, request, self._limits.request, repeatable=repeatable)

    def _call(self, method: Any, request: Any, seconds: float, *, repeatable: bool = True) -> Any:
        """The answer. ``repeatable``: ask again where a fork has ended the call. Raises `Ended`."""
        while True:
            try:
                call = fork_safety.begin(
                    lambda: method.future(request, timeout=seconds, metadata=self._metadata()), patient=True
                )
            except ValueError as error:  # the channel is closed
                raise Ended("", error) from None
            code = call.rpc.code()  # when it has ended; unlike result() it raises nothing
            if code is self._library.grpc.StatusCode.OK:
                with answers_of(self.endpoint):
                    return read(call.rpc.result())
            if not call.interrupted:
                raise Ended(code.name, call.rpc.details())
            if not repeatable:
                raise Ended(FORK, "")

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except Ended as error:
            raise self._explain(error) from None

    def _metadata(self) -> _Metadata:
        return (_WITH_LEADER,) if self._token is None else (_WITH_LEADER, ("token", self._token))

    # -- who we are --

    def _log_in(self) -> None:
        # The token goes as metadata. As credentials of a call grpc would send it over TLS only.
        self._token = None
        if self._access.user is None:
            self._token = None if self._given is None else dict(self._given.metadata or ()).get("token")
            return
        request = self._rpc.AuthenticateRequest(name=self._access.user, password=self._access.password)
        try:
            token: str = self._call(self._methods.log_in, request, self._limits.request).token
        except Ended as error:
            if not needs_no_login(error.details):
                raise self._explain(error) from None
            return
        with answers_of(self.endpoint):
            self._token = check_token(token)

    # -- the watch --

    def watch(self, start: bytes, end: bytes, revision: int) -> None:
        self._watched, self._seen = (start, end), revision - 1
        self._follow()

    def _follow(self) -> None:
        rpc = self._rpc
        start, end = self._watched
        wanted = rpc.WatchCreateRequest(key=start, range_end=end, start_revision=self._seen + 1)
        request = rpc.WatchRequest(create_request=wanted)
        first = self._begin(request)
        # A refusal is no error of the call: it confirms the watch and cancels it, in one message. For a token that has
        # expired etcd 3.5.1 says "permission denied" there.
        if first.canceled and not first.compact_revision and self._access.user is not None:
            self._log_in()
            first = self._begin(request)
        self._check(first)
        if not first.created:
            with answers_of(self.endpoint):
                raise NotEtcd("created", "must be true here")

    def _begin(self, request: Any) -> Any:
        """The first message of a new watch."""
        if self._stream is not None:
            self._stream.stop()
        try:
            self._stream = Stream(self._methods.watch, request, self._metadata())
        except ValueError as error:  # the channel is closed
            raise self._explain(Ended("", error)) from None
        self._end_if_closed()
        first = self._next(self._limits.request)
        if first is None:
            raise unconfirmed(self.endpoint)
        return first

    def read(self, seconds: float) -> Batch | None:
        try:
            message = self._next(seconds)
        except Forked:
            self._follow()  # a fork has ended it; the server, the connection and our place in its history are the same
            message = self._next(seconds)
        if message is None:
            return None
        self._check(message)
        batch = Batch(message.header.revision, [self._change(event) for event in message.events])
        with answers_of(self.endpoint):
            # Not from the revision in the header: that is the store's, which may be ahead of what was sent.
            self._seen = check_batch(batch, *self._watched, self._seen)
        return batch

    def _next(self, seconds: float) -> Any:
        assert self._stream is not None, "watch() comes first"
        try:
            answer = self._stream.next(seconds)
        except Ended as error:
            raise self._explain(Ended(FORK, "") if self._stream.interrupted else error) from None
        with answers_of(self.endpoint):
            return None if answer is None else read(answer)

    def _check(self, message: Any) -> None:
        if message.canceled or message.compact_revision:
            reason, compacted = message.cancel_reason, message.compact_revision
            raise end_of_watch(self.endpoint, self._access, compacted, reason, self._refusal)

    def _change(self, event: Any) -> KeyChange:
        kv = event.kv
        return KeyChange(kv.key, None if event.type == event.DELETE else kv.value, kv.mod_revision)

    # -- errors --

    def _explain(self, error: Ended) -> SourceError:
        if self._closed:
            return self._is_closed()
        return explained(error, self.endpoint, self._refusal)

    def _refusal(self, text: str) -> SourceError:
        if is_expired(text) and self._given is not None and self._access.user is None:
            return Refused(
                f"etcd at {self.endpoint} no longer takes the token of the given client, which does not keep its "
                f"password; pass user= and password= too (it says: {text})"
            )
        return refusal(self.endpoint, text)

    def _is_closed(self) -> Unreachable:
        return Unreachable(f"the connection to etcd at {self.endpoint} is closed")


_abandoned: list[object] = []  # the parent's channels in a forked child: to let go of one is to say goodbye on it
