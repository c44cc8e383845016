"""Breakers as OpenTelemetry metrics: observable instruments, read when a reader collects; a call pays nothing for it.

Here ``import opentelemetry`` means OpenTelemetry's package, as everywhere: imports are absolute. docs/metrics.md has
the tour and the table of the instruments.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from breaker.integrations import _base

_base.require(
    "opentelemetry-api",
    oldest=(1, 28),
    integration="opentelemetry",
    module="opentelemetry.metrics",
    folder="metrics",
)

from opentelemetry.metrics import CallbackOptions, Meter, MeterProvider, Observation, get_meter, get_meter_provider

from breaker.metrics._readings import Reading, Readings, added
from breaker.metrics._registering import Registration, check_service, refuse_twice
from breaker.metrics._table import BREAKER_ROWS, PROVIDER_ROWS, Row, Values
from breaker.provider import Provider

__all__ = ["Registration", "instrument"]

_SCOPE = "breaker"
_FRESH = 1.0  # seconds for which the instruments of one collection share a reading


def instrument(
    provider: Provider, meter_provider: MeterProvider | None = None, service: str | None = None
) -> Registration:
    """Show the breakers of a provider as metrics, those that it will make among them.

    The attributes are the labels of Prometheus: ``service``, ``name``, and those of the metric. What is none at a
    moment (a rate below its minimum of calls) is not observed. Counters never fall (S232). The provider is kept alive,
    and may be closed.

    Args:
        provider: whose breakers are shown.
        meter_provider: where; None: the global one, also if that is set later.
        service: the value of the attribute ``service``; None: that of the provider's `Config`. Two providers in one
            meter provider need two.
    Returns:
        What ends it again.
    Raises:
        TypeError: an argument of the wrong kind.
        ValueError: a service or a provider that is instrumented there already.

    Thread safety: may be called from any thread. Readers may collect at the same time.

    .. versionadded:: 0.1
    """
    service = check_service("instrument", provider, service)
    if meter_provider is not None and not isinstance(meter_provider, MeterProvider):
        wrong: Any = meter_provider
        got = f"the class {wrong.__name__}" if isinstance(wrong, type) else type(wrong).__name__
        raise TypeError(f"meter_provider= of instrument must be an opentelemetry.metrics.MeterProvider, got {got}")
    return Registration(provider, service, _homes.join(meter_provider, provider, service))


class _Shared:
    """One reading for all instruments of a collection, which ask one after the other.

    An instrument that asks a second time, or much later, is of another collection and gets a new one.
    """

    def __init__(self, readings: Readings) -> None:
        self.readings = readings
        self._last: tuple[Reading, float, set[str]] | None = None  # taken when, had by whom; replaced as a whole

    def read(self, instrument: str) -> Reading:
        last = self._last
        if last is None or instrument in last[2] or time.monotonic() - last[1] > _FRESH:
            last = self._last = self.readings.read(), time.monotonic(), set()
        last[2].add(instrument)
        return last[0]


class _Instruments:
    """The instruments of one meter, for all providers: one that is made twice would be reported twice."""

    def __init__(self, meter: Meter) -> None:
        self.shown: tuple[_Shared, ...] = ()  # replaced, never changed
        make: dict[str, Callable[..., object]] = {
            "counter": meter.create_observable_counter,
            "gauge": meter.create_observable_gauge,
            "updown": meter.create_observable_up_down_counter,
        }
        for rows, observe in ((BREAKER_ROWS, _of_breakers), (PROVIDER_ROWS, _of_provider)):
            for row in rows:
                if row.otel:
                    callback = partial(self._observe, row, observe)
                    make[row.kind](row.otel, [callback], row.otel_unit, row.help)

    def _observe(
        self, row: Row, observe: Callable[[Row, Reading], Iterable[Observation]], options: CallbackOptions
    ) -> Iterable[Observation]:
        for shared in self.shown:
            yield from observe(row, shared.read(row.name))


def _of_breakers(row: Row, reading: Reading) -> Iterable[Observation]:
    for name, snapshot, sums in reading.breakers:
        values = row.read(snapshot)
        if sums is not None and row.kind == "counter":
            values = added(values, sums.get(row.name))
        yield from _observations(row, {"service": reading.service, "name": name}, values)


def _of_provider(row: Row, reading: Reading) -> Iterable[Observation]:
    return _observations(row, {"service": reading.service}, row.read(reading.provider))


def _observations(row: Row, own: dict[str, str], values: Values) -> Iterable[Observation]:
    for labels, value in zip(row.series, values, strict=True):
        if value is not None:
            yield Observation(value, {**own, **dict(zip(row.labels, labels, strict=True))})


class _Homes:
    """The instruments of all meter providers. The global one, whichever that will be, is its own entry."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._global: _Instruments | None = None
        self._of: weakref.WeakKeyDictionary[MeterProvider, _Instruments] = weakref.WeakKeyDictionary()

    def join(self, home: MeterProvider | None, provider: Provider, service: str) -> Callable[[], None]:
        """Add a provider. Returns what takes it out again."""
        with self._lock:
            instruments = self._instruments(None if home is get_meter_provider() else home)
            others = [each.readings for each in instruments.shown]
            refuse_twice("instrument", provider, service, [(each.provider, each.service) for each in others])
            shared = _Shared(Readings(provider, service, BREAKER_ROWS))
            instruments.shown = (*instruments.shown, shared)
        return partial(self._leave, instruments, shared)

    def _instruments(self, home: MeterProvider | None) -> _Instruments:
        if home is None:
            if self._global is None:
                self._global = _Instruments(get_meter(_SCOPE))
            return self._global
        if home not in self._of:
            self._of[home] = _Instruments(home.get_meter(_SCOPE))
        return self._of[home]

    def _leave(self, instruments: _Instruments, shared: _Shared) -> None:
        with self._lock:
            instruments.shown = tuple([each for each in instruments.shown if each is not shared])

    def renew_after_fork(self) -> None:
        self._lock = threading.RLock()


_homes = _Homes()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_homes.renew_after_fork)
