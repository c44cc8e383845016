"""From the bytes of a chunked HTTP answer, as they come, to its lines."""

from __future__ import annotations

from collections import deque

from breaker.errors import TooBig, Unreachable


class ChunkedLines:
    """Makes whole lines of bytes as they come, whatever the chunks were that a server or a proxy has made of them."""

    def __init__(self, chunked: bool, limit: int) -> None:
        self._left = 0 if chunked else -1  # bytes to come of this chunk; -1: there are no chunks
        self._raw = bytearray()
        self._line = bytearray()
        self._limit = limit
        self._whole: deque[bytes] = deque()
        self.ended = False

    def feed(self, data: bytes) -> None:
        """Take what has come. Raises `TooBig` for a line without end, `Unreachable` for what is no chunk."""
        if self._left < 0:
            self._add(data)
            return
        self._raw += data
        while self._raw and not self.ended:
            if self._left:
                part = bytes(self._raw[: self._left])
                del self._raw[: len(part)]
                self._left -= len(part)
                self._add(part)
            elif not self._next_chunk():
                return

    def _next_chunk(self) -> bool:
        while self._raw[:2] == b"\r\n":  # the end of the chunk before
            del self._raw[:2]
        head, separator, _ = self._raw.partition(b"\r\n")
        if not separator:
            if len(head) > 1024:
                raise Unreachable("the answer of etcd is not in chunks as HTTP has them")
            return False
        size = head.split(b";")[0].strip()
        if not size or size.strip(b"0123456789abcdefABCDEF"):
            raise Unreachable("the answer of etcd is not in chunks as HTTP has them")
        self._left = int(size, 16)
        del self._raw[: len(head) + 2]
        self.ended = self._left == 0
        return True

    def _add(self, data: bytes) -> None:
        whole, newline, rest = data.rpartition(b"\n")
        if newline:
            self._whole += [line for line in (bytes(self._line) + whole).split(b"\n") if line.strip()]
            self._line.clear()
        self._line += rest
        if len(self._line) > self._limit:
            raise TooBig(f"a message of the watch has more than {self._limit} bytes")

    def pop(self) -> bytes | None:
        """The next line that is whole, once."""
        return self._whole.popleft() if self._whole else None
