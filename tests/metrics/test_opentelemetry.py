"""OpenTelemetry's instruments, read by its own reader."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry import metrics as api
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import Gauge, InMemoryMetricReader, Sum

from breaker import Config, Policy, Provider, Window
from breaker.metrics._table import BREAKER_ROWS, PROVIDER_ROWS
from breaker.metrics.opentelemetry import Registration, instrument
from breaker.sources import MemorySource
from breaker.testing import ManualClock
from support.drive import NAME, PATH, Boom, Providers, cool, document, fail, ignored, rejected, succeed
from support.processes import fork_and_check, run_python
from support.threads import Crowd, in_another_thread

ROWS = [row for row in (*BREAKER_ROWS, *PROVIDER_ROWS) if row.otel]


class Collected:
    """What one collection said, by the names of the instruments."""

    def __init__(self, reader: InMemoryMetricReader) -> None:
        data = reader.get_metrics_data()
        found = [] if data is None else [each for resource in data.resource_metrics for each in resource.scope_metrics]
        self.scopes = [scope.scope.name for scope in found]
        self.metrics = {metric.name: metric for scope in found for metric in scope.metrics}
        assert len(self.metrics) == sum(len(scope.metrics) for scope in found)

    def of(self, instrument: str, attribute: str | None = None, **attributes: str) -> dict[str, float]:
        """The values of the points that have these attributes, by one other."""
        found: dict[str, float] = {}
        for point in self.metrics[instrument].data.data_points if instrument in self.metrics else ():
            having: dict[str, Any] = dict(point.attributes or {})
            if attributes.items() <= having.items():
                key = having[attribute] if attribute else ""
                assert key not in found
                found[key] = point.value  # type: ignore[union-attr]  # pyright: ignore
        return found


@pytest.fixture
def reader() -> InMemoryMetricReader:
    return InMemoryMetricReader()


@pytest.fixture
def home(reader: InMemoryMetricReader) -> MeterProvider:
    return MeterProvider([reader], shutdown_on_exit=False)


def test_instruments_have_the_names_units_and_kinds_of_the_table(
    provider_of: Providers, home: MeterProvider, reader: InMemoryMetricReader, source: MemorySource
) -> None:
    policy = Policy(
        failure_rate_threshold=0.5,
        slow_call_rate_threshold=0.5,
        slow_call_duration=1,
        window=Window(calls=4),
        minimum_calls=1,
    )
    provider = provider_of(policy, policy_source=source)
    instrument(provider, home)
    succeed(provider.get_breaker(NAME))
    seen = Collected(reader)
    assert seen.scopes == ["breaker"]
    assert set(seen.metrics) == {row.otel for row in ROWS}
    for row in ROWS:
        metric = seen.metrics[row.otel]
        assert (metric.unit, metric.description) == (row.otel_unit, row.help)
        if row.kind == "gauge":
            assert isinstance(metric.data, Gauge)
        else:
            assert isinstance(metric.data, Sum)
            assert metric.data.is_monotonic == (row.kind == "counter")
        own = {"service"} if row in PROVIDER_ROWS else {"service", "name"}
        points = [dict(point.attributes or {}) for point in metric.data.data_points]
        assert {frozenset(point) for point in points} == {frozenset(own | set(row.labels))}
        assert {tuple(point[label] for label in row.labels) for point in points} == set(row.series)


def test_one_life_of_a_breaker(
    provider_of: Providers, home: MeterProvider, reader: InMemoryMetricReader, clock: ManualClock
) -> None:
    # S230
    provider = provider_of(Policy(2, 1, 60))
    instrument(provider, home)
    breaker = provider.get_breaker(NAME)
    zeros = Collected(reader)
    assert zeros.of("breaker.calls", "outcome") == {"success": 0, "failure": 0, "ignored": 0}
    assert zeros.of("breaker.state", "state") == {"closed": 1, "open": 0, "half_open": 0}
    assert zeros.of("breaker.failure_rate") == {}
    succeed(breaker, 3)
    ignored(breaker)
    fail(breaker, 2)
    rejected(breaker, 4)
    cool(breaker, clock)
    breaker.acquire().success()
    seen = Collected(reader)
    assert seen.of("breaker.calls", "outcome", service="svc", name=NAME) == {"success": 4, "failure": 2, "ignored": 1}
    assert seen.of("breaker.rejections", "reason")["open"] == 4
    assert seen.of("breaker.transitions", from_state="half_open", to_state="closed") == {"": 1}
    assert seen.of("breaker.probes", "result")["success"] == 1
    assert seen.of("breaker.state.duration", "state") == {"closed": 0, "open": 60, "half_open": 0}


def test_removed_breakers_vanish_and_counters_go_on(
    provider_of: Providers, home: MeterProvider, reader: InMemoryMetricReader
) -> None:
    # S230, S232
    provider = provider_of()
    instrument(provider, home)
    for name in ("a", "b"):
        succeed(provider.get_breaker(name), 2)
    assert Collected(reader).of("breaker.calls", "name", outcome="success") == {"a": 2, "b": 2}
    provider.remove("a")
    assert Collected(reader).of("breaker.calls", "name", outcome="success") == {"b": 2}
    succeed(provider.get_breaker("a"))
    assert Collected(reader).of("breaker.calls", "name", outcome="success") == {"a": 3, "b": 2}


def test_two_providers_and_the_end_of_one(home: MeterProvider, reader: InMemoryMetricReader) -> None:
    shop, stock = Provider(Config("shop", PATH)), Provider(Config("stock", PATH))
    first = instrument(shop, home)
    assert isinstance(first, Registration)
    with pytest.raises(ValueError, match="a provider that is registered there already, as service 'shop'"):
        instrument(shop, home)
    with pytest.raises(ValueError, match="another provider of service 'shop'"):
        instrument(stock, home, service="shop")
    second = instrument(stock, home, service="warehouse")
    for provider in (shop, stock):
        provider.get_breaker(NAME)
    assert Collected(reader).of("breaker.state", "service", state="closed") == {"shop": 1, "warehouse": 1}
    first.unregister()
    first()
    assert Collected(reader).of("breaker.state", "service", state="closed") == {"warehouse": 1}
    second.unregister()
    assert Collected(reader).metrics == {}
    with instrument(shop, home):
        assert Collected(reader).of("breaker.unreadable", "service") == {"shop": 0}


def test_policies_and_the_source(
    provider_of: Providers, home: MeterProvider, reader: InMemoryMetricReader, source: MemorySource
) -> None:
    # S133
    provider = provider_of()
    instrument(provider, home)
    assert Collected(reader).of("breaker.source.up") == {}
    provider.follow(source)
    source.put(NAME, document(failureThreshold=3))
    seen = Collected(reader)
    assert seen.of("breaker.source.up") == {"": 1}
    assert seen.of("breaker.policy.updates", "result")["applied"] == 1
    provider.close()
    assert Collected(reader).of("breaker.source.up") == {"": 0}


def test_each_collection_reads_once_and_anew(home: MeterProvider, reader: InMemoryMetricReader) -> None:
    # S231: all instruments of a collection tell of one moment
    readings = 0

    def clock() -> int:
        nonlocal readings
        readings += 1
        return readings

    provider = Provider(Config("shop", PATH), clock=clock)
    instrument(provider, home)
    provider.get_breaker(NAME)
    for _ in range(3):
        before = readings
        Collected(reader)
        assert readings == before + 1


def test_a_provider_whose_clock_raises_spoils_no_collection(home: MeterProvider, reader: InMemoryMetricReader) -> None:
    # S230
    broken = False

    def clock() -> int:
        if broken:
            raise Boom("clock")
        return 0

    ill, well = Provider(Config("ill", PATH), clock=clock), Provider(Config("well", PATH))
    for provider in (ill, well):
        instrument(provider, home)
        provider.get_breaker(NAME)
    broken = True
    seen = Collected(reader)
    assert seen.of("breaker.state", "service", state="closed") == {"well": 1}
    assert seen.of("breaker.unreadable", "service") == {"ill": 1, "well": 0}


def test_the_global_meter_provider_may_come_later() -> None:
    program = """
import breaker
from breaker.metrics.opentelemetry import instrument
from opentelemetry.metrics import get_meter_provider, set_meter_provider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

shop = breaker.Provider(breaker.get_default_config("shop", "production"))
instrument(shop)
shop.get_breaker("a")
reader = InMemoryMetricReader()
set_meter_provider(MeterProvider([reader], shutdown_on_exit=False))
stock = breaker.Provider(breaker.get_default_config("stock", "production"))
instrument(stock, get_meter_provider())
(scope,) = reader.get_metrics_data().resource_metrics[0].scope_metrics
names = [metric.name for metric in scope.metrics]
assert len(names) == len(set(names)), names
updates = [metric for metric in scope.metrics if metric.name == "breaker.policy.updates"][0]
print(sorted({point.attributes["service"] for point in updates.data.data_points}))
"""
    assert run_python(program) == "['shop', 'stock']\n"


def test_without_an_sdk_nothing_happens(provider_of: Providers) -> None:
    provider = provider_of()
    with instrument(provider, NoOpMeterProvider()):
        succeed(provider.get_breaker(NAME))


def test_calls_go_on_while_readers_collect(
    provider_of: Providers, home: MeterProvider, reader: InMemoryMetricReader
) -> None:
    # S232
    provider = provider_of(clock=None)
    instrument(provider, home)
    over = threading.Event()
    crowd = Crowd()

    def collect() -> None:
        before: dict[str, float] = {}
        while not over.is_set():
            now = Collected(reader).of("breaker.calls", "name", outcome="success")
            assert [name for name, value in now.items() if value < before.get(name, 0)] == []
            before |= now

    crowd.start(collect)
    for _ in range(3000):
        provider.get_breaker(NAME).do(int)
    over.set()
    crowd.join()
    assert Collected(reader).of("breaker.calls", "name", outcome="success") == {NAME: 3000}


def test_a_forked_child_collects(provider_of: Providers, home: MeterProvider, reader: InMemoryMetricReader) -> None:
    # S152
    provider = provider_of()
    instrument(provider, home)
    succeed(provider.get_breaker(NAME), 2)

    def child() -> None:
        succeed(provider.get_breaker(NAME))
        assert Collected(reader).of("breaker.calls", outcome="success") == {"": 3}

    fork_and_check(child)
    in_another_thread(lambda: Collected(reader))


@pytest.mark.parametrize(
    ("provider", "options", "kind", "message"),
    [
        (Provider, {}, TypeError, "instrument takes a breaker.Provider, got the class Provider; pass an instance"),
        (None, {}, TypeError, "instrument takes a breaker.Provider, got NoneType"),
        (..., {"meter_provider": MeterProvider}, TypeError, r"MeterProvider, got the class MeterProvider"),
        (
            ...,
            {"meter_provider": api.get_meter("x")},
            TypeError,
            r"must be an opentelemetry.metrics.MeterProvider, got",
        ),
        (..., {"service": 1}, TypeError, "service= of instrument must be text or None"),
        (..., {"service": ""}, ValueError, "service= of instrument must not be empty"),
    ],
)
def test_what_is_wrong_is_said(
    provider_of: Providers, provider: Any, options: dict[str, Any], kind: type[Exception], message: str
) -> None:
    real: Callable[..., Any] = instrument
    with pytest.raises(kind, match=message):
        real(provider_of() if provider is ... else provider, **options)
