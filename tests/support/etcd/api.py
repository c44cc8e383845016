"""What a server holds, read and written by a way of its own: nothing here is shared with the code under test."""

import base64
import http.client
import json
import os
import socket
import ssl
import time
from collections.abc import Iterable
from typing import Any

from support.etcd.ports import of_the_tests

_SECONDS = 8.0  # for an answer; a busy machine is slow


def _coded(text: str | bytes) -> str:
    return base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


def _put(key: str | bytes, value: str | bytes) -> dict[str, Any]:
    return {"key": _coded(key), "value": _coded(value)}


def _end_of(prefix: bytes) -> bytes:
    return prefix[:-1] + bytes([prefix[-1] + 1])


class ApiError(Exception):
    """The server says no, or nothing."""


class Api:
    """A few of etcd's requests over its JSON gateway. Not safe for use by two threads at once."""

    def __init__(self, host: str, port: int, context: ssl.SSLContext | None = None) -> None:
        self._where = (host, port)
        self._context = context
        self._connection: http.client.HTTPConnection | None = None
        self._credentials: tuple[str, str] | None = None
        self._token: str | None = None
        of_the_tests.add(self)

    def inodes(self) -> set[int]:
        sock = self._connection and self._connection.sock
        return {os.fstat(sock.fileno()).st_ino} if sock else set()

    def log_in_as(self, user: str, password: str) -> None:
        """Use this user from now on, with a new token whenever the old one is refused."""
        self._credentials, self._token = (user, password), None

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def healthy(self) -> bool:
        """Whether the server is ready and has a leader."""
        try:
            return b"true" in self._exchange("GET", "/health", None)[1]
        except OSError:
            return False

    def call(self, path: str, **request: Any) -> dict[str, Any]:
        """One request, like ``call("kv/range", key=…)``. Raises `ApiError` for a refusal, `OSError` for no answer."""
        if self._credentials and not self._token:
            self._log_in()
        status, body = self._exchange("POST", f"/v3/{path}", request)
        if self._credentials and status != 200 and (b"token" in body or b"auth store" in body):
            self._log_in()
            status, body = self._exchange("POST", f"/v3/{path}", request)
        if status != 200:
            raise ApiError(f"{path}: HTTP {status} {body[:500]!r}")
        answer: dict[str, Any] = json.loads(body)
        return answer

    def _log_in(self) -> None:
        assert self._credentials
        login: dict[str, Any] = dict(zip(("name", "password"), self._credentials, strict=True))
        self._token = None  # etcd 3.4 refuses a login that comes with a token that has expired
        status, body = self._exchange("POST", "/v3/auth/authenticate", login)
        if status != 200:
            raise ApiError(f"login: HTTP {status} {body[:500]!r}")
        self._token = json.loads(body)["token"]

    def _exchange(self, method: str, path: str, request: dict[str, Any] | None) -> tuple[int, bytes]:
        body = None if request is None else json.dumps(request)
        headers = {"Authorization": self._token} if self._token else {}
        for once_more in (True, False):
            fresh = self._connection is None
            connection = self._connection = self._connection or self._connect()
            try:
                connection.request(method, path, body, headers)
                response = connection.getresponse()
                return response.status, response.read()
            except (OSError, http.client.HTTPException) as error:
                self.close()
                if fresh or not once_more:
                    raise OSError(f"{path}: {error!r}") from error
        raise AssertionError

    def _connect(self) -> http.client.HTTPConnection:
        if self._context is None:
            return http.client.HTTPConnection(*self._where, timeout=_SECONDS)
        return http.client.HTTPSConnection(*self._where, timeout=_SECONDS, context=self._context)

    # -- keys --

    def put(self, key: str | bytes, value: str | bytes) -> int:
        """Returns the revision."""
        return int(self.call("kv/put", **_put(key, value))["header"]["revision"])

    def delete(self, key: str | bytes) -> int:
        return int(self.call("kv/deleterange", key=_coded(key))["header"]["revision"])

    def delete_below(self, prefix: str) -> int:
        end = _end_of(prefix.encode())
        return int(self.call("kv/deleterange", key=_coded(prefix), range_end=_coded(end))["header"]["revision"])

    def transaction(self, puts: Iterable[tuple[str, str | bytes]] = (), deletes: Iterable[str] = ()) -> int:
        """Everything in one revision."""
        requests: list[dict[str, Any]] = [{"request_put": _put(key, value)} for key, value in puts]
        requests += [{"request_delete_range": {"key": _coded(key)}} for key in deletes]
        return int(self.call("kv/txn", success=requests)["header"]["revision"])

    def burst(self, puts: Iterable[tuple[str, str | bytes]]) -> float:
        """Put all of them, each in a revision of its own, as fast as the server can. Returns the seconds it took."""
        requests = []
        for key, value in puts:
            body = json.dumps(_put(key, value)).encode()
            head = f"POST /v3/kv/put HTTP/1.1\r\nHost: etcd\r\nContent-Length: {len(body)}\r\n\r\n"
            requests.append(head.encode() + body)
        began = time.perf_counter()
        with (
            socket.create_connection(self._where, timeout=_SECONDS) as connection,
            connection.makefile("rb") as answers,
        ):
            connection.sendall(b"".join(requests))  # pipelined: the answers are read afterwards
            for _ in requests:
                status = answers.readline()
                assert b" 200 " in status, status
                length = 0
                while (line := answers.readline()) not in (b"\r\n", b""):
                    name, _, value = line.partition(b":")
                    if name.lower() == b"content-length":
                        length = int(value)
                answers.read(length)
        return time.perf_counter() - began

    def documents(self, prefix: str) -> dict[str, bytes]:
        """All keys below the prefix, without it, and their values now."""
        start = prefix.encode()
        found: dict[str, bytes] = {}
        key = start
        while True:
            answer = self.call("kv/range", key=_coded(key), range_end=_coded(_end_of(start)), limit="1000")
            for item in answer.get("kvs", ()):
                key = base64.b64decode(item["key"])
                name = key[len(start) :].decode(errors="backslashreplace")
                found[name] = base64.b64decode(item.get("value", ""))
            if not answer.get("more"):
                return found
            key += b"\0"

    def revision(self) -> int:
        return int(self.call("kv/range", key=_coded("\0"))["header"]["revision"])

    def compact(self, revision: int) -> None:
        """Forget all history before this revision, and wait until it is gone."""
        self.call("kv/compaction", revision=str(revision), physical=True)

    # -- users --

    def set_up_access(self, root_password: str) -> None:
        """Switch authentication on; this object is root from now on."""
        self.call("auth/role/add", name="root")
        self.call("auth/user/add", name="root", password=root_password)
        self.call("auth/user/grant", user="root", role="root")
        self.call("auth/enable")
        self.log_in_as("root", root_password)

    def add_reader(self, user: str, password: str, prefix: str, *, kind: str = "READ") -> None:
        """A user who may do this (READ, WRITE or READWRITE) below the prefix and nothing else."""
        self.call("auth/role/add", name=user)
        permission = {"permType": kind, "key": _coded(prefix), "range_end": _coded(_end_of(prefix.encode()))}
        self.call("auth/role/grant", name=user, perm=permission)
        self.call("auth/user/add", name=user, password=password)
        self.call("auth/user/grant", user=user, role=user)

    def change_password(self, user: str, password: str) -> None:
        self.call("auth/user/changepw", name=user, password=password)
