"""The window and the ledger of calls in flight, by themselves: the core's C against lists in Python."""

import random
from pathlib import Path
from typing import Any

import pytest

from breaker import Window
from support.c_units import CInFlight, CWindow, compiled
from support.model_rules import InFlight, Recent

I64 = 2**63 - 1


@pytest.fixture(scope="module")
def units(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return compiled(Path(tmp_path_factory.mktemp("units")))


class Pair:
    """A window of the core's and one of lists, fed the same calls."""

    def __init__(self, units: Any, window: Window, now: int, with_slow: bool = True) -> None:
        self.units, self.with_slow = units, with_slow
        self.recent = Recent(window, now)
        self.core = self._made(window, now)

    def _made(self, window: Window, now: int) -> CWindow:
        numbers = window.numbers()
        return CWindow(self.units, int(numbers["window_calls"]), int(numbers["window_ns"]), self.with_slow, now)

    def record(self, failed: bool, slow: bool, now: int) -> None:
        self.core.turn(now)
        expected = self.core.tally_with(failed, slow)
        self.core.record(failed, slow)
        assert self.core.tally == expected
        self.recent.add(failed, slow and self.with_slow, now)

    def pass_over(self, count: int, now: int) -> None:
        self.core.turn(now)
        self.core.pass_over(count)
        for _ in range(count):
            self.recent.add(False, False, now)

    def change(self, window: Window, now: int) -> None:
        made = self._made(window, now)
        self.core.turn(now)
        made.take(self.core.address, now)
        self.core, self.recent = made, self.recent.changed(window, now)

    def check(self, now: int) -> None:
        self.core.turn(now)
        self.recent.bring_up(now)
        calls = self.recent.calls
        assert self.core.tally == (len(calls), sum(c.failed for c in calls), sum(c.slow for c in calls))


@pytest.mark.parametrize("seed", range(10))
def test_any_calls_in_any_window_by_calls(units: Any, seed: int) -> None:
    # S201
    choice = random.Random(seed)
    pair = Pair(units, Window(calls=choice.choice([1, 2, 63, 64, 65, 100, 128, 300])), 0, choice.random() < 0.7)
    for _ in range(300):
        act = choice.random()
        if act < 0.6:
            pair.record(choice.random() < 0.5, choice.random() < 0.3, 0)
        elif act < 0.9:
            pair.pass_over(choice.choice([0, 1, 3, 63, 64, 65, 200, 700]), 0)
        elif act < 0.97:
            size = choice.choice([1, 2, 50, 63, 64, 65, 127, 128, 129, 300])
            if size != pair.recent.window.calls:
                pair.change(Window(calls=size), 0)
        else:
            pair.core.forget_slow()
            pair.recent.without_slow()
        pair.check(0)


@pytest.mark.parametrize("seed", range(10))
def test_any_calls_in_any_window_by_time(units: Any, seed: int) -> None:
    # S202: also where the time is no multiple of twenty nanoseconds, and where the clock goes back
    choice = random.Random(seed)
    now = choice.choice([0, -(10**15), 10**18])
    pair = Pair(units, Window(time=choice.choice([1.0, 2.5, 1e-7, 3.3e-8, 60.0])), now)
    for _ in range(300):
        assert pair.recent.window.time is not None
        span = round(pair.recent.window.time * 1e9)
        now += choice.choice([0, 1, span // 20, span // 7, span, 3 * span, -span // 3])
        act = choice.random()
        if act < 0.6:
            pair.record(choice.random() < 0.5, choice.random() < 0.3, now)
        elif act < 0.9:
            pair.pass_over(choice.randint(0, 20), now)
        elif act < 0.97:
            time = choice.choice([1.0, 0.7, 1e-7, 4.1e-8, 60.0])
            if time != pair.recent.window.time:
                pair.change(Window(time=time), now)
        else:
            pair.core.forget_slow()
            pair.recent.without_slow()
        pair.check(now)


def test_the_other_kind_of_window_begins_empty(units: Any) -> None:
    # S215
    pair = Pair(units, Window(calls=10), 0)
    pair.record(True, True, 5)
    pair.change(Window(time=1.0), 5)
    assert pair.core.tally == (0, 0, 0)
    pair.record(True, True, 6)
    pair.change(Window(calls=10), 6)
    assert pair.core.tally == (0, 0, 0)


def test_a_slice_ends_when_the_next_one_begins(units: Any) -> None:
    # S202
    window = CWindow(units, 0, 20_000, False, 500)
    assert window.end() == 1500
    assert [window.turn(now) for now in (499, 500, 1499, 1500, 1501)] == [0, 0, 0, 1, 0]
    assert window.end() == 2500
    assert CWindow(units, 7, 0, False, 500).end() == I64
    assert CWindow(units, 0, I64, False, I64 - 5).end() == I64, "no overflow"


def test_a_call_counts_for_at_least_19_slices_and_less_than_20(units: Any) -> None:
    # S202
    for at in (0, 1, 999):
        window = CWindow(units, 0, 20_000, False, 0)
        window.record(True, False)
        window.turn(19_000 + at)
        assert window.tally == (1, 1, 0)
        window.turn(20_000)
        assert window.tally == (0, 0, 0)


@pytest.mark.parametrize("seed", range(10))
def test_any_calls_in_flight(units: Any, seed: int) -> None:
    # S207
    choice = random.Random(seed)
    duration, now = choice.choice([8_000, 10**9, 12_345_678_901]), choice.choice([0, -(10**12), 10**15])
    core = CInFlight(units)
    core.follow(duration, now)
    model = InFlight(duration, now)
    running: list[tuple[int, int]] = []  # the core's mark and the model's token
    for token in range(400):
        now += choice.choice([0, 0, duration // 40, duration // 8, duration // 3, duration, 5 * duration])
        beat = model.beat(now)
        assert core.late(now) == model.late(beat)
        if choice.random() < 0.6:
            assert core.look(now) == (beat > model.looked)
            model.looked = beat
            running.append((core.depart(), token))
            model.followed.append((token, beat))
        elif running:
            mark, ended = running.pop(choice.randrange(len(running)))
            core.arrive(mark)
            model.end(ended)
        assert core.late_as_looked() == model.late(model.looked)
    for mark, _ in running:
        core.arrive(mark)
    assert core.late(now + 100 * duration) == 0, "all have ended"


def test_who_was_forgotten_is_never_counted_nor_taken_away(units: Any) -> None:
    # S207
    core = CInFlight(units)
    core.follow(800_000, 0)
    before = core.depart()
    core.forget()
    after = core.depart()
    assert core.late(10**9) == 1
    core.arrive(before)
    assert core.late(10**9) == 1
    core.arrive(after)
    assert core.late(10**9) == 0


def test_the_numbers_of_beats_come_round(units: Any) -> None:
    # S207: after 2**32 of them calls in flight are followed anew; none has the number 0, which means: not measured
    core = CInFlight(units)
    core.follow(8_000_000, 0)
    core.number(2**32 - 3)
    marks = []
    for now in range(0, 12_000_000, 1_000_000):
        core.look(now)
        marks.append(core.depart())
    assert 0 not in marks
    for mark in marks:
        core.arrive(mark)
    assert core.late(10**9) == 0


def test_nobody_is_followed_without_a_duration(units: Any) -> None:
    core = CInFlight(units)
    core.follow(0, 5)
    assert core.late(I64) == 0
    assert not core.look(I64)
