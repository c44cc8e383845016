"""etcd's JSON gateway over the standard library: the transport that needs nothing installed.

Requests are documents POSTed to ``/v3/…``; keys and values are base64, 64-bit integers are strings, and whatever is
empty is left out. A watch is an answer without end, one document a line.
"""

from __future__ import annotations

import base64
import json
import time
from collections import deque
from typing import Any

from breaker.errors import Refused, SourceError, Unreachable
from breaker.sources.etcd.checks import NotEtcd, answers_of, check_batch, check_page, check_token, printable
from breaker.sources.etcd.gateway import reading
from breaker.sources.etcd.gateway.connection import Connection, Stale, tls_context
from breaker.sources.etcd.gateway.http import Answer
from breaker.sources.etcd.rules import end_of_watch, login_may_help, needs_no_login, refusal, unconfirmed
from breaker.sources.etcd.transport import Access, Batch, Endpoint, Item, Limits, Page

_WITH_LEADER = {"Grpc-Metadata-hasleader": "true"}  # a member that loses its leader ends the watch


class GatewayTransport:
    """Speaks with etcd through its JSON gateway."""

    def __init__(self, access: Access, limits: Limits) -> None:
        self._access = access
        self._limits = limits
        if access.ca is not None or access.cert is not None:
            tls_context(access)  # a wrong file is the caller's mistake, now

    def session(self, endpoint: Endpoint) -> GatewaySession:
        return GatewaySession(endpoint, self._access, self._limits)


class GatewaySession:
    """One connection for requests, which is kept, and one for the watch."""

    def __init__(self, endpoint: Endpoint, access: Access, limits: Limits) -> None:
        self.endpoint = endpoint
        self._access = access
        self._limits = limits
        self._token: str | None = None
        self._line = Connection(endpoint, access, limits)
        self._stream = Connection(endpoint, access, limits)
        self._batches: deque[Batch] = deque()
        self._watched = (b"", b"")
        self._seen = 0  # the last revision that the watch has brought, or was to begin after
        self._closed = False

    def open(self) -> None:
        self._line.connect()
        self._log_in()

    def close(self) -> None:
        self._closed = True
        self._line.close()
        self._stream.close()

    def forget(self) -> None:
        self._closed = True
        self._line.forget()
        self._stream.forget()

    # -- requests --

    def range(
        self, start: bytes, end: bytes, *, limit: int, revision: int = 0, keys_only: bool = False, since: int = 0
    ) -> Page:
        request: dict[str, object] = {"key": _text(start), "range_end": _text(end), "limit": str(limit)}
        if revision:
            request["revision"] = str(revision)
        if keys_only:
            request["keys_only"] = True
        if since:
            request["min_mod_revision"] = str(since)
        answer = self._ask("/v3/kv/range", request)
        with answers_of(self.endpoint):
            page = Page(
                reading.revision(answer),
                [_item(kv) for kv in reading.objects(answer, "kvs")],
                reading.number(answer, "count", "count"),
                reading.flag(answer, "more"),
            )
            check_page(page, start, end, limit, revision=revision, since=since)
            return page

    def commit(self, key: bytes, value: bytes | None, expected: int | None) -> tuple[bool, int]:
        target = {"key": _text(key)}
        if value is None:
            step: dict[str, object] = {"request_delete_range": target}
        else:
            step = {"request_put": target | {"value": _text(value)}}
        request: dict[str, object] = {"success": [step]}
        if expected is not None:
            request["compare"] = [target | {"target": "MOD", "result": "EQUAL", "mod_revision": str(expected)}]
        answer = self._ask("/v3/kv/txn", request, repeatable=False)
        with answers_of(self.endpoint):
            return reading.flag(answer, "succeeded"), reading.revision(answer)

    def _ask(self, path: str, request: dict[str, object], *, repeatable: bool = True) -> dict[str, Any]:
        answer = self._post(path, request, repeatable)
        if login_may_help(reading.error_of(answer), self._access, self._token):
            self._log_in()
            answer = self._post(path, request, repeatable)
        if error := reading.error_of(answer):
            raise self._refusal(error)
        return answer

    def _post(self, path: str, request: dict[str, object], repeatable: bool) -> dict[str, Any]:
        body = json.dumps(request).encode()
        if not self._line.is_usable():
            self._renew()
        try:
            reply = self._line.post(path, body, self._headers())
        except Stale:
            if self._closed or not repeatable:
                raise Unreachable(f"etcd at {self.endpoint} closed the connection") from None
            self._renew()
            reply = self._line.post(path, body, self._headers())
        return self._read_answer(reply)

    def _renew(self) -> None:
        """Connect anew, for a server or a proxy that ends connections after some answers or some time."""
        self._line.close()
        self._line = Connection(self.endpoint, self._access, self._limits)
        if self._closed:  # before there was a new connection: close() has missed it
            self._line.close()
        self._line.connect()

    def _read_answer(self, reply: Answer) -> dict[str, Any]:
        status, body = reply.status, reply.body
        if status == 200 and reply.coding:
            with answers_of(self.endpoint):
                raise NotEtcd("Content-Encoding", f"must not be there, got {printable(reply.coding, 20)}")
        try:
            answer = reading.document_of(body)
        except NotEtcd:
            said = body.strip()
            if status != 200:
                raise self._no_gateway(reply) from None
            if said[:1] == b"{" and said[-1:] != b"}":
                raise Unreachable(f"the answer of etcd at {self.endpoint} was cut off") from None
            with answers_of(self.endpoint):
                raise
        error = reading.error_of(answer)
        if status == 200 or (error and (status != 404 or "etcdserver:" in error)):
            return answer
        raise self._no_gateway(reply)

    def _no_gateway(self, reply: Answer) -> SourceError:
        status, body = reply.status, reply.body
        said = printable(bytes(body.strip()[:300]).decode(errors="replace"), 60)
        place = f"what answers at {self.endpoint}"
        if b"CommonName of client" in body:  # this one is no JSON
            return self._refusal(printable(bytes(body[:300]).decode(errors="replace")))
        if b"HTTPS server" in body:
            return Refused(f"{place} wants TLS; write https://")
        if status == 404:
            return Refused(
                f"{place} has no JSON gateway of etcd (HTTP 404: {said!r}); check the endpoint, start etcd with "
                "--enable-grpc-gateway=true, or use transport='etcd3'"
            )
        if status in (408, 429) or status >= 500:  # mostly a proxy's
            return Unreachable(f"{place} cannot answer now (HTTP {status}: {said!r})")
        if 300 <= status < 400:
            to = printable(reply.moved_to, 100)
            return Refused(f"{place} sends us elsewhere (HTTP {status}, to {to!r}); write the endpoint that is meant")
        return Refused(f"{place} is no JSON gateway of etcd (HTTP {status}: {said!r}); check the endpoint")

    def _headers(self) -> dict[str, str]:
        return _WITH_LEADER if self._token is None else _WITH_LEADER | {"Authorization": self._token}

    def _log_in(self) -> None:
        if self._access.user is None:
            return
        self._token = None
        answer = self._post(
            "/v3/auth/authenticate", {"name": self._access.user, "password": self._access.password}, True
        )
        error = reading.error_of(answer)
        if needs_no_login(error):
            return
        if error:
            raise self._refusal(error)
        with answers_of(self.endpoint):
            self._token = check_token(reading.text(answer, "token", needed=True))

    # -- the watch --

    def watch(self, start: bytes, end: bytes, revision: int) -> None:
        self._watched, self._seen = (start, end), revision - 1
        request = {"key": _text(start), "range_end": _text(end), "start_revision": str(revision)}
        self._stream.connect()
        body = json.dumps({"create_request": request}).encode()
        confirmation, deadline = None, time.monotonic() + self._limits.request
        try:
            reply = self._stream.stream("/v3/watch", body, self._headers())
            if reply.status == 200 and not reply.coding:
                confirmation = self._stream.next_line(deadline - time.monotonic())
        except Unreachable as error:
            if isinstance(error.__cause__, TimeoutError):
                raise unconfirmed(self.endpoint) from None
            raise
        if reply.status != 200 or reply.coding:
            raise self._refusal(reading.error_of(self._read_answer(reply)))
        if confirmation is None:
            raise unconfirmed(self.endpoint)
        self._take(confirmation, first=True)

    def read(self, seconds: float) -> Batch | None:
        if not self._batches and (line := self._stream.next_line(seconds)) is not None:
            self._take(line)
        return self._batches.popleft() if self._batches else None

    def _take(self, line: bytes, *, first: bool = False) -> None:
        """Take over one message of the watch. A refused one is confirmed and ended in the same message."""
        with answers_of(self.endpoint):
            message = reading.document_of(line)
            if error := reading.error_of(message):
                raise self._refusal(error)
            result = reading.an_object(message, "result", "result")
            compacted = reading.number(result, "compact_revision", "compact_revision")
            canceled = reading.flag(result, "canceled")
            if compacted or canceled:
                reason = reading.text(result, "cancel_reason")
                raise end_of_watch(self.endpoint, self._access, compacted, reason, self._refusal)
            batch = Batch(reading.revision(result), [*map(reading.change, reading.objects(result, "events"))])
            if reading.flag(result, "created") is not first:
                raise NotEtcd("created", f"must be {str(first).lower()} here")
            if not first or batch.changes:
                self._seen = check_batch(batch, *self._watched, self._seen)
                self._batches.append(batch)

    def _refusal(self, text: str) -> SourceError:
        return refusal(self.endpoint, text)


def _item(kv: dict[str, Any]) -> Item:
    key, value = reading.raw(kv, "key", "kvs.key"), reading.raw(kv, "value", "kvs.value")
    return Item(key, value, reading.number(kv, "mod_revision", "kvs.mod_revision"))


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
