"""The demo's picture: what is noted of a run, and what is drawn of that."""

from __future__ import annotations

import dataclasses
import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from breaker import Snapshot, State
from breaker.cli.demo.history import STEPS, History
from breaker.cli.demo.picture import draw
from support.drive import NAME, Make

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def shot(make_breaker: Make) -> Snapshot:
    return make_breaker().snapshot()


def run(shot: Snapshot, name: str = NAME) -> History:
    """12 s at 100 calls a second: a third of them succeed, a third fail, a third are rejected."""
    history = History(12.0)
    history.conditions += [(0.0, "healthy"), (4.0, "slow and failing"), (8.0, "healthy again")]
    for tick in range(1, 241):
        at, calls = tick / 20, tick * 5
        seen = dataclasses.replace(
            shot, successes=min(calls, 400), failures=min(max(calls - 400, 0), 400), rejected=max(calls - 800, 0)
        )
        history.look(at, {name: seen})
    history.states += [(8.0, name, State.OPEN), (11.9, name, State.HALF_OPEN), (11.95, name, State.CLOSED)]
    history.edits.append((9.0, name, "failureThreshold 5 -> 10"))
    return history


def drawn(history: History, *names: str) -> ElementTree.Element:
    return ElementTree.fromstring(draw(history, names, "a run"))


def test_calls_become_calls_per_second_of_each_kind(shot: Snapshot) -> None:
    calls = run(shot).calls(NAME)
    assert len(calls) == STEPS
    for part, kind in ((0, 0), (1, 1), (2, 3)):
        for rates in calls[part * 40 + 2 : part * 40 + 38]:
            assert rates == pytest.approx([100 if each == kind else 0 for each in range(4)], abs=55)
    assert sum(map(sum, calls)) * 12 / STEPS == pytest.approx(1200)


def test_steps_in_which_nobody_looked_share_what_was_counted_after_them(shot: Snapshot) -> None:
    history = History(12.0)
    history.look(0.05, {NAME: shot})
    history.look(1.05, {NAME: dataclasses.replace(shot, successes=100)})
    calls = history.calls(NAME)
    assert [rates[0] for rates in calls[:12]] == pytest.approx([0, *[100] * 10, 0])
    assert history.calls("nobody") == [(0.0,) * 4] * STEPS


def test_states_follow_each_other_to_the_end(shot: Snapshot) -> None:
    visits = run(shot).visits(NAME)
    assert [state for *_, state in visits] == [State.CLOSED, State.OPEN, State.HALF_OPEN, State.CLOSED]
    assert (visits[0][0], visits[-1][1]) == (0.0, 12.0)
    assert all(first[1] == second[0] for first, second in pairwise(visits))


def test_what_is_drawn_is_what_happened(shot: Snapshot) -> None:
    picture = drawn(run(shot), NAME)
    boxes = list(picture.iter(f"{SVG}rect"))

    def of(kind: str, key: str) -> list[float]:
        return [float(box.get(key) or 0) for box in boxes if box.get("class") == kind]

    width, left = 786, 150
    assert of("OPEN", "x") == pytest.approx([left + width * 8 / 12], abs=0.2)
    assert of("OPEN", "width") == pytest.approx([width * 3.9 / 12], abs=0.2)
    assert min(of("HALF_OPEN", "width")) >= 2  # a moment is to be seen
    assert sum(of("rejected", "height")) > 1000
    assert picture.findtext(f"{SVG}title") == "a run"
    described = picture.findtext(f"{SVG}desc")
    assert described is not None
    assert f"{NAME} is closed from 0.0 s, open from 8.0 s, half open from 11.9 s, closed from 11.9 s." in described
    assert f"At 9.0 s {NAME} gets another policy: failureThreshold 5 -> 10." in described


def test_a_run_in_which_nothing_happened_is_drawn(shot: Snapshot) -> None:
    assert drawn(History(1.0)).tag == f"{SVG}svg"
    history = History(1.0)
    history.look(0.2, {NAME: shot})
    assert drawn(history, NAME, "never looked at").tag == f"{SVG}svg"


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "a&b\"'", "x" * 255])
def test_any_name_is_text(shot: Snapshot, name: str) -> None:
    picture = drawn(run(shot, name), name)
    assert name in [text.text for text in picture.iter(f"{SVG}text")]
    assert not list(picture.iter(f"{SVG}script"))


def test_it_needs_no_other_file_and_has_colours_for_dark(shot: Snapshot) -> None:
    text = draw(run(shot), [NAME], "a run")
    assert set(re.findall(r"(?:https?://|url\()[^)\s\"]+", text)) == {"http://www.w3.org/2000/svg", "url(#hatched"}
    light, dark = (dict(re.findall(r"--(\w+): (#\w+)", part)) for part in text.split("@media")[:2])
    assert light.keys() == dark.keys()
    for scheme in (light, dark):
        assert all(f"var(--{name})" in text for name in scheme)
        for ink, paper in (("ink", "page"), ("quiet", "page"), ("ink", "ill"), ("quiet", "ill"), ("ink", "closed"),
                           ("on", "open"), ("on", "half")):  # fmt: skip
            assert contrast(scheme[ink], scheme[paper]) >= 4.5, (ink, paper)


def contrast(first: str, second: str) -> float:
    """As WCAG reckons it."""

    def luminance(colour: str) -> float:
        digits = colour[1:] if len(colour) == 7 else "".join(digit * 2 for digit in colour[1:])
        parts = [int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4)]
        red, green, blue = (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    low, high = sorted([luminance(first), luminance(second)])
    return (high + 0.05) / (low + 0.05)
