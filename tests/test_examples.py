"""Each example runs by itself, as its README says, and prints what is expected."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from support.libraries import MISSING

EXAMPLES = Path(__file__).parent.parent / "examples"

BASIC = """\
healthy:    7 in stock
failing:    stock unknown (too slow)
failing:    stock unknown (too slow)
failing:    stock unknown (too slow)
the state:  OPEN
open:       stock unknown (next try in 30 s, cause: TimeoutError: no answer within 2 s)
requests while open: 0
probe:      7 in stock
the state:  CLOSED
not found:  no such item: unicorn
the state:  CLOSED
do:         7
decorator:  7 - How many pears there are.
acquire:    0 failures in a row
coroutine:  7
"""


GRPC = """\
healthy:   Ada Lovelace
not found: nobody (no user 'eve')
failing:   Ada Lovelace (cached; UNAVAILABLE: the database is down)
failing:   Ada Lovelace (cached; UNAVAILABLE: the database is down)
failing:   Ada Lovelace (cached; UNAVAILABLE: the database is down)
failing:   Ada Lovelace (cached; not asked, /users.v1.UserService/GetUser is OPEN)
failing:   Ada Lovelace (cached; not asked, /users.v1.UserService/GetUser is OPEN)
list:      Ada Lovelace, Grace Hopper
requests of 5 calls that reached the service: 3
recovered: Ada Lovelace
"""


def run(example: str, cwd: Path) -> str:
    """Start an example as its README says, with warnings as errors; it must end well. Returns its output."""
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", str(EXAMPLES / example / "main.py")],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
        cwd=cwd,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_basic(tmp_path: Path) -> None:
    assert run("basic", tmp_path) == BASIC


@pytest.mark.skipif("grpc" in MISSING, reason="grpcio has no wheels for free-threaded interpreters")
def test_grpc(tmp_path: Path) -> None:
    lines = run("grpc", tmp_path).splitlines(keepends=True)
    assert "".join(line for line in lines if not line.startswith("{")) == GRPC
    log = [json.loads(line) for line in lines if line.startswith("{")]
    get_user = [line for line in log if line["name"] == "/users.v1.UserService/GetUser"]
    changes = [(line["from"], line["to"]) for line in get_user if line["msg"] == "circuit breaker state changed"]
    assert changes == [("CLOSED", "OPEN"), ("OPEN", "HALF_OPEN"), ("HALF_OPEN", "CLOSED")]
    (updated,) = [line for line in log if line["msg"] == "circuit breaker policy updated"]
    assert updated["name"] == "/users.v1.UserService/GetUser"
    assert updated["changed"] == {"openStateTimeout": ["1m", "200ms"]}
    assert list(tmp_path.iterdir()) == []


def test_every_example_has_a_readme_of_about_ten_lines() -> None:
    for readme in EXAMPLES.glob("*/README.md"):
        lines = [line for line in readme.read_text(encoding="utf-8").splitlines() if line.strip()]
        assert 1 < len(lines) <= 20, readme
