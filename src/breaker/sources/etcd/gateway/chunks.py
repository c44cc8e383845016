"""From the chunks of an HTTP answer to its bytes, and from the bytes of a watch to its lines, as they come."""

from __future__ import annotations

from collections import deque

from breaker.errors import TooBig, Unreachable

_SIZE = 1024  # bytes of the line that says how large a chunk is
_TRAILERS = 1 << 14  # bytes after the last chunk
_FREE, _WORTH = 4096, 64  # so many chunks are free, and one more for each 64 bytes that they bring; lines likewise


class Chunks:
    """Takes the chunks off an answer. ``place``: who answers, for errors. ``ended``: the last one has come."""

    def __init__(self, place: str) -> None:
        self.ended = False
        self._place = place
        self._raw = bytearray()
        self._left = 0  # bytes to come of this chunk
        self._after = False  # the end of a chunk is due
        self._last = False  # trailers are due
        self._trailers = 0
        self._credit = _FREE * _WORTH

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """Returns the bytes that the chunks hold, and what comes after the last. Raises `Unreachable` for no chunks."""
        self._raw += data
        payload = bytearray()
        while self._raw and not self.ended:
            if self._left:
                part = self._raw[: self._left]
                del self._raw[: len(part)]
                self._left -= len(part)
                self._after = not self._left
                payload += part
            elif not self._next_line():
                break
        self._credit += len(payload)
        rest = bytes(self._raw) if self.ended else b""
        return bytes(payload), rest

    def _next_line(self) -> bool:
        """Take what stands between two chunks: the end of one, the size of the next, trailers. False: not there yet."""
        end = self._raw.find(b"\r\n", 0, _SIZE + 2)
        if end < 0:
            if len(self._raw) > _SIZE or (self._after and self._raw[:1] != b"\r"):
                raise self._no_chunks()
            return False
        line = bytes(self._raw[:end])
        del self._raw[: end + 2]
        if self._last:
            self._trailers += end + 2
            if self._trailers > _TRAILERS:
                raise self._no_chunks()
            self.ended = not line
        elif self._after:
            if line:
                raise self._no_chunks()
            self._after = False
        else:
            self._begin(line.split(b";")[0].strip())
        return True

    def _begin(self, size: bytes) -> None:
        if not size or len(size) > 16 or size.strip(b"0123456789abcdefABCDEF"):
            raise self._no_chunks()
        self._left = int(size, 16)
        self._last = self._left == 0
        self._credit -= _WORTH
        if self._credit < 0:
            raise Unreachable(f"the answer of {self._place} comes in chunks of a few bytes each")

    def _no_chunks(self) -> Unreachable:
        return Unreachable(f"the answer of {self._place} is not in chunks as HTTP has them")


class Lines:
    """Makes whole lines of bytes as they come, whatever the pieces were that a server or a proxy has made of them.

    A line has at most ``limit`` bytes; ``place``: who answers, for errors.
    """

    def __init__(self, place: str, limit: int) -> None:
        self._place = place
        self._limit = limit
        self._line = bytearray()
        self._whole: deque[bytes] = deque()
        self._credit = _FREE

    @property
    def begun(self) -> int:
        """Bytes of a line that is not whole yet."""
        return len(self._line)

    def feed(self, data: bytes) -> None:
        """Take what has come. Raises `TooBig` for a line without end, `Unreachable` for empty ones without end."""
        head, newline, rest = data.rpartition(b"\n")
        if newline:
            lines = (bytes(self._line) + head).split(b"\n")
            whole = [line for line in lines if line.strip()]
            self._credit += sum(map(len, whole)) // _WORTH - (len(lines) - len(whole))
            if self._credit < 0:
                raise Unreachable(f"the watch of {self._place} says nothing but empty lines")
            self._whole += whole
            self._line.clear()
        self._line += rest
        if len(self._line) > self._limit:
            raise TooBig(f"a message of the watch of {self._place} has more than {self._limit} bytes")

    def pop(self) -> bytes | None:
        """The next line that is whole, once."""
        return self._whole.popleft() if self._whole else None
