"""A program with breakers that gunicorn serves: each request calls through one, ``/metrics`` is scraped.

``gunicorn support.gunicorn_app:app``; with PROMETHEUS_MULTIPROC_DIR set a scrape is of all workers.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

from prometheus_client import REGISTRY, CollectorRegistry, make_wsgi_app
from prometheus_client.multiprocess import MultiProcessCollector

from breaker import BreakerOpenError, Config, Policy, Provider
from breaker.metrics.prometheus import register

INTERVAL = 0.2

provider = Provider(Config("shop", "/config/dev/shop/breakers/"), default_policy=Policy(2))
register(provider, resilience4j=True, interval=INTERVAL)
payments = provider.get_breaker("http:payments")
refunds = provider.get_breaker("http:refunds")


def _scraped(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    registry = REGISTRY
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        registry = CollectorRegistry()
        MultiProcessCollector(registry)
    shown: Iterable[bytes] = make_wsgi_app(registry)(environ, start_response)
    return shown


def _fail() -> None:
    raise RuntimeError("down")


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    path = environ["PATH_INFO"]
    if path == "/metrics":
        return _scraped(environ, start_response)
    said = "succeeded"
    try:
        if path == "/fail":
            refunds.do(_fail)
        else:
            payments.do(int)
    except BreakerOpenError:
        said = "rejected"
    except RuntimeError:
        said = "failed"
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{os.getpid()} {said}".encode()]
