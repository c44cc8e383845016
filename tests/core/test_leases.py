"""A probe's slot is a lease: how long, who takes it back, and what an overdue probe may still say."""

from typing import Any

import pytest

from breaker import Breaker, Policy, State
from breaker.events import ProbeOverdue, StateChanged
from breaker.sources import MemorySource
from breaker.testing import ManualClock
from support.drive import NAME, Make, Providers, cool, cooled, document, drive_to, fail, rejected, succeed
from support.reading import RECOVERED, counts, of_type, probing, transitions


def test_an_overdue_probe_gives_its_slot_to_the_next_call_at_the_end_of_its_lease(
    make_breaker: Make, clock: ManualClock, events: list[Any]
) -> None:
    # S66: opened at 0, probing at 60, the lease is the open timeout
    breaker = cooled(make_breaker, clock, Policy(5, 1, 60))
    hung = breaker.acquire()
    clock.advance(59.999)
    rejected(breaker)
    clock.advance(0.001)
    assert counts(breaker).get("overdue") is None
    probe = breaker.acquire()
    assert counts(breaker) == {"failures": 5, "rejected": 1, "overdue": 1}
    assert of_type(events, ProbeOverdue) == [ProbeOverdue(NAME)]
    assert probing(breaker) == (State.HALF_OPEN, 0, 1)
    hung.ignore()
    assert probing(breaker) == (State.HALF_OPEN, 0, 1)
    probe.success()
    assert breaker.state is State.CLOSED


@pytest.mark.parametrize(
    ("verdict", "after"),
    [
        ("success", (State.HALF_OPEN, 1, 1)),
        ("failure", (State.OPEN, 0, 0)),
        ("ignore", (State.HALF_OPEN, 0, 1)),
    ],
)
def test_an_overdue_probe_still_ends_and_votes(
    make_breaker: Make, clock: ManualClock, verdict: str, after: tuple[State, int, int]
) -> None:
    # S1, S67
    breaker = cooled(make_breaker, clock, Policy(1, 2, 60))
    hung = breaker.acquire()
    clock.advance(60)
    probe = breaker.acquire()
    clock.advance(10)
    getattr(hung, verdict)()
    assert probing(breaker) == after
    before = breaker.snapshot()
    getattr(hung, verdict)()
    assert breaker.snapshot() == before
    probe.ignore()
    ended = breaker.snapshot()
    assert ended.successes + ended.failures + ended.ignored + ended.late == 1 + 2
    assert ended.overdue == 1


def test_the_last_success_needed_may_be_an_overdue_one_and_younger_probes_are_late(
    make_breaker: Make, clock: ManualClock, events: list[Any]
) -> None:
    # S67
    breaker = cooled(make_breaker, clock, Policy(1, 1, 60))
    slow = breaker.acquire()
    clock.advance(60)
    young = breaker.acquire()
    slow.success()
    assert transitions(events)[-1] == RECOVERED
    young.failure()
    assert (breaker.state, counts(breaker)) == (
        State.CLOSED,
        {"successes": 1, "failures": 1, "late": 1, "overdue": 1},
    )


def test_an_overdue_probe_of_an_earlier_visit_is_late(make_breaker: Make, clock: ManualClock) -> None:
    # S60, S67
    breaker = cooled(make_breaker, clock, Policy(1, 1, 60))
    slow = breaker.acquire()
    clock.advance(60)
    fail(breaker)
    cool(breaker, clock)
    breaker.acquire().ignore()
    slow.success()
    assert probing(breaker) == (State.HALF_OPEN, 0, 0)
    assert counts(breaker)["late"] == 1


def leases(breaker: Breaker, clock: ManualClock, number: int) -> list[float]:
    """The lengths of this many leases in a row, each of which ends before its probe does."""
    found, hung = [], []
    for _ in range(number):
        hung.append(breaker.acquire())
        found.append(0.0)
        while breaker.retry_after:
            found[-1] += breaker.retry_after
            clock.advance(breaker.retry_after)
    for permit in hung:
        permit.ignore()
    return found


@pytest.mark.parametrize(
    ("lease", "lengths"),
    [
        (1, [1, 2, 4, 8, 16, 32, 60, 60]),
        (45, [45, 60, 60]),
        (60, [60, 60]),
        (90, [90, 90, 90]),
    ],
)
def test_leases_double_up_to_a_minute_while_probes_are_overdue(
    make_breaker: Make, clock: ManualClock, lease: int, lengths: list[float]
) -> None:
    # S68
    breaker = cooled(make_breaker, clock, Policy(1, 1, 60, probe_timeout=lease))
    assert leases(breaker, clock, len(lengths)) == lengths


def test_leases_of_the_next_visit_begin_short_again(make_breaker: Make, clock: ManualClock) -> None:
    # S68
    breaker = cooled(make_breaker, clock, Policy(1, 1, 60, probe_timeout=1))
    assert leases(breaker, clock, 3) == [1, 2, 4]
    fail(breaker)
    cool(breaker, clock)
    assert leases(breaker, clock, 2) == [1, 2]


def test_a_lease_that_is_lengthened_while_leases_are_doubled_is_bounded_too(
    provider_of: Providers, source: MemorySource, clock: ManualClock
) -> None:
    # S68, S75: from a nanosecond to a minute are 36 doublings; 59 s doubled 36 times is more than fits
    provider = provider_of(Policy(1, 1, 60, probe_timeout=1e-9), policy_source=source)
    breaker = drive_to(provider.get_breaker(NAME), clock, State.HALF_OPEN)
    hung = []
    for doublings in range(37):
        hung.append(breaker.acquire())
        clock.advance(2**doublings / 1e9)
    assert leases(breaker, clock, 1) == [60]
    source.put(NAME, document(probeTimeout="59s"))
    assert leases(breaker, clock, 1) == [60]
    source.put(NAME, document(probeTimeout="61s"))
    assert leases(breaker, clock, 1) == [61]
    assert breaker.snapshot().overdue == 37
    del hung


def test_a_call_that_takes_back_slots_and_is_rejected_doubles_the_lease_once(
    make_breaker: Make, clock: ManualClock, events: list[Any]
) -> None:
    # S68
    policy = Policy(1, 9, 60, half_open_max_calls=3, probe_timeout=10)
    breaker = cooled(make_breaker, clock, policy)
    hung = [breaker.acquire(), breaker.acquire()]
    clock.advance(5)
    hung.append(breaker.acquire())
    clock.advance(5)
    breaker.force_open()
    assert rejected(breaker).reason == "operator"
    breaker.clear_override()
    assert len(of_type(events, ProbeOverdue)) == 2
    hung += [breaker.acquire(), breaker.acquire()]
    hung.pop(2).ignore()
    clock.advance(19.5)
    assert breaker.snapshot().half_open_in_flight == 2
    hung.append(breaker.acquire())
    assert breaker.retry_after == 0.5


def test_a_probe_that_reports_after_its_lease_but_before_anyone_asks_still_counts(
    make_breaker: Make, clock: ManualClock
) -> None:
    # S64
    breaker = cooled(make_breaker, clock, Policy(1, 1, 60))
    probe = breaker.acquire()
    clock.advance(500)
    assert (breaker.retry_after, probing(breaker)) == (0, (State.HALF_OPEN, 0, 1))
    probe.success()
    assert breaker.state is State.CLOSED
    assert counts(breaker) == {"successes": 1, "failures": 1}


def test_probe_timeout_is_the_length_of_the_lease(make_breaker: Make, clock: ManualClock) -> None:
    # S66
    breaker = cooled(make_breaker, clock, Policy(1, 1, 60, probe_timeout=5))
    hung = breaker.acquire()
    assert rejected(breaker).retry_after == 1
    clock.advance(4.75)
    assert rejected(breaker).retry_after == breaker.retry_after == 0.25
    clock.advance(0.25)
    succeed(breaker)
    hung.failure()
    assert breaker.state is State.CLOSED


def test_retry_after_is_a_second_or_what_is_left_of_the_earliest_lease(make_breaker: Make, clock: ManualClock) -> None:
    # S77
    breaker = cooled(make_breaker, clock, Policy(1, 5, 60, half_open_max_calls=2, probe_timeout=10))
    first = breaker.acquire()
    clock.advance(4)
    assert breaker.retry_after == 0, "one slot is free"
    second = breaker.acquire()
    assert breaker.retry_after == rejected(breaker).retry_after == 1
    clock.advance(5.25)
    assert breaker.retry_after == rejected(breaker).retry_after == 0.75
    first.ignore()
    assert breaker.retry_after == 0
    third = breaker.acquire()
    assert breaker.retry_after == rejected(breaker).retry_after == 1
    second.ignore()
    third.ignore()


def test_retry_after_waits_for_as_many_leases_as_must_end_after_a_policy_change(
    provider_of: Providers, source: MemorySource, clock: ManualClock
) -> None:
    # S77: before the change one lease, after it all three
    provider = provider_of(Policy(1, 9, 60, half_open_max_calls=3, probe_timeout=2), policy_source=source)
    breaker = drive_to(provider.get_breaker(NAME), clock, State.HALF_OPEN)
    hung = []
    for _ in range(3):
        hung.append(breaker.acquire())
        clock.advance(0.25)
    clock.advance(1)
    assert breaker.retry_after == rejected(breaker).retry_after == 0.25
    source.put(NAME, document(halfOpenMaxCalls=1))
    assert breaker.retry_after == rejected(breaker).retry_after == 0.75
    clock.advance(0.5)
    assert breaker.retry_after == rejected(breaker).retry_after == 0.25
    clock.advance(0.25)
    assert breaker.retry_after == 0
    hung.append(breaker.acquire())


def test_one_call_reclaims_every_lease_that_has_ended(
    make_breaker: Make, clock: ManualClock, events: list[Any]
) -> None:
    # S66
    breaker = cooled(make_breaker, clock, Policy(1, 9, 60, half_open_max_calls=3, probe_timeout=10))
    old = [breaker.acquire() for _ in range(3)]
    old.pop().ignore()
    clock.advance(5)
    young = breaker.acquire()
    clock.advance(5)
    probe = breaker.acquire()
    assert of_type(events, ProbeOverdue) == [ProbeOverdue(NAME)] * 2
    assert probing(breaker) == (State.HALF_OPEN, 0, 2)
    assert counts(breaker)["overdue"] == 2
    for permit in (young, probe, *old):
        permit.ignore()
    assert counts(breaker)["ignored"] == 5


def test_a_probe_left_behind_by_a_verdict_is_late_not_overdue(
    make_breaker: Make, clock: ManualClock, events: list[Any]
) -> None:
    # S64
    breaker = cooled(make_breaker, clock, Policy(1, 2, 60, half_open_max_calls=2))
    hung, bad = breaker.acquire(), breaker.acquire()
    bad.failure()
    clock.advance(600)
    succeed(breaker)
    hung.success()
    assert probing(breaker) == (State.HALF_OPEN, 1, 0)
    assert counts(breaker) == {"successes": 1, "failures": 2, "late": 1}
    assert of_type(events, ProbeOverdue) == []


def test_a_dependency_that_hangs_for_ever_never_wedges_the_breaker(
    make_breaker: Make, clock: ManualClock, events: list[Any]
) -> None:
    # S65: after each lease there is another probe, and the first healthy one closes
    breaker = cooled(make_breaker, clock, Policy(1, 1, 60))
    hung = []
    for _ in range(20):
        hung.append(breaker.acquire())
        assert rejected(breaker).retry_after == 1
        clock.advance(60)
    succeed(breaker)
    assert breaker.state is State.CLOSED
    assert counts(breaker)["overdue"] == 20
    assert len(of_type(events, StateChanged)) == 3


def test_permits_that_are_left_behind_for_long_are_counted_as_late_once(make_breaker: Make, clock: ManualClock) -> None:
    # S64: more of them than the breaker remembers
    breaker = cooled(make_breaker, clock, Policy(1, 1000, 60, half_open_max_calls=1000))
    left = []
    for _ in range(4):
        left += [breaker.acquire() for _ in range(999)]
        breaker.acquire().failure()
        clock.advance(60)
    assert counts(breaker)["failures"] == 1 + 4
    for permit in left:
        permit.success()
    assert counts(breaker) == {"failures": 5, "late": 4 * 999}
