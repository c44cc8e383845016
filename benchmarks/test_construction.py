"""Making things: a breaker under a new name, a policy, a provider."""

import itertools

import pytest

import breaker
from benchmarks.measure import sync_loop
from benchmarks.meter import Meter
from benchmarks.subjects import CLOSED, floor, provider


@pytest.mark.filterwarnings("ignore:the provider of:RuntimeWarning")  # that it has very many is what is measured
@pytest.mark.parametrize("kind", ["floor", "breaker"])
def test_construction_breaker(meter: Meter, kind: str) -> None:
    """The floor makes an empty C object and puts it into a dict under a new name."""
    owner = provider(CLOSED)
    table: dict[str, object] = {}
    fresh = map("name:{}".format, itertools.count()).__next__
    statement = "owner.get_breaker(fresh())" if kind == "breaker" else "table[fresh()] = Forward()"
    scope = {"owner": owner, "table": table, "fresh": fresh, "Forward": floor.Forward}
    meter.fixture.group = "construction: breaker"
    calls = meter.measure(sync_loop(statement, scope).run, calls=200, rounds=50)
    assert (len(owner.breakers), len(table)) == ((calls, 0) if kind == "breaker" else (0, calls))


def test_construction_policy(meter: Meter) -> None:
    meter.fixture.group = "construction: policy"
    scope = {"Policy": breaker.Policy}
    meter.measure(sync_loop("Policy(5, 2, 60.0)", scope).run, calls=100, rounds=50)
    assert breaker.Policy(5, 2, 60.0) == breaker.Policy()


def test_construction_provider(meter: Meter) -> None:
    meter.fixture.group = "construction: provider"
    config = breaker.get_default_config("benchmarks", "development")
    scope = {"Provider": breaker.Provider, "config": config}
    meter.measure(sync_loop("Provider(config).close()", scope).run, calls=20, rounds=20)
    with breaker.Provider(config) as made:
        assert len(made.breakers) == 0
