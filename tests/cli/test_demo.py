"""``python -m breaker demo`` as its users meet it: a process, its output, its exit code."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen
from xml.etree import ElementTree

import pytest

from support.demo import CHANGED, INVENTORY, PRICING, UPDATED, Output
from support.shell import COMMAND, Done, in_a_process, launched, read_until
from support.status import checked

# Its calls have limits of fractions of a second, which they keep unless the processors are busy.
pytestmark = pytest.mark.undisturbed
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module", autouse=True)
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Pictures of runs go to where the demo is started."""
    folder = tmp_path_factory.mktemp("pictures")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield folder


@pytest.fixture(scope="module", params=[[], ["--seconds", "6"]], ids=["default", "6 s"])
def finished(request: pytest.FixtureRequest) -> Done:
    return in_a_process("demo", *request.param, seconds=50)


def test_ends_well_and_shows_no_progress_line_without_a_terminal(finished: Done) -> None:
    assert finished.code == 0
    assert finished.err == ""
    assert "\r" not in finished.out


def test_log_shows_the_whole_cycle(finished: Done) -> None:
    output = Output.of(finished.out)
    transitions = output.transitions(INVENTORY)
    assert {("CLOSED", "OPEN"), ("OPEN", "HALF_OPEN"), ("HALF_OPEN", "CLOSED")} <= set(transitions)
    assert transitions[0] == ("CLOSED", "OPEN")
    assert transitions[-1] == ("HALF_OPEN", "CLOSED")
    assert all(first[1] == second[0] for first, second in pairwise(transitions))
    assert output.transitions(PRICING) == []


def test_policy_changes_while_the_breaker_is_open_and_does_not_move_it(finished: Done) -> None:
    output = Output.of(finished.out)
    messages = [line["msg"] for line in output.log if line.get("name") == INVENTORY]
    update = messages.index(UPDATED)
    # Opened once, then the policy: nothing in between.
    assert messages[:update].count(CHANGED) == 1
    assert output.transitions(INVENTORY)[:2] == [("CLOSED", "OPEN"), ("OPEN", "HALF_OPEN")]
    assert "stayed OPEN, counts kept" in output.table
    # default.json is edited later; both breakers inherit from it.
    assert [line["name"] for line in output.log if line["msg"] == UPDATED].count(PRICING) == 1
    assert "failureThreshold 5 -> 10" in output.table


def test_the_table_adds_up(finished: Done) -> None:
    output = Output.of(finished.out)
    calls, rejected = output.numbers("calls"), output.numbers("rejected")
    parts = [output.numbers(title) for title in ("successes", "failures", "late")]
    parts += [output.numbers(title) for title in ("ignored",) if f"  {title} " in output.table]
    assert calls == [sum(column) for column in zip(*parts, rejected, strict=True)]
    assert calls[0] == calls[1] > 100
    assert output.numbers("failures")[0] >= 5
    assert rejected[0] > 0 == rejected[1]
    assert output.numbers("downstream service spared") == rejected
    assert output.numbers("how long open")[0] > 0 == output.numbers("how long open")[1]
    assert output.row("state at the end") == ["CLOSED", "CLOSED"]
    assert output.numbers("policy changes applied") == [2, 1]
    assert min(output.numbers("calls per second")) > 0


def test_it_ends_with_a_picture_in_a_file_that_it_names(finished: Done, elsewhere: Path) -> None:
    *_, last = finished.out.splitlines()
    file = Path(last.removeprefix("A picture of the run: "))
    assert file == elsewhere / "breaker-demo.svg"
    picture = ElementTree.parse(file).getroot()
    assert picture.tag == f"{SVG}svg"
    texts = [text.text for text in picture.iter(f"{SVG}text")]
    assert {INVENTORY, PRICING, "slow and failing", "closed", "open", "succeeded", "failed", "rejected"} <= set(texts)
    assert "failureThreshold 5 -> 10" in texts
    described = picture.findtext(f"{SVG}desc")
    assert described is not None
    opened = len(re.findall("open from", described.partition(f"{INVENTORY} is")[2].replace("half open", "")))
    assert opened == sum(to == "OPEN" for _, to in Output.of(finished.out).transitions(INVENTORY))
    kinds = {box.get("class") for box in picture.iter(f"{SVG}rect")}
    assert {"success", "failure", "rejected", "OPEN", "HALF_OPEN", "CLOSED"} <= kinds


def test_the_status_page_is_there_while_it_runs() -> None:
    with launched("demo", "--seconds", "4") as process:
        text = read_until(process, "demo: the status page is there while this runs")
        url = json.loads(text.splitlines()[-1])["url"]
        with urlopen(url, timeout=10) as page:
            assert "Circuit breakers" in page.read().decode()
        with urlopen(url + "breakers", timeout=10) as answer:
            shown = checked(json.load(answer))
        process.communicate(timeout=50)
    assert shown["service"] == "demo"
    assert {breaker["name"] for breaker in shown["breakers"]} <= {INVENTORY, PRICING}
    with pytest.raises(URLError):
        urlopen(url, timeout=10)


def test_a_picture_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    done = in_a_process("demo", "--seconds", "1", "--picture", str(tmp_path / "missing" / "run.svg"))
    assert (done.code, done.err) == (0, "")
    assert "There is no picture of the run: " in done.out
    assert "missing/run.svg" in done.out


@pytest.mark.parametrize("workers", ["1", "200"])
def test_few_and_many_workers_see_the_same_story(workers: str) -> None:
    done = in_a_process("demo", "--seconds", "3", "--workers", workers)
    assert (done.code, done.err) == (0, "")
    output = Output.of(done.out)
    assert output.transitions(INVENTORY)[0] == ("CLOSED", "OPEN")
    assert output.transitions(INVENTORY)[-1] == ("HALF_OPEN", "CLOSED")
    assert output.transitions(PRICING) == []  # the demo does not overload itself


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_it_cleanly(number: signal.Signals, tmp_path: Path) -> None:
    with launched("demo", "--seconds", "40", env={**os.environ, "TMPDIR": str(tmp_path)}) as process:
        text = read_until(process, "circuit breaker created")
        time.sleep(0.5)
        process.send_signal(number)
        process.send_signal(number)  # impatient users press twice
        rest, errors = process.communicate(timeout=10)
    assert process.returncode == 128 + number
    assert errors == ""
    output = Output.of(text + rest)
    assert "stopped after" in output.table
    assert output.numbers("calls")[0] > 0
    assert list(tmp_path.iterdir()) == []  # the temporary policies are gone


def test_no_thread_is_left() -> None:
    script = (
        "import threading; from breaker.cli import main; "
        "assert main(['demo', '--seconds', '1']) == 0; "
        "assert threading.active_count() == 1, threading.enumerate()"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_reader_that_goes_away_ends_it_without_a_traceback() -> None:
    with launched("demo", "--seconds", "10") as process:
        read_until(process, "circuit breaker created")
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        # It finds out with the next line that it writes.
        assert process.wait(timeout=30) == 128 + signal.SIGPIPE
        assert process.stderr.read() == ""


def test_standard_output_that_is_full(tmp_path: Path) -> None:
    with open("/dev/full", "w") as full:
        done = in_a_process("demo", "--seconds", "10", stdout=full, capture_output=False, stderr=subprocess.PIPE)
    done.failed(1, "cannot write to standard output: No space left on device")


def test_standard_output_that_is_closed_from_the_start() -> None:
    shell = subprocess.run(
        ["sh", "-c", '"$@" >&-', "sh", *COMMAND, "demo", "--seconds", "1"],
        stderr=subprocess.PIPE,
        text=True,
        timeout=50,
        check=False,
    )
    assert (shell.returncode, shell.stderr) == (128 + signal.SIGPIPE, "")


@contextmanager
def terminal() -> Iterator[tuple[int, list[str]]]:
    """A pseudo-terminal: its end for the process, and a list that holds all its text after the block."""
    ours, theirs = pty.openpty()
    written: list[str] = []

    def read() -> None:
        chunks = []
        try:
            while chunk := os.read(ours, 65536):
                chunks.append(chunk)
        except OSError:  # how Linux reports that the other end is closed
            pass
        written.append(b"".join(chunks).decode())

    reader = threading.Thread(target=read)
    reader.start()
    try:
        yield theirs, written
    finally:
        os.close(theirs)
        reader.join(timeout=10)
        os.close(ours)


def test_progress_line_on_a_terminal() -> None:
    with terminal() as (theirs, written), launched("demo", "--seconds", "2", stderr=theirs) as process:
        text, _ = process.communicate(timeout=50)
    assert process.returncode == 0
    assert Output.of(text).log  # standard output is as it is without a terminal
    shown = [part.strip() for part in written[0].split("\r") if part.strip()]
    assert len(shown) > 5
    assert all("of 2 s" in part and f"{INVENTORY} " in part for part in shown)
    assert any(f"{INVENTORY} OPEN (next try in" in part for part in shown)
    assert "\n" not in written[0]
    assert written[0].endswith(" \r")  # cleared at the end


def test_log_lines_and_progress_share_a_terminal() -> None:
    with (
        terminal() as (theirs, written),
        launched("demo", "--seconds", "2", stdout=theirs, stderr=theirs) as process,
    ):
        process.wait(timeout=50)
    lines = [line.rpartition("\r")[2] for line in written[0].split("\r\n")]
    log = [json.loads(line) for line in lines if line.startswith("{")]
    assert {CHANGED, UPDATED} <= {line["msg"] for line in log}
    assert any(line.startswith("Result: 8 workers") for line in lines)
