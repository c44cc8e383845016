"""What a source publishes, taken over one publication at a time by the breakers that run.

Three steps, in this order: the clock is read; under the lock the documents are compared with those before and policies
are swapped; after it listeners are notified. The clock, the place of a document (`PolicySource.location`), listeners
and the logger are the user's, and none of them is called under the lock. It is re-entrant: a signal handler or a
finalizer may publish or ask for a breaker while its own thread holds it.
"""

from __future__ import annotations

import threading
from collections import deque
from functools import partial

from breaker._core import read_clock
from breaker.policies.resolution import Resolution

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from breaker._core import Breaker
    from breaker._listeners import Listeners
    from breaker.errors import PolicyError
    from breaker.policies.origin import PolicyOrigin
    from breaker.policies.policy import Policy
    from breaker.sources.base import Document

    Location = Callable[[str], str]  # key of a document → how an error names it


class Publication:
    """All documents of a source at one moment. ``changed`` is called, under the lock, if they bring something new."""

    __slots__ = ("changed", "documents", "location", "restarted", "revision")

    def __init__(
        self,
        documents: Mapping[str, Document],
        revision: int,
        *,
        restarted: bool,
        location: Location,
        changed: Callable[[], None],
    ) -> None:
        self.documents = documents
        self.revision = revision
        self.restarted = restarted
        self.location = location
        self.changed = changed


class Updates:
    """The policies of one provider's breakers. ``breakers`` is the provider's own mapping, by name."""

    def __init__(
        self,
        path: str,
        breakers: dict[str, Breaker],
        listeners: Listeners,
        default_policy: Policy,
        clock: Callable[[], int] | None,
    ) -> None:
        self.listeners = listeners
        self.revision = 0
        results = ("applied", "unchanged", "invalid", "deleted")
        self.counts: dict[str, int] = dict.fromkeys(results, 0)  # of documents, see S133
        self._path = path
        self._breakers = breakers
        self._clock = clock
        self._lock = threading.RLock()
        self._resolution = Resolution(default_policy)
        self._publications: deque[Publication] = deque()  # not yet taken over
        self._taking_over = False
        self._incomplete = False  # a publication may have reached some breakers and not others
        self._deliveries: deque[Callable[[], object]] = deque()  # what listeners are still to be notified of

    # -- breakers --

    def policy_for(self, name: str) -> Policy:
        """The policy of this name by the documents of now."""
        with self._lock:
            return self._resolution.policy_for(name)

    def origin_of(self, name: str) -> PolicyOrigin:
        """Where the policy of this name comes from by the documents of now."""
        with self._lock:
            return self._resolution.origin_of(name)

    def register(self, made: Breaker) -> Breaker:
        """Put a new breaker among the others. Returns the one of its name: another thread may have been faster."""
        now = read_clock(self._clock)
        with self._lock:
            self._bring_up_to_date(made, now)  # documents may have been taken over since it was made
            breaker = self._breakers.setdefault(made.name, made)
            if breaker is made:
                self._bring_up_to_date(made, now)  # by a signal handler, even since the line before the last
        return breaker

    def _bring_up_to_date(self, breaker: Breaker, now: int) -> bool:
        """Give a breaker the policy of the documents of now. Returns whether it had another."""
        changed = False
        while (policy := self._resolution.update_for(breaker.name)) is not None and breaker._replace_policy(
            policy, self.revision, now
        ):
            changed = True  # and look again: a signal handler may have published while it was replaced
        return changed

    # -- publications --

    def apply(self, publication: Publication) -> None:
        """Take over a publication; `deliver` is to follow.

        One that comes meanwhile in the same thread, from a signal handler or a clock, waits in the queue: of two that
        are taken over one inside the other, the older would be finished last.
        """
        with self._lock:
            self._publications.append(publication)
        try:
            now = read_clock(self._clock)
        except BaseException:
            self._withdraw(publication)  # or publications would pile up behind a clock that is broken
            raise
        with self._lock:
            while self._publications and not self._taking_over:
                self._taking_over = True
                try:
                    while self._publications:
                        self._take_over(self._publications.popleft(), now)
                finally:
                    self._taking_over = False

    def _withdraw(self, publication: Publication) -> None:
        with self._lock:
            if publication in self._publications:
                self._publications.remove(publication)

    def _take_over(self, publication: Publication, now: int) -> None:
        if publication.revision < self.revision and not publication.restarted:
            return
        self.revision = publication.revision
        everybody = self._incomplete
        self._incomplete = True
        difference = self._resolution.update(publication.documents, publication.revision)
        for result, count in difference.counts().items():
            self.counts[result] += count
        for name in list(self._breakers) if everybody or difference.everybody else difference.names:
            breaker = self._breakers.get(name)
            if breaker is not None and self._bring_up_to_date(breaker, now):
                self._deliveries.append(breaker._deliver)
        self._incomplete = False
        for key, error in difference.rejected:
            self._deliveries.append(partial(self._notify_rejected, key, error, publication))
        if difference.unknown_fields:
            self._deliveries.append(partial(self._warn_of_unknown, difference.unknown_fields, publication.revision))
            for key, fields in difference.unknown_fields.items():
                self._deliveries.append(partial(self._notify_unknown, key, fields, publication.revision))
        if difference.names or difference.everybody or difference.rejected:
            publication.changed()

    # -- notifying --

    def deliver(self) -> None:
        """Notify listeners of what publications brought. What an interrupt leaves here, the next delivery delivers."""
        while self._deliveries:
            try:
                delivery = self._deliveries.popleft()
            except IndexError:  # another thread delivers it
                return
            delivery()

    def _notify_rejected(self, key: str, error: PolicyError, publication: Publication) -> None:
        if self.listeners.listeners:
            from breaker.events import PolicyRejected

            text = str(error.at(publication.location(key)))
            self.listeners.notify(PolicyRejected(self._path + key, text, publication.revision))

    def _warn_of_unknown(self, fields: dict[str, list[str]], revision: int) -> None:
        self.listeners.log("warning", "circuit breaker policy has unknown fields", fields=fields, revision=revision)

    def _notify_unknown(self, key: str, fields: list[str], revision: int) -> None:
        if self.listeners.listeners:
            from breaker.events import UnknownFields

            self.listeners.notify(UnknownFields(self._path + key, tuple(fields), revision))

    # -- fork --

    def renew_after_fork(self) -> None:
        """In a forked child: the parent's other threads are gone, and nobody finishes what they were doing."""
        self._lock = threading.RLock()
        self._publications.clear()
        self._deliveries.clear()
        self._taking_over = False
        self._incomplete = True
