"""Fixtures of the tests against real servers: a server, the network before it, and providers that follow it."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from breaker.sources.etcd import follower
from support import apart
from support.drive import document
from support.etcd.binaries import BINARIES, WHEEL, Binary
from support.etcd.proxy import Proxy
from support.etcd.scripted import ScriptedWatch, Store
from support.etcd.server import Server
from support.etcd.subjects import PATH, Belongings, Subjects

NAMES = [f"name-{number:02}" for number in range(30)]
HERE = Path(__file__).parent
Follow: TypeAlias = Callable[..., Subjects]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "alone: waits long, so it has a process of its own")
    config.addinivalue_line("markers", "every_version: run with each etcd that this machine has")


@pytest.hookimpl(tryfirst=True)  # or the names of tests would depend on how pytest was called
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Debian's etcd is tested where it is installed; without it there is no such test, rather than one passed over."""
    if "binary" in metafunc.fixturenames and metafunc.definition.get_closest_marker("every_version"):
        metafunc.parametrize("binary", BINARIES, ids=[binary.origin for binary in BINARIES])


def pytest_collection_finish(session: pytest.Session) -> None:
    apart.set_up(session.config, [item for item in session.items if HERE in item.path.parents])


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """What was measured, as a table: of a fault that came several times, the worst."""
    measured: dict[str, list[Any]] = {}
    for report in terminalreporter.getreports("passed"):
        if report.when == "call" and HERE.name in report.nodeid:
            for name, value in report.user_properties:
                measured.setdefault(name, []).append(value)
    if measured:
        terminalreporter.section("etcd: seconds to converge after a fault")
        width = max(map(len, measured))
        for name, values in sorted(measured.items()):
            terminalreporter.write_line(f"{name:<{width}}  {max(values)}")


@pytest.fixture
def binary() -> Binary:
    return WHEEL


@pytest.fixture
def server(tmp_path: Path, binary: Binary) -> Iterator[Server]:
    """A server of its own for the test."""
    with Server(tmp_path, binary) as started:
        yield started


@pytest.fixture
def proxies() -> Iterator[list[Proxy]]:
    """The proxies of the test; whoever makes one appends it."""
    made: list[Proxy] = []
    yield made
    for proxy in made:
        proxy.close()


@pytest.fixture
def proxy(server: Server, proxies: list[Proxy]) -> Proxy:
    """The network before the server."""
    proxies.append(Proxy(server.port))
    return proxies[0]


@pytest.fixture
def follow(proxies: list[Proxy], binary: Binary, record_property: Callable[[str, object], None]) -> Iterator[Follow]:
    """``follow(endpoint, **options of EtcdSource)``: a provider on each transport, with calls going on.

    ``names``: of breakers that exist from the beginning; ``provider``: options of `Provider`; ``traffic=False``: no
    calls. When the test ends they are closed, in time and with nothing left.
    """
    made: list[Subjects] = []
    before = Belongings()
    suffix = "" if binary is WHEEL else f", etcd {binary.label}"

    def start(
        endpoints: str | list[str],
        names: list[str] | None = None,
        provider: dict[str, Any] | None = None,
        traffic: bool = True,
        **options: Any,
    ) -> Subjects:
        subjects = Subjects(lambda what, value: record_property(what + suffix, value))
        made.append(subjects)
        subjects.add(endpoints, [*NAMES, "never listed"] if names is None else names, provider, **options)
        if traffic:
            subjects.start_traffic()
        return subjects

    yield start
    for subjects in made:
        subjects.close()
    before.check_nothing_is_left()


@pytest.fixture
def follow_filled(server: Server, follow: Follow) -> Follow:
    """As `follow`, with documents for all names in the server, which each provider has when this returns."""

    def start(endpoints: str, **options: Any) -> Subjects:
        fill(server)
        subjects = follow(endpoints, **options)
        subjects.converge(server.api, 5)
        return subjects

    return start


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server for all tests of a file, with a document that makes name-00's threshold 7."""
    with Server(tmp_path_factory.mktemp("healthy")) as started:
        started.api.put(f"{PATH}name-00.json", '{"failureThreshold": 7}')
        yield started


@pytest.fixture
def store() -> Store:
    """What the scripted session of a follower reads."""
    return Store()


@pytest.fixture
def watch() -> ScriptedWatch:
    """The watch that a follower over a scripted session works for."""
    return ScriptedWatch()


@pytest.fixture
def in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Endpoints are tried in the order in which they are given."""

    class Ordered:
        uniform = staticmethod(lambda low, high: low)
        sample = staticmethod(lambda given, count: list(given))

    monkeypatch.setattr(follower, "random", Ordered)


def fill(server: Server, names: list[str] = NAMES) -> None:
    """Documents for these names, and for all others, in one transaction."""
    puts = [(f"{PATH}{name}.json", random_document()) for name in names]
    server.api.transaction([(f"{PATH}default.json", random_document()), *puts])


def shuffle(server: Server, names: list[str] = NAMES) -> None:
    """Change, delete and add documents at random, at least one of each."""
    half = random.sample(names, len(names) // 2)
    gone, changed = half[: len(half) // 2], half[len(half) // 2 :]
    server.api.transaction(
        [(f"{PATH}{name}.json", random_document()) for name in changed], [f"{PATH}{name}.json" for name in gone]
    )
    for name in random.sample(names, 3):
        server.api.put(f"{PATH}{name}.json", random_document())
    server.api.put(f"{PATH}default.json", random_document())


def random_document() -> bytes:
    return document(failureThreshold=random.randrange(1, 10**6), openStateTimeout=f"{random.randrange(1, 1000)}s")
