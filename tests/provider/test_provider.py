"""The registry: one breaker per name, who may look at it, who is told, and what a provider is made of."""

import signal
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from breaker import Breaker, Mode, Policy, Provider, get_default_config
from breaker.events import BreakerCreated, PolicyUpdated
from breaker.sources import FileSource, MemorySource
from breaker.testing import ManualClock
from support.drive import CONFIG, NAME, Boom, document, fail, of_type, succeed
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


def test_a_new_breaker_is_told_with_its_policy_before_anything_else(
    provider_of: Callable[..., Provider], events: list[Any]
) -> None:
    # S88
    provider = provider_of(Policy(3))
    fail(provider.get_breaker(NAME))
    assert events[0] == BreakerCreated(NAME, Policy(3))
    assert len(of_type(events, BreakerCreated)) == 1


def test_a_listener_that_is_told_of_a_new_breaker_may_use_it(
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
    # S140: the clock is read while the breaker is made, with the registry locked
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


# -- the view --


def test_the_mapping_follows_and_cannot_be_written(provider_of: Callable[..., Provider]) -> None:
    provider = provider_of()
    view: Any = provider.breakers
    assert isinstance(view, Mapping)
    assert (dict(view), len(view), NAME in view) == ({}, 0, False)
    made = provider.get_breaker(NAME)
    assert (dict(view), len(view), NAME in view, view[NAME]) == ({NAME: made}, 1, True, made)
    assert view == provider.breakers == {NAME: made}
    assert view.get("other") is None
    with pytest.raises(KeyError):
        view["other"]
    with pytest.raises(TypeError):
        view["other"] = made
    with pytest.raises(TypeError):
        del view[NAME]
    assert not {"pop", "clear", "update", "setdefault", "popitem"} & set(dir(view))
    with pytest.raises(AttributeError):
        provider.breakers = {}  # type: ignore[misc]


def test_the_mapping_may_be_iterated_while_breakers_are_made(provider_of: Callable[..., Provider]) -> None:
    provider = provider_of()
    for number in range(50):
        provider.get_breaker(f"name {number}")
    seen = 0
    for name in provider.breakers:
        provider.get_breaker(f"{name} more")
        seen += 1
    for breaker in provider.breakers.values():
        provider.get_breaker(f"{breaker.name}+")
    assert (seen, len(provider.breakers)) == (50, 200)


# -- listeners --


def test_a_subscription_ends_once(provider_of: Callable[..., Provider]) -> None:
    provider, heard = provider_of(), list[Any]()
    ends = [provider.subscribe(heard.append) for _ in range(2)]
    provider.get_breaker("a")
    ends[0]()
    ends[0]()
    provider.get_breaker("b")
    ends[1]()
    provider.get_breaker("c")
    assert [event.name for event in heard] == ["a", "a", "b"]


def test_a_subscription_that_ends_takes_no_listener_with_it_that_equals_its_own(
    provider_of: Callable[..., Provider],
) -> None:
    class Alike:
        def __init__(self) -> None:
            self.heard: list[Any] = []

        def __eq__(self, other: object) -> bool:
            return True

        def __hash__(self) -> int:
            return 0

        def __call__(self, event: Any) -> None:
            self.heard.append(event.name)

    provider, one, other = provider_of(), Alike(), Alike()
    provider.subscribe(one)
    provider.subscribe(other)()
    provider.get_breaker("a")
    assert (one.heard, other.heard) == (["a"], [])


@pytest.mark.parametrize("listener", [None, 5, "listener", []], ids=repr)
def test_a_listener_is_callable(provider_of: Callable[..., Provider], listener: Any) -> None:
    with pytest.raises(TypeError, match="a listener is called with each event, got "):
        provider_of().subscribe(listener)


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
        Provider(CONFIG, None)  # type: ignore[misc]
    with pytest.raises(TypeError):
        Provider()  # type: ignore[call-arg]


def test_without_a_source_all_have_the_default_policy() -> None:
    assert Provider(CONFIG).get_breaker(NAME).policy == Policy()
    own = Policy(7, mode=Mode.SHADOW)
    made = Provider(get_default_config("svc", "dev"), default_policy=own).get_breaker(NAME)
    assert (made.policy, made.mode) == (own, Mode.SHADOW)


def test_a_clock_is_the_time_of_every_breaker(clock: ManualClock, provider_of: Callable[..., Provider]) -> None:
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


def test_an_update_names_its_revision(
    provider_of: Callable[..., Provider], source: MemorySource, events: list[Any]
) -> None:
    provider_of(policy_source=source).get_breaker(NAME)
    for threshold in (3, 4):
        source.put(NAME, document(failureThreshold=threshold))
    one, two = of_type(events, PolicyUpdated)
    assert one.revision < two.revision
    assert (one.old, one.new, two.old, two.new) == (Policy(), Policy(3), Policy(3), Policy(4))
