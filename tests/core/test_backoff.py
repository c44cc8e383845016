"""The open timeout that grows per reopening, and its jitter."""

from collections.abc import Callable
from typing import Any

import pytest

from breaker import Breaker, Policy, PolicyError, Provider, State
from breaker.events import StateChanged
from breaker.sources import MemorySource
from breaker.testing import ManualClock
from support.drive import NAME, Make, cool, document, fail, recovers_after, rejected, succeed, trip
from support.reading import of_type


def growing(base: float = 1.0, times: float = 2.0, longest: float | None = 16.0, **more: Any) -> Policy:
    return Policy(1, 1, base, open_timeout_multiplier=times, open_timeout_max=longest, **more)


def spans(breaker: Breaker, clock: ManualClock, openings: int) -> list[float]:
    """The open timeout of this many openings in a row, each of which ends in a failed probe."""
    found = []
    for _ in range(openings):
        fail(breaker)
        found.append(breaker.retry_after)
        assert rejected(breaker).retry_after == found[-1]
        cool(breaker, clock)
    return found


def test_each_failed_probe_doubles_the_timeout_up_to_the_maximum(
    make_breaker: Make, clock: ManualClock, events: list[Any]
) -> None:
    # S78
    breaker = make_breaker(growing())
    assert spans(breaker, clock, 7) == [1, 2, 4, 8, 16, 16, 16]
    heard = [change.retry_after for change in of_type(events, StateChanged) if change.to_state is State.OPEN]
    assert heard == [1, 2, 4, 8, 16, 16, 16]


def test_the_grown_timeout_is_the_deadline(make_breaker: Make, clock: ManualClock) -> None:
    # S78
    breaker = make_breaker(growing())
    spans(breaker, clock, 2)
    fail(breaker)
    recovers_after(breaker, clock, 4)


def test_having_been_closed_for_as_long_as_it_was_open_starts_again_at_the_base(
    make_breaker: Make, clock: ManualClock
) -> None:
    # S78
    breaker = make_breaker(growing())
    assert spans(breaker, clock, 2) == [1, 2]
    succeed(breaker)
    clock.advance(2)
    trip(breaker)
    assert breaker.retry_after == 1
    clock.advance(0.5)
    rejected(breaker)
    clock.advance(0.5)
    succeed(breaker)
    clock.advance(1)
    assert spans(breaker, clock, 3) == [1, 2, 4]


def test_a_flapping_dependency_keeps_the_growth(make_breaker: Make, clock: ManualClock) -> None:
    # S78: it answers its probe and fails again, always a moment before the last span is over
    breaker = make_breaker(growing())
    found = []
    for _ in range(6):
        trip(breaker)
        found.append(breaker.retry_after)
        cool(breaker, clock)
        succeed(breaker)
        assert breaker.state is State.CLOSED
        clock.advance(found[-1] - 0.001)
    assert found == [1, 2, 4, 8, 16, 16]


def test_the_last_span_is_the_one_in_force_when_it_left_open(provider_of: Callable[..., Provider]) -> None:
    # S78: with the jitter, and with the policy of that moment
    clock, source = ManualClock(), MemorySource()
    provider = provider_of(growing(longest=None, open_timeout_jitter=1.0), policy_source=source, clock=clock)
    breaker = provider.get_breaker(NAME)
    trip(breaker)
    last = breaker.retry_after
    cool(breaker, clock)
    succeed(breaker)
    source.put(NAME, document(openStateTimeout="9s", openTimeoutJitter=0))
    clock.advance(last - 0.001)
    trip(breaker)
    assert breaker.retry_after == 18
    source.put(NAME, document(openStateTimeout="1s", openTimeoutJitter=0))
    cool(breaker, clock)
    succeed(breaker)
    clock.advance(2)
    trip(breaker)
    assert breaker.retry_after == 1


def test_a_visit_that_proved_nothing_grows_the_timeout_too(make_breaker: Make, clock: ManualClock) -> None:
    # S57, S78
    breaker = make_breaker(growing())
    assert spans(breaker, clock, 1) == [1]
    while breaker.retry_after == 0:
        breaker.acquire().ignore()
    assert breaker.retry_after == 2


def test_a_reset_starts_again_at_the_base(make_breaker: Make, clock: ManualClock) -> None:
    # S78, S99
    breaker = make_breaker(growing())
    spans(breaker, clock, 3)
    breaker.reset()
    assert spans(breaker, clock, 2) == [1, 2]


def test_an_ignored_or_overdue_probe_does_not_grow_the_timeout(make_breaker: Make, clock: ManualClock) -> None:
    # S78
    breaker = make_breaker(growing())
    assert spans(breaker, clock, 2) == [1, 2]
    breaker.acquire().ignore()
    hung = breaker.acquire()
    clock.advance(100)
    assert spans(breaker, clock, 2) == [4, 8]
    del hung


def test_without_options_nothing_grows(make_breaker: Make, clock: ManualClock) -> None:
    # S78
    breaker = make_breaker(Policy(1, 1, 10))
    assert spans(breaker, clock, 6) == [10] * 6


def test_a_maximum_below_the_base_does_not_shorten_it(make_breaker: Make, clock: ManualClock) -> None:
    # S78: the configured time is the minimum
    breaker = make_breaker(growing(base=10, longest=4))
    assert spans(breaker, clock, 3) == [10, 10, 10]


def test_a_multiplier_between_one_and_two(make_breaker: Make, clock: ManualClock) -> None:
    # S78
    breaker = make_breaker(growing(base=8, times=1.5, longest=None))
    assert spans(breaker, clock, 4) == [8, 12, 18, 27]


@pytest.mark.parametrize(("base", "found"), [(1, [1, 500, 600, 600]), (400, [400, 600, 600]), (900, [900] * 3)])
def test_without_a_maximum_it_is_ten_minutes_or_the_base(
    make_breaker: Make, clock: ManualClock, base: float, found: list[float]
) -> None:
    # S78
    assert spans(make_breaker(growing(base, 500, longest=None)), clock, len(found)) == found


def test_the_longest_spans_do_not_wrap_round(make_breaker: Make, clock: ManualClock) -> None:
    # S75
    longest = float(2**63 // 10**9)
    breaker = make_breaker(growing(longest / 4, 1000, longest=longest, open_timeout_jitter=1.0))
    trip(breaker)
    clock.advance(breaker.retry_after + 1)  # as a float it may be a microsecond short
    fail(breaker)
    assert longest <= breaker.retry_after <= 2**63 / 1e9


def test_a_thousand_reopenings_stay_at_the_maximum(make_breaker: Make, clock: ManualClock) -> None:
    # S78: 2.0 ** 1024 is no float
    breaker = make_breaker(growing(longest=2))
    assert set(spans(breaker, clock, 1100)[1:]) == {2.0}


def test_jitter_is_added_and_even(make_breaker: Make, clock: ManualClock) -> None:
    # S74: 10 000 openings of 10 s with 10 %
    breaker = make_breaker(Policy(1, 1, 10, open_timeout_jitter=0.1))
    found = spans(breaker, clock, 10_000)
    assert min(found) >= 10
    assert max(found) <= 11
    assert sum(found) / len(found) == pytest.approx(10.5, abs=0.05)
    # even over the whole width, not only right on average
    tenths = [sum(1 for span in found if 10 + k / 10 <= span < 10.1 + k / 10) for k in range(10)]
    assert all(800 < tenth < 1200 for tenth in tenths)


def test_jitter_is_drawn_once_per_opening(make_breaker: Make, clock: ManualClock) -> None:
    # S74
    breaker = make_breaker(Policy(1, 1, 10, open_timeout_jitter=1.0))
    trip(breaker)
    first = breaker.retry_after
    assert {breaker.retry_after for _ in range(100)} == {first} == {rejected(breaker).retry_after}
    left = [first]
    for _ in range(9):
        clock.advance(1)
        left.append(breaker.retry_after)
    assert left == sorted(left, reverse=True)
    assert left[-1] == pytest.approx(first - 9)


def test_jitter_is_drawn_anew_for_each_opening(make_breaker: Make, clock: ManualClock) -> None:
    # S74
    breaker = make_breaker(Policy(1, 1, 10, open_timeout_jitter=1.0))
    assert len(set(spans(breaker, clock, 20))) > 15


def test_two_breakers_do_not_draw_the_same_jitter(provider_of: Callable[..., Provider], clock: ManualClock) -> None:
    # S74: the purpose of jitter: a fleet that opened together does not probe together
    provider = provider_of(Policy(1, 1, 10, open_timeout_jitter=1.0))
    breakers = [provider.get_breaker(f"db:shard-{number}") for number in range(20)]
    for breaker in breakers:
        trip(breaker)
    assert len({breaker.retry_after for breaker in breakers}) > 15


def test_jitter_comes_on_top_of_the_grown_and_bounded_timeout(make_breaker: Make, clock: ManualClock) -> None:
    # S74
    breaker = make_breaker(growing(longest=4, open_timeout_jitter=0.5))
    for base, span in zip([1, 2, 4, 4, 4], spans(breaker, clock, 5), strict=True):
        assert base <= span <= base * 1.5


def test_the_maximum_does_not_cut_the_jitter(make_breaker: Make, clock: ManualClock) -> None:
    # S74: or all that have reached it would probe at one moment
    breaker = make_breaker(growing(longest=4, open_timeout_jitter=1.0))
    at_the_maximum = spans(breaker, clock, 22)[2:]
    assert len(set(at_the_maximum)) == 20
    assert 4 <= min(at_the_maximum) < max(at_the_maximum) <= 8


def test_a_new_base_is_grown_like_the_old_and_keeps_its_jitter(
    provider_of: Callable[..., Provider], clock: ManualClock
) -> None:
    # S112: `open_state_timeout` is recomputed from the moment of opening; the factor of this opening stays
    source = MemorySource()
    policy = growing(base=10, longest=1000, open_timeout_jitter=1.0)
    breaker = provider_of(policy, policy_source=source).get_breaker(NAME)
    spans(breaker, clock, 2)
    fail(breaker)
    before = breaker.retry_after
    source.put(NAME, document(openStateTimeout="20s"))
    assert breaker.retry_after == pytest.approx(2 * before)
    clock.advance(5)
    source.put(NAME, document(openStateTimeout="10s"))
    assert breaker.retry_after == pytest.approx(before - 5)


@pytest.mark.parametrize(
    ("fields", "span", "after"),
    [
        ({"openTimeoutMultiplier": 3}, 40, 120),
        ({"openTimeoutMultiplier": 1}, 40, 40),
        ({"openTimeoutMax": "25s"}, 25, 25),
        ({"openTimeoutMax": "5s"}, 10, 10),
        ({"openTimeoutMultiplier": 1000, "openTimeoutMax": "1h"}, 40, 3600),
    ],
)
def test_a_new_multiplier_is_for_the_next_opening_and_a_new_maximum_for_this_one_too(
    provider_of: Callable[..., Provider], clock: ManualClock, fields: dict[str, Any], span: float, after: float
) -> None:
    # S78, S112: the second reopening, which has lasted 7 s of its 40
    source = MemorySource()
    breaker = provider_of(growing(base=10, longest=1000), policy_source=source).get_breaker(NAME)
    spans(breaker, clock, 2)
    fail(breaker)
    assert breaker.retry_after == 40
    clock.advance(7)
    source.put(NAME, document(**fields))
    assert breaker.retry_after == max(span - 7, 0)
    cool(breaker, clock)
    fail(breaker)
    assert breaker.retry_after == after


def test_growth_stops_at_what_the_maximum_has_use_for(provider_of: Callable[..., Provider], clock: ManualClock) -> None:
    # S78: after twenty reopenings at a maximum of 16 s the growth is 16, not a million
    source = MemorySource()
    breaker = provider_of(growing(), policy_source=source).get_breaker(NAME)
    spans(breaker, clock, 20)
    source.put(NAME, document(openTimeoutMax="1h"))
    fail(breaker)
    assert breaker.retry_after == 32


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("open_timeout_multiplier", 0.5),
        ("open_timeout_multiplier", 0),
        ("open_timeout_multiplier", float("nan")),
        ("open_timeout_multiplier", float("inf")),
        ("open_timeout_multiplier", "2"),
        ("open_timeout_multiplier", True),
        ("open_timeout_max", 0),
        ("open_timeout_max", -1),
        ("open_timeout_max", float("nan")),
        ("open_timeout_max", "60s"),
        ("open_timeout_jitter", -0.1),
        ("open_timeout_jitter", 1.1),
        ("open_timeout_jitter", float("nan")),
        ("open_timeout_jitter", True),
        ("open_timeout_jitter", None),
    ],
)
def test_a_wrong_backoff_is_refused_by_the_name_of_the_field(field: str, value: Any) -> None:
    # S126
    with pytest.raises(PolicyError, match=field):
        Policy(**{field: value})
