"""Lines of a chunked answer come out whole, whatever the network and the proxies made of them."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breaker.errors import TooBig, Unreachable
from breaker.sources.etcd.gateway.chunks import Chunks, Lines

LINES = [b'{"result":{"created":true}}', b"{}", b'{"x":"' + b"y" * 300 + b'"}']
PLACE = "etcd at http://a:1"


class ChunkedLines:
    """Chunks and lines one behind the other, as a watch has them."""

    def __init__(self, *, chunked: bool, limit: int) -> None:
        self._chunks = Chunks(PLACE) if chunked else None
        self._lines = Lines(PLACE, limit)
        self.pop = self._lines.pop

    @property
    def ended(self) -> bool:
        return self._chunks is not None and self._chunks.ended

    def feed(self, data: bytes) -> None:
        self._lines.feed(data if self._chunks is None else self._chunks.feed(data)[0])


def all_of(lines: ChunkedLines) -> list[bytes]:
    found = []
    while (line := lines.pop()) is not None:
        found.append(line)
    return found


def cut(data: bytes, places: list[int]) -> list[bytes]:
    marks = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[start:end] for start, end in itertools.pairwise(marks)]


@given(chunks=st.lists(st.integers(0, 10_000), max_size=12), packets=st.lists(st.integers(0, 10_000), max_size=12))
def test_lines_come_out_whole_however_they_are_cut(chunks: list[int], packets: list[int]) -> None:
    body = b"".join(line + b"\n" for line in LINES)
    coded = b"".join(b"%x;ext=1\r\n%s\r\n" % (len(chunk), chunk) for chunk in cut(body, chunks) if chunk) + b"0\r\n\r\n"
    lines, found = ChunkedLines(chunked=True, limit=1000), []
    for packet in cut(coded, packets):
        lines.feed(packet)
        found += all_of(lines)
    assert found == LINES
    assert lines.ended


@given(packets=st.lists(st.integers(0, 10_000), max_size=12))
def test_lines_without_chunks_come_out_whole(packets: list[int]) -> None:
    lines, found = ChunkedLines(chunked=False, limit=1000), []
    for packet in cut(b"".join(line + b"\n" for line in LINES), packets):
        lines.feed(packet)
        found += all_of(lines)
    assert found == LINES
    assert not lines.ended


def test_a_line_without_end_is_refused() -> None:
    lines = ChunkedLines(chunked=False, limit=100)
    lines.feed(b"x" * 100)
    with pytest.raises(TooBig, match="more than 100 bytes"):
        lines.feed(b"x")


@pytest.mark.parametrize(
    "garbage",
    [
        *(b"no size\r\n", b"x" * 2000, b"-5\r\n", b"-1\r\n", b"+5\r\n", b"0x5\r\n", b"\r\n", b"1_0\r\n", b";x\r\n"),
        *(b"f" * 17 + b"\r\n", b"1\r\nab", b"1\r\na\r\r\n", b"1\r\na1\r\n", b"0\r\n" + b"a: b\r\n" * 4000),
    ],
    ids=lambda garbage: ascii(garbage[:12]),
)
def test_what_is_no_chunk_is_refused(garbage: bytes) -> None:
    with pytest.raises(Unreachable, match="not in chunks"):
        ChunkedLines(chunked=True, limit=100).feed(garbage)


def test_empty_lines_say_nothing() -> None:
    lines = ChunkedLines(chunked=False, limit=100)
    lines.feed(b"\n\r\n{}\n")
    assert all_of(lines) == [b"{}"]


def test_trailers_belong_to_the_answer_and_what_follows_does_not() -> None:
    chunks = Chunks(PLACE)
    assert chunks.feed(b"2\r\nab\r\n0\r\nTrailer: x\r\n") == (b"ab", b"")
    assert not chunks.ended
    assert chunks.feed(b"\r\nHTTP/1.1") == (b"", b"HTTP/1.1")
    assert chunks.ended


def test_chunks_of_a_byte_each_are_given_up_and_some_are_not() -> None:
    chunks = Chunks(PLACE)
    for _ in range(4):
        chunks.feed(b"1\r\nx\r\n" * 1000)
    with pytest.raises(Unreachable, match=r"chunks of a few bytes each"):
        chunks.feed(b"1\r\nx\r\n" * 1000)


def test_chunks_as_large_as_messages_never_end() -> None:
    chunks = Chunks(PLACE)
    for _ in range(100):
        chunks.feed(b"40\r\n" + b"x" * 64 + b"\r\n" + b"50\r\n" + b"x" * 80 + b"\r\n" * 1)
    message = b"70\r\n" + b"x" * 0x70 + b"\r\n"
    assert sum(len(chunks.feed(message * 100)[0]) for _ in range(200)) == 0x70 * 20_000


def test_empty_lines_without_end_are_given_up() -> None:
    lines = Lines(PLACE, 1000)
    for _ in range(20):
        lines.feed(b"\r\n \n" * 100)
    with pytest.raises(Unreachable, match="etcd at http://a:1 says nothing but empty lines"):
        lines.feed(b"\n" * 100_000)


def test_a_size_that_is_large_is_only_a_number() -> None:
    chunks = Chunks(PLACE)
    assert chunks.feed(b"ffffffffffffffff\r\nabc") == (b"abc", b"")
