"""`configure_json` into files, pipes and what only looks like one; and a fork while the program writes."""

import bz2
import gzip
import json
import lzma
import os
import select
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO, cast

import pytest
import structlog

from breaker import Breaker, Policy, logs
from support.drive import NAME, Boom, Providers, fail
from support.processes import fork_and_check, run_python

pytestmark = pytest.mark.usefixtures("fresh_structlog")


@pytest.fixture
def logged(provider_of: Providers) -> Callable[[], Breaker]:
    """A breaker whose events are logged as structlog is configured then."""
    return lambda: provider_of(Policy(1, 1, 60), logger=structlog.get_logger("breaker")).get_breaker(NAME)


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What was handed to each `os.write`."""
    made, really = list[bytes](), os.write

    def write(descriptor: int, data: bytes) -> int:
        made.append(bytes(data))
        return really(descriptor, data)

    monkeypatch.setattr("os.write", write)
    return made


def test_a_line_is_one_write(tmp_path: Path, logged: Callable[[], Breaker], writes: list[bytes]) -> None:
    # S183
    with open(tmp_path / "log", "w", encoding="utf-8") as stream:
        logs.configure_json(stream, "debug")
        fail(logged(), error=Boom("☃" * 20_000))
        text = (tmp_path / "log").read_bytes()
    assert text == b"".join(writes)
    assert [json.loads(line)["msg"] for line in writes] == [
        "circuit breaker created",
        "operation failed",
        "circuit breaker state changed",
    ]


def test_a_line_into_a_named_temporary_file_is_one_write(
    tmp_path: Path, logged: Callable[[], Breaker], writes: list[bytes]
) -> None:
    # S183
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=tmp_path) as stream:
        logs.configure_json(cast(TextIO, stream))
        fail(logged())
        assert Path(stream.name).read_bytes() == b"".join(writes)
    assert [json.loads(line)["msg"] for line in writes] == ["circuit breaker created", "circuit breaker state changed"]


def test_a_temporary_file_in_memory_is_written_to(logged: Callable[[], Breaker], writes: list[bytes]) -> None:
    with tempfile.SpooledTemporaryFile(mode="w+", encoding="utf-8") as stream:
        logs.configure_json(cast(TextIO, stream))
        logged()
        stream.seek(0)
        assert json.loads(stream.read())["msg"] == "circuit breaker created"
    assert writes == []


def test_what_the_program_writes_itself_is_not_lost(tmp_path: Path, logged: Callable[[], Breaker]) -> None:
    with open(tmp_path / "log", "w", encoding="utf-8") as stream:
        logs.configure_json(stream)
        stream.write("before\n")
        logged()
        stream.write("after\n")
    first, *rest = (tmp_path / "log").read_text().splitlines()
    assert json.loads(first)["msg"] == "circuit breaker created"
    assert rest == ["before", "after"]


def test_a_pipe_that_takes_a_part_gets_the_rest(logged: Callable[[], Breaker], monkeypatch: pytest.MonkeyPatch) -> None:
    really, reader = os.write, os.pipe()
    monkeypatch.setattr("os.write", lambda descriptor, data: really(descriptor, data[:7]))
    with open(reader[0], encoding="utf-8") as source, open(reader[1], "w", encoding="utf-8") as stream:
        logs.configure_json(stream)
        logged()
        assert json.loads(source.readline())["name"] == NAME


@pytest.mark.parametrize("opened", [gzip.open, bz2.open, lzma.open], ids=["gzip", "bz2", "lzma"])
def test_a_compressed_file_stays_one(tmp_path: Path, logged: Callable[[], Breaker], opened: Callable[..., Any]) -> None:
    with opened(tmp_path / "log", "wt", encoding="utf-8") as stream:
        logs.configure_json(stream)
        logged()
    with opened(tmp_path / "log", "rt", encoding="utf-8") as stream:
        assert json.loads(stream.read())["msg"] == "circuit breaker created"


def test_a_file_in_another_encoding_stays_one(tmp_path: Path, logged: Callable[[], Breaker]) -> None:
    with open(tmp_path / "log", "w", encoding="utf-16") as stream:
        logs.configure_json(stream)
        breaker = logged()
        fail(breaker)
    lines = (tmp_path / "log").read_text(encoding="utf-16").splitlines()
    assert [json.loads(line)["name"] for line in lines] == [NAME, NAME]


def test_a_wrapper_that_passes_on_what_it_does_not_know_is_written_to(
    tmp_path: Path, logged: Callable[[], Breaker]
) -> None:
    class Upper:
        """As programs wrap standard output, to colour it or to count."""

        def __init__(self, stream: Any) -> None:
            self.stream = stream

        def __getattr__(self, name: str) -> Any:
            return getattr(self.stream, name)

        def write(self, text: str) -> int:
            return int(self.stream.write(text.upper()))

    with open(tmp_path / "log", "w", encoding="utf-8") as stream:
        logs.configure_json(Upper(stream))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        logged()
    assert "CIRCUIT BREAKER CREATED" in (tmp_path / "log").read_text()


def test_an_unbuffered_standard_output_is_written_to() -> None:
    program = """
import structlog, sys
from breaker import Provider, get_default_config, logs
logs.configure_json()
print("first", flush=True)
Provider(get_default_config("svc", "dev"), logger=structlog.get_logger()).get_breaker("x")
"""
    for options in ([], ["-u"]):
        first, line = run_python(program, *options).splitlines()
        assert (first, json.loads(line)["name"]) == ("first", "x")


def test_a_child_does_not_hang_in_the_lock_of_a_stream(logged: Callable[[], Breaker]) -> None:
    """A thread of the parent is in the middle of a write to the same stream while it forks."""
    # S183
    reader, writer = os.pipe()
    much = 200_000  # more than a pipe holds: the thread waits inside the lock
    with open(writer, "w", encoding="utf-8") as stream:
        breaker = logged()
        logs.configure_json(stream)
        holder = threading.Thread(target=stream.buffer.write, args=(b"y" * much,))
        holder.start()
        while select.select([], [writer], [], 0)[1]:
            time.sleep(0.001)

        def child() -> None:
            left = much
            while left:
                left -= len(os.read(reader, left))  # else there is no room for the line
            fail(breaker)
            assert b"circuit breaker state changed" in os.read(reader, 4096)

        fork_and_check(child, seconds=10)
        holder.join()
    os.close(reader)
