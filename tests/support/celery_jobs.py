"""Tasks of Celery for a worker that a test starts: ``celery -A support.celery_jobs worker``.

They ask a dependency, an HTTP server of the test's, each through the breaker that it is told to use. The environment
says which broker, which dependency, and where policies are.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import Any

import httpx
from celery import Celery, current_task
from celery.exceptions import SoftTimeLimitExceeded

import breaker
from breaker.integrations.celery import BreakerTask, protect
from breaker.sources import FileSource
from support.drive import CONFIG

BROKER, DEPENDENCY, POLICIES = (os.environ[f"JOBS_{what}"] for what in ("BROKER", "DEPENDENCY", "POLICIES"))

app = Celery("jobs", broker=BROKER, backend=BROKER)
app.conf.update(task_acks_late=False, worker_prefetch_multiplier=1, broker_connection_retry_on_startup=True)
provider = breaker.Provider(
    CONFIG,
    default_policy=breaker.Policy(1, 1, 2.0),
    policy_source=FileSource(POLICIES, poll_interval=0.05, policies_path=CONFIG.policies_path),
)
protect(app, provider, name="broker")
client = httpx.Client(verify=False, trust_env=False)


def retries() -> int:
    task: Any = current_task
    return int(task.request.retries)


def asked(name: str, path: str) -> int:
    """Ask the dependency through a breaker."""
    with provider.get_breaker(name).acquire():
        return client.get(f"{DEPENDENCY}{path}").raise_for_status().status_code


def trip_first(name: str, fails: str | None) -> None:
    """At the first try the dependency fails and the breaker opens, just before the task, on a busy machine too."""
    if fails is not None and retries() == 0:
        with suppress(httpx.HTTPStatusError):
            asked(name, fails)


@app.task(base=BreakerTask, rejection_jitter=0)
def ask(name: str, path: str, fails: str | None = None) -> list[int]:
    """Not bound. Gives the status and how often it was tried again."""
    trip_first(name, fails)
    return [asked(name, path), retries()]


@app.task(base=BreakerTask, rejection_jitter=0, bind=True)
def ask_bound(self: Any, name: str, path: str, fails: str) -> list[int]:
    trip_first(name, fails)
    return [asked(name, path), int(self.request.retries)]


@app.task(base=BreakerTask, rejection_jitter=0, autoretry_for=(Exception,), default_retry_delay=3600)
def ask_with_autoretry(name: str, path: str, fails: str) -> list[int]:
    trip_first(name, fails)
    return [asked(name, path), retries()]


@app.task(base=BreakerTask, rejection_jitter=0, max_retries=1)
def ask_forced(name: str, path: str) -> int:
    """The rejection of an operator, which does not end."""
    provider.get_breaker(name).force_open()
    return asked(name, path)


@app.task(bind=True)
def ask_plainly(self: Any, name: str, path: str) -> int:
    provider.get_breaker(name).force_open()
    return asked(name, path)


@app.task
def add(numbers: list[list[int]]) -> int:
    return sum(status for status, _ in numbers)


@app.task
def first(pair: list[int]) -> int:
    return pair[0]


@app.task(base=BreakerTask)
def sends_another() -> str:
    """Publishes while the broker's breaker is open here; the id of what it sent."""
    provider.get_breaker("broker").force_open()
    try:
        return str(first.delay([7, 0]).id)
    finally:
        provider.get_breaker("broker").clear_override()


@app.task(base=BreakerTask, soft_time_limit=1)
def hang(name: str) -> dict[str, int]:
    guarded = provider.get_breaker(name)
    with suppress(SoftTimeLimitExceeded):
        guarded.do(time.sleep, 30)
    return {"failures": guarded.snapshot().failures, "pid": os.getpid()}


@app.task
def here(name: str) -> dict[str, Any]:
    """Which process this is, and what policies it follows."""
    status = provider.source_status
    assert status is not None
    threshold = provider.get_breaker(name).policy.failure_threshold
    return {"pid": os.getpid(), "parent": os.getppid(), "threshold": threshold, "connected": status.connected}
