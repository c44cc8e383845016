"""A client on a bare socket: what came, byte for byte, and whether the connection was cut."""

from __future__ import annotations

import base64
import json
import socket
from dataclasses import dataclass
from typing import Any

Address = tuple[str, int]
HANDSHAKE = {  # headers that ask for a WebSocket
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec_WebSocket_Version": "13",
    "Sec_WebSocket_Key": base64.b64encode(b"0123456789abcdef").decode(),
}


@dataclass(frozen=True)
class Seen:
    """A response as it came. ``whole``: whether the connection ended where the head said that it would."""

    status: int
    headers: dict[str, str]
    body: bytes
    whole: bool
    raw: bytes

    @property
    def document(self) -> Any:
        return json.loads(self.body)


def ask(address: Address, path: str, method: str = "GET", **headers: str) -> Seen:
    """One request on a connection of its own, read to the end of the connection."""
    with _sent(address, path, method, headers) as connection:
        raw = b""
        while part := _received(connection):
            raw += part
    return _read(raw, method)


def status_of(address: Address, path: str, **headers: str) -> int:
    """The status of a response that may go on for ever: the client leaves after the first bytes."""
    with _sent(address, path, "GET", headers) as connection:
        return int(_received(connection).split()[1])


def _sent(address: Address, path: str, method: str, headers: dict[str, str]) -> socket.socket:
    lines = {"Host": address[0], "Connection": "close"} | headers
    texts = [f"{name.replace('_', '-')}: {value}" for name, value in lines.items()]
    connection = socket.create_connection(address, timeout=20)
    connection.sendall("\r\n".join([f"{method} {path} HTTP/1.1", *texts, "", ""]).encode("ascii"))
    return connection


def _received(connection: socket.socket) -> bytes:
    try:
        return connection.recv(65536)
    except ConnectionResetError:
        return b""


def _read(raw: bytes, method: str) -> Seen:
    head, found, rest = raw.partition(b"\r\n\r\n")
    assert found, raw
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body, whole = rest, True
    if method != "HEAD" and headers.get("transfer-encoding") == "chunked":
        body, whole = _unchunked(rest)
    elif method != "HEAD" and "content-length" in headers:
        whole = len(rest) == int(headers["content-length"])
    return Seen(int(first.split()[1]), headers, body, whole, raw)


def _unchunked(rest: bytes) -> tuple[bytes, bool]:
    body = b""
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        length = int(size, 16)
        if not length:
            return body, True
        body, rest = body + rest[:length], rest[length + 2 :]
    return body, False
