"""A worker of Celery in a process of its own, and a client that knows its tasks by their names alone."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from celery import Celery
from celery.exceptions import TimeoutError as NoResult

from support.daemon import Daemon, spawn
from support.http.server import Server
from support.servers.redis import Redis

TESTS = Path(__file__).parents[1]
POOLS = ("prefork", "threads", "gevent", "solo")


class Worker(Daemon):
    """A worker of ``support.celery_jobs`` with one pool."""

    def __init__(self, pool: str, broker: Redis, dependency: Server, folder: Path) -> None:
        self.pool = pool
        self.url = f"redis://127.0.0.1:{broker.port}/{1 + POOLS.index(pool)}"
        self.policies = folder / "policies"
        self.policies.mkdir()
        self.app = Celery("client", broker=self.url, backend=self.url)
        environment = {
            "JOBS_BROKER": self.url,
            "JOBS_DEPENDENCY": dependency.url,
            "JOBS_POLICIES": str(self.policies),
            "PYTHONPATH": str(TESTS),
            "PATH": os.environ["PATH"],
        }
        # One child process: what one task does to a breaker the next one finds.
        concurrency = "4" if pool in ("threads", "gevent") else "1"
        command = [
            *(sys.executable, "-m", "celery", "-A", "support.celery_jobs", "worker", "-P", pool, "-c", concurrency),
            *("--loglevel=INFO", "--without-gossip", "--without-mingle", "--without-heartbeat"),
        ]
        self.log = folder / "log"
        self._process = spawn(command, self.log, environment)

    def end(self) -> None:
        self.kill()
        self.app.close()

    def send(self, task: str, *args: Any, **options: Any) -> Any:
        return self.app.send_task(f"support.celery_jobs.{task}", args, **options)

    def signature(self, task: str, *args: Any, immutable: bool = True) -> Any:
        return self.app.signature(f"support.celery_jobs.{task}", args, immutable=immutable)

    def get(self, result: Any) -> Any:
        """Its value; what the worker says is in the error if none comes."""
        try:
            return result.get(timeout=25)
        except NoResult:
            raise AssertionError(self.log.read_text()[-5000:]) from None
