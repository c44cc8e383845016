"""HTTP/1.1 as far as etcd's gateway needs it: a request as bytes, and an answer made of bytes as they come. No I/O.

Every part of an answer has a bound, so that a server that says anything, or nothing for ever, costs neither memory nor
processor time. How long it may take is the business of `connection`, which counts what came by `Answer.payload`.
"""

from __future__ import annotations

from collections.abc import Mapping

from breaker.errors import TooBig, Unreachable
from breaker.sources.etcd.gateway.chunks import Chunks, Lines

_HEADS = 1 << 16  # bytes of an answer's head, and of all that may come before it (1xx)
_FIELDS = 200  # lines of one head
_COMPLAINT = 1 << 16  # bytes of an answer that is no success; the rest is not read
_NO_BODY = (101, 204, 304)


class NoHttp(Exception):
    """What has come is no answer of HTTP/1."""


def request(host: str, port: int, path: str, body: bytes, headers: Mapping[str, str]) -> bytes:
    """A POST of JSON. Raises `ValueError` for a header that cannot be one."""
    name = f"[{host}]" if ":" in host else host if host.isascii() else host.encode("idna").decode()
    lines = [
        f"POST {path} HTTP/1.1",
        f"Host: {name}:{port}",
        "Accept-Encoding: identity",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        *(f"{key}: {value}" for key, value in headers.items()),
    ]
    if any(not line.isprintable() for line in lines):
        raise ValueError("a header holds a control character")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


class Answer:
    """One answer, fed with bytes as they come.

    Args:
        place: Who answers, for errors.
        limit: Of the body, in bytes. One that is no success keeps its beginning.
        lines: Take the body of a success instead.

    Attributes:
        body: What has come of it.
        status: 0 until the head is whole.
        payload: Bytes of the body so far, without what HTTP adds.
        ended: The answer is whole.
        keeps: Another request may follow on its connection.
        coding: What the body is packed by; empty: by nothing.
        length: Of the body, if the head says it.
    """

    def __init__(self, place: str, limit: int, lines: Lines | None = None) -> None:
        self.body = bytearray()
        self.status = 0
        self.payload = 0
        self.ended = self.keeps = False
        self.coding = self.moved_to = ""
        self.length: int | None = None
        self._place = place
        self._limit, self._lines = limit, lines
        self._head = bytearray()
        self._heads = 0  # bytes of heads that were passed over
        self._chunks: Chunks | None = None

    def feed(self, data: bytes) -> None:
        """Take what has come. Raises `NoHttp`, and `Unreachable` for a body that cannot be read."""
        if not self.status:
            self._head += data
            data = self._read_heads()
        if self.status and not self.ended:
            data = self._read_body(data)
        if self.ended and data:
            self.keeps = False  # nothing was asked for that this could answer

    def end(self) -> None:
        """The other side has ended the connection. Raises `Unreachable` if the answer is not whole."""
        if self.status and self.length is None and self._chunks is None:
            self.ended = True
        if not self.ended:
            raise Unreachable(f"the answer of {self._place} was cut off: it ended before it was whole")

    # -- the head --

    def _read_heads(self) -> bytes:
        """Read the head if it is whole, those of 1xx before it too. Returns what follows it."""
        while True:
            if not self._head.startswith(b"HTTP/1.") and not b"HTTP/1.".startswith(self._head):
                raise NoHttp("no answer begins so")
            end = _end_of_head(self._head)
            if self._heads + (len(self._head) if end < 0 else end) > _HEADS:
                raise Unreachable(f"the head of the answer of {self._place} has more than {_HEADS} bytes")
            if end < 0:
                return b""
            head = bytes(self._head[:end])
            del self._head[:end]
            status = _status(head)
            if status == 101 or status >= 200:
                self.status = status
                self._begin_body(head)
                return bytes(self._head)
            self._heads += end

    def _begin_body(self, head: bytes) -> None:
        lines = head.decode("latin-1").splitlines()
        if len(lines) > _FIELDS:
            raise Unreachable(f"the head of the answer of {self._place} has more than {_FIELDS} lines")
        fields: dict[str, list[str]] = {}
        for line in lines[1:]:
            name, colon, value = line.partition(":")
            if colon:
                fields.setdefault(name.strip().lower(), []).append(value.strip())
        said = ",".join(fields.get("connection", ())).lower()
        self.keeps = "close" not in said and (lines[0].startswith("HTTP/1.1") or "keep-alive" in said)
        self.coding = ",".join(fields.get("content-encoding", ())).lower().replace("identity", "").strip(" ,")
        self.moved_to = fields.get("location", [""])[0]
        packing = ",".join(fields.get("transfer-encoding", ())).lower()
        if self.status in _NO_BODY:
            self.ended = True
        elif packing == "chunked":
            self._chunks = Chunks(self._place)
        elif packing not in ("", "identity"):
            raise Unreachable(f"the answer of {self._place} comes as {packing[:40]!r}, which nobody asked for")
        else:
            self._note_length(set(fields.get("content-length", ())))

    def _note_length(self, lengths: set[str]) -> None:
        if not lengths:
            self.keeps = False  # it ends with the connection
            return
        (length, *others) = lengths
        if others or not (length.isascii() and length.isdigit() and len(length) < 19):
            raise Unreachable(f"the answer of {self._place} has no length that can be: {', '.join(lengths)[:40]!r}")
        self.length = int(length)
        self.ended = self.length == 0

    # -- the body --

    def _read_body(self, data: bytes) -> bytes:
        """Take what belongs to the body. Returns the rest."""
        if self._chunks is not None:
            payload, rest = self._chunks.feed(data)
            self.ended = self._chunks.ended
        elif self.length is not None:
            left = self.length - self.payload
            payload, rest = data[:left], data[left:]
            self.ended = len(data) >= left
        else:
            payload, rest = data, b""
        if payload:
            self.payload += len(payload)
            self._take(payload)
        return rest

    def _take(self, data: bytes) -> None:
        if self._lines is not None and self.status == 200:
            self._lines.feed(data)
            return
        self.body += data
        if self.status != 200 and len(self.body) >= _COMPLAINT:
            self.ended, self.keeps = True, False
        elif self.status == 200 and max(len(self.body), self.length or 0) > self._limit:
            raise TooBig(f"an answer of {self._place} has more than {self._limit} bytes")


def _end_of_head(head: bytearray) -> int:
    """Where it ends, or -1. Some servers end lines by a line feed alone."""
    end = head.find(b"\r\n\r\n")
    bare = head.find(b"\n\n", 0, end if end >= 0 else len(head))
    return bare + 2 if bare >= 0 else end + 4 if end >= 0 else -1


def _status(head: bytes) -> int:
    parts = head.split(b"\n", 1)[0].split(None, 2)
    if len(parts) < 2 or len(parts[1]) != 3 or not parts[1].isdigit():
        raise NoHttp("no status")
    return int(parts[1])
