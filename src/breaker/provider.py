"""`Provider`: the breakers of a program by name, their policies, and who is told about them.

`get_breaker` is the core's (`_registry.pxi`): looking up an existing breaker is on the path of calls and takes no lock.
What it does not find comes to `Provider._make_or_check`.

``_lock`` guards making breakers and applying documents, so that no breaker misses a change; it is re-entrant, because
a signal handler or a finalizer may ask for a breaker while its own thread holds it. Events are delivered after it is
released.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections import deque
from collections.abc import Mapping
from functools import partial

from breaker import logs
from breaker._core import Breaker, Registry, read_clock
from breaker._listeners import Listeners
from breaker._options import check_arguments, same_options
from breaker.config import Config
from breaker.policies.names import check_name
from breaker.policies.policy import Policy
from breaker.policies.resolution import Resolution

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType
    from typing import Any, Self

    from breaker._listeners import Listener
    from breaker._options import ExceptionTypes
    from breaker.sources.base import Document, PolicySource, SourceStatus
    from breaker.sources.watch import ProviderWatch

    _Publication = tuple[ProviderWatch, Mapping[str, Document], int, bool]

_CLOSE_LIMIT = 2.0  # seconds that close() waits for the watcher


class Provider(Registry):
    """Makes and keeps one breaker per name, and applies policy documents to them while they run.

    ``config``: whose policies, see `Config`. ``logger``: a structlog logger, None logs nothing.
    ``policy_source``: where documents come from (`breaker.sources`), None: every breaker has ``default_policy``.
    ``default_policy``: what fills the fields that no document sets. ``clock``: a callable that returns whole
    nanoseconds, monotonic; None: the system's. ``start_timeout``: seconds that construction may wait for the first
    documents; if they come later they are applied then.

    Raises `TypeError` or `ValueError` for an argument of the wrong kind. A context manager that closes itself.
    """

    __slots__ = (  # without a dict the interpreter finds `get_breaker` in one step less
        "__weakref__",
        "_clock",
        "_closed",
        "_incomplete",
        "_listeners",
        "_lock",
        "_publications",
        "_resolution",
        "_revision",
        "_source",
        "_taking_over",
        "_untold",
        "_watch",
        "config",
    )

    def __init__(
        self,
        config: Config,
        *,
        logger: Any = None,
        policy_source: PolicySource | None = None,
        default_policy: Policy | None = None,
        clock: Callable[[], int] | None = None,
        start_timeout: float = 2.0,
    ) -> None:
        policy = Policy() if default_policy is None else default_policy
        check_arguments(config, logger, policy_source, policy, clock, start_timeout)
        self.config = config
        self._clock = clock
        self._source = policy_source
        self._listeners = Listeners(logger)
        if logger is not None:
            self._listeners.subscribe(logs.log_listener(logger))
        self._lock = threading.RLock()
        self._resolution = Resolution(policy, partial(_location, policy_source, config.policies_path))
        self._revision = 0
        self._publications: deque[_Publication] = deque()  # that came in while one is taken over
        self._taking_over = False
        self._incomplete = False  # a publication may have reached some breakers and not others
        self._untold: deque[Callable[[], object]] = deque()
        self._watch: ProviderWatch | None = None
        self._closed = False
        _providers.add(self)
        if policy_source is not None:
            self._start(policy_source).loaded.wait(start_timeout)

    # -- breakers --

    @property
    def breakers(self) -> Mapping[str, Breaker]:
        """All breakers by name: a read-only view that follows, and may be iterated while breakers are made."""
        return _View(self._breakers)

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call ``listener`` with each event of `breaker.events` from now on. Returns a callable that ends it."""
        return self._listeners.subscribe(listener)

    def _make_or_check(
        self,
        name: str,
        *,
        failure_on: ExceptionTypes | None = None,
        success_on: ExceptionTypes | None = None,
        ignore_on: ExceptionTypes | None = None,
        failed_result: Callable[[Any], object] | None = None,
    ) -> Breaker:
        """What `get_breaker` does for a name that is new, and for options."""
        check_name(name)
        name = str.__str__(name)
        with self._lock:
            if name not in self._breakers:
                made = Breaker(
                    name,
                    self._resolution.policy_for(name),
                    clock=self._clock,
                    listeners=self._listeners,
                    ignore_on=ignore_on,
                    success_on=success_on,
                    failure_on=failure_on,
                    failed_result=failed_result,
                )
                # A signal handler may have made it, or applied documents, since the line above was entered.
                if self._breakers.setdefault(name, made) is made:
                    self._bring_up_to_date(made)
            breaker = self._breakers[name]
        breaker._deliver()
        return same_options(breaker, failure_on, success_on, ignore_on, failed_result)

    # -- policies --

    @property
    def source_status(self) -> SourceStatus | None:
        """How the source of policies is, None where there is none. Reads what is known; asks nobody."""
        return None if self._watch is None else self._watch.status(self._revision)

    def _apply(self, watch: ProviderWatch, documents: Mapping[str, Document], revision: int, restarted: bool) -> bool:
        """Take over a publication: swap policies under the lock, then tell. Returns whether documents have changed.

        One that comes meanwhile in the same thread, from a signal handler or a clock, waits: of two that are taken over
        one inside the other, the older would be finished last.
        """
        changed = False
        with self._lock:
            self._publications.append((watch, documents, revision, restarted))
            while self._publications and not self._taking_over:
                self._taking_over = True
                try:
                    while self._publications:
                        changed |= self._take_over(*self._publications.popleft())
                finally:
                    self._taking_over = False
        self._tell()
        return changed

    def _take_over(
        self, watch: ProviderWatch, documents: Mapping[str, Document], revision: int, restarted: bool
    ) -> bool:
        if watch.closed.is_set() or (revision < self._revision and not restarted):
            return False
        self._revision = revision
        everybody, self._incomplete = self._incomplete, True
        change = self._resolution.update(documents)
        everybody = everybody or change.everybody
        for name in list(self._breakers) if everybody else [n for n in change.names if n in self._breakers]:
            if self._bring_up_to_date(self._breakers[name]):
                self._untold.append(self._breakers[name]._deliver)
        self._incomplete = False
        for key, error in change.rejected:
            self._untold.append(partial(self._tell_rejected, self.config.policies_path + key, error, revision))
        if change.unknown_fields:
            message = "circuit breaker policy has unknown fields"
            self._untold.append(partial(self._log, "warning", message, fields=change.unknown_fields, revision=revision))
        watch.loaded.set()
        return bool(change.names or change.everybody or change.rejected)

    def _bring_up_to_date(self, breaker: Breaker) -> bool:
        """Give a breaker the policy of the documents of now. Returns whether it had another."""
        changed = False
        now = read_clock(self._clock)
        while breaker._replace_policy(self._resolution.policy_for(breaker.name), self._revision, now):
            changed = True  # and look again: documents may have been applied while it was replaced
        return changed

    def _tell(self) -> None:
        """Tell what publications brought. What an interrupt leaves untold, the next publication tells."""
        while self._untold:
            try:
                tell = self._untold.popleft()
            except IndexError:  # another thread does
                return
            tell()

    def _tell_rejected(self, key: str, error: str, revision: int) -> None:
        self._listeners.tell(self._listeners.events.PolicyRejected(key, error, revision))

    def _tell_source(self, event: str, *values: object) -> None:
        if self._listeners.listeners:
            self._listeners.tell(getattr(self._listeners.events, event)(*values))

    def _log(self, level: str, message: str, **keys: object) -> None:
        """One line that belongs to no event; a logger that fails is reported like a listener that does."""
        logger = self._listeners.logger
        try:
            if logger is not None:
                getattr(logger, level)(message, **keys)
        except Exception as error:
            self._listeners.report(logger, None, error)

    # -- life --

    def _start(self, source: PolicySource) -> ProviderWatch:
        from breaker.sources.watch import (
            ProviderWatch,  # here: its package brings json
        )

        watch = self._watch = ProviderWatch(self, source)
        source.start(watch)
        return watch

    def close(self) -> None:
        """Stop the watcher. Breakers go on with their last policies, `get_breaker` with the last documents.

        May be called twice, from any thread, also from a listener. Waits at most 2 s for the watcher to end, and not
        at all for itself.
        """
        with self._lock:
            was_closed, self._closed = self._closed, True
        if not was_closed and self._watch is not None and self._source is not None:
            self._watch.closed.set()
            self._source.stop(self._watch)
            self._watch.join(_CLOSE_LIMIT)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        closed = ", closed" if self._closed else ""
        return f"<Provider of {self.config.service_name!r}: {len(self._breakers)} breakers{closed}>"

    def _renew_after_fork(self) -> None:
        """Locks held by the parent's other threads would stay held, and what these were doing nobody finishes."""
        self._lock = threading.RLock()
        self._listeners.renew_locks()
        self._publications.clear()
        self._untold.clear()
        self._taking_over = False
        self._incomplete = True

    def _restart_after_fork(self) -> None:
        """The parent's watcher is not here: begin anew."""
        if self._closed or self._watch is None or self._source is None:
            return
        parents = self._watch
        parents.closed = threading.Event()  # its own lock may be held too
        parents.closed.set()
        try:
            self._source.after_fork()
            self._source.stop(parents)
            self._start(self._source)
        except Exception as error:
            problem = f"{error!r} in a forked process; its breakers keep the policies of now"
            self._tell_source("SourceLost", None, problem)


class _View(Mapping[str, Breaker]):
    """A mapping to read that does not fail when another thread adds to it meanwhile."""

    def __init__(self, breakers: dict[str, Breaker]) -> None:
        self._breakers = breakers

    def __getitem__(self, name: str) -> Breaker:
        return self._breakers[name]

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._breakers))

    def __len__(self) -> int:
        return len(self._breakers)

    def __repr__(self) -> str:
        return repr(dict(self._breakers))


def _location(source: PolicySource | None, path: str, key: str) -> str:
    # Not a method: a provider that refers to itself would wait for the garbage collector when it is dropped.
    return path + key if source is None else source.location(path, key)


_providers: weakref.WeakSet[Provider] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    providers = list(_providers)
    for provider in providers:
        provider._renew_after_fork()
    for provider in providers:
        provider._restart_after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
