"""What a snapshot tells, and who takes it: `dataclasses`, `json`, encoders of web frameworks."""

import copy
import dataclasses
import json
import pickle
import pprint
from typing import Any

import pytest

from breaker import Breaker, Mode, Policy, Snapshot, State
from breaker.states import TRANSITIONS, Move
from breaker.testing import ManualClock
from support.drive import NAME, Boom, Make, cool, fail, ignored, rejected, succeed, trip


def test_states_and_modes_are_text() -> None:
    state: object = State.HALF_OPEN
    assert (state, Mode.FORCED_OPEN.value) == ("HALF_OPEN", "forced_open")
    assert f"{State.OPEN} {Mode.AUTO}" == str(State.OPEN) + " " + str(Mode.AUTO) == "OPEN auto"
    assert json.dumps({State.OPEN: Mode.SHADOW}) == '{"OPEN": "shadow"}'
    assert {State.OPEN: 1}["OPEN"] == 1  # type: ignore[index]  # pyright: ignore[reportArgumentType]
    assert repr(State.OPEN) == "<State.OPEN: 'OPEN'>"


def test_moves_are_the_pairs_that_may_happen() -> None:
    # S11
    assert {tuple(move) for move in Move} == {pair for pair in TRANSITIONS if pair[0] is not pair[1]}
    assert Move.OPENED.value == str(Move.OPENED) == "CLOSED->OPEN"
    made: Any = Move
    assert made((State.CLOSED, State.OPEN)) is made("CLOSED->OPEN") is Move.OPENED
    assert pickle.loads(pickle.dumps(Move.RESET)) is copy.deepcopy(Move.RESET) is Move.RESET
    for wrong in ((State.CLOSED, State.CLOSED), "OPEN", 5, (1,)):
        with pytest.raises(ValueError, match="is not a valid Move"):
            made(wrong)


def driven(make_breaker: Make, clock: ManualClock) -> Breaker:
    """One that has been through everything, and is open."""
    breaker = make_breaker(Policy(2, 1, 60, half_open_max_calls=1, probe_timeout=1000))
    fail(breaker, 2)
    rejected(breaker, 3)
    cool(breaker, clock)
    ignored(breaker)
    held = breaker.acquire()
    rejected(breaker)
    held.success()
    trip(breaker)
    cool(breaker, clock)
    late = breaker.acquire()
    breaker.reset()
    late.failure()
    breaker.force_open()
    rejected(breaker, 2)
    breaker.clear_override()
    trip(breaker)
    cool(breaker, clock)
    fail(breaker, error=Boom("still down"))
    clock.advance(1.5)
    return breaker


def test_it_tells_what_happened_and_how_often(make_breaker: Make, clock: ManualClock) -> None:
    # S162, S163
    seen = driven(make_breaker, clock).snapshot()
    assert (seen.name, seen.service, seen.last_error) == (NAME, "svc", "Boom: still down")
    assert (seen.state, seen.seconds_in_state, seen.openings) == (State.OPEN, 1.5, 4)
    assert seen.rejected_by_reason == {"open": 3, "half_open": 1, "operator": 2, "recovering": 0}
    assert seen.rejected == 6
    assert seen.transitions == {
        (State.CLOSED, State.OPEN): 3,
        (State.OPEN, State.HALF_OPEN): 3,
        (State.HALF_OPEN, State.OPEN): 1,
        (State.HALF_OPEN, State.CLOSED): 2,
        (State.OPEN, State.CLOSED): 0,
    }
    assert seen.transitions[State.CLOSED, State.OPEN] == 3
    assert seen.probes == {"success": 1, "failure": 1, "ignored": 1, "late": 1}


def test_a_new_breaker_has_counted_nothing(make_breaker: Make) -> None:
    # S10, S162
    seen = make_breaker().snapshot()
    assert (seen.last_error, seen.openings, seen.seconds_in_state) == (None, 0, 0)
    for counted in (seen.rejected_by_reason, seen.transitions, seen.probes):
        assert counted
        assert set(counted.values()) == {0}


def test_calls_without_a_slot_are_no_probes(make_breaker: Make) -> None:
    # S163
    breaker = make_breaker(Policy(3))
    succeed(breaker, 2)
    fail(breaker)
    assert set(breaker.snapshot().probes.values()) == {0}


def test_as_dict_is_for_json(make_breaker: Make, clock: ManualClock) -> None:
    # S162
    seen = driven(make_breaker, clock).snapshot()
    plain = json.loads(json.dumps(seen.as_dict()))
    assert list(plain) == [field.name for field in dataclasses.fields(seen)]
    assert (plain["state"], plain["mode"], plain["retry_after"]) == ("OPEN", "auto", 58.5)
    assert plain["state_seconds"]["OPEN"] == seen.state_seconds[State.OPEN]
    assert plain["rejected_by_reason"] == seen.rejected_by_reason
    assert list(plain["transitions"].values()) == [3, 3, 1, 2, 0]


def test_as_dict_names_moves_and_writes_the_policy_as_a_document(make_breaker: Make) -> None:
    # S162
    plain = make_breaker(Policy(7)).snapshot().as_dict()
    assert plain["transitions"]["CLOSED->OPEN"] == 0
    assert Policy.from_json(json.dumps(plain["policy"])) == Policy(7)


def test_a_dataclass_to_whoever_asks(make_breaker: Make, clock: ManualClock) -> None:
    # S162
    seen = driven(make_breaker, clock).snapshot()
    plain = dataclasses.asdict(seen)
    assert plain["policy"]["failure_threshold"] == 2
    assert plain["transitions"] == seen.transitions
    assert plain["state_seconds"] == seen.state_seconds
    assert plain["transitions"] is not seen.transitions
    assert dataclasses.replace(seen, successes=99).successes == 99
    assert dataclasses.replace(Policy(3), failure_threshold=4) == Policy(4)
    assert [field.name for field in dataclasses.fields(Policy)][:2] == ["failure_threshold", "success_threshold"]
    assert "last_error='Boom: still down'" in pprint.pformat(seen)
    match seen:
        case Snapshot(name=name, state=State.OPEN):
            assert name == NAME
        case _:
            raise AssertionError


def test_it_says_why_the_state_was_entered(make_breaker: Make, clock: ManualClock) -> None:
    # S164
    breaker = make_breaker(Policy(2, 1, 60))
    reasons = [breaker.snapshot().reason]

    def note() -> None:
        reasons.append(breaker.snapshot().reason)

    for step in (
        lambda: trip(breaker),
        lambda: cool(breaker, clock),
        lambda: fail(breaker),
        lambda: cool(breaker, clock),
        lambda: succeed(breaker),
        lambda: trip(breaker),
        breaker.reset,
        lambda: trip(breaker),
        lambda: (cool(breaker, clock), breaker.acquire()),
        breaker.reset,
    ):
        step()
        note()
    none, *known = reasons
    assert none is None
    assert known == [
        "tripped", "tripped", "probe_failed", "probe_failed", "recovered", "tripped", "reset", "tripped", "timeout",
        "reset",
    ]  # fmt: skip
    assert breaker.snapshot().as_dict()["reason"] == "reset"


def test_a_reset_in_closed_begins_the_state_anew(make_breaker: Make, clock: ManualClock) -> None:
    # S164
    breaker = make_breaker()
    clock.advance(3)
    assert (breaker.snapshot().reason, breaker.snapshot().seconds_in_state) == (None, 3)
    breaker.reset()
    assert (breaker.snapshot().reason, breaker.snapshot().seconds_in_state) == ("reset", 0)


def test_it_tells_the_operators_mode_from_the_policys(make_breaker: Make) -> None:
    # S91, S164
    breaker = make_breaker(Policy(2, mode=Mode.SHADOW))
    assert (breaker.snapshot().mode, breaker.snapshot().override) == (Mode.SHADOW, None)
    for override in Mode:
        breaker.override(override)
        assert (breaker.snapshot().mode, breaker.snapshot().override) == (override, override)
        assert breaker.snapshot().as_dict()["override"] == override.value
    breaker.clear_override()
    assert breaker.snapshot().as_dict()["override"] is None


def test_it_tells_of_an_episode_in_shadow(make_breaker: Make) -> None:
    # S96, S164
    breaker = make_breaker(Policy(2, mode=Mode.SHADOW))
    fail(breaker, 1)
    assert breaker.snapshot().would_have_opened is False
    fail(breaker, 1)
    assert breaker.snapshot().would_have_opened is True
    succeed(breaker)
    assert breaker.snapshot().would_have_opened is False


def test_it_is_a_value(make_breaker: Make) -> None:
    seen = make_breaker().snapshot()
    assert pickle.loads(pickle.dumps(seen)) == copy.deepcopy(seen) == seen
    assert seen != dataclasses.replace(seen, epoch=5)
    with pytest.raises(AttributeError, match="Snapshot is frozen"):
        seen.successes = 5  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(TypeError, match="made of exactly these, by name: name, service, state"):
        Snapshot(name="x")
    assert "state=<State.CLOSED: 'CLOSED'>" in repr(seen)
