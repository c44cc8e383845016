"""`Provider`: the breakers of a program by name, their policies, and who is told about them.

Locks: looking up an existing breaker takes none. ``_lock`` guards making breakers and applying documents, so that no
breaker misses a change; it is re-entrant, because a signal handler or a finalizer may ask for a breaker while its own
thread holds it. Events are delivered after it is released.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Mapping

from breaker import logs
from breaker._core import Breaker, exception_types
from breaker.config import Config, check_name
from breaker.hub import Hub
from breaker.policies import PolicyBook
from breaker.policy import Policy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType
    from typing import Any, Self

    from breaker.hub import Listener
    from breaker.policies import Change
    from breaker.sources.base import Document, PolicySource

    ExceptionTypes = type[BaseException] | tuple[type[BaseException], ...]

_CLOSE_LIMIT = 2.0  # seconds that close() waits for the watcher


class Provider:
    """Makes and keeps one breaker per name, and applies policy documents to them while they run.

    ``config``: whose policies, see `Config`. ``logger``: a structlog logger, None logs nothing.
    ``policy_source``: where documents come from (`breaker.sources`), None: every breaker has ``default_policy``.
    ``default_policy``: what fills the fields that no document sets. ``clock``: a callable that returns whole
    nanoseconds, monotonic; None: the system's. ``start_timeout``: seconds that construction may wait for the first
    documents; if they come later they are applied then.

    Raises `TypeError` or `ValueError` for an argument of the wrong kind. A context manager that closes itself.
    """

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
        _check_arguments(config, logger, policy_source, policy, clock, start_timeout)
        self.config = config
        self._clock = clock
        self._source = policy_source
        self._hub = Hub(logger)
        if logger is not None:
            self._hub.subscribe(logs.log_listener(logger))
        self._lock = threading.RLock()
        self._breakers: dict[str, Breaker] = {}
        self._book = PolicyBook(policy, self._location)
        self._revision = 0
        self._feed: _Feed | None = None
        self._closed = False
        self._forked = False  # since the last publication: the parent may have been in the middle of one
        _providers.add(self)
        if policy_source is not None:
            self._start(policy_source).loaded.wait(start_timeout)

    # -- breakers --

    def get_breaker(
        self,
        name: str,
        *,
        failure_on: ExceptionTypes | None = None,
        success_on: ExceptionTypes | None = None,
        ignore_on: ExceptionTypes | None = None,
        failed_result: Callable[[Any], object] | None = None,
    ) -> Breaker:
        """The breaker of this name, made at the first call; the same object from any thread. Does no I/O.

        ``ignore_on``, ``success_on``, ``failure_on``: exception types or tuples of them, tried in this order, the first
        match decides; without a match an `Exception` is a failure, or a success where ``failure_on`` is given.
        ``failed_result``: called with each returned value, true means that it is a failure.

        Raises `TypeError` or `ValueError` for a wrong name or option, `ValueError` also where an option that is given
        differs from the one the breaker was made with.
        """
        try:
            breaker = self._breakers.get(name)
        except TypeError:  # not hashable, so no text either
            breaker = None
        if breaker is None:
            return self._create(name, failure_on, success_on, ignore_on, failed_result)
        if failure_on is None and success_on is None and ignore_on is None and failed_result is None:
            return breaker
        return _same_options(breaker, failure_on, success_on, ignore_on, failed_result)

    @property
    def breakers(self) -> Mapping[str, Breaker]:
        """All breakers by name: a read-only view that follows, and may be iterated while breakers are made."""
        return _View(self._breakers)

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call ``listener`` with each event of `breaker.events` from now on. Returns a callable that ends it."""
        return self._hub.subscribe(listener)

    def _create(
        self,
        name: str,
        failure_on: ExceptionTypes | None,
        success_on: ExceptionTypes | None,
        ignore_on: ExceptionTypes | None,
        failed_result: Callable[[Any], object] | None,
    ) -> Breaker:
        check_name(name)
        name = str.__str__(name)
        with self._lock:
            if name not in self._breakers:
                made = Breaker(
                    name,
                    self._book.policy_for(name),
                    clock=self._clock,
                    hub=self._hub,
                    ignore_on=ignore_on,
                    success_on=success_on,
                    failure_on=failure_on,
                    failed_result=failed_result,
                )
                # A signal handler may have made it, or applied documents, since the line above was entered.
                if self._breakers.setdefault(name, made) is made:
                    made._replace_policy(self._book.policy_for(name), self._revision)
            breaker = self._breakers[name]
        breaker._deliver()
        return _same_options(breaker, failure_on, success_on, ignore_on, failed_result)

    # -- policies --

    def _location(self, key: str) -> str:
        path = self.config.policies_path
        return self._source.location(path, key) if self._source is not None else path + key

    def _apply(self, feed: _Feed, documents: Mapping[str, Document], revision: int, restarted: bool) -> None:
        """Take over a publication: swap policies under the lock, then tell."""
        with self._lock:
            if feed.closed.is_set() or (revision < self._revision and not restarted):
                return
            self._revision = revision
            change = self._book.update(documents)
            everybody = change.everybody or self._forked
            self._forked = False
            names = list(self._breakers) if everybody else [n for n in change.names if n in self._breakers]
            changed = [
                breaker
                for breaker in (self._breakers[name] for name in names)
                if breaker._replace_policy(self._book.policy_for(breaker.name), revision)
            ]
            feed.loaded.set()
        self._tell(changed, change, revision)

    def _tell(self, changed: list[Breaker], change: Change, revision: int) -> None:
        for breaker in changed:
            breaker._deliver()
        for key, error in change.rejected:
            self._hub.tell(self._hub.events.PolicyRejected(self.config.policies_path + key, error, revision))
        if change.unknown_fields:
            self._log(
                "warning", "circuit breaker policy has unknown fields", fields=change.unknown_fields, revision=revision
            )

    def _log(self, level: str, message: str, **keys: object) -> None:
        """One line that belongs to no event; a logger that fails is reported like a listener that does."""
        logger = self._hub.logger
        try:
            if logger is not None:
                getattr(logger, level)(message, **keys)
        except Exception as error:
            self._hub.report(logger, None, error)

    # -- life --

    def _start(self, source: PolicySource) -> _Feed:
        feed = self._feed = _Feed(self)
        source.start(feed)
        return feed

    def close(self) -> None:
        """Stop the watcher. Breakers go on with their last policies, `get_breaker` with the last documents.

        May be called twice, from any thread, also from a listener. Waits at most 2 s for the watcher to end, and not
        at all for itself.
        """
        with self._lock:
            feed, self._feed = self._feed, None
            self._closed = True
        if feed is not None and self._source is not None:
            feed.closed.set()
            self._source.stop(feed)
            feed.join(_CLOSE_LIMIT)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        closed = ", closed" if self._closed else ""
        return f"<Provider of {self.config.service_name!r}: {len(self._breakers)} breakers{closed}>"

    def _after_fork_in_child(self) -> None:
        """Locks held by the parent's other threads would stay held, and its watcher is not here: begin anew."""
        self._lock = threading.RLock()
        self._forked = True
        self._hub.renew_locks()
        if self._feed is not None and self._source is not None:
            parents = self._feed
            parents.closed = threading.Event()  # its own lock may be held too
            parents.closed.set()
            self._source.after_fork()
            self._source.stop(parents)
            self._start(self._source)


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


class _Feed:
    """The provider's side of `breaker.sources.Feed`."""

    def __init__(self, provider: Provider) -> None:
        self.path = provider.config.policies_path
        self.closed = threading.Event()
        self.loaded = threading.Event()
        # Weak, and kept by no thread while it waits: a provider that is dropped without close() ends its watcher.
        self._provider = weakref.ref(provider)
        self._thread: threading.Thread | None = None
        self._problem: str | None = None

    def publish(self, documents: Mapping[str, Document], revision: int, *, restarted: bool = False) -> None:
        if provider := self._provider():
            if self._problem is not None:
                self._problem = None
                provider._log("info", "circuit breaker policy source is back", revision=revision)
            provider._apply(self, documents, revision, restarted)

    def run(self, loop: Callable[[], None]) -> None:
        name = f"breaker-policies-{self.path}"
        self._thread = threading.Thread(target=loop, name=name, daemon=True)
        self._thread.start()

    def wait(self, seconds: float) -> bool:
        return self.closed.wait(seconds) or self._provider() is None

    def failed(self, problem: str) -> None:
        if (provider := self._provider()) and problem != self._problem:
            self._problem = problem
            provider._log("error", "circuit breaker policy source failed", error=problem)
        self.loaded.set()  # there is nothing to wait for

    def warn(self, message: str, **keys: object) -> None:
        if provider := self._provider():
            provider._log("warning", message, **keys)

    def join(self, seconds: float) -> None:
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(seconds)


def _same_options(
    breaker: Breaker,
    failure_on: ExceptionTypes | None,
    success_on: ExceptionTypes | None,
    ignore_on: ExceptionTypes | None,
    failed_result: Callable[[Any], object] | None,
) -> Breaker:
    """The breaker, if each option that is given equals its own."""
    own = breaker._options()
    given = {"failure_on": failure_on, "success_on": success_on, "ignore_on": ignore_on}
    for option, types in given.items():
        if types is not None:
            listed = exception_types(option, types)
            if own[option] is None or set(own[option]) != set(listed or ()):
                _refuse_option(breaker.name, option, own[option], types)
    if failed_result is not None and failed_result != own["failed_result"]:
        _refuse_option(breaker.name, "failed_result", own["failed_result"], failed_result)
    return breaker


def _refuse_option(name: str, option: str, own: object, given: object) -> None:
    raise ValueError(
        f"breaker {name!r} exists with {option}={own!r} and cannot get {option}={given!r}; "
        "give options where the breaker is made first, or use another name"
    )


def _check_arguments(config: Config, logger: Any, source: Any, policy: Any, clock: Any, start_timeout: Any) -> None:
    if not isinstance(config, Config):
        raise TypeError(f"config must be a breaker.Config (see get_default_config), got {type(config).__name__}")
    if logger is not None:
        logs.check_logger(logger)
    if source is not None and not all(hasattr(source, name) for name in ("start", "stop", "after_fork")):
        hint = "an instance of it" if isinstance(source, type) else "one of breaker.sources"
        raise TypeError(f"policy_source must be a PolicySource, got {source!r}; pass {hint}")
    if isinstance(source, type):
        raise TypeError(f"policy_source must be a PolicySource, got the class {source.__name__}; pass an instance")
    if not isinstance(policy, Policy):
        raise TypeError(f"default_policy must be a breaker.Policy, got {type(policy).__name__}")
    if clock is not None:
        if not callable(clock):
            raise TypeError(f"clock must be a callable that returns nanoseconds, got {type(clock).__name__}")
        if isinstance(reading := clock(), bool) or not isinstance(reading, int):
            raise TypeError(f"clock must return whole nanoseconds (int), like time.monotonic_ns, got {reading!r}")
    if isinstance(start_timeout, bool) or not isinstance(start_timeout, int | float):
        raise TypeError(f"start_timeout must be seconds, got {type(start_timeout).__name__}")
    if not 0 <= start_timeout <= threading.TIMEOUT_MAX:
        raise ValueError(f"start_timeout must be a number of seconds from 0 up, got {start_timeout}")


_providers: weakref.WeakSet[Provider] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for provider in list(_providers):
        provider._after_fork_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
