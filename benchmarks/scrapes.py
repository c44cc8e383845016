"""What a scrape of a thousand breakers costs, and what calls notice of it."""

import threading
import warnings
from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics

import breaker
from benchmarks.measure import Loop, interleaved, shuffled, sync_loop
from benchmarks.report import Row, at_most
from benchmarks.subjects import CLOSED, names, noop, provider, subject
from breaker.metrics.prometheus import exposition, register

BREAKERS = 1000
PAUSE = 0.1  # seconds between two scrapes under load
OPENMETRICS = "application/openmetrics-text;version=1.0.0"


def _loop(work: Callable[[], object]) -> Loop:
    def run(n: int) -> None:
        for _ in range(n):
            work()

    return Loop(run, "a scrape")


def _busy(made: breaker.Provider) -> list[breaker.Breaker]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of very many breakers, which is what is measured
        return [made.get_breaker(f"http:service-{number}.example") for number in range(BREAKERS)]


def scrape_rows(repeats: int) -> Iterator[Row]:
    """Processor time of a scrape of 1,000 breakers, each of which was called since the last one."""
    registry = CollectorRegistry()
    with provider(CLOSED) as made, register(made, registry):
        breakers = _busy(made)

        def after_calls(work: Callable[[], object]) -> Callable[[], object]:
            def both() -> object:
                for each in breakers:
                    each.do(noop)
                return work()

            return both

        works = {
            "the snapshots alone": made.snapshot,
            "the collector": lambda: list(registry.collect()),
            "the whole text": lambda: exposition(registry),
            "the whole text, OpenMetrics": lambda: exposition(registry, OPENMETRICS),
            "by prometheus_client": lambda: generate_latest(registry),
            "by prometheus_client, OpenMetrics": lambda: openmetrics.generate_latest(registry),
        }
        loops = [_loop(after_calls(work)) for work in works.values()]
        found = shuffled([_loop(after_calls(lambda: None)), *loops], max(7, repeats // 3), turns=1)
        calls = found[0]
        for path, median in zip(works, found[1:], strict=True):
            goal = at_most(50, "ms") if path.startswith("the ") else None
            yield Row("scrape", f"{BREAKERS} breakers, {path}", (median - calls) / 1e6, "ms", goal=goal)
    yield from _under_load(repeats)


def _under_load(repeats: int) -> Iterator[Row]:
    """A closed call beside its floor, while nobody scrapes and while somebody does all the time."""
    registry = CollectorRegistry()
    made = subject("closed")
    scope = names(made.breaker)
    loops = [sync_loop("b.do(noop)", scope), sync_loop("forward.do(noop)", scope)]
    alone, forward = interleaved(loops, repeats)
    yield Row("scrape", "a closed call, nobody scrapes", alone, "ns", forward, "the forwarding floor")
    over = threading.Event()

    def scrape() -> None:
        while not over.wait(PAUSE):
            exposition(registry)

    with provider(CLOSED) as many, register(many, registry), register(made.provider, registry, service="called"):
        _busy(many)
        scraper = threading.Thread(target=scrape)
        scraper.start()
        try:
            during, forward = interleaved(loops, repeats)
        finally:
            over.set()
            scraper.join()
    path = f"a closed call, {BREAKERS} breakers are scraped {round(1 / PAUSE)} times a second"
    yield Row("scrape", path, during, "ns", forward, "the forwarding floor", at_most(1.1))
    made.provider.close()
