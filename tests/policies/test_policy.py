"""A policy made in Python: what each field takes and refuses, how it says so, and what a policy is as a value."""

import copy
import enum
import math
import pickle
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breaker import BreakerError, Mode, Policy, PolicyError, Window

COUNTS = {
    "failure_threshold": 2**31 - 1,
    "success_threshold": 2**31 - 1,
    "half_open_max_calls": 1000,
    "minimum_calls": 2**31 - 1,
}
TIMES = ["open_state_timeout", "probe_timeout", "open_timeout_max", "slow_call_duration", "recovery_time"]
RATIOS = ["failure_rate_threshold", "slow_call_rate_threshold"]
MAY_BE_NONE = ["failure_threshold", "probe_timeout", "open_timeout_max", *RATIOS, "slow_call_duration", "recovery_time"]
NUMBERS = {"open_timeout_multiplier": (1, 1000), "open_timeout_jitter": (0, 1)}
NOT_NUMBERS = [True, False, "5", "", b"5", [], {}, (5,), 5j, Decimal(5), Fraction(5), object(), math.nan, -math.inf]

FULL: dict[str, Any] = {
    "failure_threshold": 3,
    "success_threshold": 4,
    "open_state_timeout": 5.5,
    "half_open_max_calls": 6,
    "probe_timeout": 7.25,
    "mode": Mode.SHADOW,
    "open_timeout_multiplier": 2.0,
    "open_timeout_max": 600.0,
    "open_timeout_jitter": 0.5,
    "failure_rate_threshold": 0.5,
    "slow_call_rate_threshold": 0.25,
    "slow_call_duration": 1.5,
    "window": Window(time=30),
    "minimum_calls": 20,
    "recovery_time": 45.0,
}
COMPANIONS: dict[str, dict[str, Any]] = {  # without which a field contradicts the others
    "slow_call_rate_threshold": {"slow_call_duration": 1.0},
    "slow_call_duration": {"slow_call_rate_threshold": 0.5},
}


class Number(enum.IntEnum):
    SEVEN = 7


class Unshowable(str):
    __slots__ = ()

    def __repr__(self) -> str:
        raise RuntimeError("no")


def made(**fields: Any) -> Policy:
    companions = [COMPANIONS.get(name, {}) for name, value in fields.items() if value is not None]
    return Policy(**{name: value for some in companions for name, value in some.items()} | fields)


def refusal(**fields: Any) -> PolicyError:
    with pytest.raises(PolicyError) as caught:
        Policy(**fields)
    return caught.value


def test_the_built_in_policy() -> None:
    # S123
    policy = Policy()
    assert (policy.failure_threshold, policy.success_threshold, policy.open_state_timeout) == (5, 2, 60.0)
    assert (policy.half_open_max_calls, policy.probe_timeout, policy.mode) == (1, None, Mode.AUTO)
    assert (policy.open_timeout_multiplier, policy.open_timeout_max, policy.open_timeout_jitter) == (1.0, None, 0.0)


def test_every_field_is_in_the_tables() -> None:
    assert list(FULL) == list(Policy.fields)
    assert {*COUNTS, *TIMES, *NUMBERS, *RATIOS, "mode", "window"} == set(FULL)


@pytest.mark.parametrize(("field", "value"), FULL.items())
def test_every_field_is_read_back_as_it_was_given(field: str, value: Any) -> None:
    assert getattr(made(**{field: value}), field) == value


@pytest.mark.parametrize(("field", "limit"), COUNTS.items())
def test_a_count_goes_from_1_to_its_limit(field: str, limit: int) -> None:
    # S126
    for value in (1, 2, limit):
        assert getattr(made(**{field: value}), field) == value
    for value in (0, -1, limit + 1, 2**31, 2**63, 10**400, -(10**400)):
        assert refusal(**{field: value}).field == field


@pytest.mark.parametrize("value", [*NOT_NUMBERS, None, 1.5, 5.0, math.inf], ids=repr)
@pytest.mark.parametrize("field", COUNTS)
def test_a_count_is_a_whole_number(field: str, value: Any) -> None:
    if value is None and field in MAY_BE_NONE:
        return  # S218
    message = str(refusal(**{field: value}))
    assert message.startswith(f"{field} must be a whole number from 1 to {COUNTS[field]}, got ")
    assert "write 5" in message


@pytest.mark.parametrize("field", TIMES)
@pytest.mark.parametrize(
    ("value", "nanoseconds"),
    [
        (60, 60_000_000_000),
        (60.0, 60_000_000_000),
        (timedelta(minutes=1), 60_000_000_000),
        (0.3, 300_000_000),
        (1e-9, 1),
        (9_223_372_036, 9_223_372_036_000_000_000),
        (9_223_372_036.0, 9_223_372_036_000_000_000),
        (timedelta(microseconds=1), 1000),
        (timedelta(days=106_751), 9_223_286_400_000_000_000),
        (Number.SEVEN, 7_000_000_000),
    ],
    ids=repr,
)
def test_a_time_is_seconds_or_a_timedelta(field: str, value: Any, nanoseconds: int) -> None:
    # S126
    policy = made(**{field: value})
    assert policy.numbers()[f"{field}_ns"] == nanoseconds
    assert getattr(policy, field) == nanoseconds / 1e9


@pytest.mark.parametrize("field", TIMES)
@pytest.mark.parametrize(
    "value",
    [
        *(*NOT_NUMBERS, "60s", math.inf),
        *(0, 0.0, -0.0, -1, -0.5, 1e-10, timedelta(0), timedelta(seconds=-1), timedelta.min),
        *(9_223_372_037, 9_223_372_037.0, 1e10, 1e300, 10**400, timedelta(days=106_752), timedelta.max),
    ],
    ids=repr,
)
def test_a_time_is_longer_than_0_and_shorter_than_2_to_the_63_nanoseconds(field: str, value: Any) -> None:
    message = str(refusal(**{field: value}))
    assert message.startswith(f"{field} must be ")
    assert "nanosecond" in message


def test_only_times_that_may_be_derived_may_be_none() -> None:
    assert Policy(probe_timeout=None, open_timeout_max=None) == Policy()
    assert refusal(open_state_timeout=None).field == "open_state_timeout"


@pytest.mark.parametrize("value", ["auto", "AUTO", None, 0, True, "", Mode])
def test_a_mode_is_a_mode(value: Any) -> None:
    assert str(refusal(mode=value)).startswith("mode must be a breaker.Mode, got ")


@pytest.mark.parametrize("mode", Mode)
def test_every_mode_is_one(mode: Mode) -> None:
    assert Policy(mode=mode).mode is mode


@pytest.mark.parametrize("field", NUMBERS)
def test_a_number_has_its_range(field: str) -> None:
    low, high = NUMBERS[field]
    for value in (low, high, float(low), (low + high) / 2):
        assert getattr(made(**{field: value}), field) == value
    refused: list[Any] = [*NOT_NUMBERS, None, math.inf]
    for value in (*refused, low - 0.001, high + 0.001, 10**400):
        assert str(refusal(**{field: value})).startswith(f"{field} must be a number from {low} to {high}, got ")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"failure_threshold": "5"},
            "failure_threshold must be a whole number from 1 to 2147483647, got '5' (text); write 5 without quotes",
        ),
        (
            {"failure_threshold": True},
            "failure_threshold must be a whole number from 1 to 2147483647, got True (true or false); write 5",
        ),
        (
            {"half_open_max_calls": 1001},
            "half_open_max_calls must be a whole number from 1 to 1000, got 1001 (a number); write 5",
        ),
        (
            {"open_state_timeout": "60s"},
            "open_state_timeout must be a positive, finite number of seconds below 2**63 nanoseconds, or a timedelta, "
            "got '60s' (text); write 60.0 for a minute",
        ),
        (
            {"probe_timeout": 0},
            "probe_timeout must be at least one nanosecond and less than 2**63 nanoseconds, got 0 (a number)",
        ),
        ({"mode": None}, "mode must be a breaker.Mode, got null (None); write Mode.AUTO"),
    ],
)
def test_a_refusal_names_the_field_the_expectation_and_the_remedy(fields: dict[str, Any], message: str) -> None:
    # S126
    error = refusal(**fields)
    assert str(error) == message
    assert (error.field, error.where) == (next(iter(fields)), None)


@pytest.mark.parametrize("value", ["x" * 100_000, 10**5000, Unshowable("x")], ids=["long", "huge", "unshowable"])
def test_a_refusal_shows_any_value_in_short(value: Any) -> None:
    assert len(str(refusal(failure_threshold=value))) < 250


def test_a_refusal_is_a_value_error_of_this_package_and_pickles() -> None:
    error = refusal(failure_threshold=0)
    assert isinstance(error, ValueError)
    assert isinstance(error, BreakerError)
    copied = pickle.loads(pickle.dumps(error))
    assert (type(copied), str(copied), copied.field) == (PolicyError, str(error), "failure_threshold")


def test_the_first_three_may_be_given_by_place_and_no_other() -> None:
    assert Policy(3, 4, 5.5) == Policy(failure_threshold=3, success_threshold=4, open_state_timeout=5.5)
    with pytest.raises(TypeError):
        Policy(3, 4, 5.5, 6)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    with pytest.raises(TypeError, match="failures"):
        Policy(failures=3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


@pytest.mark.parametrize("field", FULL)
def test_policies_are_equal_by_all_fields(field: str) -> None:
    full = Policy(**FULL)
    assert full == Policy(**FULL)
    assert hash(full) == hash(Policy(**FULL))
    given: dict[str, Any] = {name: value for name, value in FULL.items() if name != field}
    if field in COMPANIONS:
        given[field] = 1
    other = Policy(**given)
    assert full != other
    assert len({full, other, Policy(**FULL)}) == 2


def test_a_policy_equals_nothing_else() -> None:
    assert Policy() != (5, 2, 60.0)
    assert Policy() != None  # noqa: E711 - the operator is what is tested
    assert Policy(60, 2) != Policy(2, 60)


@pytest.mark.parametrize("name", [*FULL, "open_state_timeout_ns", "anything"])
def test_a_policy_is_frozen(name: str) -> None:
    policy = Policy()
    with pytest.raises(AttributeError):
        setattr(policy, name, 1)
    with pytest.raises(AttributeError):
        delattr(policy, name)
    assert policy == Policy()
    assert not hasattr(policy, "__dict__")


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_policy_pickles(protocol: int) -> None:
    assert pickle.loads(pickle.dumps(Policy(**FULL), protocol)) == Policy(**FULL)


def test_a_policy_copies_as_itself() -> None:
    policy = Policy(**FULL)
    assert copy.copy(policy) == policy
    assert copy.deepcopy({"p": policy})["p"] == policy


def test_the_repr_shows_every_field() -> None:
    shown = repr(Policy(**FULL))
    assert shown.startswith("Policy(3, 4, 5.5, ")
    for field in list(FULL)[3:]:
        assert f"{field}=" in shown


@given(st.floats(1e-9, 9.2e9), st.integers(1, 2**31 - 1))
def test_seconds_survive_to_the_nanosecond(seconds: float, count: int) -> None:
    policy = Policy(count, count, seconds)
    assert abs(policy.numbers()["open_state_timeout_ns"] - round(Fraction(seconds) * 10**9)) <= max(
        1, seconds * 1e9 * 2**-52
    )
    assert Policy(count, count, policy.open_state_timeout) == Policy(count, count, policy.open_state_timeout)
