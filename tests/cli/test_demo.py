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
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen
from xml.etree import ElementTree

import pytest

from support.etcd.ports import free_ports
from support.etcd.server import Server
from support.status import checked

# Warnings are errors in the demo's process too; dev mode reports what is left open.
COMMAND = [sys.executable, "-X", "dev", "-W", "error", "-m", "breaker"]
DOCUMENTS = "config/dev/demo/breakers"
INVENTORY = "http:inventory-api"
PRICING = "http:pricing-api"
CHANGED = "circuit breaker state changed"
SVG = "{http://www.w3.org/2000/svg}"
UPDATED = "circuit breaker policy updated"


@dataclass(frozen=True)
class Output:
    """What a run printed: its JSON log lines, and the text that comes after them."""

    log: list[dict[str, Any]]
    table: str

    @classmethod
    def of(cls, text: str) -> Output:
        lines, separator, table = text.partition("\nResult:")
        return cls([json.loads(line) for line in lines.splitlines()], separator + table)

    def transitions(self, name: str) -> list[tuple[str, str]]:
        changes = [line for line in self.log if line["msg"] == CHANGED and line["name"] == name]
        return [(line["from"], line["to"]) for line in changes]

    def row(self, title: str) -> list[str]:
        """The cells of one row, in the order of the breakers."""
        row = re.search(rf"^ *{title}(?: \(.*\))?  +(.*)$", self.table, re.MULTILINE)
        assert row is not None, f"no row {title!r} in\n{self.table}"
        return re.split(r"  +", row[1])

    def numbers(self, title: str) -> list[float]:
        return [float(cell.split()[0]) for cell in self.row(title)]


def run(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *args], capture_output=True, text=True, timeout=50, check=False)


@contextmanager
def running(*args: str, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """A process that is over when the block is left."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    with subprocess.Popen([*COMMAND, *args], text=True, **options) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_for(process: subprocess.Popen[str], message: str) -> str:
    """Read lines until one holds ``message``; returns what was read."""
    assert process.stdout is not None
    read = ""
    for line in process.stdout:
        read += line
        if message in line:
            return read
    raise AssertionError(f"no {message!r} in\n{read}")


@pytest.fixture(scope="module", autouse=True)
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Pictures of runs go to where the demo is started."""
    folder = tmp_path_factory.mktemp("pictures")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield folder


@pytest.fixture(scope="module", params=[[], ["--seconds", "6"]], ids=["default", "6 s"])
def finished(request: pytest.FixtureRequest) -> subprocess.CompletedProcess[str]:
    return run("demo", *request.param)


def test_ends_well_and_shows_no_progress_line_without_a_terminal(
    finished: subprocess.CompletedProcess[str],
) -> None:
    assert finished.returncode == 0
    assert finished.stderr == ""
    assert "\r" not in finished.stdout


def test_log_shows_the_whole_cycle(finished: subprocess.CompletedProcess[str]) -> None:
    output = Output.of(finished.stdout)
    transitions = output.transitions(INVENTORY)
    assert {("CLOSED", "OPEN"), ("OPEN", "HALF_OPEN"), ("HALF_OPEN", "CLOSED")} <= set(transitions)
    assert transitions[0] == ("CLOSED", "OPEN")
    assert transitions[-1] == ("HALF_OPEN", "CLOSED")
    assert all(first[1] == second[0] for first, second in pairwise(transitions))
    assert output.transitions(PRICING) == []


def test_policy_changes_while_the_breaker_is_open_and_does_not_move_it(
    finished: subprocess.CompletedProcess[str],
) -> None:
    output = Output.of(finished.stdout)
    messages = [line["msg"] for line in output.log if line.get("name") == INVENTORY]
    update = messages.index(UPDATED)
    # Opened once, then the policy: nothing in between.
    assert messages[:update].count(CHANGED) == 1
    assert output.transitions(INVENTORY)[:2] == [("CLOSED", "OPEN"), ("OPEN", "HALF_OPEN")]
    assert "stayed OPEN, counts kept" in output.table
    # default.json is edited later; both breakers inherit from it.
    assert [line["name"] for line in output.log if line["msg"] == UPDATED].count(PRICING) == 1
    assert "failureThreshold 5 -> 10" in output.table


def test_the_table_adds_up(finished: subprocess.CompletedProcess[str]) -> None:
    output = Output.of(finished.stdout)
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


def test_it_ends_with_a_picture_in_a_file_that_it_names(
    finished: subprocess.CompletedProcess[str], elsewhere: Path
) -> None:
    *_, last = finished.stdout.splitlines()
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
    assert opened == sum(to == "OPEN" for _, to in Output.of(finished.stdout).transitions(INVENTORY))
    kinds = {box.get("class") for box in picture.iter(f"{SVG}rect")}
    assert {"success", "failure", "rejected", "OPEN", "HALF_OPEN", "CLOSED"} <= kinds


def test_the_status_page_is_there_while_it_runs() -> None:
    with running("demo", "--seconds", "4") as process:
        text = wait_for(process, "demo: the status page is there while this runs")
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
    done = run("demo", "--seconds", "1", "--picture", str(tmp_path / "missing" / "run.svg"))
    assert (done.returncode, done.stderr) == (0, "")
    assert "There is no picture of the run: " in done.stdout
    assert "missing/run.svg" in done.stdout


@pytest.mark.parametrize("workers", ["1", "200"])
def test_few_and_many_workers_see_the_same_story(workers: str) -> None:
    done = run("demo", "--seconds", "3", "--workers", workers)
    assert (done.returncode, done.stderr) == (0, "")
    output = Output.of(done.stdout)
    assert output.transitions(INVENTORY)[0] == ("CLOSED", "OPEN")
    assert output.transitions(INVENTORY)[-1] == ("HALF_OPEN", "CLOSED")
    assert output.transitions(PRICING) == []  # the demo does not overload itself


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_it_cleanly(number: signal.Signals, tmp_path: Path) -> None:
    with running("demo", "--seconds", "40", env={**os.environ, "TMPDIR": str(tmp_path)}) as process:
        text = wait_for(process, "circuit breaker created")
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
    with running("demo", "--seconds", "10") as process:
        wait_for(process, "circuit breaker created")
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        # It finds out with the next line that it writes.
        assert process.wait(timeout=30) == 128 + signal.SIGPIPE
        assert process.stderr.read() == ""


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
    with terminal() as (theirs, written), running("demo", "--seconds", "2", stderr=theirs) as process:
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
        running("demo", "--seconds", "2", stdout=theirs, stderr=theirs) as process,
    ):
        process.wait(timeout=50)
    lines = [line.rpartition("\r")[2] for line in written[0].split("\r\n")]
    log = [json.loads(line) for line in lines if line.startswith("{")]
    assert {CHANGED, UPDATED} <= {line["msg"] for line in log}
    assert any(line.startswith("Result: 8 workers") for line in lines)


@pytest.mark.parametrize(
    "args",
    [
        ["--seconds", "0"],
        ["--seconds", "-5"],
        ["--seconds", "soon"],
        ["--seconds", "nan"],
        ["--seconds", "inf"],
        ["--seconds", "1e9"],
        ["--workers", "0"],
        ["--workers", "-1"],
        ["--workers", "2.5"],
        ["--workers", "many"],
        ["--workers", "1000000"],
        ["--picture", ""],
        ["--picture", "/"],
        ["--policies", ""],
        ["--policies", __file__],
        ["--policies", f"{__file__}/below"],
        pytest.param(
            ["--policies", "/proc/breaker-demo"],
            marks=pytest.mark.skipif(sys.platform != "linux", reason="needs a place nobody can write to"),
        ),
        ["--speed", "9"],
    ],
    ids=" ".join,
)
def test_wrong_options_are_one_line_and_exit_code_2(args: list[str]) -> None:
    done = run("demo", *args)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert re.match(r"breaker( demo)?: error: ", done.stderr)
    assert args[0] in done.stderr


def test_missing_and_unknown_commands() -> None:
    for args in ([], ["demos"]):
        done = run(*args)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)


def test_help_and_version() -> None:
    assert "demo" in run("--help").stdout
    for option in ("--seconds", "--workers", "--policies", "--picture"):
        assert option in run("demo", "--help").stdout
    assert re.fullmatch(r"cybreaker \d+\.\d+\.\d+\S*\n", run("--version").stdout)


def test_policies_of_the_user_are_used_and_kept(tmp_path: Path) -> None:
    documents = tmp_path / DOCUMENTS
    documents.mkdir(parents=True)
    own = b'{"failureThreshold": 3, "openStateTimeout": "700ms"}'
    (documents / f"{INVENTORY}.json").write_bytes(own)
    with running("demo", "--seconds", "4", "--policies", str(tmp_path)) as process:
        text = wait_for(process, "circuit breaker created")
        # Somebody else's edit while it runs is obeyed as well.
        (documents / f"{PRICING}.json").write_text('{"successThreshold": 9}')
        rest, errors = process.communicate(timeout=50)
    assert (process.returncode, errors) == (0, "")
    output = Output.of(text + rest)
    opened = next(line for line in output.log if line["msg"] == CHANGED)
    assert opened["failures"] == 3
    assert "openStateTimeout 700ms -> " in output.table
    assert f"{PRICING}: successThreshold 2 -> 9" in output.table
    assert (documents / f"{INVENTORY}.json").read_bytes() == own
    assert sorted(file.name for file in documents.iterdir()) == [
        "default.json",
        f"{INVENTORY}.json",
        f"{PRICING}.json",
    ]


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        ({"failureRateThreshold": 0.5, "window": {"time": "2s"}}, "failure_rate"),
        ({"slowCallRateThreshold": 0.2, "slowCallDuration": "150ms", "window": {"calls": 20}}, "slow_call_rate"),
    ],
    ids=["failure rate", "slow calls"],
)
def test_a_policy_of_the_user_may_have_any_trip_rule(tmp_path: Path, rule: dict[str, object], reason: str) -> None:
    # S205
    documents = tmp_path / DOCUMENTS
    documents.mkdir(parents=True)
    own = json.dumps({"failureThreshold": None, "minimumCalls": 8, "recoveryTime": "200ms", **rule})
    (documents / "default.json").write_text(own)
    done = run("demo", "--seconds", "4", "--policies", str(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    output = Output.of(done.stdout)
    opened = [line for line in output.log if line["msg"] == CHANGED and line["to"] == "OPEN"]
    assert reason in {line["reason"] for line in opened}
    assert f"{PRICING}: failureThreshold None -> 5" in output.table
    assert (documents / "default.json").read_text() == own


def test_a_demo_whose_breaker_rejects_none_says_so(tmp_path: Path) -> None:
    documents = tmp_path / DOCUMENTS
    documents.mkdir(parents=True)
    (documents / "default.json").write_text('{"mode": "shadow"}')
    done = run("demo", "--seconds", "2", "--policies", str(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    assert "while it failed: its breaker rejected none." in Output.of(done.stdout).table


def test_a_broken_document_of_the_user_is_reported_and_left_alone(tmp_path: Path) -> None:
    documents = tmp_path / DOCUMENTS
    documents.mkdir(parents=True)
    (documents / f"{INVENTORY}.json").write_text('{"failureThreshold": ')
    done = run("demo", "--seconds", "2", "--policies", str(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    messages = [line["msg"] for line in Output.of(done.stdout).log]
    assert "circuit breaker policy rejected" in messages
    assert "demo: the policy stays as it is" in messages
    assert (documents / f"{INVENTORY}.json").read_text() == '{"failureThreshold": '


def test_policies_in_etcd_are_used_and_kept(tmp_path: Path) -> None:
    with Server(tmp_path) as etcd:
        etcd.api.put(f"/{DOCUMENTS}/default.json", '{"failureThreshold": 4}')
        done = run("demo", "--seconds", "4", "--etcd", etcd.endpoint)
        assert (done.returncode, done.stderr) == (0, "")
        output = Output.of(done.stdout)
        assert ("CLOSED", "OPEN") in output.transitions(INVENTORY)
        assert [line["changed"] for line in output.log if line["msg"] == UPDATED and line["name"] == PRICING] == [
            {"failureThreshold": [4, 8]}
        ]
        assert etcd.api.documents(f"/{DOCUMENTS}/")["default.json"] == b'{"failureThreshold": 4}'


def test_an_etcd_that_is_not_there_ends_the_demo_with_one_line() -> None:
    done = run("demo", "--etcd", f"127.0.0.1:{free_ports(1)[0]}")
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("breaker demo: error: cannot connect to etcd at")


def test_policies_are_in_files_or_in_etcd(tmp_path: Path) -> None:
    done = run("demo", "--etcd", "127.0.0.1:1", "--policies", str(tmp_path))
    assert done.returncode == 2
    assert "not allowed with argument" in done.stderr
