"""`Provider`: the breakers of a program, by name. Made once, found fast, closed, forked.

`get_breaker` is the core's (`_registry.pxi`): looking up an existing breaker is on the path of calls and takes no lock.
What it does not find comes to `Provider._make_or_check`. How policies reach the breakers is in `_updates.py`, who is
notified in `_listeners.py`, the life of a watch in `sources/watch.py`.
"""

from __future__ import annotations

import os
import threading
import warnings
import weakref

from breaker._core import Breaker, Registry, take_snapshots_as
from breaker._listeners import Listeners
from breaker._options import check_arguments, check_predicates, check_source, check_timeout, same_options
from breaker._updates import Updates
from breaker.config import Config
from breaker.policies.names import check_name
from breaker.policies.policy import Policy
from breaker.snapshot import Snapshot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType
    from typing import Any, Self

    from breaker._listeners import Listener
    from breaker._options import ExceptionTypes
    from breaker.policies.origin import PolicyOrigin
    from breaker.sources.base import PolicySource, SourceStatus
    from breaker.sources.watch import ProviderWatch

__all__ = ["Provider"]

take_snapshots_as(Snapshot)  # the machine is below it

_MANY_BREAKERS = 1000  # more in one provider are most likely a mistake
_CLOSE_LIMIT = 2.0  # seconds that close() waits for the watcher


class Provider(Registry):
    """Makes and keeps one breaker per name, applies policy documents to them while they run. A context manager.

    Args:
        config: Whose policies, see `Config`.
        logger: A structlog logger, which gets keys, or a `logging.Logger`, which gets a message and the same keys in
            ``extra``, each with ``breaker_`` before it. None logs nothing.
        policy_source: Where documents come from (`breaker.sources`). None: every breaker has ``default_policy``, until
            `follow` attaches a source.
        default_policy: What fills the fields that no document sets; None: ``Policy()``.
        clock: A callable that returns whole nanoseconds, monotonic; None: the system's.
        start_timeout: Seconds that construction may wait for the first documents; if they come later they are applied
            then.

    Raises:
        TypeError: An argument of the wrong kind.
        ValueError: A ``start_timeout`` that is no number of seconds.

    Thread safety:
        Everything may be called from any thread, from listeners, signal handlers and finalizers. No clock, source,
        listener or logger is called while a lock is held (S147). A forked child has breakers in the state of that
        moment and a watch of its own; the parent's goes on.

    .. versionadded:: 0.1
    """

    __slots__ = (  # without a dict the interpreter finds `get_breaker` in one step less
        "__weakref__",
        "_clock",
        "_closed",
        "_listeners",
        "_lock",
        "_updates",
        "_warned_of_many",
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
        self._listeners = Listeners(config.service_name, logger)
        self._updates = Updates(config.policies_path, self._breakers, self._listeners, policy, clock)
        self._lock = threading.RLock()  # of the two below
        self._watch: ProviderWatch | None = None
        self._closed = False
        self._warned_of_many = False
        _providers.add(self)
        if policy_source is not None:
            self._attach(policy_source, start_timeout)

    # -- breakers --

    @property
    def breakers(self) -> Mapping[str, Breaker]:
        """All breakers by name: a read-only view that follows.

        Its names, ``values()`` and ``items()`` may be iterated while breakers are made and removed; to copy it then,
        write ``dict(provider.breakers.items())``.
        """
        from breaker._view import BreakersView

        return BreakersView(self._breakers)

    def remove(self, name: str) -> bool:
        """Forget the breaker of this name, in whatever state it is.

        Objects already held go on working with the policy they have: they get no updates any more, their events still
        arrive. The next `get_breaker` makes a new one, closed, by the documents of then and perhaps with other options.
        Rule S145.

        Args:
            name: Of the breaker.

        Returns:
            False if there was none.

        Raises:
            TypeError: A name that is no text.
            ValueError: A name that no breaker can have.

        .. versionadded:: 0.1
        """
        check_name(name)
        return self._breakers.pop(str.__str__(name), None) is not None

    def snapshot(self) -> list[Snapshot]:
        """One consistent view of each breaker, in the order in which they were made.

        Each breaker is read at one moment under its own lock; nothing holds them all, so of two breakers that change
        together one may be seen before and the other after it. Reading never causes a transition. Rule S146.

        Thread safety:
            May run while breakers are made, used and removed; those made meanwhile are not in it.

        .. versionadded:: 0.1
        """
        return [breaker.snapshot() for breaker in list(self._breakers.values())]

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call ``listener`` with each event of `breaker.events` from now on.

        Args:
            listener: Called in the thread in which the event happens, outside of all locks. What it raises is logged.

        Returns:
            A callable that ends the subscription; calling it again does nothing.

        Raises:
            TypeError: A listener that cannot be called, or whose call would run nothing: a coroutine function or a
                generator function (S181).
        """
        return self._listeners.subscribe(listener)

    def _make_or_check(
        self,
        name: str,
        *,
        failure_on: ExceptionTypes | None = None,
        success_on: ExceptionTypes | None = None,
        ignore_on: ExceptionTypes | None = None,
        failed_result: Callable[[Any], object] | None = None,
        failed_error: Callable[[BaseException], bool | None] | None = None,
    ) -> Breaker:
        """What `get_breaker` does for a name that is new, and for options."""
        check_name(name)
        options: dict[str, Any] = {
            "failure_on": failure_on,
            "success_on": success_on,
            "ignore_on": ignore_on,
            "failed_result": failed_result,
            "failed_error": failed_error,
        }
        check_predicates(options)
        name = str.__str__(name)
        breaker = self._breakers.get(name)
        if breaker is None:
            made = Breaker(  # outside of any lock: it reads the clock
                name,
                self._updates.policy_for(name),
                clock=self._clock,
                listeners=self._listeners,
                **options,
            )
            breaker = self._updates.register(made)  # if another was faster, nobody ever sees the one made here
        breaker._deliver()
        if len(self._breakers) > _MANY_BREAKERS and not self._warned_of_many:
            self._warn_of_many(name)
        return same_options(breaker, options)

    def _warn_of_many(self, name: str) -> None:
        """Once: whoever has so many has most likely put something into the name that never comes again (S148)."""
        with self._lock:
            warned, self._warned_of_many = self._warned_of_many, True
        if not warned:
            count = len(self._breakers)
            self._listeners.log("warning", "circuit breaker provider has very many breakers", breakers=count, last=name)
            warnings.warn(
                f"the provider of {self.config.service_name!r} has {count:,} breakers, the last one is {name!r}: is "
                "there an identifier in the name (of a user, a request, a URL with its query)? Each name has a breaker "
                "of its own, which is kept until it is removed; name the dependency instead",
                RuntimeWarning,
                stacklevel=3,
            )

    # -- policies --

    def follow(self, policy_source: PolicySource, *, start_timeout: float = 2.0) -> None:
        """Attach a source of policies to a provider that was made without one, once.

        For a provider that is made with its module and gets its source when the program starts, also in a process that
        a server has forked meanwhile: the parent then stays without. Breakers that exist get their policies as by any
        update, and keep their state. Rule S144.

        Args:
            policy_source: Where documents come from (`breaker.sources`).
            start_timeout: Seconds that this may wait for the first documents; if they come later they are applied then.

        Raises:
            TypeError: A ``policy_source`` that is none, or a ``start_timeout`` that is no number.
            ValueError: A ``start_timeout`` that is no number of seconds.
            RuntimeError: There is a source already, or the provider is closed: nobody would end the watch. What the
                source's start raises comes through, and another attempt may follow.

        .. versionadded:: 0.1
        """
        check_source(policy_source)
        check_timeout(start_timeout)
        self._attach(policy_source, start_timeout)

    @property
    def source_status(self) -> SourceStatus | None:
        """How the source of policies is, None if there is none. Reads what is known; asks nobody."""
        watch = self._watch
        return None if watch is None else watch.status(self._updates.revision)

    def policy_origin(self, name: str) -> PolicyOrigin:
        """Which documents the policy of a breaker comes from, field by field, by the documents of now. Rule S165.

        Args:
            name: Of the breaker; there need be none.

        Raises:
            TypeError: A name that is no text.
            ValueError: A name that no breaker can have.

        .. versionadded:: 0.1
        """
        check_name(name)
        return self._updates.origin_of(str.__str__(name))

    @property
    def policy_updates(self) -> Mapping[str, int]:
        """How many policy documents came to which end since the provider was made (S133).

        ``"applied"``, ``"unchanged"``, ``"invalid"`` and ``"deleted"``, in a mapping that belongs to the caller. All
        are there from the beginning.

        .. versionadded:: 0.1
        """
        return dict(self._updates.counts)

    def _attach(self, source: PolicySource, start_timeout: float) -> None:
        from breaker.sources.watch import ProviderWatch  # a program without a source does without its imports

        watch = ProviderWatch(self._updates, source, self.config.policies_path)
        with self._lock:
            if self._closed:
                raise RuntimeError("the provider is closed and follows no source; make a new Provider")
            if self._watch is not None:
                raise RuntimeError(
                    "the provider follows a policy source already, and keeps it; to change policies write them there, "
                    "or make another Provider for another source"
                )
            self._watch = watch
        try:
            watch.start()
        except BaseException:
            self._watch = None
            watch.abandon()
            raise
        watch.loaded.wait(start_timeout)

    # -- life --

    def close(self) -> None:
        """Stop the watcher. Breakers go on with their last policies, `get_breaker` with the last documents.

        May be called twice, from any thread, also from a listener. Waits at most 2 s for the watcher, and not at all
        when called from it. Rule S141.
        """
        with self._lock:
            was_closed, self._closed = self._closed, True
            watch = self._watch
        if not was_closed and watch is not None:
            watch.close(_CLOSE_LIMIT)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        # One whose constructor has not come to its end is found by whoever looks at all objects.
        config = getattr(self, "config", None)
        closed = ", closed" if getattr(self, "_closed", False) else ""
        return f"<Provider of {config and config.service_name!r}: {len(self._breakers)} breakers{closed}>"

    def _renew_after_fork(self) -> None:
        """Locks held by the parent's other threads would stay held."""
        self._lock = threading.RLock()
        self._listeners.renew_after_fork()
        self._updates.renew_after_fork()

    def _restart_after_fork(self) -> None:
        """The parent's watcher is not here: begin anew."""
        parents = self._watch
        if parents is not None and not self._closed:
            self._watch = parents.successor(self._updates)
            self._watch.start_after_fork(parents)


_providers: weakref.WeakSet[Provider] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    providers = list(_providers)
    for provider in providers:
        provider._renew_after_fork()
    for provider in providers:
        provider._restart_after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
