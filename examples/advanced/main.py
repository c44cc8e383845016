"""A shop with six dependencies, each behind a breaker with a policy that suits it.

Run it with ``python main.py``. Policies come from the etcd on this machine if there is one, else from files;
``--etcd ENDPOINT`` and ``--files`` choose. No network is needed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import breaker
from breaker.events import Event, PolicyUpdated, StateChanged
from breaker.sources import PolicyStore
from documents import documents, running_etcd
from services import DuplicateOrder, Orders, Prices, Recommendations, Report, Search, Stock, Unavailable

CONFIG = breaker.get_default_config("shop", "development")
THREADS, TASKS, CALLS = 8, 100, 50


class Shop:
    """The services, their breakers, and what the breakers say."""

    def __init__(self, provider: breaker.Provider) -> None:
        self.orders, self.recommendations = Orders(), Recommendations()
        self.prices, self.report = Prices(), Report()
        self.stock, self.search = Stock(), Search()
        # Critical: a duplicate is the answer of a healthy database, so it counts as a success.
        self.orders_breaker = provider.get_breaker("db:orders", success_on=DuplicateOrder)
        # Not critical: this client raises for no status, so the result is looked at.
        self.recommendations_breaker = provider.get_breaker(
            "http:recommendations", failed_result=lambda response: response.status >= 500
        )
        self.prices_breaker = provider.get_breaker("grpc:prices")  # asked thousands of times a second
        self.report_breaker = provider.get_breaker("batch:nightly-report")  # once a night: one failure is enough
        self.stock_breaker = provider.get_breaker("http:stock")  # fails now and then: by the rate of failures
        self.search_breaker = provider.get_breaker("http:search")  # gets slow: by the rate of slow calls
        self.updated = threading.Event()
        self.news: list[str] = []
        provider.subscribe(self._listen)

    def _listen(self, event: Event) -> None:
        """Called with every event of every breaker, in order; here they become the lines of an operator's screen."""
        if isinstance(event, StateChanged):
            self.news.append(f"{event.name}: {event.from_state} -> {event.to_state} ({event.reason})")
        elif isinstance(event, PolicyUpdated):
            changes = ", ".join(f"{key} {old} -> {new}" for key, (old, new) in event.old.differences(event.new).items())
            self.news.append(f"{event.name}: policy {changes}")
            self.updated.set()

    def show_news(self) -> None:
        for line in self.news:
            print("   ", line)
        self.news.clear()


def show_policies(shop: Shop) -> None:
    print("\nsix dependencies, six policies")
    by_streak = (shop.orders_breaker, shop.recommendations_breaker, shop.prices_breaker, shop.report_breaker)
    for each in (*by_streak, shop.stock_breaker, shop.search_breaker):
        print(f"    {each.name}: opens {opens(each.policy)}, for {each.policy.open_state_timeout:g} s")


def opens(policy: breaker.Policy) -> str:
    """The trip rule of a policy of this shop, in words."""
    if policy.failure_rate_threshold is not None:
        return f"when {policy.failure_rate_threshold:.0%} of the last {policy.window.calls} calls fail"
    if policy.slow_call_rate_threshold is not None:
        return f"when {policy.slow_call_rate_threshold:.0%} of the calls last {policy.slow_call_duration:g} s"
    return f"after {policy.failure_threshold}"


def classify(shop: Shop) -> None:
    print("\nwhat counts as a failure")
    shop.orders_breaker.do(shop.orders.insert, 1)
    for _ in range(5):
        with contextlib.suppress(DuplicateOrder):
            shop.orders_breaker.do(shop.orders.insert, 1)
    print("    five duplicates: db:orders is", shop.orders_breaker.state)
    shop.recommendations.down = True
    for _ in range(2):
        shop.recommendations_breaker.do(shop.recommendations.get, "Ada")
    print("    two answers with status 503: http:recommendations is", shop.recommendations_breaker.state)
    print("    the page shows", recommend(shop, "Ada"))
    shop.show_news()


def recommend(shop: Shop, customer: str) -> str:
    """Not critical: without recommendations the page is still a page."""
    try:
        return shop.recommendations_breaker.do(shop.recommendations.get, customer).body
    except breaker.BreakerOpenError:
        return "bestsellers"


def threads_and_tasks(shop: Shop) -> None:
    print(f"\n{THREADS} threads and {TASKS} tasks ask for prices while the service is down")
    shop.prices.down = True

    def work() -> None:
        for _ in range(CALLS):
            attempt(lambda: shop.prices_breaker.do(shop.prices.get, "apple"))

    async def task() -> None:
        with contextlib.suppress(Unavailable, breaker.BreakerOpenError):
            await shop.prices_breaker.do(shop.prices.get_async, "apple")

    async def tasks() -> None:
        await asyncio.gather(*(task() for _ in range(TASKS)))

    with ThreadPoolExecutor(THREADS) as pool:
        workers = [pool.submit(work) for _ in range(THREADS)]
        asyncio.run(tasks())
        for worker in workers:
            worker.result()
    calls = THREADS * CALLS + TASKS
    print(f"    of {calls} calls, fewer than {calls // 4} reached it: {shop.prices.requests < calls // 4}")
    shop.prices.down = False
    while shop.prices_breaker.state is not breaker.State.CLOSED:
        time.sleep(0.02)
        attempt(lambda: shop.prices_breaker.do(shop.prices.get, "apple"))
    print("    it is back, and so is the breaker:", shop.prices_breaker.state)
    shop.news.clear()  # how often it was probed depends on the machine


def fail_at_times(shop: Shop) -> None:
    print("\nthe stock fails 3 of 10 requests, never two in a row")
    shop.stock.ill = True
    while shop.stock_breaker.state is breaker.State.CLOSED:
        attempt(lambda: shop.stock_breaker.do(shop.stock.count, "apple"))
    print(f"    noticed after {shop.stock.requests} requests, whatever the streak")
    shop.show_news()


def get_slow(shop: Shop) -> None:
    print("\nthe search answers late, without an error")
    for _ in range(3):
        shop.search_breaker.do(shop.search.find, "apple")
    shop.search.overloaded = True
    while shop.search_breaker.state is breaker.State.CLOSED:
        attempt(lambda: shop.search_breaker.do(shop.search.find, "apple"))
    seen = shop.search_breaker.snapshot()
    print(f"    failures: {seen.failures}; last error: {seen.last_error}")
    shop.show_news()


def change_the_policy(shop: Shop, policies: PolicyStore, place: str) -> None:
    print(f"\na policy changes in {place} while its breaker is open")
    shop.orders.down = True
    for number in range(2, 5):
        attempt(lambda number=number: shop.orders_breaker.do(shop.orders.insert, number))
    print("    next try of db:orders in about an hour:", shop.orders_breaker.retry_after > 3500)
    shop.orders.down = False
    shop.updated.clear()
    policies.put("db:orders", {"failureThreshold": 3, "successThreshold": 2, "openStateTimeout": "100ms"})
    assert shop.updated.wait(10), "the change has not arrived"
    failures = shop.orders_breaker.snapshot().failures
    while shop.orders_breaker.state is not breaker.State.CLOSED:
        time.sleep(0.02)
        attempt(lambda: shop.orders_breaker.do(shop.orders.insert, 100))
    print("    counts were kept:", failures == 3)
    shop.show_news()


def override(shop: Shop) -> None:
    print("\nan operator takes over")
    shop.report_breaker.force_open()
    try:
        shop.report_breaker.do(shop.report.run)
    except breaker.BreakerOpenError as rejected:
        print(f"    forced open: rejected by the {rejected.reason}; requests: {shop.report.requests}")
    shop.report_breaker.clear_override()
    print("    cleared:", shop.report_breaker.do(shop.report.run))


def attempt(call: Callable[[], object]) -> None:
    """Call, whatever comes of it."""
    with contextlib.suppress(Unavailable, DuplicateOrder, breaker.BreakerOpenError):
        call()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--etcd", metavar="ENDPOINT", help="the etcd to keep the policies in")
    where.add_argument("--files", action="store_true", help="keep the policies in files")
    args = parser.parse_args()
    etcd = args.etcd or (None if args.files else running_etcd())
    place = "files" if etcd is None else "etcd"
    with documents(etcd, CONFIG) as policies, breaker.Provider(CONFIG, policy_source=policies) as provider:
        print("policies come from", place)
        shop = Shop(provider)
        show_policies(shop)
        classify(shop)
        threads_and_tasks(shop)
        fail_at_times(shop)
        get_slow(shop)
        change_the_policy(shop, policies, place)
        override(shop)


if __name__ == "__main__":
    main()
