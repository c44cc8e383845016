"""Scrapes for tests: over HTTP from prometheus_client's own server, read by its own parsers."""

from __future__ import annotations

import math
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

Labels = frozenset[tuple[str, str]]

FORMATS: dict[str, tuple[str, Callable[[str], Any]]] = {
    "text": ("text/plain;version=0.0.4", read_text),
    "openmetrics": ("application/openmetrics-text;version=1.0.0", read_openmetrics),
}


class Scrape:
    """What one scrape said. ``families`` is the parser's, by name; ``series`` the numbers by sample name and labels."""

    def __init__(self, text: str, read: Callable[[str], Any]) -> None:
        self.text = text
        self.families = {family.name: family for family in read(text)}
        self.series: dict[tuple[str, Labels], float] = {}
        for family in self.families.values():
            for sample in family.samples:
                key = sample.name, frozenset(sample.labels.items())
                assert key not in self.series, f"{key} is there twice"
                self.series[key] = sample.value

    def of(self, sample: str, label: str | None = None, **labels: str) -> dict[str, float]:
        """The numbers of a sample name that have these labels, by one other label; it must be the only other one."""
        found: dict[str, float] = {}
        for (name, having), value in self.series.items():
            if name == sample and labels.items() <= dict(having).items():
                key = dict(having)[label] if label else ""
                assert key not in found, f"{sample} has several series for {label}={key}"
                found[key] = value
        return found

    def value(self, sample: str, **labels: str) -> float:
        """The one number of a sample name that has these labels."""
        ((_, value),) = self.of(sample, **labels).items()
        return value

    def counters(self) -> dict[tuple[str, Labels], float]:
        return {key: value for key, value in self.series.items() if key[0].endswith(("_total", "_count"))}

    def breakers(self) -> set[str]:
        """The values of the label ``name``."""
        return {dict(labels)["name"] for _, labels in self.series if "name" in dict(labels)}


def parsed(text: str, form: str = "text") -> Scrape:
    return Scrape(text, FORMATS[form][1])


def fetch(url: str, form: str = "text") -> Scrape:
    """Scrape an address."""
    request = urllib.request.Request(url, headers={"Accept": FORMATS[form][0]})
    with urllib.request.urlopen(request, timeout=20) as answer:
        assert answer.headers["Content-Type"].startswith(FORMATS[form][0].partition(";")[0])
        return parsed(answer.read().decode(), form)


@contextmanager
def served(registry: CollectorRegistry) -> Iterator[Callable[..., Scrape]]:
    """prometheus_client's server of a registry. The callable scrapes it; ``path`` may be given, and the format."""
    server, thread = start_http_server(0, addr="127.0.0.1", registry=registry)
    try:
        yield lambda form="text", path="/metrics": fetch(f"http://127.0.0.1:{server.server_port}{path}", form)
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


def same(one: float, other: float) -> bool:
    return one == other or (math.isnan(one) and math.isnan(other))
