"""prometheus_client's multiprocess mode: a real gunicorn with two workers, and processes that fork."""

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.processes import run_python
from support.scraping import Scrape, fetch, parsed

TESTS = Path(__file__).parents[1]
HOOKS = """
from prometheus_client.multiprocess import mark_process_dead


def child_exit(server, worker):
    mark_process_dead(worker.pid)
"""
SECONDS = 20  # for what happens soon, on a machine that does much else


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it does not happen"
        time.sleep(0.05)


class Server:
    """gunicorn with two workers; ``said`` counts what they answered, by process and outcome."""

    def __init__(self, process: subprocess.Popen[str], address: str) -> None:
        self.process = process
        self.address = address
        self.said: Counter[tuple[int, str]] = Counter()

    def get(self, path: str = "/") -> int:
        with urllib.request.urlopen(f"http://{self.address}{path}", timeout=SECONDS) as answer:
            pid, outcome = answer.read().decode().split()
        self.said[int(pid), outcome] += 1
        return int(pid)

    def scrape(self, form: str = "text") -> Scrape:
        return fetch(f"http://{self.address}/metrics", form)

    def workers(self) -> set[int]:
        return {pid for pid, _ in self.said}

    def total(self, outcome: str) -> int:
        return sum(count for (_, said), count in self.said.items() if said == outcome)


@contextmanager
def gunicorn(folder: Path, *options: str, merged: bool = True) -> Iterator[Server]:
    files = folder / "files"
    files.mkdir()
    log, hooks = folder / "log", folder / "hooks.py"
    hooks.write_text(HOOKS if merged else "")
    command = [
        *(sys.executable, "-m", "gunicorn", "--workers", "2", "--bind", "127.0.0.1:0", "--no-control-socket"),
        *("--config", str(hooks), "--worker-tmp-dir", str(folder), *options, "support.gunicorn_app:app"),
    ]
    environment = {**os.environ, "PYTHONPATH": str(TESTS)}
    if merged:
        environment["PROMETHEUS_MULTIPROC_DIR"] = str(files)
    with (
        open(log, "w", encoding="utf-8") as written,
        subprocess.Popen(command, stderr=written, text=True, env=environment, cwd=folder) as process,
    ):
        try:
            until(lambda: "Listening at: http://" in log.read_text() or process.poll() is not None)
            assert process.poll() is None, log.read_text()
            address = log.read_text().partition("Listening at: http://")[2].split()[0]
            yield Server(process, address)
        finally:
            process.terminate()
            process.wait(SECONDS)
            said = log.read_text()
    assert "Traceback" not in said, said


@pytest.mark.parametrize("options", [(), ("--preload",)], ids=["each worker loads", "preloaded"])
def test_two_workers_of_gunicorn_are_one_scrape(tmp_path: Path, options: tuple[str, ...]) -> None:
    # S233
    with gunicorn(tmp_path, *options) as server:
        until(lambda: server.get() > 0 and len(server.workers()) == 2)
        for _ in range(30):
            server.get()
        for _ in range(40):
            server.get("/fail")
        assert server.total("rejected") > 0

        def all_there() -> bool:
            seen = server.scrape()
            calls = seen.of("circuit_breaker_calls_total", "outcome", name="http:payments", service="shop")
            failed = seen.of("circuit_breaker_calls_total", "outcome", name="http:refunds", service="shop")
            rejected = seen.of("circuit_breaker_rejected_calls_total", "reason", name="http:refunds")
            # A worker's first copy of a breaker is an interval after its creation.
            told = calls.get("success"), failed.get("failure"), rejected.get("open")
            return told == tuple(map(server.total, ("succeeded", "failed", "rejected")))

        until(all_there)
        seen = server.scrape()
        failed = seen.of("circuit_breaker_calls_total", "outcome", name="http:refunds")
        assert failed == {"success": 0, "failure": server.total("failed"), "ignored": 0}
        # Each worker counts for itself and opens at its second failure; one that is seldom asked may have none or one.
        opened = sum(said == "failed" and count >= 2 for (_, said), count in server.said.items())
        states = seen.of("circuit_breaker_state", "state", name="http:refunds")
        preloader = len(options)  # the process that has loaded the program is one more
        assert states == {"closed": 2 - opened + preloader, "open": opened, "half_open": 0}
        assert seen.value("circuit_breaker_state_code", name="http:refunds") == 1
        assert seen.value("circuit_breaker_failure_rate", name="http:refunds") == -1
        kinds = seen.of("resilience4j_circuitbreaker_calls_seconds_count", "kind", name="http:payments")
        assert kinds["successful"] == server.total("succeeded")


def test_without_that_mode_a_scrape_is_of_one_worker(tmp_path: Path) -> None:
    with gunicorn(tmp_path, merged=False) as server:
        until(lambda: server.get() > 0 and len(server.workers()) == 2)
        for _ in range(20):
            server.get()
        own = {count for (_, said), count in server.said.items() if said == "succeeded"}
        scraped: set[float] = set()

        def both_were_scraped() -> bool:
            seen = server.scrape()
            scraped.add(seen.of("circuit_breaker_calls_total", "outcome", name="http:payments")["success"])
            return scraped == own

        until(both_were_scraped)
        assert server.total("succeeded") not in scraped


def test_a_worker_that_ends_leaves_its_counts_and_takes_its_states(tmp_path: Path) -> None:
    # S232, S233
    with gunicorn(tmp_path) as server:
        until(lambda: server.get() > 0 and len(server.workers()) == 2)
        first = server.workers()
        for _ in range(20):
            server.get()
        os.kill(min(first), signal.SIGTERM)  # ends as it does when it is reloaded
        until(lambda: server.get() > 0 and len(server.workers()) == 3)

        def settled() -> bool:
            seen = server.scrape()
            calls = seen.of("circuit_breaker_calls_total", "outcome", name="http:payments")
            states = seen.of("circuit_breaker_state", "state", name="http:payments")
            return (calls.get("success"), states.get("closed")) == (server.total("succeeded"), 2)

        until(settled)


FORKING = """
import os, sys
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from breaker import Config, Policy, Provider
from breaker.metrics.prometheus import register

provider = Provider(Config("shop", "/config/dev/shop/breakers/"), default_policy=Policy(2))
registration = register(provider, interval=3600)
breaker = provider.get_breaker("a")


def call(times):
    for _ in range(times):
        breaker.do(int)


def copy():
    from breaker.metrics import _multiprocess
    for publisher in _multiprocess._publishers:
        publisher.copy()


def show():
    registry = CollectorRegistry()
    MultiProcessCollector(registry)
    sys.stdout.write(generate_latest(registry).decode())


def in_a_child(work):
    child = os.fork()
    if child == 0:
        work()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
"""


def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str) -> Scrape:
    files = tmp_path / "files"
    files.mkdir(exist_ok=True)
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(files))
    return parsed(run_python(FORKING + program, "-W", "ignore:.*fork:DeprecationWarning"))


def successes(seen: Scrape, name: str = "a") -> float:
    return seen.value("circuit_breaker_calls_total", outcome="success", name=name)


def test_a_child_adds_its_own_calls_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # S233: what the parent has written, and what it has counted and not written yet, are the parent's
    program = """
call(3)
copy()
call(4)
provider.get_breaker("made, and not written")
provider.breakers["made, and not written"].do(int)
in_a_child(lambda: (call(5), provider.get_breaker("new").do(int), copy()))
copy()
show()
"""
    seen = run(tmp_path, monkeypatch, program)
    assert successes(seen) == 12
    assert successes(seen, "made, and not written") == 1
    assert successes(seen, "new") == 1
    assert seen.value("circuit_breaker_state", state="closed", name="a") == 2  # of two processes


def test_grandchildren_do_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # S233
    program = """
call(1)
in_a_child(lambda: (call(10), in_a_child(lambda: (call(100), copy())), copy()))
copy()
show()
"""
    assert successes(run(tmp_path, monkeypatch, program)) == 111


def test_forks_while_metrics_are_written_hang_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # S233: prometheus_client's lock would stay held in the child
    program = """
import threading
over = threading.Event()
def write():
    while not over.is_set():
        breaker.do(int)
        copy()
threads = [threading.Thread(target=write) for _ in range(3)]
for thread in threads: thread.start()
for _ in range(20):
    in_a_child(lambda: (breaker.do(int), copy()))
over.set()
for thread in threads: thread.join()
total = breaker.snapshot().successes + 20
copy()
show()
assert total > 20
print("# TYPE total gauge")
print("total", total)
"""
    seen = run(tmp_path, monkeypatch, program)
    assert successes(seen) == seen.value("total")


def test_the_last_calls_are_written_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # S233: and a later process goes on from there
    run(tmp_path, monkeypatch, "call(7)")
    seen = run(tmp_path, monkeypatch, "call(1); copy(); show()")
    assert successes(seen) == 8


def test_a_breaker_that_is_removed_stands_for_nothing_and_counts_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # S232: its series cannot be taken back in this mode
    program = """
call(2)
breaker.force_open()
copy()
call_more = lambda: provider.get_breaker("a").do(int)
provider.remove("a")
copy()
show()
call_more()
call_more()
copy()
sys.stdout.write("# SECOND\\n")
show()
"""
    first, _, second = run(tmp_path, monkeypatch, program).text.partition("# SECOND\n")
    for text, states, calls in ((first, {"closed": 0, "open": 0, "half_open": 0}, 2), (second, None, 4)):
        seen = parsed(text)
        assert successes(seen) == calls
        if states is None:
            states = {"closed": 1, "open": 0, "half_open": 0}
            assert seen.of("circuit_breaker_mode", "mode")["auto"] == 1
        else:
            assert set(seen.of("circuit_breaker_mode", "mode").values()) == {0}
            assert seen.value("circuit_breaker_recovery_share") == 1
        assert seen.of("circuit_breaker_state", "state") == states


def test_it_ends_and_may_begin_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = """
import threading
call(2)
registration.unregister()
registration()
assert [t.name for t in threading.enumerate() if "breaker" in t.name] == []
call(4)
with register(provider, service="anew"):
    [thread] = [t.name for t in threading.enumerate() if "breaker" in t.name]
    assert thread == "breaker-metrics-anew", thread
    try:
        register(Provider(Config("x", "/p/")), service="anew")
    except ValueError as error:
        assert "another provider of service 'anew'" in str(error)
    else:
        raise AssertionError
show()
"""
    seen = run(tmp_path, monkeypatch, program)
    assert seen.of("circuit_breaker_calls_total", "service", outcome="success") == {"shop": 2, "anew": 6}
    assert seen.of("circuit_breaker_state", "service", state="closed") == {"shop": 0, "anew": 0}


def test_a_disk_that_is_full_is_logged_once_and_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = """
import logging
from prometheus_client import mmap_dict
from breaker.metrics import _multiprocess


class Handler(logging.Handler):
    def emit(self, record):
        lines.append(record.getMessage())


def full(*arguments):
    raise OSError(28, "No space left on device")


lines = []
logging.getLogger("breaker").addHandler(Handler())
call(1)
copy()
write = mmap_dict.MmapedDict.write_value
mmap_dict.MmapedDict.write_value = full
call(2)
copy()
copy()
mmap_dict.MmapedDict.write_value = write
assert len(lines) == 1 and "No space left" in lines[0], lines
call(1)
copy()
show()
"""
    assert successes(run(tmp_path, monkeypatch, program)) == 4


def test_set_after_the_import_is_said(tmp_path: Path) -> None:
    program = """
import os
import prometheus_client
os.environ["PROMETHEUS_MULTIPROC_DIR"] = "/"
from breaker import Config, Provider
from breaker.metrics.prometheus import register
try:
    register(Provider(Config("x", "/p/")), multiprocess=True)
except ValueError as error:
    assert "before anything imports prometheus_client" in str(error)
else:
    raise AssertionError
"""
    assert run_python(program) == ""
