"""`MemorySource`: documents put and deleted by the program, by breaker name, applied before the call returns."""

import threading
from typing import Any

import pytest

from breaker import Mode, Policy
from breaker.events import PolicyRejected, PolicyUpdated
from breaker.sources import MemorySource, PolicySource
from support.drive import NAME, Providers
from support.threads import together


@pytest.mark.parametrize(
    "document",
    [
        b'{"failureThreshold": 2}',
        '{"failureThreshold": 2}',
        {"failureThreshold": 2},
        bytearray(b'{"failureThreshold": 2}'),
    ],
    ids=lambda document: type(document).__name__,
)
def test_a_document_is_json_or_a_mapping(provider_of: Providers, document: Any) -> None:
    source = MemorySource({NAME: document})
    breaker = provider_of(Policy(), policy_source=source).get_breaker(NAME)
    assert breaker.policy == Policy(2)


def test_a_policy_is_put_whole(provider_of: Providers) -> None:
    policy = Policy(2, 3, 1.5, half_open_max_calls=4, probe_timeout=7, mode=Mode.SHADOW, open_timeout_jitter=0.5)
    source = MemorySource({"default": {"openTimeoutMultiplier": 3}})
    breaker = provider_of(Policy(), policy_source=source).get_breaker(NAME)
    source.put(NAME, policy)
    assert breaker.policy == policy


def test_a_document_of_the_wrong_kind_is_refused(provider_of: Providers) -> None:
    source: Any = MemorySource()
    for document in (None, 5, ["x"]):
        for write in (source.put, source.publish_raw):
            with pytest.raises(TypeError, match="JSON text, a mapping or a Policy"):
                write(NAME, document)


@pytest.mark.parametrize(("name", "error"), [("", ValueError), (5, TypeError), ("x" * 256, ValueError)])
def test_a_wrong_name_is_refused(name: Any, error: type[Exception]) -> None:
    source = MemorySource()
    for call in (
        lambda: source.put(name, {}),
        lambda: source.publish_raw(name, {}),
        lambda: source.delete(name),
        lambda: MemorySource({name: {}}),
    ):
        with pytest.raises(error, match="breaker's name"):
            call()


def test_puts_of_many_threads_end_with_what_was_put_last(provider_of: Providers) -> None:
    source = MemorySource()
    breaker = provider_of(Policy(), policy_source=source).get_breaker(NAME)
    lock, last = threading.Lock(), [0]

    def work(_: int) -> None:
        for _ in range(200):
            with lock:
                last[0] += 1
                threshold = last[0]
                source.put(NAME, {"failureThreshold": threshold})
            source.put("other", {"failureThreshold": threshold})

    together(8, work)
    assert breaker.policy.failure_threshold == 1600


def test_it_is_a_policy_source() -> None:
    assert isinstance(MemorySource(), PolicySource)


def test_a_document_is_in_force_when_put_and_delete_return(provider_of: Providers) -> None:
    source = MemorySource()
    breaker = provider_of(Policy(), policy_source=source).get_breaker(NAME)
    for threshold in (2, 3):
        source.put(NAME, {"failureThreshold": threshold})
        assert breaker.policy == Policy(threshold)
    source.delete(NAME)
    assert breaker.policy == Policy()
    source.delete(NAME)
    source.delete("never there")


def test_a_raw_document_that_is_no_policy_is_reported_and_not_raised(provider_of: Providers, events: list[Any]) -> None:
    source = MemorySource({NAME: "wrong"})
    breaker = provider_of(Policy(), policy_source=source).get_breaker(NAME)
    source.publish_raw(NAME, {"failureThreshold": float("nan")})
    source.publish_raw(NAME, "wrong")
    errors = [event.error for event in events if isinstance(event, PolicyRejected)]
    assert ["NaN is not JSON" in errors[0], "Expecting value" in errors[1]] == [True, True]
    assert all(error.startswith(f"/config/dev/svc/breakers/{NAME}.json: ") for error in errors)
    assert breaker.policy == Policy()


def test_a_mapping_that_is_no_json_is_the_callers_error_and_changes_nothing(provider_of: Providers) -> None:
    source = MemorySource({NAME: {"failureThreshold": 2}})
    breaker = provider_of(Policy(), policy_source=source).get_breaker(NAME)
    with pytest.raises(TypeError, match="not JSON serializable"):
        source.put(NAME, {"mode": {Mode.SHADOW}})
    source.put("other", {})
    assert breaker.policy == Policy(2)


def test_a_listener_may_put_and_the_last_document_counts(provider_of: Providers) -> None:
    source = MemorySource()
    one, two = (provider_of(Policy(), policy_source=source) for _ in range(2))

    def listener(event: Any) -> None:
        if isinstance(event, PolicyUpdated) and (threshold := event.new.failure_threshold or 0) < 9:
            source.put(NAME, {"failureThreshold": threshold + 1})

    breakers = [provider.get_breaker(NAME) for provider in (one, two)]
    one.subscribe(listener)
    source.put(NAME, {"failureThreshold": 1})
    assert [breaker.policy for breaker in breakers] == [Policy(9)] * 2


def test_a_put_waits_for_no_listener_of_another_thread(provider_of: Providers) -> None:
    source, inside, go = MemorySource(), threading.Event(), threading.Event()
    provider = provider_of(Policy(), policy_source=source)
    breaker = provider.get_breaker(NAME)

    def slow(event: Any) -> None:
        if threading.current_thread() is putter:
            inside.set()
            assert go.wait(20)

    provider.subscribe(slow)
    putter = threading.Thread(target=source.put, args=(NAME, {"failureThreshold": 2}))
    putter.start()
    assert inside.wait(20)
    source.put(NAME, {"failureThreshold": 3})
    assert breaker.policy == Policy(3)
    go.set()
    putter.join()
    assert breaker.policy == Policy(3)
