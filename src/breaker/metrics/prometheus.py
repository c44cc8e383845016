"""Breakers as Prometheus metrics: one line where the program starts.

Read when somebody scrapes, from snapshots; a call pays nothing for it. In prometheus_client's multiprocess mode, with
several workers of gunicorn or uvicorn, the numbers are copied once in a while into metrics that it can merge.
docs/metrics.md has the tour and the table of the series.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from functools import partial

from breaker.integrations import _base

_base.require(
    "prometheus-client", oldest=(0, 20), integration="prometheus", module="prometheus_client", folder="metrics"
)

from prometheus_client import REGISTRY, CollectorRegistry

from breaker.metrics import _multiprocess
from breaker.metrics._collector import Collector, Shown
from breaker.metrics._endpoints import make_asgi_app, make_wsgi_app
from breaker.metrics._exposition import exposition
from breaker.metrics._readings import Readings
from breaker.metrics._registering import Registration, check_service, refuse_twice
from breaker.metrics._resilience4j import RESILIENCE4J_ROWS
from breaker.metrics._table import BREAKER_ROWS, Row
from breaker.provider import Provider

__all__ = ["Registration", "exposition", "make_asgi_app", "make_wsgi_app", "register"]


def register(
    provider: Provider,
    registry: CollectorRegistry = REGISTRY,
    service: str | None = None,
    *,
    resilience4j: bool = False,
    multiprocess: bool | None = None,
    interval: float = 5.0,
) -> Registration:
    """Show the breakers of a provider as metrics, those that it will make among them.

    All series of a breaker are there from its creation on, and gone once it is removed (S230). Counters never fall
    (S232). The provider is kept alive, and may be closed.

    Args:
        provider: whose breakers are shown.
        registry: where; in multiprocess mode it is not used, see there.
        service: the value of the label ``service``; None: that of the provider's `Config`. Two providers in one
            registry need two.
        resilience4j: with the series ``resilience4j_circuitbreaker_*`` besides, for dashboards of the JVM.
        multiprocess: copy into metrics that prometheus_client merges over processes; None: where it is in that mode,
            because ``PROMETHEUS_MULTIPROC_DIR`` was set when it was imported.
        interval: seconds between two copies in that mode.
    Returns:
        What ends it again.
    Raises:
        TypeError: an argument of the wrong kind.
        ValueError: a service or a provider that is registered there already; names that others have in the registry;
            an ``interval`` that is no number of seconds above 0; ``multiprocess=True`` where prometheus_client is not
            in that mode.

    Thread safety: may be called from any thread. Scrapes may run at the same time.

    .. versionadded:: 0.1
    """
    service = check_service("register", provider, service)
    rows = [BREAKER_ROWS, RESILIENCE4J_ROWS] if resilience4j else [BREAKER_ROWS]
    if _multiprocess.chosen(multiprocess, interval):
        return _multiprocess.register(provider, service, [row for some in rows for row in some], interval)
    if not isinstance(registry, CollectorRegistry):
        got = f"the class {registry.__name__}" if isinstance(registry, type) else type(registry).__name__
        raise TypeError(f"registry= of register must be a prometheus_client.CollectorRegistry, got {got}")
    with ExitStack() as joined:  # all or none
        for some in rows:
            joined.callback(_collectors.join(registry, some, provider, service))
        return Registration(provider, service, joined.pop_all().close)


class _Collectors:
    """The collectors of all registries."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._of: weakref.WeakKeyDictionary[CollectorRegistry, dict[int, Collector]] = weakref.WeakKeyDictionary()

    def join(self, registry: CollectorRegistry, rows: Sequence[Row], provider: Provider, service: str) -> partial[None]:
        """Add a provider to the collector of its vocabulary. Returns what takes it out again."""
        with self._lock:
            collectors = self._of.setdefault(registry, {})
            collector = collectors.get(id(rows))
            if collector is None:
                collector = Collector(rows)
                registry.register(collector)  # or names clash
                collectors[id(rows)] = collector
            others = [each.readings for each in collector.shown]
            refuse_twice("register", provider, service, [(each.provider, each.service) for each in others])
            shown = Shown(Readings(provider, service, rows))
            collector.shown = (*collector.shown, shown)
        return partial(self._leave, weakref.ref(registry), collector, shown)

    def _leave(self, registry: weakref.ref[CollectorRegistry], collector: Collector, shown: Shown) -> None:
        with self._lock:
            collector.shown = tuple([each for each in collector.shown if each is not shown])
            home = registry()
            if collector.shown or home is None or self._of[home].pop(id(collector.rows), None) is None:
                return
            with suppress(KeyError):  # whoever has emptied the registry has taken it out
                home.unregister(collector)

    def renew_after_fork(self) -> None:
        self._lock = threading.RLock()


_collectors = _Collectors()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_collectors.renew_after_fork)
