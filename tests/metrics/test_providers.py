"""Several providers in one registry, the life of a registration, providers that fail, and hostile names."""

import gc
import math
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from prometheus_client import REGISTRY, CollectorRegistry, Counter, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics

from breaker import Config, Policy, Provider
from breaker.metrics.prometheus import Registration, register
from breaker.sources import MemorySource
from support.drive import NAME, PATH, Boom, Providers, document, fail, succeed
from support.scraping import FORMATS, Scrape, parsed
from support.sources import Handmade, document_of

Scraping = Callable[..., Scrape]


def test_the_service_is_the_providers_or_another(registry: CollectorRegistry, scrape: Scraping) -> None:
    shop, stock = Provider(Config("shop", PATH)), Provider(Config("stock", PATH))
    register(shop, registry)
    register(stock, registry, service="warehouse")
    succeed(shop.get_breaker(NAME), 2)
    succeed(stock.get_breaker(NAME), 3)
    seen = scrape("openmetrics")
    assert seen.of("circuit_breaker_calls_total", "service", outcome="success") == {"shop": 2, "warehouse": 3}
    assert seen.of("circuit_breaker_policy_updates_total", "service", result="applied") == {"shop": 0, "warehouse": 0}
    assert len(seen.families) == 24


def test_two_providers_of_one_service_are_refused(registry: CollectorRegistry) -> None:
    one, other = Provider(Config("shop", PATH)), Provider(Config("shop", PATH))
    first = register(one, registry)
    with pytest.raises(ValueError, match=r"another provider of service 'shop' there already.*service="):
        register(other, registry)
    with pytest.raises(ValueError, match="a provider that is registered there already, as service 'shop'"):
        register(one, registry, service="shop two")
    register(other, registry, service="shop two").unregister()
    first.unregister()
    register(other, registry)


def test_a_registration_ends_once_and_may_begin_anew(provider_of: Providers, registry: CollectorRegistry) -> None:
    provider = provider_of()
    provider.get_breaker(NAME)
    handle = register(provider, registry, resilience4j=True)
    assert isinstance(handle, Registration)
    assert repr(handle) == "<Registration of 'svc'>"
    for end in (handle.unregister, handle, handle.unregister):
        end()
        assert generate_latest(registry) == b""
    assert repr(handle) == "<Registration of 'svc', ended>"
    with register(provider, registry):
        assert b"circuit_breaker_state{" in generate_latest(registry)
    assert generate_latest(registry) == b""
    Counter("circuit_breaker_calls", "The names are free.", registry=registry)


def test_one_of_two_may_end(registry: CollectorRegistry, scrape: Scraping) -> None:
    shop, stock = Provider(Config("shop", PATH)), Provider(Config("stock", PATH))
    first, second = register(shop, registry), register(stock, registry, resilience4j=True)
    for provider in (shop, stock):
        provider.get_breaker(NAME)
    first.unregister()
    assert scrape().of("circuit_breaker_state_code", "service") == {"stock": 0}
    second.unregister()
    assert generate_latest(registry) == b""


def test_whoever_empties_the_registry_may_end_the_registration_too(
    provider_of: Providers, registry: CollectorRegistry
) -> None:
    handle = register(provider_of(), registry)
    for collector in list(registry._collector_to_names):
        registry.unregister(collector)
    handle.unregister()
    register(provider_of(), registry, service="again")


def test_the_default_is_the_registry_of_all(provider_of: Providers) -> None:
    with register(provider_of()):
        assert b"circuit_breaker_policy_updates_total" in generate_latest(REGISTRY)
    assert b"circuit_breaker" not in generate_latest(REGISTRY)


def test_a_provider_lives_as_long_as_its_registration(registry: CollectorRegistry) -> None:
    provider = Provider(Config("shop", PATH))
    gone = weakref.ref(provider)
    handle = register(provider, registry)
    del provider
    gc.collect()
    assert b'service="shop"' in generate_latest(registry)
    handle.unregister()
    del handle
    gc.collect()
    assert gone() is None


def test_a_closed_provider_is_scraped_and_its_source_is_down(
    provider_of: Providers, registry: CollectorRegistry, scrape: Scraping, source: MemorySource
) -> None:
    # S141
    provider = provider_of(policy_source=source)
    register(provider, registry)
    source.put(NAME, document(failureThreshold=3))
    breaker = provider.get_breaker(NAME)
    assert scrape().of("circuit_breaker_source_up", "service") == {"svc": 1}
    provider.close()
    succeed(breaker, 2)
    seen = scrape()
    assert seen.of("circuit_breaker_source_up", "service") == {"svc": 0}
    assert seen.value("circuit_breaker_calls_total", outcome="success") == 2
    assert seen.value("circuit_breaker_policy_updates_total", result="applied") == 1


def test_policy_documents_and_the_source(provider_of: Providers, registry: CollectorRegistry, scrape: Scraping) -> None:
    # S133
    provider = provider_of()
    register(provider, registry)
    provider.get_breaker(NAME)
    source = Handmade()
    provider.follow(source, start_timeout=0)
    watch = source.watches[0]
    watch.connected("here")
    watch.publish(document_of(3), 1)
    watch.publish({**document_of(4), "other.json": b"{"}, 2)
    watch.publish({}, 3)
    watch.publish({}, 3)
    updates = {"applied": 2, "unchanged": 1, "invalid": 1, "deleted": 2}
    seen = scrape()
    assert seen.of("circuit_breaker_policy_updates_total", "result") == updates
    assert seen.value("circuit_breaker_source_up") == 1
    watch.failed("gone")
    assert scrape().value("circuit_breaker_source_up") == 0
    watch.connected("there")
    watch.publish({}, 3)
    assert scrape().value("circuit_breaker_source_up") == 1


class Breakable:
    """A clock that raises while it is broken."""

    broken = False

    def __call__(self) -> int:
        if self.broken:
            raise Boom("clock")
        return 0


def test_a_provider_whose_clock_raises_spoils_no_scrape(registry: CollectorRegistry, scrape: Scraping) -> None:
    # S230: what can be read is shown, and how much cannot
    clock = Breakable()
    ill, well = Provider(Config("ill", PATH), clock=clock), Provider(Config("well", PATH))
    register(ill, registry)
    register(well, registry)
    for name in ("a", "b"):
        succeed(ill.get_breaker(name))
    succeed(well.get_breaker(NAME))
    Counter("of_the_program", "Something else.", registry=registry)
    scrape()
    ill.remove("b")
    ill.get_breaker("b")
    clock.broken = True
    seen = scrape()
    assert seen.of("circuit_breaker_unreadable", "service") == {"ill": 2, "well": 0}
    assert seen.of("circuit_breaker_calls_total", "name", outcome="success") == {NAME: 1}
    assert "of_the_program" in seen.families
    clock.broken = False
    seen = scrape()
    assert seen.of("circuit_breaker_unreadable", "service") == {"ill": 0, "well": 0}
    assert seen.of("circuit_breaker_calls_total", "name", outcome="success", service="ill") == {"a": 1, "b": 1}


HOSTILE = [
    'quotes "and" more"',
    "back\\slash\\n and \\",
    "new\nline\n# TYPE circuit_breaker_state counter\n",
    'x"} 1\ncircuit_breaker_state_code{name="forged"} 2\n#',
    "carriage\rreturn\ttab\x0b\x0c\x1c\x1d\x85\u2028",
    "\x00\x01\x7f\x1b[31m",
    "{name=~'.*'}, $name {{ .Value }}",
    "<script>alert(1)</script>",
    "größer 💥 \u202e ٣",
    " leading and trailing ",
    "a" * 255,
]


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_comes_back_as_it_is(registry: CollectorRegistry, name: str, form: str) -> None:
    provider = Provider(Config("shop", PATH), default_policy=Policy(1))
    register(provider, registry, service=name)
    fail(provider.get_breaker(name))
    provider.get_breaker("other")
    text = (openmetrics.generate_latest if form == "openmetrics" else generate_latest)(registry).decode()
    seen = parsed(text, form)
    assert seen.breakers() == {name, "other"}
    assert seen.of("circuit_breaker_state_code", "name", service=name) == {name: 1, "other": 0}
    other = {key for key, _ in seen.series.items() if dict(key[1]).get("name") == "other"}
    assert len(other) == 41


class Text(str):
    """Text that lies about itself."""

    __slots__ = ()

    def __str__(self) -> str:
        return "lie"

    def replace(self, *args: Any, **options: Any) -> str:
        return "lie"


def test_text_of_another_class_is_taken_as_what_it_holds(registry: CollectorRegistry, scrape: Scraping) -> None:
    provider = Provider(Config("shop", PATH))
    register(provider, registry, service=Text("true"))
    provider.get_breaker(Text("also true"))
    seen = scrape()
    assert seen.of("circuit_breaker_state_code", "service") == {"true": 0}
    assert seen.breakers() == {"also true"}


# Bad input.


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"service": ""}, ValueError, "service= of register must not be empty"),
        ({"service": 5}, TypeError, "service= of register must be text or None for the provider's own, got int"),
        ({"service": "\udc80"}, ValueError, "service= of register must be encodable as UTF-8"),
        ({"registry": None}, TypeError, "must be a prometheus_client.CollectorRegistry, got NoneType"),
        ({"registry": CollectorRegistry}, TypeError, "got the class CollectorRegistry"),
        ({"multiprocess": 1}, TypeError, "multiprocess= of register must be True, False or None, got int"),
        ({"multiprocess": True}, ValueError, "set PROMETHEUS_MULTIPROC_DIR to a directory before"),
        ({"interval": 0}, ValueError, "a number of seconds above 0, got 0"),
        ({"interval": math.nan}, ValueError, "a number of seconds above 0, got nan"),
        ({"interval": math.inf}, ValueError, "a number of seconds above 0, got inf"),
        ({"interval": "5"}, TypeError, "interval= of register must be seconds, got str"),
        ({"interval": True}, TypeError, "interval= of register must be seconds, got bool"),
    ],
)
def test_what_is_wrong_is_said(
    provider_of: Providers, registry: CollectorRegistry, options: dict[str, Any], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        register(provider_of(), **{"registry": registry, **options})
    assert generate_latest(registry) == b""


@pytest.mark.parametrize(
    ("provider", "message"),
    [
        (None, "register takes a breaker.Provider, got NoneType"),
        (Provider, "register takes a breaker.Provider, got the class Provider; pass an instance"),
    ],
)
def test_what_is_no_provider_is_refused(registry: CollectorRegistry, provider: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        register(provider, registry)


def test_a_service_that_cannot_be_written_is_refused_where_it_is_the_providers(registry: CollectorRegistry) -> None:
    provider = Provider(Config("\udc80", PATH))
    with pytest.raises(ValueError, match=r"encodable as UTF-8.*give another"):
        register(provider, registry)
    register(provider, registry, service="readable")
    assert parsed(generate_latest(registry).decode()).of("circuit_breaker_unreadable", "service") == {"readable": 0}
