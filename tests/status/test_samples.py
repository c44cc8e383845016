"""Calls per second: sampled when somebody asks, spread over the time between."""

import dataclasses
import random
import threading
import time

import pytest

from breaker import Snapshot
from breaker.status._application import Application
from breaker.status._samples import BIN_SECONDS, BINS, KINDS, Samples
from support.drive import NAME, Make, Providers, fail, succeed
from support.status import shown_by
from support.threads import Crowd


@pytest.fixture
def shot(make_breaker: Make) -> Snapshot:
    return make_breaker().snapshot()


def counted(shot: Snapshot, successes: int, failures: int = 0, rejected: int = 0) -> list[Snapshot]:
    return [dataclasses.replace(shot, successes=successes, failures=failures, rejected=rejected)]


def test_nobody_knows_anything_at_the_first_look(shot: Snapshot) -> None:
    samples = Samples()
    samples.take(counted(shot, 500), 1000.0)
    assert samples.recent(NAME).seconds == 0
    assert samples.line(NAME) == [None] * BINS
    assert samples.recent("nobody").seconds == 0
    assert samples.line("nobody") == [None] * BINS


def test_what_happened_between_two_looks_is_spread_over_that_time(shot: Snapshot) -> None:
    samples = Samples()
    samples.take(counted(shot, 500), 1000.0)
    samples.take(counted(shot, 580, 20, 4), 1010.0)
    recent = samples.recent(NAME)
    assert recent.seconds == pytest.approx(10)
    assert dict(zip(KINDS, recent.calls, strict=True)) == pytest.approx(
        {"success": 80, "failure": 20, "ignored": 0, "late": 0, "rejected": 4}
    )
    known = [each for each in samples.line(NAME) if each is not None]
    assert len(known) == 5
    for each in known:
        assert each == pytest.approx((8, 2, 0, 0, 0.4))


def test_a_line_has_two_minutes_and_forgets_what_is_older(shot: Snapshot) -> None:
    samples = Samples()
    for second in range(0, 400, 2):
        samples.take(counted(shot, second * (100 if second < 200 else 1)), float(second))
    line = samples.line(NAME)
    assert len(line) == BINS == 120 / BIN_SECONDS
    assert line[-1] is None  # begins now: nothing of it has passed
    assert [each[0] for each in line[:-1] if each is not None] == [pytest.approx(1)] * (BINS - 1)


def test_all_that_is_counted_is_in_the_line_however_people_look(shot: Snapshot) -> None:
    for seed in range(50):
        dice = random.Random(seed)
        samples, now, calls = Samples(), dice.uniform(0, 1e6), 0
        samples.take(counted(shot, 0), now)
        begun = now
        while now - begun < 100:
            now += dice.choice([0.01, 0.5, 2, 3.3, 17])
            calls += dice.randrange(100)
            samples.take(counted(shot, calls), now)
        slots = samples._calls[NAME]
        assert sum(slots) == pytest.approx(calls)
        assert sum(samples._covered) == pytest.approx(now - begun)
        assert min(slots) >= 0


def test_after_a_long_time_it_begins_anew(shot: Snapshot) -> None:
    samples = Samples()
    samples.take(counted(shot, 10), 1000.0)
    samples.take(counted(shot, 20), 1002.0)
    samples.take(counted(shot, 10**6), 1200.0)
    assert samples.recent(NAME).seconds == 0
    assert samples.line(NAME) == [None] * BINS
    samples.take(counted(shot, 10**6 + 6), 1202.0)
    assert sum(samples.recent(NAME).calls) == pytest.approx(6)


def test_looks_of_the_same_moment_and_late_ones_change_nothing(shot: Snapshot) -> None:
    samples = Samples()
    samples.take(counted(shot, 10), 1000.0)
    samples.take(counted(shot, 20), 1001.0)
    before = samples.recent(NAME)
    samples.take(counted(shot, 25), 1001.0)
    samples.take(counted(shot, 15), 1000.5)
    assert samples.recent(NAME) == before
    samples.take(counted(shot, 30), 1002.0)
    assert sum(samples.recent(NAME).calls) == pytest.approx(20)


def test_a_new_breaker_has_called_nobody_before_it_was_made(shot: Snapshot) -> None:
    samples = Samples()
    samples.take([], 1000.0)
    samples.take(counted(shot, 8), 1002.0)
    assert sum(samples.recent(NAME).calls) == pytest.approx(8)


def test_a_breaker_that_was_removed_is_forgotten_and_its_successor_begins_at_nothing(shot: Snapshot) -> None:
    samples = Samples()
    samples.take(counted(shot, 500), 1000.0)
    samples.take(counted(shot, 3), 1002.0)  # another one of that name, meanwhile
    assert sum(samples.recent(NAME).calls) == pytest.approx(3)
    samples.take([], 1003.0)
    assert samples.recent(NAME).seconds == 0
    assert samples._calls == {}


def test_many_may_ask_at_once(provider_of: Providers) -> None:
    provider = provider_of()
    breaker = provider.get_breaker(NAME)
    application = Application(provider, None)
    shown_by(application)
    stop = threading.Event()

    def ask() -> None:
        for _ in range(20):
            shown_by(application, "lines=1")

    def call() -> None:
        while not stop.is_set():
            breaker.do(int)

    crowd, worker = Crowd(), Crowd()
    worker.start(call)
    for _ in range(4):
        crowd.start(ask)
    try:
        crowd.join()
    finally:
        stop.set()
        worker.join()
    shown_by(application)
    assert sum(application._samples._calls[NAME]) == pytest.approx(breaker.snapshot().successes)


def test_the_page_shows_rates_and_shares_of_what_was_called(provider_of: Providers) -> None:
    provider = provider_of()
    breaker = provider.get_breaker(NAME)
    application = Application(provider, None)
    (first,) = shown_by(application)["breakers"]
    assert first["recent"] is None
    assert "line" not in first
    succeed(breaker, 3)
    fail(breaker)
    time.sleep(0.05)
    (second,) = shown_by(application, "lines=1")["breakers"]
    recent = second["recent"]
    assert recent["shares"] == {"success": 0.75, "failure": 0.25, "ignored": 0, "late": 0, "rejected": 0}
    assert recent["calls_per_second"] == pytest.approx(4 / recent["seconds"], rel=0.05)
    assert second["line"]["seconds"] == BIN_SECONDS
    assert [len(second["line"][kind]) for kind in ("calls", "failures", "rejected")] == [BINS] * 3
    assert max(each for each in second["line"]["failures"] if each is not None) > 0
