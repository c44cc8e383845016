"""Scrapes beside each other, beside calls, beside breakers that come and go, and beside forks."""

import os
import threading
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest

from breaker import Policy
from breaker.metrics.prometheus import register
from support.drive import NAME, Providers, succeed
from support.processes import fork_and_check
from support.scraping import parsed
from support.threads import Crowd, HookClock, eager_switching, in_another_thread

CALLS = 3000


def test_scrapes_beside_calls_and_removals_are_whole_and_never_fall(
    provider_of: Providers, registry: CollectorRegistry
) -> None:
    # S146, S232
    provider = provider_of(Policy(2**31 - 1), clock=None)
    register(provider, registry, resilience4j=True)
    over = threading.Event()
    crowd = Crowd()

    def call(name: str) -> None:
        for _ in range(CALLS):
            provider.get_breaker(name).do(int)

    def come_and_go() -> None:
        while not over.wait(0.001):
            succeed(provider.get_breaker("comes and goes"), 3)
            provider.remove("comes and goes")

    def scrape() -> None:
        before: dict[Any, float] = {}
        while not over.is_set():
            now = parsed(generate_latest(registry).decode()).counters()
            assert [key for key, value in now.items() if value < before.get(key, 0)] == []
            before |= now

    with eager_switching():
        callers = [crowd.start(call, name) for name in ("a", "b")]
        for work in (come_and_go, scrape, scrape):
            crowd.start(work)
        for caller in callers:
            caller.join(40)
        over.set()
        crowd.join()
    seen = parsed(generate_latest(registry).decode())
    for name in ("a", "b"):
        assert seen.value("circuit_breaker_calls_total", outcome="success", name=name) == CALLS


def test_a_clock_may_scrape(provider_of: Providers, registry: CollectorRegistry) -> None:
    # S147: no clock is called under a lock, so that it, and whoever it waits for, may scrape
    clock = HookClock()
    provider = provider_of(clock=clock)
    register(provider, registry)
    provider.get_breaker(NAME)
    texts: list[bytes] = []

    def scrape_elsewhere() -> None:
        clock.hook = lambda: None
        in_another_thread(lambda: texts.append(generate_latest(registry)))

    clock.hook = scrape_elsewhere
    generate_latest(registry)
    assert b"circuit_breaker_state{" in texts[0]


def test_a_child_that_was_forked_during_scrapes_scrapes(provider_of: Providers, registry: CollectorRegistry) -> None:
    # S152: whatever the parent's threads were doing
    provider = provider_of(clock=None)
    register(provider, registry)
    breakers = [provider.get_breaker(f"name {number}") for number in range(20)]
    succeed(breakers[0], 3)
    over = threading.Event()
    crowd = Crowd()

    def scrape() -> None:
        while not over.is_set():
            for each in collectors:
                list(each.collect())

    collectors = list(registry._collector_to_names)
    for _ in range(2):
        crowd.start(scrape)

    def child() -> None:
        succeed(breakers[0])
        with_a_new_registry = CollectorRegistry()
        register(provider, with_a_new_registry)
        for text in (b"".join(str(m).encode() for m in collectors[0].collect()), generate_latest(with_a_new_registry)):
            assert b"circuit_breaker_state" in text
        seen = parsed(generate_latest(with_a_new_registry).decode())
        assert seen.value("circuit_breaker_calls_total", outcome="success", name="name 0") == 4

    try:
        for _ in range(10 if hasattr(os, "fork") else 0):
            fork_and_check(child)
    finally:
        over.set()
        crowd.join()
