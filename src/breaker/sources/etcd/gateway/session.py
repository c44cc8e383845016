"""etcd's JSON gateway over the standard library: the transport that needs nothing installed.

Requests are documents POSTed to ``/v3/…``; keys and values are base64, 64-bit integers are strings, and whatever is
empty is left out. A watch is an answer without end, one document a line.
"""

from __future__ import annotations

import base64
import json
from collections import deque
from typing import Any

from breaker.errors import Refused, SourceError, Unreachable
from breaker.sources.etcd.gateway.connection import Connection, Stale, tls_context
from breaker.sources.etcd.rules import end_of_watch, login_may_help, needs_no_login, refusal
from breaker.sources.etcd.transport import Access, Batch, Endpoint, Item, KeyChange, Limits, Page

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
        self.endpoint = str(endpoint)
        self._endpoint = endpoint
        self._access = access
        self._limits = limits
        self._token: str | None = None
        self._line = Connection(endpoint, access, limits)
        self._stream = Connection(endpoint, access, limits)
        self._batches: deque[Batch] = deque()
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
        self, start: bytes, end: bytes, *, limit: int, revision: int = 0, keys_only: bool = False, newest: bool = False
    ) -> Page:
        request: dict[str, object] = {"key": _text(start), "range_end": _text(end), "limit": str(limit)}
        if revision:
            request["revision"] = str(revision)
        if keys_only:
            request["keys_only"] = True
        if newest:
            request |= {"sort_order": "DESCEND", "sort_target": "MOD"}
        answer = self._ask("/v3/kv/range", request)
        with _Reading(self._endpoint):
            items = [Item(_bytes(kv, "key"), _bytes(kv, "value"), _number(kv, "mod_revision")) for kv in _kvs(answer)]
            return Page(_revision(answer), items, _number(answer, "count"), bool(answer.get("more")))

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
        with _Reading(self._endpoint):
            return bool(answer.get("succeeded")), _revision(answer)

    def _ask(self, path: str, request: dict[str, object], *, repeatable: bool = True) -> dict[str, Any]:
        answer = self._post(path, request, repeatable)
        if login_may_help(_error_of(answer), self._access, self._token):
            self._log_in()
            answer = self._post(path, request, repeatable)
        if error := _error_of(answer):
            raise self._refusal(error)
        return answer

    def _post(self, path: str, request: dict[str, object], repeatable: bool) -> dict[str, Any]:
        body = json.dumps(request).encode()
        try:
            status, answer = self._line.post(path, body, self._headers())
        except Stale:
            if self._closed or not repeatable:
                raise Unreachable(f"etcd at {self._endpoint} closed the connection") from None
            self._line.close()
            self._line = Connection(self._endpoint, self._access, self._limits)
            if self._closed:  # between the check and the new line: close() has missed it
                self._line.close()
            self._line.connect()
            status, answer = self._line.post(path, body, self._headers())
        return self._read_answer(status, answer)

    def _read_answer(self, status: int, body: bytes) -> dict[str, Any]:
        try:
            answer = json.loads(body)
        except ValueError:
            answer = None
        if isinstance(answer, dict) and (status == 200 or _error_of(answer)):
            return answer
        raise self._no_gateway(status, body)

    def _no_gateway(self, status: int, body: bytes) -> SourceError:
        said = body.strip().split(b"\n")[0][:60].decode(errors="replace")
        place = f"what answers at {self.endpoint}"
        if "CommonName of client" in said:  # this one is no JSON
            return self._refusal(said)
        if b"HTTPS server" in body:
            return Refused(f"{place} wants TLS; write https://")
        if status == 404:
            return Refused(
                f"{place} has no JSON gateway of etcd (HTTP 404: {said!r}); check the endpoint, start etcd with "
                "--enable-grpc-gateway=true, or use transport='etcd3'"
            )
        if status in (502, 503, 504):  # a proxy's
            return Unreachable(f"{place} cannot answer now (HTTP {status}: {said!r})")
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
        error = _error_of(answer)
        if needs_no_login(error):
            return
        if error:
            raise self._refusal(error)
        self._token = str(answer.get("token"))

    # -- the watch --

    def watch(self, start: bytes, end: bytes, revision: int) -> None:
        request = {"key": _text(start), "range_end": _text(end), "start_revision": str(revision)}
        self._stream.connect()
        body = json.dumps({"create_request": request}).encode()
        status, refused = self._stream.stream("/v3/watch", body, self._headers())
        if status != 200:
            raise self._refusal(_error_of(self._read_answer(status, refused)))
        confirmation = self._stream.next_line(self._limits.request)
        if confirmation is None:
            raise Unreachable(f"etcd at {self._endpoint} does not confirm the watch in time")
        self._take(confirmation)

    def read(self, seconds: float) -> Batch | None:
        if not self._batches and (line := self._stream.next_line(seconds)) is not None:
            self._take(line)
        return self._batches.popleft() if self._batches else None

    def _take(self, line: bytes) -> None:
        """Take over one message of the watch. A refused one is confirmed and ended in the same message."""
        with _Reading(self._endpoint):
            message = json.loads(line)
            if error := _error_of(message):
                raise self._refusal(error)
            result = message["result"]
            compacted = _number(result, "compact_revision")
            if compacted or result.get("canceled"):
                reason = str(result.get("cancel_reason", ""))
                raise end_of_watch(self._endpoint, self._access, compacted, reason, self._refusal)
            changes = [_change(event) for event in result.get("events", ())]
            if changes or not result.get("created"):
                self._batches.append(Batch(_revision(result), changes))

    def _refusal(self, text: str) -> SourceError:
        return refusal(self._endpoint, text)


class _Reading:
    """Turns whatever a document lacks into one error: what answers is not etcd, or speaks another version."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, KeyError | ValueError | TypeError | AttributeError):
            problem = f"{type(error).__name__}: {error}"[:120]
            raise Refused(f"what answers at {self._endpoint} does not speak as etcd does ({problem})") from error


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _bytes(document: dict[str, Any], field: str) -> bytes:
    return base64.b64decode(document.get(field, ""), validate=True)


def _number(document: dict[str, Any], field: str) -> int:
    return int(document.get(field, 0))


def _revision(answer: dict[str, Any]) -> int:
    return _number(answer["header"], "revision")


def _kvs(answer: dict[str, Any]) -> list[dict[str, Any]]:
    return list(answer.get("kvs", ()))


def _change(event: dict[str, Any]) -> KeyChange:
    kv = event["kv"]
    deleted = event.get("type", "PUT") == "DELETE"
    return KeyChange(_bytes(kv, "key"), None if deleted else _bytes(kv, "value"), _number(kv, "mod_revision"))


def _error_of(answer: dict[str, Any]) -> str:
    """The text of an error, empty where it is none: of an answer ``{"error": text}``, of a stream a document in it."""
    error = answer.get("error")
    if isinstance(error, dict):
        return str(error.get("message") or error)
    return str(answer.get("message") or error) if error else ""
