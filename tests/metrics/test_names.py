"""The names, units and suffixes, by the rules of Prometheus and of OpenMetrics."""

import re
from collections.abc import Callable

import pytest
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from breaker.metrics._resilience4j import RESILIENCE4J_ROWS
from breaker.metrics._table import BREAKER_ROWS, PROVIDER_ROWS, Row
from breaker.metrics.prometheus import register
from support.drive import NAME, Providers
from support.scraping import FORMATS, Scrape

ROWS = (*BREAKER_ROWS, *PROVIDER_ROWS, *RESILIENCE4J_ROWS)


def test_names_are_used_once() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS)
    otel = [row.otel for row in ROWS if row.otel]
    assert len(set(otel)) == len(otel)


@pytest.mark.parametrize("row", BREAKER_ROWS + PROVIDER_ROWS, ids=lambda row: row.name)
def test_names_say_their_unit_and_kind(row: Row) -> None:
    assert re.fullmatch(r"circuit_breaker_[a-z_]+", row.name)
    assert not row.name.endswith(("_total", "_created", "_count", "_sum", "_info"))
    assert (row.unit == "seconds") == row.name.endswith("_seconds") == (row.otel_unit == "s")
    assert all(re.fullmatch(r"[a-z_]+", label) for label in row.labels)
    assert all(len(values) == len(row.labels) for values in row.series)
    if row.otel:
        assert re.fullmatch(r"breaker(\.[a-z_]+)+", row.otel)
        assert re.fullmatch(r"1|s|\{[a-z]+\}", row.otel_unit)
        assert not row.otel.endswith((".total", ".count", ".seconds"))


@pytest.mark.parametrize("form", FORMATS)
def test_both_formats_have_types_units_and_help(
    provider_of: Providers, registry: CollectorRegistry, scrape: Callable[..., Scrape], form: str
) -> None:
    provider = provider_of()
    register(provider, registry)
    provider.get_breaker(NAME)
    seen = scrape(form)
    for row in (*BREAKER_ROWS, *PROVIDER_ROWS):
        family = seen.families[row.name]  # the text parser takes _total off a counter, too
        assert family.type == ("counter" if row.kind == "counter" else "gauge")
        assert family.documentation == row.help
        assert {sample.name for sample in family.samples} <= {row.name + "_total" * (row.kind == "counter")}
        if form == "openmetrics":
            assert family.unit == row.unit
    assert ("# UNIT circuit_breaker_state_seconds seconds\n" in seen.text) == (form == "openmetrics")


def test_no_series_says_when_it_was_created(
    provider_of: Providers, registry: CollectorRegistry, scrape: Callable[..., Scrape]
) -> None:
    # S232: they never fall, so there is no new beginning to tell of
    provider = provider_of()
    register(provider, registry)
    provider.get_breaker(NAME)
    assert "_created" not in scrape("openmetrics").text


def test_a_scrape_of_some_names_has_those(
    provider_of: Providers, registry: CollectorRegistry, scrape: Callable[..., Scrape]
) -> None:
    provider = provider_of()
    register(provider, registry)
    provider.get_breaker(NAME)
    seen = scrape(path="/metrics?name[]=circuit_breaker_state_code&name[]=circuit_breaker_calls_total")
    assert {name for name, _ in seen.series} == {"circuit_breaker_state_code", "circuit_breaker_calls_total"}


def test_a_name_that_the_program_has_already_is_refused_and_nothing_stays(
    provider_of: Providers, registry: CollectorRegistry
) -> None:
    Counter("resilience4j_circuitbreaker_state", "The program's own.", registry=registry)
    provider = provider_of()
    with pytest.raises(ValueError, match="Duplicated timeseries"):
        register(provider, registry, resilience4j=True)
    text = openmetrics.generate_latest(registry).decode()
    assert [family.name for family in text_string_to_metric_families(text)] == ["resilience4j_circuitbreaker_state"]
    register(provider, registry).unregister()
