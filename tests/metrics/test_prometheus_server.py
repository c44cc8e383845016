"""Debian's Prometheus scrapes a program and answers each query of the dashboard; it loads the alerts."""

import json
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry, start_http_server

from breaker import BreakerOpenError, Config, Policy, Provider, Window
from breaker.metrics.prometheus import register
from breaker.sources import MemorySource
from support.drive import PATH, document
from support.promql import ALERTS, of_the_dashboard, rules

PROMETHEUS = Path("/usr/bin/prometheus")
pytestmark = pytest.mark.skipif(
    not PROMETHEUS.exists(), reason="Debian's prometheus: tools/debian_servers.sh brings it"
)
SECONDS = 40  # for what happens within two, on a machine that does much else
QUIET = {  # of the moment of a scrape alone
    "Failures in a row, half-open slots taken A",
    "Failures in a row, half-open slots taken B",
}


def ask(address: str, path: str, **parameters: str) -> Any:
    query = urllib.parse.urlencode(parameters)
    with urllib.request.urlopen(f"http://{address}/api/v1/{path}?{query}", timeout=20) as answer:
        said = json.loads(answer.read())
    assert said["status"] == "success"
    return said["data"]


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


@pytest.fixture
def target() -> Iterator[str]:
    """A program in trouble of every kind; its address."""
    registry = CollectorRegistry()
    source = MemorySource()
    policy = Policy(
        2,
        1,
        0.05,
        failure_rate_threshold=0.9,
        slow_call_rate_threshold=0.9,
        slow_call_duration=0.01,
        window=Window(calls=50),
        minimum_calls=1,
        recovery_time=3600,
        half_open_max_calls=1,
    )
    provider = Provider(Config("shop", PATH), default_policy=policy, policy_source=source)
    registration = register(provider, registry, resilience4j=True)
    source.put("stays open", document(openStateTimeout="1h"))
    over = threading.Event()

    def call() -> None:
        turn = 0
        for name in ("forced", 'hostile "name"\n{x="y"}'):
            provider.get_breaker(name).force_open()
        shadowed = provider.get_breaker("shadowed")
        shadowed.shadow()
        while not over.wait(0.01):
            turn += 1
            for name in ("flaps", "forced", "shadowed", "stays open"):
                try:
                    with provider.get_breaker(name).acquire() as permit:
                        if turn % 7 < 4:
                            permit.failure()
                except BreakerOpenError:
                    continue
            if turn % 20 == 0:
                source.put("flaps", document(halfOpenMaxCalls=1 + turn // 20))

    caller = threading.Thread(target=call)
    caller.start()
    server, thread = start_http_server(0, addr="127.0.0.1", registry=registry)
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        over.set()
        caller.join()
        server.shutdown()
        server.server_close()
        thread.join()
        registration.unregister()
        provider.close()


@pytest.fixture
def prometheus(target: str, tmp_path: Path) -> Iterator[str]:
    """Prometheus's own address; it scrapes the program four times a second."""
    config = {
        "global": {"scrape_interval": "250ms", "evaluation_interval": "1s"},
        "rule_files": [str(ALERTS)],
        "scrape_configs": [{"job_name": "shop", "static_configs": [{"targets": [target]}]}],
    }
    file, log = tmp_path / "prometheus.yml", tmp_path / "log"
    file.write_text(yaml.safe_dump(config), encoding="utf-8")
    command = [
        *(str(PROMETHEUS), f"--config.file={file}", f"--storage.tsdb.path={tmp_path / 'data'}"),
        *("--web.listen-address=127.0.0.1:0", "--log.level=info"),
    ]
    with (
        open(log, "w", encoding="utf-8") as written,
        subprocess.Popen(command, stderr=written, stdout=written, cwd=tmp_path) as process,
    ):
        try:
            until(lambda: "Server is ready" in log.read_text(), "Prometheus does not start")
            line = next(line for line in log.read_text().splitlines() if "Listening on" in line)
            yield line.partition("address=")[2].split()[0].strip('"')
        finally:
            process.terminate()
            process.wait(20)


def test_prometheus_scrapes_and_answers_the_dashboard(prometheus: str) -> None:
    def scraped() -> bool:
        found = ask(prometheus, "query", query="count_over_time(up[1m])")["result"]
        return bool(found) and float(found[0]["value"][1]) >= 8

    until(scraped, "nothing is scraped")
    (scrape,) = ask(prometheus, "targets")["activeTargets"]
    assert (scrape["health"], scrape["lastError"]) == ("up", "")
    names = {result["metric"]["name"] for result in ask(prometheus, "query", query="circuit_breaker_mode")["result"]}
    assert names == {"flaps", "forced", "shadowed", "stays open", 'hostile "name"\n{x="y"}'}
    loaded = [rule for group in ask(prometheus, "rules")["groups"] for rule in group["rules"]]
    assert {rule["name"] for rule in loaded} == {rule["alert"] for rule in rules()}
    until(lambda: all_healthy(prometheus), "an alert cannot be evaluated")
    empty = set()
    for query in of_the_dashboard():
        result = ask(prometheus, "query", query=query.concrete())["result"]
        if not result:
            empty.add(query.where)
    assert empty <= QUIET


def all_healthy(prometheus: str) -> bool:
    states = {rule["health"] for group in ask(prometheus, "rules")["groups"] for rule in group["rules"]}
    assert "err" not in states
    return states == {"ok"}
