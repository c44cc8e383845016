"""Fixtures: real providers on a clock that the test moves by hand."""

import gc
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from breaker import Breaker, Policy, Provider
from breaker.sources import MemorySource
from breaker.testing import ManualClock
from support import beside
from support.drive import CONFIG, NAME, Put, document
from support.tally import TALLY, summary

# Its tests wait for bounds to pass, in several processes of their own (support/apart.py).
SERVERS_THAT_FAIL = Path(__file__).parent / "etcd"


def pytest_configure(config: pytest.Config) -> None:
    """Programs that tests start are stopped by Ctrl-C, also where a shell has started the suite in the background."""
    config.addinivalue_line("markers", "undisturbed: depends on time, so it runs when nothing else does")
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_report_header() -> str:
    """Which servers the tests run against."""
    from support.etcd.binaries import BINARIES
    from support.etcd.fronts import HAPROXY, NGINX
    from support.servers.binaries import summary as databases

    fronts = f"nginx: {NGINX or 'not tested here'}; haproxy: {HAPROXY or 'not tested here'}"
    return f"etcd: {', '.join(binary.label for binary in BINARIES)}; {fronts}; {databases()}"


def pytest_collection_finish(session: pytest.Session) -> None:
    """What the session holds until its end is left out of collections: the tests of leaks make thousands of them."""
    beside.set_up(session, SERVERS_THAT_FAIL)
    gc.collect()
    gc.freeze()


def pytest_sessionfinish() -> None:
    """What is imported for the summary may ask the collector who holds an object; it does not look at frozen ones."""
    gc.unfreeze()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How much the tests that count it have tried."""
    if TALLY:
        terminalreporter.write_line(f"tried: {summary()}")


@pytest.fixture(scope="module", autouse=True)
def left_out_of_collections() -> None:
    """What the files before have imported and made is neither: a collection took a third of a second at the end."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def clock() -> ManualClock:
    """A clock that stands at 0 until the test advances it."""
    return ManualClock()


@pytest.fixture
def listeners() -> list[Callable[[Any], None]]:
    """The listeners that every provider made by ``provider_of`` from now on gets, in this order."""
    return []


@pytest.fixture
def events(listeners: list[Callable[[Any], None]]) -> list[Any]:
    """Every event of every provider of the test, in the order of delivery, ``BreakerCreated`` first."""
    recorded: list[Any] = []
    listeners.append(recorded.append)
    return recorded


@pytest.fixture
def provider_of(clock: ManualClock, listeners: list[Callable[[Any], None]]) -> Iterator[Callable[..., Provider]]:
    """``provider_of(policy, **options)``: a provider with that default policy, closed after the test."""
    made: list[Provider] = []

    def build(policy: Policy | None = None, **options: Any) -> Provider:
        options.setdefault("clock", clock)
        if policy is not None:
            options["default_policy"] = policy
        provider = Provider(CONFIG, **options)
        made.append(provider)
        for listener in listeners:
            provider.subscribe(listener)
        return provider

    yield build
    for provider in made:
        provider.close()


@pytest.fixture
def make_breaker(provider_of: Callable[..., Provider]) -> Callable[..., Breaker]:
    """``make_breaker(policy, name, **options of get_breaker)``: a new breaker of a provider of its own."""

    def build(policy: Policy | None = None, name: str = NAME, **options: Any) -> Breaker:
        return provider_of(policy).get_breaker(name, **options)

    return build


@pytest.fixture
def source() -> MemorySource:
    """Policy documents for ``provider_of(policy, policy_source=source)``."""
    return MemorySource()


@pytest.fixture
def put(source: MemorySource) -> Put:
    """``put(failureThreshold=3)``: publish a document for the breaker of the test; in force when it returns."""
    return lambda **fields: source.put(NAME, document(**fields))
