"""Standard streams that are closed, full, of another encoding or gone: no traceback, and nothing half done."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import termios
from pathlib import Path
from typing import Any

import pytest

from support.places import InFiles
from support.shell import COMMAND, asleep, in_a_process, launched
from support.watching import eventually

NAME = "http:payment-api"
ALL = [
    ["policy", "list"],
    ["policy", "get", NAME],
    ["policy", "diff", NAME],
    ["policy", "validate"],
    ["policy", "set", NAME, "failureThreshold=3", "--yes"],
    ["shadow", NAME],
    ["doctor"],
]
WITHOUT_SOURCE = [["--help"], ["policy", "set", "--help"], ["--version"], ["completion", "bash"], ["policy", "schema"]]


def through_a_shell(script: str, *words: str) -> subprocess.CompletedProcess[str]:
    command = ["bash", "-c", f'set -o pipefail; "$@" {script}', "bash", *COMMAND, *words]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=40, check=False, stdin=subprocess.DEVNULL, errors="replace"
    )


@pytest.fixture
def filled(files: InFiles) -> InFiles:
    files.write(NAME, '{"failureThreshold": 9, "openStateTimeout": "300µs"}')
    return files


def words_of(words: list[str], files: InFiles) -> list[str]:
    return words if words in WITHOUT_SOURCE else [*words, *files.options]


@pytest.mark.parametrize("words", [*ALL, *WITHOUT_SOURCE], ids=" ".join)
def test_a_reader_that_has_gone(filled: InFiles, words: list[str]) -> None:
    """`true` has ended before the command begins to write: each line meets a broken pipe."""
    done = through_a_shell("| (exec <&-; sleep 0.01)", *words_of(words, filled))
    assert done.returncode in (0, 128 + signal.SIGPIPE)
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    assert "BrokenPipe" not in done.stderr


@pytest.mark.parametrize("words", [ALL[0], ALL[4], ALL[6], *WITHOUT_SOURCE], ids=" ".join)
def test_standard_output_that_is_full(filled: InFiles, words: list[str]) -> None:
    done = through_a_shell(">/dev/full", *words_of(words, filled))
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "cannot write to standard output: No space left on device" in line


@pytest.mark.parametrize("words", [ALL[0], ALL[4], WITHOUT_SOURCE[4]], ids=" ".join)
def test_standard_output_that_is_closed(filled: InFiles, words: list[str]) -> None:
    done = through_a_shell(">&-", *words_of(words, filled))
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, "")


def test_errors_where_standard_error_is_closed(filled: InFiles) -> None:
    done = through_a_shell("2>&-", "policy", "get", "", *filled.options)
    assert (done.returncode, done.stdout) == (2, "")


@pytest.mark.parametrize("words", [["policy", "set", NAME, "mode=auto"], ["policy", "delete", NAME]], ids=" ".join)
def test_standard_input_that_is_closed(filled: InFiles, words: list[str]) -> None:
    before = filled.raw()
    done = through_a_shell("<&-", *words, *filled.options)
    assert done.returncode == 5
    assert "standard input is no terminal" in done.stderr
    assert filled.raw() == before


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-16"])
def test_streams_of_another_encoding(filled: InFiles, encoding: str) -> None:
    filled.write("日本", '{"openStateTimeout": "300µs"}')
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    for words in (["policy", "list"], ["policy", "get", "日本"], ["policy", "diff", "日本"], ["disable", "日本"]):
        done = in_a_process(*words, *filled.options, env=environment)
        assert done.code == (1 if words[1:2] == ["diff"] else 0), done
        assert "Traceback" not in done.err
    done = in_a_process("policy", "list", "--json", *filled.options, env={**environment, "PYTHONIOENCODING": "ascii"})
    assert [each["name"] for each in done.json["documents"]] == [NAME, "日本"]


def test_the_locale_of_a_bare_machine(filled: InFiles) -> None:
    filled.write("日本", "{}")
    environment = {**os.environ, "LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    environment.pop("PYTHONIOENCODING", None)
    done = in_a_process("policy", "list", *filled.options, env=environment)
    assert (done.code, done.err) == (0, "")
    done = in_a_process("policy", "get", "日本", "--json", *filled.options, env=environment)
    assert done.code in (0, 2), done  # arguments have no encoding there
    assert "Traceback" not in done.err


def unread(pipe: Any) -> int:
    """How many bytes of a pipe nobody has taken yet."""
    return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder)


@pytest.mark.parametrize(
    "words",
    [["policy", "set", NAME, "--file", "-", "--yes"], ["policy", "diff", NAME, "-"]],
    ids=" ".join,
)
def test_ctrl_c_while_it_waits(filled: InFiles, words: list[str]) -> None:
    before = filled.raw()
    with launched(*words, *filled.options, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write("{")
        process.stdin.flush()
        eventually(lambda: unread(process.stdin) == 0 and asleep(process))  # it has come as far as to read
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (130, "", "")
    assert filled.raw() == before


def test_the_script_and_the_module_are_the_same(filled: InFiles) -> None:
    script = Path(sys.executable).with_name("breaker")
    said = subprocess.run([script, "policy", "list", "--json", *filled.options], capture_output=True, check=True)
    assert json.loads(said.stdout) == in_a_process("policy", "list", "--json", *filled.options).json
