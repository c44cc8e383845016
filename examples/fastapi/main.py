"""A visitor of a shop whose stock falls ill and recovers: FastAPI behind uvicorn, httpx, policies in a file.

Run it with ``python main.py``. Shop and stock listen on loopback; it ends in about two seconds.
"""

from __future__ import annotations

import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI

import breaker
from breaker.sources import FileSource
from shop import STOCK, create_app
from stock import Stock

CONFIG = breaker.get_default_config("shop", "development")
SERIES = "circuit_breaker_rejected_calls_total"


@contextmanager
def served(app: FastAPI) -> Iterator[str]:
    """The application behind uvicorn in a thread; gives its address. A program of yours runs ``uvicorn shop:app``."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_level="critical"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        while not server.started and thread.is_alive():
            time.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


class Visitor:
    """Looks at the page of an item, and orders one."""

    def __init__(self, url: str) -> None:
        self.client = httpx.Client(base_url=url)

    def page(self, item: str) -> str:
        response = self.client.get(f"/items/{item}")
        if response.status_code != 200:
            return str(response.status_code)
        found: dict[str, Any] = response.json()
        return f"{found['count']} in stock{', as far as we know' if 'old' in found else ''}"

    def order(self, item: str) -> str:
        response = self.client.post(f"/orders/{item}")
        wait = response.headers.get("Retry-After")
        return f"{response.status_code}{f', come back in {wait} s' if wait else ''}"


def outage(visitor: Visitor, stock: Stock, policies: FileSource, protected: breaker.Breaker) -> None:
    """The stock fails: pages fall back, orders wait. A policy changes, and the shop learns sooner that it is back."""
    stock.ill = True
    before = stock.requests
    for _ in range(5):
        print("failing:  ", visitor.page("apple"))
    print("order:    ", visitor.order("apple"))
    print("health:   ", visitor.client.get("/health").json())
    print("requests of 6 that reached the stock:", stock.requests - before)

    stock.ill = False
    policies.put(STOCK, {"failureThreshold": 3, "successThreshold": 1, "openStateTimeout": "100ms"})
    while protected.policy.open_state_timeout != 0.1:
        time.sleep(0.01)
    time.sleep(protected.retry_after)
    print("recovered:", visitor.page("apple"))


def show_metrics(visitor: Visitor) -> None:
    """One of the series, if there are any: they need breaker.metrics and prometheus_client."""
    response = visitor.client.get("/metrics")
    for line in response.text.splitlines() if response.status_code == 200 else ():
        if line.startswith(SERIES) and not line.endswith(" 0.0"):
            print("metrics:  ", line)


def main() -> None:
    with (
        tempfile.TemporaryDirectory(prefix="breaker-fastapi-") as root,
        Stock() as stock,
    ):
        policies = FileSource(root, poll_interval=0.05, policies_path=CONFIG.policies_path)
        policies.put(STOCK, {"failureThreshold": 3, "successThreshold": 1, "openStateTimeout": "1m"})
        with (
            breaker.Provider(CONFIG, policy_source=policies) as provider,
            served(create_app(provider, stock.url)) as url,
        ):
            visitor = Visitor(url)
            print("healthy:  ", visitor.page("apple"))
            print("order:    ", visitor.order("apple"))
            print("sold out: ", visitor.order("pear"))
            print("not found:", *[visitor.page("unicorn") for _ in range(4)])
            outage(visitor, stock, policies, provider.get_breaker(STOCK))
            print("order:    ", visitor.order("apple"))
            show_metrics(visitor)
            visitor.client.close()


if __name__ == "__main__":
    main()
