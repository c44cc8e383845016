"""``breaker doctor``: a good installation is good, and each thing that may be wrong is found."""

import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import breaker as package
import breaker._core as core
from breaker.cli.doctor import machine
from breaker.cli.doctor.findings import NOTE, OK, WRONG
from breaker.cli.doctor.installation import is_older
from support.etcd.hostile import Hostile, honest
from support.etcd.ports import free_ports
from support.etcd.server import Server
from support.places import InEtcd, InFiles, Where
from support.shell import Done, breaker, in_a_process

SOURCE = Path(package.__file__).parents[1]


def of(done: Done, topic: str) -> list[dict[str, Any]]:
    return [finding for finding in done.json["findings"] if finding["topic"] == topic]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_this_installation_is_good() -> None:
    done = breaker("doctor")
    assert (done.code, done.err) == (0, "")
    assert done.out.endswith("nothing is wrong\n")
    said = breaker("doctor", "--json")
    assert said.json["wrong"] == 0
    by_topic = {finding["topic"]: finding for finding in said.json["findings"]}
    assert f"cybreaker {package.__version__}" in by_topic["package"]["text"]
    assert sys.modules["breaker._core"].__file__ in by_topic["core"]["text"]
    assert " ns, alone " in by_topic["calls"]["text"]
    assert sys.version.split()[0] in by_topic["python"]["text"]
    assert "CLOCK_MONOTONIC" in by_topic["clock"]["text"]
    assert by_topic["name"]["status"] == OK
    assert by_topic["extras"]["text"].startswith("installed: ")
    assert "test" not in by_topic["extras"]["text"].split()


# -- what else is called breaker --


def with_path(*folders: Path) -> Done:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, [SOURCE, *folders]))}
    return in_a_process("doctor", "--json", env=environment)


def test_the_unrelated_distribution_is_found(tmp_path: Path) -> None:
    there = tmp_path / "site"
    metadata = there / "breaker-1.2.3.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: breaker\nVersion: 1.2.3\n")
    (metadata / "RECORD").write_text("breaker/__init__.py,,\nbreaker-1.2.3.dist-info/METADATA,,\n")
    done = with_path(there)
    assert done.code == 1
    (found,) = of(done, "name")
    assert found["status"] == WRONG
    assert "the distribution breaker 1.2.3 is installed too" in found["text"]
    assert "has written breaker/__init__.py" in found["text"]
    assert found["remedy"].startswith("pip uninstall breaker cybreaker")


@pytest.mark.parametrize("name", ["breaker.py", "breaker/__init__.py"])
def test_a_module_of_the_same_name_is_found(tmp_path: Path, name: str) -> None:
    file = tmp_path / "site" / name
    file.parent.mkdir(parents=True)
    file.write_text("")
    done = with_path(tmp_path / "site")
    assert done.code == 1
    (found,) = of(done, "name")
    assert (found["status"], str(file) in found["text"]) == (WRONG, True)


def test_a_module_in_the_working_directory_is_found(tmp_path: Path) -> None:
    (tmp_path / "breaker.py").write_text("")
    done = breaker("doctor", "--json")
    assert done.code == 1
    assert str(tmp_path / "breaker.py") in of(done, "name")[0]["text"]


# -- the machine --


@pytest.mark.parametrize(
    ("version", "wanted", "older"),
    [
        ("1.0", ">=1.1", True),
        ("1.1", ">=1.1", False),
        ("1.1.0", ">=1.1", False),
        ("1", ">=1.0.1", True),
        ("1.10", ">=1.9", False),
        ("0.9.9", "<2,>=1.0", True),
        ("2.0rc1", ">=2.0", False),
        ("main", ">=2.0", False),
        ("1.0", "", False),
        ("0.60b0", ">=0.60b0", False),
    ],
)
def test_versions_are_compared_as_numbers(version: str, wanted: str, older: bool) -> None:
    assert is_older(version, wanted) is older


def test_an_extra_that_is_too_old_or_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    requires = ["pytest>=999 ; extra == 'httpx'", 'nowhere-at-all>=1; extra == "redis"', "pytest>=1; extra == 'test'"]
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: [*requires, "structlog>=24.1"])
    done = breaker("doctor", "--json")
    assert done.code == 0, "whoever does not use it need not care"
    old, listed = of(done, "extras")
    assert (old["status"], old["text"]) == (NOTE, f"httpx: pytest {pytest.__version__} is too old, wanted is >=999")
    assert old["remedy"] == "for what needs it: pip install 'pytest>=999'"
    assert listed["text"] == "installed: none; not installed: redis"


def test_a_slow_clock_is_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_SLOW_CLOCK", 0.0)
    done = breaker("doctor", "--json")
    (clock,) = of(done, "clock")
    assert (done.code, clock["status"], "tsc" in clock["remedy"]) == (0, NOTE, True)


def test_a_core_that_was_built_for_debugging_is_wrong(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    debugged = tmp_path / "_core.so"
    debugged.write_bytes(b"\x7fELF\0GNU C17 12.2.0 -g3 -O0 -fPIC\0more")
    monkeypatch.setattr(core, "__file__", str(debugged))
    done = breaker("doctor", "--json")
    (found,) = of(done, "core")
    assert (done.code, found["status"]) == (1, WRONG)
    assert "GNU C17 12.2.0 -g3 -O0 -fPIC," not in found["text"]
    assert "BREAKER_DEBUG" in found["remedy"]


def test_a_process_that_is_traced_says_so() -> None:
    program = "import sys; sys.setprofile(lambda *a: None); from breaker.cli import main; main(['doctor'])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=40, check=True)
    assert "while this process is traced or profiled" in done.stdout


# -- a source --


def test_a_good_source(where: Where) -> None:
    where.write("http:payment-api", '{"failureThreshold": 3}')
    done = where.run("doctor", "--json")
    assert done.code == 0, done
    (reached,), (documents,), (watch,) = (of(done, topic) for topic in ("source", "documents", "watch"))
    assert " answers a listing in " in reached["text"]
    assert documents["text"].startswith("1 at ")
    assert watch["text"].startswith("followed in ")
    if isinstance(where, InEtcd):
        assert "agree within" in of(done, "time")[0]["text"]
    else:
        assert reached["text"].endswith(", writable")


def test_documents_that_are_wrong_or_contradict_each_other(where: Where) -> None:
    where.write("bad", '{"failureThreshold": "5"}')
    where.write("half", '{"slowCallDuration": "1s"}')
    done = where.run("doctor", "--json")
    assert (done.code, done.json["wrong"]) == (1, 2)
    bad, half = of(done, "documents")
    assert "write 5 without quotes" in bad["text"]
    assert bad["remedy"].startswith("look at it: breaker policy get bad --source")
    assert "no program takes the policy" in half["text"]


def test_a_place_without_documents_is_a_note(where: Where) -> None:
    done = where.run("doctor", "--json")
    assert done.code == 0
    assert of(done, "documents")[0]["status"] == NOTE


def test_without_a_service_only_the_server_is_looked_at(where: Where) -> None:
    done = breaker("doctor", "--json", "--source", where.source)
    assert done.code == 0
    assert of(done, "documents")[0]["remedy"] == "say --env and --service"
    breaker("doctor", "--source", where.source, "--service", "shop").failed(2, "--env missing")


def test_one_member_of_two_that_is_away_is_wrong_and_the_other_is_looked_at(etcd: Server) -> None:
    where = InEtcd(etcd)
    where.write("a", "{}")
    (port,) = free_ports(1)
    source = f"etcd://127.0.0.1:{port},{etcd.endpoint}"
    done = breaker("doctor", "--json", "--source", source, *where.options[2:])
    assert (done.code, done.json["wrong"]) == (1, 1)
    away, there = of(done, "source")
    assert (away["status"], "nothing listens there" in away["text"]) == (WRONG, True)
    assert there["status"] == OK
    assert of(done, "documents")[0]["text"].startswith("1 at ")


def test_a_source_that_cannot_be_read(files: InFiles) -> None:
    files.directory.parent.mkdir(parents=True)
    files.directory.write_text("a file")
    done = files.run("doctor", "--json")
    assert done.code == 1
    assert "a directory with one JSON document per breaker is expected" in of(done, "source")[0]["text"]


def test_what_speaks_no_http_or_is_no_etcd(etcd: Server) -> None:
    with Hostile(honest) as other:
        done = breaker("doctor", "--json", "--source", f"etcd://{other.endpoint}")
        assert "Traceback" not in done.err
        assert done.code in (0, 1)
    done = breaker("doctor", "--json", "--source", f"etcd://127.0.0.1:{etcd._peer_port}")
    assert (done.code, of(done, "source")[0]["status"]) == (1, WRONG)


def test_a_login_is_taken_or_not(tmp_path_factory: pytest.TempPathFactory) -> None:
    with Server(tmp_path_factory.mktemp("login")) as server:
        where = InEtcd(server)
        where.write("a", "{}")
        server.api.set_up_access("r00t")
        server.api.add_reader("reader", "first", where.path)
        right = ["--user", "reader", "--password", "first"]
        done = where.run("doctor", "--json", *right)
        assert done.code == 0, done
        assert of(done, "source")[0]["text"].endswith(", as reader")
        done = breaker("doctor", "--json", "--source", where.source, *right)
        assert "answers, and has taken the login" in of(done, "source")[0]["text"]
        for wrong in ([], ["--user", "reader", "--password", "wrong"]):
            done = where.run("doctor", "--json", *wrong)
            assert (done.code, of(done, "source")[0]["status"]) == (1, WRONG)
            assert "--user" in of(done, "source")[0]["text"]
