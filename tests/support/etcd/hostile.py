"""Servers that say whatever a test wants, byte by byte and as slowly as it wants, where etcd's gateway should be."""

import base64
import itertools
import json
import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from support.drive import PATH
from support.etcd.ports import HOST, free_ports, of_the_tests
from support.etcd.tls import Pair

RANGE, WATCH, LOGIN = "/v3/kv/range", "/v3/watch", "/v3/auth/authenticate"
REVISION = 5  # of an honest answer
Steps = Iterable[bytes | float]  # what is sent, and seconds of silence between
CLOSE = b""  # as a step: the connection ends
Script = Callable[[str, dict[str, Any]], Steps | None]  # path and request → what is said; None: what etcd would say


def coded(text: str | bytes) -> str:
    return base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


def header(revision: object = REVISION) -> dict[str, Any]:
    return {"cluster_id": "1", "member_id": "2", "revision": str(revision), "raft_term": "3"}


def kv(name: str = "name-00.json", document: str = '{"failureThreshold": 666}', **fields: Any) -> dict[str, Any]:
    """A key below the path, last changed at revision 4."""
    honest = {"key": coded(PATH + name), "create_revision": "4", "mod_revision": "4", "version": "1"}
    return honest | {"value": coded(document)} | fields


def whole(document: object, status: str = "200 OK", **fields: object) -> list[bytes]:
    """An answer with this body (JSON, unless it is bytes), its length, and these fields in its head."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
    return ["\r\n".join([*lines, "", ""]).encode() + body]


def chunk(document: object) -> bytes:
    """A chunk with a line (JSON, unless it is bytes, which are taken as they are)."""
    line = document if isinstance(document, bytes) else json.dumps(document).encode() + b"\n"
    return b"%x\r\n%s\r\n" % (len(line), line)


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
CREATED: dict[str, Any] = {"result": {"header": header(), "created": True}}


def watched(*messages: object, created: object = CREATED) -> Steps:
    """A watch that is confirmed, brings these messages, and stays silent."""
    yield CHUNKED + chunk(created)
    for message in messages:
        yield chunk(message)
    yield 60.0


def event(revision: object = REVISION + 1, **fields: Any) -> dict[str, Any]:
    """A message of a watch with one put."""
    change = {"kv": kv(mod_revision=str(revision)) | fields.pop("kv", {})} | fields.pop("event", {})
    return {"result": {"header": header(revision), "events": [change]} | fields}


def drip(data: bytes, seconds: float = 0.05) -> Steps:
    """One byte after the other, for ever if there were enough of them."""
    for byte in data:
        yield bytes([byte])
        yield seconds


def flood(data: bytes) -> Steps:
    """The same again and again, as fast as it is taken."""
    return itertools.repeat(data * max(1, (1 << 16) // len(data)))


def honest(path: str, request: dict[str, Any]) -> Steps:
    """What an etcd at revision 5 says that holds one document."""
    if path == RANGE:
        return whole({"header": header(), "kvs": [kv()], "count": "1"})
    if path == LOGIN:
        return whole({"header": header(), "token": "t.1"})
    return watched()


def at(path: str, steps: Callable[[], Steps]) -> Script:
    """A server that is honest but for this path."""
    return lambda asked, request: steps() if asked == path else None


class Hostile:
    """Answers every request by its script. Each connection has a thread; all end with `close`.

    Args:
        script: What it says.
        tls: Its certificate; None: plain HTTP.
        clients: The authority of the certificates that it demands; None: it demands none.
    """

    def __init__(self, script: Script, tls: Pair | None = None, clients: Path | None = None) -> None:
        self.script = script
        self.asked: list[str] = []
        self.sent = 0
        self._context: ssl.SSLContext | None = None
        if tls is not None:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(tls.cert, tls.key)
            if clients is not None:
                self._context.load_verify_locations(clients)
                self._context.verify_mode = ssl.CERT_REQUIRED
        self._closed = threading.Event()
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listener = socket.create_server((HOST, free_ports(1)[0]))
        self.endpoint = f"{HOST}:{self._listener.getsockname()[1]}"
        self._threads: list[threading.Thread] = []
        self._start(self._accept)
        of_the_tests.add(self)

    def __enter__(self) -> "Hostile":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._closed.set()
        for each in (self._listener, *self._open):
            with suppress(OSError):
                socket.socket.shutdown(each, socket.SHUT_RDWR)
        for thread in list(self._threads):
            thread.join(5)
            assert not thread.is_alive(), "a hostile server hangs"
        self._listener.close()

    def inodes(self) -> set[int]:
        with self._lock:
            return {os.fstat(each.fileno()).st_ino for each in (self._listener, *self._open) if each.fileno() >= 0}

    def _start(self, work: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=work, args=args, name=f"proxy-{self.endpoint}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._closed.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._start(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        with self._lock:
            self._open.add(connection)
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._context is not None:
                plain, connection = connection, self._context.wrap_socket(connection, server_side=True)
                with self._lock:
                    self._open.discard(plain)
                    self._open.add(connection)
            while not self._closed.is_set() and (asked := _request(connection)) is not None:
                self.asked.append(asked[0])
                self._say(connection, *asked)
        except OSError:
            pass
        finally:
            with self._lock:
                self._open.discard(connection)
            connection.close()

    def _say(self, connection: socket.socket, path: str, request: dict[str, Any]) -> None:
        steps = self.script(path, request)
        for step in honest(path, request) if steps is None else steps:
            if step == CLOSE:
                socket.socket.shutdown(connection, socket.SHUT_WR)
            elif isinstance(step, bytes):
                connection.sendall(step)
                self.sent += len(step)
            elif self._silent(connection, step):
                return

    def _silent(self, connection: socket.socket, seconds: float) -> bool:
        """Wait. Whether there is nobody to talk to any more."""
        connection.settimeout(seconds)
        try:
            return connection.recv(1) == b"" or self._closed.is_set()  # whoever talks meanwhile is not listened to
        except TimeoutError:
            return False
        finally:
            connection.settimeout(None)


def _request(connection: socket.socket) -> tuple[str, dict[str, Any]] | None:
    """Path and body of the next request, or None at the end."""
    data = b""
    while b"\r\n\r\n" not in data:
        part = connection.recv(1 << 16)
        if not part:
            return None
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    fields: Iterator[list[bytes]] = (line.split(b":", 1) for line in head.splitlines()[1:])
    length = next((int(value) for name, value in fields if name.lower() == b"content-length"), 0)
    while len(body) < length:
        body += connection.recv(1 << 16)
    return head.split(None, 2)[1].decode(), json.loads(body)
