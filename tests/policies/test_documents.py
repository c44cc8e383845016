"""A policy as a JSON document: what each key takes, and the way there and back."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breaker import Mode, Policy
from support.drive import document
from support.policy_values import COUNTS, NUMBERS, RATIOS, READ, TIMES, TIMES_READ, with_value

policies = st.builds(
    Policy,
    st.integers(1, 2**31 - 1),
    st.integers(1, 2**31 - 1),
    st.floats(1e-9, 9.2e9),
    half_open_max_calls=st.integers(1, 1000),
    probe_timeout=st.none() | st.floats(1e-9, 9.2e9),
    mode=st.sampled_from(Mode),
    open_timeout_multiplier=st.floats(1, 1000),
    open_timeout_max=st.none() | st.floats(1e-9, 9.2e9),
    open_timeout_jitter=st.floats(0, 1),
)


# -- what is read --


def test_the_built_in_policy_as_a_document() -> None:
    # S123
    text = '{"failureThreshold": 5, "successThreshold": 2, "openStateTimeout": "1m"}'
    assert Policy.from_json(text) == Policy(5, 2, 60.0)
    assert Policy.from_json(text.encode()) == Policy(5, 2, 60.0)
    assert Policy.from_json(bytearray(text.encode())) == Policy(5, 2, 60.0)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def test_every_key() -> None:
    text = document(
        failureThreshold=3,
        successThreshold=4,
        openStateTimeout="5s500ms",
        halfOpenMaxCalls=6,
        probeTimeout="7.25s",
        mode="shadow",
        openTimeoutMultiplier=2,
        openTimeoutMax="10m",
        openTimeoutJitter=0.5,
    )
    assert Policy.from_json(text) == Policy(
        3,
        4,
        5.5,
        half_open_max_calls=6,
        probe_timeout=7.25,
        mode=Mode.SHADOW,
        open_timeout_multiplier=2.0,
        open_timeout_max=600.0,
        open_timeout_jitter=0.5,
    )


@pytest.mark.parametrize("text", ["{}", b"{}", " { } ", "\n{\r\n\t}\n"])
def test_an_empty_object_is_the_built_in_policy(text: Any) -> None:
    # S123
    assert Policy.from_json(text) == Policy()


@pytest.mark.parametrize(("text", "seconds"), TIMES_READ.items())
@pytest.mark.parametrize("key", TIMES)
def test_a_time_is_written_as_go_does(key: str, text: str, seconds: float) -> None:
    (field,) = [field.name for field in Policy.fields.values() if field.key == key]
    assert getattr(Policy.from_json(with_value(key, json.dumps(text))), field) == seconds


@pytest.mark.parametrize(("key", "text"), READ)
def test_what_a_key_takes(key: str, text: str) -> None:
    Policy.from_json(with_value(key, text))


def test_every_key_is_in_the_tables() -> None:
    assert {*COUNTS, *TIMES, *NUMBERS, *RATIOS, "mode", "window"} == {field.key for field in Policy.fields.values()}


@pytest.mark.parametrize("mode", Mode)
def test_a_mode_is_its_word(mode: Mode) -> None:
    assert Policy.from_json(document(mode=mode.value)).mode is mode


def test_unknown_keys_are_passed_over_whatever_they_hold() -> None:
    # S125
    unknown = {"failureLimit": "x", "comment": None, "": [1, {"mode": "x"}], "thresholdFailure": -1, "-": 0, "_": 0}
    assert Policy.from_json(document(failureThreshold=3, **unknown)) == Policy(3)


def test_a_byte_order_mark_is_passed_over() -> None:
    # S127
    for text in ("\ufeff" + '{"failureThreshold": 3}', b"\xef\xbb\xbf" + b'{"failureThreshold": 3}'):
        assert Policy.from_json(text) == Policy(3)


def test_escapes_in_keys_and_values_are_json() -> None:
    assert Policy.from_json('{"failure\\u0054hreshold": 3, "mode": "\\u0073hadow"}') == Policy(3, mode=Mode.SHADOW)


# -- there and back --


@given(policies)
def test_a_document_is_read_back_as_an_equal_policy(policy: Policy) -> None:
    assert Policy.from_json(policy.to_json()) == policy
    assert Policy.from_json(policy.to_json()).to_json() == policy.to_json()


def test_a_document_says_everything_so_that_nothing_is_inherited_in_its_place() -> None:
    assert json.loads(Policy().to_json()) == {
        "failureThreshold": 5,
        "successThreshold": 2,
        "openStateTimeout": "1m",
        "halfOpenMaxCalls": 1,
        "mode": "auto",
        "openTimeoutMultiplier": 1.0,
        "openTimeoutJitter": 0.0,
        "failureRateThreshold": None,
        "slowCallRateThreshold": None,
        "slowCallDuration": None,
        "window": {"calls": 100},
        "minimumCalls": 10,
        "recoveryTime": None,
    }
    assert json.loads(Policy(probe_timeout=1.5).to_json())["probeTimeout"] == "1.5s"


def test_the_value_of_a_key_is_exact() -> None:
    policy = Policy.from_json('{"openStateTimeout": "9223372036854775807ns"}')
    assert policy.numbers()["open_state_timeout_ns"] == 2**63 - 1
    assert Policy.from_json(policy.to_json()) == policy
    assert math.isfinite(policy.open_state_timeout)
