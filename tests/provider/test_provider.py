"""The registry: one breaker per name, made once, and what a provider is made of."""

import pickle
import signal
from collections.abc import Callable
from typing import Any

import pytest

from breaker import Breaker, Mode, Policy, Provider, get_default_config
from breaker.events import BreakerCreated
from breaker.sources import FileSource, MemorySource
from breaker.testing import ManualClock
from support.drive import CONFIG, NAME, Boom, document, fail, succeed
from support.reading import of_type
from support.threads import HookClock, in_another_thread, together

# -- one breaker per name --


def test_the_same_name_is_the_same_object_and_another_name_another(provider_of: Callable[..., Provider]) -> None:
    # S140
    provider = provider_of()
    made = provider.get_breaker(NAME)
    assert provider.get_breaker(NAME) is made
    assert provider.get_breaker("".join(NAME)) is made
    assert provider.get_breaker(NAME + " ") is not made


def test_two_providers_share_nothing(provider_of: Callable[..., Provider]) -> None:
    one, other = provider_of(Policy(1)), provider_of(Policy(1))
    fail(one.get_breaker(NAME))
    assert one.get_breaker(NAME) is not other.get_breaker(NAME)
    succeed(other.get_breaker(NAME))


def test_many_threads_that_ask_for_many_names_make_each_once(
    provider_of: Callable[..., Provider], events: list[Any]
) -> None:
    # S140
    provider = provider_of()
    wanted = [f"name {number}" for number in range(50)]
    found: list[list[Breaker]] = []

    def work(number: int) -> None:
        order = wanted[number:] + wanted[:number]
        mine = {name: provider.get_breaker(name, failure_on=Boom) for name in order}
        found.append([mine[name] for name in wanted])

    together(20, work)
    assert len(found) == 20
    assert all(mine == found[0] for mine in found)
    assert sorted(event.name for event in of_type(events, BreakerCreated)) == sorted(wanted)


def test_a_new_breaker_is_reported_with_its_policy_before_anything_else(
    provider_of: Callable[..., Provider], events: list[Any]
) -> None:
    # S88
    provider = provider_of(Policy(3))
    fail(provider.get_breaker(NAME))
    assert events[0] == BreakerCreated(NAME, Policy(3))
    assert len(of_type(events, BreakerCreated)) == 1


def test_a_listener_that_is_notified_of_a_new_breaker_may_use_it(
    provider_of: Callable[..., Provider], listeners: list[Any]
) -> None:
    seen: list[Breaker] = []

    def listener(event: Any) -> None:
        if isinstance(event, BreakerCreated):
            seen.append(provider.get_breaker(event.name))
            succeed(seen[0])

    listeners.append(listener)
    provider = provider_of()
    made = provider.get_breaker(NAME)
    assert seen == [made]


@pytest.fixture
def alarm() -> Any:
    """``alarm(handler)``: raise a real signal now, whose handler runs this."""
    before = signal.getsignal(signal.SIGUSR1)

    def ring(handler: Callable[[], Any]) -> None:
        signal.signal(signal.SIGUSR1, lambda *_: handler())
        signal.raise_signal(signal.SIGUSR1)

    yield ring
    signal.signal(signal.SIGUSR1, before)


def test_a_signal_handler_may_ask_for_the_breaker_that_is_being_made(
    provider_of: Callable[..., Provider], events: list[Any], alarm: Any
) -> None:
    # S140: the clock is read while the breaker is made
    clock, seen = HookClock(), list[Breaker]()
    provider = provider_of(clock=clock)
    clock.hook = lambda: alarm(lambda: seen.append(provider.get_breaker(NAME)))
    made = provider.get_breaker(NAME)
    assert seen == [made]
    assert events == [BreakerCreated(NAME, made.policy)]


def test_documents_that_come_while_a_breaker_is_made_are_not_missed(
    provider_of: Callable[..., Provider], source: MemorySource, alarm: Any
) -> None:
    # S140
    clock = HookClock()
    provider = provider_of(policy_source=source, clock=clock)
    clock.hook = lambda: alarm(lambda: source.put(NAME, document(failureThreshold=3)))
    assert provider.get_breaker(NAME).policy == Policy(3)


def test_a_clock_that_fails_makes_no_breaker_and_leaves_nothing_locked(provider_of: Callable[..., Provider]) -> None:
    def broken() -> None:
        raise Boom("clock")

    clock = HookClock()
    provider = provider_of(clock=clock)
    clock.hook = broken
    with pytest.raises(Boom):
        provider.get_breaker(NAME)
    assert len(provider.breakers) == 0
    in_another_thread(lambda: provider.get_breaker(NAME))
    assert list(provider.breakers) == [NAME]


# -- arguments --


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"config": "/config/"}, TypeError, "config must be a breaker.Config (see get_default_config), got str"),
        ({"config": None}, TypeError, "config must be a breaker.Config (see get_default_config), got NoneType"),
        ({"policy_source": "/etc"}, TypeError, "policy_source must be a PolicySource, got '/etc' without .start()"),
        ({"policy_source": {}}, TypeError, "policy_source must be a PolicySource, got {} without .start()"),
        ({"policy_source": MemorySource}, TypeError, "got the class MemorySource; pass an instance"),
        ({"policy_source": FileSource}, TypeError, "got the class FileSource; pass an instance"),
        ({"default_policy": 5}, TypeError, "default_policy must be a breaker.Policy, got int"),
        ({"default_policy": {}}, TypeError, "default_policy must be a breaker.Policy, got dict"),
        ({"default_policy": Policy}, TypeError, "default_policy must be a breaker.Policy, got type"),
        ({"clock": 5}, TypeError, "clock must be a callable that returns nanoseconds, got int"),
        ({"clock": lambda: 1.5}, TypeError, "clock must return whole nanoseconds (int), like time.monotonic_ns"),
        ({"clock": lambda: None}, TypeError, "clock must return whole nanoseconds (int), like time.monotonic_ns"),
        ({"clock": lambda: True}, TypeError, "clock must return whole nanoseconds (int), like time.monotonic_ns"),
        ({"start_timeout": "2"}, TypeError, "start_timeout must be seconds, got str"),
        ({"start_timeout": None}, TypeError, "start_timeout must be seconds, got NoneType"),
        ({"start_timeout": True}, TypeError, "start_timeout must be seconds, got bool"),
        ({"start_timeout": -1}, ValueError, "start_timeout must be a number of seconds from 0 to "),
        ({"start_timeout": float("nan")}, ValueError, "start_timeout must be a number of seconds from 0 to "),
        ({"start_timeout": float("inf")}, ValueError, "start_timeout must be a number of seconds from 0 to "),
        ({"start_timeout": 1e300}, ValueError, "start_timeout must be a number of seconds from 0 to "),
    ],
    ids=str,
)
def test_a_wrong_argument_is_named(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error) as caught:
        Provider(**{"config": CONFIG, **options})
    assert message in str(caught.value)


def test_options_are_given_by_name() -> None:
    with pytest.raises(TypeError):
        Provider(CONFIG, None)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        Provider()  # type: ignore[call-arg]


def test_without_a_source_all_have_the_default_policy() -> None:
    assert Provider(CONFIG).get_breaker(NAME).policy == Policy()
    own = Policy(7, mode=Mode.SHADOW)
    made = Provider(get_default_config("svc", "dev"), default_policy=own).get_breaker(NAME)
    assert (made.policy, made.mode) == (own, Mode.SHADOW)


def test_a_clock_is_the_time_of_every_breaker(clock: ManualClock, provider_of: Callable[..., Provider]) -> None:
    # S70
    one = provider_of(Policy(1, 1, 10)).get_breaker("one")
    fail(one)
    clock.advance(4)
    assert one.retry_after == 6


def test_the_repr_tells_whose_and_how_many(provider_of: Callable[..., Provider]) -> None:
    provider = provider_of()
    provider.get_breaker(NAME)
    assert repr(provider) == "<Provider of 'svc': 1 breakers>"
    provider.close()
    assert repr(provider) == "<Provider of 'svc': 1 breakers, closed>"


def test_breakers_show_their_names_and_states(provider_of: Callable[..., Provider]) -> None:
    provider = provider_of()
    breaker = provider.get_breaker(NAME)
    assert repr(breaker) == f"<Breaker {NAME!r} CLOSED>"
    breaker.force_open()
    assert repr(breaker) == f"<Breaker {NAME!r} CLOSED forced_open>"
    assert repr(provider.breakers) == f"{{{NAME!r}: {breaker!r}}}"


def test_a_snapshot_pickles(provider_of: Callable[..., Provider]) -> None:
    breaker = provider_of().get_breaker(NAME)
    fail(breaker)
    snapshot = breaker.snapshot()
    assert snapshot.failures == 1
    assert pickle.loads(pickle.dumps(snapshot)) == snapshot
