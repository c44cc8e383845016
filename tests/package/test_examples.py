"""Each example runs by itself, as its README says, and prints what is expected."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from support.etcd.server import Server
from support.libraries import MISSING

EXAMPLES = Path(__file__).parents[2] / "examples"

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


ADVANCED = """\
policies come from {place}

six dependencies, six policies
    db:orders: opens after 3, for 3600 s
    http:recommendations: opens after 2, for 300 s
    grpc:prices: opens after 50, for 0.2 s
    batch:nightly-report: opens after 1, for 3600 s
    http:stock: opens when 20% of the last 20 calls fail, for 30 s
    http:search: opens when 50% of the calls last 0.1 s, for 30 s

what counts as a failure
    five duplicates: db:orders is CLOSED
    two answers with status 503: http:recommendations is OPEN
    the page shows bestsellers
    http:recommendations: CLOSED -> OPEN (tripped)

8 threads and 100 tasks ask for prices while the service is down
    of 500 calls, fewer than 125 reached it: True
    it is back, and so is the breaker: CLOSED

the stock fails 3 of 10 requests, never two in a row
    noticed after 23 requests, whatever the streak
    http:stock: CLOSED -> OPEN (failure_rate)

the search answers late, without an error
    failures: 0; last error: slow call
    http:search: CLOSED -> OPEN (slow_call_rate)

a policy changes in {place} while its breaker is open
    next try of db:orders in about an hour: True
    counts were kept: True
    db:orders: CLOSED -> OPEN (tripped)
    db:orders: policy openStateTimeout 1h -> 100ms
    db:orders: OPEN -> HALF_OPEN (timeout)
    db:orders: HALF_OPEN -> CLOSED (recovered)

an operator takes over
    forced open: rejected by the operator; requests: 0
    cleared: report written
"""


FASTAPI = """\
healthy:   7 in stock
order:     200
sold out:  409
not found: 404 404 404 404
failing:   7 in stock, as far as we know
failing:   7 in stock, as far as we know
failing:   7 in stock, as far as we know
failing:   7 in stock, as far as we know
failing:   7 in stock, as far as we know
order:     503, come back in about a minute
health:    ok
requests of 6 that reached the stock: 3
recovered: 7 in stock
order:     200
"""


CELERY = """\
healthy:   apple: 42
requests of 6 tasks that reached the service: 3
waits:     status 503
waits:     status 503
waits:     status 503
waits:     circuit breaker 'http:prices' is open
waits:     circuit breaker 'http:prices' is open
waits:     circuit breaker 'http:prices' is open
recovered: apple: 42, pear: 42, plum: 42, quince: 42, cherry: 42, medlar: 42
requests of 6 tasks that reached the service: 6
publish:   failed, after 0.6 s in which Celery tried again
publish:   failed, after 0.6 s in which Celery tried again
publish:   failed, after 0.6 s in which Celery tried again
publish:   rejected, broker is OPEN
"""


def run(folder: Path, example: str, *arguments: str) -> str:
    """What the example prints; it is started from elsewhere, and warnings are errors."""
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", str(EXAMPLES / example / "main.py"), *arguments],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
        cwd=folder,
    )
    assert done.stderr == ""
    assert done.returncode == 0
    return done.stdout


def test_basic(tmp_path: Path) -> None:
    assert run(tmp_path, "basic") == BASIC


@pytest.mark.skipif("grpc" in MISSING, reason="grpcio has no wheels for free-threaded interpreters")
def test_grpc(tmp_path: Path) -> None:
    lines = run(tmp_path, "grpc").splitlines(keepends=True)
    assert "".join(line for line in lines if not line.startswith("{")) == GRPC
    log = [json.loads(line) for line in lines if line.startswith("{")]
    get_user = [line for line in log if line["name"] == "/users.v1.UserService/GetUser"]
    changes = [(line["from"], line["to"]) for line in get_user if line["msg"] == "circuit breaker state changed"]
    assert changes == [("CLOSED", "OPEN"), ("OPEN", "HALF_OPEN"), ("HALF_OPEN", "CLOSED")]
    (updated,) = [line for line in log if line["msg"] == "circuit breaker policy updated"]
    assert updated["name"] == "/users.v1.UserService/GetUser"
    assert updated["changed"] == {"openStateTimeout": ["1m", "200ms"]}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif("celery" in MISSING, reason="the test extra is what brings Celery")
def test_celery(tmp_path: Path) -> None:
    assert run(tmp_path, "celery") == CELERY
    assert list(tmp_path.iterdir()) == []


def test_advanced_with_policies_in_files(tmp_path: Path) -> None:
    assert run(tmp_path, "advanced", "--files") == ADVANCED.format(place="files")


def test_advanced_with_policies_in_etcd(tmp_path: Path) -> None:
    with Server(tmp_path) as etcd:
        assert run(tmp_path, "advanced", "--etcd", etcd.endpoint) == ADVANCED.format(place="etcd")
        assert etcd.api.documents("/") == {}


@pytest.mark.skipif(bool(MISSING & {"fastapi", "httpx", "uvicorn"}), reason="of what `test-core` does not bring")
def test_fastapi(tmp_path: Path) -> None:
    text = re.sub(r"in (60|5\d) s\n", "in about a minute\n", run(tmp_path, "fastapi"))
    printed, _, metrics = text.partition("metrics:")
    assert printed == FASTAPI
    if importlib.util.find_spec("breaker.metrics") and importlib.util.find_spec("prometheus_client"):
        assert re.search(r'circuit_breaker_rejected_calls_total\{.*name="http:stock".*\} 3\.0\n', metrics)


def test_every_example_has_a_readme_of_about_ten_lines() -> None:
    for readme in EXAMPLES.glob("*/README.md"):
        lines = [line for line in readme.read_text(encoding="utf-8").splitlines() if line.strip()]
        assert 1 < len(lines) <= 20, readme
