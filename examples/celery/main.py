"""A worker of Celery and a service that fails: the tasks that its breaker rejects come back, and none is lost.

Run it with ``python main.py``. It needs no broker: messages are files. It starts the service in this process and a
worker in another, makes the service fail and recover, lets a broker be away, and ends in about ten seconds.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

from celery import Celery
from celery.result import AsyncResult

import breaker
from breaker.integrations.celery import protect

ITEMS = ("apple", "pear", "plum", "quince", "cherry", "medlar")


class Prices(BaseHTTPRequestHandler):
    """The service."""

    status = 200
    requests: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.requests.append(self.path)
        self.send_response(Prices.status)
        self.end_headers()
        self.wfile.write(f"{self.path[1:]}: 42".encode())

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@contextmanager
def service() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Prices) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


@contextmanager
def worker(log: Path) -> Iterator[None]:
    """In a process of its own, with one task at a time, so that the numbers are the same each time."""
    command = [sys.executable, "-m", "celery", "-A", "tasks", "worker", "--pool=solo", "--loglevel=INFO"]
    quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    place = Path(__file__).parent
    with log.open("wb") as out, subprocess.Popen([*command, *quiet], cwd=place, stderr=out, stdout=out) as running:
        yield
        running.kill()  # it has nothing left to do, and would take its time to notice


def wait_until(state: str, results: list[AsyncResult]) -> None:
    while any(result.state != state for result in results):
        time.sleep(0.02)


def outage() -> None:
    from tasks import price

    print("healthy:  ", price.delay("apple").get(timeout=30))

    Prices.status = 503
    Prices.requests.clear()
    results = [price.delay(item) for item in ITEMS]
    wait_until("RETRY", results)
    print("requests of 6 tasks that reached the service:", len(Prices.requests))
    for said in sorted((str(result.result).partition(",")[0] for result in results), reverse=True):
        print("waits:    ", said)  # sorted: files of one millisecond are messages in any order

    Prices.status = 200
    Prices.requests.clear()
    print("recovered:", ", ".join(result.get(timeout=30) for result in results))
    print("requests of 6 tasks that reached the service:", len(Prices.requests))


def broker_that_is_away(provider: breaker.Provider) -> None:
    app = Celery("elsewhere", broker="amqp://127.0.0.1:9", set_as_current=False)  # nobody listens there
    protect(app, provider, name="broker")
    for _ in range(4):
        try:
            app.send_task("price", ["apple"])
        except breaker.BreakerOpenError as rejected:  # also kombu's OperationalError, so it comes first
            print(f"publish:   rejected, {rejected.name} is {rejected.state}")
        except app.Task.OperationalError:
            print("publish:   failed, after 0.6 s in which Celery tried again")


def main(folder: Path) -> None:
    with service() as address:
        os.environ |= {"SHOP_FOLDER": str(folder), "SHOP_PRICES": address}
        with worker(folder / "worker.log"):
            outage()
    config = breaker.get_default_config("shop", "development")
    with breaker.Provider(config, default_policy=breaker.Policy(failure_threshold=3)) as provider:
        broker_that_is_away(provider)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        main(Path(temporary))
