"""``breaker policy watch``: one line for each change, until it is stopped."""

import json
import signal
import subprocess
import sys
from contextlib import closing
from typing import Any

import pytest

from support.etcd.ports import free_ports
from support.etcd.proxy import Proxy
from support.etcd.server import Server
from support.places import InEtcd, InFiles, Where
from support.shell import breaker, launched, line_with

NAME = "http:payment-api"


def ready(process: "subprocess.Popen[str]") -> str:
    """Wait until it watches."""
    assert process.stderr is not None
    read = ""
    for line in process.stderr:
        read += line
        if line.startswith("watching "):
            break
    return read


def next_line(process: "subprocess.Popen[str]") -> dict[str, Any]:
    assert process.stdout is not None
    line: dict[str, Any] = json.loads(process.stdout.readline())
    return line


def test_each_change_is_a_line(where: Where) -> None:
    where.write(NAME, '{"failureThreshold": 9}')
    with launched("policy", "watch", *where.options) as process:
        assert "watching 1 document at " in ready(process)
        where.write(NAME, '{"failureThreshold": 4, "mode": "shadow"}')
        assert f"changed  {NAME}  failureThreshold 9 -> 4, mode - -> shadow" in line_with(process, NAME)
        where.write("new", "{}")
        assert "created  new" in line_with(process, "new")
        where.write("new", '{"failureThreshold": "5"}')
        assert "NOT VALID: " in line_with(process, "new")
        where.run("policy", "delete", NAME, "--yes")
        assert f"deleted  {NAME}" in line_with(process, NAME)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (130, "", "")


def test_lines_as_json_and_of_some_names_only(where: Where) -> None:
    with launched("policy", "watch", NAME, "--json", "default", *where.options) as process:
        ready(process)
        where.write("other", "{}")
        where.write(NAME, '{"failureThreshold": 4}')
        line = next_line(process)
        assert (line["event"], line["name"], line["valid"], line["error"]) == ("created", NAME, True, None)
        assert (line["changes"], line["document"]) == ({"failureThreshold": [None, 4]}, {"failureThreshold": 4})
        assert line["place"].endswith(f"{where.path}{NAME}.json")
        where.write("default", "[")
        line = next_line(process)
        assert (line["event"], line["name"], line["valid"]) == ("created", "default", False)
        where.run("policy", "delete", NAME, "--yes")
        line = next_line(process)
        assert (line["event"], line["document"], line["changes"]) == ("deleted", None, {"failureThreshold": [4, None]})
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (143, "", "")


def test_a_reader_that_goes_away_ends_it(where: Where) -> None:
    with launched("policy", "watch", *where.options) as process:
        ready(process)
        assert process.stdout is not None
        process.stdout.close()
        where.write(NAME, "{}")
        assert process.wait(20) == 128 + signal.SIGPIPE
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_a_directory_that_goes_and_comes_back(files: InFiles) -> None:
    files.write(NAME, "{}")
    with launched("policy", "watch", "--json", *files.options) as process:
        ready(process)
        moved = files.directory.with_name("moved")
        files.directory.rename(moved)
        line = next_line(process)
        assert (line["event"], "it has been there and is gone" in line["error"]) == ("lost", True)
        (moved / f"{NAME}.json").write_text('{"failureThreshold": 4}')
        moved.rename(files.directory)
        assert next_line(process)["event"] == "regained"
        assert next_line(process)["changes"] == {"failureThreshold": [None, 4]}


def test_a_server_that_goes_and_comes_back(tmp_path_factory: pytest.TempPathFactory) -> None:
    with Server(tmp_path_factory.mktemp("goes")) as server:
        where = InEtcd(server)
        where.write(NAME, "{}")
        with launched("policy", "watch", "--json", *where.options) as process:
            ready(process)
            server.kill()
            line = next_line(process)
            assert (line["event"], server.endpoint in line["error"]) == ("lost", True)
            server.start()
            where.write(NAME, '{"failureThreshold": 4}')
            while (line := next_line(process))["event"] == "lost":
                pass  # once for each way in which it does not answer
            assert line["event"] == "regained"
            assert next_line(process)["changes"] == {"failureThreshold": [None, 4]}


def test_a_directory_that_is_not_there_yet(files: InFiles) -> None:
    with launched("policy", "watch", *files.options) as process:
        said = ready(process)
        assert "does not exist yet" in said
        assert "watching 0 documents" in said
        files.write(NAME, "{}")
        assert f"created  {NAME}" in line_with(process, NAME)


def test_a_source_that_is_not_there_at_first_ends_it(etcd: Server) -> None:
    where = InEtcd(etcd)
    done = where.run("policy", "watch", "x" * 256)
    done.failed(2, "at most 255 bytes")
    where.run("policy", "watch", NAME, "--json", "x" * 256).failed(2, "argument NAME: ", "at most 255 bytes")
    options = ["--source", "etcd://127.0.0.1:1", *where.options[2:]]
    breaker("policy", "watch", *options).failed(3, "nothing listens there")


def test_no_thread_is_left(files: InFiles) -> None:
    script = (
        "import os, signal, sys, threading; from breaker.cli import main; "
        "threading.Timer(1, os.kill, (os.getpid(), signal.SIGINT)).start(); "
        f"code = main(['policy', 'watch', *{files.options!r}]); "
        "assert threading.active_count() == 1, threading.enumerate(); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-X", "dev", "-c", script], capture_output=True, timeout=40, check=False)
    assert done.returncode == 130, done.stderr


def test_one_member_of_two_that_is_away_ends_nothing(etcd: Server) -> None:
    where = InEtcd(etcd)
    (port,) = free_ports(1)
    options = ["--source", f"etcd://127.0.0.1:{port},{etcd.endpoint}", *where.options[2:]]
    with launched("policy", "watch", *options) as process:
        assert "watching 0 documents" in ready(process)
        where.write(NAME, "{}")
        assert f"created  {NAME}" in line_with(process, NAME)


def test_a_server_that_says_nothing_ends_it_in_time(etcd: Server) -> None:
    where = InEtcd(etcd)
    with closing(Proxy(etcd.port)) as network:
        network.blackhole()
        options = ["--source", f"etcd://{network.endpoint}", *where.options[2:], "--timeout", "300ms"]
        breaker("policy", "watch", *options).failed(3, "no answer")
        breaker("policy", "list", *options).failed(3, "no answer")
