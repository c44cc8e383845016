"""The JSON Schema of a policy document: valid by itself, and held to what the reader takes and refuses."""

import json
import re
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

import breaker
from breaker import Policy
from breaker.policies.durations import MAX_NANOSECONDS, PATTERN, UNITS, parse_duration
from support.policy_values import BEYOND_A_SCHEMA, COUNTS, READ, REFUSED, TIMES, with_value

DOCUMENT = breaker.policies.schema()
SCHEMA = Draft202012Validator(DOCUMENT)


def parsed(text: str) -> Any:
    """As JSON is read where numbers may have any length."""
    return json.loads(text, parse_int=lambda digits: int(digits) if len(digits) < 1000 else float(digits))


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(DOCUMENT)
    assert json.loads(json.dumps(DOCUMENT)) == DOCUMENT


def test_a_schema_is_the_callers_own() -> None:
    breaker.policies.schema()["properties"]["mode"]["enum"].clear()
    assert breaker.policies.schema() == DOCUMENT


@pytest.mark.parametrize(("key", "text"), READ)
def test_what_the_reader_takes_is_valid(key: str, text: str) -> None:
    SCHEMA.validate(parsed(with_value(key, text)))


@pytest.mark.parametrize(("key", "text"), REFUSED, ids=lambda value: ascii(value)[:20])
def test_what_the_reader_refuses_is_not_valid_unless_a_schema_cannot_say_so(key: str, text: str) -> None:
    wrong = {error.path[0] for error in SCHEMA.iter_errors(parsed(with_value(key, text)))}
    assert wrong == (set() if text in BEYOND_A_SCHEMA else {key})


@pytest.mark.parametrize("text", ["[]", "null", "5", "true", '"text"', '[{"failureThreshold": 5}]'])
def test_a_document_is_an_object(text: str) -> None:
    assert not SCHEMA.is_valid(parsed(text))


def test_the_schema_says_every_key_in_the_order_of_the_constructor() -> None:
    properties = DOCUMENT["properties"]
    assert list(properties) == [field.key for field in Policy.fields.values()]
    assert all(len(value["description"]) > 10 for value in properties.values())
    assert properties["failureThreshold"] == {
        "type": ["integer", "null"],
        "minimum": 1,
        "maximum": 2**31 - 1,
        "description": "failures in a row that open the breaker",
        "default": 5,
    }
    assert properties["probeTimeout"]["description"].endswith("; without it: the open timeout")


def test_the_defaults_of_the_schema_are_the_built_in_policy() -> None:
    defaults = {key: value["default"] for key, value in DOCUMENT["properties"].items() if "default" in value}
    assert defaults == json.loads(Policy().to_json())
    SCHEMA.validate(defaults)


numbers = st.sampled_from(["0", "1", "007", "1.5", ".5", "1.", "0.1", "0.0", ".", "", "1e3"])
measures = st.tuples(numbers, st.sampled_from([*UNITS, "", "d"])).map("".join)
durations = st.tuples(st.sampled_from(["", "+", "-"]), st.lists(measures, max_size=3).map("".join)).map("".join)
pieces = st.sampled_from([*UNITS, *"0123456789", ".", "+", "-", " ", "\n", "x", "1.5", "S", "٣", "e", "00", "0."])


@given(durations | st.lists(pieces, max_size=8).map("".join) | st.text(max_size=8))
@example("60s\n")
@example("0.0s0.1h")
def test_the_pattern_of_a_duration_is_its_grammar(text: str) -> None:
    try:
        nanoseconds = parse_duration(text)
    except ValueError as error:
        if "longer than" not in str(error):  # else nobody has looked at what follows the number
            assert re.search(PATTERN, text) is None
        return
    shorter_than_one = nanoseconds == 0 and not text.startswith("-") and re.search("[1-9]", text) is not None
    assert (re.search(PATTERN, text) is not None) == (nanoseconds > 0 or shorter_than_one)


@given(st.integers(1, MAX_NANOSECONDS), st.sampled_from(TIMES), st.integers(1, 1000))
def test_what_a_policy_writes_is_valid(nanoseconds: int, key: str, count: int) -> None:
    fields = {key: f"{nanoseconds}ns", **dict.fromkeys(COUNTS, count)}
    if key == "slowCallDuration":
        fields |= {"slowCallRateThreshold": 0.5, "window": {"calls": 1000}}
    policy = Policy.from_json(json.dumps(fields))
    SCHEMA.validate(json.loads(policy.to_json()))
