"""``GET /events``: what happens, for as many readers as look, with a bound on everything."""

import gc
import json
import time
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from breaker import Mode, Provider, status
from breaker.sources import MemorySource
from breaker.status import _streams
from breaker.status._streams import Hub, Reader
from breaker.testing import ManualClock
from support.drive import NAME, Boom, Providers, cool, fail, succeed, trip
from support.status_servers import Stream, ask, wsgi_server

Serving = Callable[..., str]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Heartbeats at once."""
    for module in ("_asgi", "_threads"):
        monkeypatch.setattr(f"breaker.status.{module}.HEARTBEAT_SECONDS", 0.05)
        monkeypatch.setattr(f"breaker.status.{module}.TICK_SECONDS", 0.05)


def listeners(provider: Provider) -> int:
    return len(provider._listeners.listeners)


def until(true: Callable[[], bool], seconds: float = 10) -> None:
    """Wait for what another thread does."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def taken(reader: Reader) -> list[str]:
    """The lines of the events that a reader has not taken yet."""
    return [line for line in reader.take().decode().split("\n") if line.startswith(("event", "data"))]


@pytest.fixture
def hub(provider: Provider) -> Hub:
    return Hub(provider, "aaaa")


def opened(hub: Hub, last_id: str = "") -> Reader:
    reader = hub.open(last_id, lambda: None)
    assert reader is not None
    return reader


def test_a_reader_is_told_what_happens(kind: str, serving: Serving, provider: Provider, clock: ManualClock) -> None:
    breaker = provider.get_breaker(NAME)
    with Stream(serving(kind)) as stream:
        assert (stream.status, stream.headers["Content-Type"]) == (200, "text/event-stream")
        assert stream.headers["Cache-Control"] == "no-store"
        assert stream.headers["X-Accel-Buffering"] == "no"
        stream.until_ready()
        trip(breaker)
        breaker.force_open()
        events = stream.events()
        kind_of, data = next(events)
        assert kind_of == "state_changed"
        assert abs(data.pop("at") - time.time()) < 60
        assert data == {
            "name": NAME, "from_state": "CLOSED", "to_state": "OPEN", "reason": "tripped", "epoch": 1,
            "consecutive_failures": 2, "retry_after": 60, "last_error": "Boom: down", "failure_rate": None,
            "slow_call_rate": None, "window_calls": 0,
        }  # fmt: skip
        kind_of, data = next(events)
        assert (kind_of, data["from_mode"], data["to_mode"]) == ("mode_changed", "auto", "forced_open")


def test_what_happens_is_told_but_for_failures(provider_of: Providers, source: MemorySource) -> None:
    provider = provider_of(policy_source=source)
    hub = Hub(provider, "aaaa")
    reader = opened(hub)
    breaker = provider.get_breaker(NAME)
    source.put(NAME, {"failureThreshold": 1})
    fail(breaker)
    breaker.shadow()
    told = taken(reader)
    kinds = ["breaker_created", "policy_updated", "state_changed", "mode_changed"]
    assert told[::2] == [f"event: {kind}" for kind in kinds]
    created, updated, changed, mode = [json.loads(line.removeprefix("data: ")) for line in told[1::2]]
    assert created["name"] == NAME
    assert updated["changed"] == {"failureThreshold": [5, 1]}
    assert updated["revision"] == 1
    assert changed["reason"] == "tripped"
    assert mode["to_mode"] == "shadow"


def test_text_of_others_stays_inside_its_event(hub: Hub, provider: Provider) -> None:
    reader = opened(hub)
    breaker = provider.get_breaker("evil\nevent: fake")
    taken(reader)
    fail(breaker, 2, Boom("a\n\nevent: fake\rdata: {}\u2028" + "x" * 100_000))
    kind, data = taken(reader)
    assert kind == "event: state_changed"
    event = json.loads(data.removeprefix("data: "))
    assert event["name"] == "evil\nevent: fake"
    assert event["last_error"].startswith("Boom: a\n\nevent: fake\rdata")
    assert len(event["last_error"]) == 1000


def test_a_heartbeat_comes_while_nothing_happens(kind: str, serving: Serving, quick: None) -> None:
    with Stream(serving(kind)) as stream:
        beats = 0
        for line in stream.lines():
            beats += line == ": still here"
            if beats == 3:
                break


def test_one_that_comes_back_gets_what_it_missed(kind: str, serving: Serving, provider: Provider) -> None:
    breaker = provider.get_breaker(NAME)
    url = serving(kind)
    with Stream(url) as stream:
        stream.until_ready()
        breaker.force_open()
        next(stream.events())
    breaker.disable()
    breaker.shadow()
    with Stream(url, stream.last_id) as again:
        events = again.events()
        assert [next(events)[1]["to_mode"] for _ in range(2)] == ["disabled", "shadow"]
        breaker.clear_override()
        assert next(events)[1]["to_mode"] == "auto"


UNKNOWN = ["bbbb-3", "aaaa-", "aaaa-99999", "aaaa--5", "nonsense", "aaaa-" + "9" * 500, "ä", "-"]


@pytest.mark.parametrize("last_id", UNKNOWN)
def test_one_whose_place_is_not_known_is_told_to_read_anew(hub: Hub, provider: Provider, last_id: str) -> None:
    opened(hub)
    provider.get_breaker(NAME)
    reader = opened(hub, last_id)
    assert taken(reader)[0] == "event: resync"


def test_one_who_was_away_while_nobody_listened_is_told_to_read_anew(
    hub: Hub, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = opened(hub)
    breaker = provider.get_breaker(NAME)
    place = first.take().decode().strip().split("id: ")[-1].split("\n")[0]
    hub.close(first)
    monkeypatch.setattr(_streams, "LINGER_SECONDS", 0)
    hub.tidy()
    breaker.force_open()  # nobody listens
    assert taken(opened(hub, place))[0] == "event: resync"


def test_one_who_was_away_for_too_much_is_told_to_read_anew(hub: Hub, provider: Provider) -> None:
    first = opened(hub)
    breaker = provider.get_breaker(NAME)
    place = first.take().decode().strip().split("id: ")[-1].split("\n")[0]
    hub.close(first)
    for _ in range(_streams.KEPT_EVENTS):
        breaker.override(Mode.AUTO if breaker.mode is not Mode.AUTO else Mode.SHADOW)
    kept = taken(opened(hub, place))
    assert len(kept) == 2 * _streams.KEPT_EVENTS
    breaker.override(Mode.DISABLED)
    assert taken(opened(hub, place))[0] == "event: resync"


def test_a_reader_that_takes_nothing_is_dropped_and_costs_no_more(hub: Hub, provider: Provider) -> None:
    woken: list[int] = []
    slow = hub.open("", lambda: woken.append(1))
    assert slow is not None
    quick = opened(hub)
    breaker = provider.get_breaker(NAME)
    for number in range(_streams.KEPT_EVENTS + 10):
        breaker.override(Mode.AUTO if number % 2 else Mode.SHADOW)
        quick.take()
    assert slow.closed
    assert slow.take() == b""
    assert len(woken) <= _streams.KEPT_EVENTS
    assert (quick.closed, hub.readers) == (False, 1)


def test_a_slow_reader_on_the_wire_is_dropped(
    kind: str, serving: Serving, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("breaker.status._asgi._SEND_SECONDS", 0.3)
    monkeypatch.setattr("breaker.status._server._Handler.timeout", 0.3)
    breaker = provider.get_breaker(NAME)
    with Stream(serving(kind), buffer=1024) as stream:
        stream.until_ready()
        until(lambda: listeners(provider) == 1)
        large = Boom("x" * 900)
        deadline = time.monotonic() + 20
        # Not `isinstance`: a lazy object of somebody else's would make what it stands for.
        hub = next(found for found in gc.get_objects() if type(found) is Hub and found.readers)
        while hub.readers and time.monotonic() < deadline:
            breaker.reset()
            fail(breaker, 2, large)
        assert hub.readers == 0


def test_there_are_so_many_readers_and_no_more(kind: str, serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_streams, "MOST_READERS", 3)
    url = serving(kind)
    streams = [Stream(url) for _ in range(3)]
    try:
        for stream in streams:
            stream.until_ready()
        got = ask(url, "events")
        assert (got.status, got.headers["Retry-After"]) == (503, "10")
        assert ask(url, "breakers").status == 200
    finally:
        for stream in streams:
            stream.close()


def test_who_goes_away_is_forgotten_and_so_is_the_listener(
    kind: str, serving: Serving, provider: Provider, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_streams, "LINGER_SECONDS", 0)
    url = serving(kind)
    assert listeners(provider) == 0
    for _ in range(3):
        with Stream(url) as stream:
            stream.until_ready()
            assert listeners(provider) == 1
        until(lambda: ask(url, "breakers").status == 200 and listeners(provider) == 0)


def test_nobody_is_listened_for_before_somebody_reads(kind: str, serving: Serving, provider: Provider) -> None:
    url = serving(kind)
    for path in ("", "breakers", "nowhere"):
        ask(url, path)
    ask(url, "events", "HEAD")
    assert listeners(provider) == 0


def test_a_while_after_the_last_reader_the_next_event_ends_the_listening(
    hub: Hub, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    breaker = provider.get_breaker(NAME)
    hub.close(opened(hub))
    breaker.shadow()
    assert listeners(provider) == 1
    monkeypatch.setattr(_streams, "LINGER_SECONDS", 0)
    breaker.disable()
    assert listeners(provider) == 0


def test_even_a_failing_call_ends_it(hub: Hub, provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    breaker = provider.get_breaker(NAME)
    hub.close(opened(hub))
    monkeypatch.setattr(_streams, "LINGER_SECONDS", 0)
    fail(breaker)
    assert listeners(provider) == 0


def test_a_page_that_is_dropped_leaves_no_listener(provider: Provider) -> None:
    hub = Hub(provider, "aaaa")
    opened(hub)
    gone = weakref.ref(hub)
    assert listeners(provider) == 1
    del hub
    gc.collect()
    assert gone() is None
    assert listeners(provider) == 0


def test_closing_the_page_ends_its_streams(serving: Serving, provider: Provider) -> None:
    application = status.wsgi(provider)
    with wsgi_server(application) as url, Stream(url) as stream:
        stream.until_ready()
        application.close()
        assert list(stream.events()) == []
        assert ask(url, "events").status == 503
        assert ask(url, "breakers").status == 200
    assert listeners(provider) == 0


def test_a_server_for_one_request_at_a_time_has_no_streams(provider: Provider) -> None:
    with wsgi_server(status.wsgi(provider), many=False) as url:
        got = ask(url, "events")
        assert got.status == 503
        assert "one request at a time" in got.json["error"]
        assert ask(url, "breakers").status == 200


def test_a_listener_may_use_the_breaker_while_readers_are_told(hub: Hub, provider: Provider) -> None:
    """As a signal handler may, in the middle of telling: nothing is lost, nothing waits for itself."""
    breaker = provider.get_breaker(NAME)
    again: list[Any] = []

    def wake() -> None:
        if not again:
            again.append(breaker.shadow())

    reader = hub.open("", wake)
    assert reader is not None
    breaker.force_open()
    modes = [json.loads(line[6:])["to_mode"] for line in taken(reader)[1::2]]
    assert modes == ["forced_open", "shadow"]


def test_events_of_probes_come_in_their_order(hub: Hub, provider: Provider, clock: ManualClock) -> None:
    # S80
    reader = opened(hub)
    breaker = provider.get_breaker(NAME)
    trip(breaker)
    cool(breaker, clock)
    succeed(breaker)
    moves = [json.loads(line[6:]) for line in taken(reader)[1::2]][1:]
    assert [move["to_state"] for move in moves] == ["OPEN", "HALF_OPEN", "CLOSED"]
