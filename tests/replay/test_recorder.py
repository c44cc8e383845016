"""`breaker.replay.record`: the calls of a running program in a file, bounded, and gone without a trace when it ends."""

import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from breaker import Policy, Provider
from breaker._core import recorded_calls
from breaker.replay import read_calls, record
from breaker.testing import ManualClock
from support.drive import NAME, Boom, Providers, fail, rejected, succeed
from support.processes import fork_and_check


@pytest.fixture
def provider(provider_of: Providers) -> Provider:
    return provider_of(Policy(2, 1, 10))


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_every_call_is_a_line_in_the_order_of_ends(provider: Provider, clock: ManualClock, tmp_path: Path) -> None:
    path = tmp_path / "calls.jsonl"
    clock.advance(5)
    breaker = provider.get_breaker(NAME)
    with record(provider, path) as recording:
        clock.advance(1)
        breaker.do(clock.advance, 0.25)
        fail(breaker, 2)
        rejected(breaker)
    assert (recording.calls, recording.lost, recording.problem, recording.closed) == (4, 0, "", True)
    head, *calls = lines(path)
    assert (head["recording"], head["service"], head["share"]) == (1, "svc", 1.0)
    assert calls == [
        {"at": 1.0, "name": NAME, "took": 0.25, "outcome": "success"},
        {"at": 1.25, "name": NAME, "took": 0, "outcome": "failure"},
        {"at": 1.25, "name": NAME, "took": 0, "outcome": "failure"},
        {"at": 1.25, "name": NAME, "outcome": "rejected"},
    ]


def test_what_was_written_is_read(provider: Provider, clock: ManualClock, tmp_path: Path) -> None:
    path = tmp_path / "calls.jsonl"
    name = 'queue:"é"\n\u2028'
    with record(provider, path):
        first = provider.get_breaker(name).acquire()
        clock.advance(0.123456789)
        fail(provider.get_breaker(name))
        first.success()
    with path.open(encoding="utf-8") as file:
        read = read_calls(file, str(path))
    took = 123_456_789
    assert read.calls == [(0, name, took, "success"), (took, name, 0, "failure")]
    assert (read.share, read.lost) == (1.0, 0)
    assert read.started is not None


def test_breakers_that_come_and_go_are_recorded_from_their_first_to_their_last_call(
    provider: Provider, tmp_path: Path
) -> None:
    path = tmp_path / "calls.jsonl"
    with record(provider, path):
        succeed(provider.get_breaker("first"))
        provider.remove("first")
        fail(provider.get_breaker("second"))
    assert [(call["name"], call["outcome"]) for call in lines(path)[1:]] == [
        ("first", "success"),
        ("second", "failure"),
    ]


def test_a_closed_recording_keeps_nothing_more(provider: Provider, tmp_path: Path) -> None:
    path = tmp_path / "calls.jsonl"
    recording = record(provider, path)
    recording.close()
    recording.close()
    succeed(provider.get_breaker(NAME))
    assert len(lines(path)) == 1
    assert not any(thread.name == "breaker-recorder" for thread in threading.enumerate())
    with record(provider, tmp_path / "another"):
        succeed(provider.get_breaker(NAME))
    assert len(lines(tmp_path / "another")) == 2


def test_a_recording_ends_before_its_file_is_too_large(
    provider_of: Providers, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    provider = provider_of(Policy(3), logger=logging.getLogger("test.recorder"))
    path = tmp_path / "calls.jsonl"
    recording = record(provider, path, max_bytes=1000)
    for _ in range(50):
        succeed(provider.get_breaker(NAME))
    recording.close()
    assert path.stat().st_size <= 1000
    assert "max_bytes" in recording.problem
    assert "recording of calls ended" in caplog.messages[-1]
    assert read_calls(path.read_text().splitlines(keepends=True)).calls == []  # what came at once was too much


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full here")
def test_a_full_disk_ends_a_recording_and_fails_no_call(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    """The open flags of a new file are taken away, for this one is there."""
    monkeypatch.setattr(os, "O_EXCL", 0)
    recording = record(provider, "/dev/full")
    succeed(provider.get_breaker(NAME), 3)
    recording.close()
    assert recording.problem == "/dev/full cannot be written: No space left on device"
    assert recording.calls == 0


def test_a_file_that_exists_is_left_alone(provider: Provider, tmp_path: Path) -> None:
    path = tmp_path / "calls.jsonl"
    path.write_text("mine")
    with pytest.raises(FileExistsError):
        record(provider, path)
    assert path.read_text() == "mine"
    with record(provider, tmp_path / "other"):
        pass


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"provider": Provider}, "the class Provider"),
        ({"provider": None}, "NoneType"),
        ({"share": "all"}, "share must be a number"),
        ({"share": True}, "share must be a number"),
        ({"share": 0.0}, "above 0, at most 1, got 0.0"),
        ({"share": float("nan")}, "above 0, at most 1, got nan"),
        ({"share": 1.5}, "above 0, at most 1, got 1.5"),
        ({"max_bytes": 10.0}, "max_bytes must be a whole number"),
        ({"max_bytes": 10}, "max_bytes must be 1000 or more"),
    ],
)
def test_wrong_arguments_are_refused_and_make_no_file(
    provider: Provider, tmp_path: Path, wrong: dict[str, Any], message: str
) -> None:
    given: dict[str, Any] = {"provider": provider, "path": tmp_path / "calls.jsonl"} | wrong
    with pytest.raises((TypeError, ValueError), match=message):
        record(**given)
    assert not (tmp_path / "calls.jsonl").exists()


def test_a_provider_is_recorded_once_at_a_time(provider: Provider, tmp_path: Path) -> None:
    with record(provider, tmp_path / "one"), pytest.raises(ValueError, match="recorded already"):
        record(provider, tmp_path / "two")
    assert not (tmp_path / "two").exists()


class Clock(ManualClock):
    """One that does something else, once or for a while, when it is read."""

    instead: Callable[[], object] | None = None

    def __call__(self) -> int:
        if self.instead is not None:
            self.instead()
        return super().__call__()


def broken() -> None:
    raise RuntimeError("the clock is broken")


def test_a_recording_that_cannot_begin_leaves_nothing(provider_of: Providers, tmp_path: Path) -> None:
    path, clock = tmp_path / "calls.jsonl", Clock()
    provider = provider_of(Policy(2), clock=clock)
    breaker = provider.get_breaker(NAME)
    readings: list[int] = []

    def breaks_at_the_second_breaker() -> None:
        readings.append(1)
        if len(readings) == 3:  # the first is of the recording itself
            broken()

    provider.get_breaker("another")
    for instead in (broken, breaks_at_the_second_breaker):
        clock.instead = instead
        with pytest.raises(RuntimeError, match="the clock is broken"):
            record(provider, path)
        assert not path.exists()
    clock.instead = None
    succeed(breaker)
    assert recorded_calls(breaker) == ([], 0)
    with record(provider, path):
        succeed(breaker)
    assert [line.get("outcome") for line in lines(path)] == [None, "success"]


def test_a_second_recording_while_the_first_begins_is_refused(provider_of: Providers, tmp_path: Path) -> None:
    """As by another thread at that moment."""
    clock = Clock()
    provider = provider_of(Policy(2), clock=clock)
    refused: list[str] = []

    def begin_another() -> None:
        clock.instead = None
        with pytest.raises(ValueError, match="recorded already"):
            record(provider, tmp_path / "another")
        refused.append("once")

    clock.instead = begin_another
    with record(provider, tmp_path / "one"):
        pass
    assert refused == ["once"]
    assert not (tmp_path / "another").exists()


def test_a_clock_that_breaks_meanwhile_ends_nothing(provider_of: Providers, tmp_path: Path) -> None:
    path, clock = tmp_path / "calls.jsonl", Clock()
    provider = provider_of(Policy(2), clock=clock)
    removed, kept = provider.get_breaker("removed"), provider.get_breaker("kept")
    with record(provider, path) as recording:
        succeed(removed)
        tried = threading.Event()

        def breaks() -> None:
            tried.set()
            broken()

        clock.instead = breaks
        provider.remove("removed")
        assert tried.wait(20)
        clock.instead = None
        succeed(kept)
    assert (recording.calls, recording.problem) == (2, "")
    assert [line.get("name") for line in lines(path)] == [None, "removed", "kept"]


def test_a_clock_that_is_broken_at_the_end_is_said(
    provider_of: Providers, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, clock = tmp_path / "calls.jsonl", Clock()
    provider = provider_of(Policy(2), clock=clock, logger=logging.getLogger("test.recorder"))
    with record(provider, path) as recording:
        succeed(provider.get_breaker(NAME))
        clock.instead = broken
    clock.instead = None
    assert (
        recording.problem == f"calls of {NAME!r} stay slower, for the clock raised RuntimeError('the clock is broken')"
    )
    assert caplog.records[-1].breaker_reason == recording.problem  # type: ignore[attr-defined]
    assert len(lines(path)) == 2


def test_a_path_of_bytes(provider: Provider, tmp_path: Path) -> None:
    with record(provider, os.fsencode(tmp_path / "é.jsonl")) as recording:  # type: ignore[arg-type]
        succeed(provider.get_breaker(NAME))
    assert recording.path == str(tmp_path / "é.jsonl")
    assert len(lines(tmp_path / "é.jsonl")) == 2


def test_calls_of_threads_while_they_are_written(provider_of: Providers, tmp_path: Path) -> None:
    provider = provider_of(Policy(10**6), clock=None)
    path = tmp_path / "calls.jsonl"

    def work(number: int) -> None:
        breaker = provider.get_breaker(f"name-{number % 2}")
        for _ in range(500):
            breaker.do(int)
            with pytest.raises(Boom):
                breaker.do(boom)

    with record(provider, path) as recording:
        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert recording.calls + recording.lost == 4000
    read = read_calls(path.read_text().splitlines(keepends=True))
    assert len(read.calls) + read.lost == 4000
    assert all(call.took is not None for call in read.calls)


def boom() -> None:
    raise Boom


def test_a_share_is_named_in_the_file(provider: Provider, tmp_path: Path) -> None:
    path = tmp_path / "calls.jsonl"
    with record(provider, path, share=0.5) as recording:
        for _ in range(400):
            provider.get_breaker(NAME).do(int)
    read = read_calls(path.read_text().splitlines(keepends=True))
    assert read.share == 0.5
    assert 100 < len(read.calls) == recording.calls < 300


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this platform")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_writes_nothing_and_may_record_itself(provider: Provider, tmp_path: Path) -> None:
    path, own = tmp_path / "parents", tmp_path / "own"
    breaker = provider.get_breaker(NAME)
    recording = record(provider, path)
    succeed(breaker)

    def child() -> None:
        assert recording.closed
        fail(breaker)
        recording.close()
        with record(provider, own):
            succeed(breaker)

    fork_and_check(child)
    recording.close()
    assert [line.get("outcome") for line in lines(path)] == [None, "success"]
    assert [line.get("outcome") for line in lines(own)] == [None, "success"]


def test_the_end_of_the_program_writes_what_is_left(tmp_path: Path) -> None:
    path = tmp_path / "calls.jsonl"
    program = (
        "from breaker import Config, Provider\n"
        "from breaker.replay import record\n"
        "provider = Provider(Config('svc', '/policies/'))\n"
        f"recording = record(provider, {str(path)!r})\n"
        "provider.get_breaker('a').do(int)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=30)
    assert [line.get("outcome") for line in lines(path)] == [None, "success"]
