"""Breakers in prometheus_client's multiprocess mode: each process writes files, and whoever is scraped merges them.

Custom collectors are left out of that mode. So a thread reads the provider once in a while and copies what is new into
ordinary counters and gauges: counters by what they have grown, gauges by their value.

Two things are about forks. No fork happens while the thread writes, or a child would inherit prometheus_client's lock
in a state that nobody ends (S233). And a child starts from the totals that it has inherited, which its parent writes.
"""

from __future__ import annotations

import atexit
import logging
import math
import os
import threading
from collections.abc import Sequence
from functools import partial
from typing import Any

from prometheus_client import Counter, Gauge, values

from breaker.metrics._readings import Reading, Readings, added
from breaker.metrics._registering import Registration, refuse_twice
from breaker.metrics._resilience4j import CALLS_SECONDS
from breaker.metrics._table import PROVIDER_ROWS, Row, Values
from breaker.provider import Provider

__all__ = ["chosen", "register"]

_CLOSE_LIMIT = 2.0  # seconds that unregistering waits for the thread


def chosen(multiprocess: bool | None, interval: float) -> bool:
    """Whether to copy. Raises for arguments that cannot be."""
    if multiprocess is not None and not isinstance(multiprocess, bool):
        raise TypeError(f"multiprocess= of register must be True, False or None, got {type(multiprocess).__name__}")
    if isinstance(interval, bool) or not isinstance(interval, int | float):
        raise TypeError(f"interval= of register must be seconds, got {type(interval).__name__}")
    if not 0 < interval <= threading.TIMEOUT_MAX:
        raise ValueError(f"interval= of register must be a number of seconds above 0, got {interval}")
    possible = bool(getattr(values.ValueClass, "_multiprocess", False))
    if multiprocess and not possible:
        raise ValueError(
            "register got multiprocess=True, but prometheus_client is not in its multiprocess mode: set "
            "PROMETHEUS_MULTIPROC_DIR to a directory before anything imports prometheus_client"
        )
    return possible if multiprocess is None else multiprocess


def register(provider: Provider, service: str, rows: Sequence[Row], interval: float) -> Registration:
    """`prometheus.register` in this mode."""
    with _writing:
        refuse_twice("register", provider, service, [(each.provider, each.service) for each in _publishers])
        publisher = _Publisher(provider, service, rows, interval)
        _publishers.append(publisher)
    publisher.copy()
    publisher.start()
    return Registration(provider, service, publisher.close)


class _Series:
    """One series that is written: its child in prometheus_client's metric, and what was written last."""

    __slots__ = ("child", "last", "row")

    def __init__(self, row: Row, labels: dict[str, str]) -> None:
        self.row = row
        self.child = _metrics.of(row, tuple(labels)).labels(**labels)
        self.last = 0.0 if row.kind == "counter" else math.nan  # a file of an older process may have a gauge already

    def write(self, value: float | None) -> None:
        if value is None:
            value = self.row.none
        if self.row.kind != "counter":
            if value != self.last:
                self.child.set(value)
                self.last = value
        elif value > self.last:  # else the reading is older than what was written meanwhile
            grown, self.last = value - self.last, value  # first: what raises here has been added in memory all the same
            self.child.inc(grown)

    def inherit(self, value: float | None) -> None:
        """In a forked child: a counter's value is in the parent's file, and a gauge is not in its own yet."""
        self.last = value or 0.0 if self.row.kind == "counter" else math.nan


class _Metrics:
    """The ordinary metrics, made once for a process. Called under the lock of the writing."""

    def __init__(self) -> None:
        self._made: dict[str, Any] = {}

    def of(self, row: Row, labels: tuple[str, ...]) -> Any:
        if row.name not in self._made:
            self._made[row.name] = self._make(row, labels)
        return self._made[row.name]

    def _make(self, row: Row, labels: tuple[str, ...]) -> Any:
        # In no registry: whoever is scraped has one of its own, which reads the files.
        if row.name == CALLS_SECONDS:  # a summary without a sum; of dead processes too, as a counter
            return Gauge(row.name + "_count", row.help, labels, registry=None, multiprocess_mode="sum")
        if row.kind == "counter":
            return Counter(row.name, row.help, labels, unit=row.unit, registry=None)
        return Gauge(row.name, row.help, labels, unit=row.unit, registry=None, multiprocess_mode=row.merge)


class _Publisher:
    """Copies one provider."""

    def __init__(self, provider: Provider, service: str, rows: Sequence[Row], interval: float) -> None:
        self.provider = provider
        self.service = service
        self._rows = rows
        self._interval = interval
        self._readings = Readings(provider, service, rows)
        self._series: dict[str | None, dict[str, list[_Series]]] = {}  # by breaker and row; None: of the provider
        self._shown: set[str] = set()  # breakers whose gauges stand for something
        self._inherited = False  # the counters of now are the parent's
        self._failed: str | None = None
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._closed = threading.Event()
        run = partial(self._run, self._closed)
        self._thread = threading.Thread(target=run, name=f"breaker-metrics-{self.service}", daemon=True)
        self._thread.start()

    def _run(self, closed: threading.Event) -> None:
        while not closed.wait(self._interval):
            self.copy()

    def copy(self) -> None:
        """Write what is new. What cannot be written now (a full disk) is written by the next copy."""
        reading = self._readings.read()
        try:
            with _writing:
                if self in _publishers:
                    self._write(reading)
        except Exception as error:
            if self._failed != repr(error):  # once in a row
                self._failed = repr(error)
                logging.getLogger("breaker").error("metrics cannot be written for prometheus_client: %r", error)
        else:
            self._failed = None

    def _write(self, reading: Reading) -> None:
        for row in PROVIDER_ROWS:
            numbers = row.read(reading.provider)
            if numbers != (None,):  # without a source there is no series of it
                self._write_row(None, row, numbers)
        for name, snapshot, sums in reading.breakers:
            for row in self._rows:
                numbers = row.read(snapshot)
                if sums is not None and row.kind == "counter":
                    numbers = added(numbers, sums.get(row.name))
                self._write_row(name, row, numbers)
            self._shown.add(name)
        for name in self._shown.difference(self.provider.breakers):
            self._clear(name)
        self._inherited = False

    def _write_row(self, name: str | None, row: Row, numbers: Values) -> None:
        by_row = self._series.setdefault(name, {})
        if row.name not in by_row:
            by_row[row.name] = self._make(row, name)
        for one, value in zip(by_row[row.name], numbers, strict=True):
            if self._inherited:
                one.inherit(value)
            one.write(value)

    def _make(self, row: Row, name: str | None) -> list[_Series]:
        labels = {"service": self.service, **({} if name is None else {"name": name}), **row.constant}
        return [_Series(row, labels | dict(zip(row.labels, values, strict=True))) for values in row.series]

    def _clear(self, name: str | None) -> None:
        """Nothing is there any more. A series cannot be taken back in this mode, so its gauges say so."""
        for series in self._series.get(name, {}).values():
            for one in series:
                if one.row.kind != "counter":
                    one.write(None)
        if name is not None:
            self._shown.discard(name)

    def close(self) -> None:
        """Copy once more, and end."""
        self.copy()
        with _writing:
            if self not in _publishers:
                return
            _publishers.remove(self)
            for name in list(self._series):
                self._clear(name)
        self._closed.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(_CLOSE_LIMIT)

    def restart_after_fork(self) -> None:
        self._inherited = True
        self.copy()
        self.start()


_writing = threading.RLock()  # held around all that prometheus_client writes for us, and around a fork
_publishers: list[_Publisher] = []
_metrics = _Metrics()


def _before_fork() -> None:
    _writing.acquire()


def _after_fork_in_parent() -> None:
    _writing.release()


def _after_fork_in_child() -> None:
    global _writing
    _writing = threading.RLock()
    for publisher in _publishers:
        publisher.restart_after_fork()


@atexit.register
def _copy_at_exit() -> None:
    for publisher in tuple(_publishers):
        publisher.copy()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
