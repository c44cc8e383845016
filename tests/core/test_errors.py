"""The error tree, what a rejection carries, and what cannot be copied."""

import copy
import gc
import pickle
import traceback
from typing import Any

import pytest

import breaker as package
from breaker import BreakerError, BreakerOpenError, Policy, PolicyError, State
from breaker.testing import ManualClock
from support.drive import NAME, Boom, Make, drive_to, fail, rejected

FIELDS = ("name", "state", "retry_after", "reason", "last_error")


def fields(error: BreakerOpenError) -> tuple[Any, ...]:
    return tuple(getattr(error, name) for name in FIELDS)


@pytest.fixture
def rejections(make_breaker: Make, clock: ManualClock) -> dict[str, BreakerOpenError]:
    """One rejection of each reason, of breakers opened by ``Boom("down")``."""
    is_open = drive_to(make_breaker(Policy(1, 1, 60)), clock, State.OPEN)
    half_open = drive_to(make_breaker(Policy(1, 1, 60)), clock, State.HALF_OPEN)
    forced = make_breaker(Policy(1, 1, 60))
    forced.force_open()
    probe = half_open.acquire()
    found = {"half_open": rejected(half_open), "operator": rejected(forced)}
    is_open.reset()
    drive_to(is_open, clock, State.OPEN)
    found["open"] = rejected(is_open)
    probe.ignore()
    return found


def test_the_tree() -> None:
    assert issubclass(BreakerError, Exception)
    assert issubclass(BreakerOpenError, BreakerError)
    assert issubclass(PolicyError, BreakerError)
    assert issubclass(PolicyError, ValueError)
    assert not issubclass(BreakerOpenError, ValueError)
    assert not issubclass(PolicyError, BreakerOpenError)


def test_one_class_for_every_rejection_with_all_it_needs(rejections: dict[str, BreakerOpenError]) -> None:
    # S24
    assert {reason: type(error) for reason, error in rejections.items()} == dict.fromkeys(
        ("half_open", "operator", "open"), BreakerOpenError
    )
    assert fields(rejections["open"]) == (NAME, State.OPEN, 60.0, "open", "Boom: down")
    assert fields(rejections["half_open"]) == (NAME, State.HALF_OPEN, 1.0, "half_open", "Boom: down")
    assert fields(rejections["operator"]) == (NAME, State.OPEN, 60.0, "operator", None)


@pytest.mark.parametrize("reason", ["open", "half_open", "operator"])
def test_retry_after_is_a_float_of_seconds(rejections: dict[str, BreakerOpenError], reason: str) -> None:
    assert type(rejections[reason].retry_after) is float


@pytest.mark.parametrize("reason", ["open", "half_open", "operator"])
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_rejection_pickles(rejections: dict[str, BreakerOpenError], reason: str, protocol: int) -> None:
    # S24
    error = rejections[reason]
    back = pickle.loads(pickle.dumps(error, protocol))
    assert type(back) is BreakerOpenError
    assert fields(back) == fields(error)
    assert str(back) == str(error)


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy])
def test_a_rejection_copies(rejections: dict[str, BreakerOpenError], duplicate: Any) -> None:
    # S24
    error = rejections["open"]
    assert fields(duplicate(error)) == fields(error)


def test_the_message_says_who_in_what_state_and_for_how_long(rejections: dict[str, BreakerOpenError]) -> None:
    for reason, error in rejections.items():
        assert NAME in str(error)
        assert ("1 s" if reason == "half_open" else "60 s") in str(error)
    assert len({str(error) for error in rejections.values()}) == 3
    assert str(rejections["open"]) in traceback.format_exception_only(rejections["open"])[0]
    assert "BreakerOpenError" in repr(rejections["open"])


def test_a_rejection_pins_no_frames_of_the_failure(make_breaker: Make) -> None:
    # S24
    class Big:
        alive = 0

        def __init__(self) -> None:
            Big.alive += 1

        def __del__(self) -> None:
            Big.alive -= 1

    def call() -> None:
        big = Big()
        raise Boom(type(big).__name__)

    breaker = make_breaker(Policy(1))
    with pytest.raises(Boom):
        breaker.do(call)
    error = rejected(breaker)
    gc.collect()
    assert Big.alive == 0
    assert error.last_error == "Boom: Big"
    assert error.__cause__ is error.__context__ is None


def test_a_rejection_tells_the_moment_it_was_made(make_breaker: Make, clock: ManualClock) -> None:
    # S24
    breaker = drive_to(make_breaker(Policy(1, 1, 60)), clock, State.OPEN)
    error = rejected(breaker)
    clock.advance(45)
    breaker.reset()
    assert fields(error) == (NAME, State.OPEN, 60.0, "open", "Boom: down")
    fail(breaker, error=Boom("again"))
    assert fields(rejected(breaker)) == (NAME, State.OPEN, 60.0, "open", "Boom: again")


def test_two_rejections_are_two_objects(make_breaker: Make, clock: ManualClock) -> None:
    # S24: a shared exception object would collect every caller's traceback
    breaker = drive_to(make_breaker(Policy(1)), clock, State.OPEN)
    first, second = rejected(breaker), rejected(breaker)
    assert first is not second


def test_a_rejection_can_be_raised_from_and_noted(make_breaker: Make, clock: ManualClock) -> None:
    breaker = drive_to(make_breaker(Policy(1)), clock, State.OPEN)
    error = rejected(breaker)
    error.add_note("order 17")
    with pytest.raises(BreakerOpenError) as caught:
        raise error from Boom("cause")
    assert caught.value.__notes__ == ["order 17"]
    assert isinstance(caught.value.__cause__, Boom)


def test_names_of_any_text_come_through_the_error(make_breaker: Make, clock: ManualClock) -> None:
    for name in ("/pkg.Svc/Method", "a b", "ünï¢ødé", "..", "%s %d {0}", "x" * 255):
        error = rejected(drive_to(make_breaker(Policy(1), name), clock, State.OPEN))
        assert error.name == name
        assert name in str(error)
        assert pickle.loads(pickle.dumps(error)).name == name


@pytest.mark.parametrize("attempt", [copy.copy, copy.deepcopy, pickle.dumps, lambda b: pickle.dumps(b, 0)])
def test_a_breaker_is_neither_copied_nor_pickled_and_says_what_to_do(make_breaker: Make, attempt: Any) -> None:
    # S154
    with pytest.raises(TypeError, match="name"):
        attempt(make_breaker())


def test_a_breaker_inside_something_pickled_is_refused_the_same(make_breaker: Make) -> None:
    # S154
    with pytest.raises(TypeError, match="name"):
        pickle.dumps({"client": [make_breaker()]})


def test_the_errors_are_public() -> None:
    for name in ("BreakerError", "BreakerOpenError", "PolicyError"):
        assert name in package.__all__
        assert getattr(package, name).__name__ == name
        assert getattr(package, name).__module__.partition(".")[0] == "breaker"


@pytest.mark.parametrize(("length", "kept"), [(0, 0), (999, 999), (1000, 1000), (1001, 1000), (10**6, 1000)])
def test_a_last_error_keeps_a_thousand_characters_of_a_message(make_breaker: Make, length: int, kept: int) -> None:
    # S47
    breaker = make_breaker(Policy(1))
    fail(breaker, error=Boom("é" * length))
    text = rejected(breaker).last_error
    assert text == "Boom" + (": " + "é" * kept if kept else "") + ("…" if length > kept else "")
