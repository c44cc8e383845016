"""``breaker force-open``, ``disable``, ``shadow`` and ``auto``: written, and with ``--for`` taken back."""

import json
import os
import shlex
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from breaker import BreakerOpenError, Mode
from breaker.events import PolicyUpdated
from support.etcd.proxy import Proxy
from support.etcd.server import Server
from support.places import InEtcd, InFiles, Where
from support.processes import fork_and_check
from support.shell import COMMAND, Done, Terminal, breaker, launched, line_with
from support.watching import eventually

NAME = "http:payment-api"
MODES = {"force-open": "forced_open", "disable": "disabled", "shadow": "shadow"}


@pytest.mark.parametrize("command", MODES)
def test_a_mode_is_written_and_the_other_fields_stay(where: Where, command: str) -> None:
    where.write(NAME, '{"failureThreshold": 9}')
    done = where.run(command, NAME, "--reason", "INC-1")
    assert (done.code, done.err) == (0, "")
    assert where.values(NAME) == {"failureThreshold": 9, "mode": MODES[command]}
    assert f"mode auto -> {MODES[command]}, because INC-1" in done.out
    again = where.run(command, NAME)
    assert (again.code, again.out) == (0, f"{NAME}: the mode is {MODES[command]} already\n")


@pytest.mark.parametrize("command", MODES)
def test_the_command_that_takes_it_back_is_printed_and_works(where: Where, command: str) -> None:
    for before in ({}, {"failureThreshold": 9}, {"mode": "auto", "failureThreshold": 9}):
        if before:
            where.write(NAME, json.dumps(before))
        done = where.run(command, NAME)
        (line,) = [line for line in done.out.splitlines() if "to take it back: " in line]
        back = shlex.split(line.partition("to take it back: ")[2])
        assert back[0] == "breaker"
        assert breaker(*back[1:], "--yes").code == 0
        assert (where.values(NAME) if where.raw() else {}) == before


@pytest.mark.parametrize("name", ["-x", "--help", "a b'c", "/pkg.Users/Get", "日本"])
def test_the_command_that_takes_it_back_is_one_for_any_name(files: InFiles, name: str) -> None:
    done = breaker("shadow", *files.options, "--", name)
    assert done.code == 0, done
    back = shlex.split(done.out.partition("to take it back: ")[2])
    assert breaker(back[1], back[2], "--yes", *back[3:]).code == 0
    assert files.raw() == {}


@pytest.mark.parametrize("name", ["x\x1b[2J", "a\nb'c\\d", "\x7f日本\x85"], ids=ascii)
def test_a_name_that_a_terminal_would_obey_is_typed_in_another_way(files: InFiles, name: str) -> None:
    done = files.run("shadow", name)
    command = done.out.partition("to take it back: ")[2].strip()
    assert command.isprintable()
    words = subprocess.run(
        ["bash", "-c", f"printf '%s\\0' {command}"], capture_output=True, check=True, timeout=20, text=True
    ).stdout.split("\0")[1:-1]
    assert breaker(*words, "--yes").code == 0
    assert files.raw() == {}


def test_auto_gives_a_breaker_back_to_its_rules(where: Where) -> None:
    where.run("force-open", NAME)
    assert where.run("auto", NAME).code == 0
    assert where.values(NAME) == {"mode": "auto"}
    where.write("default", '{"mode": "disabled"}')
    assert where.run("auto", "grpc:users").code == 0
    assert where.values("grpc:users") == {"mode": "auto"}, "default.json would win otherwise"
    assert where.run("auto", "grpc:users").out == "grpc:users: the mode is auto already\n"


def test_auto_is_written_where_no_document_says_otherwise(where: Where) -> None:
    """A program's own default policy may say otherwise, and no command sees that."""
    assert where.run("auto", NAME).code == 0
    assert where.values(NAME) == {"mode": "auto"}


@pytest.mark.parametrize("before", [None, '{"failureThreshold":9}', '{"mode": "shadow"}', "{}"])
def test_it_is_taken_back_to_the_letter_when_the_time_is_over(where: Where, before: str | None) -> None:
    if before is not None:
        where.write(NAME, before)
    raw = where.raw()
    done = where.run("force-open", NAME, "--for", "50ms", "--json")
    assert (done.code, done.err) == (0, "")
    written, back = done.lines
    assert (written["event"], written["mode"], back["event"]) == ("written", "forced_open", "taken_back")
    assert written["until"] > written["time"]
    assert where.raw() == raw


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_takes_it_back_at_once(where: Where, number: signal.Signals) -> None:
    where.write(NAME, '{"failureThreshold":9}')
    with launched("force-open", NAME, "--for", "10m", *where.options) as process:
        line_with(process, "Ctrl-C takes it back now")
        assert where.values(NAME)["mode"] == "forced_open"
        process.send_signal(number)
        process.send_signal(number)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (128 + number, "")
    assert "taken back" in out
    assert where.text(NAME) == b'{"failureThreshold":9}'


def test_it_is_taken_back_when_the_terminal_goes(where: Where) -> None:
    with Terminal("force-open", NAME, "--for", "10m", *where.options) as terminal:
        terminal.wait_for("takes it back now")
        assert where.raw()
        terminal.hang_up()
        terminal.process.send_signal(signal.SIGHUP)  # as the kernel does to the session of a real terminal
        assert terminal.process.wait(20) == 128 + signal.SIGHUP
    assert where.raw() == {}


def test_it_is_taken_back_when_nobody_reads_any_more(where: Where) -> None:
    with launched("force-open", NAME, "--for", "1s", *where.options) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(20) in (0, 128 + signal.SIGPIPE)
        assert process.stderr is not None
        assert process.stderr.read() == ""
    assert where.raw() == {}


def test_after_nohup_it_stays_until_its_time(files: InFiles) -> None:
    command = ["sh", "-c", 'trap "" HUP; exec "$@"', "sh", *COMMAND]
    words = ["force-open", NAME, "--for", "1s", *files.options]
    with subprocess.Popen([*command, *words], stdout=subprocess.PIPE, text=True) as process:
        line_with(process, "takes it back now")
        process.send_signal(signal.SIGHUP)
        out, _ = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "taken back" in out


# -- changed by somebody else meanwhile --


def changed_meanwhile(where: Where, change: Callable[[], object], *options: str) -> Done:
    """Force open, change the document, stop the command."""
    with launched("force-open", NAME, "--for", "10m", *options, *where.options) as process:
        line_with(process, "written")
        if "--json" not in options:
            line_with(process, "takes it back now")
        change()
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=20)
    return Done(process.returncode, out, err)


def test_a_document_that_somebody_has_changed_is_left_and_the_command_that_mends_it_works(where: Where) -> None:
    where.write(NAME, '{"failureThreshold": 9}')
    theirs = '{"failureThreshold": 1, "mode": "forced_open"}'
    done = changed_meanwhile(where, lambda: where.write(NAME, theirs))
    assert done.code == 6
    assert where.text(NAME) == theirs.encode()
    assert "somebody has changed the document meanwhile, and its mode still is forced_open" in done.err
    (line,) = [line for line in done.err.splitlines() if "until somebody does it: " in line]
    back = shlex.split(line.partition("does it: ")[2])
    assert breaker(*back[1:], "--yes").code == 0
    assert where.values(NAME) == {"failureThreshold": 1}


def test_a_document_that_was_not_there_and_has_other_fields_now_keeps_them(where: Where) -> None:
    done = changed_meanwhile(where, lambda: where.write(NAME, '{"failureThreshold": 1, "mode": "forced_open"}'))
    assert done.code == 6
    back = shlex.split(done.err.partition("does it: ")[2].splitlines()[0])
    assert breaker(*back[1:], "--yes").code == 0
    assert where.values(NAME) == {"failureThreshold": 1}


def test_a_document_that_is_not_valid_any_more_leaves_programs_in_the_mode_and_is_said(where: Where) -> None:
    where.write(NAME, '{"failureThreshold": 9}')
    done = changed_meanwhile(where, lambda: where.write(NAME, '{"failureThres'))
    assert done.code == 6
    assert "not valid, so that programs keep the mode" in done.err
    assert where.text(NAME) == b'{"failureThres'


def test_a_mode_that_somebody_has_changed_needs_nothing_more(where: Where) -> None:
    done = changed_meanwhile(where, lambda: where.write(NAME, '{"mode": "disabled"}'))
    assert (done.code, done.err) == (143, "")
    assert "its mode is no longer forced_open" in done.out
    assert where.values(NAME) == {"mode": "disabled"}


def test_a_document_that_somebody_has_deleted_stays_deleted(where: Where) -> None:
    where.write(NAME, '{"failureThreshold": 9}')
    done = changed_meanwhile(where, lambda: where.run("policy", "delete", NAME, "--yes"), "--json")
    assert (done.code, where.raw()) == (143, {})
    assert done.lines[-1]["event"] == "taken_back"


def test_a_mode_that_was_there_before_is_not_taken_back_by_who_has_not_written_it(where: Where) -> None:
    where.write(NAME, '{"mode": "forced_open"}')
    where.run("force-open", NAME, "--for", "1s").failed(1, "has the mode forced_open already", "mode=")
    assert where.values(NAME) == {"mode": "forced_open"}


# -- what cannot be done --


def test_a_server_that_is_away_when_it_is_to_be_taken_back(tmp_path_factory: pytest.TempPathFactory) -> None:
    with Server(tmp_path_factory.mktemp("away")) as server:
        where = InEtcd(server)
        words = ["force-open", NAME, "--for", "10m", *where.options, "--timeout", "1s"]
        with launched(*words) as process:
            line_with(process, "takes it back now")
            server.kill()
            process.send_signal(signal.SIGTERM)
            assert process.stderr is not None
            assert "not taken back yet: cannot connect to etcd" in process.stderr.readline()
            process.send_signal(signal.SIGTERM)
            _, err = process.communicate(timeout=20)
        assert process.returncode == 6
        assert f"{NAME} is not taken back: cannot connect" in err
        mend = f"breaker policy delete {NAME} --source {where.source} --env production --service {where.service}"
        assert f"its mode is forced_open until somebody does it: {mend} --timeout 1s\n" in err
        server.start()
        assert where.values(NAME) == {"mode": "forced_open"}


def test_a_server_that_comes_back_is_written_to(tmp_path_factory: pytest.TempPathFactory) -> None:
    with Server(tmp_path_factory.mktemp("back")) as server:
        where = InEtcd(server)
        with launched("force-open", NAME, "--for", "10m", *where.options, "--timeout", "1s") as process:
            line_with(process, "takes it back now")
            server.kill()
            process.send_signal(signal.SIGTERM)
            assert process.stderr is not None
            process.stderr.readline()
            server.start()
            out, err = process.communicate(timeout=30)
        assert (process.returncode, err) == (143, "")
        assert "taken back" in out
        assert where.raw() == {}


def test_an_answer_that_is_lost_while_it_is_taken_back(etcd: Server) -> None:
    """The server does it, and the answer does not come."""
    where = InEtcd(etcd)
    proxy = Proxy(etcd.port)
    try:
        options = ["--source", f"etcd://{proxy.endpoint}", *where.options[2:], "--timeout", "1s"]
        with launched("force-open", NAME, "--for", "10m", *options) as process:
            line_with(process, "takes it back now")
            etcd.api.delete(f"{where.path}{NAME}.json")
            proxy.cut()
            process.send_signal(signal.SIGTERM)
            out, err = process.communicate(timeout=30)
        assert (process.returncode, err) == (143, "")
        assert "back already" in out or "no longer" in out
    finally:
        proxy.close()


def test_a_document_that_is_not_valid_is_not_touched_and_the_remedy_works(where: Where) -> None:
    where.write(NAME, '{"failureThres')
    done = where.run("force-open", NAME)
    done.failed(1, "no JSON", "mend it first")
    assert where.text(NAME) == b'{"failureThres'
    remedy = shlex.split(done.err.partition("all it holds: ")[2])
    assert breaker(*remedy[1:], "--yes").code == 0
    assert where.values(NAME) == {"mode": "forced_open"}


def test_a_directory_that_may_not_be_written_to(files: InFiles, tmp_path: Path) -> None:
    files.write(NAME, '{"failureThreshold": 9}')
    for folder in (*tmp_path.parents[:2], tmp_path, files.directory, *files.directory.parents):
        if folder.is_relative_to(tmp_path.parents[1]):
            folder.chmod(0o755)
    files.directory.chmod(0o555)
    files.run("policy", "set", NAME, "mode=auto", "--dry-run")  # loads what that user may not read

    def as_somebody_else() -> None:
        if os.geteuid() == 0:
            os.setgroups([])
            os.setgid(65_534)
            os.setuid(65_534)
        for words in (["force-open", NAME], ["policy", "set", NAME, "mode=auto", "--yes"]):
            files.run(*words).failed(3, "cannot write", "permission to write to the directory")
        files.run("policy", "delete", NAME, "--yes").failed(3, "cannot remove", "permission to write")

    fork_and_check(as_somebody_else)
    files.directory.chmod(0o755)
    assert files.values(NAME) == {"failureThreshold": 9}


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["force-open"], "arguments are required: NAME"),
        (["force-open", ""], "must not be empty"),
        (["force-open", "x" * 256], "at most 255 bytes"),
        (["force-open", "\udcff"], "encodable as UTF-8"),
        (["force-open", NAME, "--for", "10"], "a unit is missing"),
        (["force-open", NAME, "--for", "0s"], "longer than 0"),
        (["force-open", NAME, "--for=-1m"], "longer than 0"),
        (["force-open", NAME, "--for", "10 minutes"], "is not a unit"),
        (["force-open", NAME, "--for"], "expected one argument"),
        (["force-open", NAME, "other"], "unrecognized arguments: other"),
        (["force-open", NAME, "--fo", "1s"], "unrecognized arguments: --fo"),
    ],
    ids=lambda value: ascii(value[-1][:20]) if isinstance(value, list) else "",
)
def test_wrong_arguments_are_one_line(files: InFiles, words: list[str], text: str) -> None:
    files.run(*words).failed(2, text)
    assert files.raw() == {}


def test_the_document_of_all_others_is_asked_for(where: Where) -> None:
    done = where.run("force-open", "default")
    assert done.code == 5
    assert "all breakers whose own says no mode" in done.err
    assert where.raw() == {}
    assert where.run("force-open", "default", "--yes").code == 0
    assert where.values("default") == {"mode": "forced_open"}


# -- a program --


def test_a_running_program_opens_and_closes_again(where: Where) -> None:
    with where.follow() as provider:
        guarded = provider.get_breaker(NAME)
        modes: list[Mode] = []
        provider.subscribe(lambda event: modes.append(event.new.mode) if isinstance(event, PolicyUpdated) else None)
        command = threading.Thread(target=where.run, args=("force-open", NAME, "--for", "2s"))
        command.start()
        eventually(lambda: modes == [Mode.FORCED_OPEN])
        with pytest.raises(BreakerOpenError, match=NAME):
            guarded.do(int)
        command.join()
        eventually(lambda: modes == [Mode.FORCED_OPEN, Mode.AUTO])
        assert guarded.do(int) == 0


def test_a_running_program_takes_over_fields_that_are_set(where: Where) -> None:
    with where.follow() as provider:
        guarded = provider.get_breaker(NAME)
        updates: list[PolicyUpdated] = []
        provider.subscribe(lambda event: updates.append(event) if isinstance(event, PolicyUpdated) else None)
        assert where.run("policy", "set", NAME, "failureThreshold=3", "openStateTimeout=30s", "--yes").code == 0
        eventually(lambda: updates)
        assert (guarded.policy.failure_threshold, guarded.policy.open_state_timeout) == (3, 30.0)
        assert where.run("policy", "delete", NAME, "--yes").code == 0
        eventually(lambda: len(updates) == 2)
        assert guarded.policy.failure_threshold == 5
