"""A pytest plugin that runs tests of one folder in processes of their own, several at once, within one run of pytest.

Tests of faults spend their time waiting for bounds to pass, so they can wait together: eight groups at a time end in
the time of the longest. A group is some tests of a file, or one that is marked ``alone`` because it waits long; those
marked ``undisturbed`` measure, and run when all others have ended. Each group has a process: whether threads and
sockets are left is then the test's own affair, a fork copies nothing of others, and what gRPC does to a process ends
with it.

`pytest-xdist` is not the way: it would spread the other thousands of tests too, among them those that measure, count
threads and fork, over a machine of two cores, and switch the benchmarks off.
"""

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import pytest

from support.reports import Report, Reporter, replay

AT_ONCE = 8
TOGETHER = 12  # tests of a file in one process; to start one costs as much as some tests
_PIPE = "BREAKER_TESTS_REPORT_TO"  # in a group's process: the descriptor that its reports go to
# Plugins that these tests do not use; to import hypothesis costs twice as much as all the rest.
_WITHOUT = ("-p", "no:cacheprovider", "-p", "no:hypothesispytest", "-p", "no:benchmark")
_LIMIT = 400.0  # seconds without a report, after which a group counts as hung


class Apart:
    """Starts the groups when the first of their tests is due, and replays their reports in the order of this run."""

    def __init__(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        self.config = config
        self.reports: dict[str, queue.Queue[dict[str, Any] | None]] = {item.nodeid: queue.Queue() for item in items}
        self.groups: dict[str, list[pytest.Item]] = {}
        for item in items:
            self.groups.setdefault(_group(item, items), []).append(item)
        self.weights = {name: sum(map(_seconds, group)) for name, group in self.groups.items()}
        self.ends: dict[str, str] = {}  # of test → how the process of its group ended
        self.processes: list[subprocess.Popen[bytes]] = []
        self.thread: threading.Thread | None = None
        self.left = len(items)
        self.stopped = False

    def pytest_runtest_protocol(self, item: pytest.Item) -> bool | None:
        if item.nodeid not in self.reports:
            return None
        if self.thread is None:
            self.thread = threading.Thread(target=self._run_all, name="groups of tests", daemon=True)
            self.thread.start()
        replay(item, self._reports_of(item))
        self.left -= 1
        if not self.left:
            self.thread.join(_LIMIT)  # other tests come now: some of them fork
        return True

    def pytest_sessionfinish(self) -> None:
        self.stopped = True
        for process in self.processes:
            process.kill()
        if self.thread is not None:
            self.thread.join(30)

    def _reports_of(self, item: pytest.Item) -> Iterator[Report]:
        while True:
            try:
                data = self.reports[item.nodeid].get(timeout=_LIMIT)
            except queue.Empty:
                data = None
            yield self.ends.get(item.nodeid, "hangs") if data is None else data

    def _run_all(self) -> None:
        undisturbed = {name for name, items in self.groups.items() if items[0].get_closest_marker("undisturbed")}
        by_weight = sorted(self.groups, key=lambda name: -self.weights[name])
        with ThreadPoolExecutor(AT_ONCE) as pool:
            wait([pool.submit(self._run, name) for name in by_weight if name not in undisturbed])
            for name in undisturbed:
                self._run(name)

    def _run(self, name: str) -> None:
        if self.stopped:
            return
        names = [item.nodeid for item in self.groups[name]]
        reader, writer = os.pipe()
        with tempfile.TemporaryDirectory() as folder, open(reader, encoding="utf-8") as reports:
            arguments, output = Path(folder, "tests"), Path(folder, "output")
            arguments.write_text("\n".join(names))
            command = [sys.executable, "-m", "pytest", "-q", *_WITHOUT, f"@{arguments}"]
            with output.open("wb") as out:
                process = subprocess.Popen(
                    command,
                    cwd=self.config.rootpath,
                    env=os.environ | {_PIPE: str(writer)},
                    pass_fds=[writer],
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=out,
                )
            self.processes.append(process)
            os.close(writer)
            for line in reports:
                data = json.loads(line)
                self.reports[data["nodeid"]].put(data)
            how = f"ended with {process.wait()}\n{output.read_text(errors='replace')[-5000:]}"
        for nodeid in names:
            self.ends[nodeid] = how
            self.reports[nodeid].put(None)


def _group(item: pytest.Item, items: list[pytest.Item]) -> str:
    if item.get_closest_marker("alone") or item.get_closest_marker("undisturbed"):
        return item.nodeid
    file = [other for other in items if other.path == item.path]
    return f"{item.path} {file.index(item) // TOGETHER}"


def _seconds(item: pytest.Item) -> float:
    """How long a test may take, as a measure of how long it takes."""
    marker = item.get_closest_marker("timeout")
    return float(marker.args[0]) if marker else 10.0


def set_up(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Have these tests run apart, unless this is a process of theirs, they are one group, or nobody wants them so."""
    if pipe := os.environ.get(_PIPE):
        if not config.pluginmanager.has_plugin("reporter"):
            config.pluginmanager.register(Reporter(config, int(pipe)), "reporter")
        return
    debugged = config.getoption("usepdb") or config.getoption("capture") == "no" or config.getoption("collectonly")
    only_benchmarks = config.getoption("benchmark_only", False)  # tests are passed over then, which is done here
    if debugged or only_benchmarks or len({_group(item, items) for item in items}) < 2:
        return
    config.pluginmanager.register(Apart(config, items), "apart")
    for item in items:
        item.add_marker(pytest.mark.timeout(0), append=False)  # its own process keeps the time
