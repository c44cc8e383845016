"""Two who change a document at once: one is written, the other is told, whoever comes when."""

import json
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from breaker.cli import places
from support.etcd.forgetful import Forgetful
from support.etcd.server import Server
from support.places import InEtcd, InFiles, Where
from support.processes import run_python
from support.shell import COMMAND, Terminal

NAME = "http:payment-api"


def test_who_is_asked_while_somebody_else_writes_is_told_and_writes_nothing(where: Where) -> None:
    where.write(NAME, '{"failureThreshold": 9}')
    with Terminal("policy", "set", NAME, "failureThreshold=3", *where.options) as terminal:
        terminal.wait_for("Write it? [y/N] ")
        where.write(NAME, '{"failureThreshold": 8}')
        terminal.type("y\n")
        assert terminal.end() == 4
    assert "somebody has changed the document" in terminal.seen
    assert "breaker policy get" in terminal.seen
    assert where.values(NAME) == {"failureThreshold": 8}


def test_a_document_that_appears_or_vanishes_meanwhile(where: Where) -> None:
    with Terminal("policy", "set", NAME, "failureThreshold=3", *where.options) as terminal:
        terminal.wait_for("Write it? [y/N] ")
        where.write(NAME, "{}")
        terminal.type("y\n")
        assert terminal.end() == 4
    assert where.values(NAME) == {}
    with Terminal("policy", "delete", NAME, *where.options) as terminal:
        terminal.wait_for("Delete it? [y/N] ")
        where.write(NAME, '{"failureThreshold": 8}')
        terminal.type("y\n")
        assert terminal.end() == 4
    assert where.values(NAME) == {"failureThreshold": 8}
    with Terminal("policy", "set", NAME, "failureThreshold=3", *where.options) as terminal:
        terminal.wait_for("Write it? [y/N] ")
        assert where.run("policy", "delete", NAME, "--yes").code == 0
        terminal.type("y\n")
        assert terminal.end() == 4
        assert "there is none now" in terminal.seen
    assert where.raw() == {}


@pytest.mark.parametrize("before", [None, '{"failureThreshold": 999}'], ids=["absent", "there"])
def test_of_commands_that_have_read_the_same_one_writes(where: Where, before: str | None) -> None:
    if before is not None:
        where.write(NAME, before)
    revision = where.run("policy", "get", NAME, "--json").json["revision"] or 0
    options = ["--yes", "--json", *where.options]
    processes = [
        subprocess.Popen(
            [*COMMAND, "policy", "set", NAME, f"failureThreshold={number}", "--revision", str(revision), *options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(1, 7)
    ]
    ended = [(process.communicate(timeout=50), process.returncode) for process in processes]
    assert sorted(code for _, code in ended) == [0, 4, 4, 4, 4, 4]
    ((winner, _),) = [said for said, code in ended if code == 0]
    assert where.values(NAME) == json.loads(winner)["after"]
    for (out, err), code in ended:
        if code == 4:
            assert json.loads(out)["error"]["kind"] == "conflict"
            assert err.count("\n") == 1


def test_no_change_is_lost_where_each_tries_until_it_has_won(where: Where) -> None:
    """Four processes, each of which adds 1 to a number five times: 20 in the end, on top of the 1 of before."""
    where.write(NAME, '{"failureThreshold": 1}')
    program = f"""
import contextlib, io, json, sys
from breaker.cli import main
def command(*words):
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()):
        return main([*words, "--json", *{where.options!r}]), json.loads(out.getvalue())
added = 0
while added < 5:
    _, seen = command("policy", "get", {NAME!r})
    number = seen["document"]["failureThreshold"] + 1
    words = ("policy", "set", {NAME!r}, f"failureThreshold={{number}}", "--yes", "--revision", str(seen["revision"]))
    code, _ = command(*words)
    assert code in (0, 4), code
    added += code == 0
"""
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(run_python, [program] * 4))
    assert where.values(NAME) == {"failureThreshold": 21}


def test_a_revision_that_is_not_the_present_one_is_refused(where: Where) -> None:
    where.write(NAME, '{"failureThreshold": 9}')
    old = str(where.run("policy", "get", NAME, "--json").json["revision"])
    where.write(NAME, '{"failureThreshold": 8}')
    for words in (["set", NAME, "failureThreshold=3"], ["delete", NAME]):
        where.run("policy", *words, "--yes", "--revision", old).failed(4, f"expected revision {old}", "found revision")
        where.run("policy", *words, "--yes", "--revision", "0").failed(4, "expected revision 0")
    where.run("policy", "set", "new", "mode=auto", "--yes", "--revision", old).failed(4, "found no document")
    assert where.run("policy", "set", "new", "mode=auto", "--yes", "--revision", "0").code == 0
    now = str(where.run("policy", "get", NAME, "--json").json["revision"])
    assert where.run("policy", "set", NAME, "failureThreshold=3", "--yes", "--revision", now).code == 0
    assert where.values(NAME) == {"failureThreshold": 3}


def test_commands_on_a_directory_wait_for_each_other_and_not_for_ever(
    files: InFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.write(NAME, '{"failureThreshold": 9}')
    with (
        ThreadPoolExecutor(1) as pool,
        subprocess.Popen(
            ["flock", str(files.root), "sh", "-c", "echo locked; read line"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as holder,
    ):
        assert holder.stdout is not None
        assert holder.stdin is not None
        assert holder.stdout.readline() == "locked\n"
        monkeypatch.setattr(places, "_LOCK_LIMIT", 0.2)
        files.run("policy", "set", NAME, "failureThreshold=3", "--yes").failed(3, "has held a lock", "fuser")
        monkeypatch.setattr(places, "_LOCK_LIMIT", 20.0)
        assert files.values(NAME) == {"failureThreshold": 9}
        waits = pool.submit(files.run, "policy", "set", NAME, "failureThreshold=3", "--yes")
        holder.stdin.write("\n")
        holder.stdin.close()
        assert waits.result(20).code == 0
    assert files.values(NAME) == {"failureThreshold": 3}


# -- a write whose answer does not come --


@pytest.mark.parametrize(
    ("words", "after"),
    [
        (["policy", "set", NAME, "failureThreshold=3", "--yes"], {f"{NAME}.json": b'{\n  "failureThreshold": 3\n}\n'}),
        (["policy", "delete", NAME, "--yes"], {}),
        (["force-open", NAME, "--for", "50ms"], {f"{NAME}.json": b'{"failureThreshold": 9}'}),
    ],
    ids=["set", "delete", "force-open"],
)
def test_a_write_that_was_made_is_found_out(etcd: Server, words: list[str], after: dict[str, bytes]) -> None:
    where = InEtcd(etcd)
    where.write(NAME, '{"failureThreshold": 9}')
    with Forgetful(etcd.port) as network:
        where.options[1] = f"etcd://{network.endpoint}"
        done = where.run(*words)
        assert (done.code, done.err, network.forgotten) == (0, "", 1)
    assert where.raw() == after
