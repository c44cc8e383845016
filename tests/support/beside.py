"""A pytest plugin by which two processes share the tests of one run, file by file, where there are two processors.

This one takes files from the front, the other from the back, until they meet; then this one goes on with the reports of
the other, so that one run has all results, its last line the sum of both and each failure its traceback. The other is
the same command, so that it has the same options. Who runs a file claims it by making a file of its name.

Tests that are not shared come first, so that they have the machine for themselves. Neither process has a thread or a
pipe for this: there are tests that fork, and tests that count threads and descriptors.
"""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from support.reports import Report, Reporter, failed, replay
from support.tally import TALLY, count

ENOUGH = 200  # tests; for fewer it is not worth while to import and collect everything a second time
_FOLDER = "BREAKER_TESTS_SHARED_IN"  # in the other process: where claims are made and reports written
_LIMIT = 900.0  # seconds without a report, after which the other process counts as hung
# Options with which one process runs all: it ends early, shows instead of runs, measures, or has a folder to itself.
_TOGETHER = (
    *("maxfail", "stepwise", "usepdb", "collectonly", "setuponly", "setupplan"),
    *("benchmark_only", "benchmark_enable", "basetemp"),
)
_ADDRESS = re.compile(r"\b0x[0-9a-f]+|\bid='[0-9]+'")


def names(items: list[pytest.Item]) -> dict[str, str]:
    """The id of each test → what it is called in both processes: ids may have the address of an object in them."""
    seen: Counter[str] = Counter()
    called = {}
    for item in items:
        plain = _ADDRESS.sub("…", item.nodeid)
        seen[plain] += 1
        called[item.nodeid] = f"{plain} {seen[plain]}"
    return called


class Claims:
    """Which files this process runs."""

    def __init__(self, folder: Path, root: Path) -> None:
        self.folder, self.root = folder, root
        self.made: dict[Path, bool] = {}

    def ours(self, item: pytest.Item) -> bool:
        """Whether this process runs the test: the first one that asks for a file has it."""
        if item.path not in self.made:
            name = str(item.path.relative_to(self.root)).replace(os.sep, "%")
            try:
                os.close(os.open(self.folder / name, os.O_CREAT | os.O_EXCL))
                self.made[item.path] = True
            except FileExistsError:
                self.made[item.path] = False
        return self.made[item.path]


class Front:
    """In the process that was called: starts the other one, and has its reports as its own."""

    def __init__(self, config: pytest.Config, shared: list[pytest.Item]) -> None:
        self.config, self.names = config, names(shared)
        self.last = shared[-1]
        self.folder = tempfile.TemporaryDirectory(prefix="beside")
        self.claims = Claims(Path(self.folder.name), config.rootpath)
        self.output, self.reports = self.claims.folder / "output", self.claims.folder / "reports"
        self.told: dict[str, list[dict[str, Any]]] = defaultdict(list)  # name → reports that are not replayed
        self.read = 0  # bytes of the file of reports
        self.failed = False  # whether a report of the other process says so, or that it ended too early
        self.process: subprocess.Popen[bytes] | None = None

    @pytest.hookimpl(specname="pytest_runtest_protocol", wrapper=True, tryfirst=True)
    def pytest_claim(self, item: pytest.Item) -> Generator[None, bool | None, bool | None]:
        """Outside pytest-timeout's hook: the other process watches the time of its tests itself."""
        if item.nodeid in self.names:
            if self.process is None:
                self.process = self._start()
            if not self.claims.ours(item):
                item.add_marker(pytest.mark.timeout(0), append=False)
        return (yield)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> bool | None:
        if item.nodeid not in self.names or self.claims.ours(item):
            return None
        replay(item, self._reports_of(item))
        if item is self.last:
            self._check_end(item)
        return True

    def pytest_sessionfinish(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)  # so that it stops what its tests have started
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(30)
            self.process.kill()
            self.process.wait()
        self.folder.cleanup()

    def _start(self) -> subprocess.Popen[bytes]:
        self.reports.touch()
        with self.output.open("wb") as out:
            return subprocess.Popen(
                [sys.executable, "-m", "pytest", *self.config.invocation_params.args],
                cwd=self.config.invocation_params.dir,
                env=os.environ | {_FOLDER: self.folder.name},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
            )

    def _reports_of(self, item: pytest.Item) -> Iterator[Report]:
        assert self.process is not None
        heard, told = time.monotonic(), self.told[self.names[item.nodeid]]
        while True:
            while told:
                yield told.pop(0) | {"nodeid": item.nodeid}
            over = self.process.poll() is not None
            if self._read():
                heard = time.monotonic()
            elif over:
                self.failed = True
                yield self._end()
            elif time.monotonic() - heard > _LIMIT:
                yield "hangs"
            else:
                time.sleep(0.05)

    def _read(self) -> bool:
        """Take what was reported since. Whether there was anything."""
        before = self.read
        with self.reports.open("rb") as reports:
            reports.seek(self.read)
            for line in reports:
                if line.endswith(b"\n"):
                    self.read += len(line)
                    self._take(json.loads(line))
        return self.read > before

    def _take(self, data: dict[str, Any]) -> None:
        if "tally" in data:
            count(data["tally"])
        else:
            self.told[data.pop("name")].append(data)
            self.failed |= data["outcome"] == "failed"

    def _check_end(self, item: pytest.Item) -> None:
        """A failure at the end of the other process, when all its tests have passed, is one too."""
        assert self.process is not None
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(_LIMIT)
        self._read()
        if not self.failed and self.process.poll() != 0:
            item.ihook.pytest_runtest_logreport(report=failed(item, self._end()))

    def _end(self) -> str:
        assert self.process is not None
        return f"ended with {self.process.poll()}\n{self.output.read_text(errors='replace')[-5000:]}"


class Back(Reporter):
    """In the other process: runs the files that nobody has claimed, the last one first."""

    def __init__(self, config: pytest.Config, folder: Path, shared: list[pytest.Item]) -> None:
        super().__init__(config, os.open(folder / "reports", os.O_WRONLY | os.O_APPEND))
        self.names = names(shared)
        self.claims = Claims(folder, config.rootpath)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> bool | None:
        return None if self.claims.ours(item) else True

    def write(self, data: Mapping[str, Any]) -> None:
        super().write({**data, "name": self.names[data["nodeid"]]} if "nodeid" in data else data)

    def pytest_sessionfinish(self) -> None:
        self.write({"tally": TALLY})


def set_up(session: pytest.Session, alone: Path) -> None:
    """Share the tests of this session where it is worth while, those in ``alone`` and the ``undisturbed`` apart."""
    config = session.config
    first = [item for item in session.items if alone in item.path.parents]
    first += [item for item in session.items if alone not in item.path.parents and _undisturbed(item)]
    unshared = {id(item) for item in first}
    shared = [item for item in session.items if id(item) not in unshared]
    place = {path: number for number, path in enumerate(dict.fromkeys(item.path for item in shared))}
    shared.sort(key=lambda item: place[item.path])
    if folder := os.environ.pop(_FOLDER, None):  # not for a pytest that a test starts
        session.items[:] = sorted(shared, key=lambda item: -place[item.path])
        config.pluginmanager.register(Back(config, Path(folder), shared), "back")
        return
    told_otherwise = any(config.getoption(name, False) for name in _TOGETHER)
    if told_otherwise or config.getoption("capture") == "no" or len(os.sched_getaffinity(0)) < 2:
        return
    if len(shared) >= ENOUGH and len(place) > 1:
        session.items[:] = first + shared
        config.pluginmanager.register(Front(config, shared), "front")


def _undisturbed(item: pytest.Item) -> bool:
    return item.get_closest_marker("undisturbed") is not None
