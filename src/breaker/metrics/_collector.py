"""The collector: all providers of one registry, read when it is scraped."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Sequence
from typing import Any, Protocol, TypeVar

from prometheus_client.core import Metric
from prometheus_client.samples import Sample

from breaker.metrics._readings import Reading, Readings, added
from breaker.metrics._resilience4j import CALLS_SECONDS
from breaker.metrics._table import BREAKER_ROWS, PROVIDER_ROWS, Row, Values

__all__ = ["Collector", "Shown", "labels_of", "metric_of", "passing_over", "sample_name"]

Made = TypeVar("Made")


class Maker(Protocol[Made]):
    """What makes something of the numbers of a row; ``before`` is what it has made of other numbers of the same."""

    def __call__(self, row: Row, own: dict[str, str], values: Values, before: Made | None) -> Made: ...


class _PassingOver(threading.local):
    """In a thread that collects all others: our collectors that it has met, which gave it nothing."""

    met: list[Collector] | None = None


_passing_over = _PassingOver()


class passing_over:
    """A block in which this thread's scrapes get nothing of our collectors, but the list of them."""

    def __enter__(self) -> list[Collector]:
        self._before, _passing_over.met = _passing_over.met, []
        return _passing_over.met

    def __exit__(self, *exception: object) -> None:
        _passing_over.met = self._before


def passed_over(collector: Collector) -> bool:
    if _passing_over.met is None:
        return False
    _passing_over.met.append(collector)
    return True


class Shown:
    """One provider in one vocabulary, and what was made of it at the last scrape: most of that is the same again."""

    def __init__(self, readings: Readings) -> None:
        self.readings = readings
        self._kept: dict[tuple[str, Maker[Any]], dict[str, tuple[Values, Any]]] = {}  # by row: of each breaker

    def each_breaker(self, row: Row, reading: Reading, make: Maker[Made]) -> list[Made]:
        """What ``make`` makes of the numbers of each breaker, or has made of the same numbers before."""
        before = self._kept.get((row.name, make), {})
        now: dict[str, tuple[Values, Made]] = {}
        counts = row.kind == "counter"
        for name, snapshot, sums in reading.breakers:
            values = row.read(snapshot)
            if counts and sums is not None:
                values = added(values, sums.get(row.name))
            kept = before.get(name)
            if kept is None or kept[0] != values:
                made = make(row, {"service": reading.service, "name": name}, values, kept and kept[1])
                kept = values, made
            now[name] = kept
        self._kept[row.name, make] = now
        return [made for _, made in now.values()]

    def provider(self, row: Row, reading: Reading, make: Maker[Made]) -> list[Made]:
        """The same for the provider as a whole; nothing for what it has not."""
        values = row.read(reading.provider)
        return [] if values == (None,) else [make(row, {"service": reading.service}, values, None)]


class Collector:
    """All providers of one registry in one vocabulary: a metric may appear once in a scrape."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = rows
        self.shown: tuple[Shown, ...] = ()  # replaced, never changed

    def describe(self) -> Iterator[Metric]:
        for row in (*self.rows, *self._provider_rows):
            yield metric_of(row)

    @property
    def _provider_rows(self) -> Sequence[Row]:
        return PROVIDER_ROWS if self.rows is BREAKER_ROWS else ()

    def collect(self) -> Iterator[Metric]:
        if passed_over(self):
            return
        for row, some in self.made(_samples):
            metric = metric_of(row)
            for samples in some:
                metric.samples += samples
            yield metric

    def made(self, make: Maker[Made]) -> Iterator[tuple[Row, list[Made]]]:
        """Read everything now. Each row with what is made of it."""
        readings = [(shown, shown.readings.read()) for shown in self.shown]
        for row in self.rows:
            yield row, [made for shown, reading in readings for made in shown.each_breaker(row, reading, make)]
        for row in self._provider_rows:
            yield row, [made for shown, reading in readings for made in shown.provider(row, reading, make)]


def metric_of(row: Row) -> Metric:
    kind = "summary" if row.name == CALLS_SECONDS else "counter" if row.kind == "counter" else "gauge"
    return Metric(row.name, row.help, kind, row.unit)


def sample_name(row: Row) -> str:
    if row.name == CALLS_SECONDS:
        return row.name + "_count"
    return row.name + "_total" if row.kind == "counter" else row.name


def labels_of(row: Row, own: dict[str, str]) -> list[dict[str, str]]:
    """The labels of each series of a row."""
    return [{**own, **row.constant, **dict(zip(row.labels, values, strict=True))} for values in row.series]


def _samples(row: Row, own: dict[str, str], values: Values, before: list[Sample] | None) -> list[Sample]:
    labels = labels_of(row, own) if before is None else [sample.labels for sample in before]
    name = sample_name(row)
    return [
        Sample(name, each, math.nan if value is None else value) for each, value in zip(labels, values, strict=True)
    ]
