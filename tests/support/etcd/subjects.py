"""The programs under test: one provider per transport, all under the same fault, each with calls that go on."""

import json
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from breaker import Policy, Provider
from breaker.policies.names import document_name
from breaker.sources import EtcdSource, SourceStatus
from support.drive import CONFIG, identity
from support.etcd.api import Api
from support.etcd.ports import of_the_tests
from support.processes import FREE_THREADED
from support.watching import LineLogger, eventually

PATH = CONFIG.policies_path
LOST, REGAINED = "circuit breaker policy source failed", "circuit breaker policy source is back"
# gRPC has no packages for free-threaded builds; anywhere else a missing one is an error and nothing to pass over.
TRANSPORTS = ("gateway",) if FREE_THREADED else ("gateway", "etcd3")
CLOSE_LIMIT = 2.0  # seconds that close() may take, by contract


class Traffic:
    """A thread that calls breakers all the time: no call may fail or wait, whatever happens to etcd."""

    def __init__(self, provider: Provider, names: Iterable[str]) -> None:
        self._provider = provider
        self._names = tuple(names)
        self._stop = threading.Event()
        self.calls = 0
        self.slow: list[float] = []  # the calls that took over 50 ms
        self.errors: list[BaseException] = []
        self._thread = threading.Thread(target=self._run, name="traffic", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(0.002):
            name = self._names[self.calls % len(self._names)]
            began = time.perf_counter()
            try:
                assert self._provider.get_breaker(name).do(identity, name) == name
            except BaseException as error:
                self.errors.append(error)
            took = time.perf_counter() - began
            self.calls += 1
            if took > 0.05:
                self.slow.append(took)

    def end(self) -> None:
        """Stop, and say what was wrong."""
        self._stop.set()
        self._thread.join(10)
        assert self.errors == []
        # A call that waits for etcd waits for seconds. Single slow ones are the machine's: two cores, many processes.
        assert len(self.slow) <= 2 + self.calls // 200, f"{len(self.slow)} of {self.calls} calls waited: {self.slow}"
        assert max(self.slow, default=0) < 1


def status_of(provider: Provider) -> SourceStatus:
    """The status of the source of a provider, which has one."""
    status = provider.source_status
    assert status is not None
    return status


class Subject:
    """One provider on one transport, with its log lines and its events."""

    def __init__(self, transport: str, source: EtcdSource, names: Iterable[str], **options: Any) -> None:
        self.transport, self.source = transport, source
        self.lines = LineLogger()
        self.heard: list[Any] = []
        options.setdefault("logger", self.lines)
        began = time.monotonic()
        self.provider = Provider(CONFIG, policy_source=source, **options)
        self.construction = time.monotonic() - began
        self.provider.subscribe(self.heard.append)
        self.names = set(names)
        for name in self.names:
            self.provider.get_breaker(name)
        self.traffic: Traffic | None = None

    def differences(self, documents: Mapping[str, bytes]) -> dict[str, tuple[Policy, Policy]]:
        """Of each breaker that obeys something else than the documents say: what it obeys, and what it should."""
        names = self.names | {name for key in documents if (name := document_name(key)) not in (None, "default")}
        pairs = {name: (self.provider.get_breaker(name).policy, expected(documents, name)) for name in names if name}
        return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}

    def threshold(self, name: str) -> int | None:
        return self.provider.get_breaker(name).policy.failure_threshold

    @property
    def status(self) -> SourceStatus:
        """The status of its source."""
        return status_of(self.provider)

    @property
    def losses(self) -> list[dict[str, Any]]:
        """The lines that said that etcd was lost, those of the construction too."""
        return self.lines.of(LOST)

    @property
    def returns(self) -> list[dict[str, Any]]:
        return self.lines.of(REGAINED)

    def close(self) -> float:
        """Returns the seconds it took."""
        if self.traffic is not None:
            self.traffic.end()
            self.traffic = None
        began = time.monotonic()
        self.provider.close()
        return time.monotonic() - began


class Subjects(list[Subject]):
    """All transports under the same fault. ``record`` keeps what was measured for the report of the run."""

    def __init__(self, record: Callable[[str, object], None]) -> None:
        super().__init__()
        self._record = record

    def add(
        self, endpoints: str | list[str], names: Iterable[str], provider: Mapping[str, Any] | None, **options: Any
    ) -> None:
        """One provider per transport, with these options of `EtcdSource` and of `Provider`."""
        for transport in TRANSPORTS:
            source = EtcdSource(endpoints, transport=transport, **options)
            self.append(Subject(transport, source, names, **(provider or {})))

    def start_traffic(self) -> None:
        for subject in self:
            subject.traffic = Traffic(subject.provider, subject.names)

    def converge(self, api: Api, seconds: float, what: str | None = None, since: float | None = None) -> None:
        """Wait until each has exactly the server's state, at most so long after ``since`` (None: now).

        ``what``: the name under which the time is reported.
        """
        since = time.monotonic() if since is None else since
        documents = api.documents(PATH)
        pending = list(self)
        while pending:
            for subject in list(pending):
                if not subject.differences(documents):
                    pending.remove(subject)
                    if what is not None:
                        self._record(f"{what} ({subject.transport})", round(max(0.0, time.monotonic() - since), 2))
            late = time.monotonic() > since + seconds
            assert not (late and pending), "\n".join(_describe(subject, documents) for subject in pending)
            time.sleep(0.005)
        assert api.documents(PATH) == documents, "the test has changed the documents while it waited"

    def eventually(self, condition: Callable[..., object], seconds: float = 15) -> None:
        """Wait until this holds for each."""
        for subject in self:
            try:
                eventually(partial(condition, subject), seconds)
            except AssertionError as error:
                raise AssertionError(f"{subject.transport}: {error}; {subject.lines.lines[-5:]}") from None

    def record(self, what: str, value: object) -> None:
        self._record(what, value)

    def close(self) -> None:
        """Close all, each in time."""
        took = {subject.transport: subject.close() for subject in self}
        assert max(took.values(), default=0.0) < CLOSE_LIMIT + 0.5, f"close() took {took}"


class Belongings:
    """The threads and sockets that there are now, to find those that somebody has left behind later."""

    def __init__(self) -> None:
        self._threads, self._sockets = _threads(), open_sockets()

    def check_nothing_is_left(self, seconds: float = 5) -> None:
        """Nothing has been added; gRPC ends its connections a little after it was asked to."""
        deadline = time.monotonic() + seconds
        while left := (_threads() - self._threads) | (open_sockets() - self._sockets):
            assert time.monotonic() < deadline, f"left behind: {left}"
            time.sleep(0.01)


def _threads() -> set[threading.Thread]:
    """The threads of this process, without those of the tests' own proxies."""
    return {thread for thread in threading.enumerate() if not thread.name.startswith("proxy-")}


def open_sockets() -> set[int]:
    """The sockets of this process, without those of the tests' own servers and proxies."""
    inodes = set()
    for entry in Path("/proc/self/fd").iterdir():
        try:
            target = os.readlink(entry)
        except OSError:  # the descriptor of the listing itself
            continue
        if target.startswith("socket:["):
            inodes.add(int(target[8:-1]))
    return inodes - {inode for part in list(of_the_tests) for inode in part.inodes()}


def expected(documents: Mapping[str, bytes], name: str) -> Policy:
    """What a breaker obeys by these documents, in the few fields that the tests of faults use."""
    fields: dict[str, Any] = {}
    for key in ("default.json", f"{name}.json"):
        fields |= json.loads(documents.get(key, b"{}"))
    seconds = float(fields.get("openStateTimeout", "60s").removesuffix("s"))
    return Policy(fields.get("failureThreshold", 5), fields.get("successThreshold", 2), seconds)


def _describe(subject: Subject, documents: Mapping[str, bytes]) -> str:
    wrong = subject.differences(documents)
    some = dict(list(wrong.items())[:3])
    status = subject.provider.source_status
    return (
        f"{subject.transport} has {len(wrong)} policies that differ, like {some}; {status}; {subject.lines.lines[-5:]}"
    )
