"""What a server that floods or drips costs a program: memory, processor time, lines. In a process of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from breaker.sources.etcd.keys import MOST_BYTES
from support.drive import PATH
from support.etcd.hostile import (
    CHUNKED,
    CREATED,
    RANGE,
    WATCH,
    Hostile,
    Script,
    Steps,
    at,
    chunk,
    coded,
    event,
    flood,
    header,
    kv,
    whole,
)
from support.etcd.wrong_answers import BOMB, LISTING

SECONDS = float(os.environ.get("HOSTILE_SECONDS", "1.5"))
MEMORY = 5 * MOST_BYTES  # bytes, beyond what the program has before
FOLLOW = """
import json, resource, sys, time
from breaker import Config, Provider
from breaker.sources import EtcdSource
from support.watching import LineLogger

def memory(line):
    with open("/proc/self/status") as status:
        return next(int(row.split()[1]) << 10 for row in status if row.startswith(line))

lines = LineLogger()
source = EtcdSource({endpoint!r}, request_timeout=0.5)
with Provider(Config("svc", {path!r}), logger=lines) as provider:
    before, began, used = memory("VmRSS:"), time.monotonic(), time.process_time()
    provider.follow(source, start_timeout=0)
    time.sleep({seconds})
    took, used = time.monotonic() - began, time.process_time() - used
    closing = time.monotonic()
closing = time.monotonic() - closing
said = [line for line in lines.lines if line[0] not in ("debug", "info")]
print(json.dumps([memory("VmHWM:") - before, used / took, len(said), closing, str(said)[:500]]))
"""


def steps(begin: bytes, data: Callable[[], Steps], path: str = RANGE) -> Script:
    def say() -> Iterator[bytes | float]:
        yield begin
        yield from data()

    return at(path, say)


def byte_by_byte() -> Steps:
    while True:
        yield b" "


def documents(count: int, size: int) -> list[dict[str, object]]:
    return [kv(f"{number:06}.json", " " * size) for number in range(count)]


HEAD = b"HTTP/1.1 200 OK\r\n"
LARGE = {"header": header(), "kvs": documents(180, 65_000), "count": "99999", "more": False}
EMPTY = {"result": {"header": header()}}
CASES: dict[str, Script] = {
    "silence": at(RANGE, lambda: [60.0]),
    "a body without end": steps(HEAD + b"\r\n", lambda: flood(b" ")),
    "a body byte by byte": steps(HEAD + b"\r\n", byte_by_byte),
    "a head byte by byte": steps(HEAD + b"X: ", byte_by_byte),
    "a chunk of 2 GB": steps(CHUNKED + b"7fffffff\r\n", lambda: flood(b"x")),
    "chunks of a byte": steps(CHUNKED, lambda: flood(chunk(b" "))),
    "heads without end": at(RANGE, lambda: flood(b"HTTP/1.1 100 Continue\r\n\r\n")),
    "gzip": at(RANGE, lambda: whole(BOMB, Content_Encoding="gzip")),
    "gzip in secret": at(RANGE, lambda: whole(BOMB)),
    "brackets": at(RANGE, lambda: whole(b'{"a":[' + b"[]," * 5_000_000 + b"[]]}")),
    "objects with space between": at(RANGE, lambda: whole(b'{"a":[' + (b'{"b":"c"},' + b" " * 40) * 300_000 + b"1]}")),
    "documents as large as may be": at(RANGE, lambda: whole(LARGE)),
    "a listing of listings": at(RANGE, lambda: whole(LISTING | {"kvs": [kv()] * 40_000})),
    "a line of 2 GB": steps(CHUNKED + chunk(CREATED) + b"7fffffff\r\n", lambda: flood(b"x"), WATCH),
    "a line byte by byte": steps(CHUNKED + chunk(CREATED) + b"7fffffff\r\n", byte_by_byte, WATCH),
    "blank lines": steps(CHUNKED + chunk(CREATED), lambda: flood(chunk(b"\n" * 4096)), WATCH),
    "blank lines byte by byte": steps(HEAD + b"\r\n", lambda: iter([json.dumps(CREATED).encode()]), WATCH),
    "messages without changes": steps(CHUNKED + chunk(CREATED), lambda: flood(chunk(EMPTY)), WATCH),
    "one change again and again": steps(CHUNKED + chunk(CREATED), lambda: flood(chunk(event())), WATCH),
    "a watch that ends at once": at(WATCH, lambda: [CHUNKED + chunk(CREATED) + b"0\r\n\r\n"]),
    "keys without end": steps(
        CHUNKED + chunk(CREATED),
        lambda: iter(
            chunk(event(number, kv={"key": coded(f"{PATH}{number:09}.json"), "mod_revision": str(number)}))
            for number in range(6, 10**9)
        ),
        WATCH,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_a_hostile_server_costs(case: str, record_property: Callable[[str, object], None]) -> None:
    with Hostile(CASES[case]) as hostile:
        program = FOLLOW.format(endpoint=hostile.endpoint, path=PATH, seconds=SECONDS)
        done = subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
            env={"PYTHONPATH": str(Path(__file__).parents[1])},
        )
    memory, processor, lines, closing, said = json.loads(done.stdout)
    figures = f"{memory >> 20} MiB, {100 * processor:.1f} % of a core, {lines} lines"
    record_property(f"hostile: {case}", figures)
    assert done.stderr == ""
    assert memory < MEMORY, figures
    # A quarter of a second at once, the piece of work that goes beyond it, and a tenth in the long run.
    assert processor * SECONDS < 0.75 + SECONDS / 10, figures
    assert lines <= 2, said
    assert closing < 2
