"""`Provider.remove` and `Provider.snapshot`: a breaker is forgotten, and all are looked at while others come and go."""

import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from breaker import BreakerOpenError, Permit, Policy, Provider, Snapshot, State
from breaker.events import BreakerCreated, StateChanged
from breaker.sources import MemorySource
from support.drive import NAME, Boom, Providers, document, drive_to, fail, rejected, succeed, trip
from support.reading import of_type
from support.threads import Crowd, HookClock, eager_switching, together

# -- remove --


def test_the_next_breaker_of_the_name_is_a_new_one(provider_of: Providers, events: list[Any]) -> None:
    # S145
    provider = provider_of(Policy(1))
    held = provider.get_breaker(NAME)
    fail(held)
    assert provider.remove(NAME) is True
    assert (NAME in provider.breakers, len(provider.breakers)) == (False, 0)
    new = provider.get_breaker(NAME)
    assert new is not held
    assert (held.state, new.state) == (State.OPEN, State.CLOSED)
    assert provider.get_breaker(NAME) is new
    assert len(of_type(events, BreakerCreated)) == 2


def test_there_was_none(provider_of: Providers) -> None:
    # S145
    provider = provider_of()
    provider.get_breaker(NAME)
    assert provider.remove("other") is False
    assert provider.remove(NAME) is True
    assert provider.remove(NAME) is False


@pytest.mark.parametrize("state", State, ids=str)
def test_a_removed_breaker_goes_on_in_each_state(provider_of: Providers, clock: Any, state: State) -> None:
    # S145
    provider = provider_of(Policy(2, 1, 60))
    held = drive_to(provider.get_breaker(NAME), clock, state)
    assert provider.remove(NAME)
    assert held.state is state
    for wanted in (State.OPEN, State.HALF_OPEN, State.CLOSED, State.OPEN):
        drive_to(held, clock, wanted)
    rejected(held)
    assert held.snapshot().name == NAME


def test_a_permit_and_a_decorated_function_outlive_the_removal(provider_of: Providers, clock: Any) -> None:
    # S145
    provider = provider_of(Policy(1, 1, 60))
    held = provider.get_breaker(NAME)
    guarded = held(lambda: "ran")
    trip(held)
    clock.advance(60)
    permit = held.acquire()
    provider.remove(NAME)
    permit.success()
    assert held.state is State.CLOSED
    assert guarded() == "ran"
    trip(held)
    with pytest.raises(BreakerOpenError):
        guarded()


@pytest.mark.parametrize(
    ("report", "state"),
    [
        (Permit.success, State.CLOSED),
        (Permit.failure, State.OPEN),
        (Permit.ignore, State.HALF_OPEN),
        (lambda permit: None, State.HALF_OPEN),
    ],
    ids=["success", "failure", "ignored", "silent"],
)
def test_a_probe_in_flight_reports_to_the_breaker_that_admitted_it(
    provider_of: Providers, clock: Any, report: Callable[[Permit], object], state: State
) -> None:
    # S145: two breakers of one name share no slot, no state and no count
    provider = provider_of(Policy(1, 1, 60, probe_timeout=10))
    held = provider.get_breaker(NAME)
    trip(held)
    clock.advance(60)
    probe = held.acquire()
    assert provider.remove(NAME)
    new = provider.get_breaker(NAME)
    untouched = new.snapshot()
    report(probe)
    assert (held.state, new.snapshot()) == (state, untouched)
    trip(new)
    assert held.state is state
    clock.advance(10)  # what says nothing is overdue after its lease, also in a breaker that the provider has forgotten
    if state is State.HALF_OPEN:
        succeed(held)
        assert held.state is State.CLOSED
        assert held.snapshot().overdue == (report not in (Permit.ignore,))
    assert new.state is State.OPEN


def test_the_new_one_may_have_other_options(provider_of: Providers) -> None:
    # S145
    provider = provider_of(Policy(1))
    provider.get_breaker(NAME, failure_on=OSError)
    with pytest.raises(ValueError, match="exists with failure_on="):
        provider.get_breaker(NAME, failure_on=Boom)
    provider.remove(NAME)
    new = provider.get_breaker(NAME, failure_on=Boom)
    fail(new)
    rejected(new)


def test_documents_reach_the_new_one_and_no_more_the_old(provider_of: Providers, source: MemorySource) -> None:
    # S145
    source.put(NAME, document(failureThreshold=3))
    provider = provider_of(policy_source=source)
    held = provider.get_breaker(NAME)
    provider.remove(NAME)
    source.put(NAME, document(failureThreshold=4))
    new = provider.get_breaker(NAME)
    source.put("default", document(openStateTimeout="5s"))
    assert (held.policy, new.policy) == (Policy(3), Policy(4, 2, 5))


def test_events_of_a_removed_one_still_arrive(provider_of: Providers, events: list[Any]) -> None:
    # S145
    provider = provider_of(Policy(1))
    held = provider.get_breaker(NAME)
    provider.remove(NAME)
    fail(held)
    assert [event.name for event in of_type(events, StateChanged)] == [NAME]


def test_one_that_nobody_holds_is_freed(provider_of: Providers) -> None:
    provider = provider_of()
    gone = weakref.ref(provider.get_breaker(NAME))
    provider.remove(NAME)
    assert gone() is None


@pytest.mark.parametrize(
    ("name", "error"), [(5, TypeError), (None, TypeError), ("", ValueError), ("default", ValueError)], ids=repr
)
def test_a_name_that_is_none_is_refused(provider_of: Providers, name: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="breaker"):
        provider_of().remove(name)


def test_a_name_is_what_its_text_is(provider_of: Providers) -> None:
    class Text(str):
        __slots__ = ()

        def __hash__(self) -> int:
            raise Boom

    provider = provider_of()
    provider.get_breaker(NAME)
    assert provider.remove(Text(NAME))


def test_a_breaker_that_is_removed_while_it_is_made_works(provider_of: Providers) -> None:
    # S145: another thread was faster with both
    clock = HookClock()
    provider = provider_of(Policy(1), clock=clock)

    def make_and_remove() -> None:
        provider.get_breaker(NAME)
        provider.remove(NAME)

    clock.hook = make_and_remove
    made = provider.get_breaker(NAME)
    assert provider.breakers[NAME] is made
    succeed(made)


def test_views_are_iterated_while_breakers_are_removed(provider_of: Providers) -> None:
    provider = provider_of()
    made = [provider.get_breaker(f"name {number}") for number in range(9)]
    values, items = provider.breakers.values(), provider.breakers.items()
    assert list(values) == made
    assert list(items) == [(breaker.name, breaker) for breaker in made]
    assert made[0] in values
    assert (made[0].name, made[0]) in items
    for breaker in values:
        assert provider.remove(breaker.name)
    assert (list(values), list(items), len(values), made[0] in values) == ([], [], 0, False)


# -- snapshot --


def test_there_is_one_of_each_in_the_order_of_making(provider_of: Providers, clock: Any) -> None:
    # S146
    provider = provider_of(Policy(1, 1, 60))
    assert provider.snapshot() == []
    for name in ("b", "a", "c"):
        provider.get_breaker(name)
    fail(provider.get_breaker("a"))
    provider.remove("b")
    provider.get_breaker("b")
    seen = provider.snapshot()
    assert [(type(snapshot), snapshot.name, snapshot.state) for snapshot in seen] == [
        (Snapshot, "a", State.OPEN),
        (Snapshot, "c", State.CLOSED),
        (Snapshot, "b", State.CLOSED),
    ]
    assert seen == [breaker.snapshot() for breaker in provider.breakers.values()]
    clock.advance(60)
    assert provider.snapshot()[0].state is State.OPEN  # looking moves nothing


def test_breakers_that_are_made_meanwhile_are_not_in_it(provider_of: Providers) -> None:
    # S146
    clock = HookClock()
    provider = provider_of(clock=clock)
    for name in ("a", "b"):
        provider.get_breaker(name)

    def change() -> None:
        provider.remove("b")
        provider.get_breaker("c")

    clock.hook = change
    assert [snapshot.name for snapshot in provider.snapshot()] == ["a", "b"]
    assert [snapshot.name for snapshot in provider.snapshot()] == ["a", "c"]


def test_it_is_whole_while_a_thousand_breakers_are_made(provider_of: Providers) -> None:
    # S146: each look has all that were made before it, in the order of making, and nothing twice
    provider, sizes = provider_of(), list[int]()
    looks: list[list[str]] = []

    def work(number: int) -> None:
        if number == 4:
            while not sizes or sizes[-1] < 1000:
                sizes.append(len(provider.breakers))
                looks.append([snapshot.name for snapshot in provider.snapshot()])
                assert len(looks[-1]) >= sizes[-1]
        else:
            for turn in range(250):
                provider.get_breaker(f"name {number} {turn}")
                assert len(provider.breakers) > turn

    together(5, work)
    made = list(provider.breakers)
    assert len(made) == len(provider.snapshot()) == 1000
    assert all(look == made[: len(look)] for look in looks)
    assert len(looks[-1]) == 1000


# -- all at once --


def test_threads_make_use_remove_update_and_look_at_once(provider_of: Providers, source: MemorySource) -> None:
    # S140, S145, S146: also a look-up finds a breaker that is removed at the same moment, and owns it
    provider = provider_of(Policy(3), policy_source=source)
    names = [f"name {number}" for number in range(4)]
    done, removed = list[int](), list[str]()

    def make(number: int) -> None:
        turn = number
        while turn < 300 or not removed:  # not before the other threads have had their turn
            breaker = provider.get_breaker(names[turn % 4])
            with breaker.acquire() as permit:
                permit.success()
            turn += 1
        done.append(number)

    def remove(_: int) -> None:
        while len(done) < 3:
            removed.extend(name for name in names if provider.remove(name))

    def look(_: int) -> None:
        for _ in range(100):
            seen = [snapshot.name for snapshot in provider.snapshot()]
            assert len(seen) == len(set(seen))
            assert set(seen) <= set(names)
            for name, breaker in provider.breakers.items():
                assert breaker.name == name

    def update(_: int) -> None:
        for turn in range(60):
            source.put(names[turn % 4], document(failureThreshold=turn + 4))
            source.put("default", document(successThreshold=turn + 1))

    works = [make, make, make, remove, look, update]
    together(len(works), lambda number: works[number](number))
    source.put("default", document(failureThreshold=2))
    expected = [Policy(60 + number) for number in range(4)]
    assert [provider.get_breaker(name).policy for name in names] == expected


def test_whoever_gets_a_breaker_that_is_removed_at_that_moment_holds_it(provider_of: Providers) -> None:
    # S145
    provider, stop, crowd = provider_of(), threading.Event(), Crowd()

    def remove() -> None:
        while not stop.is_set():
            provider.remove(NAME)

    def use(provider: Provider = provider) -> None:
        for _ in range(3000):
            succeed(provider.get_breaker(NAME))
            assert provider.get_breaker(NAME).name == NAME

    with eager_switching():
        crowd.start(remove)
        users = [crowd.start(use) for _ in range(3)]
        for user in users:
            user.join(30)
        stop.set()
        crowd.join()
