"""Lines of a chunked answer come out whole, whatever the network and the proxies made of them."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breaker.errors import TooBig, Unreachable
from breaker.sources.etcd.gateway.chunks import ChunkedLines

LINES = [b'{"result":{"created":true}}', b"{}", b'{"x":"' + b"y" * 300 + b'"}']


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


@pytest.mark.parametrize("garbage", [b"no size\r\n", b"x" * 2000, b"-5\r\n"])
def test_what_is_no_chunk_is_refused(garbage: bytes) -> None:
    with pytest.raises(Unreachable, match="not in chunks"):
        ChunkedLines(chunked=True, limit=100).feed(garbage)


def test_empty_lines_say_nothing() -> None:
    lines = ChunkedLines(chunked=False, limit=100)
    lines.feed(b"\n\r\n{}\n")
    assert all_of(lines) == [b"{}"]
